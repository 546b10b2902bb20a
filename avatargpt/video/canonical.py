"""The face that MediaPipe's landmarks are numbered on, and how a head in a picture is turned against it.

The network's depths have the unit of its picture's sides: it sees each face by itself, under weak perspective.
MediaPipe's own matrix takes a camera of 63 degrees for granted instead; of a face beside the middle of the picture it
takes half of the angle between the line of sight and the camera's axis for a turn of the head.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from avatargpt.video.weights import weights
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.files import parsing

BUNDLE, GEOMETRY = "face_landmarker.task", "geometry_pipeline_metadata_landmarks.binarypb"
# landmarks from and to which a mouth is measured: nose to below the lower lip's red, the lips' inner edges
FROM, TO = [2, 13], [17, 14]
_NUMBERS = 5  # of a vertex: its place and that in a texture
_MESH, _BASIS, _VERTICES = 1, 2, 3  # fields of mediapipe/tasks/cc/vision/face_geometry/proto


class Canonical(NamedTuple):
    """A face at rest that looks along +Z, Y up, the person's left = +X; centimetres."""

    points: np.ndarray  # (468, 3)
    rows: np.ndarray  # (33,) landmarks that expressions hardly move
    weight: np.ndarray  # (33,) of each, 1 in all


@cache
def canonical() -> Canonical:
    """Out of the network's bundle. Raises UserError where it was not fetched, or is none."""
    path = weights(BUNDLE)
    with parsing(path, "a bundle of MediaPipe's Face Landmarker"):
        with zipfile.ZipFile(path) as bundle:
            fields = list(_fields(bundle.read(GEOMETRY)))
        mesh = [v for number, v in _fields(next(v for n, v in fields if n == _MESH)) if number == _VERTICES]
        vertices = np.frombuffer(b"".join(mesh), "<f4").reshape(-1, _NUMBERS)
        basis = [dict(_fields(v)) for number, v in fields if number == _BASIS]
        rows = np.array([int(b.get(1, 0)) for b in basis])
        weight = np.array([struct.unpack("<f", b[2])[0] for b in basis])
        if len(vertices) <= max(rows.max(), *TO):
            raise UserError(f"{len(vertices)} vertices")
    return Canonical(vertices[:, :3].astype(np.float64), rows, weight / weight.sum())


def pose(marks: np.ndarray, size: tuple[int, int], focal: float) -> tuple[np.ndarray, np.ndarray]:
    """Rotation (3, 3) of a head in the camera's axes (right, up, towards it), and how far the mouth is open.

    Weighted Procrustes analysis (Umeyama 1991, IEEE PAMI 13, eq. 40) under weak perspective, then from the line of
    sight to the camera's axis.

    Args:
        marks: (478, 3) landmarks, pixels: right, down, away from the camera. size: of the picture.
        focal: focal length in lengths of the picture's longer side.

    Returns:
        The rotation, and (2,) centimetres down the face from the nose to below the lower lip, and between the lips, on
        a face of the canonical size.
    """
    face = canonical()
    local = marks.astype(np.float64) * [1, -1, -1]
    middle, rest = (face.weight @ x for x in (local[face.rows], face.points[face.rows]))
    here, there = local[face.rows] - middle, face.points[face.rows] - rest
    u, s, vt = np.linalg.svd((here * face.weight[:, None]).T @ there)
    s, proper = s.copy(), np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    turn = u * proper @ vt
    scale = float((s * proper).sum() / (face.weight[:, None] * there**2).sum())
    mouth = ((local[FROM] - local[TO]) @ turn)[:, 1] / max(scale, 1e-9)
    sight = np.array([size[0] / 2 - middle[0], -size[1] / 2 - middle[1], focal * max(size)])
    to_sight = rot.to_matrix(rot.between(np.array([0.0, 0, 1]), sight))
    return to_sight @ turn, mouth


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Numbers and values of a message in protocol buffers' format; integers, and bytes of all else."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == 2:
            length, at = _varint(data, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError(f"field of kind {kind}")
        yield number, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at
