"""Strokes: gestures with the frame of their emphasis; their packed form, and the limits of joints."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.features import JOINTS, STANDING, UPPER, GestureFeatures, hands_from_chest
from vqvae.motion import Motion
from vqvae.rates import GESTURE_FPS
from vqvae.skeleton import FINGER_NAMES, SMPL22
from vqvae.smoothing import average_window

FPS = round(GESTURE_FPS)
TURNED = len(UPPER) + len(FINGER_NAMES)  # 43 joints: upper body, then fingers
HALF = len(FINGER_NAMES) // 2
ROTATIONS = slice(0, 6 * TURNED)  # of the features of a gesture
TRUNK = [UPPER.index(n) for n in ("spine1", "spine2", "spine3", "neck", "head")]
SIDES = ("l", "r")
ARM = {s: [UPPER.index(f"{s}_{n}") for n in ("collar", "shoulder", "elbow", "wrist")] for s in SIDES}
HAND = {s: list(range(len(UPPER) + k * HALF, len(UPPER) + (k + 1) * HALF)) for k, s in enumerate(SIDES)}
# joints of an arm with its hand, as columns of turns
LIMB = {s: ARM[s] + HAND[s] for s in SIDES}
EMPHASIS_FRAMES = 9  # frames from the emphasis in the file to a minimum of speed that weigh as much as full speed
SLOW = 0.3  # share of the stroke's highest speed below which hands have arrived
PLACEHOLDER = 0.2  # s before which no emphasis can be: such times in a file mean none
ARRIVES, STILL = 4, 0.05  # frames from an exact time in which hands come to rest, to that share of the highest speed
MOVES = 0.3  # share of the busier hand's way from which on a hand takes part
STARTS = 0.12  # share of the peak speed at which the preparation begins
# (T, 43, 4) local quaternions w, x, y, z of `UPPER` and `FINGER_NAMES`, at 30 fps
Turns = np.ndarray


def turns_of(motion: Motion) -> Turns:
    """Upper body and fingers of a gesture; the lean of its pelvis goes into the first spine joint."""
    spec = GestureFeatures()
    upright = spec.decode(spec.encode(motion))
    assert upright.fingers is not None
    return np.concatenate([upright.rotations[:, JOINTS], upright.fingers], 1).astype(np.float64)


def turns_in(row: np.ndarray) -> np.ndarray:
    """(43, 4) of a frame of features (270,)."""
    return np.asarray(rot.from_6d(row[ROTATIONS].astype(np.float64).reshape(-1, 6)))


def motion_of(turns: Turns) -> Motion:
    """A motion that stands upright on straight legs and turns these joints."""
    rotations = rot.identity((len(turns), len(SMPL22.names)))
    rotations[:, JOINTS] = turns[:, : len(UPPER)]
    root = np.repeat(STANDING[None], len(turns), 0)
    return Motion(rotations, root, float(FPS), "gesture", fingers=turns[:, len(UPPER) :])


def wrists(turns: Turns) -> np.ndarray:
    """(T, 2, 3) left and right wrist from the chest, metres."""
    rotations = rot.identity((len(turns), len(SMPL22.names)))
    rotations[:, JOINTS] = turns[:, : len(UPPER)]
    return hands_from_chest(rotations)


@dataclass(frozen=True, eq=False)
class Stroke:
    """A gesture from rest to rest."""

    name: str  # of the gesture
    source: str  # its clip
    performer: str  # of the clip
    turns: Turns  # see `Turns`
    start: int  # frame in which its preparation begins
    emphasis: int  # frame in which the hand arrives, where its speed is least
    end: int  # frame up to which the pose of the stroke is kept
    sides: tuple[str, ...]  # arms that take part

    @property
    def rest_pose(self) -> np.ndarray:
        """(43, 4) pose of the first frame."""
        return np.asarray(self.turns[0])

    @cached_property
    def bent(self) -> np.ndarray:
        """(T, 5, 3) rotation vectors by which trunk, neck and head leave their rest, radians."""
        trunk = self.turns[:, TRUNK]
        return rot.to_axis_angle(rot.multiply(rot.conjugate(trunk[:1]), trunk))

    def mirror(self) -> Stroke:
        """Left and right exchanged, in the name as well."""
        swapped = {"Left": "Right", "Right": "Left"}
        name = next((self.name.replace(a, b) for a, b in swapped.items() if a in self.name), self.name)
        turns = turns_of(motion_of(self.turns).mirrored())
        sides = tuple(s for s in SIDES if ("r" if s == "l" else "l") in self.sides)
        return replace(self, name=name, turns=turns, sides=sides)


def stroke_of(
    motion: Motion, name: str, source: str, performer: str, emphasis: float | None = None, end: float | None = None,
    exact: bool = False,
) -> Stroke:  # fmt: skip
    """A clip as a stroke.

    Args:
        motion: a gesture that begins at rest.
        emphasis, end: seconds in the clip's annotation; the emphasis is moved to a minimum of the hands' speed near it.
            None, or before `PLACEHOLDER`: the first minimum after the hands were fastest on their way up.
        exact: the emphasis is when the hands arrive, within `ARRIVES` frames. Where they hold still from then on, the
            minimum of their speed may lie anywhere in the hold.
    """
    turns = turns_of(motion)
    place = wrists(turns)
    away = np.linalg.norm(place - place[:1], axis=-1)
    speed = np.linalg.norm(np.gradient(place, axis=0), axis=-1) * FPS
    reach = away.max(0)
    if reach.max() < 0.02:
        raise UserError(f"{source}: hands that move by {100 * reach.max():.1f} cm; accepted: a gesture of the hands")
    sides = tuple(s for k, s in enumerate(SIDES) if reach[k] >= MOVES * reach.max())
    fast = average_window(speed[:, [SIDES.index(s) for s in sides]].max(1), 3)
    minima = np.flatnonzero((fast[1:-1] < fast[:-2]) & (fast[1:-1] <= fast[2:])) + 1
    rising = np.flatnonzero(away[:, [SIDES.index(s) for s in sides]].max(1) > 0.5 * reach.max())
    if not len(minima):
        raise UserError(f"{source}: hands that never come to rest; accepted: a gesture with a stroke")
    slow = minima[fast[minima] < SLOW * fast.max()]
    up = slow[slow >= rising[0]] if (slow >= rising[0]).any() else minima
    if exact and emphasis is not None:
        first = min(int(np.ceil(emphasis * FPS)), len(turns) - 1)
        arriving = fast[first : first + ARRIVES]
        at = first + int((arriving <= arriving.min() + STILL * fast.max()).argmax())
    elif emphasis is None or emphasis < PLACEHOLDER:
        at = int(up[0])
    else:
        share = np.array([fast[m] / max(float(fast[: m + 1].max()), 1e-6) for m in up])
        at = int(up[(np.abs(up - emphasis * FPS) / EMPHASIS_FRAMES + share).argmin()])
    peak = int(fast[: at + 1].argmax())
    still = np.flatnonzero(fast[:peak] < STARTS * fast[peak])
    start = int(still[-1]) if len(still) else 0
    last = at if end is None else min(max(round(end * FPS), at), len(turns) - 1)
    return Stroke(name, source, performer, turns, min(start, max(at - 6, 0)), at, last, sides)


STEP = 2  # frames between two keys, of which one is the emphasis, so that it is stored exactly
AFTER = 8  # frames stored beyond the emphasis and beyond the end of a stroke
UNITS = 127  # of the largest angle of a joint
INT16_UNIT = 32767  # of the pose at rest


def list_packed_joints(sides: Collection[str]) -> list[int]:
    """Stored joints of a stroke, as columns of turns: trunk, neck, head, and the arms that take part."""
    return sorted({*TRUNK, *(joint for side in SIDES if side in sides for joint in LIMB[side])})


@dataclass(frozen=True, eq=False)
class Packed:
    """A stroke in few bytes: rotations away from rest, in 8 bits, at 15 fps, of J joints in K keys."""

    base: np.ndarray  # (J, 4) int16, the pose at rest
    scale: np.ndarray  # (J,) float32, radians of a unit
    keys: np.ndarray  # (K, J, 3) int8, rotation vectors away from rest


def count_packed_frames(stroke: Stroke) -> int:
    """Stored frames of a stroke, without the way back to rest, which no performance uses."""
    return min(len(stroke.turns), max(stroke.end, stroke.emphasis) + AFTER)


def pack(stroke: Stroke) -> Packed:
    """The stored form of a stroke."""
    turns = rot.continuous(stroke.turns[:, list_packed_joints(stroke.sides)])
    base = np.round(turns[0] * INT16_UNIT).astype(np.int16)
    away = rot.to_axis_angle(rot.multiply(rot.conjugate(_unit_base(base))[None], turns))
    # every other frame, the emphasis among them
    at = np.arange(stroke.emphasis % STEP, count_packed_frames(stroke) + 1, STEP)
    vectors = away[np.minimum(at, len(away) - 1)]
    if np.linalg.norm(np.diff(vectors, axis=0), axis=-1).max(initial=0) > np.pi:
        raise UserError(f"{stroke.source}: a joint passes half a turn from its rest; accepted: less")
    scale = (np.abs(vectors).max((0, 2)) / UNITS).astype(np.float32)
    keys = np.round(vectors / np.maximum(scale, 1e-9)[:, None]).astype(np.int8)
    return Packed(base, scale, keys)


def unpack(packed: Packed, about: Stroke, rest_pose: np.ndarray) -> Stroke:
    """The stroke with its motion. `about`: all its fields but the turns. `rest_pose`: (43, 4) of joints that are not
    stored.
    """
    joints, frames = list_packed_joints(about.sides), about.emphasis % STEP + STEP * (len(packed.keys) - 1) + 1
    keys = packed.keys * packed.scale[:, None].astype(np.float64)
    vectors = _between(keys, np.arange(frames) - about.emphasis % STEP)
    vectors[0] = 0.0
    turns: Turns = np.repeat(rest_pose[None].astype(np.float64), frames, 0)
    turns[:, joints] = rot.multiply(_unit_base(packed.base)[None], rot.from_axis_angle(vectors))
    return replace(about, turns=turns)


def _unit_base(base: np.ndarray) -> np.ndarray:
    return rot.normalize(base.astype(np.float64))


def _between(keys: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Vectors (K, J, 3) read off at frames after the first key, on Catmull and Rom's curves (1974), ends held."""
    place = np.clip(at / STEP, 0, len(keys) - 1)
    low = np.minimum(place.astype(int), max(len(keys) - 2, 0))
    u = (place - low)[:, None, None]
    a, b, c, d = (keys[np.clip(low + k, 0, len(keys) - 1)] for k in (-1, 0, 1, 2))
    return np.asarray(b + 0.5 * u * (c - a + u * (2 * a - 5 * b + 4 * c - d + u * (3 * (b - c) + d - a))))


