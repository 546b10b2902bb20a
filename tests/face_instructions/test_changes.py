"""Feelings that change over time, and feelings and actions in a row: rules around the reader."""

from collections.abc import Callable

import numpy as np
import pytest

from avatargpt.cli.face_score import told
from avatargpt.face.instructions.scores import feelings_of
from avatargpt.face.performer import FacePerformer
from avatargpt.language.face.counts import counted
from avatargpt.language.face.gradual import FAINT, gradual, is_gradual
from avatargpt.language.face.in_turn import in_turn
from avatargpt.metrics.face import read_emotions
from instruct_data.face.render import render
from instruct_data.face.score import Emotion, Event, Score, parse_score
from vqvae.errors import UserError

FEELINGS = {"happy": "happy", "sad": "sad", "angr": "angry", "calm": "neutral", "annoyed": "angry"}
ACTIONS = {"wink": Event("wink_right", 0.2, 0.5), "nod": Event("nod", 0.2, 1.6, 0.7, 2)}


def read(text: str) -> Score:
    """Stands for the reader: what a clause means by its words."""
    found = sorted((text.lower().find(w), w) for w in (*FEELINGS, *ACTIONS) if w in text.lower())
    names = [FEELINGS[w] for _, w in found if w in FEELINGS]
    step = 2.0
    felt = tuple(Emotion(n, 0.7, k * step, (k + 1) * step) for k, n in enumerate(names))
    events = tuple(ACTIONS[w] for _, w in found if w in ACTIONS)
    return Score(max(step * len(names), 2.5 if events else 0, 1.0), events, felt, text)


def lines(score: Score) -> list[tuple[str, float, float, float, float | None]]:
    return [(f.name, round(f.start, 2), round(f.end, 2), round(f.intensity, 2), f.to) for f in score.emotions]


@pytest.mark.parametrize(
    "text",
    ["gradually become angry", "slowly get sad", "go from happy to sad", "ever sadder",
     "fade into sadness", "from calm to furious over 8 seconds", "become happy in 3 seconds", "joy turns into fear"],
)  # fmt: skip
def test_what_is_gradual(text: str) -> None:
    assert is_gradual(text)


@pytest.mark.parametrize("text", ["be sad for 3 seconds", "look from left to right", "get scared", "turn left"])
def test_what_is_not_gradual(text: str) -> None:
    assert not is_gradual(text)


def test_one_feeling_turns_into_another() -> None:
    text = "go from happy to sad over 10 seconds"
    made = gradual(Score(4.0, (), read("happy sad").emotions, text), read)
    assert made.length == 11.0
    assert lines(made) == [("happy", 0, 10, 0.7, FAINT), ("sad", 0, 10, FAINT, 0.7), ("sad", 10, 11, 0.7, None)]
    assert np.isclose(made.emotions[0].at(5), 0.375) and made.emotions[2].at(5) == 0.7


def test_a_feeling_grows_in_the_clip_that_there_is() -> None:
    steps = (Emotion("angry", 0.3, 0, 1.6), Emotion("angry", 0.6, 1.6, 3.2), Emotion("angry", 0.9, 3.2, 10.0))
    for text, first in (("gradually become angry", FAINT), ("get angrier and angrier", 0.3)):
        made = gradual(Score(10.0, (), steps, text), read, 10.0)
        assert lines(made) == [("angry", 0, 8.5, first, 0.9), ("angry", 8.5, 10, 0.9, None)], text


def test_a_feeling_grows_through_what_is_said() -> None:
    made = gradual(Score(4.0, (), (Emotion("sad", 0.6, 0, 4),), "gradually become sad"), read, 20.0)
    assert made.length == 20.0 and lines(made) == [("sad", 0, 17, FAINT, 0.6), ("sad", 17, 20, 0.6, None)]


def test_a_feeling_fades_and_calms_down() -> None:
    angry = (Emotion("angry", 0.8, 0, 2), Emotion("neutral", 0.7, 2, 6))
    for text in ("the anger slowly fades, calm", "be angry, then slowly calm down"):
        made = gradual(Score(6.0, (), angry, text), read, 6.0)
        assert made.emotions[-1].to == FAINT and {f.name for f in made.emotions} == {"angry"}, text


