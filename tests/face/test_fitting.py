"""Times of scores: fitted to a length, and read from words."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from avatargpt.face.audio_model.conditioning import MAX_HOLD, MAX_KEYED, MIN_RISE, Clause, Direction
from avatargpt.face.instructions.scores import (
    FAINT,
    SLOW_RISE,
    NamedTimes,
    arrange,
    check_times,
    clauses_of,
    feelings_of,
    fill_score,
    fit_score,
    in_context,
    is_beyond,
    is_timed,
    place_score,
    slow_actions,
    spread_score,
)
from avatargpt.face.pipeline import FacePipeline
from avatargpt.speech.words import Word
from instruct_data.face.score import Emotion, Event, Score
from instruct_data.requests.spec import FaceClause, FaceRequest
from tests.factories import RandomGrounder
from vqvae.errors import UserError

SAD = Emotion("sad", 0.5, 0.0, 4.0)


def events_of(score: Score) -> list[Any]:
    """(start, duration) of each event, to be compared approximately."""
    return [pytest.approx((e.start, e.duration)) for e in score.events]


def test_a_score_fills_a_length() -> None:
    acts = (Event("smile", 0.5, 1.0), Event("nod", 1.5, 0.5))
    score = Score(3.0, acts, (Emotion("happy", 0.5, 0.0, 1.0), Emotion("sad", 0.5, 2.5, 3.0)))
    longer = fill_score(score, 4.4)
    assert longer.length == 4.4 and events_of(longer) == [(1.0, 2.0), (3.0, 1.0)]
    assert [(f.start, f.end) for f in longer.emotions] == [(0.0, 2.0), pytest.approx((4.2, 4.4))]
    assert events_of(fill_score(score, 1.4)) == [(0.25, 0.5), (0.75, 0.25)]
    for seconds in (2.0, 2.5):  # the events fill it: only the length changes
        same = fill_score(score, seconds)
        assert same.events == score.events and same.length == seconds and place_score(same, seconds, True) == same
    assert fill_score(score, 2.51).events != score.events and fill_score(score, 1.99).events != score.events
    assert fill_score(score, 5.4).events[1].end == pytest.approx(5.0) and fill_score(score, 5.41) is score  # far longer
    feeling = Score(2.0, (), score.emotions[:1])
    assert fill_score(feeling, 4.0) is feeling
    short = Score(2.0, (Event("blink", 0.5, 0.3), Event("wink_left", 1.0, 1.0, repeat=2)))
    assert events_of(fill_score(short, 4.4)) == [(1.0, 0.3), (2.0, 2.0)]
    beyond = Score(2.0, (Event("nod", 0.5, 3.5),), (Emotion("happy", 0.5, 0.0, 2.0),))  # ends after the clip
    assert fill_score(beyond, 2.4).emotions[0].end == pytest.approx(1.0)


def test_a_score_is_spread_over_a_clip_that_is_a_little_longer() -> None:
    score = Score(4.0, (Event("nod", 1.0, 1.0),), (SAD,))
    longer = spread_score(score, 6.0)
    assert longer.length == longer.emotions[0].end == 6.0 and events_of(longer) == [(1.5, 1.5)]
    assert all(spread_score(score, seconds) is score for seconds in (3.0, 4.0, 6.1))
    blinks = Score(4.0, (Event("blink", 1.0, 0.3), Event("blink", 2.0, 1.0, repeat=3)))
    assert events_of(spread_score(blinks, 6.0)) == [(1.5, 0.3), (3.0, 1.5)]


@pytest.mark.parametrize("named", ["clock", "lasting"])
def test_seconds_that_words_name_stay(named: NamedTimes) -> None:
    score = Score(4.0, (Event("smile", 1.0, 2.0),), (SAD, Emotion("angry", 0.5, 0.5, 2)))
    longer = fill_score(score, 7.0, named)
    assert longer.events == score.events and (longer.length, *(f.end for f in longer.emotions)) == (7.0, 7.0, 2)
    assert fill_score(score, 6.0).events != score.events
    shorter = fill_score(score, 2.0, named)  # named durations do not fit
    assert shorter is score if named == "clock" else shorter.events != score.events


def test_seconds_by_the_clock_stay_in_a_shorter_clip() -> None:
    wink = Score(3.5, (Event("smile", 0.0, 1.0), Event("wink_right", 2.5, 0.9)), (), "at 2.5 s wink right", timed=True)
    assert events_of(fit_score(wink, 3.0)) == [(0.0, 1.0), (2.5, 0.5)]
    with pytest.raises(UserError, match="wink right at 2.5 s; accepted before 2, the end of the clip"):
        check_times(wink, 2.0)
    free = replace(wink, timed=False)
    check_times(free, 2.0)
    assert fit_score(free, 2.0).events[1].start < 2


NOD = Event("nod", 2.0, 1.0)


@pytest.mark.parametrize(
    ("events", "feelings", "seconds", "times", "ends"),
    [
        ([NOD], [SAD], 3.5, [(2.0, 1.0)], [3.5]),  # nothing but the feeling would be cut off
        ([NOD], [SAD], 2.8, [(1.4, 0.7)], [2.8]),
        ([NOD], [Emotion("sad", 0.5, 3.2, 4.0)], 3.5, [(1.75, 0.875)], [3.5]),
        ([Event("nod", 1.0, 2.0)], [SAD], 2.0, [(0.5, 1.0)], [2.0]),
        ([Event("nod", 1.0, 2.0)], [SAD], 9.0, [(1.0, 2.0)], [9.0]),  # the last feeling lasts
        ([], [Emotion("sad", 0.5, 0.0, 2.0), Emotion("happy", 0.5, 2.0, 3.6)], 9.0, [], [2.0, 9.0]),
    ],
)  # fmt: skip
def test_scores_are_fitted_to_a_length(
    events: list[Event], feelings: list[Emotion], seconds: float, times: list[Any], ends: list[float]
) -> None:
    score = fit_score(Score(4.0, tuple(events), tuple(feelings)), seconds)
    assert score.length == min(seconds, 4.0) and events_of(score) == times
    assert [f.end for f in score.emotions] == pytest.approx(ends)


def test_feelings_of_speech_of_more_than_an_hour() -> None:
    assert feelings_of(fit_score(Score(4.0, (Event("nod", 1.0, 2.0),), (SAD,)), 5000.0))[-1].text == "sad"


def test_other_feelings_replace_those_of_a_score() -> None:
    score = Score(4.0, (), (SAD,))
    assert place_score(score, 4.0, True, other_feelings=True).emotions == () != place_score(score, 4.0, True).emotions


def test_clauses_and_feelings_of_a_score() -> None:
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


def test_keyframes_of_changing_feelings() -> None:
    feelings = (Emotion("happy", 0.7, 0, 3), Emotion("happy", 0.7, 3, 7, 0.1), Emotion("sad", 0.1, 3, 7, 0.8))
    keys = [(f.second, {n: round(s, 3) for n, s in f.parts}) for f in feelings_of(Score(8.0, (), feelings))]
    assert keys == [(0, {"happy": 0.7}), (2.99, {"happy": 0.7}), (3.4, {"happy": 0.64, "sad": 0.17}),
                    (7, {"sad": 0.8, "happy": 0.1}), (7.4, {"neutral": 0.0})]  # fmt: skip


def test_weak_feelings_count_but_not_the_fourth() -> None:
    feelings = [Emotion(n, i, 0.0, 4.0) for n, i in (("angry", 0.2), ("sad", 0.7), ("tired", 0.1), ("bored", 0.3))]
    (feeling,) = feelings_of(Score(4.0, (), tuple(feelings)))
    assert (feeling.text, feeling.secondary) == ("sad", (("bored", 0.3), ("angry", 0.2)))
    assert (feeling.max_strength, feeling.words) == (0.7, "sad and bored and angry")
    neutral = feelings_of(Score(4.0, (), (Emotion("neutral", 0.8, 0.0, 2.0),)))
    assert all((f.text, f.max_strength, f.secondary) == ("neutral", 0.0, ()) for f in neutral)


@pytest.mark.parametrize(
    ("actions", "sides"),
    [
        ([], "ll"), (["wink_right"], "ll"), (["raise_left_brow"], "ll"), (["smirk_right", "sneer_left"], "ll"),
        (["raise_right_brow"], "rr"), (["sneer_right"], "rr"), (["smirk_right", "raise_left_brow"], "rl"),
    ],
)  # fmt: skip
def test_one_sided_feelings_take_the_side_of_actions(actions: list[str], sides: str) -> None:
    feelings = tuple(Emotion(n, s, 0.0, 4.0) for n, s in (("contempt", 0.7), ("skeptical", 0.6), ("sad", 0.5)))
    (feeling,) = feelings_of(Score(4.0, tuple(Event(a, 0.5, 1.0) for a in actions), feelings))
    expected = [n + ", right" * (side == "r") for n, side in zip(("contempt", "skeptical"), sides, strict=True)]
    assert [feeling.text, *(t for t, _ in feeling.secondary)] == [*expected, "sad"]


def test_long_actions_stand_still_in_the_middle() -> None:
    clauses = [Clause("smile", 1.0, 9.0, action="smile"), Clause("nod", 1.0, 9.0, repeat=8, action="nod"),
               Clause("frown", 1.0, 2.5, action="frown"), Clause("grin", 0.0, 6.0, 0.8, rise=4.0),
               Clause("yawn", 1.0, 9.0, action="yawn")]  # fmt: skip
    direction = Direction.make([], clauses, RandomGrounder())
    t = np.array([1.25, 2.0, 4.0, 6.5, 8.0, 8.75, 9.3, 10.0])
    timing = direction.time_clauses(t)
    assert np.allclose(timing[:, 0, 0], [0.25, 1, 1, 1, 1, 1.75, 2.3, 3]) and MAX_HOLD == 2.0
    assert np.allclose(timing[:, 0, :2].sum(1), MAX_HOLD)  # the duration that the network is given
    assert np.allclose(timing[:, 1, 0], t - 1) and np.allclose(timing[:, 2, 1], 2.5 - t, atol=1e-6)
    assert np.allclose(timing[:, 4, :2].sum(1), MAX_KEYED)
    assert timing[:, 0, 4].tolist() == [1, 1, 1, 1, 1, 1, 1, 0]
    strengths = direction.time_clauses(np.array([0.0, 1.0, 2.0, 4.0, 5.5]))[:, 3, 2]
    assert np.allclose(strengths, 0.8 * np.array([MIN_RISE, 0.25, 0.5, 1, 1]))


def test_long_laughs_become_rhythmic_clauses() -> None:
    score = Score(14.0, (Event("laugh", 0.5, 12.0), Event("laugh", 13.0, 1.0, 0.7, 3), Event("nod", 2.0, 1.0)))
    assert [(c.action, round(c.start, 2), round(c.end, 2), c.repeat) for c in clauses_of(score)] == [
        ("laugh", 0.5, 4.5, 18), ("laugh", 4.5, 8.5, 18), ("laugh", 8.5, 12.5, 18), ("laugh", 13.0, 14.0, 3),
        ("nod", 2.0, 3.0, 1),
    ]  # fmt: skip


def test_the_driver_holds_long_actions_and_laughs_in_a_rhythm() -> None:
    pipeline = FacePipeline.load()

    def perform(seconds: float, *event: Any) -> Any:
        return pipeline.perform(event[0], score=Score(seconds, (Event(*event),)), seconds=seconds)

    for action, name in (("smile", "mouthSmile"), ("turn_head_left", ""), ("close_eyes", "eyeBlinkLeft")):
        face = perform(13.0, action, 0.3, 12.0)
        curve = (face.channel(name) if name else face.head[:, 0])[45:350]
        assert curve.min() > 0.85 * curve.max() > 0.1, action
    jaw = perform(4.5, "laugh", 0.3, 4.0).channel("jawOpen")[20:120]
    assert 10 <= (np.diff(np.sign(np.diff(jaw))) < 0).sum() <= 22 and np.ptp(jaw) > 0.06
    smile = perform(6.0, "smile", 0.3, 5.0, 0.7, 1, 0.8).channel("mouthSmile")
    levels = [float(smile[round(30 * s)]) for s in (1.0, 2.0, 3.0, 4.0)]
    assert levels == sorted(levels) and levels[0] < 0.6 * levels[-1]


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


WORDS = [Word("hello", 0.5, 1.0), Word("you", 1.2, 1.5), Word("there", 1.6, 2.0)]


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


def test_who_calms_down_lets_the_feeling_before_fade() -> None:
    calmer = score({"action": "happy"}, {"action": "neutral", "seconds": 4.0, "course": "fading"})
    assert [(f.name, f.start, f.end, f.intensity > (f.to or 1)) for f in calmer.emotions][0] == ("happy", 0, 4, True)


def test_slow_actions_grow_slowly() -> None:
    def clause(**fields: Any) -> list[FaceClause]:
        return [FaceClause(action="smile", **fields)]

    quick = Score(3.5, (Event("smile", 0.2, 3.0),), (), "slowly smile over three seconds")
    grown = slow_actions(quick, clause(tempo="slow", seconds=3.0), read, extend=True)
    event = grown.events[0]
    assert event.start == 0.2 and event.rise * event.duration == pytest.approx(3.0, abs=0.01)
    assert grown.length >= event.end > 3.7
    inside = slow_actions(quick, clause(tempo="slow", seconds=3.0), read, extend=False)
    assert inside.length == 3.5 and inside.events[0].duration == 3.0 and inside.events[0].rise == SLOW_RISE
    followed = replace(quick, length=6.0, events=(*quick.events, Event("nod", 4.0, 1.0)))
    both = slow_actions(followed, clause(tempo="slow", seconds=3.0), read, extend=True)
    assert both.events[0].duration == 3.0 and both.events[1] == followed.events[1] and both.length == 6.0
    for other in (clause(tempo="fast"), clause(tempo="slow", times=2), clause(tempo="slow", denied=True)):
        assert slow_actions(quick, other, read, extend=True) == quick
    blinks = Score(2.0, (Event("blink", 0.2, 0.4),), (), "blink")
    assert slow_actions(blinks, [FaceClause(action="blink", tempo="slow")], read, extend=True) == blinks


def test_feelings_of_clauses_are_those_of_the_whole() -> None:
    clauses = [FaceClause(action="sad"), FaceClause(action="cheer up", course="rising", seconds=5.0)]
    steps = (Emotion("sad", 0.7, 0.0, 1.6), Emotion("happy", 0.5, 1.6, 3.2), Emotion("happy", 0.8, 3.2, 5.0))
    whole = Score(5.0, (), steps, "start sad and slowly cheer up over five seconds")
    read_so = in_context(clauses, whole, read)
    assert [(f.name, f.intensity) for f in read_so("cheer up").emotions] == [("happy", 0.8)]
    assert [f.name for f in read_so("sad").emotions] == ["sad"] and read_so("nod") == read("nod")
    crossed = arrange(FaceRequest(clauses=clauses), read_so)
    assert crossed is not None and [(f.name, f.to) for f in crossed.emotions[:2]] == [("sad", FAINT), ("happy", 0.8)]
    at_once = replace(whole, emotions=(Emotion("sad", 0.7, 0.0, 5.0), Emotion("happy", 0.7, 1.0, 5.0)))
    for other in (at_once, replace(whole, events=(Event("smile", 1.0, 1.0),)), replace(whole, emotions=steps[:1])):
        assert in_context(clauses, other, read) is read


def test_clauses_without_room_are_left_to_the_parser() -> None:
    clauses = [FaceClause(action="smile", seconds=4.0), FaceClause(action="nod")]
    assert arrange(FaceRequest(clauses=clauses), read, 4.0) is None
