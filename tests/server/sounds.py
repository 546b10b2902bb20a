"""Sounds for the server, and how they get there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import soundfile

RATE = 16_000


def voice(seconds: float) -> np.ndarray:
    """(n,) int16 samples at `RATE` of a buzz whose loudness goes up and down as that of syllables."""
    t = np.arange(round(seconds * RATE)) / RATE
    buzz = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 12))
    return np.asarray(6000 * buzz * np.sin(np.pi * 4 * t).clip(0), np.int16)


def sound_file(folder: Path, seconds: float = 1.5) -> Path:
    """A .wav of `voice`."""
    path = folder / "voice.wav"
    soundfile.write(path, voice(seconds), RATE)
    return path


def uploaded(address: str, path: Path) -> dict[str, Any]:
    """What a server says of a file that it was sent."""
    answer = httpx.post(f"{address}/v1/uploads", params={"name": path.name}, content=path.read_bytes())
    assert answer.status_code == 201, answer.text
    row: dict[str, Any] = answer.json()
    return row
