"""Validation figures of the driver during training, and the calibration of its gates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from avatargpt.face.audio_model.conditioning import Direction
from avatargpt.face.audio_model.driver import RecordedMouth
from avatargpt.face.audio_model.network import DriverNetwork, gate_share
from avatargpt.metrics.face import Lips, channel, correlation, measure_pressing, measure_rounding
from avatargpt.speech.audio import FPS
from avatargpt.speech.features import silence
from avatargpt.speech.phones import Phone
from avatargpt.train.speech_data.batches import text_of
from avatargpt.train.speech_data.corpus import SpeechClip
from vqvae.arkit import COUNT
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.face.audio_model.driver import Driver

# Candidate shifts of a gate's bias, in the order of readiness to close.
SHIFTS = np.round(np.arange(-3.0, 2.001, 0.05), 2)
# Gate -> the source of the calibration clips, and the false activations that count. Clean vowels are hardly ever
# taken for an f or v: on such clips that gate would be set too eager.
MEASURED = {
    "seal": ("clean", ("closure_vowel", "closure_consonant")), "bite": ("recorded", ("contact_vowel",)),
}  # fmt: skip


@torch.no_grad()
def predict(
    network: DriverNetwork, features: np.ndarray, device: torch.device, head: str = "rule",
    direction: Direction | None = None, told: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """(T, 332) -> (T, 55) in one pass, equal to the stream up to rounding. `told`: (T, 2) phones, -1 = unknown."""
    text = None
    if direction is not None:
        ahead = network.config.look_ahead
        frames = len(features) + ahead
        text = text_of({0: (direction, np.maximum(np.arange(frames) - ahead, 0) / FPS)}, 1, frames, device)
    output = network.clip_output(features, text, told)
    return _clip_curves(output.curves if head == "rule" else output.paired)


@torch.no_grad()
def as_recorded(driver: Driver, features: np.ndarray) -> np.ndarray:
    """(T, 332) -> (T, 55) in one pass, equal to a stream with the ``paired`` head up to rounding."""
    net, paired = driver.network, driver.paired
    behind = paired.config.look_ahead - net.config.look_ahead
    h = net.clip_states(np.concatenate([features.astype(np.float32), silence(30)[-1:].repeat(behind, 0)]))[0]
    output, taught = net.apply_heads(h, None), net.curves(h)[0]
    gates = [x[0] for x in (output.bite, output.seal) if x is not None]
    shares = [[gate_share(float(x[t])) for x in gates] for t in range(len(taught))]
    later = np.pad(paired.clip_output(features).paired[0].numpy(), ((behind, 0), (0, 0)))
    mouth = RecordedMouth(net, behind, paired.config.own)
    frames = zip(taught.numpy(), taught.numpy().copy(), output.phones[0].flatten(1), shares, later, strict=True)
    rows = [mouth.step(*frame) for frame in frames]
    return _clip_curves(torch.from_numpy(np.stack([row for row in rows if row is not None]))[None])


def _clip_curves(curves: Tensor) -> np.ndarray:
    # (1, T, 55) of a network -> (T, 55) with weights in [0, 1].
    out = curves[0].float().cpu().numpy()
    out[:, :COUNT] = np.clip(out[:, :COUNT], 0, 1)
    return np.asarray(out, np.float32)


@torch.no_grad()
def settle_gate(
    network: DriverNetwork, clips: Sequence[SpeechClip], share: float, gate: str = "seal", source: str = ""
) -> float:
    """Set a gate's bias so that it acts as readily as allowed; returns the shift.

    It may act falsely in `share` of the vowels of validation clips, and of the consonants for the gate ``seal``.

    Args:
        clips: those of the source are used, or all taught ones where there are none.
        gate: ``seal`` closes the lips, ``bite`` brings the lower one to the teeth.
        source: the first part of clips' names; "" = that of `MEASURED`.
    """
    usual, counted = MEASURED[gate]
    source = source or usual
    taught = [c for c in clips if c.split == "val" and c.kind == "taught"]
    used = [c for c in taught if c.source == source] or taught
    if not getattr(network.config, gate) or not used:
        raise UserError(f"a gate (model: {gate}) and validation clips of taught speech are needed to settle it")
    network.eval()
    # Hidden states do not depend on the gates' biases.
    states = [network.clip_states(c.features)[0] for c in used]
    bias = getattr(network, gate).bias
    before, best = bias.clone(), float("nan")
    for shift in SHIFTS:
        bias.copy_(before + shift)
        lips = Lips()
        for c, h in zip(used, states, strict=True):
            lips.add(_clip_curves(network.apply_heads(h, None).curves), [Phone(*p) for p in c.phone_times])
        # The shifts are sorted by readiness, so the first that acts falsely too often ends the search.
        if any(np.mean(false) > share for name in counted if (false := getattr(lips, name))):
            break
        best = float(shift)
    if np.isnan(best):
        bias.copy_(before)
        problem = f"shifted by {SHIFTS[0]:g} the gate {gate!r} acts by mistake in more than {share:g} of the vowels"
        raise UserError(f"{problem} or consonants; accepted: a larger share, 0 to leave it as it is, more training")
    bias.copy_(before + best)
    return best


def validate(network: DriverNetwork, clips: Sequence[SpeechClip], device: torch.device) -> dict[str, float]:
    """Closures, false closures, silence and rounding of taught clips; correlations of recorded pairs."""
    network.eval()
    figures: dict[str, float] = {}
    groups: dict[str, list[SpeechClip]] = {}
    for clip in clips:
        groups.setdefault(clip.source, []).append(clip)
    for source, group in groups.items():
        if group[0].kind == "paired":
            rows: dict[str, list[float]] = {"jaw": [], "round": [], "press": []}
            for clip in group:
                predicted, target = predict(network, clip.features, device, "recorded"), clip.curves.astype(np.float32)
                rows["jaw"].append(correlation(channel(predicted, "jawOpen"), channel(target, "jawOpen")))
                rows["round"].append(correlation(measure_rounding(predicted), measure_rounding(target)))
                rows["press"].append(correlation(measure_pressing(predicted), measure_pressing(target)))
            figures |= {f"{source}_{k}": float(np.nanmean(v)) for k, v in rows.items() if np.isfinite(v).any()}
            continue
        for name in (source, f"{source}_told") if network.config.told else (source,):
            lips, r = Lips(), []
            for clip in group:
                told = clip.phones if name != source else None
                predicted, target = predict(network, clip.features, device, told=told), clip.curves.astype(np.float32)
                lips.add(predicted, [Phone(*p) for p in clip.phone_times], target)
                r.append(correlation(measure_rounding(predicted), measure_rounding(target)))
            pairs = {
                "hit": lips.closure, "vowel": lips.closure_vowel, "consonant": lips.closure_consonant,
                "contact": lips.contact, "bitten": lips.contact_consonant, "silence": lips.silence, "round": r,
            }
            figures |= {f"{name}_{k}": float(np.nanmean(v)) for k, v in pairs.items() if len(v)}
    network.train()
    return figures
