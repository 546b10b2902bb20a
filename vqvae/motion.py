"""`Motion`: a clip of a body or a gesture in physical form."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.data_files import read_arrays
from vqvae.io.files import atomic_write, parsing
from vqvae.skeleton import FINGER_NAMES, SMPL22, SMPL52, Skeleton
from vqvae.smoothing import average_window

MAX_FRAMES = 2_000_000
MIN_FPS, MAX_FPS = 1.0, 1000.0
UNIT_TOLERANCE = 1e-3  # of the length of a quaternion
EXACT = 2.0**-21  # of one that was normalised in float32
MAX_METRES = 1e6  # of the root from the origin, where float32 resolves centimetres
REQUIRED = ("modality", "fps", "rotations", "root", "joint_names")
MODALITIES = ("body", "gesture")


@dataclass(frozen=True)
class Motion:
    """A body or gesture clip of T frames and J joints; metres, Y up, right-handed, left = +X.

    Attributes:
        rotations: (T, J, 4) float32 local unit quaternions w, x, y, z; identity = T-pose facing +Z.
        root: (T, 3) float32 position of joint 0, metres.
        fps: frames per second. modality: ``body`` or ``gesture``. caption: description, may be empty.
        notes: remarks of its generator, such as an applied rule; files do not hold them.
        fingers: of a gesture, or None: (T, 30, 4) float32 local unit quaternions of `skeleton.FINGER_NAMES`; 1 is
            relative to the wrist, 2 and 3 to the joint before; identity = the straight fingers of the T-pose.
        filmed: read off a film, with the errors of that; `.npz` alone holds it.
    """

    rotations: np.ndarray
    root: np.ndarray
    fps: float = 20.0
    modality: str = "body"
    caption: str = ""
    skeleton: Skeleton = field(default=SMPL22, repr=False)
    notes: tuple[str, ...] = ()
    fingers: np.ndarray | None = None
    filmed: bool = False

    def __post_init__(self) -> None:
        (r, p), joints = (np.asarray(x, np.float32) for x in (self.rotations, self.root)), len(self.skeleton.names)
        if r.ndim != 3 or r.shape[1:] != (joints, 4) or p.shape != (len(r), 3):
            raise UserError(f"motion: rotations {r.shape} and root {p.shape}; accepted (T, {joints}, 4) and (T, 3)")
        if len(r) < 1:
            raise UserError("motion: no frames; at least 1 is needed")
        if not (np.isfinite(r).all() and np.isfinite(p).all()):
            bad = int(np.argmin(np.isfinite(r).all((1, 2)) & np.isfinite(p).all(1)))
            raise UserError(f"motion: NaN or infinity at frame {bad}")
        norm = np.linalg.norm(r.astype(np.float64), axis=-1, keepdims=True)
        if (off := np.abs(norm - 1).max((1, 2))).max() > UNIT_TOLERANCE:
            raise UserError(f"motion: frame {int(off.argmax())}: rotations are not unit quaternions (w, x, y, z)")
        if np.abs(p).max() > MAX_METRES:
            far = int(np.abs(p).max(1).argmax())
            raise UserError(f"motion: frame {far}: the root is too far away; accepted up to {MAX_METRES / 1000:g} km")
        check_fps(self.fps, "motion")
        if self.modality not in MODALITIES:
            raise UserError(f"motion: modality {self.modality!r}; accepted {' or '.join(MODALITIES)}")
        check_caption(self.caption, "motion")
        # a second division changes last bits: joined pieces stay equal, and files hold what was written
        object.__setattr__(self, "rotations", _of_unit_length(r, norm))
        object.__setattr__(self, "root", p)
        if self.fingers is not None:
            f = np.asarray(self.fingers, np.float32)
            if self.modality != "gesture" or self.skeleton is not SMPL22:
                raise UserError(f"motion: fingers of a {self.modality}; accepted of a gesture")
            if f.shape != (len(p), len(FINGER_NAMES), 4):
                raise UserError(f"motion: fingers {f.shape}; accepted ({len(p)}, {len(FINGER_NAMES)}, 4)")
            norm = np.linalg.norm(f.astype(np.float64), axis=-1, keepdims=True)
            wrong = ~(np.abs(norm - 1).max((1, 2)) <= UNIT_TOLERANCE)  # NaN and infinity too
            if wrong.any():
                raise UserError(f"motion: frame {int(wrong.argmax())}: fingers are not unit quaternions (w, x, y, z)")
            object.__setattr__(self, "fingers", _of_unit_length(f, norm))

    def __len__(self) -> int:
        return len(self.root)

    @property
    def seconds(self) -> float:
        return len(self) / self.fps

    @cached_property
    def joints(self) -> np.ndarray:
        """(T, J, 3) float32 joint positions in the world, metres."""
        return self.skeleton.fk(self.rotations, self.root)

    @property
    def with_fingers(self) -> tuple[Skeleton, np.ndarray]:
        """The skeleton with the fingers where there are some, and its local rotations (T, 52 or J, 4)."""
        if self.fingers is None:
            return self.skeleton, self.rotations
        return SMPL52, np.concatenate([self.rotations, self.fingers], 1)

    @property
    def all_rotations(self) -> np.ndarray:
        """(T, 52, 4) float64 local rotations of body and fingers, which are straight where there are none."""
        straight = rot.identity((len(self), len(FINGER_NAMES)))
        return np.concatenate([self.rotations, straight if self.fingers is None else self.fingers], 1, dtype=np.float64)

    @cached_property
    def finger_joints(self) -> np.ndarray:
        """(T, 30, 3) float32 positions of the finger joints in the world, metres; straight without any."""
        return SMPL52.fk(self.all_rotations, self.root)[:, -len(FINGER_NAMES) :]

    @cached_property
    def heading(self) -> np.ndarray:
        """(T,) yaw of the body in radians, see :func:`heading`; 0 faces +Z, positive is to the left."""
        return heading(self.joints)

    def slice(self, start: int, stop: int) -> Motion:
        """Frames [start, stop), not re-centred."""
        return self.at_frames(np.arange(len(self))[start:stop])

    def at_frames(self, index: np.ndarray) -> Motion:
        """The frames (N,) of that index, not re-centred, at the same frame rate."""
        fingers = None if self.fingers is None else self.fingers[index]
        return replace(self, rotations=self.rotations[index], root=self.root[index], fingers=fingers)

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
        sign, fingers = np.array([1, 1, -1, -1], np.float32), self.fingers
        if fingers is not None:  # the left hand's stand before the right hand's, in the same order
            fingers = np.roll(fingers, len(FINGER_NAMES) // 2, 1) * sign
        r = self.rotations[:, self.skeleton.mirror] * sign
        return replace(self, rotations=r, root=self.root * np.array([-1, 1, 1], np.float32), fingers=fingers)

    def resampled(self, fps: float) -> Motion:
        """Same duration at another frame rate: slerp of rotations, linear root. Frame times are i / fps."""
        if abs(fps - self.fps) < 1e-9:
            return self
        count = count_resampled(self, fps)
        return replace(self.sampled(np.clip(np.arange(count) * self.fps / fps, 0, len(self) - 1)), fps=float(fps))

    def sampled(self, t: np.ndarray) -> Motion:
        """The clip at frame positions (N,) within [0, T - 1], as frames of the same rate; see `resampled`."""
        i = np.minimum(t.astype(int), max(len(self) - 2, 0))
        j, f = np.minimum(i + 1, len(self) - 1), t - i

        def between(q: np.ndarray) -> np.ndarray:
            return rot.slerp(q[i].astype(np.float64), q[j].astype(np.float64), f[:, None])

        root = self.root[i] + (self.root[j] - self.root[i]) * f[:, None]
        fingers = None if self.fingers is None else between(self.fingers)
        return replace(self, rotations=between(self.rotations), root=root, fingers=fingers)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the `.npz` form (keys in docs/formats.md), atomically."""
        hands: dict[str, Any] = {"fingers": self.fingers, "finger_names": np.array(FINGER_NAMES)}
        return atomic_write(path, lambda temporary: np.savez(
            temporary, modality=self.modality, fps=float(self.fps), rotations=self.rotations, root=self.root,
            joints=self.joints, joint_names=np.array(self.skeleton.names), caption=self.caption,
            parents=np.array(self.skeleton.parents, np.int64), **({} if self.fingers is None else hands),
            **({"filmed": True} if self.filmed else {}),
        ))  # fmt: skip

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Motion:
        """Read the `.npz` form strictly (no pickle).

        Raises:
            UserError: missing file, not an npz of a Motion, wrong joints, NaN, no frames.
        """
        path = Path(path)
        data = read_arrays(path, (*REQUIRED, "caption", "fingers", "finger_names", "filmed"), MAX_FRAMES)
        if missing := [k for k in REQUIRED if k not in data]:
            raise UserError(f"{path}: not a motion .npz, missing {', '.join(missing)}")
        names = tuple(str(n) for n in np.ravel(data["joint_names"]))
        if names != SMPL22.names:
            raise UserError(f"{path}: {len(names)} joints {names[:3]}...; accepted the 22 SMPL body joints")
        with parsing(path, "a motion"):
            caption, fingers = str(data.get("caption", "")), data.get("fingers")
            if fingers is not None:  # in our order
                hands, fingers = [str(n) for n in np.ravel(data.get("finger_names", FINGER_NAMES))], np.asarray(fingers)
                if set(hands) != set(FINGER_NAMES) or fingers.ndim != 3 or fingers.shape[1] != len(hands):
                    raise UserError(f"fingers {fingers.shape} called {', '.join(hands[:3])}...; accepted the 30 from "
                                    f"{FINGER_NAMES[0]} to {FINGER_NAMES[-1]}")  # fmt: skip
                fingers = fingers[:, [hands.index(n) for n in FINGER_NAMES]]
            fps, modality = float(data["fps"]), str(data["modality"])
            filmed = bool(data.get("filmed", False))
            return cls(data["rotations"], data["root"], fps, modality, caption, fingers=fingers, filmed=filmed)


