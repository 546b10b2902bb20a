"""Requests of faces in time: what each attribute of a clause does to the score."""

from __future__ import annotations

from typing import Any

import pytest

from avatargpt.face.instructions.timing import FAINT, arrange, is_beyond, is_timed
from instruct_data.face.score import Emotion, Event, Score
from instruct_data.requests.spec import FaceClause, FaceRequest
from vqvae.errors import UserError

LENGTHS = {"smile": 1.5, "nod": 1.0, "blink": 0.4, "wink_left": 0.4, "wink_right": 0.4}


def read(words: str) -> Score:
    """As a parser reads the words of a clause."""
    name = words.replace(" ", "_")
    if name in LENGTHS:
        return Score(4.0, (Event(name, 0.2, LENGTHS[name]),), (), words)
    if name in ("happy", "sad", "neutral"):
        return Score(5.0, (), (Emotion(name, 0.7, 0.0, 5.0),), words)
    return Score(4.0, (), (), words)


def score(*clauses: dict[str, Any], seconds: float | None = None, words: Any = (), **options: Any) -> Score:
    request = FaceRequest(clauses=[FaceClause(**c) for c in clauses], **options)
    arranged = arrange(request, read, seconds, words)
    assert arranged is not None
    return arranged


def starts(s: Score) -> list[tuple[str, float]]:
    return [(e.action, round(e.start, 2)) for e in s.events]


WORDS = [("hello", 0.5, 1.0), ("you", 1.2, 1.5), ("there", 1.6, 2.0)]


@pytest.mark.parametrize(
    ("clauses", "options", "expected"),
    [
        ([{"action": "smile"}, {"action": "nod", "wait": 3.0}], {}, [("smile", 0.2), ("nod", 4.7)]),
        ([{"action": "smile", "wait": 2.0}], {}, [("smile", 2.0)]),
        ([{"action": "nod", "at": 18.0}, {"action": "blink"}], {}, [("nod", 18.0), ("blink", 19.3)]),
        ([{"action": "smile"}, {"action": "nod", "together": True}], {}, [("smile", 0.2), ("nod", 0.2)]),
        ([{"action": "blink", "every": 2.0}], {"seconds": 9.0}, [("blink", t) for t in (2.0, 4.0, 6.0, 8.0)]),
        ([{"action": "blink", "every": 2.0}], {}, [("blink", t) for t in (2.0, 4.0, 6.0)]),
        ([{"action": "blink", "times": 3, "pause": 1.0}], {}, [("blink", 0.2), ("blink", 1.6), ("blink", 3.0)]),
        ([{"action": "smile", "from_share": 0.5}], {"seconds": 8.0}, [("smile", 4.0)]),
        ([{"action": "nod", "word": "you there"}], {"words": WORDS}, [("nod", 1.2)]),
        ([{"action": "nod", "word": "hello", "moment": "after"}], {"words": WORDS}, [("nod", 1.0)]),
        ([{"action": "smile"}, {"action": "blink", "denied": True}], {}, [("smile", 0.2)]),
        ([{"action": "move", "denied": True, "seconds": 6.0}, {"action": "nod"}], {}, [("nod", 6.0)]),
    ],
)  # fmt: skip
def test_when_actions_begin(clauses: list[dict[str, Any]], options: dict[str, Any], expected: Any) -> None:
    assert starts(score(*clauses, **options)) == expected


def test_lengths_and_repetitions() -> None:
    late = score({"action": "nod", "at": 18.0}, {"action": "blink"})
    assert late.timed and late.length > 19.7
    (nods,) = score({"action": "nod", "times": 12}).events
    assert nods.repeat == 12 and nods.duration == pytest.approx(12.0)
    sides = ({"action": "wink left"}, {"action": "wink right"})
    turns = score(*sides, alternating=True, in_all=3)
    assert [a for a, _ in starts(turns)] == ["wink_left", "wink_right", "wink_left"]
    assert len(score(*sides, alternating=True, rounds=3).events) == 6
    (sad,) = score({"action": "sad", "to_share": 0.25}, seconds=8.0).emotions
    assert (sad.start, sad.end) == (0.0, 2.0)
    assert score({"action": "smile", "until_end": True}, seconds=6.0).events[0].end == pytest.approx(6.0)
    assert score({"action": "smile"}, {"action": "blink", "denied": True}).denied == ("blink",)
    assert score({"action": "move", "denied": True}).denied == ("still",)
    for clause, message in (({"action": "blink", "every": 0.1}, r"every 0\.1"),
                            ({"action": "nod", "at": 18.0}, "accepted before 4")):  # fmt: skip
        with pytest.raises(UserError, match=message):
            score(clause, seconds=4.0)


def test_what_grows_and_fades() -> None:
    grown = score({"action": "smile", "course": "rising", "seconds": 5.0})
    assert grown.events[0].rise * grown.events[0].duration == pytest.approx(5.0, abs=0.02)
    felt = score({"action": "sad", "course": "rising"}, seconds=8.0).emotions
    assert (felt[0].intensity, felt[0].to) == (FAINT, 0.7) and felt[-1].end == 8.0
    gone = score({"action": "sad", "course": "fading", "seconds": 5.0}).emotions[0]
    assert (gone.intensity, gone.to, gone.end) == (0.7, FAINT, 5.0)
    faded = score({"action": "smile", "course": "fading", "seconds": 4.0}).events
    strengths = [e.intensity for e in faded]
    assert strengths == sorted(strengths, reverse=True) and faded[-1].end == pytest.approx(4.2)
    crossed = score({"action": "happy"}, {"action": "sad", "course": "rising", "seconds": 4.0}).emotions
    assert [(f.name, f.start, f.to) for f in crossed[:2]] == [("happy", 0.0, FAINT), ("sad", 0.0, 0.7)]


def test_requests_with_times_or_beyond_the_parser() -> None:
    def request(**clause: Any) -> FaceRequest:
        return FaceRequest(clauses=[FaceClause(action="smile", **clause)])

    assert not is_beyond(request(seconds=3.0, times=2)) and not is_timed(request(seconds=3.0, times=2))
    assert is_beyond(request(seconds=9.0)) and is_beyond(request(every=2.0)) and is_beyond(request(times=9))
    assert is_timed(request(until_end=True)) and not is_beyond(request(until_end=True))
    assert is_beyond(request(word="really"), [("really", 0.0, 0.5)]) and not is_beyond(request(word="really"))


def test_clauses_without_room_are_left_to_the_parser() -> None:
    clauses = [FaceClause(action="smile", seconds=4.0), FaceClause(action="nod")]
    assert arrange(FaceRequest(clauses=clauses), read, 4.0) is None
