"""`Motion`: one clip in physical form, the only thing users load and save."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.arrays import read_arrays
from vqvae.io.atomic import atomic_write
from vqvae.io.guard import understanding
from vqvae.skeleton import SMPL22, Skeleton

MAX_FRAMES = 2_000_000
UNIT = 1e-3  # by which the length of a quaternion may differ from 1
MOST_METRES = 1e6  # of the root from the origin; there float32 still tells centimetres apart
REQUIRED = ("modality", "fps", "rotations", "root", "joint_names")
MODALITIES = ("body", "gesture")


@dataclass(frozen=True)
class Motion:
    """A body or gesture clip.

    Shapes: T frames, J joints. Frame: metres, Y up, right-handed, left = +X.

    Attributes:
        rotations: (T, J, 4) float32 local unit quaternions w, x, y, z; identity = T-pose facing +Z.
        root: (T, 3) float32 position of joint 0, metres.
        fps: frames per second.
        modality: ``body`` or ``gesture``.
        caption: what the clip shows, may be empty.
        notes: what its maker has to say of it, such as that a rule stepped in; files do not hold them.
    """

    rotations: np.ndarray
    root: np.ndarray
    fps: float = 20.0
    modality: str = "body"
    caption: str = ""
    skeleton: Skeleton = field(default=SMPL22, repr=False)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        r, p = np.asarray(self.rotations, np.float32), np.asarray(self.root, np.float32)
        joints = len(self.skeleton.names)
        if r.ndim != 3 or r.shape[1:] != (joints, 4) or p.shape != (len(r), 3):
            raise UserError(f"motion: rotations {r.shape} and root {p.shape}; accepted (T, {joints}, 4) and (T, 3)")
        if len(r) < 1:
            raise UserError("motion: no frames; at least 1 is needed")
        if not (np.isfinite(r).all() and np.isfinite(p).all()):
            bad = int(np.argmin(np.isfinite(r).all((1, 2)) & np.isfinite(p).all(1)))
            raise UserError(f"motion: NaN or infinity at frame {bad}")
        norm = np.linalg.norm(r.astype(np.float64), axis=-1, keepdims=True)
        if (off := np.abs(norm - 1).max((1, 2))).max() > UNIT:
            raise UserError(f"motion: frame {int(off.argmax())}: rotations are not unit quaternions (w, x, y, z)")
        if np.abs(p).max() > MOST_METRES:
            raise UserError(f"motion: the root is {np.abs(p).max():.3g} m away; accepted up to {MOST_METRES:g} m")
        if not 0 < float(self.fps) <= 1000:
            raise UserError(f"motion: fps {self.fps}; accepted above 0, at most 1000")
        if self.modality not in MODALITIES:
            raise UserError(f"motion: modality {self.modality!r}; accepted {' or '.join(MODALITIES)}")
        check_caption(self.caption, "motion")
        object.__setattr__(self, "rotations", r / np.linalg.norm(r, axis=-1, keepdims=True))
        object.__setattr__(self, "root", p)

    def __len__(self) -> int:
        return len(self.root)

    @property
    def seconds(self) -> float:
        return len(self) / self.fps

    @cached_property
    def joints(self) -> np.ndarray:
        """(T, J, 3) float32 joint positions in the world, metres."""
        return self.skeleton.fk(self.rotations, self.root)

    @cached_property
    def heading(self) -> np.ndarray:
        """(T,) yaw of the body in radians, see :func:`heading`; 0 faces +Z, positive is to the left."""
        return heading(self.joints)

    def slice(self, start: int, stop: int) -> Motion:
        """Frames [start, stop), not re-centred."""
        return replace(self, rotations=self.rotations[start:stop], root=self.root[start:stop])

    def with_caption(self, caption: str) -> Motion:
        return replace(self, caption=caption)

    def moved(self, yaw: float, offset: np.ndarray) -> Motion:
        """The clip turned about the world's Y axis by `yaw` radians, then shifted by `offset` (3,) metres."""
        q = rot.about_y(yaw)
        r = self.rotations.copy()
        r[:, 0] = rot.multiply(q, r[:, 0].astype(np.float64))
        return replace(self, rotations=r, root=rot.rotate(q, self.root.astype(np.float64)) + offset)

    def canonical(self) -> Motion:
        """First frame above the origin (x = z = 0) facing +Z; heights are kept."""
        turned = self.moved(-float(self.slice(0, 1).heading[0]), np.zeros(3))
        return replace(turned, root=turned.root - turned.root[0] * np.array([1, 0, 1]))

    def mirrored(self) -> Motion:
        """Left and right exchanged (reflection in the x = 0 plane)."""
        r = self.rotations[:, self.skeleton.mirror] * np.array([1, 1, -1, -1], np.float32)
        return replace(self, rotations=r, root=self.root * np.array([-1, 1, 1], np.float32))

    def resampled(self, fps: float) -> Motion:
        """Same duration at another frame rate: slerp of rotations, linear root. Frame times are i / fps."""
        if abs(fps - self.fps) < 1e-9:
            return self
        count = max(1, round(len(self) * fps / self.fps))
        t = np.clip(np.arange(count) * self.fps / fps, 0, len(self) - 1)
        i = np.minimum(t.astype(int), max(len(self) - 2, 0))
        j, f = np.minimum(i + 1, len(self) - 1), t - i
        r = rot.slerp(self.rotations[i].astype(np.float64), self.rotations[j].astype(np.float64), f[:, None])
        root = self.root[i] + (self.root[j] - self.root[i]) * f[:, None]
        return replace(self, rotations=r, root=root, fps=float(fps))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the `.npz` form (keys in docs/formats.md), atomically."""

        def write(temporary: Path) -> None:
            np.savez(
                temporary, modality=self.modality, fps=float(self.fps), rotations=self.rotations, root=self.root,
                joints=self.joints, joint_names=np.array(self.skeleton.names), caption=self.caption,
                parents=np.array(self.skeleton.parents, np.int64),
            )  # fmt: skip

        return atomic_write(path, write)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Motion:
        """Read the `.npz` form strictly (no pickle).

        Raises:
            UserError: missing file, not an npz of a Motion, wrong joints, NaN, no frames.
        """
        path = Path(path)
        data = read_arrays(path, (*REQUIRED, "caption"), MAX_FRAMES)
        missing = [k for k in REQUIRED if k not in data]
        if missing:
            raise UserError(f"{path}: not a motion .npz, missing {', '.join(missing)}")
        names = tuple(str(n) for n in np.ravel(data["joint_names"]))
        if names != SMPL22.names:
            raise UserError(f"{path}: {len(names)} joints {names[:3]}...; accepted the 22 SMPL body joints")
        with understanding(path, "a motion"):
            caption = str(data.get("caption", ""))
            return cls(data["rotations"], data["root"], float(data["fps"]), str(data["modality"]), caption)


def check_caption(caption: str, kind: str) -> None:
    """Refuse a caption that no file can hold as UTF-8: halves of characters, as damaged files have them.

    Raises:
        UserError: such a caption of a `kind` of motion.
    """
    try:
        caption.encode()
    except UnicodeEncodeError as e:
        raise UserError(f"{kind}: the caption is not UTF-8 text (character {e.start}); accepted text") from None


def heading(joints: np.ndarray) -> np.ndarray:
    """Yaw of the body about +Y, radians, unwrapped along time.

    The left-to-right axis is the sum of hips (1 - 2) and shoulders (16 - 17); forward is its cross product with
    up (HumanML3D's convention: forward = up x across; 0 when the body faces +Z).

    Args:
        joints: (T, 22, 3) world positions.

    Returns:
        (T,) float64.
    """
    across = (joints[:, 1] - joints[:, 2] + joints[:, 16] - joints[:, 17]).astype(np.float64)
    # forward = across x up = (-z, 0, x) of `across`, so its yaw atan2(forward_x, forward_z) is atan2(-z, x)
    return np.unwrap(np.arctan2(-across[:, 2], across[:, 0]))


def concatenate(motions: list[Motion]) -> Motion:
    """Clips one after another as they stand (no transition, no re-centring). They must share fps and skeleton."""
    first = motions[0]
    if any(abs(m.fps - first.fps) > 1e-6 for m in motions):
        raise UserError("concatenate: clips differ in fps")
    rotations = np.concatenate([m.rotations for m in motions])
    return replace(first, rotations=rotations, root=np.concatenate([m.root for m in motions]))
