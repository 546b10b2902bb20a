"""Training losses of the face tokenizer, on normalised `face` features."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import smooth_l1_loss

from vqvae import arkit

LIDS = tuple(arkit.INDEX[n] for n in ("eyeBlinkLeft", "eyeBlinkRight"))
LIPS = tuple(
    arkit.INDEX[n]
    for n in ("jawOpen", "mouthClose", "mouthPressLeft", "mouthPressRight", "mouthRollLower", "mouthRollUpper",
              "mouthFunnel", "mouthPucker", "mouthLowerDownLeft", "mouthLowerDownRight")
)  # fmt: skip


@dataclass(frozen=True)
class FaceLossWeights:
    """Weight of each term. `lids` and `lips` are per unit of ARKit weight, not normalised."""

    features: float = 1.0
    feature_velocity: float = 1.0
    lids: float = 4.0
    lips: float = 4.0


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
        "features": w.features * smooth_l1_loss(predicted, target, beta=0.5),
        "feature_velocity": w.feature_velocity * smooth_l1_loss(predicted.diff(dim=1), target.diff(dim=1), beta=0.5),
        "lids": w.lids * error[..., LIDS].abs().mean(),
        "lips": w.lips * error[..., LIPS].abs().mean(),
        "weight_error": error[..., : arkit.COUNT].detach().abs().mean(),
    }
