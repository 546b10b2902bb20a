"""The checker of facial events sees what is wrong; action units, feelings read from faces, and other figures."""

from dataclasses import replace

import numpy as np
import pytest

from avatargpt.kinematics.face import LOOKS
from avatargpt.metrics.face import (
    TYPICAL,
    active_units,
    au_emo,
    au_f1,
    emotions_shown,
    read_emotions,
    set_f1,
    three_times,
)
from avatargpt.metrics.face_events import check_score, count_peaks
from instruct_data.face.emotions import emotion_names
from instruct_data.face.render import render
from instruct_data.face.score import Emotion, Event, Score
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion

I = arkit.INDEX  # noqa: E741
T = np.arange(150) / 30


def shown(*events: tuple, seed: int = 0) -> FaceMotion:
    return render(Score(4.0, tuple(Event(*e) for e in events)), seed)


def faults(clip: FaceMotion, *events: tuple, seconds: float = 4.0) -> list[str]:
    return [f for r in check_score(clip, Score(seconds, tuple(Event(*e) for e in events))) for f in r.faults]


def smiles(level: np.ndarray) -> FaceMotion:
    weights = np.zeros((len(level), 52))
    weights[:, [I["mouthSmileLeft"], I["mouthSmileRight"]]] = 0.6 * np.clip(level, 0, 1)[:, None]
    return FaceMotion(weights, np.zeros((len(level), 3)))


@pytest.mark.parametrize(
    "action",
    "wink_left smirk_left sneer_left raise_left_brow look_left turn_head_left tilt_head_left jaw_left".split(),
)
def test_the_wrong_side_fails(action: str) -> None:
    score = Score(4.0, (Event(action, 0.6, 0.5 if action == "wink_left" else 1.8),))
    clip = render(score, 0)
    assert check_score(clip, score)[0].passed
    assert not check_score(clip.mirrored(), score)[0].passed
    assert check_score(clip.mirrored(), score.mirror())[0].passed


@pytest.mark.parametrize(
    ("action", "seconds"), [("nod", 2.4), ("shake_head", 2.4), ("blink", 2.4), ("raise_brows", 2.7)]
)
def test_the_wrong_count_fails(action: str, seconds: float) -> None:
    score = Score(4.0, (Event(action, 0.5, seconds, 0.7, 3),))
    clip = render(score, 0)
    assert check_score(clip, score)[0].peaks == 3 and check_score(clip, score)[0].passed
    for wrong in (2, 4):
        assert any("times instead" in f for f in faults(clip, (action, 0.5, seconds, 0.7, wrong)))


def test_the_wrong_order_fails() -> None:
    clip = shown(("smile", 0.3, 1.2), ("pucker_lips", 2.2, 1.2))
    assert not faults(clip, ("smile", 0.3, 1.2), ("pucker_lips", 2.2, 1.2))
    assert len(faults(clip, ("pucker_lips", 0.3, 1.2), ("smile", 2.2, 1.2))) >= 2
    # Both are there, at times that each would pass: only the order is wrong.
    weights, t = np.zeros((120, 52)), np.arange(120) / 30
    for name, at in (("mouthSmile", 1.3), ("browInnerUp", 1.05), ("browOuterUp", 1.05)):
        for full in arkit.expand(name):
            weights[:, I[full]] = 0.6 * np.clip((t - at + 0.1) / 0.2, 0, 1)
    clip = FaceMotion(weights, np.zeros((120, 3)))
    assert faults(clip, ("smile", 0.8, 3.0), ("raise_brows", 1.25, 2.5)) == ["comes before smile"]
    assert faults(clip, ("raise_brows", 0.8, 3.0), ("smile", 1.25, 2.5)) == []


OPEN = [("open_mouth", 0.3, 1.2, 0.6), ("open_mouth", 2.3, 1.2, 0.4)]


