"""Clips that can be computed, which several tests share."""

import numpy as np

from vqvae import rotations as rot
from vqvae.motion import Motion


def gliding(frames: int, speed: float = 1.0, swing: float = 6.0, caption: str = "") -> Motion:
    """A person gliding forward at `speed`, metres a second; the left arm swings with `swing` radians a second."""
    t = np.arange(frames) / 20
    q = np.broadcast_to(rot.identity((22,)), (frames, 22, 4)).copy()
    q[:, 16] = rot.from_axis_angle(np.outer(0.4 * np.sin(swing * t), [1.0, 0, 0]))
    return Motion(q, np.stack([0 * t, 0 * t + 0.95, speed * t], -1), caption=caption)


def swaying(frames: int = 60, fps: float = 20.0, seed: int = 0, start: tuple[float, float] = (0.0, 0.0)) -> Motion:
    """Every joint swings about an axis of its own while the body goes forward from `start` (x, z)."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames)[:, None, None] / fps
    q = rot.from_axis_angle(0.4 * np.sin(4 * t + rng.uniform(0, 6, (1, 22, 3))) * rng.uniform(0, 1, (1, 22, 3)))
    return Motion(q, t[:, 0] * [0.3, 0, 1.0] + [start[0], 0.95, start[1]], fps)
