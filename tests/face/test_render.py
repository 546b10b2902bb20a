"""The score renderer."""

from __future__ import annotations

import numpy as np
import pytest

from avatargpt.kinematics.face import LOOKS, gaze
from avatargpt.metrics.face_events import check_score
from instruct_data.face.actions import action_names
from instruct_data.face.emotions import emotion_names, prototypes
from instruct_data.face.render import render
from instruct_data.face.score import Emotion, Event, Score, read_instructions
from vqvae import arkit

STRENGTHS = (0.3, 0.7, 0.85, 1.0)
STATES = ("close_mouth", "return_to_neutral")
QUICK = ("blink", "wink_left", "wink_right")


def test_same_seed_same_clip_other_seed_another(act):
    first, score = act(("smile", 0.3, 1.5), feel=[("nervous", 0.5)])
    assert len(first) == 120 and first.fps == 30.0
    assert np.array_equal(render(score, 0).weights, first.weights) and np.array_equal(render(score, 0).head, first.head)
    assert not np.array_equal(render(score, 1).weights, first.weights)


@pytest.mark.parametrize("action", [a for a in action_names() if a not in STATES])
def test_every_action_is_seen_and_grows_with_its_intensity(action):
    levels = []
    for strength in STRENGTHS:
        score = Score(3.0, (Event(action, 0.4, 0.4 if action in QUICK else 1.6, strength),))
        result = check_score(render(score, 1), score)[0]
        assert result.passed, (strength, result.faults)
        levels.append(result.level)
    assert (np.diff(levels) > 0).all()


@pytest.mark.parametrize("emotion", emotion_names())
def test_every_emotion_grows_with_its_intensity(emotion):
    clips = [render(Score(4.0, (), (Emotion(emotion, s, 0, 4),)), 2) for s in STRENGTHS]
    pose = prototypes()[emotion].pose.mean(0)[: arkit.COUNT]
    if emotion == "neutral":  # the calmer, the less the head drifts
        levels = [-float(np.ptp(c.head, 0).sum()) for c in clips]
    else:
        levels = [float(c.weights.mean(0) @ pose) for c in clips]
    assert (np.diff(levels) > 0).all()


def test_sides_are_the_persons_own(act):
    wink, _ = act(("wink_left", 0.5, 0.5))
    assert wink.channel("eyeBlinkLeft").max() > 0.85 > 0.2 > wink.slice(0, 40).channel("eyeBlinkRight").max()
    turn, _ = act(("turn_head_left", 0.5, 2.0))
    assert np.degrees(turn.head[:, 0].max()) > 15
    tilt, _ = act(("tilt_head_right", 0.5, 2.0))
    assert np.degrees(tilt.head[:, 2].max()) > 8
    up, _ = act(("look_up_head", 0.5, 2.0))
    assert np.degrees(up.head[:, 1].max()) > 8
    look, _ = act(("look_left", 0.5, 1.0))
    assert gaze(look)[0].max() > 0.4
    assert min(look.channel(n).max() for n in ("eyeLookOutLeft", "eyeLookInRight")) > 0.4


def test_a_blink_closes_fast_and_opens_slower(act):
    clip, _ = act(("blink", 1.0, 0.4))
    lid = clip.channel("eyeBlink")[28:48]
    apex = int(lid.argmax())
    closing = apex - np.flatnonzero(lid[:apex] < 0.1)[-1]
    opening = np.flatnonzero(lid[apex:] < 0.1)[0]
    assert lid.max() > 0.85 and 2 <= closing <= 6 and closing <= opening <= 10


def test_nothing_asked_is_a_quiet_living_face():
    clip = render(Score(20.0), 7)
    mouth = [i for i, n in enumerate(arkit.NAMES) if n.startswith(("mouth", "jaw", "cheek", "tongue"))]
    assert clip.weights[:, mouth].max() <= 0.03
    lid = clip.channel("eyeBlink")
    assert lid.max() > 0.6 and (np.diff((lid > 0.4).astype(int)) == 1).sum() in range(2, 12)
    drift = np.degrees(np.ptp(clip.head, axis=0))
    assert (drift > 0.5).all() and (drift < 12).all()
    assert np.abs(np.diff(clip.head, axis=0)).max() < np.radians(1.5)


def test_both_halves_differ_a_little_but_not_much(act):
    found = [act(("smile", 0.3, 3.0, 1.0), seed=s)[0] for s in range(12)]
    share = [float(c.channel("mouthSmileLeft").max() - c.channel("mouthSmileRight").max()) for c in found]
    assert 0.002 < np.std(share) < 0.12 and abs(np.mean(share)) < 0.06


def test_movements_are_smooth(act):
    clip, _ = act(("smile", 0.3, 2.0), ("raise_brows", 0.6, 1.5), feel=[("happy", 0.5)])
    eyes = [i for i, n in enumerate(arkit.NAMES) if n.startswith("eye")]
    rest = np.delete(clip.weights, eyes, axis=1)
    assert np.abs(np.diff(rest, axis=0)).max() < 0.25 and np.abs(np.diff(rest, 2, axis=0)).max() < 0.2


def test_neutral_and_a_closed_mouth_end_what_went_before(act):
    clip, _ = act(("broad_smile", 0.2, 3.6), ("return_to_neutral", 1.8, 1.0), feel=[("excited", 0.5)])
    assert clip.channel("mouthSmile")[45] > 0.5 > 0.2 > clip.channel("mouthSmile")[80]
    clip, _ = act(("open_mouth", 0.2, 3.6), ("close_mouth", 1.8, 1.0))
    assert clip.channel("jawOpen")[45] > 0.3 > 0.05 > clip.channel("jawOpen")[80]


def test_the_checkers_table_covers_every_action():
    assert set(LOOKS) == set(action_names())


def test_the_real_instructions(shared):
    rows = list(read_instructions(shared / "data" / "face_text"))[::12]
    motions = [render(r.score, i) for i, r in enumerate(rows)]
    done = [x.passed for m, r in zip(motions, rows, strict=True) for x in check_score(m, r.score)]
    assert len(done) > 150 and np.mean(done) >= 0.99


def test_the_side_of_one_sided_feelings_can_be_said() -> None:
    score = Score(4.0, (), (Emotion("contempt", 1.0, 0.0, 4.0),))
    left, right = (render(score, 3, side=side).weights[60] for side in ("left", "right"))
    corner = [arkit.INDEX[f"mouthDimple{side}"] for side in ("Left", "Right")]
    assert left[corner[0]] > 0.3 > 0.1 > left[corner[1]] and right[corner[1]] > 0.3 > 0.1 > right[corner[0]]
    drawn = {tuple(render(score, seed).weights[60][corner] > 0.3) for seed in range(6)}
    assert drawn == {(True, False), (False, True)}