# Ranges of healthy adults (American Academy of Orthopaedic Surgeons 1965), degrees: from where on a limit acts, and
# what is never passed.
COLLAR, WRIST = (34.0, 44.0), (80.0, 100.0)
BACK = (2.0, 7.0)  # of an elbow, beyond straight
FAR = (110.0, 150.0)  # of an elbow's whole turn, between which nothing is changed more and more: at 180 signs swap
INWARD = {"l": -1.0, "r": 1.0}  # sign of a bend in the elbow's rotation vector, about y


def soft(x: np.ndarray, start: float, limit: float) -> np.ndarray:
    """x up to `start`, from there on ever closer to `limit`, with the same slope where it begins."""
    room = limit - start
    over = np.maximum(x - start, 0)
    return np.asarray(np.minimum(x, start) + room * (1 - np.exp(-over / room)))


HINGE = np.radians(-12.0)  # about the upper arm: how the elbows of recorded people are turned where palms face down
STRAIGHT = (0.1, 0.3)  # sine of an elbow's bend, below which its hinge is not seen, and from which on it counts


def hinge_elbows(rotations: np.ndarray) -> np.ndarray:
    """(T, 22, 4) the same poses of all joints, with elbows that bend about their hinge: upper arms take its turn.

    Two rotations, of shoulder and elbow, share the twist of the arm; captures and retargeting share it differently.
    """
    out = rotations.astype(np.float64)
    for side in SIDES:
        shoulder, elbow = (SMPL22.index(f"{side}_{n}") for n in ("shoulder", "elbow"))
        along = rot.to_matrix(out[:, elbow])[:, :, 0]  # where the forearm points in the frame of the upper arm
        sign = INWARD[side]
        bent = np.hypot(along[:, 1], along[:, 2])
        share = np.clip((bent - STRAIGHT[0]) / (STRAIGHT[1] - STRAIGHT[0]), 0, 1)
        angle = np.arctan2(sign * along[:, 1], -sign * along[:, 2]) * share - HINGE
        turn = rot.from_axis_angle(np.stack([angle, 0 * angle, 0 * angle], -1))
        out[:, shoulder] = rot.multiply(out[:, shoulder], turn)
        out[:, elbow] = rot.multiply(rot.conjugate(turn), out[:, elbow])
    return out


def within(turns: Turns) -> Turns:
    """The same motion with collars, elbows and wrists within their limits."""
    out = turns.copy()
    for side in SIDES:
        collar, _, elbow, wrist = ARM[side]
        for joint, (start, limit) in ((collar, COLLAR), (wrist, WRIST)):
            vector = np.degrees(rot.to_axis_angle(out[:, joint]))
            size = np.linalg.norm(vector, axis=-1, keepdims=True)
            out[:, joint] = rot.from_axis_angle(np.radians(vector * soft(size, start, limit) / np.maximum(size, 1e-6)))
        vector = np.degrees(rot.to_axis_angle(out[:, elbow]))
        back = -vector[:, 1] * INWARD[side]
        share = 1 - np.clip((np.linalg.norm(vector, axis=-1) - FAR[0]) / (FAR[1] - FAR[0]), 0, 1)
        vector[:, 1] += INWARD[side] * share * (back - soft(back, *BACK))
        out[:, elbow] = rot.from_axis_angle(np.radians(vector))
    return out
