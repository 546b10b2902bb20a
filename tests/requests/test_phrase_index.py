"""Plain wording: splitting, sides, styles, the book's file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatargpt.requests.phrase_index import FILE, PhraseIndex, agreement
from avatargpt.requests.phrase_scoring import first_side
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
