"""`AvatarMotion`: the body of one person with its fingers, the face, and the sound that they go with."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from avatargpt.export.formats import save
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion, angles_of
from vqvae.io.data_files import array_names, read_arrays
from vqvae.io.files import atomic_write, parsing
from vqvae.motion import MAX_FRAMES, Motion
from vqvae.skeleton import FINGER_NAMES, SMPL22

NECK, HEAD = SMPL22.index("neck"), SMPL22.index("head")
REQUIRED = ("modality", "fps", "rotations", "root", "joint_names", "fingers", "weights", "names")


def head_of(body: Motion) -> np.ndarray:
    """(T, 3) yaw, pitch, roll in radians (signs of `FaceMotion`) of the head relative to the chest: neck and head."""
    return angles_of(rot.multiply(*(body.rotations[:, j].astype(np.float64) for j in (NECK, HEAD))))


@dataclass(frozen=True)
class AvatarMotion:
    """A body, its fingers and its face on one clock.

    Shapes: T frames. Frame: metres, Y up, right-handed, left = +X.

    Attributes:
        body: T frames with fingers (modality ``gesture``).
        face: T frames at the body's rate. Its ``head`` is always what the body's neck and head say together
            (`head_of`), whatever was given: the head's turn is held once, in the joints.
        sound: the speech that the clip goes with; frame i is at second i / fps of it. None = no sound.
        caption: what the clip shows, may be empty.
        notes: what its maker has to say of it, such as that the body was held; files do not hold them.

    Raises:
        UserError: a body without fingers, parts of different lengths or rates.
    """

    body: Motion
    face: FaceMotion
    sound: Path | None = None
    caption: str = ""
    notes: tuple[str, ...] = ()
    modality: ClassVar[str] = "avatar"

    def __post_init__(self) -> None:
        if self.body.fingers is None:
            raise UserError("avatar: a body without fingers; accepted a gesture with 30 of them")
        lengths, rates = (len(self.body), len(self.face)), (self.body.fps, self.face.fps)
        if lengths[0] != lengths[1] or abs(rates[0] - rates[1]) > 1e-6:
            body, face = (f"{n} frames at {rate:g} a second" for n, rate in zip(lengths, rates, strict=True))
            raise UserError(f"avatar: a body of {body} and a face of {face}; accepted: the same")
        object.__setattr__(self, "face", replace(self.face, head=head_of(self.body)))

    def __len__(self) -> int:
        return len(self.body)

    @property
    def fps(self) -> float:
        """Frames per second of all parts."""
        return self.body.fps

    @property
    def seconds(self) -> float:
        return len(self) / self.fps

    def slice(self, start: int, stop: int) -> Self:
        """Frames [start, stop), without the sound, which begins elsewhere; not re-centred."""
        return replace(self, body=self.body.slice(start, stop), face=self.face.slice(start, stop), sound=None)

    def mirrored(self) -> Self:
        return replace(self, body=self.body.mirrored(), face=self.face.mirrored())

    def resampled(self, fps: float) -> Self:
        return replace(self, body=self.body.resampled(fps), face=self.face.resampled(fps))

    def with_caption(self, caption: str) -> Self:
        return replace(self, caption=caption)

    def save(self, path: str | os.PathLike[str], **options: Any) -> Path:
        """Write the file that the suffix names (docs/avatar_formats.md), see `avatargpt.export.save`."""
        return save(self, path, **options)

    def write_npz(self, path: Path) -> Path:
        """Write all parts into one `.npz`: the keys of a body's and of a face's file together, and ``sound``."""
        return atomic_write(path, lambda temporary: np.savez(
            temporary, modality=self.modality, fps=float(self.fps), rotations=self.body.rotations, root=self.body.root,
            joint_names=np.array(SMPL22.names), parents=np.array(SMPL22.parents, np.int64), joints=self.body.joints,
            fingers=np.asarray(self.body.fingers), finger_names=np.array(FINGER_NAMES), weights=self.face.weights,
            names=np.array(arkit.NAMES), head=self.face.head, caption=self.caption,
            sound="" if self.sound is None else str(self.sound),
        ))  # fmt: skip

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read the `.npz` form strictly (no pickle); ``head`` is not read, the joints say it."""
        path = Path(path)
        data = read_arrays(path, (*REQUIRED, "caption", "sound", "finger_names"), MAX_FRAMES)
        if missing := [k for k in REQUIRED if k not in data]:
            raise UserError(f"{path}: not an avatar .npz, missing {', '.join(missing)}")
        names = [tuple(str(n) for n in np.ravel(data[k])) for k in ("joint_names", "names")]
        fingers = tuple(str(n) for n in np.ravel(data.get("finger_names", FINGER_NAMES)))
        if names != [SMPL22.names, arkit.NAMES] or fingers != FINGER_NAMES:
            raise UserError(f"{path}: joints, fingers or shapes of other names; accepted those that are written here")
        with parsing(path, "an avatar"):
            fps, caption, sound = float(data["fps"]), str(data.get("caption", "")), str(data.get("sound", ""))
            body = Motion(data["rotations"], data["root"], fps, "gesture", caption, fingers=data["fingers"])
            weights = np.asarray(data["weights"], np.float32)
            face = FaceMotion(weights, np.zeros((len(weights), 3)), fps, caption)
            return cls(body, face, Path(sound) if sound else None, caption)


def is_avatar(path: Path) -> bool:
    """Whether an `.npz` has the keys of an avatar."""
    return set(REQUIRED) <= array_names(path)


def body_and_face(motion: Motion | FaceMotion | AvatarMotion) -> tuple[Motion | None, FaceMotion | None]:
    """The body and the face of a motion, None for a part it lacks."""
    if isinstance(motion, AvatarMotion):
        return motion.body, motion.face
    return (None, motion) if isinstance(motion, FaceMotion) else (motion, None)