def _of_unit_length(q: np.ndarray, norm: np.ndarray) -> np.ndarray:
    """Quaternions (..., 4) float32 of length 1; those within float32's precision of it stay the same."""
    exact = np.abs(norm - 1) < EXACT
    return q.copy() if exact.all() else np.where(exact, q, q / np.linalg.norm(q, axis=-1, keepdims=True))


def check_caption(caption: str, kind: str) -> None:
    """Raises UserError for a caption with halves of characters, which UTF-8 cannot hold."""
    try:
        caption.encode()
    except UnicodeEncodeError as e:
        raise UserError(f"{kind}: the caption is not UTF-8 text (character {e.start}); accepted text") from None


def check_fps(fps: float, kind: str) -> None:
    """Raises UserError for a frame rate outside `MIN_FPS` to `MAX_FPS`."""
    if not MIN_FPS <= float(fps) <= MAX_FPS:
        raise UserError(f"{kind}: fps {fps}; accepted {MIN_FPS:g} to {MAX_FPS:g}")


class Rated(Protocol):
    """A sequence of frames with a frame rate."""

    @property
    def fps(self) -> float: ...
    def __len__(self) -> int: ...


def count_resampled(clip: Rated, fps: float) -> int:
    """Frames of a clip at another frame rate, at least 1."""
    count = max(1, round(len(clip) * fps / clip.fps))
    if count > MAX_FRAMES:
        raise UserError(f"{len(clip)} frames at {clip.fps:g} a second are {count} at {fps:g}; accepted {MAX_FRAMES}")
    return count


