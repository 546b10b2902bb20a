"""Emotion prototypes: action units, gaze, head pose and liveliness of every feeling, read from ``emotions.yaml``."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from instruct_data.face import aus
from instruct_data.face.actions import SIZE
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.io.data_files import read_yaml

_OTHER_WORDS = {
    "happiness": "happy", "joy": "happy", "joyful": "happy", "glad": "happy", "sadness": "sad", "anger": "angry",
    "fear": "fearful", "afraid": "fearful", "scared": "fearful", "surprise": "surprised", "disgust": "disgusted",
    "contemptuous": "contempt", "amusement": "amused", "tenderness": "tender", "excitement": "excited",
    "pride": "proud", "pain": "pained", "shame": "ashamed", "boredom": "bored", "relief": "relieved",
    "confusion": "confused",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Prototype:
    """One emotion at full intensity.

    Attributes:
        name: e.g. ``happy``.
        pose: (2, 57) weights, head angles (radians) and gaze; row 0 with the left as its own side, row 1 the right.
        blinks, darts, sway: factors of blink rate, gaze jumps and head drift.
    """

    name: str
    pose: np.ndarray
    blinks: float
    darts: float
    sway: float


def _pose(entry: dict[str, Any], right: bool) -> np.ndarray:
    own, other = ("R", "L") if right else ("L", "R")
    units = entry["units"].split()
    units += [own + u for u in entry.get("one", "").split()] + [other + u for u in entry.get("other", "").split()]
    pose = np.zeros(SIZE)
    pose[: arkit.COUNT + 3] = aus.targets(" ".join(units))
    gaze = entry.get("gaze", {})
    pose[arkit.COUNT + 2] += entry.get("tilt", 0) * aus.DEGREES * (1 if right else -1)
    pose[-2] = gaze.get("aside", 0) * (-1 if right else 1)
    pose[-1] = gaze.get("y", 0)
    return pose


@cache
def prototypes() -> dict[str, Prototype]:
    """Every emotion by name."""
    data = read_yaml(Path(__file__).parent / "emotions.yaml")
    return {
        name: Prototype(name, np.stack([_pose(e, False), _pose(e, True)]), float(e.get("blinks", 1)),
                        float(e.get("darts", 1)), float(e.get("sway", 1))) for name, e in data.items()
    }  # fmt: skip


@cache
def one_sided() -> frozenset[str]:
    """Emotions that one side of the face shows, or that turn or tilt the head to one."""
    return frozenset(n for n, p in prototypes().items() if not np.array_equal(p.pose[0], p.pose[1]))


def emotion_names() -> list[str]:
    """All names, ``neutral`` first."""
    return list(prototypes())


def named_emotion(word: str) -> str:
    """The name of an emotion in any case, ``calm`` included; a few nouns are understood too.

    Raises:
        UserError: unknown (with the nearest name).
    """
    known = [*emotion_names(), "calm"]
    name = word.lower()
    name = _OTHER_WORDS.get(name, name)
    if name in known:
        return name
    near = get_close_matches(name, [*known, *_OTHER_WORDS], 1)
    hint = f"; did you mean {_OTHER_WORDS.get(near[0], near[0])}?" if near else ""
    raise UserError(f"emotion {word!r}: unknown{hint}; accepted {', '.join(known)}")