@pytest.mark.parametrize(
    ("done", "expected", "fault"),
    [
        ([("smile", 2.4, 1.2)], [("smile", 0.3, 1.2)], ""),  # the wrong time
        ([("smile", 0.3, 3.5)], [("smile", 1.6, 2.0)], ("begins at", "no rise")),
        ([("smile", 0.3, 0.6)], [("smile", 0.3, 3.4)], ""),
        ([("smile", 0.5, 2.0, 0.3)], [("smile", 0.5, 2.0, 1.0)], "level"),  # the wrong strength
        ([("smile", 0.5, 2.0, 1.0)], [("smile", 0.5, 2.0, 0.3)], "too strong"),
        (OPEN, [OPEN[0][:3] + (0.4,), OPEN[1][:3] + (0.6,)], "not stronger"),
    ],
)
def test_the_wrong_time_or_strength_fails(done: list[tuple], expected: list[tuple], fault: str | tuple) -> None:
    kinds = (fault,) if isinstance(fault, str) else fault
    assert any(kind in f for kind in kinds for f in faults(shown(*done), *expected))


@pytest.mark.parametrize(
    ("level", "start", "duration", "fault"),
    [
        ((T - 2.3) / 0.1, 2.0, 1.0, []),
        ((T - 2.75) / 0.1, 2.0, 1.0, ["begins at 2.80 s instead of 2.00 s", "let go too early"]),
        (np.where(T < 2.5, T - 1, 0) * 10, 1.0, 3.0, []),
        (np.where(T < 1.85, T - 1, 0) * 10, 1.0, 3.0, ["let go too early"]),
    ],
)  # fmt: skip
def test_late_starts_and_early_ends_fail(level: np.ndarray, start: float, duration: float, fault: list[str]) -> None:
    assert faults(smiles(level), ("smile", start, duration), seconds=5.0) == fault


def test_a_feeling_hides_only_what_it_moves() -> None:
    sad = (Emotion("sad", 0.7, 0.0, 4.0),)
    early = Score(4.0, (Event("turn_head_left", 0.6, 3.0),), sad)
    assert check_score(render(early, 3), early)[0].passed
    late = replace(early, events=(Event("turn_head_left", 2.2, 1.4),))
    assert any("no rise" in f or "begins at" in f for f in check_score(render(early, 3), late)[0].faults)
    # Sadness lowers the corners of the mouth by itself: when a frown begins then cannot be seen.
    for feelings in (sad, ()):
        frown = Score(4.0, (Event("frown", 0.5, 1.0),), feelings)
        results = check_score(render(frown, 3), replace(frown, events=(Event("frown", 2.4, 1.2),)))
        assert all(r.passed for r in results) == bool(feelings)


def test_related_actions_hide_an_event_only_while_they_last() -> None:
    look, clip = ("look_left", 0.3, 1.2), shown(("look_left", 0.3, 1.2), ("turn_head_left", 1.9, 1.5))
    assert not faults(clip, look, ("turn_head_left", 1.9, 1.5)) and faults(clip, look, ("turn_head_left", 2.8, 0.9))
    # Directly after a related one the head may still come back from it: too early cannot be seen, too late can.
    assert not faults(clip, look, ("turn_head_left", 1.75, 1.6))


def test_one_side_of_a_two_sided_action_fails() -> None:
    clip = shown(("smile", 0.5, 2.0))
    weights = clip.weights.copy()
    weights[:, I["mouthSmileRight"]] = 0
    assert not faults(clip, ("smile", 0.5, 2.0))
    assert any("one side" in f for f in faults(replace(clip, weights=weights), ("smile", 0.5, 2.0, 0.4)))


def test_idle_faces_do_nothing_and_open_mouths_are_not_closed() -> None:
    idle = render(Score(4.0), 3)
    actions = "smile frown nod shake_head raise_brows open_mouth look_up tilt_head_left laugh yawn puff_cheeks".split()
    rest = (("close_mouth", 0.5, 2.0), ("return_to_neutral", 0.5, 2.0))
    assert all(faults(idle, (a, 0.5, 2.0)) for a in actions) and not faults(idle, *rest)
    assert len(faults(shown(("open_mouth", 0.2, 3.6), ("broad_smile", 0.2, 3.6)), *rest)) == 2


def test_peaks_need_a_dip() -> None:
    wave = np.array([0, 1, 0.7, 1, 0.1, 0.9, 0.0])
    assert count_peaks(wave, 0.4, 0.6) == 2 and count_peaks(np.ones(5), 0.4, 0.6) == 1


