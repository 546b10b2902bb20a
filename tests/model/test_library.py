"""The library of examples: looking up, sides, threshold, its file, damaged and foreign ones."""

from __future__ import annotations

import tracemalloc
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from avatargpt.requests.exemplars import (
    EXAMPLES,
    FILE,
    Entry,
    ExemplarBank,
    check_retrieval,
    example_slots,
    open_exemplars,
)
from instruct_data.registry import get_task
from vqvae.errors import UserError

WORDS = ["drink", "wave", "clap", "reach", "hand", "left", "right", "high", "juggle"]


class CountingGrounder:
    """Sentence vectors that count known words: near texts share words."""

    def sentence(self, texts: Sequence[str]) -> np.ndarray:
        rows = np.array([[float(w in t) for w in WORDS] for t in texts]) + 1e-3
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def entry(name: str, *captions: str, tokens: int = 5, levels: int = 3) -> Entry:
    codes = (np.arange(tokens * levels).reshape(tokens, levels) + 1000 * len(name)).astype(np.uint16)
    return Entry(name, codes, captions, "ours")


def make(*entries: Entry, fingerprint: str = "print") -> ExemplarBank:
    said = list({c for e in entries for c in e.captions})
    vectors = CountingGrounder().sentence(said) if said else []
    return ExemplarBank(entries, dict(zip(said, vectors, strict=True)), fingerprint)


@pytest.fixture
def exemplars() -> ExemplarBank:
    return make(
        entry("a", "drinks", "takes a drink with the right hand"), entry("bb", "waves the left hand", "wave"),
        entry("ccc", "waves the right hand"), entry("dddd", "claps", tokens=24), entry("eeeee", "reaches high"),
    )  # fmt: skip


def names(exemplars: ExemplarBank, text: str, count: int = 1, **more: object) -> list[str]:
    (found,) = exemplars.nearest([text], CountingGrounder(), count, **more)  # type: ignore[arg-type]
    return [e.name for e in found]


def test_nearest_by_any_of_the_captions(exemplars: ExemplarBank) -> None:
    assert names(exemplars, "a drink, please") == ["a"]
    assert names(exemplars, "someone claps") == ["dddd"]
    assert names(exemplars, "wave a hand", 2) == ["bb", "ccc"]
    both = exemplars.nearest(["drink", "clap"], CountingGrounder())
    assert [[e.name for e in found] for found in both] == [["a"], ["dddd"]]


def test_sides_are_never_mixed_up(exemplars: ExemplarBank) -> None:
    assert names(exemplars, "wave the left hand", 5)[0] == "bb"
    assert "bb" not in names(make(entry("bb", "waves the left hand")), "wave the right hand")
    assert names(exemplars, "wave the right hand")[0] == "ccc"


def test_what_is_too_far_is_no_example(exemplars: ExemplarBank) -> None:
    assert names(exemplars, "juggles") == []
    assert names(exemplars, "reach high", 5) == ["eeeee"]
    assert names(exemplars, "reach with a hand", 5, least=0.99) == []
    assert names(exemplars, "drink", 0) == []
    assert names(make(), "drink") == []


def test_words_in_common_decide_between_equal_vectors() -> None:
    tie = make(entry("a", "reaches up"), entry("bb", "reaches down low"), entry("ccc", "reaches ahead"))
    assert names(tie, "reaches down") == ["bb"]


def test_seeds_choose_between_equals() -> None:
    same = make(*(entry("x" * n, "claps") for n in range(1, 7)))
    assert names(same, "claps") == names(same, "claps") == ["x"]
    drawn = [names(same, "claps", seeds=[s])[0] for s in range(60)]
    assert len(set(drawn)) == 6 and drawn == [names(same, "claps", seeds=[s])[0] for s in range(60)]
    near = make(entry("a", "claps"), entry("bb", "claps a hand"))
    assert {names(near, "claps", seeds=[s])[0] for s in range(20)} == {"a"}  # never for what is further away


def test_file_keeps_everything(exemplars: ExemplarBank, tmp_path: Path) -> None:
    exemplars.save(tmp_path)
    again = ExemplarBank.load(tmp_path)
    assert again is not None and again.fingerprint == "print" and again.captions == exemplars.captions
    for a, b in zip(exemplars.entries, again.entries, strict=True):
        assert (a.name, a.captions, a.licence) == (b.name, b.captions, b.licence)
        np.testing.assert_array_equal(a.codes, b.codes)
    assert (exemplars.index.vectors * again.index.vectors).sum(1).min() > 0.999
    assert names(again, "wave a hand", 2) == names(exemplars, "wave a hand", 2)
    assert ExemplarBank.load(tmp_path / "nothing") is None


