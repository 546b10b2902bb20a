"""Scores as the driver is told them, and fitted to clips."""

from dataclasses import replace

import pytest

from avatargpt.face.instructions.scores import (
    NamedTimes,
    check_times,
    clauses_of,
    feelings_of,
    fill_score,
    fit_score,
    place_score,
    spread_score,
)
from instruct_data.face.score import Emotion, Event, Score
from vqvae.errors import UserError


def test_what_is_read_fills_a_wanted_length() -> None:
    acts = (Event("smile", 0.5, 1.0), Event("nod", 1.5, 0.5))
    score = Score(3.0, acts, (Emotion("happy", 0.5, 0.0, 1.0), Emotion("sad", 0.5, 2.5, 3.0)))
    more = fill_score(score, 4.4)
    assert more.length == 4.4 and [(e.start, e.duration) for e in more.events] == [(1.0, 2.0), (3.0, 1.0)]
    assert [(f.start, f.end) for f in more.emotions] == [(0.0, 2.0), pytest.approx((4.2, 4.4))]
    less = fill_score(score, 1.4)
    assert [(e.start, e.duration) for e in less.events] == [pytest.approx(x) for x in ((0.25, 0.5), (0.75, 0.25))]
    for seconds in (2.0, 2.5):  # they fill it: only the length is another
        same = fill_score(score, seconds)
        assert same.events == score.events and same.length == seconds and place_score(same, seconds, True) == same
    assert fill_score(score, 2.51).events != score.events and fill_score(score, 1.99).events != score.events
    assert fill_score(score, 5.4).events[1].end == pytest.approx(5.0) and fill_score(score, 5.41) is score  # far longer
    felt = Score(2.0, (), score.emotions[:1])
    assert fill_score(felt, 4.0) is felt
    brief = fill_score(Score(2.0, (Event("blink", 0.5, 0.3), Event("wink_left", 1.0, 1.0, repeat=2))), 4.4)
    assert [(e.start, e.duration) for e in brief.events] == [(1.0, 0.3), (2.0, 2.0)]
    beyond = Score(2.0, (Event("nod", 0.5, 3.5),), (Emotion("happy", 0.5, 0.0, 2.0),))  # ends after the clip
    assert fill_score(beyond, 2.4).emotions[0].end == pytest.approx(1.0)


def test_what_is_done_is_spread_over_a_clip_that_is_a_little_longer() -> None:
    score = Score(4.0, (Event("nod", 1.0, 1.0),), (Emotion("happy", 0.5, 0.0, 4.0),))
    more = spread_score(score, 6.0)
    assert (more.length, more.events[0].start, more.events[0].duration, more.emotions[0].end) == (6.0, 1.5, 1.5, 6.0)
    assert spread_score(score, 3.0) is score and spread_score(score, 4.0) is score and spread_score(score, 6.1) is score
    blinks = Score(4.0, (Event("blink", 1.0, 0.3), Event("blink", 2.0, 1.0, repeat=3)))
    assert [(e.start, e.duration) for e in spread_score(blinks, 6.0).events] == [(1.5, 0.3), (3.0, 1.5)]


def test_what_the_driver_is_told() -> None:
    score = Score(
        6.0, (Event("wink_left", 1.0, 0.5, 0.9), Event("nod", 2.0, 2.0, 0.7, 3)),
        (Emotion("tired", 0.8, 0.0, 3.0), Emotion("pained", 0.7, 0.0, 3.0), Emotion("happy", 0.5, 3.0, 6.0)),
    )  # fmt: skip
    first, second = clauses_of(score)
    assert (first.text, first.action, first.strength) == ("wink left", "wink_left", 0.9)
    assert (second.end, second.repeat) == (4.0, 3)
    feelings = feelings_of(score)
    both = ("tired", 0.8, (("pained", 0.7),))
    assert [(f.text, f.strength, f.secondary) for f in feelings] == [both, both, ("happy", 0.5, ())]
    assert feelings[1].second < 3.0 < feelings[2].second < 3.5