def test_only_what_fades_by_its_words_grows_less() -> None:
    steps = (Emotion("angry", 0.7, 0, 3), Emotion("angry", 0.4, 3, 6))
    for text, line in (("slowly get angry", (FAINT, 0.7)), ("get less and less angry", (0.7, 0.4))):
        made = gradual(Score(6.0, (), steps, text), read, 6.0)
        assert (made.emotions[0].intensity, made.emotions[0].to) == line, text


def test_what_comes_before_is_held_and_what_comes_suddenly_is_a_step() -> None:
    felt = (Emotion("happy", 0.7, 0, 2), Emotion("sad", 0.5, 2, 6))
    made = gradual(Score(6.0, (), felt, "happy, then gradually sad"), read, 6.0)
    assert lines(made)[:3] == [("happy", 0, 2, 0.7, None), ("happy", 2, 5.4, 0.7, FAINT), ("sad", 2, 5.4, FAINT, 0.5)]
    burst = (Emotion("angry", 0.4, 0, 3), Emotion("angry", 0.95, 3, 6))
    made = gradual(Score(6.0, (), burst, "slowly get annoyed, then suddenly angry"), read, 6.0)
    assert made.emotions[-1] == burst[-1] and made.emotions[0].to == 0.4


def test_what_is_done_after_a_slow_change_comes_later() -> None:
    score = Score(3.0, (Event("nod", 2.2, 0.6),), (Emotion("sad", 0.7, 0, 2),), "become sad over 6 seconds, then nod")
    made = gradual(score, lambda _: read("sad"))
    assert made.events[0].start == pytest.approx(2.2 + 5) and made.length == 8.0
    with pytest.raises(UserError, match="accepted up to 600"):
        long = Score(3.0, (), (Emotion("sad", 0.7, 0, 3),), "become sad over 600 seconds")
        gradual(long, read)


@pytest.mark.parametrize("text", ["be sad", "do not slowly become sad", "slowly nod, sad", "nod slowly"])
def test_other_instructions_stay(text: str) -> None:
    score = Score(4.0, (Event("nod", 0.2, 1.0),), (Emotion("sad", 0.7, 0, 4),), text)
    assert gradual(score, read, 4.0) == score


def test_keyframes_of_changing_feelings() -> None:
    felt = (Emotion("happy", 0.7, 0, 3), Emotion("happy", 0.7, 3, 7, 0.1), Emotion("sad", 0.1, 3, 7, 0.8))
    made = [(f.second, dict(f.parts)) for f in feelings_of(Score(8.0, (), felt))]
    at = [(t, {n: round(s, 3) for n, s in parts.items()}) for t, parts in made]
    assert at == [(0, {"happy": 0.7}), (2.99, {"happy": 0.7}), (3.4, {"happy": 0.64, "sad": 0.17}),
                  (7, {"sad": 0.8, "happy": 0.1}), (7.4, {"neutral": 0.0})]  # fmt: skip


def test_changing_feelings_as_rows_and_words() -> None:
    score = Score(4.0, (), (Emotion("happy", 0.2, 0.0, 3.0, 0.9), Emotion("sad", 0.5, 3.0, 4.0)), "x")
    row = score.to_json()
    assert row["emotion"] == [{"name": "happy", "intensity": 0.2, "start": 0.0, "end": 3.0, "to": 0.9},
                              {"name": "sad", "intensity": 0.5, "start": 3.0, "end": 4.0}]  # fmt: skip
    assert parse_score(row) == score
    assert told(score) == "happy 0-3 s from 0.20 to 0.90, sad 3-4 s at 0.50; 4 s"
    assert score.scaled(0.5).emotions[0].to == 0.45
    for wrong in (0.0, 1.5, "much"):
        with pytest.raises(UserError, match="intensity|not a score"):
            parse_score({**row, "emotion": [{**row["emotion"][0], "to": wrong}]})


def test_rendered_feelings_change() -> None:
    face = render(Score(6.0, (), (Emotion("happy", 0.1, 0.0, 6.0, 1.0),)), seed=3)
    levels = [read_emotions(face, s, s + 1)["happy"] for s in (0.5, 2.0, 3.5, 5.0)]
    assert levels == sorted(levels) and levels[0] < 0.35 and levels[-1] > 0.8


