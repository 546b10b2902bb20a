"""The caption index: words in common, sides, marks of captions, files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatargpt import resources
from avatargpt.requests import phrase_index
from avatargpt.requests.clause_spec import AT_REST, ClauseSpec
from avatargpt.requests.english import SEVERAL, Manners, WordIndex, lemmas, times
from avatargpt.requests.phrase_index import FILE, MIN_SURE, SAME_WORDS, PhraseIndex, agreement
from avatargpt.requests.phrase_scoring import VERSION, Marks, derive_marks, first_side, requested_side
from avatargpt.requests.vector_index import Reduced, Stored, read_file, reduced, unit, write_file
from instruct_data.requests.spec import Clause, MotionRequest
from tests.factories import CountingGrounder
from vqvae.errors import UserError

GROUNDER: Any = CountingGrounder("walk wave raise hand bow left right arm", 1e-3)


def index_of(keys: list[str], captions: list[str], classes: list[str], sides: Any = None, near: Any = None) -> Any:
    """Phrasings; `near`: texts whose vectors they have, or the vectors, None = their own."""
    vectors = near if isinstance(near, np.ndarray) else GROUNDER.sentence(near or keys)
    return PhraseIndex(keys, [{"": c} for c in captions], classes, sides or [""] * len(keys), {}, {}, vectors)


@pytest.fixture
def book() -> PhraseIndex:
    keys = ["a person walks", "wave the left hand", "wave the right hand", "a person bows"]
    captions = [
        {"": "a person walks", "elderly": "an old person walks"}, {"": "the left hand waves"},
        {"": "the right hand waves"}, {"": "a person bows"},
    ]  # fmt: skip
    vectors = GROUNDER.sentence(keys)
    sides, lengths = ["", "left", "right", ""], {"a person walks": [4, 8]}
    classes = ["walk", "wave left", "wave right", "bow"]
    return PhraseIndex(keys, captions, classes, sides, {"feebly": "elderly"}, lengths, vectors)


def test_the_side_named_first_counts() -> None:
    assert first_side("raise the left hand, the right one hangs") == "left"
    assert first_side("walk") == ""


@pytest.mark.parametrize(
    ("text", "side"),
    [("raise the left hand, then the right one", "left"), ("look left and right", ""), ("lean right or left", ""),
     ("turn left, then raise the right hand", "left"), ("sway to the left and to the right", ""), ("walk", "")],
)  # fmt: skip
def test_a_side_is_requested_where_not_both_are(text: str, side: str) -> None:
    assert requested_side(text) == side


def test_what_is_less_alike_than_two_fifths_keeps_its_words() -> None:
    axis = GROUNDER.sentence(["walk"])[0]
    away = np.linalg.svd(axis[None])[2][1]
    for cosine in (0.45, 0.35):
        vectors = (cosine * axis + np.sqrt(1 - cosine**2) * away)[None]
        found = index_of(["plugh"], ["a person walks"], ["walk"], None, vectors).clauses("walk", GROUNDER)[0]
        assert (found.caption == "a person walks") is (cosine > 0.4), found


def test_sides_are_never_mixed_up(book: PhraseIndex) -> None:
    for side in ("left", "right"):
        found = book.clauses(f"please wave that {side} hand", GROUNDER)
        assert [p.caption for p in found] == [f"the {side} hand waves"]


def test_styles_and_lengths(book: PhraseIndex) -> None:
    assert book.clauses("walk feebly", GROUNDER)[0].caption == "an old person walks"
    assert book.clauses("walk", GROUNDER)[0].lengths == (4, 8)


def test_what_is_far_keeps_its_own_words(book: PhraseIndex) -> None:
    found = book.clauses("xyzzy plugh", GROUNDER, min_similarity=0.9)
    assert found[0].caption == "xyzzy plugh"


def test_save_load_and_damage(book: PhraseIndex, tmp_path: Path) -> None:
    book.save(tmp_path)
    again = PhraseIndex.load(tmp_path)
    assert again is not None
    assert again.keys == book.keys and again.captions == book.captions and again.lengths == book.lengths
    assert again.classes == book.classes and again.sides.tolist() == book.sides.tolist()
    assert np.abs(again.index.vectors - book.index.vectors).max() < 5e-3
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:100])
    with pytest.raises(UserError, match="not a readable phrase index"):
        PhraseIndex.load(tmp_path)
    assert PhraseIndex.load(tmp_path / "none") is None


def test_a_caption_that_tells_more_is_taken_when_it_is_nearer() -> None:
    keys = ["a person waves", "wave the left arm", "say hi with the arm"]
    captions, near = ["a person waves", "wave the left arm", "a person waves"], ["wave", "wave left arm", "bow"]
    book = index_of(keys, captions, ["wave"] * 3, ["", "left", ""], near)
    assert book.clauses("bow with the left raised", GROUNDER)[0].caption == "wave the left arm"
    assert book.clauses("bow", GROUNDER)[0].caption == "a person waves"


def test_an_action_whose_only_caption_belongs_to_another_keeps_it() -> None:
    book = index_of(["a person waves", "say hi"], ["a person waves"] * 2, ["wave", "greet"], near=["wave", "bow"])
    assert book.clauses("bow", GROUNDER)[0].caption == "a person waves"


def test_a_phrasing_that_says_the_same_decides_alone() -> None:
    """Many of another action are near, too; they outvote what is only somewhat nearer."""
    vote = np.array([0.95, 0.88, 0.88, 0.88, 0.87, 0.86])
    keys = [str(i) for i in range(6)]
    book = index_of(keys, keys, ["bow", *["walk"] * 5], near=np.zeros((6, 8), np.float32))
    assert book._vote(vote) == 0
    assert book._vote(vote - [0.04, 0, 0, 0, 0, 0]) == 1  # the lead is too small
    assert book._vote(vote - 0.2) == 1  # none is near


def test_backflips_go_backward_and_faces_do_not() -> None:
    captions = ["a person does a backflip", "a person turns and ends up facing backward", "he walks"]
    book = index_of(["a", "b", "c"], captions, ["x", "y", "z"], near=np.zeros((3, 8), np.float32))
    assert book.marks.said_backward.tolist() == [True, False, False] and not book.marks.backward.any()


@pytest.mark.parametrize(("times", "caption"), [
    (None, "a person waves"), (1, "a person waves"), (2, "a person waves twice"),
    (5, "a person waves four times"),  # the nearest number there is
])  # fmt: skip
def test_how_often_is_told(times: int | None, caption: str, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = ["a person waves", "a person waves twice", "a person waves four times"]
    book = index_of(keys, keys, ["wave"] * 3, near=["wave"] * 3)
    book.attributes = {keys[1]: {"times": 2}, keys[2]: {"times": 4}}
    monkeypatch.setattr("avatargpt.requests.phrase_scoring.OVERLAP_WEIGHT", 0.0)  # in so small a book words weigh more
    (found,) = book.look_up([Clause(action="wave", times=times)], GROUNDER)
    assert found.caption == caption


@pytest.mark.parametrize(("similarity", "sure", "known"), [
    (0.5, 0.9, 0.05), (0.5, 0.2, 0.4), (0.9, MIN_SURE, 0.0), (0.9, MIN_SURE - 0.01, 0.5), (0.99, 1.0, 0.5),
    (SAME_WORDS, 1.0, 1.0),
])  # fmt: skip
def test_the_reader_says_what_is_unknown(
    similarity: float, sure: float, known: float, book: PhraseIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book, "_nearest", lambda lookups, *_: [ClauseSpec("", similarity, known=0.5) for _ in lookups])
    found = book.look_up([Clause(action="bow", known=False, sure=sure), Clause(action="bow", sure=sure)], GROUNDER)
    assert [s.known for s in found] == pytest.approx([known, 1.0 if similarity >= SAME_WORDS else 0.5])


RESTS = ["someone keeps still, sitting", "someone keeps still, standing", "a person bows and stays bowed"]


@pytest.mark.parametrize(("action", "end", "caption"), [
    ("sit down", "sitting", RESTS[0]), ("walk", "standing", RESTS[1]), ("", "", "stand still"),
    ("bow", "standing", RESTS[2]),  # one caption for both
])  # fmt: skip
def test_a_posture_is_kept(action: str, end: str, caption: str) -> None:
    keys = ["a person walks", "a person bows", "a person sits down", "stand still", *RESTS]
    index = index_of(keys, keys, ["walk", "bow", "sit_down", "stand_idle", AT_REST, AT_REST, "bow"])
    for text, posture in zip(RESTS, ("sitting", "standing", "standing"), strict=True):
        index.measured[text] = {"start": posture, "end": posture, "rest": "still"}
    index.measured |= {key: {"end": end} for key in keys[:3]}
    clauses = [Clause(action=action)] if action else []
    request = MotionRequest(clauses=[*clauses, Clause(action="stay bowed" if action == "bow" else "freeze", hold=True)])
    specs = index.resolve(request, GROUNDER)
    kept = specs[-1]
    assert (kept.caption, kept.known, kept.clause) == (caption, 1.0, request.clauses[-1])
    assert len(specs) == (1 if not action or caption == RESTS[2] else 2)
    others = {RESTS[1 - RESTS.index(caption)]} if caption in RESTS[:2] else set()
    assert {s.caption for s in kept.alternatives} >= others  # for another posture of the body than that of the clips


def test_a_posture_is_kept_without_a_caption_of_rest() -> None:
    keys = ["a person walks", "a person bows", "stand still"]
    index = index_of(keys, keys, ["walk", "bow", "stand_idle"])
    request = MotionRequest(clauses=[Clause(action="bow"), Clause(action="stay there", hold=True)])
    assert index.resolve(request, GROUNDER)[-1].caption == "a person bows"


def test_places_that_were_not_asked_for_come_last() -> None:
    keys = ["wave", "a person waves above the head", "a person waves", "a person raises and waves backward"]
    book = index_of(keys, [keys[1], *keys[1:]], ["wave"] * 4)
    for asked, told in (("wave", keys[2]), ("wave above the head", keys[1]), ("raise and wave backwards", keys[3])):
        assert book.clauses(asked, GROUNDER)[0].caption == told


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_caption_of_the_side_that_is_asked_for_is_taken(side: str) -> None:
    """Though another, without a side, is somewhat nearer."""
    keys = ["wave hand", "the left one goes to and fro", "the right one goes to and fro"]
    near = GROUNDER.sentence([f"wave the {side} hand"])
    away = np.linalg.svd(near)[2][1:2]
    vectors = np.concatenate([near, *[0.95 * near + np.sqrt(1 - 0.95**2) * away] * 2])
    one = index_of(keys, keys, ["wave"] * 3, ["", "left", "right"], vectors)
    one.attributes = {keys[1]: {"side": "left"}, keys[2]: {"side": "right"}}
    asked = MotionRequest(clauses=[Clause(action="wave hand", side=side)])
    found = one.resolve(asked, GROUNDER)
    assert [p.caption for p in found] == [f"the {side} one goes to and fro"]


def test_a_caption_that_tells_what_was_not_asked_comes_after_others() -> None:
    plain, other = Clause(action="kick"), Clause(action="kick", turn=360.0, times=3)
    told = {"turn": 360.0, "times": 3, "more": 1}
    assert agreement(plain, told) < 0 < agreement(other, {"turn": 360.0, "times": 3})
    assert agreement(other, told) < agreement(other, {"turn": 360.0, "times": 3})
    assert agreement(plain, {"direction": "forward"}) == 0


def test_a_reader_tells_what_captions_say(book: PhraseIndex) -> None:
    class Reader:
        def read(self, text: str) -> MotionRequest:
            if "bow" in text:
                raise UserError("0.5 times")
            turned = Clause(action="turns", turn=180.0, side="left", style="slowly")
            return MotionRequest(clauses=[Clause(action=text), turned])

    book.read_captions(Reader())
    assert book.attributes and not any("bow" in caption for caption in book.attributes)
    assert all(t == {"side": "left", "turn": 180.0, "style": True, "more": 1} for t in book.attributes.values())


def test_an_action_that_is_done_on_the_side_asked_for_goes_first() -> None:
    """Though one whose captions name no side is somewhat nearer."""
    keys = ["raise hand", "raise arm with the left", "raise arm with the right"]
    near = GROUNDER.sentence(["raise the left hand"])
    away = np.linalg.svd(near)[2][1:2]
    vectors = np.concatenate([near, *[0.92 * near + np.sqrt(1 - 0.92**2) * away] * 2])
    captions, sides = ["a person asks", *keys[1:]], ["", "left", "right"]
    one = index_of(keys, captions, ["ask", "raise", "raise"], sides, vectors)
    for side in ("left", "right"):
        found = one.clauses(f"raise the {side} hand", GROUNDER)
        assert [p.caption for p in found] == [f"raise arm with the {side}"]
    assert one.clauses("raise the hand", GROUNDER)[0].caption == "a person asks"


TEXTS = ["a person walks forward", "a person sneaks about", "someone touches the toes", "a person walks and waves"]


def test_rare_words_decide() -> None:
    index = WordIndex.of(TEXTS)
    assert index.scores("please sneak up on him").argmax() == 1
    assert index.scores("bend over and touch your toes").argmax() == 2
    assert index.scores("walking forward").argmax() == 0
    assert index.scores("a person walks forward")[0] == pytest.approx(1.0, abs=1e-4)
    assert index.scores("xyzzy").max() == 0


def test_unknown_words_lower_the_score() -> None:
    index = WordIndex.of(TEXTS)
    assert index.scores("walks forward into the xyzzy")[0] < index.scores("walks forward")[0]


@pytest.mark.parametrize(
    ("text", "style", "rest"),
    [
        ("an old person runs", "elderly", "an person runs"),
        ("she walks, full of energy", "active", "she walks, of"),
        ("someone without confidence bows", "shy", "someone bows"),
        ("a man waves", "", "a man waves"),
        ("old", "elderly", "old"),  # nothing would be left to look up
        ("climb the playground frame", "", "climb the playground frame"),  # one word of a longer phrase
        ("he walks slowly", "", "he walks slowly"),  # two styles claim the word
    ],
)
def test_manners(text: str, style: str, rest: str) -> None:
    manners = Manners({
        "an old man": "elderly", "like an old person": "elderly", "full of energy": "active", "slowly": "elderly",
        "without confidence": "shy", "like a man": "masculine", "a slowly": "tired",
        "in the playground": "childlike",
    })  # fmt: skip
    assert manners.find(text) == (style, rest)


def test_lemmas_drop_what_says_nothing() -> None:
    assert lemmas("A person is waving with both of her arms") == ["wave", "both", "arm"]


@pytest.mark.parametrize(("text", "count", "more"), [
    ("she claps twice", 2, False), ("jump 5 times", 5, False), ("three jumps or more", 3, True),
    ("throw punches, at least three of them", 3, True), ("kick the air several times", SEVERAL, True),
    ("he keeps jumping", SEVERAL, True), ("turns around once", 1, False), ("do just one spin", 1, False),
    ("wave with both hands", 0, False), ("wave two hands", 0, False), ("stand on one leg", 0, False),
    ("a one-two of the fists", 0, False), ("lift the knees one after the other", 0, False), ("walk on", 0, False),
])  # fmt: skip
def test_how_often_a_text_says(text: str, count: int, more: bool) -> None:
    assert times(text) == (count, more)


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
    monkeypatch.setattr(phrase_index.phrase_scoring, "derive_marks", refuse)
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
        patch.setattr(phrase_index.phrase_scoring, "derive_marks", refuse)
        book = PhraseIndex.load(path)
    monkeypatch.setattr(phrase_index.phrase_scoring, "VERSION", -1)
    anew = PhraseIndex.load(path)
    assert book is not None and anew is not None
    same(book, anew)
