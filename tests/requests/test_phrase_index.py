"""The phrase index: what clauses are read as, the captions that show it, words in common, files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatargpt import resources
from avatargpt.reading.body import likeliest
from avatargpt.reading.network import ReadingConfig, ReadingNetwork
from avatargpt.reading.reader import MIN_KNOWN, Names
from avatargpt.reading.store import save_network
from avatargpt.requests.clause_spec import AT_REST
from avatargpt.requests.english import SEVERAL, Manners, WordIndex, lemmas, times
from avatargpt.requests.phrase_index import FILE, MIN_ALTERNATIVE, PhraseIndex, agreement
from avatargpt.requests.vector_index import Reduced, StoredVectors, read_file, reduce_vectors, unit, write_file
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


def test_sides_are_never_mixed_up(book: PhraseIndex) -> None:
    for side in ("left", "right"):
        found = book.clauses(f"please wave that {side} hand", GROUNDER)
        assert [p.caption for p in found] == [f"the {side} hand waves"]


def test_styles_and_lengths(book: PhraseIndex) -> None:
    assert book.clauses("walk feebly", GROUNDER)[0].caption == "an old person walks"
    assert book.clauses("walk", GROUNDER)[0].lengths == (4, 8)


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


@pytest.mark.parametrize(("times", "caption"), [
    (None, "a person waves"), (1, "a person waves"), (2, "a person waves twice"),
    (5, "a person waves four times"),  # the nearest number there is
])  # fmt: skip
def test_how_often_is_told(times: int | None, caption: str, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = ["a person waves", "a person waves twice", "a person waves four times"]
    book = index_of(keys, keys, ["wave"] * 3, near=["wave"] * 3)
    book.attributes = {keys[1]: {"times": 2}, keys[2]: {"times": 4}}
    monkeypatch.setattr("avatargpt.requests.phrase_index.OVERLAP_WEIGHT", 0.0)  # in so small a book words weigh more
    (found,) = book.look_up([Clause(action="wave", times=times)], GROUNDER)
    assert found.caption == caption


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
    class Says:
        written = True

        def read(self, text: str) -> MotionRequest:
            if "bow" in text:
                raise UserError("0.5 times")
            turned = Clause(action="turns", turn=180.0, side="right", style="slowly")
            return MotionRequest(clauses=[Clause(action=text), turned])

    with pytest.raises(ValueError, match="no reading network"):
        book.read_captions()
    book.reads = Says()  # type: ignore[assignment]
    book.read_captions()
    told = {"side": "right", "turn": 180.0, "style": True, "more": 1}
    assert book.attributes == {"a person walks": told}  # the one other caption that is a phrasing cannot be read
    book.read_captions(["the left hand waves"])
    assert book.attributes["the left hand waves"] == {**told, "side": "left"}, "the words name the side"


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_phrasing_of_the_other_side_says_nothing_of_the_caption(side: str) -> None:
    """Though it is nearer: the captions of phrasings are those of their sides."""
    keys = ["raise arm with the left", "raise arm with the right"]
    near = GROUNDER.sentence([f"raise the {side} hand"])
    away = np.linalg.svd(near)[2][1:2]
    vectors = np.repeat(near, 2, 0)
    vectors[["left", "right"].index(side)] = 0.8 * near + np.sqrt(1 - 0.8**2) * away
    one = index_of(keys, ["the left one goes up", "the right one goes up"], ["raise"] * 2, ["left", "right"], vectors)
    asked = Clause(action="raise hand", side=side)  # type: ignore[arg-type]
    assert [p.caption for p in one.look_up([asked], GROUNDER)] == [f"the {side} one goes up"]


class Reads:
    """Takes every text for one of two names, with these probabilities."""

    def __init__(self, *names: tuple[str | None, float]) -> None:
        self.given = names

    def read(self, text: str) -> MotionRequest:
        return MotionRequest(clauses=[Clause(action=text, **likeliest(self.given))], text=text)

    def names(self, texts: list[str]) -> list[Names]:
        return [self.given for _ in texts]


@pytest.mark.parametrize(("names", "known", "sure"), [
    ((("bow", 0.9), ("walk", 0.06), (None, 0.04)), True, 0.96), ((("bow", MIN_KNOWN), (None, 0.2)), True, 0.8),
    ((("bow", MIN_KNOWN - 0.05), ("walk", 0.2), (None, 0.1)), False, 1.05 - MIN_KNOWN),  # none of them is likely
    (((None, 0.7), ("bow", 0.2)), False, 0.7),
])  # fmt: skip
def test_the_reader_says_what_is_meant_and_what_is_unknown(
    names: Names, known: bool, sure: float, book: PhraseIndex
) -> None:
    """Whatever the words are near to; what is not known is shown by the likeliest of those that are."""
    book.reads = Reads(*names)  # type: ignore[assignment]
    for (spec,) in (book.clauses("wave the left hand, please", GROUNDER), [book.clause("walk on", GROUNDER)]):
        assert (spec.action, spec.caption) == ("bow", "a person bows")
        assert spec.known == pytest.approx(sure if known else 0.0) and (spec.known >= MIN_KNOWN) is known
    (clause,) = book.read("wave the left hand, please").clauses
    assert (clause.name, clause.known, clause.sure) == ("bow", known, pytest.approx(sure))


def test_captions_are_those_of_the_very_clauses(book: PhraseIndex) -> None:
    """Which their makers know again, whether they had been read or not."""
    book.reads = Reads(("bow", 0.9), (None, 0.1))  # type: ignore[assignment]
    clauses = [Clause(action="wave"), Clause(action="walk", name="walk"), Clause(action="turn", turn=90.0, side="left")]
    found = book.look_up(clauses, GROUNDER)
    assert all(s.clause is c for s, c in zip(found, clauses, strict=True))
    assert [s.action for s in found[:2]] == ["bow", "walk"]


def test_what_the_reader_may_have_meant_is_an_alternative(book: PhraseIndex) -> None:
    near = ("bow", 0.6), ("wave left", 0.3), ("walk", MIN_ALTERNATIVE / 2), (None, 0.01)
    book.reads = Reads(*near)  # type: ignore[assignment]
    (spec,) = book.clauses("greet them", GROUNDER)
    assert [(s.action, s.caption) for s in spec.alternatives] == [("wave left", "the left hand waves")]


def test_a_name_that_the_index_lacks_keeps_the_words(book: PhraseIndex) -> None:
    book.reads = Reads(("somersault", 0.9), (None, 0.1))  # type: ignore[assignment]
    (spec,) = book.clauses("somersaults", GROUNDER)
    assert (spec.caption, spec.action, spec.known) == ("somersaults", "", 0.0)


def test_a_known_caption_is_read_as_itself(book: PhraseIndex) -> None:
    book.attributes["a person walks"] = {"tempo": "fast", "more": 1}
    book.reads = Reads(("bow", 0.9), (None, 0.1))  # type: ignore[assignment]
    (clause,) = book.read("A person  walks.").clauses
    assert (clause.name, clause.known, clause.sure, clause.tempo) == ("walk", True, 1.0, "fast")
    (spec,) = book.clauses("A person  walks.", GROUNDER)
    assert (spec.caption, spec.action, spec.known) == ("a person walks", "walk", 1.0)
    assert book.read("wave the left hand").clauses[0].name == "bow", "a phrasing is no caption"
    book.user_actions = frozenset(["wave left"])
    assert book.read("wave the left hand").clauses[0].name == "wave left"


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


def same_words(one: PhraseIndex, other: PhraseIndex) -> None:
    words, others = one.index.words, other.index.words
    assert list(words.words) == list(others.words)
    for name in ("starts", "texts", "weights", "norms"):
        assert np.array_equal(getattr(words, name), getattr(others, name)), name


def test_a_saved_book_is_read_not_derived(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    anew = PhraseIndex(KEYS, [{"": c} for c in CAPTIONS], CLASSES, [""] * 6, {}, {}, np.zeros((6, 4), np.float32))
    _ = anew.index.words
    monkeypatch.setattr(WordIndex, "of", refuse)
    again = PhraseIndex.load(folder)
    assert again is not None and isinstance(again.index.stored, Reduced)
    same_words(again, anew)
    before = (folder / FILE).read_bytes()
    again.save(folder)  # what was rounded once is not rounded again
    assert (folder / FILE).read_bytes() == before


@pytest.mark.parametrize("change", [
    lambda a, _: a.pop("word_norms"), lambda a, _: a.update(word_texts=a["word_texts"].astype(np.int32) - 1),
    lambda a, _: a.update(word_texts=a["word_texts"].astype(np.float32)),
    lambda a, _: a.update(word_starts=a["word_starts"][::-1].copy()),
    lambda a, _: a.update(word_norms=a["word_norms"] * 0), lambda a, _: a.update(word_weights=a["word_weights"][1:]),
    lambda a, _: a.update(basis=a["basis"][:, 1:]), lambda a, _: a.update(which=a["which"][1:]),
    lambda a, _: a.update(which=a["which"] + 6), lambda a, _: a.update(side=a["side"] + 2),
    lambda _, about: about.pop("words"),
])  # fmt: skip
def test_damaged_books_are_told_in_one_line(
    folder: Path, change: Callable[[dict[str, np.ndarray], dict[str, object]], object]
) -> None:
    changed(folder, change)
    with pytest.raises(UserError, match="not a readable phrase index") as e:
        PhraseIndex.load(folder)
    assert "\n" not in str(e.value)


TINY: dict[str, Any] = {"hidden": 32, "heads": 2, "layers": 1, "wide": 16, "writer": [5], "spoken": [1037, 1041]}


def test_the_actions_of_a_user_are_read_as_such(folder: Path) -> None:
    """A network that has not learnt them is told of them by their phrasings."""
    tables = {"actions": ["flip", "raise", "walk"], "faces": ["smile"]}
    save_network(ReadingNetwork(ReadingConfig(tables=tables, **TINY), start=False), folder)
    plain = PhraseIndex.load(folder)
    assert plain is not None and plain.reads is not None
    assert plain.reads.reader.names["actions"] == tables["actions"]
    plain.user_actions = frozenset(["wave"])
    plain.save(folder)
    grown = PhraseIndex.load(folder)
    assert grown is not None and grown.reads is not None
    assert grown.reads.reader.names["actions"] == [*tables["actions"], "wave"]
    ((best, *_),) = grown.reads.names(["wave down low"])
    assert best[0] == "wave"


def test_the_packaged_book_and_reader_know_the_same_actions() -> None:
    path = resources.PACKAGE / "weights"
    if not (path / FILE).is_file():
        pytest.skip("this checkout carries no weights")
    book = PhraseIndex.load(path)
    assert book is not None and book.reads is not None
    assert set(book.reads.reader.names["actions"]) == set(book.classes)
    usual = {action: book.captions[int(rows[0])][""] for action, rows in book.members.items()}
    assert {a for a, caption in usual.items() if caption not in book.rows} == set()


@pytest.mark.parametrize("rank", [0, 12])
def test_reduced_vectors_are_compared_as_they_are(rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avatargpt.requests.vector_index.BLOCK", 7)  # the last block is a short one
    vectors = unit(np.random.default_rng(1).normal(size=(50, 24)))
    few = reduce_vectors(vectors, rank)
    np.testing.assert_allclose(few.products(vectors[:3]), vectors[:3] @ few.full().T, atol=1e-6)
    assert np.allclose(few.full(np.array([3, 1])), few.full()[[3, 1]], atol=1e-6)
    held = StoredVectors(
        {}, {"vectors": few.rows, "scale": few.scale, **({} if few.basis is None else {"basis": few.basis})}
    )
    assert np.array_equal(held.vectors(50), few.full())