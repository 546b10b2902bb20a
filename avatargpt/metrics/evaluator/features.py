"""What the evaluator sees of a clip: joints alone, so that motion of any origin is judged alike."""

from __future__ import annotations

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.features import smooth_heading

FPS = 20.0
CHANNELS = 137
LEAST_FRAMES, MOST_FRAMES = 2, 6000


def joint_features(joints: np.ndarray) -> np.ndarray:
    """One row per frame, in the frame of the body's heading (`smooth_heading`) unless said otherwise.

    0 root height (m); 1:3 planar velocity of the root (m/s); 3 yaw rate (rad/s); 4:67 positions of the 21 other joints
    from the root (m); 67:133 velocities of the 22 joints, root motion included (m/s); 133:135 where the root stands as
    seen from the first frame (m); 135:137 sine and cosine of the yaw since then. After the layout of Guo et al. 2022
    (HumanML3D), without its rotations, which joints do not give.

    Args:
        joints: (T, 22, 3) metres at 20 frames per second, Y up.

    Returns:
        (T, 137) float32.

    Raises:
        UserError: another shape, fewer than 2 or more than 6000 frames, or numbers that are not finite.
    """
    x = np.asarray(joints, np.float64)
    if x.ndim != 3 or x.shape[1:] != (22, 3) or not LEAST_FRAMES <= len(x) <= MOST_FRAMES:
        raise UserError(f"joints {x.shape}; accepted (T, 22, 3) with T from {LEAST_FRAMES} to {MOST_FRAMES}")
    if not np.isfinite(x).all():
        raise UserError("joints with numbers that are not finite; accepted: metres")
    yaw = smooth_heading(x)
    back = rot.about_y(-yaw)
    moved = np.diff(x, axis=0) * FPS
    moved = rot.rotate(back[:, None], np.concatenate([moved[:1], moved]))
    rate = np.diff(yaw) * FPS
    place = rot.rotate(back[:1], x[:, 0] - x[0, 0])
    turned = yaw - yaw[0]
    n = len(x)
    return np.concatenate([
        x[:, 0, 1:2], moved[:, 0][:, [0, 2]], np.concatenate([rate[:1], rate])[:, None],
        rot.rotate(back[:, None], x[:, 1:] - x[:, :1]).reshape(n, -1), moved.reshape(n, -1),
        place[:, [0, 2]], np.stack([np.sin(turned), np.cos(turned)], -1),
    ], -1).astype(np.float32)  # fmt: skip
