"""Losses of the driver: distance, speed, closed lips, a still mouth, action units, phones."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from avatargpt.face.audio_model.network import DriverOutput
from avatargpt.face.audio_model.stream import PAIRED_CHANNELS
from avatargpt.face.audio_model.visemes import WIDTH as CURVES
from avatargpt.metrics.lip_sync import CLOSED_PRESS, CONTACT_ROLL, MOUTH, movements
from avatargpt.speech.phones import ARPABET, CLOSED, LABIODENTAL
from avatargpt.speech.phones import INDEX as INDEX_OF
from vqvae.arkit import INDEX, NAMES, expand
from vqvae.strict import Rate, Strict

ACTION_UNITS = {
    "1": "browInnerUp", "2": "browOuterUp", "4": "browDown", "5": "eyeWide", "6": "cheekSquint", "7": "eyeSquint",
    "9": "noseSneer", "10": "mouthUpperUp", "12": "mouthSmile", "14": "mouthDimple", "15": "mouthFrown",
    "16": "mouthLowerDown", "17": "mouthShrugLower", "18": "mouthPucker", "19": "tongueOut", "20": "mouthStretch",
    "22": "mouthFunnel", "24": "mouthPress", "26": "jawOpen", "28": "mouthRollUpper", "29": "jawForward",
    "34": "cheekPuff", "45": "eyeBlink",
}  # fmt: skip
# Weights of frames with these phones: they are rare and their lip shapes conspicuous.
VISIBLE = {"F": 4.0, "V": 4.0, "P": 2.0, "B": 2.0, "M": 2.0} | dict.fromkeys("W UW SH ZH CH JH".split(), 1.5)
# Channels that close the lips.
SEAL = tuple(INDEX[n] for name in ("jawOpen", "mouthClose", "mouthPress") for n in expand(name))
_MOVEMENTS = movements(np.eye(CURVES))  # (55, 3): they are a linear map
ACTIVE, SOFT = 0.2, 0.05  # intensity at which an action unit counts as active, and the width of the transition


class DriverLosses(Strict):
    """The section `train: losses` of `configs/driver/*.yaml`: weights; 0 disables a term.

    Attributes:
        shut: factor for jaw and pressed lips in closures. An uncertain network gives half a closure, which looks like
            none; with factor w it closes where it is at least 1 / (1 + w) certain.
        seal: of the gate that closes the lips (if there is one), with missed p, b, m frames `shut` times as dear.
        bite: of the gate that brings the lower lip to the teeth in f and v, with missed ones `teeth` times as dear.
        concordance: of recorded pairs, 1 - Lin's coefficient of jaw, rounding and press over all frames of a batch. It
            rewards the movement's size; squared error alone prefers half a movement to all of it at a wrong moment.
    """

    curves: Rate = 1.0
    velocity: Rate = 2.0
    lips: Rate = 0.3
    still: Rate = 2.0
    action_units: Rate = 0.1
    phones: Rate = 0.7
    paired: Rate = 1.0
    amplitude: Rate = 0.1
    concordance: Rate = 0.0
    shut: Rate = 1.0
    seal: Rate = 0.5
    bite: Rate = 0.5
    teeth: Rate = 25.0


def lip_gap(curves: Tensor) -> Tensor:
    """(..., 55) -> (...): the gap between the lips, negative when pressed."""
    def get(name: str) -> Tensor:
        return curves[..., [INDEX[n] for n in expand(name)]].mean(-1)

    lift = 0.5 * (get("mouthLowerDown") + get("mouthUpperUp"))
    return get("jawOpen") - get("mouthClose") + lift - 0.5 * get("mouthPress")


def action_units(curves: Tensor) -> Tensor:
    """(..., 55) -> (..., 23) logits of active units, 0 at the threshold intensity."""
    means = [curves[..., [INDEX[n] for n in expand(name)]].mean(-1) for name in ACTION_UNITS.values()]
    return (torch.stack(means, -1) - ACTIVE) / SOFT


def emphasis(phones: Tensor) -> Tensor:
    """(B, T, 2) phones -> (B, T) weights by `VISIBLE`, the frames next to such a phone included."""
    table = torch.ones(len(ARPABET) + 1, device=phones.device)  # the last entry is for unknown phones, -1
    for name, weight in VISIBLE.items():
        table[INDEX_OF[name]] = weight
    here = table[phones].amax(-1)
    return F.max_pool1d(here[:, None], 3, 1, 1)[:, 0]


def closing(phones: Tensor, names: Collection[str] = CLOSED) -> Tensor:
    """(B, T, 2) phones -> (B, T) bool: a p, b or m (or one of `names`) in the frame or next to it."""
    here = torch.zeros_like(phones, dtype=torch.bool)
    for name in names:
        here |= phones == INDEX_OF[name]
    return F.max_pool1d(here.any(-1).float()[:, None], 3, 1, 1)[:, 0] > 0


def driver_losses(
    output: DriverOutput, curves: Tensor, phones: Tensor, mask: Tensor, paired: Tensor, scale: Tensor,
    paired_scale: Tensor, weights: DriverLosses,
) -> dict[str, Tensor]:  # fmt: skip
    """Weighted terms; their sum is the loss.

    Args:
        output: of the network, aligned with the curves.
        curves: (B, T, 55) targets.
        phones: (B, T, 2) indices, -1 where unknown.
        mask: (B, T) 1 where a frame counts.
        paired: (B,) True for rows of recorded pairs.
        scale, paired_scale: (55,) 1 / spread of each channel; 0 for channels that pairs do not hold.
    """
    out: dict[str, Tensor] = {}
    taught = mask * (~paired)[:, None]
    total = taught.sum().clamp(min=1)
    share = 1 / 14  # about as many channels move when speaking
    heavy = taught * emphasis(phones)
    heavy_total = heavy.sum().clamp(min=1)

    error = (output.curves.float() - curves) * scale
    press = curves[..., INDEX["mouthPressLeft"]]
    counted = error**2
    if weights.shut != 1:
        factor = torch.where(press > CLOSED_PRESS, weights.shut, 1.0)[..., None].to(error)
        seal = torch.zeros(error.shape[-1], dtype=torch.bool, device=error.device)
        seal[list(SEAL)] = True
        counted = torch.where(seal, counted * factor, counted)
    out["curves"] = weights.curves * (counted.sum(-1) * share * heavy).sum() / heavy_total
    step = (error[:, 1:] - error[:, :-1]) ** 2
    out["velocity"] = weights.velocity * (step.sum(-1) * share * heavy[:, 1:]).sum() / heavy_total
    gap = lip_gap(output.curves.float()) - lip_gap(curves)
    out["lips"] = weights.lips * ((gap / 0.15) ** 2 * (1 + 5 * (press > CLOSED_PRESS)) * taught).sum() / total
    mouth = list(MOUTH)
    quiet = (curves[..., mouth].amax(-1) < 0.005) * taught
    loud = output.curves.float()[..., mouth].abs().amax(-1)
    out["still"] = weights.still * (loud * quiet).sum() / total
    logits, active = (action_units(c) for c in (output.curves.float(), curves))
    binary = F.binary_cross_entropy_with_logits(logits, torch.sigmoid(active), reduction="none").sum(-1)
    out["action_units"] = weights.action_units * (binary * taught).sum() / total
    shut, rolled = press > CLOSED_PRESS, curves[..., INDEX["mouthRollLower"]] > CONTACT_ROLL
    gates = {
        "seal": (output.seal, closing(phones) & shut, weights.seal, weights.shut),
        "bite": (output.bite, closing(phones, LABIODENTAL) & rolled & ~shut, weights.bite, weights.teeth),
    }
    for name, (gate, active_frames, weight, miss_cost) in gates.items():
        if gate is not None:
            target = active_frames.to(error)
            binary = F.binary_cross_entropy_with_logits(gate.float(), target, reduction="none")
            out[name] = weight * (binary * (1 + (miss_cost - 1) * target) * taught).sum() / total
    has_phone = (phones >= 0) * taught[..., None]
    cross = F.cross_entropy(output.phones.float().flatten(0, 2), phones.clamp(min=0).flatten(), reduction="none")
    out["phones"] = weights.phones * (cross * has_phone.flatten()).sum() / has_phone.sum().clamp(min=1)

    real = mask * paired[:, None]
    if paired.any():
        total = real.sum().clamp(min=1)
        error = (output.paired.float() - curves) * paired_scale
        step = error[:, 1:] - error[:, :-1]
        both = (error**2).sum(-1)[:, 1:] + weights.velocity * (step**2).sum(-1)
        out["paired"] = weights.paired * (both * real[:, 1:]).sum() / total / len(PAIRED_CHANNELS)
        rows = output.paired.float()[paired] * paired_scale, curves[paired] * paired_scale
        spread = (rows[0].std(1) - rows[1].std(1)) ** 2
        out["amplitude"] = weights.amplitude * spread.sum(-1).mean() / len(PAIRED_CHANNELS)
        if weights.concordance:
            counted, table = real > 0, torch.from_numpy(_MOVEMENTS).to(curves)
            far = 1 - concordance(output.paired.float()[counted] @ table, curves[counted] @ table)
            out["concordance"] = weights.concordance * far.mean()
    return out


def concordance(a: Tensor, b: Tensor) -> Tensor:
    """Columns of (N, K) and (N, K) -> (K,) Lin's concordance correlation coefficients (Biometrics 45, 1989, eq. 1)."""
    distance = (a.mean(0) - b.mean(0)) ** 2
    both = ((a - a.mean(0)) * (b - b.mean(0))).mean(0)
    return 2 * both / (a.var(0, correction=0) + b.var(0, correction=0) + distance + 1e-6)


def channel_scale(spread: Tensor, only: tuple[int, ...] | None = None) -> Tensor:
    """(55,) 1 / (standard deviation + 0.05), heads in radians with 0.02; 0 outside `only`."""
    floor = torch.full_like(spread, 0.05)
    floor[len(NAMES) :] = 0.02
    scale = 1 / (spread + floor)
    if only is not None:
        keep = torch.zeros_like(scale)
        keep[list(only)] = 1
        scale = scale * keep
    return scale