@pytest.mark.parametrize(
    ("text", "seconds", "felt", "done"),
    [
        ("be sad for 8 seconds, then happy for 8", None, [("sad", 0, 8), ("happy", 8, 16)], []),
        ("be happy, then sad, then wink", None, [("happy", 0, 2), ("sad", 2, 5.2)], [4.2]),
        ("be happy for 3 s, then sad for 3 s, then wink", None, [("happy", 0, 3), ("sad", 3, 6)], [6.2]),
        ("first be happy, then sad, then nod", 9, [("happy", 0, 3.35), ("sad", 3.35, 9)], [6.9]),
        ("happy 3s, sad 3s, angry 3s", None, [("happy", 0, 3), ("sad", 3, 6), ("angry", 6, 9)], []),
        ("happy (2 s) -> nod", None, [("happy", 0, 2)], [2.2]),
        ("be angry for 20 seconds, then nod", 10, [("angry", 0, 10)], []),
    ],
)  # fmt: skip
def test_feelings_and_actions_in_a_row(
    text: str, seconds: float | None, felt: list[tuple[str, float, float]], done: list[float]
) -> None:
    if seconds == 10:
        with pytest.raises(UserError, match=r"begin at 20 s; accepted before 10"):
            in_turn(text, read, seconds)
        return
    made = in_turn(text, read, seconds)
    assert made is not None and made.text == text
    assert [(f.name, round(f.start, 2), round(f.end, 2)) for f in made.emotions] == felt
    assert [round(e.start, 2) for e in made.events] == done


@pytest.mark.parametrize("text", ["wink, then sad", "Wink. Then look sad."])
def test_a_feeling_after_an_action_is_not_felt_before_it(text: str) -> None:
    at_once = Score(3.0, (ACTIONS["wink"],), (Emotion("sad", 0.7, 0, 3),), text)
    made = in_turn(text, read, None, at_once)
    assert made is not None and [(f.name, round(f.start, 2)) for f in made.emotions] == [("sad", 0.8)]
    later = Score(3.0, (ACTIONS["wink"],), (Emotion("sad", 0.7, 1, 3),), text)
    assert in_turn(text, read, None, later) is None and in_turn(text, read) is None


@pytest.mark.parametrize(
    "text",
    ["be happy", "be happy, then wink", "wink, then nod", "be happy for 3 s until you nod, then sad for 2 s",
     "be sad for 2 s, then do it again", "don't be sad for 3 seconds, then nod", "at 2 s be sad, then nod",
     "be happy for 2 s, then bark", "sad, then happy, then stop"],
)  # fmt: skip
def test_other_instructions_are_read_as_a_whole(text: str) -> None:
    assert in_turn(text, read) is None


@pytest.fixture(scope="module")
def reads() -> Callable[..., Score]:
    performer = FacePerformer.load()
    return lambda text, seconds=None: performer.read([text], [seconds])[0]


def test_changes_as_they_are_read(reads: Callable[..., Score]) -> None:
    made = reads("go from happy to sad over 10 seconds")
    assert [(f.name, f.end, f.to is None) for f in made.emotions][:2] == [("happy", 10, False), ("sad", 10, False)]
    row = reads("be happy, then become sad, then wink")
    assert [f.name for f in row.emotions] == ["happy", "sad"] and row.events[0].action.startswith("wink")
    assert row.events[0].start > 3.5


@pytest.mark.parametrize(
    ("text", "seconds", "parts"),
    [
        ("be happy for the first half and sad for the second half", 10, [("happy", 0, 5), ("sad", 5, 10)]),
        ("smile for the first half, frown for the second half", 8, [("smile", 0, 4), ("frown", 4, 7.6)]),
        ("be calm in the first half of the clip, then panic", 8, [("neutral", 0, 4), ("fearful", 4, 8)]),
        ("look sad for the last quarter", 8, [("sad", 6, 8)]),
    ],
)  # fmt: skip
def test_parts_of_a_clip(
    reads: Callable[..., Score], text: str, seconds: float, parts: list[tuple[str, float, float]]
) -> None:
    made = reads(text, seconds)
    both = [(f.name, f.start, f.end) for f in made.emotions] + [(e.action, e.start, e.end) for e in made.events]
    assert [(n, round(a, 2), round(b, 2)) for n, a, b in both] == parts


