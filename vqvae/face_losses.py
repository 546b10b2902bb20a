"""Training losses of the face tokenizer, on normalised `face` features."""

from __future__ import annotations

import torch
from torch.nn.functional import huber_loss

from vqvae import arkit
from vqvae.strict import Rate, Strict

LIDS = tuple(arkit.INDEX[n] for n in ("eyeBlinkLeft", "eyeBlinkRight"))
LIPS = tuple(
    arkit.INDEX[n]
    for n in ("jawOpen", "mouthClose", "mouthPressLeft", "mouthPressRight", "mouthRollLower", "mouthRollUpper",
              "mouthFunnel", "mouthPucker", "mouthLowerDownLeft", "mouthLowerDownRight")
)  # fmt: skip


class FaceLossWeights(Strict):
    """Weight of each term. `lids` and `lips` are per unit of ARKit weight, not normalised.

    `bend` is the error, in standard deviations of a channel, up to which features and their velocity count squared;
    beyond it they count linearly, with the same slope. What is rare and large (a turned head, a glance, the tongue)
    lies at several standard deviations: where the bend comes early, a mean over all channels forgives leaving it out.
    """

    features: Rate = 1.0
    feature_velocity: Rate = 1.0
    lids: Rate = 4.0
    lips: Rate = 4.0
    bend: Rate = 4.0


def face_losses(
    predicted: torch.Tensor, target: torch.Tensor, mean: torch.Tensor, std: torch.Tensor, w: FaceLossWeights
) -> dict[str, torch.Tensor]:
    """All terms, already weighted.

    Lids and lips also count in raw units: a blink is rare and a closed mouth is a small number, so both would be lost
    in a mean over normalised channels.

    Args:
        predicted, target: (B, T, 55) normalised features.
        mean, std: (55,).

    Returns:
        name -> scalar; their sum is the loss. ``weight_error`` (mean absolute error of the 52 weights, no gradient) is
        added for logging.
    """
    error = (predicted - target) * std
    return {
        "features": w.features * huber_loss(predicted, target, delta=w.bend),
        "feature_velocity": w.feature_velocity * huber_loss(predicted.diff(dim=1), target.diff(dim=1), delta=w.bend),
        "lids": w.lids * error[..., LIDS].abs().mean(),
        "lips": w.lips * error[..., LIPS].abs().mean(),
        "weight_error": error[..., : arkit.COUNT].detach().abs().mean(),
    }
