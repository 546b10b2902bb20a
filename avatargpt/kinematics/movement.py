"""A hand-made description of a clip, for distances between sets of clips where no trained evaluator is at hand.

A distance on it is called *kinematic FID* everywhere. It is not HumanML3D's FID: it knows no text and no semantics,
and its figures compare only with other kinematic FIDs against the same real clips.
"""

from __future__ import annotations

import numpy as np

from avatargpt.kinematics.pose import heading_frame
from vqvae.motion import heading

FEATURES = 228
MIN_FRAMES = 3


def kinematic_features(joints: np.ndarray, fps: float) -> np.ndarray:
    """Statistics of one clip (definition of this project).

    In the heading frame (`avatargpt.kinematics.pose.heading_frame`):
    0:66 mean and 66:132 standard deviation of joint positions (m);
    132:154 mean and 154:176 standard deviation of joint speeds (m/s);
    176:198 mean and 198:220 standard deviation of the length of joint accelerations (m/s^2);
    and of the root in the world: 220 path length per second, 221 net displacement per second (m/s), 222 and 223 mean
    forward and leftward velocity (m/s), 224 mean and 225 standard deviation of yaw rate (rad/s), 226 mean height and
    227 standard deviation of vertical velocity (m, m/s).

    Args:
        joints: (T, 22, 3) metres, T >= 3.
        fps: frames per second.

    Returns:
        (228,) float64.
    """
    x = np.asarray(joints, np.float64)
    if x.ndim != 3 or x.shape[1:] != (22, 3) or len(x) < MIN_FRAMES:
        raise ValueError(f"joints {x.shape}; accepted (T, 22, 3) with T >= {MIN_FRAMES}")
    local = heading_frame(x)
    speed = np.linalg.norm(np.diff(local, axis=0), axis=-1) * fps
    acceleration = np.linalg.norm(np.diff(local, n=2, axis=0), axis=-1) * fps**2
    yaw, root = heading(x), x[:, 0]
    step = np.diff(root, axis=0) * fps
    forward = np.stack([np.sin(yaw[:-1]), np.cos(yaw[:-1])], -1)
    left = np.stack([np.cos(yaw[:-1]), -np.sin(yaw[:-1])], -1)
    planar, rate = step[:, [0, 2]], np.diff(yaw) * fps
    path = [
        np.linalg.norm(planar, axis=-1).mean(), np.linalg.norm(planar.mean(0)), (planar * forward).sum(-1).mean(),
        (planar * left).sum(-1).mean(), rate.mean(), rate.std(), root[:, 1].mean(), step[:, 1].std(),
    ]  # fmt: skip
    return np.concatenate([
        local.mean(0).ravel(), local.std(0).ravel(), speed.mean(0), speed.std(0), acceleration.mean(0),
        acceleration.std(0), path,
    ])  # fmt: skip
