"""``.npy`` of ASE, AMP and their kin (poselib's ``SkeletonMotion``): a table that ``np.save`` has pickled.

Keys: ``rotation`` (T, J, 4) x, y, z, w, of joints in the world or, with ``is_local``, against their parents,
``root_translation`` (T, 3), ``skeleton_tree`` with ``node_names``, ``parent_indices`` and ``local_translation`` (J, 3),
``fps``; every array within a table with the key ``arr``. Metres, Z up. Nothing is unpickled (`vqvae.io.pickles`).
(github.com/nv-tlabs/ASE, `ase/poselib/poselib/skeleton/skeleton3d.py`.)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.data_files import MAX_HEADER_BYTES
from vqvae.io.files import parsing, read_bytes
from vqvae.io.pickles import MAX_BYTES, PickledArray, load_pickle
from vqvae.motion import MAX_FRAMES, UNIT_TOLERANCE, Motion, check_fps
from vqvae.retarget import retarget
from vqvae.rig import AXES, Rig

FPS = 30.0  # where the file says none
MAX_JOINTS = 256
ACCEPTED = ("accepted an array of numbers, or poselib's SkeletonMotion (ASE, AMP); others as their own program writes "
            "them: np.save(FILE, JOINTS) of (T, 22, 3) positions, or BVH")  # fmt: skip


def is_pickled(path: Path) -> bool:
    """Whether a file is an ``.npy`` that holds a pickle in place of numbers."""
    with path.open("rb") as file:
        head = file.read(256)
    return head.startswith(b"\x93NUMPY") and b"'|O'" in head


def read_ase(path: Path, fps: float | None = None) -> Motion:
    """One motion at `fps` (default: the file's, else 30).

    Raises:
        UserError: names the file and what is wrong: another table, shapes, joints that are not found, NaN.
    """
    data = read_bytes(path, MAX_BYTES, ACCEPTED)
    with parsing(path, "a SkeletonMotion of poselib", ACCEPTED):
        return retarget(_rig(_table(data), fps))


def _table(data: bytes) -> dict[str, Any]:
    size = int.from_bytes(data[8:10], "little") + 10 if data[6] == 1 else int.from_bytes(data[8:12], "little") + 12
    if size > MAX_HEADER_BYTES:
        raise ValueError("a long header")
    value = load_pickle(data[size:], arrays=True)
    value = value.value if isinstance(value, PickledArray) else value
    if not isinstance(value, dict):
        raise ValueError(f"a {type(value).__name__} in place of a table")
    return value


def _rig(table: dict[str, Any], fps: float | None) -> Rig:
    tree = table["skeleton_tree"]
    names = tuple(str(n) for n in tree["node_names"])
    parents = tuple(int(p) for p in _array(tree, "parent_indices", (len(names),)))
    if not 1 <= len(names) <= MAX_JOINTS or len(set(names)) != len(names):
        raise UserError(f"{len(names)} joints; accepted 1 to {MAX_JOINTS}, none twice")
    if parents[0] != -1 or not all(0 <= p < j for j, p in enumerate(parents) if j):
        raise UserError("parent_indices; accepted -1 for the first joint, and for each other one a joint before it")
    offsets = _array(tree, "local_translation", (len(names), 3))
    turns = _array(table, "rotation", (None, len(names), 4))[..., [3, 0, 1, 2]]
    root = _array(table, "root_translation", (len(turns), 3))
    if not 1 <= len(turns) <= MAX_FRAMES:
        raise UserError(f"{len(turns)} frames; accepted 1 to {MAX_FRAMES}")
    if (np.abs(np.linalg.norm(turns, axis=-1) - 1) > UNIT_TOLERANCE).any():
        raise UserError("rotation: quaternions of another length than 1; accepted x, y, z, w")
    rate = float(table.get("fps", FPS)) if fps is None else fps
    check_fps(rate, "fps")
    turns = rot.normalize(turns)
    local = turns if table["is_local"] else rot.below_parents(turns, parents)
    translations = np.repeat(offsets[None], len(turns), 0)
    translations[:, 0] = root
    return Rig(names, parents, offsets, local, translations, rate, AXES["z"])


def _array(table: dict[str, Any], key: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """An array of the table, float64, finite; `shape` has None for any length."""
    value = table[key]["arr"]
    array = np.asarray(value.value if isinstance(value, PickledArray) else value, np.float64)
    if array.ndim != len(shape) or any(n not in (None, m) for n, m in zip(shape, array.shape, strict=True)):
        wanted = ", ".join("T" if n is None else str(n) for n in shape)
        raise UserError(f"{key} {array.shape}; accepted ({wanted}{',' * (len(shape) == 1)})")
    if not np.isfinite(array).all():
        raise UserError(f"{key}: NaN or infinity; accepted finite numbers")
    return array
