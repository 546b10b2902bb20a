"""Losses of the body tokenizer: what each term sees."""

import numpy as np
import pytest
import torch

from vqvae.features import BodyFeatures
from vqvae.losses import ENDS, LossWeights, _jerk_difference, body_joints, body_losses, body_points
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


def test_jerk_is_compared_for_each_place_within_a_token() -> None:
    """Frames that are rougher in turn have the same mean jerk as even ones, and are seen all the same."""
    rng = np.random.default_rng(0)
    even = torch.from_numpy(rng.normal(size=(4, 64, 3, 3))).float() * 0.01
    assert float(_jerk_difference(even, even.flip(0), 4)) < float(even.diff(n=3, dim=1).abs().sum(-1).mean()) / 4
    steps = torch.zeros(1, 64, 1, 3)
    steps[:, 3::4] = 0.01  # one frame of four stands out
    jerk = steps.diff(n=3, dim=1).abs().sum(-1)[0, 1:, 0].reshape(15, 4).mean(0)
    smooth = torch.zeros_like(steps)
    assert float(_jerk_difference(steps, smooth, 4)) == pytest.approx(float(jerk.mean()))
    assert float(losses(nodding(20.0), nodding(20.0), jerk=1.0)["jerk"]) == 0
    assert float(losses(nodding(40.0, 1), nodding(20.0, 1), jerk=1.0)["jerk"]) > 0


@pytest.mark.parametrize("downsample", [1, 2, 4, 8])
def test_tokens_of_any_length_have_their_jerk(downsample: int) -> None:
    motion = torch.arange(64.0).reshape(1, 64, 1, 1).expand(1, 64, 1, 3)
    assert float(_jerk_difference(motion**2, motion, downsample)) == 0  # parabolas have none
    assert float(_jerk_difference(motion**3, motion, downsample)) == pytest.approx(18.0)  # three times 3!
