"""Rendered scores, and the losses of faces."""

from pathlib import Path

import numpy as np
import pytest
import torch

from avatargpt.kinematics.face import LOOKS, gaze
from avatargpt.metrics.face import read_emotions
from avatargpt.metrics.face_events import check_score
from instruct_data.face.actions import action_names
from instruct_data.face.emotions import emotion_names, prototypes
from instruct_data.face.render import render
from instruct_data.face.score import Emotion, Event, Score, read_instructions
from vqvae import arkit
from vqvae.losses import FaceLossWeights, face_losses


def score_of(*events: tuple, feeling: tuple[str, float] | None = None) -> Score:
    feelings = (Emotion(*feeling, 0.0, 4.0),) if feeling else ()
    return Score(4.0, tuple(Event(*e) for e in events), feelings)


STRENGTHS = (0.3, 0.7, 0.85, 1.0)
STATES = ("close_mouth", "return_to_neutral")
QUICK = ("blink", "wink_left", "wink_right")


def test_same_seed_same_clip_other_seed_another() -> None:
    score = score_of(("smile", 0.3, 1.5), feeling=("nervous", 0.5))
    first, same, other = (render(score, seed) for seed in (0, 0, 1))
    assert len(first) == 120 and first.fps == 30.0
    assert np.array_equal(same.curves, first.curves) and not np.array_equal(other.weights, first.weights)


@pytest.mark.parametrize("action", [a for a in action_names() if a not in STATES])
def test_every_action_is_seen_and_grows_with_its_intensity(action: str) -> None:
    levels = []
    for strength in STRENGTHS:
        score = Score(3.0, (Event(action, 0.4, 0.4 if action in QUICK else 1.6, strength),))
        result = check_score(render(score, 1), score)[0]
        assert result.passed, (strength, result.faults)
        levels.append(result.level)
    assert (np.diff(levels) > 0).all() and set(LOOKS) == set(action_names())


@pytest.mark.parametrize("emotion", emotion_names())
def test_every_emotion_grows_with_its_intensity(emotion: str) -> None:
    clips = [render(Score(4.0, (), (Emotion(emotion, s, 0, 4),)), 2) for s in STRENGTHS]
    pose = prototypes()[emotion].pose.mean(0)[: arkit.COUNT]
    if emotion == "neutral":  # the calmer, the less the head drifts
        levels = [-float(np.ptp(c.head, 0).sum()) for c in clips]
    else:
        levels = [float(c.weights.mean(0) @ pose) for c in clips]
    assert (np.diff(levels) > 0).all()


def test_sides_are_the_persons_own() -> None:
    wink = render(score_of(("wink_left", 0.5, 0.5)), 0)
    assert wink.channel("eyeBlinkLeft").max() > 0.85 > 0.2 > wink.slice(0, 40).channel("eyeBlinkRight").max()
    turn = render(score_of(("turn_head_left", 0.5, 2.0)), 0)
    assert np.degrees(turn.head[:, 0].max()) > 15
    tilt = render(score_of(("tilt_head_right", 0.5, 2.0)), 0)
    assert np.degrees(tilt.head[:, 2].max()) > 8
    up = render(score_of(("look_up_head", 0.5, 2.0)), 0)
    assert np.degrees(up.head[:, 1].max()) > 8
    look = render(score_of(("look_left", 0.5, 1.0)), 0)
    assert gaze(look)[0].max() > 0.4
    assert min(look.channel(n).max() for n in ("eyeLookOutLeft", "eyeLookInRight")) > 0.4


def test_a_blink_closes_fast_and_opens_slower() -> None:
    clip = render(score_of(("blink", 1.0, 0.4)), 0)
    lid = clip.channel("eyeBlink")[28:48]
    apex = int(lid.argmax())
    closing = apex - np.flatnonzero(lid[:apex] < 0.1)[-1]
    opening = np.flatnonzero(lid[apex:] < 0.1)[0]
    assert lid.max() > 0.85 and 2 <= closing <= 6 and closing <= opening <= 10


def test_an_empty_score_is_a_quiet_living_face() -> None:
    clip = render(Score(20.0), 7)
    mouth = [i for i, n in enumerate(arkit.NAMES) if n.startswith(("mouth", "jaw", "cheek", "tongue"))]
    assert clip.weights[:, mouth].max() <= 0.03
    lid = clip.channel("eyeBlink")
    assert lid.max() > 0.6 and (np.diff((lid > 0.4).astype(int)) == 1).sum() in range(2, 12)
    drift = np.degrees(np.ptp(clip.head, axis=0))
    assert (drift > 0.5).all() and (drift < 12).all()
    assert np.abs(np.diff(clip.head, axis=0)).max() < np.radians(1.5)


