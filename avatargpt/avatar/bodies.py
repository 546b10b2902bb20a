"""Pelvis and legs under a talk of any length: a standing person, or a clip that is held or looped. Rules only."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from instruct_data.synth.layering import from_hanging
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.features import SOLES
from vqvae.ground import grounded
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22
from vqvae.smoothing import gaussian

FPS = 30.0
STILL = 0.25  # m/s, mean over the joints: slower than this a clip has come to its end
LAST = 0.3  # s at the end of a clip that tell
LIKE = 0.09  # m, mean over the joints: poses this near are alike
LEAST = 0.8  # s of a round
SEAM = 8  # frames in which a round goes over into the next
TRAVELS, ON_THE_SPOT = 0.4, 0.12  # m/s of a pelvis that is on its way; m (or rad) that one on the spot drifts a round
ON_PURPOSE = 0.3  # m: a hand farther than this from where it hangs does something
SEATED, LAP = 0.75, 0.15  # m: height of a pelvis that sits, and how far hands in a lap are above or below it
_FADE = 0.18  # s
_LET_GO = 0.6  # s in which arms are free once a clip is over
ARMS = ((13, 16, 18, 20), (14, 17, 19, 21))  # left and right: collar, shoulder, elbow, wrist


class Frames(NamedTuple):
    """Some frames of a body, 30 a second.

    Attributes:
        motion: T frames.
        purpose: (T, 2) 0..1, how much the left and the right arm do something. lap: (T, 2) 0..1, whether the hand lies
            in the lap.
    """

    motion: Motion
    purpose: np.ndarray
    lap: np.ndarray


class Body(Protocol):
    """Where a talk's pelvis and legs come from."""

    def frames(self, start: int, stop: int) -> Frames:
        """Frames [start, stop) at 30 a second."""
        ...

    def told(self, frames: int) -> str:
        """What there is to say of a talk of so many frames; empty = nothing."""
        ...