def test_leaning_differs_from_dipping_the_head() -> None:
    head, weights = np.zeros((5, 3)), np.zeros((5, 52))
    head[:, 1] = -np.radians(9)  # the head dips
    assert not LOOKS["lean_forward"].signal(FaceMotion(weights, head)).any()  # and the eyes with it
    weights[:, [I["eyeLookUpLeft"], I["eyeLookUpRight"]]] = 0.25
    assert np.allclose(LOOKS["lean_forward"].signal(FaceMotion(weights, head)), 1, atol=1e-5)


def score_of(name: str, level: float = 0.8) -> Score:
    return Score(4.0, (), (Emotion(name, level, 0, 4),))


def feeling(name: str, level: float = 0.8, seed: int = 0) -> FaceMotion:
    return render(score_of(name, level), seed)


@pytest.mark.parametrize("name", [n for n in emotion_names() if n != "neutral"])
def test_the_emotion_shown_is_read_back(name: str) -> None:
    for level in (0.3, 1.0):
        assert next(iter(read_emotions(feeling(name, level), 0.8))) == name


def test_idle_faces_and_blinks_show_no_emotion() -> None:
    assert max(read_emotions(render(Score(4.0), 2)).values()) < 0.15
    plain = smiles(np.ones(60))
    weights = plain.weights.copy()
    weights[5:25, [I["eyeBlinkLeft"], I["eyeBlinkRight"]]] = 1
    assert read_emotions(replace(plain, weights=weights)) == pytest.approx(read_emotions(plain), abs=1e-6)


def test_shown_emotions() -> None:
    for name in ("happy", "sad", "angry", "bored", "fearful"):
        assert emotions_shown(feeling("happy", seed=1), score_of(name)) == [name == "happy"]
    hidden = replace(score_of("happy"), events=(Event("smile", 1.0, 1.0),))  # by an action
    for clip, score, expected in (
        (feeling("happy", 0.2, 1), score_of("happy", 1.0), [False]),  # a hint is not a strong feeling
        (feeling("happy", 0.2, 1), score_of("happy", 0.2), [True]),
        (smiles(0 * T[:120]), score_of("happy"), [False]),
        (smiles(0 * T[:120]), hidden, []),
    ):
        assert emotions_shown(clip, score) == expected
    both = Score(6.0, (), (Emotion("happy", 0.8, 0, 3), Emotion("sad", 0.8, 3, 6)))
    assert emotions_shown(render(both, 1).slice(0, 60), both) == [True, False]  # the clip ends too soon


def test_units_of_emotions() -> None:
    names = list(TYPICAL)
    clips, others = ([feeling(n, seed=seed) for n in names] for seed in (0, 9))
    assert au_emo(clips, names) >= 0.75
    assert au_emo(clips, names[1:] + names[:1]) < au_emo(clips, names) - 0.2
    assert au_emo(clips, names, "frames") <= au_emo(clips, names) + 0.1
    assert au_f1(clips, others) > 0.8 > 0.5 > au_f1(clips, others[1:] + others[:1])
    assert 0.5 < au_f1(clips, others, "frames") < 1 == au_f1(clips, clips, "frames")
    still = FaceMotion(np.zeros((90, arkit.COUNT)), np.zeros((90, 3)))
    assert au_f1([still] * len(clips), clips) < 0.05 and np.isnan(au_f1([still], [still], "frames"))
    assert au_f1([still, clips[0]], [still, clips[0]]) == 1  # what shows nothing twice is left out
    with pytest.raises(UserError, match="proud"):
        au_emo(clips[:1], ["proud"])
    with pytest.raises(UserError, match="rule"):
        active_units(clips[0], "all")


def test_f1_of_sets() -> None:
    for a, b, f1 in (({1, 2}, {2, 3}, 0.5), (set(), set(), 1), ({1}, set(), 0)):
        assert set_f1(frozenset(a), frozenset(b)) == f1


def test_three_times_lie_in_the_shorter_clip() -> None:
    short, long = (FaceMotion(np.zeros((n, 52)), np.zeros((n, 3))) for n in (15, 300))
    for seed in range(5):
        assert three_times(np.random.default_rng(seed), short, long).max() < 0.5
