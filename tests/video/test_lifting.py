"""Landmarks to a motion by the packaged network: pose, vertical, path, and the gates."""

from dataclasses import replace

import numpy as np
import pytest

from avatargpt.video import paths
from avatargpt.video.paths import motion_of
from tests.video.landmarks import person_of
from vqvae import rotations as rot
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22

TRUE_TILT = 0.2


def stepping(frames: int = 80, speed: float = 1.2) -> Motion:
    """A person who walks away from +Z's origin: legs swing so that a foot stands while the body passes over it."""
    t = np.arange(frames) / 20
    turn = rot.identity((frames, 22))
    stride = 0.5 * np.sin(2 * np.pi * 0.8 * t)
    for hip, knee, sign in ((1, 4, 1), (2, 5, -1)):
        turn[:, hip] = rot.from_axis_angle(np.outer(sign * stride, [1.0, 0, 0]))
        bend = np.clip(sign * np.cos(2 * np.pi * 0.8 * t), 0, None) * -1
        turn[:, knee] = rot.from_axis_angle(np.outer(-bend * 0.9, [1.0, 0, 0]))
    turn[:, 16] = rot.from_axis_angle(np.outer(-1.2 + 0.3 * stride, [0.0, 0, 1]))
    turn[:, 17] = rot.from_axis_angle(np.outer(1.2 + 0.3 * stride, [0.0, 0, 1]))
    root = np.stack([0.5 * speed * t, np.zeros(frames), -0.8 * speed * t], -1)
    low = SMPL22.fk(turn, np.zeros((frames, 3)))[..., 1].min(1)
    root[:, 1] = 0.02 - low
    return Motion(turn, root)


def test_pose_and_path_come_back():
    truth = stepping()
    p = person_of(truth, TRUE_TILT)
    lifted = motion_of(p)
    assert lifted.tilt == pytest.approx(np.degrees(TRUE_TILT), abs=4)
    local = [m.joints - m.joints[:, :1] for m in (truth, lifted.motion)]
    assert np.linalg.norm(local[0] - local[1], axis=-1).mean() < 0.08
    travelled = lifted.motion.root[-1] - lifted.motion.root[0] - truth.root[-1] + truth.root[0]
    assert np.linalg.norm(travelled[[0, 2]]) < 0.15 * np.linalg.norm(truth.root[-1] - truth.root[0])
    assert -0.05 < lifted.motion.joints[..., 1].min() < 0.05


def test_feet_are_moved_part_by_part_as_at_once(monkeypatch):
    p = person_of(stepping(), TRUE_TILT)
    whole = motion_of(p).motion
    monkeypatch.setattr(paths, "TOGETHER", 7)
    parts = motion_of(p).motion
    assert np.array_equal(whole.rotations, parts.rotations)


def test_a_body_that_jumps_leaves_the_floor():
    still = stepping().slice(0, 1)
    height = np.concatenate([np.zeros(30), 0.35 * np.sin(np.linspace(0, np.pi, 11)), np.zeros(30)])
    root = still.root + height[:, None] * [0, 1, 0]
    jump = Motion(np.repeat(still.rotations, len(height), 0), root)
    p = person_of(jump)
    got = motion_of(p).motion
    rise = got.root[:, 1] - np.median(got.root[:, 1])
    assert rise[32:39].max() > 0.2 and np.abs(rise[:24]).max() < 0.05


def test_what_is_no_person_is_refused():
    p = person_of(stepping())
    assert p.doubt() is None
    rng = np.random.default_rng(1)
    furniture = replace(p, world=rng.normal(0, 0.3, p.world.shape))
    assert "bones" in (furniture.doubt() or "")
    assert "visible" in (replace(p, visible=0.1 * p.visible).doubt() or "")
    assert "off the body" in (replace(p, points=p.points[:, ::-1]).doubt() or "")
    assert "pixels" in (replace(p, points=p.points / 40).doubt() or "")


def test_what_may_be_no_body_is_said():
    p = person_of(stepping())
    mixed = replace(p, world=np.random.default_rng(1).normal(0, 0.3, p.world.shape))
    assert not any("certainty" in note for note in motion_of(p).notes)
    assert any("may be no body" in note for note in motion_of(mixed).notes)


def test_a_leap_to_somebody_else_is_left_out():
    p = person_of(stepping())
    p.points[40:42] += 600
    assert 40 not in np.searchsorted(p.times, p.steady.times) and len(p.steady.times) == len(p.times) - 2
