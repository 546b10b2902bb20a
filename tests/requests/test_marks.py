"""What is derived of a book when it is saved, and read again instead of derived."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from avatargpt import resources
from avatargpt.requests import phrase_index
from avatargpt.requests.english import WordIndex
from avatargpt.requests.phrase_index import FILE, PhraseIndex
from avatargpt.requests.phrase_scoring import VERSION, Marks, derive_marks
from avatargpt.requests.vector_index import Reduced, Stored, read_file, reduced, unit, write_file
from vqvae.errors import UserError

KEYS = ["a person walks", "walk backwards", "raise the left hand", "wave down low", "raise the right hand up", "flip"]
CAPTIONS = ["a person walks", "a person steps backward", "the left hand goes up", "he waves", "the right hand goes up",
            "a person does a backflip"]  # fmt: skip
CLASSES = ["walk", "walk", "raise", "wave", "raise", "flip"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    vectors = unit(np.random.default_rng(0).normal(size=(6, 160)))
    sides = ["", "", "left", "", "right", ""]
    PhraseIndex(KEYS, [{"": c} for c in CAPTIONS], CLASSES, sides, {}, {}, vectors).save(tmp_path)
    return tmp_path


def changed(folder: Path, change: Callable[[dict[str, np.ndarray], dict[str, object]], object]) -> None:
    held = read_file(folder / FILE, "book", lambda held: held)
    assert held is not None
    about, arrays = dict(held.about), {k: v for k, v in held.arrays.items() if k != "about"}
    change(arrays, about)
    write_file(folder / FILE, about, arrays)


def refuse(*_: object) -> None:
    raise AssertionError("derived anew")


def same(one: PhraseIndex, other: PhraseIndex) -> None:
    for name in Marks.__dataclass_fields__:
        mine, its = getattr(one.marks, name), getattr(other.marks, name)
        assert mine.dtype == its.dtype and np.array_equal(mine, its), name
    words, others = one.index.words, other.index.words
    assert list(words.words) == list(others.words)
    for name in ("starts", "texts", "weights", "norms"):
        assert np.array_equal(getattr(words, name), getattr(others, name)), name


def test_marks_of_words() -> None:
    found = derive_marks(KEYS, [{"": c} for c in CAPTIONS], CLASSES)
    assert found.backward.tolist() == [False, True, False, False, False, False]
    assert found.said_backward.tolist() == [False, True, False, False, False, True]
    assert found.against("up").tolist() == [k == "wave down low" for k in KEYS]
    assert found.against("down").tolist() == [k.endswith("up") for k in KEYS]
    assert found.named.tolist() == ["left" in k or "right" in k for k in KEYS]
    assert found.literal.tolist() == [True, *[False] * 5]
    assert found.sided("left").tolist() == found.sided("right").tolist() == [c == "raise" for c in CLASSES]
    assert found.group.tolist() == [2, 2, 1, 3, 1, 0]


def test_a_saved_book_is_read_not_derived(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    anew = PhraseIndex(KEYS, [{"": c} for c in CAPTIONS], CLASSES, [""] * 6, {}, {}, np.zeros((6, 4), np.float32))
    _ = anew.index.words
    monkeypatch.setattr(phrase_index, "derive_marks", refuse)
    monkeypatch.setattr(WordIndex, "of", refuse)
    again = PhraseIndex.load(folder)
    assert again is not None and isinstance(again.index.stored, Reduced)
    same(again, anew)
    before = (folder / FILE).read_bytes()
    again.save(folder)  # what was rounded once is not rounded again
    assert (folder / FILE).read_bytes() == before


@pytest.mark.parametrize("version", [None, VERSION + 1])
def test_files_without_marks_or_of_other_rules_are_derived_anew(folder: Path, version: int | None) -> None:
    whole = PhraseIndex.load(folder)

    def change(arrays: dict[str, np.ndarray], about: dict[str, object]) -> None:
        if version is None:
            for name in [k for k in arrays if k.startswith("word_") or k in ("flags", "group")]:
                del arrays[name]
            del about["derived"], about["words"]
        else:
            about["derived"] = version
            arrays["flags"] = ~arrays["flags"]

    changed(folder, change)
    found = PhraseIndex.load(folder)
    assert whole is not None and found is not None
    same(found, whole)


@pytest.mark.parametrize("change", [
    lambda a, _: a.pop("word_norms"), lambda a, _: a.update(flags=a["flags"][:, 1:]),
    lambda a, _: a.update(flags=a["flags"].astype(np.int8)), lambda a, _: a.update(group=a["group"] + 6),
    lambda a, _: a.update(word_texts=a["word_texts"] - 1),
    lambda a, _: a.update(word_starts=a["word_starts"][::-1].copy()),
    lambda a, _: a.update(word_norms=a["word_norms"] * 0), lambda a, _: a.update(word_weights=a["word_weights"][1:]),
    lambda a, _: a.update(basis=a["basis"][:, 1:]), lambda a, _: a.update(which=a["which"][1:]),
    lambda _, about: about.pop("words"),
])  # fmt: skip
def test_damaged_marks_are_told_in_one_line(
    folder: Path, change: Callable[[dict[str, np.ndarray], dict[str, object]], object]
) -> None:
    changed(folder, change)
    with pytest.raises(UserError, match="not a readable phrase index") as e:
        PhraseIndex.load(folder)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("rank", [0, 12])
def test_reduced_vectors_are_compared_as_they_are(rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avatargpt.requests.vector_index.BLOCK", 7)  # the last block is a short one
    vectors = unit(np.random.default_rng(1).normal(size=(50, 24)))
    few = reduced(vectors, rank)
    np.testing.assert_allclose(few.products(vectors[:3]), vectors[:3] @ few.full().T, atol=1e-6)
    assert np.allclose(few.full(np.array([3, 1])), few.full()[[3, 1]], atol=1e-6)
    held = Stored({}, {"vectors": few.rows, "scale": few.scale, **({} if few.basis is None else {"basis": few.basis})})
    assert np.array_equal(held.vectors(50), few.full())


def test_the_packaged_book_holds_what_these_rules_derive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails where a rule was changed but the file was not: raise `VERSION` and save the file anew
    (`scripts/train.py phrase-index --earlier avatargpt/weights -o avatargpt/weights`)."""
    path = resources.PACKAGE / "weights"
    if not (path / FILE).is_file():
        pytest.skip("this checkout carries no weights")
    with monkeypatch.context() as patch:
        patch.setattr(phrase_index, "derive_marks", refuse)
        book = PhraseIndex.load(path)
    monkeypatch.setattr(phrase_index, "VERSION", -1)
    anew = PhraseIndex.load(path)
    assert book is not None and anew is not None
    same(book, anew)
