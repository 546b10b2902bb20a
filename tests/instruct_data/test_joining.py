"""Joining clips, and the facts read off their geometry."""

from __future__ import annotations

import numpy as np
import pytest

from instruct_data.joining import _quintic, join_best, join_motions, suits
from instruct_data.sources.quantised import read_quantised
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion, concatenate
from vqvae.skeleton import SMPL22


def swing(frames=40, phase=0.0, speed=1.2, yaw=0.0, joint="l_shoulder", amplitude=0.8) -> Motion:
    """Walks along +Z at `speed` m/s while one joint swings."""
    t = np.arange(frames) / 20
    q = rot.identity((frames, 22))
    q[:, SMPL22.index(joint)] = rot.from_axis_angle(np.stack([0 * t, 0 * t, amplitude * np.sin(4 * t + phase)], -1))
    root = np.stack([0 * t, 0 * t + 0.93, speed * t], -1)
    return Motion(q, root).moved(yaw, np.array([3.0, 0, -2.0]))


def jerk(m: Motion) -> np.ndarray:
    return np.abs(np.diff(m.joints.astype(float), 3, axis=0)).sum(-1).max(-1)


def test_quintic_ends():
    x = _quintic(np.array([1.0, 0.0]), np.array([0.1, -0.2]), 1000)
    assert np.allclose(x[0], [1, 0]) and np.allclose(x[1] - x[0], [0.1, -0.2], atol=1e-3)
    assert np.abs(x[-1]).max() < 1e-2 and np.abs(x[-1] - x[-2]).max() < 1e-3


def test_join_goes_on_in_direction_and_speed():
    a, b = swing(yaw=0.7), swing(phase=1.5, yaw=-2.0)
    m = join_motions(a, b)
    assert len(m) == len(a) + len(b)
    assert np.array_equal(m.rotations[: len(a)], a.rotations)
    steps = np.linalg.norm(np.diff(m.root[:, [0, 2]], axis=0), axis=-1)
    assert np.allclose(steps, 0.06, atol=1e-3)
    assert np.ptp(m.heading) < 0.01
    naive = concatenate([a, b])
    seam = slice(len(a) - 4, len(a) + 6)
    assert jerk(m)[seam].max() < 0.1 * jerk(naive)[seam].max()
    # after the blend b plays as it is
    assert np.abs(m.rotations[len(a) + 8 :, 1:] - b.rotations[8:, 1:]).max() < 1e-6


def test_join_changes_speed_smoothly():
    m = join_motions(swing(speed=2.0), swing(speed=0.0))
    steps = np.linalg.norm(np.diff(m.root[:, [0, 2]], axis=0), axis=-1)
    assert steps[39] == pytest.approx(0.1, abs=0.01) and steps[50:].max() < 1e-3
    assert np.abs(np.diff(steps)).max() < 0.04


def test_a_clip_with_itself_is_seamless():
    a = swing(60)
    m = join_motions(a.slice(0, 30), a.slice(30, 60))
    assert np.abs(m.joints - a.joints).max() < 0.03  # what the arm would do at constant speed


def test_suits_finds_the_matching_frames():
    long = swing(90)
    a, b = long.slice(0, 50), long.slice(44, 90)
    fit = suits(a, b, window=0.5)
    # the best cut follows the same movement: b's frame `start` is a's last kept frame or the next one
    assert abs((44 + fit.start) - (fit.end - 1)) <= 1
    assert fit.cost < 0.02 < suits(a, swing(phase=3.0, joint="r_shoulder"), window=0.0).cost
    both, seam = join_best(a, b)
    assert seam == fit.end and len(both) == fit.end + len(b) - fit.start


def test_other_frame_rates_are_refused():
    with pytest.raises(UserError, match="20 and 30 fps"):
        join_motions(swing(), swing().resampled(30))


def test_single_frames_join():
    m = join_motions(swing().slice(0, 1), swing().slice(3, 4))
    assert len(m) == 2 and np.isfinite(m.joints).all()


def test_real_seams_are_as_smooth_as_real_motion(shared):
    rows = list(read_quantised(shared / "data/body", "train"))
    rng = np.random.default_rng(0)
    real = np.concatenate([jerk(rows[i].load()) for i in rng.integers(len(rows), size=150)])
    peaks = []
    for i, j in rng.integers(len(rows), size=(60, 2)):
        m, s = join_best(rows[i].load(), rows[j].load())
        peaks.append(jerk(m)[max(s - 6, 0) : s + 8].max())
    assert np.median(peaks) < 1.5 * np.percentile(real, 95)
