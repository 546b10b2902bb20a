"""The choice among draws, and the sway of the trunk."""

import numpy as np
import pytest
import torch

from avatargpt.gesture.choice import PAST, DrawChooser, cover_face
from avatargpt.gesture.overlay import Sway
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
    chooser, chosen = DrawChooser(), []
    chooser.hear(sound(level[:12]))
    for start in range(0, frames - 6, 6):
        chooser.hear(sound(level[start + 12 : start + 18]))
        part = slice(start, start + 7)
        chosen.append(chooser(np.stack([other[part], loud[part], other[::-1][-frames:][part]])))
    assert np.mean(np.array(chosen) == 1) > 0.55  # of three


def test_hands_before_the_face_do_not_go_on() -> None:
    still = waving(np.zeros(7))
    joints = gesture_joints(torch.from_numpy(still)).numpy()
    head, wrist = (UPPER.index(n) for n in ("head", "r_wrist"))
    assert not cover_face(joints).any()
    joints[:, wrist] = joints[:, head] + np.array([0.0, 0.05, 0.1])
    assert cover_face(joints).all()
    joints[:, wrist, 2] -= 0.3  # behind it
    assert not cover_face(joints).any()


def test_draws_before_the_face_lose(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.stack([waving(np.full(7, x)) for x in (0.1, 0.0)])
    level = np.linspace(0.1, 1, 18)
    for covered, expected in (([], None), ([0], 1), ([1], 0)):
        hidden = np.zeros((2, 6), bool)
        hidden[covered] = True
        monkeypatch.setattr("avatargpt.gesture.choice.cover_face", lambda joints, margin, hidden=hidden: hidden)
        chooser = DrawChooser()
        chooser.hear(sound(level))
        assert expected is None or chooser(rows) == expected


def test_trunks_sway_farther_and_keep_what_lasts() -> None:
    at = np.arange(600) / FPS
    bent = np.zeros((600, 43, 3))
    bent[:, TRUNK[:4], 2] = (0.01 * np.sin(2 * np.pi * 0.5 * at) + 0.03)[:, None]
    features = GestureFeatures().encode(motion_of(rot.from_axis_angle(bent))).astype(np.float32)
    out = Sway().push(features)
    parts = Sway()
    assert np.array_equal(np.concatenate([parts.push(features[k : k + 7]) for k in range(0, 600, 7)]), out)
    moved = rot.to_axis_angle(rot.from_6d(out[300:, ROTATIONS].astype(np.float64).reshape(300, 43, 6)))
    assert 2.5 < moved[:, 0, 2].std() / bent[300:, 0, 2].std() < 5.5
    assert abs(moved[:, 0, 2].mean() - 0.03) < 0.003
    assert np.array_equal(out[:, 30:], features[:, 30:])
    assert moved[:, TRUNK].sum(1)[:, 2].std() < 4 * moved[:, 0, 2].std()
