"""Feature clips in memory and balanced, reproducible sampling of windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class Windows:
    """Clips of features with a class each.

    Attributes:
        clips: one (T, D) float32 array per clip.
        labels: class of each clip, for balancing.
        rare: (clips,) bool, True for the sources reported separately.
        hold: channels that are zero while a pose is held (velocities), for padding short clips.
    """

    clips: list[np.ndarray]
    labels: list[str]
    rare: np.ndarray
    hold: list[slice]

    def statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation (D,) float32 over all frames."""
        everything = np.concatenate(self.clips).astype(np.float64)
        return everything.mean(0).astype(np.float32), everything.std(0).astype(np.float32)

    def probabilities(self, balance: float, speed: float) -> np.ndarray:
        """(clips,) ~ frames * class_frames^-balance * (1 - speed + speed * limb speed / median limb speed).

        Without velocity channels all channels' change from frame to frame stands for the limbs' speed.
        """
        key = (balance, speed)
        cached: dict[tuple[float, float], np.ndarray] = self.__dict__.setdefault("_probabilities", {})
        if key not in cached:
            frames = np.array([len(c) for c in self.clips], float)
            names, inverse = np.unique(self.labels, return_inverse=True)
            per_class = np.bincount(inverse, frames, len(names))
            weight = frames * per_class[inverse] ** -balance
            moving = [c[:, self.hold[-1]] if self.hold else c[1:] - c[:-1] for c in self.clips]
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
        out = np.empty((count, window, self.clips[0].shape[1]), np.float32)
        for row, i in zip(out, chosen, strict=True):
            clip = self.clips[i]
            if len(clip) >= window:
                start = rng.integers(len(clip) - window + 1)
                row[:] = clip[start : start + window]
            else:
                row[: len(clip)], row[len(clip) :] = clip, clip[-1]
                for channels in self.hold:
                    row[len(clip) :, channels] = 0
        return out
