"""Faster or slower, larger or smaller: rules on top of a motion of usual tempo and size.

Tempo is playing it in another time. Size is how far every joint goes from a standing pose with hanging arms, how far
the pelvis leans, how high the feet get over the floor and how far the way leads; it knows no objects and no reach.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from avatargpt.body.stitch import retimed
from instruct_data.requests.spec import Clause
from vqvae import rotations as rot
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22
from vqvae.smoothing import gaussian

TEMPI = {"very_slow": 0.55, "slow": 0.75, "fast": 1.35, "very_fast": 1.75}
SIZES = {"slight": 0.55, "small": 0.65, "large": 1.3, "very_large": 1.45}
CHANGE = 1.8  # times as fast at the end as at the beginning, where it gets faster
LEAST, MOST = 0.2, 4.0  # factors of speed
EVEN = 0.1  # seconds: what is done to the height of the pelvis is smoothed so far
# Degrees about each axis of the left arm's joints where it hangs, as keyframed clips begin.
HANGING = {"collar": (0, -19, 0), "shoulder": (16, 5, -78), "elbow": (0, -28, 0), "wrist": (22, 0, 0)}
LEGS = (1, 2, 4, 5, 7, 8, 10, 11)


def speed_asked(clause: Clause) -> float:
    """How many times as fast as usual, 1 = as usual or changing."""
    return min(max((clause.factor or 1.0) * TEMPI.get(clause.tempo or "", 1.0), LEAST), MOST)


def in_tempo(motion: Motion, clause: Clause) -> Motion:
    """The motion as fast as the clause asks."""
    factor = speed_asked(clause)
    if factor != 1:
        motion = retimed(motion, max(2, round(len(motion) / factor)))
    if clause.tempo in ("speeding_up", "slowing_down"):
        motion = changing(motion, CHANGE if clause.tempo == "speeding_up" else 1 / CHANGE)
    return motion


def changing(motion: Motion, by: float) -> Motion:
    """As long as before, but at the end `by` times as fast as at the beginning."""
    n = len(motion)
    pace = np.geomspace(by**-0.5, by**0.5, max(n - 1, 1))
    t = np.concatenate([[0.0], np.cumsum(pace)])
    return motion.sampled(t * (n - 1) / max(t[-1], 1e-9))


def sized(motion: Motion, factor: float) -> Motion:
    """Every joint `factor` times as far from a standing pose, feet as much higher over the floor, the way as much
    longer; who lies or sits keeps legs and way."""
    if factor == 1:
        return motion
    q = motion.rotations.astype(np.float64)
    upright = bool(np.median(motion.joints[:, 0, 1]) > 0.6)
    out = q.copy()
    standing = _standing()
    for j in range(1, q.shape[1]):
        if upright or j not in LEGS:
            away = rot.to_axis_angle(rot.multiply(rot.conjugate(standing[j]), q[:, j]))
            out[:, j] = rot.multiply(standing[j], rot.from_axis_angle(away * _kept(away, factor)))
    heading = rot.about_y(motion.heading)
    tilt = rot.to_axis_angle(rot.multiply(rot.conjugate(heading), q[:, 0]))
    if upright:
        out[:, 0] = rot.multiply(heading, rot.from_axis_angle(tilt * _kept(tilt, factor)))
    made = replace(motion, rotations=out)
    if not upright:
        return made
    lowest, new = motion.joints[..., 1].min(1), made.joints[..., 1].min(1)
    floor = float(np.percentile(lowest, 5))
    height = floor + np.maximum(lowest - floor, 0) * factor + np.minimum(lowest - floor, 0)
    root = motion.root.astype(np.float64).copy()
    root[:, 1] += gaussian((height - new)[:, None], EVEN * motion.fps)[:, 0]
    way = np.diff(root[:, [0, 2]], axis=0, prepend=root[:1, [0, 2]])
    root[:, [0, 2]] = root[:1, [0, 2]] + np.cumsum(way * _strides(made) / max(_strides(motion), 1e-6), axis=0)
    return replace(made, root=root)


def _strides(motion: Motion) -> float:
    """How far the feet get apart, metres: the 95th percentile."""
    apart = (motion.joints[:, 7] - motion.joints[:, 8])[:, [0, 2]]
    return float(np.percentile(np.linalg.norm(apart, axis=1), 95))


def _kept(away: np.ndarray, factor: float) -> np.ndarray:
    """(T, 1) factors of angles: large ones grow less, for joints have ends."""
    angle = np.linalg.norm(away, axis=-1, keepdims=True)
    room = np.ones_like(angle) if factor < 1 else 1 / (1 + (angle / np.radians(70)) ** 2)
    return np.asarray(1 + (factor - 1) * room)


@cache
def _standing() -> np.ndarray:
    """(22, 4) local rotations of somebody who stands with hanging arms."""
    angles = np.zeros((len(SMPL22.names), 3))
    for side, sign in (("l", 1.0), ("r", -1.0)):
        for joint, degrees in HANGING.items():
            angles[SMPL22.index(f"{side}_{joint}")] = np.array(degrees) * (1, sign, sign)
    return np.asarray(rot.from_axis_angle(np.radians(angles)))
