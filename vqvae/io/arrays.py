"""The one reader of NumPy's files: headers are checked before an array is read, nothing is unpickled."""

from __future__ import annotations

import math
import os
import zipfile
from typing import IO, Any

import numpy as np

from vqvae.errors import UserError
from vqvae.io.guard import regular, understanding

FREE = 64 << 20  # bytes that any file may unfold to
RATIO = 20  # times its size that a larger one may: compressed motion takes a fifth to a half of its place
MOST_ROWS = 1 << 28
MOST_HEADER = 1 << 16
KINDS = "biufUS"  # of element: truth values, numbers, texts
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def array_names(path: str | os.PathLike[str]) -> set[str]:
    """Names of the arrays of an `.npz`; none where it is damaged, of which `read_arrays` says more.

    Raises:
        UserError: no regular file.
    """
    try:
        with zipfile.ZipFile(regular(path)) as z:
            return {n.removesuffix(".npy") for n in z.namelist()}
    except UserError:
        raise
    except Exception:  # as many kinds as there
        return set()


def read_arrays(
    path: str | os.PathLike[str], wanted: tuple[str, ...] | None = None, most_rows: int = MOST_ROWS
) -> dict[str, Any]:
    """Arrays of an `.npz`.

    Args:
        wanted: only those that are there of it; None = all.
        most_rows: of any array.

    Raises:
        UserError: no regular file, damaged, an array of more rows, or one far larger than the file.
    """
    path = regular(path)
    with understanding(path, "a readable .npz"):
        if not zipfile.is_zipfile(path):
            raise ValueError("no zip archive, or cut short")
        with zipfile.ZipFile(path) as archive:
            members = {i.filename.removesuffix(".npy"): i for i in archive.infolist() if i.filename.endswith(".npy")}
            chosen = {k: i for k, i in members.items() if wanted is None or k in wanted}
            most = max(FREE, RATIO * path.stat().st_size)
            for name, info in chosen.items():
                with archive.open(info) as file:
                    _check(file, info.file_size, most, most_rows, f"{path}: array {name}")
            if (total := sum(i.file_size for i in chosen.values())) > most:
                said = f"{path}: its arrays take {_told(total)}"
                raise UserError(f"{said}; accepted up to {_told(most)} from a file of this size")
            out = {}
            for name, info in chosen.items():
                with archive.open(info) as file:
                    out[name] = np.lib.format.read_array(file, allow_pickle=False, max_header_size=MOST_HEADER)
            return out


def map_array(path: str | os.PathLike[str], accepted: str = "") -> np.ndarray:
    """The array of an `.npy`, mapped from the file: nothing is read before it is looked at.

    Raises:
        UserError: no regular file, damaged, not an array of numbers.
    """
    path = regular(path)
    with understanding(path, "a readable .npy", accepted):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
            raise ValueError("not an array of numbers")
        return array


def _check(file: IO[bytes], size: int, most: int, most_rows: int, where: str) -> None:
    """Raises UserError or ValueError unless the header of an `.npy` of `size` bytes is of an array that may be read."""
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"version {version} of the format")
    shape, _, dtype = _HEADERS[version](file, max_header_size=MOST_HEADER)
    if dtype.kind not in KINDS:
        raise ValueError(f"an array of {dtype}")
    if shape and shape[0] > most_rows:
        raise UserError(f"{where}: {shape[0]} rows; at most {most_rows}")
    needed = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or needed != size - file.tell():
        raise ValueError(f"an array {shape} of {dtype} takes {needed} bytes, there are {size - file.tell()}")
    used = math.prod(shape) * max(dtype.itemsize, 4)  # small integers are calculated with as floats
    if used > most:
        raise UserError(f"{where}: takes {_told(used)}; accepted up to {_told(most)} from a file of this size")


def _told(size: int) -> str:
    return f"{size / (1 << 20):.0f} MiB" if size >= 1 << 20 else f"{size / 1024:.0f} KiB"