def test_both_halves_differ_a_little_but_not_much() -> None:
    clips = [render(score_of(("smile", 0.3, 3.0, 1.0)), seed) for seed in range(12)]
    share = [float(c.channel("mouthSmileLeft").max() - c.channel("mouthSmileRight").max()) for c in clips]
    assert 0.002 < np.std(share) < 0.12 and abs(np.mean(share)) < 0.06


def test_movements_are_smooth() -> None:
    clip = render(score_of(("smile", 0.3, 2.0), ("raise_brows", 0.6, 1.5), feeling=("happy", 0.5)), 0)
    eyes = [i for i, n in enumerate(arkit.NAMES) if n.startswith("eye")]
    rest = np.delete(clip.weights, eyes, axis=1)
    assert np.abs(np.diff(rest, axis=0)).max() < 0.25 and np.abs(np.diff(rest, 2, axis=0)).max() < 0.2


def test_neutral_and_a_closed_mouth_end_what_went_before() -> None:
    clip = render(score_of(("broad_smile", 0.2, 3.6), ("return_to_neutral", 1.8, 1.0), feeling=("excited", 0.5)), 0)
    assert clip.channel("mouthSmile")[45] > 0.5 > 0.2 > clip.channel("mouthSmile")[80]
    clip = render(score_of(("open_mouth", 0.2, 3.6), ("close_mouth", 1.8, 1.0)), 0)
    assert clip.channel("jawOpen")[45] > 0.3 > 0.05 > clip.channel("jawOpen")[80]


def test_the_real_instructions(shared: Path) -> None:
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


def test_one_sided_feelings_lie_on_either_side() -> None:
    name = max(prototypes(), key=lambda n: np.abs(np.subtract(*prototypes()[n].pose[:, :52])).max())
    way = np.subtract(*prototypes()[name].pose[:, :52])
    clips = [render(Score(2.0, (), (Emotion(name, 1.0, 0, 2),)), s) for s in range(10)]
    lean = np.sign([float(c.weights.mean(0) @ way) for c in clips])
    assert {-1.0, 1.0} == set(lean)


def test_feelings_change_and_events_rise() -> None:
    face = render(Score(6.0, (), (Emotion("happy", 0.1, 0.0, 6.0, 1.0),)), seed=3)
    levels = [read_emotions(face, s, s + 1)["happy"] for s in (0.5, 2.0, 3.5, 5.0)]
    assert levels == sorted(levels) and levels[0] < 0.35 and levels[-1] > 0.8
    smile = render(Score(5.0, (Event("smile", 0.2, 4.5, 0.8, 1, 0.9),)), seed=2).channel("mouthSmile")
    levels = [float(smile[round(30 * s)]) for s in (0.7, 1.7, 2.7, 3.7)]
    assert levels == sorted(levels) and levels[0] < 0.35 * levels[-1]


def test_losses_weigh_lids_and_lips() -> None:
    target = torch.zeros(2, 8, 55)
    mean, std = torch.zeros(55), torch.ones(55)
    assert all(float(v) == 0 for v in face_losses(target, target, mean, std, FaceLossWeights()).values())
    totals = {}
    for name in ("eyeBlinkLeft", "jawOpen", "cheekPuff"):
        off = target.clone()
        off[..., arkit.INDEX[name]] = 0.3
        terms = face_losses(off, target, mean, std, FaceLossWeights())
        assert float(terms.pop("weight_error")) == pytest.approx(0.3 / 52, rel=1e-5)
        totals[name] = float(torch.stack(list(terms.values())).sum())
    assert totals["eyeBlinkLeft"] > 2 * totals["cheekPuff"] and totals["jawOpen"] > 2 * totals["cheekPuff"]


def test_large_errors_of_rare_movements_are_not_forgiven() -> None:
    target, mean, std = torch.zeros(1, 8, 55), torch.zeros(55), torch.ones(55)

    def cost(error: float, bend: float) -> float:
        off = target.clone()
        off[..., 52] = error  # the head's yaw, in standard deviations
        return float(face_losses(off, target, mean, std, FaceLossWeights(bend=bend))["features"])

    assert cost(4.0, 4.0) == pytest.approx(16 * cost(1.0, 4.0))  # squared up to the bend
    assert cost(9.0, 4.0) - cost(8.0, 4.0) == pytest.approx(cost(6.0, 4.0) - cost(5.0, 4.0))  # straight beyond it
    assert cost(4.0, 0.5) < 10 * cost(1.0, 0.5)
