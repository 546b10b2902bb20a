"""A clip in 437 numbers: what its joints do, how fast, how often and in which part of the clip.

What `avatargpt.lm.scorer` sees of a motion. A hand-made description: no network, no text.
"""

from __future__ import annotations

import numpy as np

from avatargpt.kinematics.joints import swings
from avatargpt.kinematics.movement import kinematic_features
from avatargpt.kinematics.pose import heading_frame

SIZE = 437
KEY = [0, 15, 20, 21, 7, 8]  # pelvis, head, wrists, ankles
LEAST, WIDE = 0.12, 0.35  # m of a movement to and fro that counts
MOST = 24.0  # half-swings beyond which more are not told apart
SHORTEST = 6  # frames; the last pose of a shorter clip is held


def motion_signature(joints: np.ndarray, fps: float = 20.0) -> np.ndarray:
    """Numbers of one clip.

    0:228 `kinematic_features`; then, of the pelvis, head, wrists and ankles (6) in the heading frame: 228:282 mean and
    282:336 standard deviation of the positions in each third of the clip (m); 336:358 95th percentile of every joint's
    speed (m/s), 358:364 and 364:370 the largest speeds of the six in the heading frame and in the world; 370:388 the
    highest, lowest and mean height of the six over the floor (m); 388:412 how often they swing to and fro (x, y, z by
    12 cm, y by 35 cm; log of 1 + half-swings) and 412:436 half-swings per second; 436 log of the seconds.

    Args:
        joints: (T, 22, 3) metres, T >= 1.
        fps: frames per second.

    Returns:
        (437,) float32.
    """
    x = np.asarray(joints, np.float64)
    if x.ndim != 3 or x.shape[1:] != (22, 3) or not len(x):
        raise ValueError(f"joints {x.shape}; accepted (T, 22, 3) with T >= 1")
    if len(x) < SHORTEST:
        x = np.concatenate([x, np.repeat(x[-1:], SHORTEST - len(x), 0)])
    local = heading_frame(x)
    thirds = np.array_split(local[:, KEY], 3)
    speed = np.linalg.norm(np.diff(local, axis=0), axis=-1) * fps
    world = np.linalg.norm(np.diff(x[:, KEY], axis=0), axis=-1) * fps
    floor = np.percentile(x[:, [7, 8, 10, 11], 1].min(1), 5)
    height = x[:, KEY, 1] - floor
    often = np.array([
        min(float(swings(height[:, k] if axis == 1 else local[:, joint, axis], least)), MOST)
        for k, joint in enumerate(KEY) for axis, least in ((0, LEAST), (1, LEAST), (2, LEAST), (1, WIDE))
    ])  # fmt: skip
    seconds = len(x) / fps
    parts = [
        kinematic_features(x, fps), *(t.mean(0).ravel() for t in thirds), *(t.std(0).ravel() for t in thirds),
        np.percentile(speed, 95, axis=0), speed[:, KEY].max(0), world.max(0), height.max(0), height.min(0),
        height.mean(0), np.log1p(often), often / seconds, [np.log(seconds)],
    ]  # fmt: skip
    return np.concatenate(parts).astype(np.float32)
