"""The event checker must see what is wrong; AU metrics and the reading of emotions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from avatargpt.metrics.face import TYPICAL, active_units, au_emo, au_f1, read_emotions, set_f1
from avatargpt.metrics.face_events import check_score, count_peaks
from instruct_data.face.emotions import emotion_names
from instruct_data.face.render import render
from instruct_data.face.score import Emotion, Event, Score
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion


def faults(clip, *events: tuple, seconds: float = 4.0) -> list[str]:
    score = Score(seconds, tuple(Event(*e) for e in events))
    return [f for r in check_score(clip, score) for f in r.faults]


@pytest.mark.parametrize(
    "action",
    "wink_left smirk_left sneer_left raise_left_brow look_left turn_head_left tilt_head_left jaw_left".split(),
)
def test_the_wrong_side_fails(act, action):
    length = 0.5 if action == "wink_left" else 1.8
    clip, score = act((action, 0.6, length))
    assert check_score(clip, score)[0].passed
    assert not check_score(clip.mirrored(), score)[0].passed
    assert check_score(clip.mirrored(), score.mirrored())[0].passed


@pytest.mark.parametrize(
    ("action", "seconds"), [("nod", 2.4), ("shake_head", 2.4), ("blink", 2.4), ("raise_brows", 2.7)]
)
def test_the_wrong_count_fails(act, action, seconds):
    clip, score = act((action, 0.5, seconds, 0.7, 3))
    assert check_score(clip, score)[0].peaks == 3 and check_score(clip, score)[0].passed
    for wrong in (2, 4):
        assert any("times instead" in f for f in faults(clip, (action, 0.5, seconds, 0.7, wrong)))


def test_the_wrong_order_fails(act):
    first, second = ("smile", 0.3, 1.2), ("pucker_lips", 2.2, 1.2)
    clip, score = act(first, second)
    assert all(r.passed for r in check_score(clip, score))
    swapped = faults(clip, ("pucker_lips", 0.3, 1.2), ("smile", 2.2, 1.2))
    assert len(swapped) >= 2
    # Both are there, at times that each would pass: only the order is wrong.
    weights, t = np.zeros((120, 52)), np.arange(120) / 30
    for name, at in (("mouthSmile", 1.3), ("browInnerUp", 1.05), ("browOuterUp", 1.05)):
        for full in arkit.expand(name):
            weights[:, arkit.INDEX[full]] = 0.6 * np.clip((t - at + 0.1) / 0.2, 0, 1)
    clip = FaceMotion(weights, np.zeros((120, 3)))
    assert faults(clip, ("smile", 0.8, 3.0), ("raise_brows", 1.25, 2.5)) == ["comes before smile"]
    assert faults(clip, ("raise_brows", 0.8, 3.0), ("smile", 1.25, 2.5)) == []


def test_the_wrong_time_fails(act):
    clip, _ = act(("smile", 2.4, 1.2))
    assert faults(clip, ("smile", 0.3, 1.2))
    clip, _ = act(("smile", 0.3, 3.5))
    assert any("begins at" in f or "no rise" in f for f in faults(clip, ("smile", 1.6, 2.0)))
    clip, _ = act(("smile", 0.3, 0.6))
    assert faults(clip, ("smile", 0.3, 3.4))


def test_a_feeling_hides_only_what_it_moves():
    sad = (Emotion("sad", 0.7, 0.0, 4.0),)
    early = Score(4.0, (Event("turn_head_left", 0.6, 3.0),), sad)
    assert check_score(render(early, 3), early)[0].passed
    asked = replace(early, events=(Event("turn_head_left", 2.2, 1.4),))
    assert any("no rise" in f or "begins at" in f for f in check_score(render(early, 3), asked)[0].faults)
    # Sadness lowers the corners of the mouth by itself: when a frown begins then cannot be told.
    frown = Score(4.0, (Event("frown", 0.5, 1.0),), sad)
    assert all(r.passed for r in check_score(render(frown, 3), replace(frown, events=(Event("frown", 2.4, 1.2),))))
    alone = Score(4.0, (Event("frown", 0.5, 1.0),))
    assert not all(r.passed for r in check_score(render(alone, 3), replace(alone, events=(Event("frown", 2.4, 1.2),))))


def test_related_actions_hide_an_event_only_while_they_last(act):
    clip, score = act(("look_left", 0.3, 1.2), ("turn_head_left", 1.9, 1.5))
    assert all(r.passed for r in check_score(clip, score))
    assert faults(clip, ("look_left", 0.3, 1.2), ("turn_head_left", 2.8, 0.9))
    # Directly after a related one the head may still come back from it: too early cannot be told, too late can.
    assert not faults(clip, ("look_left", 0.3, 1.2), ("turn_head_left", 1.75, 1.6))


def test_the_wrong_strength_fails(act):
    clip, _ = act(("smile", 0.5, 2.0, 0.3))
    assert any("level" in f for f in faults(clip, ("smile", 0.5, 2.0, 1.0)))
    clip, _ = act(("smile", 0.5, 2.0, 1.0))
    assert any("too strong" in f for f in faults(clip, ("smile", 0.5, 2.0, 0.3)))
    clip, _ = act(("open_mouth", 0.3, 1.2, 0.6), ("open_mouth", 2.3, 1.2, 0.4))
    assert any("not stronger" in f for f in faults(clip, ("open_mouth", 0.3, 1.2, 0.4), ("open_mouth", 2.3, 1.2, 0.6)))


def test_one_side_of_a_two_sided_action_fails(act):
    clip, score = act(("smile", 0.5, 2.0))
    weights = clip.weights.copy()
    weights[:, 24] = 0  # mouthSmileRight
    one = replace(clip, weights=weights)
    wide = Score(4.0, (Event("smile", 0.5, 2.0, 0.4),))
    assert check_score(clip, score)[0].passed
    assert any("one side" in f for r in check_score(one, wide) for f in r.faults)


def test_an_idle_face_does_nothing():
    idle = render(Score(4.0), 3)
    actions = "smile frown nod shake_head raise_brows open_mouth look_up tilt_head_left laugh yawn puff_cheeks".split()
    assert all(faults(idle, (a, 0.5, 2.0)) for a in actions)
    assert not faults(idle, ("close_mouth", 0.5, 2.0), ("return_to_neutral", 0.5, 2.0))


def test_an_open_mouth_and_a_grin_are_not_closed_and_neutral(act):
    clip, _ = act(("open_mouth", 0.2, 3.6), ("broad_smile", 0.2, 3.6))
    assert len(faults(clip, ("close_mouth", 0.5, 2.0), ("return_to_neutral", 0.5, 2.0))) == 2


def test_peaks_need_a_dip():
    wave = np.array([0, 1, 0.7, 1, 0.1, 0.9, 0.0])
    assert count_peaks(wave, 0.4, 0.6) == 2 and count_peaks(np.ones(5), 0.4, 0.6) == 1


def feeling(name: str, level: float = 0.8, seed: int = 0):
    return render(Score(4.0, (), (Emotion(name, level, 0, 4),)), seed)


@pytest.mark.parametrize("name", [n for n in emotion_names() if n != "neutral"])
def test_the_emotion_shown_is_read_back(name):
    for level in (0.3, 1.0):
        assert next(iter(read_emotions(feeling(name, level), 0.8))) == name


def test_no_emotion_is_read_from_an_idle_face():
    assert max(read_emotions(render(Score(4.0), 2)).values()) < 0.15


def test_units_of_emotions():
    names = list(TYPICAL)
    clips = [feeling(n) for n in names]
    assert au_emo(clips, names) >= 0.75
    assert au_emo(clips, names[1:] + names[:1]) < au_emo(clips, names) - 0.2
    assert au_emo(clips, names, "frames") <= au_emo(clips, names) + 0.1
    again = [feeling(n, seed=9) for n in names]
    assert au_f1(clips, again) > 0.8 > 0.5 > au_f1(clips, again[1:] + again[:1])
    assert 0.5 < au_f1(clips, again, "frames") < 1 == au_f1(clips, clips, "frames")
    still = FaceMotion(np.zeros((90, arkit.COUNT)), np.zeros((90, 3)))
    assert au_f1([still] * len(clips), clips) < 0.05 and np.isnan(au_f1([still], [still], "frames"))
    assert au_f1([still, clips[0]], [still, clips[0]]) == 1  # what shows nothing twice is left out
    with pytest.raises(UserError, match="proud"):
        au_emo(clips[:1], ["proud"])
    with pytest.raises(UserError, match="rule"):
        active_units(clips[0], "all")


def test_f1_of_sets():
    assert set_f1(frozenset({1, 2}), frozenset({2, 3})) == 0.5 and set_f1(frozenset(), frozenset()) == 1
    assert set_f1(frozenset({1}), frozenset()) == 0
