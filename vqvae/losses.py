"""Training losses of the body, face and gesture tokenizers, on normalised features."""

from __future__ import annotations

import torch
from torch.nn.functional import huber_loss, smooth_l1_loss

from vqvae import arkit
from vqvae.features import UPPER, gesture_joints
from vqvae.rotations import matrix_from_6d
from vqvae.skeleton import FEET, SMPL22, constant, product
from vqvae.strict import Rate, Strict

# Rotations of joints without children move no joint; they show in points fixed to them: (joint, metres from it).
ENDS = ((15, (0.0, 0.0, 0.2)), (15, (0.0, 0.2, 0.0)), (20, (0.15, 0.0, 0.0)), (21, (-0.15, 0.0, 0.0)))
LIDS = tuple(arkit.INDEX[n] for n in ("eyeBlinkLeft", "eyeBlinkRight"))
LIPS = tuple(
    arkit.INDEX[n]
    for n in ("jawOpen", "mouthClose", "mouthPressLeft", "mouthPressRight", "mouthRollLower", "mouthRollUpper",
              "mouthFunnel", "mouthPucker", "mouthLowerDownLeft", "mouthLowerDownRight")
)  # fmt: skip


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
    rise: Rate = 0.0  # of the ground


def integrate_path(features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Planar root path (B, T, 2) in metres and yaw (B, T) in radians from unnormalised `body` features (B, T, D).

    It starts at the origin: the first frame's step is ignored.
    """
    vx, vz, rate = features[..., 1:4].unbind(-1)
    rate = torch.cat([torch.zeros_like(rate[:, :1]), rate[:, 1:]], 1)
    yaw = rate.cumsum(1)
    before = yaw - rate
    c, s = before.cos(), before.sin()
    step = torch.stack([c * vx + s * vz, c * vz - s * vx], -1)
    step = torch.cat([torch.zeros_like(step[:, :1]), step[:, 1:]], 1)
    return step.cumsum(1), yaw


def body_joints(features: torch.Tensor) -> torch.Tensor:
    """Joints in the heading frame, root above the origin: (B, T, 270) unnormalised -> (B, T, 22, 3) metres."""
    return _kinematics(features)[0]


def body_points(features: torch.Tensor) -> torch.Tensor:
    """Joints as `body_joints` and behind them the points of `ENDS`: (B, T, 270) -> (B, T, 26, 3) metres."""
    joints, turned = _kinematics(features)
    at = constant(tuple(j for j, _ in ENDS), joints.device)
    offsets = constant(tuple(o for _, o in ENDS), joints.device, joints.dtype)
    ends = joints.index_select(-2, at) + product(turned.index_select(-3, at), offsets[..., None])[..., 0]
    return torch.cat([joints, ends], -2)


def _kinematics(features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    matrices = matrix_from_6d(features[..., 4:136].unflatten(-1, (22, 6)))
    root = torch.nn.functional.pad(features[..., :1], (1, 1))
    return SMPL22.fk_global_torch(matrices, root)


def body_losses(
    predicted: torch.Tensor, target: torch.Tensor, mean: torch.Tensor, std: torch.Tensor, points: torch.Tensor,
    w: LossWeights, downsample: int = 4,
) -> dict[str, torch.Tensor]:
    """All terms, already weighted: name -> scalar; their sum is the loss.

    `mpjpe` (unweighted, metres, no gradient) is added for logging.

    Args:
        predicted, target: (B, T, 270) normalised features. mean, std: (270,).
        points: (B, T, 26, 3) `body_points` of the target, metres.
        downsample: frames a token; T is a multiple of it.
    """
    raw = predicted * std + mean
    truth = target * std + mean
    decoded = body_points(raw)
    away, slip = (decoded - points).norm(dim=-1), (decoded.diff(dim=1) - points.diff(dim=1)).norm(dim=-1)
    path, yaw = integrate_path(raw)
    path_true, yaw_true = integrate_path(truth)
    # the world velocity of feet that are on the floor in the source should equal the source's
    feet = constant(FEET, decoded.device)
    stance = truth[:, 1:, 265:269] > 0.5
    worlds = (_planar_world(decoded[..., :22, :], path, yaw), _planar_world(points[..., :22, :], path_true, yaw_true))
    step, true_step = (world.index_select(2, feet).diff(dim=1) for world in worlds)
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
        "jerk": w.jerk * _jerk_difference(*worlds, downsample),
        "rise": w.rise * _rise_difference(raw[..., 269:], truth[..., 269:]),
        "mpjpe": away[..., :22].detach().mean(),
    }


def _rise_difference(decoded: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """Error of the height of the ground and of its change (B, T, 1 or 0), metres and metres per frame, Huber."""
    # It is zero in nearly all clips: a mean over all features does not see it, and a median would leave it out.
    if not real.shape[-1]:
        return real.sum()
    height = smooth_l1_loss(decoded.cumsum(1), real.cumsum(1), beta=0.3)
    return height + 20 * smooth_l1_loss(decoded, real, beta=0.02)


def _jerk_difference(decoded: torch.Tensor, real: torch.Tensor, downsample: int) -> torch.Tensor:
    """Difference of mean jerk of (B, T, J, 3) at each place within a token, metres per frame^3, L1 over xyz."""
    # a decoder of several frames a token tends to be rougher at some of them, which errors of single frames miss
    size = [x.diff(n=3, dim=1).abs().sum(-1)[:, -3 % downsample :] for x in (decoded, real)]
    per = size[0].unflatten(1, (-1, downsample)).mean(1)
    return (per - size[1].mean(1, keepdim=True)).abs().mean()


def _planar_world(joints: torch.Tensor, path: torch.Tensor, yaw: torch.Tensor) -> torch.Tensor:
    """Joints (B, T, F, 3) in the heading frame -> world, by yaw (B, T) and path (B, T, 2)."""
    c, s = yaw.cos()[..., None], yaw.sin()[..., None]
    x, y, z = joints.unbind(-1)
    return torch.stack([c * x + s * z + path[..., None, 0], y, c * z - s * x + path[..., None, 1]], -1)


# Rare large movements (a turned head, a glance, the tongue) are several standard deviations: squared up to a large
# bend they count, with a small bend a mean over all channels hardly sees their absence.
class FaceLossWeights(Strict):
    """Weight of each term. `lids` and `lips` are per unit of ARKit weight, not normalised.

    `bend` is the error, in standard deviations of a channel, up to which features and velocities count squared,
    beyond it linearly.
    """

    features: Rate = 1.0
    feature_velocity: Rate = 1.0
    lids: Rate = 4.0
    lips: Rate = 4.0
    bend: Rate = 4.0


# Lids and lips also count in raw units: a blink is rare and a closed mouth is a small number.
def face_losses(
    predicted: torch.Tensor, target: torch.Tensor, mean: torch.Tensor, std: torch.Tensor, w: FaceLossWeights
) -> dict[str, torch.Tensor]:
    """All terms on normalised features (B, T, 55), already weighted: name -> scalar; their sum is the loss.

    ``weight_error`` (mean absolute error of the 52 weights, no gradient) is added for logging. `mean`, `std`: (55,).
    """
    error = (predicted - target) * std
    return {
        "features": w.features * huber_loss(predicted, target, delta=w.bend),
        "feature_velocity": w.feature_velocity * huber_loss(predicted.diff(dim=1), target.diff(dim=1), delta=w.bend),
        "lids": w.lids * error.index_select(-1, constant(LIDS, error.device)).abs().mean(),
        "lips": w.lips * error.index_select(-1, constant(LIPS, error.device)).abs().mean(),
        "weight_error": error[..., : arkit.COUNT].detach().abs().mean(),
    }


class GestureLossWeights(Strict):
    """Weight of each term; `joints` and `joint_velocity` are per metre, `tips` counts the fingers' joints once more."""

    features: Rate = 2.0
    feature_velocity: Rate = 2.0
    joints: Rate = 10.0
    joint_velocity: Rate = 20.0
    tips: Rate = 5.0


def gesture_losses(
    predicted: torch.Tensor, target: torch.Tensor, mean: torch.Tensor, std: torch.Tensor, w: GestureLossWeights
) -> dict[str, torch.Tensor]:
    """All terms on normalised features (B, T, 270), already weighted: name -> scalar; their sum is the loss.

    ``mpjpe`` (of the 43 joints, metres, no gradient) is added for logging. `mean`, `std`: (270,).
    """
    joints, real = gesture_joints(predicted * std + mean), gesture_joints(target * std + mean)
    away, slip = (joints - real).norm(dim=-1), (joints.diff(dim=1) - real.diff(dim=1)).norm(dim=-1)
    return {
        "features": w.features * smooth_l1_loss(predicted, target, beta=0.5),
        "feature_velocity": w.feature_velocity * smooth_l1_loss(predicted.diff(dim=1), target.diff(dim=1), beta=0.5),
        "joints": w.joints * away.mean(),
        "joint_velocity": w.joint_velocity * slip.mean(),
        "tips": w.tips * away[..., len(UPPER) :].mean(),
        "mpjpe": away.detach().mean(),
    }
