"""Savitzky-Golay smoothing of motion features, as a stream: the parabola through nine frames, read off at its middle.

Savitzky and Golay 1964; window 9 and degree 2 as in LLAniMation (arXiv 2405.08042). The last four frames are read off
the parabola of the last nine, as ``scipy.signal.savgol_filter`` does (``mode="interp"``), the first four off those of
the frames up to four later, so that they wait no longer than others.
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
            if self._seen > HALF:  # of the first frames the parabola goes through as many as are there
                window, row = np.stack(self._held), len(self._held) - 1 - HALF
                out.append(fitted(len(window))[row] @ window if len(window) < WINDOW else self._fit[row] @ window)
        return np.stack(out) if out else frames[:0]

    def end(self) -> np.ndarray:
        """The frames still due, (j, F)."""
        held, self._held = self._held, []
        if not held:
            return np.zeros((0, 0), np.float32)
        window, due = np.stack(held), min(len(held), HALF)
        return np.stack([row @ window for row in fitted(len(window))[-due:]])


def smoothed(frames: np.ndarray) -> np.ndarray:
    """A whole clip (T, F), the same as from a stream of it."""
    smoothing = Smoothing()
    first = smoothing.push(frames)
    return np.concatenate([first, smoothing.end()]) if len(frames) else frames
