"""Savitzky-Golay smoothing of motion features, as a stream: the parabola through nine frames, read off at its middle.

Savitzky and Golay 1964; window 9 and degree 2 as in LLAniMation (arXiv 2405.08042). The first and the last four frames
are read off the parabolas of the first and the last nine, as ``scipy.signal.savgol_filter`` does (``mode="interp"``).
"""

from __future__ import annotations

import numpy as np

WINDOW, DEGREE = 9, 2
HALF = WINDOW // 2
"""Frames by which a smoothed stream is behind."""


def fitted(window: int, degree: int = DEGREE) -> np.ndarray:
    """(window, window) float32: row i gives the value of the fitted polynomial at frame i as a sum over all frames."""
    place = np.linspace(-1.0, 1.0, window) if window > 1 else np.zeros(1)
    basis, _ = np.linalg.qr(np.vander(place, min(degree, window - 1) + 1))
    return np.asarray(basis @ basis.T, np.float32)


class Smoothing:
    """Frames (k, F) in, the smoothed ones that are known so far out; every frame by the same operations."""

    def __init__(self) -> None:
        self._fit = fitted(WINDOW)
        self._held: list[np.ndarray] = []  # the last nine frames at most
        self._seen = 0

    def push(self, frames: np.ndarray) -> np.ndarray:
        """(k, F) -> (j, F) frames that are due."""
        out = []
        for frame in frames:
            self._held = [*self._held[-(WINDOW - 1) :], frame]
            self._seen += 1
            if len(self._held) == WINDOW:
                rows = range(HALF + 1) if self._seen == WINDOW else (HALF,)
                window = np.stack(self._held)
                out += [self._fit[row] @ window for row in rows]
        return np.stack(out) if out else frames[:0]

    def end(self) -> np.ndarray:
        """The frames still due, (j, F)."""
        held, self._held = self._held, []
        if len(held) < WINDOW:  # shorter than a window in all
            fit = fitted(len(held)) if held else np.zeros((0, 0), np.float32)
            return np.stack([row @ np.stack(held) for row in fit]) if held else np.zeros((0, 0), np.float32)
        window = np.stack(held)
        return np.stack([row @ window for row in self._fit[HALF + 1 :]])


def smoothed(frames: np.ndarray) -> np.ndarray:
    """A whole clip (T, F), the same as from a stream of it."""
    smoothing = Smoothing()
    first = smoothing.push(frames)
    return np.concatenate([first, smoothing.end()]) if len(frames) else frames
