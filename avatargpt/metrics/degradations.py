"""Degradations of motions of bodies and faces, by which figures of quality and fit are tested."""

import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.motion import Motion

TREMBLE = 0.2  # radians: standard deviation of a joint's rotation about each axis, frame by frame
SWAY = 0.02  # metres: of the root
TWITCH = 0.2  # of a face's weights, which go from 0 to 1
SHAKE = 0.1  # radians: of each angle of a face's head
MIN_FRAMES = 4  # frames
AS_IT_IS = "as it is"  # row without degradation in tables
Either = TypeVar("Either", Motion, FaceMotion)
Degradation = Callable[[Either, np.random.Generator], Either]


def noisy(motion: Either, rng: np.random.Generator) -> Either:
    """Every frame disturbed by itself: a body by `TREMBLE` and `SWAY`, a face by `TWITCH` and `SHAKE`."""
    n = len(motion)
    if isinstance(motion, FaceMotion):
        weights = motion.weights + rng.normal(0, TWITCH, motion.weights.shape)
        return replace(motion, weights=weights, head=motion.head + rng.normal(0, SHAKE, (n, 3)))
    turn = rot.from_axis_angle(rng.normal(0, TREMBLE, (n, 22, 3)))
    root = motion.root + rng.normal(0, SWAY, (n, 3)).astype(np.float32)
    return replace(motion, rotations=rot.multiply(motion.rotations.astype(np.float64), turn), root=root)


# Name -> what is done to a motion of a body or a face.
DEGRADATIONS: dict[str, Degradation] = {
    "noise": noisy,
    "shuffled time": lambda motion, rng: motion.at_frames(rng.permutation(len(motion))),
    "mirrored": lambda motion, rng: motion.mirrored(),
    # Twice the frames, those between by slerp, of a face on a line.
    "half speed": lambda motion, rng: motion.sampled(np.arange(2 * len(motion) - 1) / 2),
    "double speed": lambda motion, rng: motion.at_frames(np.arange(0, len(motion), 2)),
    "half length": lambda motion, rng: motion.slice(0, max(2, len(motion) // 2)),
    # What the middle frame shows, where it stands, for as long.
    "constant pose": lambda motion, rng: motion.at_frames(np.full(len(motion), len(motion) // 2)),
}


def degrade(motion: Either, name: str, seed: int = 0, in_place: bool = False) -> Either:
    """One of `DEGRADATIONS`; the same motion, name and seed give the same result.

    Args:
        in_place: a body stays where it is in the world (mirrored: at the plane x = 0); else it faces +Z at the start.
    """
    if name not in DEGRADATIONS:
        raise UserError(f"no degradation {name!r}; accepted: {', '.join(DEGRADATIONS)}")
    if len(motion) < MIN_FRAMES:
        raise UserError(f"{len(motion)} frames to degrade; at least {MIN_FRAMES} are needed")
    # The name is part of the seed: noise and shuffling must not draw alike.
    worse: Either = DEGRADATIONS[name](motion, np.random.default_rng([seed, zlib.crc32(name.encode())]))
    return worse if in_place else worse.canonical()


def fit_length(clip: Either, frames: int) -> Either:
    """A clip of so many frames: what is beyond is cut off, what is missing is its last frame."""
    return clip.at_frames(np.minimum(np.arange(frames), len(clip) - 1))
