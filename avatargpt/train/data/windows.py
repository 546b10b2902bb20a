"""Feature clips and balanced, reproducible sampling of windows of them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from vqvae.errors import UserError

BLOCK = 4096  # frames that statistics read at a time: some megabytes


@dataclass
class Windows:
    """Clips of features with a class each."""

    clips: FeatureFile  # one (T, D) float32 array per clip, on disk
    labels: list[str]  # class of each clip, for balancing
    rare: np.ndarray  # (clips,) bool, True for the sources reported separately
    hold: list[slice]  # channels that are zero while a pose is held (velocities), for padding short clips

    def statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation (D,) float32 over all frames, to the bit as NumPy computes them in float64."""
        frames = int(self.clips.lengths.sum())
        mean = self._summed(np.zeros(self.clips.width), power=1) / frames
        return mean.astype(np.float32), np.sqrt(self._summed(mean, power=2) / frames).astype(np.float32)

    def _summed(self, centre: np.ndarray, power: int) -> np.ndarray:
        """(D,) sum over all frames of (frame - centre) ** power."""
        total = np.zeros_like(centre)
        for block in self.clips.blocks(BLOCK):
            off = block.astype(np.float64) - centre
            # Reduced together with the running sum: NumPy adds the rows of one array in this order, too.
            total = np.add.reduce(np.concatenate([total[None], off if power == 1 else off * off]), axis=0)
        return total

    def probabilities(self, balance: float, speed: float) -> np.ndarray:
        """(clips,) ~ frames * class_frames^-balance * (1 - speed + speed * limb speed / median limb speed).

        Without velocity channels all channels' change from frame to frame stands for the limbs' speed.
        """
        key = (balance, speed)
        cached: dict[tuple[float, float], np.ndarray] = self.__dict__.setdefault("_probabilities", {})
        if key not in cached:
            frames = self.clips.lengths.astype(float)
            names, inverse = np.unique(self.labels, return_inverse=True)
            per_class = np.bincount(inverse, frames, len(names))
            weight = frames * per_class[inverse] ** -balance
            moving = (c[:, self.hold[-1]] if self.hold else c[1:] - c[:-1] for c in self.clips)
            # The last channels to hold are velocities of the limbs.
            fast = np.array([np.abs(m).mean() if m.size else 0.0 for m in moving])
            # At most four times the median: a few very fast clips must not fill the batches.
            weight *= 1 - speed + speed * np.minimum(fast / np.median(fast), 4)
            cached[key] = weight / weight.sum()
        return cached[key]

    def batch(self, count: int, window: int, seed: list[int], balance: float, speed: float) -> np.ndarray:
        """(count, window, D) float32; the same seed gives the same windows.

        Clips shorter than `window` are lengthened by holding their last pose.
        """
        rng = np.random.default_rng(seed)
        chosen = rng.choice(len(self.clips), count, p=self.probabilities(balance, speed))
        lengths = self.clips.lengths
        out = np.empty((count, window, self.clips.width), np.float32)
        for row, i in zip(out, chosen.tolist(), strict=True):
            if (length := int(lengths[i])) >= window:
                start = int(rng.integers(length - window + 1))
                row[:] = self.clips.frames(i, start, start + window)
            else:
                clip = self.clips[i]
                row[:length], row[length:] = clip, clip[-1]
                for channels in self.hold:
                    row[length:, channels] = 0
        return out


class FeatureFile:
    """(T, D) float32 clips in a file without a name, which goes with the object; in memory are their lengths alone.

    It has one position to read at: one thread at a time.

    Args:
        folder: with space for 4 D bytes per frame; it, or the nearest folder above that exists, is used.
    """

    def __init__(self, folder: Path) -> None:
        # The run's folder may not exist yet, and temporary folders are often too small or in memory.
        self.folder = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.is_dir())
        try:
            self._file = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115 - closed with the object
        except OSError as e:
            raise UserError(f"{self.folder}: no room for the features of the clips ({e.strerror or e})") from None
        self._ends, self.width = [0], 0

    def add(self, features: np.ndarray) -> None:
        """Append a clip (T, D), stored in float32. Raises UserError for a full disk or another D than before."""
        rows = np.ascontiguousarray(features, np.float32)
        if self.width not in (0, rows.shape[1]):
            raise UserError(f"a clip of {rows.shape[1]} channels among such of {self.width}; accepted: one width")
        self.width = rows.shape[1]
        try:
            self._file.seek(self._ends[-1] * self.width * rows.itemsize)
            self._file.write(rows.data)
            self._file.flush()
        except OSError as e:
            raise UserError(f"{self.folder}: cannot keep the features of the clips ({e.strerror or e})") from None
        self._ends.append(self._ends[-1] + len(rows))

    @property
    def lengths(self) -> np.ndarray:
        """(clips,) int64 frames of each clip."""
        return np.diff(np.array(self._ends, np.int64))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> np.ndarray:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self.frames(index % len(self), 0, None)

    def frames(self, clip: int, start: int, stop: int | None) -> np.ndarray:
        """(stop - start, D) of a clip, or up to its end, without reading the rest of it."""
        first, end = self._ends[clip], self._ends[clip + 1]
        end = end if stop is None else min(end, first + stop)
        return self._read(first + start, end)

    def blocks(self, frames: int) -> Iterator[np.ndarray]:
        """All frames of all clips in order, (at most `frames`, D) at a time."""
        places = [*range(0, self._ends[-1], frames), self._ends[-1]]
        yield from (self._read(a, b) for a, b in pairwise(places))

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(len(self)))

    def _read(self, first: int, end: int) -> np.ndarray:
        data = bytearray(max(0, end - first) * self.width * np.dtype(np.float32).itemsize)
        self._file.seek(first * self.width * np.dtype(np.float32).itemsize)
        if self._file.readinto(data) != len(data):
            raise UserError(f"{self.folder}: the features of the clips were cut short; run the stage again")
        return np.frombuffer(data, np.float32).reshape(-1, self.width)
