"""What a gesture network is trained towards."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from vqvae.rotations import matrix_from_6d
from vqvae.strict import Rate, Strict

TINY = 1e-6


class GestureLosses(Strict):
    """Weights that `configs/gesture/*.yaml` may set under `train: losses`; 0 leaves a term out.

    Attributes:
        features: smooth L1 of all normalised channels (Huber, 1 standard deviation).
        position: metres between joints. rotation: radians between rotations (geodesic).
        velocity, acceleration: L1 of the first and second differences of normalised channels.
        tokens: nats of a token's codes, mean over levels.
    """

    features: Rate = 1.0
    position: Rate = 5.0
    rotation: Rate = 1.0
    velocity: Rate = 1.0
    acceleration: Rate = 0.5
    tokens: Rate = 0.5


def geodesic(a: Tensor, b: Tensor) -> Tensor:
    """Angle in radians between rotations (..., 6) and (..., 6).

    From the Frobenius norm of the matrices' difference, 2 sqrt(2) sin(angle / 2), whose gradient stays finite where the
    arc cosine of the trace has none.
    """
    apart = (matrix_from_6d(a) - matrix_from_6d(b)).flatten(-2)
    half = (apart.square().sum(-1) + TINY).sqrt() / (2 * math.sqrt(2))
    return 2 * torch.asin(half.clamp(max=1 - TINY))


def mean_of(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the last axis, then over frames whose mask is 1: (B, T, k), (B, T) -> ()."""
    return (values.mean(-1) * mask).sum() / mask.sum().clamp(min=1)


def columns(x: Tensor, spans: Sequence[Sequence[int]], size: int) -> Tensor:
    """(B, T, F) -> (B, T, k, size): the columns of some spans, in groups."""
    return torch.cat([x[..., start:stop] for start, stop in spans], -1).unflatten(-1, (-1, size))


def gesture_losses(
    motion: Tensor, logits: Tensor, truth: Tensor, codes: Tensor, mask: Tensor, std: Tensor,
    rotations: Sequence[Sequence[int]], positions: Sequence[Sequence[int]], weights: GestureLosses,
) -> dict[str, Tensor]:  # fmt: skip
    """Weighted terms.

    Args:
        motion, truth: (B, T, F). logits: (B, N, R, K). codes: (B, N, R), -1 = not known. mask: (B, T), 1 = known.
        std: (F,) of the motion. rotations, positions: columns [start, stop) of F.
    """
    motion, truth = motion.float(), truth.float()
    apart = (motion - truth) / std
    both = mask[:, 1:] * mask[:, :-1]
    three = both[:, 1:] * both[:, :-1]
    out: dict[str, Tensor] = {}
    if weights.features:
        out["features"] = mean_of(F.smooth_l1_loss(apart, torch.zeros_like(apart), reduction="none"), mask)
    if weights.velocity:
        out["velocity"] = mean_of(apart.diff(dim=1).abs(), both)
    if weights.acceleration:
        out["acceleration"] = mean_of(apart.diff(n=2, dim=1).abs(), three)
    if weights.position and positions:
        far = columns(motion, positions, 3) - columns(truth, positions, 3)
        out["position"] = mean_of((far.square().sum(-1) + TINY).sqrt(), mask)
    if weights.rotation and rotations:
        out["rotation"] = mean_of(geodesic(columns(motion, rotations, 6), columns(truth, rotations, 6)), mask)
    if weights.tokens:
        known = (codes >= 0).float()
        nats = F.cross_entropy(logits.float().flatten(0, -2), codes.clamp(min=0).flatten(), reduction="none")
        out["tokens"] = (nats * known.flatten()).sum() / known.sum().clamp(min=1)
    return {name: value * getattr(weights, name) for name, value in out.items()}
