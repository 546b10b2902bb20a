"""``.npz`` of kimodo: places and world rotations of a skeleton's joints, metres, Y up, 30 frames a second.

Arrays: ``posed_joints`` (T, J, 3), ``global_rot_mats`` (T, J, 3, 3), or both with a leading axis of one sample. Bones
are at rest where all rotations are the identity, a T-pose. The files say neither joints nor parents nor rate unless
somebody adds ``joint_names``, ``joint_parents`` or ``fps``; without them 30 joints are those of SOMA and 22 those of
SMPL-X (github.com/nv-tlabs/kimodo, `kimodo/skeleton/definitions.py`).
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.data_files import array_names, read_arrays
from vqvae.io.files import parsing
from vqvae.motion import MAX_FRAMES, Motion
from vqvae.retarget import retarget
from vqvae.rig import AXES, Rig
from vqvae.skeleton import SMPL22

PLACES, TURNS = "posed_joints", "global_rot_mats"
EXTRAS = ("joint_names", "joint_parents", "fps")
FPS = 30.0
MAX_JOINTS = 256
SPREAD = 0.02  # metres that a joint may move in its parent's frame, besides the root
_SIDES = ("Left", "Right")
_SOMA30 = (
    "Hips", "Spine1", "Spine2", "Chest", "Neck1", "Neck2", "Head", "Jaw", "LeftEye", "RightEye",
    *(s + n for s in _SIDES for n in ("Shoulder", "Arm", "ForeArm", "Hand", "HandThumbEnd", "HandMiddleEnd")),
    *(s + n for s in _SIDES for n in ("Leg", "Shin", "Foot", "ToeBase")),
)  # fmt: skip
_SOMA30_PARENTS = (
    -1, 0, 1, 2, 3, 4, 5, 6, 6, 6, 3, 10, 11, 12, 13, 13, 3, 16, 17, 18, 19, 19, 0, 22, 23, 24, 0, 26, 27, 28,
)  # fmt: skip
_SKELETONS = {30: (_SOMA30, _SOMA30_PARENTS), len(SMPL22.names): (SMPL22.names, tuple(SMPL22.parents))}


def is_kimodo(path: str | os.PathLike[str]) -> bool:
    """Whether a readable ``.npz`` has the keys of kimodo's."""
    return {PLACES, TURNS} <= array_names(path)


def read_kimodo(path: str | os.PathLike[str], fps: float | None = None) -> Motion:
    """One file as a Motion, at `fps` (default: the file's, else 30).

    Raises:
        UserError: names the file and what is wrong: shapes, joints that are not known, NaN, places that contradict the
            rotations.
    """
    path = Path(path)
    data = read_arrays(path, (PLACES, TURNS, *EXTRAS), MAX_FRAMES)
    with parsing(path, "a motion of kimodo"):
        rate = fps if fps is not None else float(np.asarray(data.get("fps", FPS)).reshape(()))
        return retarget(_rig(data, rate))


def _rig(data: dict[str, np.ndarray], fps: float) -> Rig:
    places, turns = (np.asarray(data[k], np.float64) for k in (PLACES, TURNS))
    if places.ndim == 4 and turns.ndim == 5 and len(places) == len(turns) == 1:
        places, turns = places[0], turns[0]
    if places.ndim != 3 or places.shape[2] != 3 or not len(places) or turns.shape != (*places.shape, 3):
        raise UserError(f"{PLACES} {places.shape}, {TURNS} {turns.shape}; accepted (T, J, 3) and (T, J, 3, 3), T > 0")
    if not (np.isfinite(places).all() and np.isfinite(turns).all()):
        raise UserError("NaN or infinity; accepted finite numbers")
    if np.abs(np.swapaxes(turns, -1, -2) @ turns - np.eye(3)).max() > 1e-2:
        raise UserError(f"{TURNS}: not rotations; accepted matrices with columns square to each other, of length 1")
    names, parents = _skeleton(data, places.shape[1])
    offsets, local = np.zeros((len(names), 3)), np.empty((*places.shape[:2], 4))
    for j, p in enumerate(parents):
        inverse = np.swapaxes(turns[:, p], -1, -2) if p >= 0 else np.eye(3)
        local[:, j] = rot.from_matrix(inverse @ turns[:, j])
        if p >= 0:
            ways = np.einsum("tij,tj->ti", inverse, places[:, j] - places[:, p])
            offsets[j] = ways.mean(0)
            if (spread := float(np.linalg.norm(ways - offsets[j], axis=1).max())) > SPREAD:
                raise UserError(
                    f"{names[j]} moves by {spread:.2f} m in the frame of {names[p]}; accepted places that follow from "
                    "the rotations")  # fmt: skip
    translations = np.repeat(offsets[None], len(places), 0)
    translations[:, 0] = places[:, 0]
    return Rig(names, parents, offsets, local, translations, fps, AXES["y"], bound=True)


def _skeleton(data: dict[str, np.ndarray], count: int) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names and parents of the joints."""
    if "joint_names" not in data or "joint_parents" not in data:
        if count not in _SKELETONS:
            raise UserError(f"{count} joints without joint_names and joint_parents; accepted without them "
                            f"{' or '.join(map(str, _SKELETONS))}")  # fmt: skip
        return _SKELETONS[count]
    names = tuple(str(n) for n in np.asarray(data["joint_names"]).reshape(-1))
    parents = tuple(int(p) for p in np.asarray(data["joint_parents"]).reshape(-1))
    if len(names) != count or len(parents) != count or count > MAX_JOINTS or len(set(names)) != count:
        raise UserError(f"{len(names)} joint_names, {len(parents)} joint_parents; accepted {count} of both, none twice")
    if parents[0] != -1 or not all(0 <= p < j for j, p in enumerate(parents) if j):
        raise UserError("joint_parents; accepted -1 for the first joint, and for each other one a joint before it")
    return names, parents
