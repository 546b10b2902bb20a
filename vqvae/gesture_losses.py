"""Training losses of the gesture tokenizer, on normalised `gesture` features."""

from __future__ import annotations

import torch
from torch.nn.functional import smooth_l1_loss

from vqvae.features.gesture import UPPER, gesture_joints
from vqvae.strict import Rate, Strict


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
    """All terms, already weighted.

    Args:
        predicted, target: (B, T, 270) normalised features.
        mean, std: (270,).

    Returns:
        name -> scalar; their sum is the loss. ``mpjpe`` (of the 43 joints, metres, no gradient) is added for logging.
    """
    made, real = gesture_joints(predicted * std + mean), gesture_joints(target * std + mean)
    away, slip = (made - real).norm(dim=-1), (made.diff(dim=1) - real.diff(dim=1)).norm(dim=-1)
    return {
        "features": w.features * smooth_l1_loss(predicted, target, beta=0.5),
        "feature_velocity": w.feature_velocity * smooth_l1_loss(predicted.diff(dim=1), target.diff(dim=1), beta=0.5),
        "joints": w.joints * away.mean(),
        "joint_velocity": w.joint_velocity * slip.mean(),
        "tips": w.tips * away[..., len(UPPER) :].mean(),
        "mpjpe": away.detach().mean(),
    }
