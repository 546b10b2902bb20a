"""`Words`: words at frames, stresses, phrases, and times that cannot be."""

import numpy as np
import pytest

from avatargpt.speech.phones import Phone
from avatargpt.speech.words import Word, Words, checked_words
from vqvae.errors import UserError

HELLO = Word("hello", 0.1, 0.5, (Phone("HH", 0.1, 0.2), Phone("AH", 0.2, 0.25, 0), Phone("L", 0.25, 0.3),
                                 Phone("OW", 0.3, 0.5, 1)), 0.9)  # fmt: skip
SAID = Words((HELLO, Word("there", 0.5, 0.8), Word("you", 1.2, 1.4)), 2.0, "test")


def test_the_word_at_every_frame() -> None:
    assert SAID.at(10, 20).tolist() == [-1, 0, 0, 0, 0, 1, 1, 1, -1, -1, -1, -1, 2, 2, -1, -1, -1, -1, -1, -1]
    assert SAID.at(30, 0).shape == (0,)
    hour = Words((Word("late", 3600.0, 3601.0),))
    at = hour.at(30000 / 1001, 107_930)
    assert int(np.flatnonzero(at == 0)[0]) == 107_893  # the first frame at or after 3600 s: 107892.1 frames
    for fps, frames in ((0, 5), (float("nan"), 5), (30, -1), (2000, 5)):
        with pytest.raises(UserError, match="accepted: 0 or more"):
            SAID.at(fps, frames)


def test_stresses_and_phrases() -> None:
    (stress,) = SAID.stresses
    assert (stress.word, stress.start, stress.end) == (0, 0.3, 0.5)
    assert [(p.first, p.stop, p.start, p.end) for p in SAID.phrases()] == [(0, 2, 0.1, 0.8), (2, 3, 1.2, 1.4)]
    assert len(SAID.phrases(0.5)) == 1
    assert SAID.text == "hello there you"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "no words"),
        ([Word("a", -1.0, 1.0)], "from 0 on"),
        ([Word("a", float("nan"), 1.0)], "from 0 on"),
        ([Word("a", 1.0, 0.5)], "ends at 0.5 s, before it begins"),
        ([Word("a", 0.0, 1.0), Word("b", 0.5, 1.5)], "begins at 0.5 s, before a ends"),
        ([Word("a", 1.0, 1.2), Word("b", 0.2, 0.3)], "begins at 0.2 s"),
        ([Word("a", 0.0, 2.5)], "the sound ends at 2 s"),
    ],
)
def test_times_that_cannot_be(words: list[Word], says: str) -> None:
    with pytest.raises(UserError, match=says):
        Words(tuple(words), 2.0)


def test_what_is_slightly_off_is_put_right_and_told() -> None:
    words = checked_words("x.ctm", [Word("a", 0.0, 0.55), Word("b", 0.5, 0.9), Word("c", 0.9, 2.05)], "CTM", 2.0)
    assert [(w.start, w.end) for w in words.words] == [(0.0, 0.5), (0.5, 0.9), (0.9, 2.0)]
    assert len(words.notes) == 2 and all(note.startswith("x.ctm: 1 words ended after") for note in words.notes)
    with pytest.raises(UserError, match=r"x.ctm: word 2 \(b\): begins at 0.5 s"):
        checked_words("x.ctm", [Word("a", 0.0, 0.8), Word("b", 0.5, 0.9)], "CTM")
