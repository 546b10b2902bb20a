"""Training losses of the body tokenizer."""

from __future__ import annotations

import torch
from torch.nn.functional import smooth_l1_loss

from vqvae.features.body import FEET
from vqvae.rotations import matrix_from_6d
from vqvae.skeleton import SMPL22
from vqvae.strict import Rate, Strict


class LossWeights(Strict):
    """Weight of each term; all distances in metres, so weights are per metre."""

    features: Rate = 1.0
    feature_velocity: Rate = 0.5
    joints: Rate = 20.0
    joint_velocity: Rate = 40.0
    path: Rate = 4.0
    contact: Rate = 20.0
    ends: Rate = 0.0
    end_velocity: Rate = 0.0
    jerk: Rate = 0.0


# The rotations of joints without children move no joint. Points fixed to them show these: (joint, metres from it).
ENDS = ((15, (0.0, 0.0, 0.2)), (15, (0.0, 0.2, 0.0)), (20, (0.15, 0.0, 0.0)), (21, (-0.15, 0.0, 0.0)))


def integrate_path(features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Root path from unnormalised `body` features (B, T, D), starting at the origin.

    Returns:
        position (B, T, 2) planar x, z in metres; yaw (B, T) radians. The first frame's step is ignored.
    """
    rate = torch.cat([torch.zeros_like(features[:, :1, 3]), features[:, 1:, 3]], 1)
    yaw = rate.cumsum(1)
    before = yaw - rate
    vx, vz = features[..., 1], features[..., 2]
    step = torch.stack([before.cos() * vx + before.sin() * vz, before.cos() * vz - before.sin() * vx], -1)
    step = torch.cat([torch.zeros_like(step[:, :1]), step[:, 1:]], 1)
    return step.cumsum(1), yaw


def body_joints(features: torch.Tensor) -> torch.Tensor:
    """Joints in the heading frame, root above the origin: (B, T, 269) unnormalised -> (B, T, 22, 3) metres."""
    return _kinematics(features)[0]


def body_points(features: torch.Tensor) -> torch.Tensor:
    """Joints as `body_joints` and behind them the points of `ENDS`: (B, T, 269) -> (B, T, 26, 3) metres."""
    joints, turned = _kinematics(features)
    at = [j for j, _ in ENDS]
    offsets = torch.tensor([o for _, o in ENDS], dtype=joints.dtype, device=joints.device)
    return torch.cat([joints, joints[..., at, :] + (turned[..., at, :, :] @ offsets[..., None])[..., 0]], -2)


def _kinematics(features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    matrices = matrix_from_6d(features[..., 4:136].unflatten(-1, (22, 6)))
    root = torch.zeros_like(features[..., :3])
    root[..., 1] = features[..., 0]
    return SMPL22.fk_global_torch(matrices, root)


def body_losses(
    predicted: torch.Tensor, target: torch.Tensor, mean: torch.Tensor, std: torch.Tensor, points: torch.Tensor,
    w: LossWeights, downsample: int = 4,
) -> dict[str, torch.Tensor]:
    """All terms, already weighted.

    Args:
        predicted, target: (B, T, 269) normalised features.
        mean, std: (269,).
        points: (B, T, 26, 3) `body_points` of the target, metres.
        w: weights.
        downsample: frames a token; T is a multiple of it.

    Returns:
        name -> scalar; their sum is the loss. `mpjpe` (unweighted, metres, no gradient) is added for logging.
    """
    raw = predicted * std + mean
    truth = target * std + mean
    made = body_points(raw)
    away, slip = (made - points).norm(dim=-1), (made.diff(dim=1) - points.diff(dim=1)).norm(dim=-1)
    ours, joints = made[..., :22, :], points[..., :22, :]
    path, yaw = integrate_path(raw)
    path_true, yaw_true = integrate_path(truth)
    # World velocity of the feet in frames where the source has them on the floor: should equal the source's.
    feet = list(FEET)
    stance = truth[:, 1:, 265:269] > 0.5
    worlds = _planar_world(ours, path, yaw), _planar_world(joints, path_true, yaw_true)
    step, true_step = (w[:, :, feet].diff(dim=1) for w in worlds)
    slide = (step - true_step).norm(dim=-1) * stance
    return {
        "features": w.features * smooth_l1_loss(predicted, target, beta=0.5),
        "feature_velocity": w.feature_velocity * smooth_l1_loss(predicted.diff(dim=1), target.diff(dim=1), beta=0.5),
        "joints": w.joints * away[..., :22].mean(),
        "joint_velocity": w.joint_velocity * slip[..., :22].mean(),
        "ends": w.ends * away[..., 22:].mean(),
        "end_velocity": w.end_velocity * slip[..., 22:].mean(),
        "path": w.path * ((path - path_true).norm(dim=-1).mean() + (yaw - yaw_true).abs().mean()),
        "contact": w.contact * slide.sum() / stance.sum().clamp(min=1),
        "jerk": w.jerk * _jerk_apart(*worlds, downsample),
        "mpjpe": away[..., :22].detach().mean(),
    }


def _jerk_apart(made: torch.Tensor, real: torch.Tensor, downsample: int) -> torch.Tensor:
    """How far the usual jerk of each of a token's frames is from that of the real window, metres per frame^3.

    Each joint's third difference (L1 over xyz) is averaged over the window, of ours for every place within a token by
    itself: a decoder that writes several frames at once tends to be rougher at some of them, which no error of single
    frames tells.

    Args:
        made, real: (B, T, J, 3) in the world.
    """
    size = [x.diff(n=3, dim=1).abs().sum(-1)[:, -3 % downsample :] for x in (made, real)]
    per = size[0].unflatten(1, (-1, downsample)).mean(1)
    return (per - size[1].mean(1, keepdim=True)).abs().mean()


def _planar_world(joints: torch.Tensor, path: torch.Tensor, yaw: torch.Tensor) -> torch.Tensor:
    """Joints (B, T, F, 3) in the heading frame -> world, by yaw (B, T) and path (B, T, 2)."""
    c, s = yaw.cos()[..., None], yaw.sin()[..., None]
    x, y, z = joints.unbind(-1)
    return torch.stack([c * x + s * z + path[..., None, 0], y, c * z - s * x + path[..., None, 1]], -1)
