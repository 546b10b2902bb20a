"""Features of many clips in a file on disk, so that a corpus need not fit into memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import overload

import numpy as np

from vqvae.errors import UserError


class FeatureFile(Sequence[np.ndarray]):
    """A sequence of (T, D) float32 clips, each read when it is asked for; in memory are their lengths alone.

    The file has no name of its own and goes with the object, so a stopped run leaves nothing behind. Like any file it
    has one place to read at: one thread at a time.

    Args:
        folder: where there is room, 4 D bytes per frame; it, or the nearest folder above that exists, is used.
    """

    def __init__(self, folder: Path) -> None:
        there = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.is_dir())
        try:
            self._file = tempfile.TemporaryFile(dir=there)  # noqa: SIM115 - closed with the object
        except OSError as e:
            raise UserError(f"{there}: no room for the features of the clips ({e.strerror or e})") from None
        self._place, self._ends, self.width = there, [0], 0

    def add(self, features: np.ndarray) -> None:
        """Put a clip (T, D) behind the others; it is kept in float32.

        Raises:
            UserError: the disk is full, or D is not that of the clips before.
        """
        rows = np.ascontiguousarray(features, np.float32)
        if self.width not in (0, rows.shape[1]):
            raise UserError(f"a clip of {rows.shape[1]} channels among such of {self.width}; accepted: one width")
        self.width = rows.shape[1]
        try:
            self._file.seek(self._ends[-1] * self.width * rows.itemsize)
            self._file.write(rows.data)
            self._file.flush()
        except OSError as e:
            raise UserError(f"{self._place}: cannot keep the features of the clips ({e.strerror or e})") from None
        self._ends.append(self._ends[-1] + len(rows))

    @property
    def lengths(self) -> np.ndarray:
        """(clips,) int64 frames of each clip."""
        return np.diff(np.array(self._ends, np.int64))

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice) -> list[np.ndarray]: ...

    def __getitem__(self, index: int | slice) -> np.ndarray | list[np.ndarray]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self.frames(index % len(self), 0, None)

    def frames(self, clip: int, start: int, stop: int | None) -> np.ndarray:
        """(stop - start, D) of a clip, or up to its end; nothing else of it is read."""
        first, end = self._ends[clip], self._ends[clip + 1]
        end = end if stop is None else min(end, first + stop)
        return self._read(first + start, end)

    def blocks(self, frames: int) -> Iterator[np.ndarray]:
        """All frames of all clips in order, (at most `frames`, D) at a time."""
        places = [*range(0, self._ends[-1], frames), self._ends[-1]]
        yield from (self._read(a, b) for a, b in pairwise(places))

    def _read(self, first: int, end: int) -> np.ndarray:
        data = bytearray(max(0, end - first) * self.width * np.dtype(np.float32).itemsize)
        self._file.seek(first * self.width * np.dtype(np.float32).itemsize)
        if self._file.readinto(data) != len(data):
            raise UserError(f"{self._place}: the features of the clips were cut short; run the stage again")
        return np.frombuffer(data, np.float32).reshape(-1, self.width)
