"""The training cache of the driver: features, curves and phones of all clips in one file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from avatargpt.face.audio_model.visemes import STYLE
from avatargpt.face.audio_model.visemes import WIDTH as CURVES
from avatargpt.speech.features import WIDTH as FEATURES
from vqvae.errors import UserError
from vqvae.io.files import parsing
from vqvae.motion import atomic_write

FILE = "speech.safetensors"
# `taught`: rule-based curves of phone times; `paired`: recorded with the sound, for a separate head.
KINDS = ("taught", "paired")


@dataclass
class SpeechClip:
    """One clip of T frames at 30 fps."""

    features: np.ndarray  # (T, 332)
    curves: np.ndarray  # (T, 55) ARKit weights, head yaw, pitch, roll
    phones: np.ndarray  # (T, 2) uint8, two for each frame; all silence where they are unknown
    style: np.ndarray = field(default_factory=lambda: np.zeros(len(STYLE), np.float32))  # (8,) of the speaker
    kind: str = "taught"  # one of `KINDS`
    split: str = "train"  # ``train`` or ``val``
    name: str = ""  # e.g. ``espeak/en-us+f3/12``; its first part is the source
    phone_times: list[list[Any]] = field(default_factory=list)  # ``[[phone, start, end], ...]`` in seconds

    def __len__(self) -> int:
        return len(self.features)

    @property
    def source(self) -> str:
        return self.name.split("/")[0]


def save(clips: Iterable[SpeechClip], folder: str | os.PathLike[str]) -> Path:
    """Write a cache; float16 features and curves."""
    items = list(clips)
    if not items:
        raise UserError(f"{folder}: no speech clips to store")
    arrays = {
        "features": np.concatenate([c.features.astype(np.float16) for c in items]),
        "curves": np.concatenate([c.curves.astype(np.float16) for c in items]),
        "phones": np.concatenate([c.phones.astype(np.uint8) for c in items]),
        "style": np.stack([c.style.astype(np.float32) for c in items]),
        "lengths": np.array([len(c) for c in items], np.int64),
    }
    about = {"clips": json.dumps([[c.kind, c.split, c.name, c.phone_times] for c in items])}
    return atomic_write(Path(folder) / FILE, lambda p: save_file(arrays, p, about))


def load(folder: str | os.PathLike[str]) -> list[SpeechClip]:
    """All clips of a cache."""
    path = Path(folder) / FILE
    if not path.is_file():
        raise UserError(f"{folder}: no {FILE} in it; the speech stage writes one")
    with parsing(path, "a whole cache of clips", "build it again"):
        with safe_open(path, "np") as file:
            data = {k: file.get_tensor(k) for k in ("features", "curves", "phones", "style", "lengths")}
            about = json.loads(file.metadata()["clips"])
        ends = np.cumsum(data["lengths"])
        if data["features"].shape != (ends[-1], FEATURES) or data["curves"].shape != (ends[-1], CURVES):
            raise ValueError("arrays of another version")
        clips = []
        for i, ((kind, split, name, times), end) in enumerate(zip(about, ends, strict=True)):
            part = slice(end - data["lengths"][i], end)
            clips.append(SpeechClip(
                data["features"][part], data["curves"][part], data["phones"][part], data["style"][i], kind, split,
                name, times,
            ))  # fmt: skip
    return clips