@pytest.mark.parametrize(
    ("text", "seconds", "done"),
    [
        ("look around nervously", 6, ["turn_head_left", "turn_head_right"]),
        ("look around", None, ["turn_head_left", "turn_head_right"]),
        ("look sadly at the floor", None, ["look_down"]), ("in the middle, raise your brows", 8, ["raise_brows"]),
        ("try not to laugh", None, ["raise_cheeks", "press_lips"]), ("suppress a smile", None, ["press_lips"]),
        ("stop looking around", None, ["return_to_neutral"]),
    ],
)  # fmt: skip
def test_idioms(reads: Callable[..., Score], text: str, seconds: float | None, done: list[str]) -> None:
    made = reads(text, seconds)
    assert sorted(e.action for e in made.events) == sorted(done) and made.text == text


def test_rapid_blinks_are_several(reads: Callable[..., Score]) -> None:
    assert [e.repeat for e in reads("blink rapidly").events] == [5]
    assert [e.repeat for e in reads("blink rapidly three times").events] == [3]


@pytest.mark.parametrize(
    ("text", "times"),
    [("Shake your head a little.", 2), ("She shakes her head.", 2), ("shake your head once", 1), ("a head shake", 1)],
)
def test_heads_are_shaken_twice_where_nobody_counts(text: str, times: int) -> None:
    once = Score(2.0, (Event("shake_head", 0.2, 1.2),), (), text)
    assert counted(once).events[0].repeat == times


def test_a_change_in_less_sound_than_it_was_read_for(reads: Callable[..., Score]) -> None:
    performer = FacePerformer.load()
    made = performer.read(["gradually become angry, then nod twice"], None, 1.5)[0]
    assert made.length >= 1.5 and [e.action for e in made.events] == ["nod"]
    face = performer.perform("gradually become angry, then nod twice", audio=np.zeros(24_000, np.float32))
    assert len(face) == 45


@pytest.mark.parametrize(
    ("text", "seconds", "felt"),
    [
        ("happy for 2.5 seconds, then sad for 1.5 seconds", None, [("happy", 0, 2.5), ("sad", 2.5, 4)]),
        ("quickly go from happy to sad", 8, [("happy", 0, None), ("sad", None, 8)]),
        ("get angry for 3 seconds, then happy for 3 seconds", None, [("angry", 0, 3), ("happy", 3, 6)]),
        ("happy in the first third, sad in the second third, happy in the last third", 9,
         [("happy", 0, 3), ("sad", 3, 6), ("happy", 6, 9)]),
        ("be happy for 3 seconds, then sad for 3 seconds, then angry", 7,
         [("happy", 0, 3), ("sad", 3, 6), ("angry", 6, 7)]),
    ],
)  # fmt: skip
def test_times_that_are_said_are_kept(
    reads: Callable[..., Score], text: str, seconds: float | None, felt: list[tuple[str, float | None, float | None]]
) -> None:
    made = reads(text, seconds)
    assert all(f.to is None for f in made.emotions) and [f.name for f in made.emotions] == [n for n, *_ in felt]
    for f, (_, start, end) in zip(made.emotions, felt, strict=True):
        assert start is None or f.start == pytest.approx(start, abs=0.05)
        assert end is None or f.end == pytest.approx(end, abs=0.05)


def test_more_that_no_rule_may_spoil(reads: Callable[..., Score]) -> None:
    assert not any(e.rise for e in reads("raise your eyebrows over and over").events)
    assert all(f.to is None for f in reads("be the happiest you have ever been").emotions)
    again = reads("be happy, then sad, then gradually become happy again")
    assert [f.name for f in again.emotions][:2] == ["happy", "sad"]
    assert not any(e.rise for e in reads("slowly let your smile fade").events)
    assert [e.action for e in reads("Don't hold back your laugh.").events] == ["laugh"]
    assert reads("smile in the last third", 1.0).events[0].duration > 0
    performer = FacePerformer.load()
    assert performer.read(["be happy, then sad, then wink"], None, 700.0)[0].length <= 600
    slow = performer.read(["slowly become happy over 8 seconds"], None, 30.0)[0]
    reached = next(f for f in slow.emotions if f.to)
    assert reached.end == pytest.approx(8.0) and slow.emotions[-1].intensity == reached.to
    clock = reads("from 2 to 8 seconds go from happy to sad", 12)
    assert [(round(f.start), round(f.end)) for f in clock.emotions if f.to] == [(2, 8), (2, 8)]
