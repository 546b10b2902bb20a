"""Motions made worse in known ways: what a figure of quality or fit must see."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion

TREMBLE = 0.2  # radians: standard deviation of a joint's rotation about each axis, frame by frame
SWAY = 0.02  # metres: of the root


def noisy(motion: Motion, rng: np.random.Generator) -> Motion:
    """Every joint and the root disturbed in every frame by itself, by `TREMBLE` and `SWAY`."""
    n = len(motion)
    turn = rot.from_axis_angle(rng.normal(0, TREMBLE, (n, 22, 3)))
    root = motion.root + rng.normal(0, SWAY, (n, 3)).astype(np.float32)
    return replace(motion, rotations=rot.multiply(motion.rotations.astype(np.float64), turn), root=root)


def shuffled(motion: Motion, rng: np.random.Generator) -> Motion:
    """All frames in random order."""
    return motion.taken(rng.permutation(len(motion)))


def mirrored(motion: Motion, rng: np.random.Generator) -> Motion:
    """Left and right exchanged."""
    return motion.mirrored()


def slowed(motion: Motion, rng: np.random.Generator) -> Motion:
    """At half the speed: twice the frames, those between by slerp."""
    return motion.sampled(np.arange(2 * len(motion) - 1) / 2)


def hurried(motion: Motion, rng: np.random.Generator) -> Motion:
    """At twice the speed: every other frame."""
    return motion.taken(np.arange(0, len(motion), 2))


def halved(motion: Motion, rng: np.random.Generator) -> Motion:
    """The first half."""
    return motion.slice(0, max(2, len(motion) // 2))


def frozen(motion: Motion, rng: np.random.Generator) -> Motion:
    """The pose of the middle frame, where it stands, for as long."""
    return motion.taken(np.full(len(motion), len(motion) // 2))


DEGRADATIONS: dict[str, Callable[[Motion, np.random.Generator], Motion]] = {
    "noise": noisy, "shuffled time": shuffled, "mirrored": mirrored, "half speed": slowed, "double speed": hurried,
    "half length": halved, "constant pose": frozen,
}  # fmt: skip
"""Name -> what is done to a motion."""


def degrade(motion: Motion, name: str, seed: int = 0) -> Motion:
    """One of `DEGRADATIONS`; the same motion, name and seed give the same result. The body faces +Z at the start.

    Raises:
        UserError: unknown name, or fewer than 4 frames.
    """
    if name not in DEGRADATIONS:
        raise UserError(f"no degradation {name!r}; accepted: {', '.join(DEGRADATIONS)}")
    if len(motion) < 4:
        raise UserError(f"{len(motion)} frames to degrade; at least 4 are needed")
    return DEGRADATIONS[name](motion, np.random.default_rng([seed, zlib.crc32(name.encode())])).canonical()
