"""The choice among draws, and the sway of the trunk."""

import numpy as np
import pytest
import torch

from avatargpt.gesture.choice import BANNED, PAST, DrawChooser, measure_face_gap
from avatargpt.gesture.overlay import ASIDE, FARTHEST, SPINE, Sway
from avatargpt.speech.features import BANDS, PER_QUARTER, QUARTERS
from instruct_data.gesture.strokes import ARM, FPS, ROTATIONS, TRUNK, motion_of
from vqvae import rotations as rot
from vqvae.features import UPPER, GestureFeatures, gesture_joints
from vqvae.smoothing import average_window

STANDING = rot.identity((1, 43))[0]


def waving(speed: np.ndarray) -> np.ndarray:
    """Features of a right forearm that turns to and fro with a speed, radians a frame."""
    turns = np.repeat(STANDING[None], len(speed), 0)
    angle = np.cumsum(speed * np.where(np.arange(len(speed)) // 12 % 2, -1, 1))
    turns[:, ARM["r"][2]] = rot.from_axis_angle(angle[:, None] * np.array([0.0, 1.0, 0.0]))
    return GestureFeatures().encode(motion_of(turns)).astype(np.float32)


def sound(level: np.ndarray) -> np.ndarray:
    """Rows of prosody with a level."""
    rows = np.zeros((len(level), QUARTERS * PER_QUARTER + QUARTERS), np.float32)
    rows[:, BANDS : QUARTERS * PER_QUARTER : PER_QUARTER] = 2 * np.log(level + 1e-3)[:, None]
    return rows


def test_hands_that_follow_the_level_go_on() -> None:
    frames, rng = 10 * PAST, np.random.default_rng(3)
    level = average_window(np.abs(rng.standard_normal(frames + 12)), 15) ** 4
    loud, other = (waving(0.05 * x / x.mean()) for x in (level, level[::-1]))
    chooser, speed, codes = DrawChooser(), [np.zeros(0)], np.zeros((2, 2, 1), np.int64)
    chooser.hear(sound(level[:12]))
    for start in range(0, frames - 6, 6):
        chooser.hear(sound(level[start + 12 : start + 18]))
        draws = np.stack([other[start : start + 7], loud[start : start + 7]])
        joints = gesture_joints(torch.from_numpy(draws[chooser(draws, codes)])).numpy()
        speed.append(np.linalg.norm(np.diff(joints[:, UPPER.index("r_wrist")], axis=0), axis=-1))
    moved = np.concatenate(speed)
    blind = np.corrcoef(np.where(rng.random(len(level)) < 0.5, level, level[::-1]), level)[0, 1]
    assert np.corrcoef(moved, level[: len(moved)])[0, 1] > blind + 0.15


def test_hands_before_the_face_do_not_go_on() -> None:
    still = waving(np.zeros(7))
    joints = gesture_joints(torch.from_numpy(still)).numpy()
    head, wrist = (UPPER.index(n) for n in ("head", "r_wrist"))
    assert (measure_face_gap(joints) > 0).all()
    joints[:, wrist] = joints[:, head] + np.array([0.0, 0.05, 0.1])
    assert (measure_face_gap(joints) < 0).all()
    joints[:, wrist, 2] -= 0.3  # behind it
    assert (measure_face_gap(joints) > 0).all()


def test_draws_before_the_face_lose(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.stack([waving(np.full(7, x)) for x in (0.1, 0.0)])
    for gaps, expected in ((np.array([-0.05, 0.5]), 1), (np.array([0.5, -0.05]), 0), (np.array([0.02, 0.5]), 1)):
        gap = np.repeat(gaps[:, None], 6, 1)
        monkeypatch.setattr("avatargpt.gesture.choice.measure_face_gap", lambda joints, gap=gap: gap)
        chooser = DrawChooser()
        chooser.hear(sound(np.linspace(0.1, 1, 18)))
        assert chooser(rows, np.array([[[5], [6]], [[7], [8]]])) == expected
        hiding = gaps.min() < 0
        assert chooser.banned == ([[5, 6], [7, 8]][int(gaps.argmin())] if hiding else [])
    chooser = DrawChooser()
    chooser.hear(sound(np.ones(6 * BANNED)))
    for gap in (-0.05, *[0.5] * (BANNED // 2)):
        assert gap < 0 or chooser.banned == [5, 6]
        monkeypatch.setattr("avatargpt.gesture.choice.measure_face_gap", lambda joints, gap=gap: np.full((1, 6), gap))
        chooser(rows[:1], np.array([[[5], [6]]]))
    assert chooser.banned == []


def test_trunks_sway_farther_and_keep_what_lasts() -> None:
    at = np.arange(600) / FPS
    bent = np.zeros((600, 43, 3))
    bent[:, TRUNK[:4], 2] = (0.003 * np.sin(2 * np.pi * 0.5 * at) + 0.03)[:, None]
    features = GestureFeatures().encode(motion_of(rot.from_axis_angle(bent))).astype(np.float32)
    out = Sway().push(features)
    parts = Sway()
    assert np.array_equal(np.concatenate([parts.push(features[k : k + 7]) for k in range(0, 600, 7)]), out)
    moved = rot.to_axis_angle(rot.from_6d(out[300:, ROTATIONS].astype(np.float64).reshape(300, 43, 6)))
    assert 5 < moved[:, 0, 2].std() / bent[300:, 0, 2].std() < 10
    assert abs(moved[:, 0, 2].mean() - 0.03) < 0.003
    assert np.array_equal(out[:, 30:], features[:, 30:])
    assert moved[:, TRUNK].sum(1)[:, 2].std() < 4 * moved[:, 0, 2].std()  # the head takes a part of it back
    bent[:, TRUNK[:4], 2] *= 30
    wild = GestureFeatures().encode(motion_of(rot.from_axis_angle(bent))).astype(np.float32)
    turned = [rot.from_6d(x[:, :6].astype(np.float64)) for x in (wild, Sway().push(wild))]
    assert rot.angle_between(*turned).max() < FARTHEST + 1e-3


def test_nobody_turns_away_from_whom_they_talk_to() -> None:
    bent = np.zeros((300, 43, 3))
    bent[:, TRUNK[:SPINE], 1] = (0.2 * np.sin(2 * np.pi * 0.3 * np.arange(300) / FPS))[:, None]
    out = []
    for size in (0.1, 1.0):
        features = GestureFeatures().encode(motion_of(rot.from_axis_angle(size * bent))).astype(np.float32)
        swayed = rot.from_6d(Sway().push(features)[:, ROTATIONS].astype(np.float64).reshape(300, 43, 6))
        out.append(rot.to_axis_angle(swayed)[:, TRUNK[:SPINE], 1].sum(1))
    own = bent[:, TRUNK[:SPINE], 1].sum(1)
    assert np.abs(out[0] - 0.1 * own).max() < 0.01  # a small turn stays as it is
    assert own.max() > 3 * ASIDE and 0.9 * ASIDE < np.abs(out[1]).max() < ASIDE + 1e-3
