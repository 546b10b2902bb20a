"""Joints bent further than they go are found, others are not."""

import numpy as np
import pytest

from avatargpt.metrics.limits import beyond_limits, limit_violations
from vqvae import rotations as rot
from vqvae.skeleton import SMPL22


def bent(joint: str, degrees: list[float], frames: int = 4) -> np.ndarray:
    q = rot.identity((frames, 22))
    q[:, SMPL22.index(joint)] = rot.from_axis_angle(np.deg2rad(np.asarray(degrees, float)))
    return q


@pytest.mark.parametrize(
    ("joint", "fine", "wrong", "group"),
    [
        ("l_knee", [120, 0, 0], [-25, 0, 0], "knee"),
        ("r_knee", [60, 0, 0], [40, 0, 30], "knee"),
        ("l_elbow", [0, -130, 0], [0, 30, 0], "elbow"),
        ("r_elbow", [0, 130, 0], [0, -30, 0], "elbow"),
        ("l_hip", [-110, 0, 0], [60, 0, 0], "hip"),
        ("r_ankle", [30, 0, 0], [80, 0, 0], "ankle"),
        ("l_collar", [0, 0, 20], [0, 0, 70], "collar"),
        ("r_wrist", [40, 0, 0], [130, 0, 0], "wrist"),
        ("head", [40, 0, 0], [0, 120, 0], "neck"),
        ("spine1", [40, 0, 0], [130, 0, 0], "spine"),
    ],
)
def test_limits(joint: str, fine: list[float], wrong: list[float], group: str) -> None:
    assert limit_violations(bent(joint, fine)) == 0
    found = beyond_limits(bent(joint, wrong))
    assert found[group].all() and not any(v.any() for k, v in found.items() if k != group)


def test_share_of_frames_and_shapes() -> None:
    q = bent("l_knee", [0, 0, 0], 10)
    q[:3] = bent("l_knee", [-40, 0, 0], 3)
    assert limit_violations(q) == pytest.approx(0.3)
    with pytest.raises(ValueError, match="accepted"):
        limit_violations(q[:, :5])
