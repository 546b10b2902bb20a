"""Feature clips and balanced, reproducible sampling of windows of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatargpt.train.data.feature_file import FeatureFile

BLOCK = 4096
"""Frames that statistics read at a time: some megabytes."""


@dataclass
class Windows:
    """Clips of features with a class each.

    Attributes:
        clips: one (T, D) float32 array per clip, on disk.
        labels: class of each clip, for balancing.
        rare: (clips,) bool, True for the sources reported separately.
        hold: channels that are zero while a pose is held (velocities), for padding short clips.
    """

    clips: FeatureFile
    labels: list[str]
    rare: np.ndarray
    hold: list[slice]

    def statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation (D,) float32 over all frames; summed frame after frame in float64, as NumPy
        does over one array of all."""
        frames = int(self.clips.lengths.sum())
        mean = self._summed(np.zeros(self.clips.width), power=1) / frames
        return mean.astype(np.float32), np.sqrt(self._summed(mean, power=2) / frames).astype(np.float32)

    def _summed(self, centre: np.ndarray, power: int) -> np.ndarray:
        """(D,) sum over all frames of (frame - centre) ** power."""
        total = np.zeros_like(centre)
        for block in self.clips.blocks(BLOCK):
            off = block.astype(np.float64) - centre
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
            fast = np.array([np.abs(m).mean() if m.size else 0.0 for m in moving])
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
