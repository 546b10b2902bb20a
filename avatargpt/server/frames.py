"""``.frames``: what the page plays, joints and face weights frame by frame; little endian."""
# 8 bytes ``AGF1`` and the length of the header (uint32), the header (JSON, padded with spaces to a multiple of 4), then
# float32 rows: root x y z, a local quaternion x y z w of every joint, 52 face weights where there is a face.

from __future__ import annotations

import json
import struct
from dataclasses import replace
from typing import Any

import numpy as np

from avatargpt.avatar.pipeline import hold_stand
from avatargpt.export.avatar import AvatarMotion
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.face import FaceMotion, turns
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22, Skeleton

MAGIC = b"AGF1"
DIGITS = 6
ARMS_DOWN = np.radians(72)  # of a body that only carries a face


def frames(clip: Motion | FaceMotion | AvatarMotion, first: int = 0) -> bytes:
    """A clip from a frame on as the bytes of a ``.frames`` file."""
    skeleton, rows, face = frame_rows(clip)
    about = {"fps": clip.fps, "frames": len(rows) - first, **columns(skeleton, face), "caption": clip.caption}
    text = json.dumps(about, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    return MAGIC + struct.pack("<I", len(text)) + text + rows[first:].tobytes()


def columns(skeleton: Skeleton, face: bool) -> dict[str, Any]:
    """What the columns of the rows are."""
    return {
        "joints": list(skeleton.names), "parents": list(skeleton.parents),
        "offsets": np.round(skeleton.offsets, DIGITS).tolist(), "face": list(arkit.NAMES) if face else [],
    }  # fmt: skip


def frame_rows(clip: Motion | FaceMotion | AvatarMotion) -> tuple[Skeleton, np.ndarray, bool]:
    """The skeleton, rows (T, 3 + 4 J [+ 52]) float32, and whether they hold a face."""
    body = _under(clip) if isinstance(clip, FaceMotion) else clip.body if isinstance(clip, AvatarMotion) else clip
    face = clip.face if isinstance(clip, AvatarMotion) else clip
    skeleton, rotations = body.with_fingers
    rows = [body.root, np.roll(rotations, -1, -1).reshape(len(body), -1)]
    if isinstance(face, FaceMotion):
        rows.append(face.weights)
    return skeleton, np.concatenate(rows, 1).astype("<f4"), isinstance(face, FaceMotion)


def _under(face: FaceMotion) -> Motion:
    """A body that stands with its arms down, its head turned as the face's."""
    body = hold_stand(0, len(face), face.fps)
    rotations = body.rotations.astype(np.float64)
    rotations[:, SMPL22.index("head")] = turns(face.head)
    for name, side in (("l_shoulder", -1), ("r_shoulder", 1)):
        rotations[:, SMPL22.index(name)] = rot.from_axis_angle(np.array([0, 0, side * ARMS_DOWN]))
    return replace(body, rotations=rotations)
