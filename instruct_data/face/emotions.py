"""Facial action units (FACS) as ARKit shapes and head angles, and emotion prototypes made of them."""

# The map from unit to shapes is the one in common use (Apple's shapes are described after FACS); amplitudes at
# intensity E are the reach measured on real takes. Intensities A to E stand for 0.2, 0.4, 0.6, 0.8 and 1.

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from instruct_data.face.actions import DEGREES, SIZE
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.io.data_files import read_yaml

LETTERS = {"A": 0.2, "B": 0.4, "C": 0.6, "D": 0.8, "E": 1.0}


@dataclass(frozen=True)
class ActionUnit:
    """One unit."""

    number: int  # FACS number
    name: str  # FACS name
    shapes: dict[str, float]  # ARKit weights at intensity E; without a side both
    head: tuple[float, float, float] = (0.0, 0.0, 0.0)  # yaw, pitch, roll in degrees at intensity E
    needs: float = 0.0  # shape that must be open at least this far to count when read, for the jaw's three units


_TABLE = (
    ActionUnit(1, "inner brow raiser", {"browInnerUp": 0.9}),
    ActionUnit(2, "outer brow raiser", {"browOuterUp": 0.92}),
    ActionUnit(4, "brow lowerer", {"browDown": 0.95}),
    ActionUnit(5, "upper lid raiser", {"eyeWide": 0.9}),
    ActionUnit(6, "cheek raiser", {"cheekSquint": 0.87}),
    ActionUnit(7, "lid tightener", {"eyeSquint": 0.7}),
    ActionUnit(9, "nose wrinkler", {"noseSneer": 0.88}),
    ActionUnit(10, "upper lip raiser", {"mouthUpperUp": 0.65}),
    ActionUnit(12, "lip corner puller", {"mouthSmile": 0.88}),
    ActionUnit(14, "dimpler", {"mouthDimple": 0.55}),
    ActionUnit(15, "lip corner depressor", {"mouthFrown": 0.65}),
    ActionUnit(16, "lower lip depressor", {"mouthLowerDown": 0.75}),
    ActionUnit(17, "chin raiser", {"mouthShrugLower": 0.8}),
    ActionUnit(18, "lip pucker", {"mouthPucker": 0.7}),
    ActionUnit(19, "tongue show", {"tongueOut": 1.0}),
    ActionUnit(20, "lip stretcher", {"mouthStretch": 0.65}),
    ActionUnit(22, "lip funneler", {"mouthFunnel": 0.6}),
    ActionUnit(23, "lip tightener", {"mouthPress": 0.45}),
    ActionUnit(24, "lip pressor", {"mouthPress": 0.6}),
    ActionUnit(25, "lips part", {"jawOpen": 0.1}),
    ActionUnit(26, "jaw drop", {"jawOpen": 0.5}, needs=0.12),
    ActionUnit(27, "mouth stretch", {"jawOpen": 0.95}, needs=0.55),
    ActionUnit(28, "lip suck", {"mouthRollUpper": 0.7, "mouthRollLower": 0.7}),
    ActionUnit(29, "jaw thrust", {"jawForward": 0.6}),
    ActionUnit(30, "jaw sideways", {"jawLeft": 0.6, "jawRight": 0.6}),
    ActionUnit(34, "cheek puff", {"cheekPuff": 0.8}),
    ActionUnit(43, "eye closure", {"eyeBlink": 1.0}),
    ActionUnit(51, "head turn left", {}, (30, 0, 0)),
    ActionUnit(52, "head turn right", {}, (-30, 0, 0)),
    ActionUnit(53, "head up", {}, (0, 20, 0)),
    ActionUnit(54, "head down", {}, (0, -20, 0)),
    ActionUnit(55, "head tilt left", {}, (0, 0, -20)),
    ActionUnit(56, "head tilt right", {}, (0, 0, 20)),
    ActionUnit(61, "eyes turn left", {"eyeLookOutLeft": 0.8, "eyeLookInRight": 0.8}),
    ActionUnit(62, "eyes turn right", {"eyeLookInLeft": 0.8, "eyeLookOutRight": 0.8}),
    ActionUnit(63, "eyes up", {"eyeLookUp": 0.75}),
    ActionUnit(64, "eyes down", {"eyeLookDown": 0.6}),
)
UNITS: dict[int, ActionUnit] = {u.number: u for u in _TABLE}


def sides(shape: str, side: str = "") -> list[int]:
    """Channels of a shape: both sides, or one (``L``, ``R``) of a sided shape."""
    names = arkit.expand(shape)
    if side and len(names) == 2:
        names = (names["LR".index(side)],)
    return [arkit.INDEX[n] for n in names]


