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


def score(*clauses: dict[str, Any], seconds: float | None = None, words: Any = (), **whole: Any) -> Score:
    request = FaceRequest(clauses=[FaceClause(**c) for c in clauses], **whole)
    found = arrange(request, read, seconds, words)
    assert found is not None
    return found


def starts(s: Score) -> list[tuple[str, float]]:
    return [(e.action, round(e.start, 2)) for e in s.events]


def test_clauses_follow_one_another_after_waits_and_by_the_clock() -> None:
    found = score({"action": "smile"}, {"action": "nod", "wait": 3.0})
    assert starts(found) == [("smile", 0.2), ("nod", 4.7)]
    assert starts(score({"action": "smile", "wait": 2.0})) == [("smile", 2.0)]
    late = score({"action": "nod", "at": 18.0}, {"action": "blink"})
    assert starts(late) == [("nod", 18.0), ("blink", 19.3)] and late.timed and late.length > 19.7
    assert starts(score({"action": "smile"}, {"action": "nod", "together": True})) == [("smile", 0.2), ("nod", 0.2)]


def test_what_comes_again() -> None:
    every = score({"action": "blink", "every": 2.0}, seconds=9.0)
    assert starts(every) == [("blink", t) for t in (2.0, 4.0, 6.0, 8.0)]
    assert len(score({"action": "blink", "every": 2.0}).events) == 3
    often = score({"action": "nod", "times": 12}).events
    assert [(e.repeat, round(e.duration, 2)) for e in often] == [(12, 12.0)]
    apart = score({"action": "blink", "times": 3, "pause": 1.0})
    assert starts(apart) == [("blink", 0.2), ("blink", 1.6), ("blink", 3.0)]
    turns = score({"action": "wink left"}, {"action": "wink right"}, alternating=True, in_all=3)
    assert [a for a, _ in starts(turns)] == ["wink_left", "wink_right", "wink_left"]
    assert len(score({"action": "wink left"}, {"action": "wink right"}, alternating=True, rounds=3).events) == 6
    with pytest.raises(UserError, match=r"every 0\.1"):
        score({"action": "blink", "every": 0.1}, seconds=4.0)


def test_shares_and_ends_of_the_clip() -> None:
    half = score({"action": "smile", "from_share": 0.5}, seconds=8.0).events[0]
    assert half.start == 4.0
    first = score({"action": "sad", "to_share": 0.25}, seconds=8.0).emotions[0]
    assert (first.start, first.end) == (0.0, 2.0)
    kept = score({"action": "smile", "until_end": True}, seconds=6.0).events[0]
    assert kept.end == pytest.approx(6.0)


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


def test_words_of_speech_are_anchors() -> None:
    words = [("hello", 0.5, 1.0), ("you", 1.2, 1.5), ("there", 1.6, 2.0)]
    assert starts(score({"action": "nod", "word": "you there"}, words=words)) == [("nod", 1.2)]
    after = score({"action": "nod", "word": "hello", "moment": "after"}, words=words)
    assert starts(after) == [("nod", 1.0)]


def test_what_is_denied_is_not_done() -> None:
    found = score({"action": "smile"}, {"action": "blink", "denied": True})
    assert starts(found) == [("smile", 0.2)] and found.denied == ("blink",)
    assert score({"action": "move", "denied": True}).denied == ("still",)
    later = score({"action": "move", "denied": True, "seconds": 6.0}, {"action": "nod"})
    assert starts(later) == [("nod", 6.0)]


def test_what_is_taken_apart() -> None:
    def one(**clause: Any) -> FaceRequest:
        return FaceRequest(clauses=[FaceClause(action="smile", **clause)])

    assert not is_beyond(one(seconds=3.0, times=2)) and not is_timed(one(seconds=3.0, times=2))
    assert is_beyond(one(seconds=9.0)) and is_beyond(one(every=2.0)) and is_beyond(one(times=9))
    assert is_timed(one(until_end=True)) and not is_beyond(one(until_end=True))
    assert is_beyond(one(word="really"), [("really", 0.0, 0.5)]) and not is_beyond(one(word="really"))


def test_what_begins_after_the_end_is_refused() -> None:
    with pytest.raises(UserError, match="accepted before 4"):
        score({"action": "nod", "at": 18.0}, seconds=4.0)


def test_what_has_no_room_is_left_to_the_parser() -> None:
    clauses = [FaceClause(action="smile", seconds=4.0), FaceClause(action="nod")]
    assert arrange(FaceRequest(clauses=clauses), read, 4.0) is None
