"""One animation of a glTF: the tracks of some nodes, all read at the same times."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.glb import placed, values_of
from vqvae.io.gltf_document import Animation, Document
from vqvae.io.keyframes import SPLINE, STEP, at, frames, splined_at, turned_at, unit
from vqvae.motion import MAX_FRAMES

WIDTHS = {"rotation": 4, "translation": 3, "scale": 3}
MOST_NAMED = 12  # animations that a message lists
MOST_TURNS = 60_000_000  # rotations that are kept of one animation


def chosen(animations: list[Animation], wanted: str | None, path: Path, accepted: str) -> Animation:
    """The animation that is asked for, or the only one.

    Args:
        animations: those that turn a body's joints, at least one.
        wanted: its name, whatever its case; of several of one name the first.
        accepted: what is where there is one alone, for the message.

    Raises:
        UserError: no such name, or several and none named.
    """
    names = [a.name or f"{n}" for n, a in enumerate(animations)]
    if wanted is None:
        if len(animations) == 1:
            return animations[0]
        several = f"{len(animations)} animations turn the joints ({listed(names)})"
        raise UserError(f"{path}: {several}; {accepted}; name one as {path.name}#NAME")
    for same in (lambda n: n == wanted, lambda n: n.casefold() == wanted.casefold()):
        hit = next((a for a, name in zip(animations, names, strict=True) if same(name)), None)
        if hit is not None:
            return hit
    raise UserError(f"{path}: no animation {wanted!r}; accepted: {listed(names)}")


def listed(names: list[str]) -> str:
    """Names with commas between, the first few."""
    return ", ".join(names[:MOST_NAMED]) + ", ..." * (len(names) > MOST_NAMED)


def turning(gltf: Document, joints: set[int]) -> list[Animation]:
    """The animations that turn at least one of the joints."""
    return [a for a in gltf.animations if any(c.target.node in joints and c.target.path == "rotation"
                                              for c in a.channels)]  # fmt: skip


class Tracks:
    """What an animation does with nodes, at common times.

    Attributes:
        times: (T,) seconds. fps: frames a second. moved: (node, path) of every track there is of those asked for.
    """

    def __init__(
        self, gltf: Document, animation: Animation, wanted: Iterable[tuple[int, str]], rate: float | None = None,
        finely: bool = False, joints: int = 1,
    ) -> None:  # fmt: skip
        """
        Args:
            wanted: (node, ``rotation``, ``translation`` or ``scale``).
            rate: what the file says of its frames a second.
            finely: at least 15 a second, else 30: for a rig whose pose between two key frames is not the one halfway.
            joints: how many of them the frames are kept for.

        Raises:
            UserError: none of them has a track, times that do not rise, or too many frames.
        """
        self.gltf = gltf
        wanted = set(wanted)
        every = {(c.target.node, c.target.path): animation.samplers[c.sampler] for c in animation.channels}
        self._samplers = {w: s for w, s in every.items() if w in wanted}
        self.moved = set(self._samplers)
        if not self._samplers:
            raise UserError("none of the joints moves; accepted key frames of their rotations")
        self._lines = {w: values_of(gltf, s.input)[:, 0].astype(np.float64) for w, s in self._samplers.items()}
        steps = finely or any(s.interpolation in (STEP, SPLINE) and len(self._lines[w]) > 1 and self._changes(w)
                              for w, s in self._samplers.items())  # fmt: skip
        try:
            self.times, self.fps = frames(list(self._lines.values()), rate, steps)
        except ValueError as e:
            raise UserError(f"key frames: {e}; accepted 1 to {MAX_FRAMES} with rising times") from None
        if len(self.times) * joints > MOST_TURNS:
            raise UserError(f"{len(self.times)} frames of {joints} joints; accepted {MOST_TURNS // joints}")

    def _changes(self, way: tuple[int, str]) -> bool:
        return bool(np.ptp(values_of(self.gltf, self._samplers[way].output), 0).any())

    def __call__(self, node: int, what: str) -> np.ndarray:
        """(T, 4) rotations, w first, or (T, 3) translations or scales; of what has no track as the node is."""
        way = (node, what)
        if way not in self._samplers:
            return np.repeat(placed(self.gltf.nodes[node])[what][None].astype(np.float64), len(self.times), 0)
        sampler, keys = self._samplers[way], self._lines[way]
        values = values_of(self.gltf, sampler.output)
        if values.shape[1] != WIDTHS[what] or not np.isfinite(values).all():
            raise ValueError(f"a {what} of {values.shape[1]} numbers, or of some that are not finite")
        spline = sampler.interpolation == SPLINE
        if len(values) != len(keys) * (3 if spline else 1):
            raise ValueError(f"{len(values)} values of {len(keys)} key frames")
        if what == "rotation":
            values = np.roll(values, 1, axis=-1)
            if spline:
                unit(values[1::3])
                return np.asarray(rot.normalize(splined_at(self.times, keys, values)))
            return turned_at(self.times, keys, unit(values).astype(np.float64), sampler.interpolation == STEP)
        if spline:
            return splined_at(self.times, keys, values)
        return at(self.times, keys, values.astype(np.float64), sampler.interpolation == STEP)