def heading(joints: np.ndarray) -> np.ndarray:
    """Yaw (T,) of the body about +Y from world positions (T, 22, 3), radians, float64, unwrapped along time.

    The left-to-right axis is the sum of hips (1 - 2) and shoulders (16 - 17); forward is its cross product with up
    (HumanML3D's convention: forward = up x across; 0 when the body faces +Z).
    """
    # hips and shoulders together: either alone wobbles with the gait
    across = (joints[:, 1] - joints[:, 2] + joints[:, 16] - joints[:, 17]).astype(np.float64)
    # forward = across x up = (-z, 0, x) of `across`, so its yaw atan2(forward_x, forward_z) is atan2(-z, x)
    return np.unwrap(np.arctan2(-across[:, 2], across[:, 0]))


def smooth_yaw(joints: np.ndarray) -> np.ndarray:
    """`heading` of joints (T, 22, 3), smoothed over 5 frames as a planar vector, (T,) degrees, unwrapped."""
    across = joints[:, 1] - joints[:, 2] + joints[:, 16] - joints[:, 17]
    planar = average_window(across[:, [0, 2]], 5)
    return np.degrees(np.unwrap(np.arctan2(-planar[:, 1], planar[:, 0])))


def concatenate(motions: list[Motion]) -> Motion:
    """Clips one after another as they stand (no transition, no re-centring). They must share fps and skeleton."""
    first = motions[0]
    if any(abs(m.fps - first.fps) > 1e-6 for m in motions):
        raise UserError("concatenate: clips differ in fps")
    hands = [m.fingers for m in motions if m.fingers is not None]
    if hands and len(hands) < len(motions):
        raise UserError(f"concatenate: {len(hands)} of {len(motions)} clips have fingers; accepted all or none")
    rotations, fingers = np.concatenate([m.rotations for m in motions]), np.concatenate(hands) if hands else None
    return replace(first, rotations=rotations, root=np.concatenate([m.root for m in motions]), fingers=fingers)
