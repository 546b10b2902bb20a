"""How much and how hard a talking body moves: speed, acceleration, jerk, L1 diversity, distance of speed histograms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vqvae.errors import UserError
from vqvae.motion import Motion

UPPER = (3, 6, 9, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21)
"""Spine, neck, collars, head and arms: the upper body of BEAT2's evaluation."""
WRISTS = (20, 21)
EDGES = np.append(np.arange(0, 2.0001, 0.05), np.inf)  # m/s of `speed_histogram`; the last bin is open


def at_30(motion: Motion, least: int = 1) -> Motion:
    """The motion at 30 fps: differences of frames and orders of minima mean the same for every clip.

    Raises:
        UserError: fewer than `least` frames.
    """
    out = motion.resampled(30.0)
    if len(out) < least:
        raise UserError(f"motion of {len(out)} frames at 30 fps; at least {least} are needed")
    return out


def hand_speeds(motion: Motion) -> np.ndarray:
    """(T - 1, 2) m/s of the left and the right wrist in the world at 30 fps.

    Raises:
        UserError: fewer than two frames.
    """
    wrists = at_30(motion, 2).joints[:, WRISTS].astype(np.float64)
    return np.linalg.norm(np.diff(wrists, axis=0), axis=-1) * 30


def hand_speed(motion: Motion) -> float:
    """Mean of `hand_speeds`, m/s; 0.55 to 0.59 in recorded talks (this project, two takes)."""
    return float(hand_speeds(motion).mean())


def _mean_difference(motion: Motion, order: int) -> float:
    x = at_30(motion, order + 1).joints[:, UPPER].astype(np.float64)
    return float(np.linalg.norm(np.diff(x, n=order, axis=0), axis=-1).mean() * 30.0**order)


def mean_acceleration(motion: Motion) -> float:
    """Mean length of the second difference of the upper body's positions, m/s^2 at 30 fps.

    Source: the evaluation code of GENEA (Kucherenko et al. 2020), there in cm and of all joints.

    Raises:
        UserError: fewer than three frames.
    """
    return _mean_difference(motion, 2)


def mean_jerk(motion: Motion) -> float:
    """Mean length of the third difference of the upper body's positions, m/s^3 at 30 fps; source as above.

    Raises:
        UserError: fewer than four frames.
    """
    return _mean_difference(motion, 3)


def l1_diversity(motion: Motion) -> float:
    """How far poses are from the clip's mean pose, metres: L1 over the 13 joints' coordinates, mean over frames.

    Against the pelvis. Source: `L1div` of BEAT2's evaluation code (Liu et al. 2024), there over all 55 joints of
    SMPL-X, 30 of them in the fingers: its published figures are therefore several times larger.
    """
    x = at_30(motion).joints.astype(np.float64)
    poses = x[:, UPPER] - x[:, :1]
    return float(np.abs(poses - poses.mean(0)).sum((1, 2)).mean())


def speed_histogram(motions: Sequence[Motion]) -> np.ndarray:
    """(41,) shares of frames by wrist speed, both wrists summed: bins of 0.05 m/s up to 2 m/s, the last one open.

    Source: GENEA's histogram of moving distance. There frames beyond the last bin are dropped; here none are.

    Raises:
        UserError: no clips, or one of fewer than two frames.
    """
    if not motions:
        raise UserError("histogram of no clips; at least one motion is needed")
    counts, _ = np.histogram(np.concatenate([hand_speeds(m).ravel() for m in motions]), EDGES)
    return np.asarray(counts / counts.sum())


def hellinger(a: np.ndarray, b: np.ndarray) -> float:
    """Hellinger distance of two histograms, 0..1: sqrt(1 - sum sqrt(p q)), each of sum 1. Source: GENEA's code.

    Raises:
        UserError: different shapes, or entries that are below 0 or all 0.
    """
    p, q = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if p.shape != q.shape or p.min(initial=0) < 0 or q.min(initial=0) < 0 or not p.sum() > 0 or not q.sum() > 0:
        raise UserError(f"histograms of shapes {p.shape} and {q.shape}; accepted: one shape, entries of at least 0")
    return float(np.sqrt(max(0.0, 1 - np.sqrt(p / p.sum() * (q / q.sum())).sum())))


def hand_speed_distance(a: Sequence[Motion], b: Sequence[Motion]) -> float:
    """`hellinger` of the `speed_histogram` of two sets of clips, 0..1."""
    return hellinger(speed_histogram(a), speed_histogram(b))