def parse_unit(text: str) -> tuple[int, float, str]:
    """``12D`` -> (12, 0.8, ""); ``L12C`` -> (12, 0.6, "L"); without a letter intensity E."""
    body = text.strip()
    side = body[0] if body[:1] in ("L", "R") else ""
    body = body[len(side) :]
    letter = body[-1] if body[-1:] in LETTERS else "E"
    number = body[: len(body) - (body[-1:] in LETTERS)]
    if not number.isdecimal() or int(number) not in UNITS:
        raise UserError(f"action unit {text!r}; accepted such as 12, 12D or L12C with numbers {sorted(UNITS)}")
    return int(number), LETTERS[letter], side


def targets(units: str) -> np.ndarray:
    """``"1C 2C R12D"`` -> (55,) weights and head angles in radians. Units on one shape: the strongest counts."""
    out = np.zeros(arkit.COUNT + 3)
    for text in units.split():
        number, intensity, side = parse_unit(text)
        unit = UNITS[number]
        for shape, amount in unit.shapes.items():
            channels = sides(shape, side)
            out[channels] = np.maximum(out[channels], amount * intensity)
        out[arkit.COUNT :] += np.array(unit.head) * DEGREES * intensity
    return out


@cache
def _readers() -> tuple[tuple[int, ...], np.ndarray]:
    """Numbers of the units and (units, 55) weights that read each as a mean over its channels, 1 = intensity E."""
    weights = np.zeros((len(_TABLE), arkit.COUNT + 3))
    for row, unit in zip(weights, _TABLE, strict=True):
        channels = [(c, amount) for shape, amount in unit.shapes.items() for c in sides(shape)]
        for c, amount in channels:
            row[c] = 1 / amount / len(channels)
        for axis, angle in enumerate(unit.head):
            row[arkit.COUNT + axis] = 1 / (angle * DEGREES) if angle else 0
    return tuple(u.number for u in _TABLE), weights


def read_units(motion: FaceMotion) -> dict[int, np.ndarray]:
    """Every unit's intensity over time: number -> (T,) in [0, 1], the mean of both sides, 1 = intensity E.

    The jaw's units exclude each other: 25 below what 26 needs, then 26, then 27. Units that differ only in how the lips
    are tightened (23, 24) read alike, because ARKit has one shape for both.
    """
    numbers, weights = _readers()
    x = motion.curves @ weights.T
    # Units with a left and a right member read the stronger one instead of the mean.
    out = {n: np.clip(v, 0, 1) for n, v in zip(numbers, x.T, strict=True)}
    out[30] = np.clip(np.maximum(motion.channel("jawLeft"), motion.channel("jawRight")) / 0.6, 0, 1)
    jaw = motion.channel("jawOpen")
    for number, above in ((25, UNITS[26].needs), (26, UNITS[27].needs)):
        out[number] = np.where(jaw < above, out[number], 0)
    for number in (26, 27):
        out[number] = np.where(jaw >= UNITS[number].needs, out[number], 0)
    return out


# Nouns and synonyms that are understood as names of emotions.
_OTHER_WORDS = {
    "happiness": "happy", "joy": "happy", "joyful": "happy", "glad": "happy", "sadness": "sad", "anger": "angry",
    "fear": "fearful", "afraid": "fearful", "scared": "fearful", "surprise": "surprised", "disgust": "disgusted",
    "contemptuous": "contempt", "amusement": "amused", "tenderness": "tender", "excitement": "excited",
    "pride": "proud", "pain": "pained", "shame": "ashamed", "boredom": "bored", "relief": "relieved",
    "confusion": "confused",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Prototype:
    """One emotion at full intensity."""

    name: str  # e.g. ``happy``
    # (2, 57) weights, head angles (radians) and gaze; row 0 with the left as its own side, row 1 the right
    pose: np.ndarray
    # blinks, darts, sway: factors of blink rate, gaze jumps and head drift
    blinks: float
    darts: float
    sway: float


def _pose(entry: dict[str, Any], right: bool) -> np.ndarray:
    first, second = ("R", "L") if right else ("L", "R")
    units = entry["units"].split()
    units += [first + u for u in entry.get("one", "").split()] + [second + u for u in entry.get("other", "").split()]
    pose = np.zeros(SIZE)
    pose[: arkit.COUNT + 3] = targets(" ".join(units))
    gaze = entry.get("gaze", {})
    pose[arkit.COUNT + 2] += entry.get("tilt", 0) * DEGREES * (1 if right else -1)
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


def find_emotion(word: str) -> str:
    """The name of an emotion in any case, ``calm`` included; a few nouns are understood too."""
    accepted = [*emotion_names(), "calm"]
    name = word.lower()
    name = _OTHER_WORDS.get(name, name)
    if name in accepted:
        return name
    matches = get_close_matches(name, [*accepted, *_OTHER_WORDS], 1)
    hint = f"; did you mean {_OTHER_WORDS.get(matches[0], matches[0])}?" if matches else ""
    raise UserError(f"emotion {word!r}: unknown{hint}; accepted {', '.join(accepted)}")