def test_damaged_files_are_refused(exemplars: ExemplarBank, tmp_path: Path) -> None:
    path = exemplars.save(tmp_path)
    data = load_file(path)
    whole = path.read_bytes()
    for change in (
        lambda: path.write_bytes(whole[:-10]), lambda: path.write_bytes(b""),
        lambda: save_file({**data, "about": data["about"][:-5]}, path),
        lambda: save_file({**data, "lengths": data["lengths"][:-1]}, path),
        lambda: save_file({**data, "lengths": data["lengths"] * 0}, path),
        lambda: save_file({k: v for k, v in data.items() if k != "codes"}, path),
    ):  # fmt: skip
        change()
        with pytest.raises(UserError) as e:
            ExemplarBank.load(tmp_path)
        assert "\n" not in str(e.value) and ("library" in str(e.value))


def test_a_file_that_would_unfold_to_gigabytes_is_refused(exemplars: ExemplarBank, tmp_path: Path) -> None:
    path = exemplars.save(tmp_path)
    data = load_file(path)
    many = 4_000_000  # vectors of 96 numbers, and of 384 once they are unfolded

    def deflated(count: int) -> np.ndarray:
        return np.frombuffer(zlib.compress(bytes(count), 9), np.uint8)

    for change in (
        {"vectors": deflated(96 * many), "scale": np.ones((many, 1), np.float32)},
        {"vectors": deflated(30 << 20), "scale": np.ones((15 << 20, 1), np.float32)},
        {"about": deflated(1 << 30)},
    ):
        save_file({**data, **change}, path)
        tracemalloc.start()
        with pytest.raises(UserError, match="not a readable library"):
            ExemplarBank.load(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 512 << 20
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("entries", "says"),
    [([entry("a", "x"), entry("a", "y")], "'a' is in it already"), ([entry("a")], "no caption"),
     ([entry("a", " ")], "no caption"), ([entry("a", "x", tokens=25)], "accepted 1 to 24"),
     ([entry("a", "x", tokens=0)], "accepted 1 to 24"), ([entry("a", "x"), entry("bb", "x", levels=2)], "2 levels")],
)  # fmt: skip
def test_bad_clips_are_refused(entries: list[Entry], says: str) -> None:
    with pytest.raises(UserError, match=says):
        make(*entries)


def test_merging_replaces_clips_of_the_same_name(exemplars: ExemplarBank) -> None:
    merged = exemplars.merged(make(entry("a", "claps twice"), entry("new", "juggles")))
    assert [e.name for e in merged.entries] == ["bb", "ccc", "dddd", "eeeee", "a", "new"]
    assert next(e for e in merged.entries if e.name == "a").captions == ("claps twice",)
    with pytest.raises(UserError, match="another tokenizer"):
        exemplars.merged(make(entry("z", "x"), fingerprint="other"))


def test_model_folder_and_user_folder(exemplars: ExemplarBank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, user = tmp_path / "model", tmp_path / "user"
    monkeypatch.setenv("AVATARGPT_HOME", str(user))
    with pytest.raises(UserError, match="no such file"):
        open_exemplars(model, "print")
    exemplars.save(model)
    assert len(open_exemplars(model, "print")) == 5
    make(entry("mine", "juggles")).save(user)
    assert names(open_exemplars(model, "print"), "juggles", least=0.0)[0] and len(open_exemplars(model, "print")) == 6
    (model / FILE).unlink()
    assert [e.name for e in open_exemplars(model, "print").entries] == ["mine"]
    with pytest.raises(UserError, match=str(user)):
        open_exemplars(model, "other")


def test_slots_fit_the_task() -> None:
    codes = [np.zeros((3, 2), int), np.ones((4, 2), int)]
    task = get_task("text_to_motion")
    for count in range(EXAMPLES + 1):
        text = task.render({"caption": "a person waves", **example_slots(codes[:count])}).text
        assert text.count("example: <body x") == text.count("<body x") == count
    check_retrieval(EXAMPLES)
    for bad in (-1, EXAMPLES + 1):
        with pytest.raises(UserError, match="accepted 0 to 2"):
            check_retrieval(bad)
