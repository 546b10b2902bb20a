"""Losses of the body tokenizer: what each term sees."""

import numpy as np
import torch

from vqvae.features.body import BodyFeatures
from vqvae.losses import ENDS, LossWeights, body_joints, body_losses, body_points
from vqvae.motion import Motion


def nodding(degrees: float, joint: int = 15) -> torch.Tensor:
    """Features (1, 40, 269) of somebody who stands and turns one joint to and fro about its x axis."""
    angle = np.deg2rad(degrees) * np.sin(np.arange(40) / 3) / 2
    rotations = np.tile(np.array([1, 0, 0, 0], np.float32), (40, 22, 1))
    rotations[:, joint, 0], rotations[:, joint, 1] = np.cos(angle), np.sin(angle)
    root = np.tile(np.array([0, 0.93, 0], np.float32), (40, 1))
    return torch.from_numpy(BodyFeatures().encode(Motion(rotations, root, 20.0)))[None].float()


def losses(made: torch.Tensor, true: torch.Tensor, **weights: float) -> dict[str, torch.Tensor]:
    unit = torch.zeros(269), torch.ones(269)
    return body_losses(made, true, *unit, body_points(true), LossWeights(**weights))


def test_points_stand_behind_the_joints() -> None:
    features = nodding(30.0)
    points = body_points(features)
    assert points.shape == (1, 40, 22 + len(ENDS), 3)
    assert torch.equal(points[..., :22, :], body_joints(features))
    for i, (joint, offset) in enumerate(ENDS):
        away = (points[..., 22 + i, :] - points[..., joint, :]).norm(dim=-1)
        assert torch.allclose(away, torch.tensor(np.linalg.norm(offset)).float(), atol=1e-4)


def test_only_the_ends_show_how_the_head_is_turned() -> None:
    still, nods = nodding(0.0), nodding(40.0)
    found = losses(still, nods, ends=1.0, end_velocity=1.0)
    assert float(found["joints"]) < 1e-4 and float(found["joint_velocity"]) < 1e-4
    assert float(found["ends"]) > 0.01 and float(found["end_velocity"]) > 0.001
    assert float(losses(still, nods)["ends"]) == 0  # off unless asked for
    same = losses(nods, nods, ends=1.0, end_velocity=1.0)
    assert max(float(v) for v in same.values()) < 1e-5