def test_a_trace_of_a_feeling_is_told_and_a_fourth_one_is_not() -> None:
    felt = [Emotion(n, i, 0.0, 4.0) for n, i in (("angry", 0.2), ("sad", 0.7), ("tired", 0.1), ("bored", 0.3))]
    (one,) = feelings_of(Score(4.0, (), tuple(felt)))
    assert (one.text, one.secondary, one.max_strength, one.words) == (
        "sad", (("bored", 0.3), ("angry", 0.2)), 0.7, "sad and bored and angry",
    )  # fmt: skip
    rest = feelings_of(Score(4.0, (), (Emotion("neutral", 0.8, 0.0, 2.0),)))
    assert all((f.text, f.max_strength, f.secondary) == ("neutral", 0.0, ()) for f in rest)


def test_one_sided_feelings_take_the_side_of_what_is_done() -> None:
    def told(*acts: str) -> list[str]:
        felt = (Emotion("contempt", 0.7, 0.0, 4.0), Emotion("skeptical", 0.6, 0.0, 4.0), Emotion("sad", 0.5, 0.0, 4.0))
        (one,) = feelings_of(Score(4.0, tuple(Event(a, 0.5, 1.0) for a in acts), felt))
        return [one.text, *(t for t, _ in one.secondary)]

    left, right = ["contempt", "skeptical", "sad"], ["contempt, right", "skeptical, right", "sad"]
    assert told() == told("wink_right") == told("raise_left_brow") == told("smirk_right", "sneer_left") == left
    assert told("raise_right_brow") == told("sneer_right") == right
    assert told("smirk_right", "raise_left_brow") == ["contempt, right", "skeptical", "sad"]


@pytest.mark.parametrize("named", ["clock", "lasting"])
def test_seconds_that_words_say_stay(named: NamedTimes) -> None:
    read = Score(4.0, (Event("smile", 1.0, 2.0),), (Emotion("sad", 0.5, 0.0, 4.0), Emotion("angry", 0.5, 0.5, 2)))
    more = fill_score(read, 7.0, named)
    assert more.events == read.events and (more.length, more.emotions[0].end, more.emotions[1].end) == (7.0, 7.0, 2)
    assert fill_score(read, 6.0).events != read.events
    if named == "clock":
        assert fill_score(read, 2.0, named) is read
    else:
        assert fill_score(read, 2.0, named).events != read.events  # they do not fit


def test_seconds_by_the_clock_stay_in_a_shorter_clip() -> None:
    wink = Score(3.5, (Event("smile", 0.0, 1.0), Event("wink_right", 2.5, 0.9)), (), "at 2.5 s wink right", timed=True)
    cut = fit_score(wink, 3.0).events
    assert [(round(e.start, 2), round(e.end, 2)) for e in cut] == [(0.0, 1.0), (2.5, 3.0)]
    with pytest.raises(UserError, match="wink right at 2.5 s; accepted before 2, the end of the clip"):
        check_times(wink, 2.0)
    free = replace(wink, timed=False)
    check_times(free, 2.0)
    assert fit_score(free, 2.0).events[1].start < 2


def test_only_what_would_be_cut_off_is_squeezed() -> None:
    read = Score(4.0, (Event("nod", 2.0, 1.0),), (Emotion("sad", 0.5, 0.0, 4.0),))
    kept = fit_score(read, 3.5)
    assert kept.events == read.events and (kept.length, kept.emotions[0].end) == (3.5, 3.5)
    assert fit_score(read, 2.8).events[0].start == pytest.approx(1.4)
    late = replace(read, emotions=(Emotion("sad", 0.5, 3.2, 4.0),))
    assert fit_score(late, 3.5).emotions[0].start == pytest.approx(2.8)


def test_scores_are_fitted_to_a_length() -> None:
    score = Score(4.0, (Event("nod", 1.0, 2.0),), (Emotion("sad", 0.5, 0.0, 4.0),))
    half, longer = fit_score(score, 2.0), fit_score(score, 9.0)
    assert (half.events[0].start, half.events[0].duration, half.emotions[0].end) == (0.5, 1.0, 2.0)
    assert (longer.events[0].start, longer.emotions[0].end) == (1.0, 9.0)
    assert feelings_of(fit_score(score, 5000.0))[-1].text == "sad"  # speech of more than an hour
