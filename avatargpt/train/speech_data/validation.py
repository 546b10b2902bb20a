"""Quick figures during training, on the cache's validation clips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from avatargpt.face.audio_model.conditioning import Direction
from avatargpt.face.audio_model.network import DriverNetwork
from avatargpt.face.audio_model.stream import RecordedMouth
from avatargpt.metrics.lip_sync import Lips, channel, correlation, pressing, rounding
from avatargpt.speech.audio import FPS
from avatargpt.speech.features import silence
from avatargpt.speech.phones import Phone
from avatargpt.train.speech_data.batches import text_of
from avatargpt.train.speech_data.corpus import SpeechClip
from vqvae.arkit import COUNT
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.face.audio_model.driver import Driver

SHIFTS = np.round(np.arange(-1.0, 2.001, 0.05), 2)
"""Of a gate's bias that are tried, least ready to close first."""
MEASURED = {
    "seal": ("clean", ("closure_vowel", "closure_consonant")), "bite": ("recorded", ("contact_vowel",)),
}  # fmt: skip
"""Gate -> the clips that settle it, and which mistakes in them count. A vowel without noise is hardly ever taken for an
f or v: such clips would let that gate act at anything."""


@torch.no_grad()
def predict(
    network: DriverNetwork, features: np.ndarray, device: torch.device, head: str = "rule",
    direction: Direction | None = None,
) -> np.ndarray:  # fmt: skip
    """(T, 332) -> (T, 55) in one pass, as the stream gives it up to rounding."""
    text = None
    if direction is not None:
        ahead = network.config.look_ahead
        frames = len(features) + ahead
        text = text_of({0: (direction, np.maximum(np.arange(frames) - ahead, 0) / FPS)}, 1, frames, device)
    said = network.clip_output(features, text)
    return _clipped(said.curves if head == "rule" else said.paired)


@torch.no_grad()
def as_recorded(driver: Driver, features: np.ndarray) -> np.ndarray:
    """(T, 332) -> (T, 55) in one pass, as a stream with the ``paired`` head gives it up to rounding."""
    net, paired = driver.network, driver.paired
    behind = paired.config.look_ahead - net.config.look_ahead
    h = net.clip_states(np.concatenate([features.astype(np.float32), silence(30)[-1:].repeat(behind, 0)]))[0]
    said, taught = net.apply_heads(h, None), net.curves(h)[0]
    untold = torch.cat([taught, said.phones[0].flatten(1)], -1)
    logits = [0.0] * len(taught) if said.seal is None else said.seal[0].tolist()
    later = np.pad(paired.clip_output(features).paired[0].numpy(), ((behind, 0), (0, 0)))
    mouth = RecordedMouth(net, behind)
    shown = [mouth.step(*frame) for frame in zip(taught.numpy(), untold, logits, later, strict=True)]
    return _clipped(torch.from_numpy(np.stack([row for row in shown if row is not None]))[None])


def _clipped(curves: Tensor) -> np.ndarray:
    """(1, T, 55) as a network says them -> (T, 55) as they are shown."""
    out = curves[0].float().cpu().numpy()
    out[:, :COUNT] = np.clip(out[:, :COUNT], 0, 1)
    return np.asarray(out, np.float32)


@torch.no_grad()
def settle_gate(network: DriverNetwork, clips: Sequence[SpeechClip], share: float, gate: str = "seal") -> float:
    """Let a gate act as readily as it may: by mistake inside at most `share` of the vowels of validation clips, and of
    the consonants for the one that closes the lips.

    Args:
        clips: those used are of the source that `MEASURED` names, or all taught ones where there are none.
        gate: ``seal`` closes the lips, ``bite`` brings the lower one to the teeth.

    Returns:
        What was added to the gate's bias.

    Raises:
        UserError: a network without this gate, no clips to measure with, or one that acts by mistake too often
            however it is shifted; the gate is then as it was.
    """
    source, counted = MEASURED[gate]
    taught = [c for c in clips if c.split == "val" and c.kind == "taught"]
    used = [c for c in taught if c.source == source] or taught
    if not getattr(network.config, gate) or not used:
        raise UserError(f"a gate (model: {gate}) and validation clips of taught speech are needed to settle it")
    network.eval()
    heard = [network.clip_states(c.features)[0] for c in used]
    bias = getattr(network, gate).bias
    before, best = bias.clone(), float("nan")
    for shift in SHIFTS:
        bias.copy_(before + shift)
        lips = Lips()
        for c, h in zip(used, heard, strict=True):
            lips.add(_clipped(network.apply_heads(h, None).curves), [Phone(*p) for p in c.phone_times])
        if any(np.mean(false) > share for name in counted if (false := getattr(lips, name))):
            break
        best = float(shift)
    if np.isnan(best):
        bias.copy_(before)
        least = f"shifted by {SHIFTS[0]:g} the gate {gate!r} acts by mistake in more than {share:g} of the vowels"
        raise UserError(f"{least} or consonants; accepted: a larger share, 0 to leave it as it is, more training")
    bias.copy_(before + best)
    return best


def validate(network: DriverNetwork, clips: Sequence[SpeechClip], device: torch.device) -> dict[str, float]:
    """Closure hits and false closures, silence and rounding of taught clips; correlations of recorded pairs."""
    network.eval()
    found: dict[str, float] = {}
    groups: dict[str, list[SpeechClip]] = {}
    for clip in clips:
        groups.setdefault(clip.source, []).append(clip)
    for source, some in groups.items():
        if some[0].kind == "paired":
            rows: dict[str, list[float]] = {"jaw": [], "round": [], "press": []}
            for clip in some:
                mine, theirs = predict(network, clip.features, device, "recorded"), clip.curves.astype(np.float32)
                rows["jaw"].append(correlation(channel(mine, "jawOpen"), channel(theirs, "jawOpen")))
                rows["round"].append(correlation(rounding(mine), rounding(theirs)))
                rows["press"].append(correlation(pressing(mine), pressing(theirs)))
            found |= {f"{source}_{k}": float(np.nanmean(v)) for k, v in rows.items() if np.isfinite(v).any()}
            continue
        lips, r = Lips(), []
        for clip in some:
            mine, theirs = predict(network, clip.features, device), clip.curves.astype(np.float32)
            lips.add(mine, [Phone(*p) for p in clip.phone_times], theirs)
            r.append(correlation(rounding(mine), rounding(theirs)))
        pairs = {
            "hit": lips.closure, "vowel": lips.closure_vowel, "consonant": lips.closure_consonant,
            "contact": lips.contact, "silence": lips.silence, "round": r,
        }
        found |= {f"{source}_{k}": float(np.nanmean(v)) for k, v in pairs.items() if len(v)}
    network.train()
    return found
