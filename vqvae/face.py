"""`FaceMotion`: a face clip in physical form, 52 ARKit weights and the head's rotation."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from vqvae import arkit
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.data_files import read_arrays
from vqvae.io.files import parsing
from vqvae.motion import MAX_FRAMES, atomic_write, check_caption, check_fps, count_resampled
from vqvae.smoothing import sample_frames

REQUIRED = ("modality", "fps", "weights", "names", "head")
MAX_TURN = np.pi


@dataclass(frozen=True)
class FaceMotion:
    """A face clip of T frames, with the methods of :class:`vqvae.motion.Motion` that make sense for a face.

    Attributes:
        weights: (T, 52) float32 in [0, 1], Apple's order (`arkit.NAMES`), sides the person's own; others are clipped.
        head: (T, 3) float32 yaw, pitch, roll in radians; positive yaw turns towards the person's left, positive pitch
            up, positive roll tilts towards the person's right shoulder.
        fps: frames per second. caption: description, may be empty. notes: what of its text hardly shows.
    """

    weights: np.ndarray
    head: np.ndarray
    fps: float = 30.0
    caption: str = ""
    notes: tuple[str, ...] = ()
    modality: ClassVar[str] = "face"

    def __post_init__(self) -> None:
        w, h = np.asarray(self.weights, np.float32), np.asarray(self.head, np.float32)
        if w.ndim != 2 or w.shape[1] != arkit.COUNT or h.shape != (len(w), 3):
            raise UserError(f"face: weights {w.shape} and head {h.shape}; accepted (T, {arkit.COUNT}) and (T, 3)")
        if len(w) < 1:
            raise UserError("face: no frames; at least 1 is needed")
        finite = np.isfinite(w).all(1) & np.isfinite(h).all(1)
        if not finite.all():
            raise UserError(f"face: NaN or infinity at frame {int(np.argmin(finite))}")
        if np.abs(h).max() > MAX_TURN:
            raise UserError(f"face: head turned by {np.abs(h).max():.1f}; accepted radians within +-{MAX_TURN:.2f}")
        check_fps(self.fps, "face")
        check_caption(self.caption, "face")
        object.__setattr__(self, "weights", np.clip(w, 0, 1))
        object.__setattr__(self, "head", h)

    @classmethod
    def from_curves(cls, curves: np.ndarray, fps: float = 30.0, caption: str = "") -> FaceMotion:
        """A clip of (T, 55) weights and head side by side."""
        return cls(curves[:, : arkit.COUNT], curves[:, arkit.COUNT :], fps, caption)

    @property
    def curves(self) -> np.ndarray:
        """(T, 55) weights, then the head's yaw, pitch, roll."""
        return np.concatenate([self.weights, self.head], 1)

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def seconds(self) -> float:
        return len(self) / self.fps

    def channel(self, name: str) -> np.ndarray:
        """(T,) one weight or head angle by name, or the mean of both sides (``mouthSmile``)."""
        if name in arkit.HEAD:
            return self.head[:, arkit.HEAD.index(name)]
        return self.weights[:, [arkit.INDEX[n] for n in arkit.expand(name)]].mean(1)

    def slice(self, start: int, stop: int) -> FaceMotion:
        """Frames [start, stop)."""
        return replace(self, weights=self.weights[start:stop], head=self.head[start:stop])

    def at_frames(self, index: np.ndarray) -> FaceMotion:
        """The frames (N,) of that index, at the same frame rate."""
        return replace(self, weights=self.weights[index], head=self.head[index])

    def sampled(self, t: np.ndarray) -> FaceMotion:
        """The clip at frame positions (N,) within [0, T - 1], linear between frames; the frame rate stays."""
        both = sample_frames(self.curves.astype(np.float64), np.asarray(t, np.float64))
        return replace(self, weights=both[:, : arkit.COUNT], head=both[:, arkit.COUNT :])

    def with_caption(self, caption: str) -> FaceMotion:
        return replace(self, caption=caption)

    def canonical(self) -> FaceMotion:
        """The clip itself: a face has no place in the world."""
        return self

    def mirrored(self) -> FaceMotion:
        """Left and right exchanged."""
        return replace(self, weights=self.weights[:, arkit.MIRROR], head=self.head * np.array([-1, 1, -1], np.float32))

    def resampled(self, fps: float) -> FaceMotion:
        """Same duration at another frame rate, linear between frames. Frame times are i / fps."""
        if abs(fps - self.fps) < 1e-9:
            return self
        t = np.clip(np.arange(count_resampled(self, fps)) * self.fps / fps, 0, len(self) - 1)
        return replace(self.sampled(t), fps=float(fps))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the `.npz` form (keys in docs/avatar_formats.md), atomically."""
        return atomic_write(path, lambda temporary: np.savez(
            temporary, modality=self.modality, fps=float(self.fps), weights=self.weights, names=np.array(arkit.NAMES),
            head=self.head, caption=self.caption,
        ))  # fmt: skip

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> FaceMotion:
        """Read the `.npz` form strictly (no pickle). The names may stand in any order; all 52 are needed.

        Raises:
            UserError: missing file, not an npz of a face, missing shapes, NaN, no frames.
        """
        path = Path(path)
        data = read_arrays(path, (*REQUIRED, "caption"), MAX_FRAMES)
        if missing := [k for k in REQUIRED if k not in data]:
            raise UserError(f"{path}: not a face .npz, missing {', '.join(missing)}")
        with parsing(path, "a face"):
            weights, head = np.asarray(data["weights"], np.float32), np.asarray(data["head"], np.float32)
            order = arkit.columns([str(n) for n in data["names"]])
            absent = [n for i, n in enumerate(arkit.NAMES) if i not in order]
            if absent or weights.ndim != 2 or weights.shape[1] != len(data["names"]):
                raise UserError(f"{len(order)} ARKit names for weights {weights.shape}"
                                + (f", missing {', '.join(absent[:3])}" if absent else ""))  # fmt: skip
            weights = weights[:, [order[i] for i in range(arkit.COUNT)]]
            return cls(weights, head, float(data["fps"]), str(data.get("caption", "")))


def concatenate(motions: list[FaceMotion]) -> FaceMotion:
    """Clips one after another as they stand. They must share fps."""
    if any(abs(m.fps - motions[0].fps) > 1e-6 for m in motions):
        raise UserError("concatenate: clips differ in fps")
    weights = np.concatenate([m.weights for m in motions])
    return replace(motions[0], weights=weights, head=np.concatenate([m.head for m in motions]))


def turns(angles: np.ndarray) -> np.ndarray:
    """(T, 4) unit quaternions w, x, y, z of head angles (T, 3) yaw, pitch, roll in radians (signs of `FaceMotion`)."""
    yaw, pitch, roll = (np.asarray(angles, np.float64)[:, k, None] for k in range(3))
    # Positive X would turn the head down, and positive pitch is up.
    about_y, about_x = rot.from_axis_angle(yaw * [0, 1, 0]), rot.from_axis_angle(-pitch * [1, 0, 0])
    out: np.ndarray = rot.multiply(rot.multiply(about_y, about_x), rot.from_axis_angle(roll * [0, 0, 1]))
    return out


def angles_of(q: np.ndarray) -> np.ndarray:
    """(T, 4) quaternions w, x, y, z of a head looking along +Z, Y up -> (T, 3) yaw, pitch, roll in radians.

    The inverse of :func:`turns`: yaw about Y, then pitch about the turned X, then roll about the turned Z. Positive X
    turns the head down and positive Z tilts it to the person's right shoulder (left is +X).
    """
    q = np.asarray(q, np.float64)
    w, x, y, z = (q / np.maximum(np.linalg.norm(q, axis=1, keepdims=True), 1e-9)).T
    yaw = np.arctan2(2 * (w * y + x * z), 1 - 2 * (x * x + y * y))
    pitch = np.arcsin(np.clip(2 * (y * z - w * x), -1, 1))
    roll = np.arctan2(2 * (x * y + w * z), 1 - 2 * (x * x + z * z))
    return np.stack([yaw, pitch, roll], 1)