class Standing:
    """Somebody who stands, see `avatargpt.avatar.bodies`."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    def frames(self, start: int, stop: int) -> Frames:
        nothing = np.zeros((stop - start, 2))
        return Frames(standing(start, stop, FPS, self._seed), nothing, nothing)

    def told(self, frames: int) -> str:
        return ""


@dataclass(frozen=True)
class _Round:
    """Frames of a clip that go round, and how the body is turned (radians) and shifted (3,) by each round."""

    start: int
    yaw: float
    step: np.ndarray


class Clip:
    """A clip of any frame rate, on the floor, beginning above the origin and facing +Z.

    Args:
        motion: at least one frame; a gesture's fingers are kept.
    """

    def __init__(self, motion: Motion) -> None:
        self.motion = grounded(motion.resampled(FPS)).canonical()
        self.purpose, self.lap = on_purpose(self.motion)
        self._round = _round_of(self.motion)
        self._places: list[tuple[float, np.ndarray]] = [(0.0, np.zeros(3))]

    def frames(self, start: int, stop: int) -> Frames:
        at = np.arange(start, stop)
        if self._round is None:
            index = np.minimum(at, len(self.motion) - 1)
            left = np.clip(1 - (at - index) / (_LET_GO * FPS), 0, 1)
            purpose = self.purpose[index] * (left * left * (3 - 2 * left))[:, None]
            return Frames(self.motion.at_frames(index), purpose, self.lap[index])
        first, count = self._round.start, len(self.motion) - self._round.start
        turn = np.maximum(at - first, 0) // count
        index = np.where(at < first, at, first + (at - first) % count)
        out = self.motion.at_frames(index)
        rotations, root = out.rotations.astype(np.float64), out.root.astype(np.float64)
        for k in np.unique(turn[turn > 0]).tolist():
            mine = turn == k
            yaw, shift = self._after(k)
            rotations[mine, 0] = rot.multiply(rot.about_y(yaw), rotations[mine, 0])
            root[mine] = rot.rotate(rot.about_y(yaw), root[mine]) + shift
            begins = mine & (index - first < SEAM)
            self._soften(begins, (index - first)[begins], rotations, root)
        return Frames(replace(out, rotations=rotations, root=root), self.purpose[index], self.lap[index])

    def _after(self, rounds: int) -> tuple[float, np.ndarray]:
        """How so many rounds turn and shift the body."""
        assert self._round is not None
        while len(self._places) <= rounds:
            yaw, shift = self._places[-1]
            shift = rot.rotate(rot.about_y(self._round.yaw), shift) + self._round.step
            self._places.append((yaw + self._round.yaw, shift))
        return self._places[rounds]

    def _soften(self, where: np.ndarray, into: np.ndarray, rotations: np.ndarray, root: np.ndarray) -> None:
        """Begin a round in the pose that the one before ended in, and let go of it over `SEAM` frames; in place.

        Args:
            where: (T,) which frames begin a round. into: how many frames after its first.
        """
        assert self._round is not None
        left = (1 - (into + 1) / (SEAM + 1))[:, None]
        left = left * left * (3 - 2 * left)
        first, last = self._round.start, len(self.motion) - 1
        poses = self.motion.rotations[[first, last]].astype(np.float64)
        apart = rot.multiply(rot.conjugate(poses[0]), poses[1])
        apart[0] = rot.identity(())  # the pelvis was laid on it by its heading; its lean is alike
        some = rot.slerp(rot.identity((len(left), len(apart))), np.repeat(apart[None], len(left), 0), left)
        rotations[where] = rot.multiply(rotations[where], some)
        root[where, 1] += left[:, 0] * float(self.motion.root[last, 1] - self.motion.root[first, 1])

    def told(self, frames: int) -> str:
        own, wanted = len(self.motion) / FPS, frames / FPS
        if abs(own - wanted) < 0.5 / FPS:
            return ""
        if own > wanted:
            return f"the body lasts {own:.1f} s, the sound {wanted:.1f} s: the rest of it is left out"
        does = "stays as it ends" if self._round is None else f"goes round from second {self._round.start / FPS:.1f}"
        return f"the body lasts {own:.1f} s, the sound {wanted:.1f} s: it {does}"


def on_purpose(motion: Motion) -> tuple[np.ndarray, np.ndarray]:
    """(T, 2) and (T, 2) of 0..1, faded in and out: how much the left and the right arm of a body on the floor do
    something, and whether the hands lie in the lap."""
    heights = motion.joints[..., 1].astype(np.float64)
    seated, hands = heights[:, :1] < SEATED, heights[:, [arm[-1] for arm in ARMS]]
    away = from_hanging(motion) > ON_PURPOSE
    near = seated & (np.abs(hands - heights[:, :1]) < LAP)
    purpose, lap = (np.stack([_faded(b) for b in busy.T], 1) for busy in (away & ~near, near))
    return purpose, lap


def _faded(busy: np.ndarray) -> np.ndarray:
    """(T,) 0..1: 1 while something is done, faded in before and out after it."""
    reach = round(2 * _FADE * FPS)
    around = np.convolve(np.pad(busy.astype(float), reach, mode="edge"), np.ones(2 * reach + 1), "valid")
    out: np.ndarray = np.clip(gaussian((around > 0.5).astype(float), _FADE * FPS), 0, 1)
    return out


def _round_of(motion: Motion) -> _Round | None:
    """Where a clip can go on after its last frame; None where it has come to rest or never comes back."""
    last = max(2, round(LAST * FPS))
    if len(motion) < round(LEAST * FPS) + last:
        return None
    joints = motion.joints.astype(np.float64)
    speed = np.linalg.norm(np.diff(joints[-last:], axis=0), axis=-1).mean() * FPS
    if speed < STILL:
        return None
    apart = motion.heading.astype(np.float64)
    level = joints - joints[:, :1] * np.array([1, 0, 1])
    poses = rot.rotate(rot.about_y(-apart)[:, None], level)
    moves = np.gradient(poses, axis=0) * 3  # three frames ahead: a step back is no step forward
    seen = np.concatenate([poses, poses + moves], 1)
    most = len(motion) - 1 - round(LEAST * FPS)
    distance = np.linalg.norm(seen[:most] - seen[-1], axis=-1).mean(-1)
    best = int(distance.argmin())
    if distance[best] > LIKE:
        return None
    # the frame after the last one is the one after `best`
    start, yaw = best + 1, float(apart[-1] - apart[best])
    flat = np.array([1.0, 0, 1])
    step = joints[-1, 0] * flat - rot.rotate(rot.about_y(yaw), joints[best, 0] * flat)
    travels = float(np.linalg.norm(np.diff(joints[-last:, 0] * flat, axis=0), axis=-1).mean()) * FPS > TRAVELS
    drifts = max(float(np.linalg.norm((joints[-1, 0] - joints[best, 0]) * flat)), abs(yaw)) > ON_THE_SPOT
    return None if drifts and not travels else _Round(start, yaw, step)


APART = 0.04  # m that each foot stands outside its hip
TOES_OUT = np.radians(8.0)
REACH = 0.993  # of a leg's length, hip to ankle, where the weight is in the middle: knees at ease
SWAYS = ((0.010, 11.3), (0.004, 4.7)), ((0.004, 9.1), (0.002, 3.3))
"""Metres and seconds of the waves in which the pelvis goes sideways, and forward and back."""
_LEGS = ((1, 4, 7, 10, 1.0), (2, 5, 8, 11, -1.0))  # hip, knee, ankle, toe, side


def standing(start: int, stop: int, fps: float = 30.0, seed: int = 0) -> Motion:
    """Frames [start, stop) of somebody who stands at the origin facing +Z, pelvis upright, all above as at rest.

    Any part is what the whole would have there.

    Args:
        seed: of when the weight is where.
    """
    at, phases = np.arange(start, stop) / fps, np.random.default_rng([seed, 71]).uniform(0, 2 * np.pi, (2, 2))
    moved = [
        sum(size * np.sin(2 * np.pi * at / seconds + p) for (size, seconds), p in zip(waves, row, strict=True))
        for waves, row in zip(SWAYS, phases, strict=True)
    ]
    offsets = SMPL22.offsets
    thigh, shin = float(-offsets[4, 1]), float(-offsets[7, 1])
    ankle = SOLES - offsets[10, 1]
    height = ankle + np.sqrt((REACH * (thigh + shin)) ** 2 - APART**2) - offsets[1, 1]
    root = np.stack([moved[0], np.full(len(at), height), moved[1]], 1)
    rotations = rot.identity((len(at), len(SMPL22.names)))
    for hip, knee, foot, _, side in _LEGS:
        target = np.array([offsets[hip, 0] + side * APART, ankle, offsets[hip, 2]])
        turn = rot.about_y(side * TOES_OUT)
        upper, lower = _leg(target - root - offsets[hip], rot.rotate(turn, np.array([0.0, 0, 1])), thigh, shin)
        rotations[:, hip] = upper
        rotations[:, knee] = rot.multiply(rot.conjugate(upper), lower)
        rotations[:, foot] = rot.multiply(rot.conjugate(lower), turn)
    return Motion(rotations, root, fps)


def _leg(way: np.ndarray, front: np.ndarray, thigh: float, shin: float) -> tuple[np.ndarray, np.ndarray]:
    """Rotations (T, 4) of thigh and shin in the world for hip to ankle (T, 3), the knee to the `front` (3,)."""
    far = np.minimum(np.linalg.norm(way, axis=1), 0.9999 * (thigh + shin))
    down = way / np.linalg.norm(way, axis=1, keepdims=True)
    ahead = front - down * (down @ front)[:, None]
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    cosine = (thigh**2 + far**2 - shin**2) / (2 * thigh * far)  # law of cosines, at the hip
    knee = thigh * (cosine[:, None] * down + np.sqrt(1 - cosine[:, None] ** 2) * ahead)
    side = np.cross(-down, ahead)

    def along(bone: np.ndarray) -> np.ndarray:
        up = -bone / np.linalg.norm(bone, axis=1, keepdims=True)
        return rot.from_matrix(np.stack([side, up, np.cross(side, up)], -1))

    return along(knee), along(way - knee)


IDLE = "idle"


def names_file(what: str) -> bool:
    """Whether a body is a file: by its suffix, that of a motion's."""
    from avatargpt import export

    return export.named_animation(what)[0].suffix.lower() in export.readable()


def body_of(
    what: str | os.PathLike[str] | Motion | None, generate: Callable[[str], Motion], seed: int = 0
) -> Body:
    """The body that is meant.

    Args:
        what: ``idle`` or None: somebody who stands; a file of a body, a gesture or an avatar; a motion; or a text.
        generate: makes the motion of a text.
        seed: of somebody who stands.

    Raises:
        UserError: a file that is no motion, or a face's.
    """
    if isinstance(what, Motion):
        return Clip(what)
    if what is None or what == IDLE:
        return Standing(seed)
    if isinstance(what, str) and not names_file(what):
        return Clip(generate(what))
    return Clip(_read(Path(what)))


def _read(path: Path) -> Motion:
    from avatargpt import export
    from avatargpt.export.avatar import body_and_face

    body, _ = body_and_face(export.load(path))
    if body is None:
        raise UserError(f"{path}: a face; accepted a body, a gesture or an avatar")
    return body
