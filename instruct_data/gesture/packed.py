"""Strokes in few bytes: rotations away from rest, in 8 bits, at 15 fps, of the joints that take part."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from instruct_data.gesture.strokes import LIMB, SIDES, TRUNK, Stroke, Turns
from vqvae import rotations as rot
from vqvae.errors import UserError

STEP = 2  # frames between two keys; one of them is the emphasis, which so is kept as it is
AFTER = 8  # frames that are kept beyond the emphasis and beyond the end of a stroke
UNITS = 127  # of the largest angle of a joint
WHOLE = 32767  # of the int16 that the pose at rest is held as


def held_joints(sides: Collection[str]) -> list[int]:
    """The joints of a stroke that are held, as columns of turns: trunk, neck, head, and the arms that take part."""
    return sorted({*TRUNK, *(joint for side in SIDES if side in sides for joint in LIMB[side])})


@dataclass(frozen=True, eq=False)
class Packed:
    """The motion of a stroke, J joints and K keys.

    Attributes:
        base: (J, 4) int16, the pose at rest. scale: (J,) float32, radians of a unit. keys: (K, J, 3) int8, rotation
            vectors away from rest.
    """

    base: np.ndarray
    scale: np.ndarray
    keys: np.ndarray


def kept_frames(stroke: Stroke) -> int:
    """Frames of a stroke that are held: what comes after is the way back to rest, which no performance uses."""
    return min(len(stroke.turns), max(stroke.end, stroke.emphasis) + AFTER)


def pack(stroke: Stroke) -> Packed:
    """What is held of a stroke.

    Raises:
        UserError: a joint that passes half a turn from its rest, where rotation vectors jump to the other side.
    """
    turns = rot.continuous(stroke.turns[:, held_joints(stroke.sides)])
    base = np.round(turns[0] * WHOLE).astype(np.int16)
    away = rot.to_axis_angle(rot.multiply(rot.conjugate(_rest(base))[None], turns))
    at = _key_frames(stroke.emphasis, kept_frames(stroke))
    vectors = away[np.minimum(at, len(away) - 1)]
    if np.linalg.norm(np.diff(vectors, axis=0), axis=-1).max(initial=0) > np.pi:
        raise UserError(f"{stroke.source}: a joint passes half a turn from its rest; accepted: less")
    scale = (np.abs(vectors).max((0, 2)) / UNITS).astype(np.float32)
    keys = np.round(vectors / np.maximum(scale, 1e-9)[:, None]).astype(np.int8)
    return Packed(base, scale, keys)


def unpack(packed: Packed, about: Stroke, rest: np.ndarray) -> Stroke:
    """The stroke with its motion.

    Args:
        about: all else of it; its turns are not looked at. rest: (43, 4) what joints do that are not held.
    """
    joints, frames = held_joints(about.sides), _span(about.emphasis, len(packed.keys))
    keys = packed.keys * packed.scale[:, None].astype(np.float64)
    vectors = _between(keys, np.arange(frames) - about.emphasis % STEP)
    vectors[0] = 0.0
    turns: Turns = np.repeat(rest[None].astype(np.float64), frames, 0)
    turns[:, joints] = rot.multiply(_rest(packed.base)[None], rot.from_axis_angle(vectors))
    return replace(about, turns=turns)


def _key_frames(emphasis: int, frames: int) -> np.ndarray:
    """Every other frame, the emphasis among them, until `frames` are covered."""
    return np.arange(emphasis % STEP, frames + 1, STEP)


def _span(emphasis: int, keys: int) -> int:
    return emphasis % STEP + STEP * (keys - 1) + 1


def _rest(base: np.ndarray) -> np.ndarray:
    return rot.normalize(base.astype(np.float64))


def _between(keys: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Vectors (K, J, 3) read off at frames after the first key, on Catmull and Rom's curves (1974), ends held."""
    place = np.clip(at / STEP, 0, len(keys) - 1)
    low = np.minimum(place.astype(int), max(len(keys) - 2, 0))
    u = (place - low)[:, None, None]
    a, b, c, d = (keys[np.clip(low + k, 0, len(keys) - 1)] for k in (-1, 0, 1, 2))
    return np.asarray(b + 0.5 * u * (c - a + u * (2 * a - 5 * b + 4 * c - d + u * (3 * (b - c) + d - a))))
