"""Quick figures during training, on the cache's validation clips."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from avatargpt.speech.audio import FPS
from avatargpt.speech.batches import text_of
from avatargpt.speech.corpus import SpeechClip
from avatargpt.speech.direction import Direction
from avatargpt.speech.lipsync_metrics import Lips, channel, correlation, pressing, rounding
from avatargpt.speech.network import DriverNetwork
from avatargpt.speech.phones import Phone
from vqvae.arkit import COUNT
from vqvae.errors import UserError

SHIFTS = np.round(np.arange(-1.0, 2.001, 0.05), 2)
"""Of a gate's bias that are tried, least ready to close first."""


@torch.no_grad()
def predict(
    network: DriverNetwork, features: np.ndarray, device: torch.device, head: str = "taught",
    direction: Direction | None = None,
) -> np.ndarray:  # fmt: skip
    """(T, 332) -> (T, 55) in one pass, as the stream gives it up to rounding."""
    text = None
    if direction is not None:
        ahead = network.config.look_ahead
        frames = len(features) + ahead
        text = text_of({0: (direction, np.maximum(np.arange(frames) - ahead, 0) / FPS)}, 1, frames, device)
    said = network.whole(features, text)
    out = (said.curves if head == "taught" else said.paired)[0].float().cpu().numpy()
    out[:, :COUNT] = np.clip(out[:, :COUNT], 0, 1)
    return np.asarray(out, np.float32)


@torch.no_grad()
def settle_gate(network: DriverNetwork, clips: Sequence[SpeechClip], share: float, device: torch.device) -> float:
    """Let the gate close the lips as readily as it may: false closures inside at most `share` of the vowels of
    validation clips without noise (source ``clean``, or all taught ones where there are none).

    Returns:
        What was added to the gate's bias.

    Raises:
        UserError: a network without a gate, or no clips to measure with.
    """
    taught = [c for c in clips if c.split == "val" and c.kind == "taught"]
    used = [c for c in taught if c.source == "clean"] or taught
    if not network.config.seal or not used:
        raise UserError("false_closures: a gate (model: seal) and validation clips of taught speech are needed")
    network.eval()
    before = network.seal.bias.clone()
    best = float(SHIFTS[0])
    for shift in SHIFTS:
        network.seal.bias.copy_(before + shift)
        lips = Lips()
        for c in used:
            lips.add(predict(network, c.features, device), [Phone(*p) for p in c.phone_times])
        if lips.closure_vowel and np.mean(lips.closure_vowel) > share:
            break
        best = float(shift)
    network.seal.bias.copy_(before + best)
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
                mine, theirs = predict(network, clip.features, device, "paired"), clip.curves.astype(np.float32)
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
