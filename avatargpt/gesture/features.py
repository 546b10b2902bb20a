"""What the gesture network hears: a row for each frame at 30 fps, placed by counting samples, so that nothing drifts.

Prosody (log-mel, energy, voicing, pitch, onsets), computed causally and as a stream. Frame n is the sound from n / 30 s
to (n + 1) / 30 s.
"""

from __future__ import annotations

import numpy as np

from avatargpt.speech.audio import FPS, RATE, FrameBlocks, frames_in
from avatargpt.speech.features import BANDS, PER_QUARTER, QUARTERS, SpeechFeatures
from avatargpt.speech.features import WIDTH as HEARD
from vqvae.errors import UserError

PROSODY = "prosody"
"""The name of these features in a model's configuration."""
WIDTH = HEARD + QUARTERS  # 336


class Prosody:
    """16 kHz blocks of one frame -> (336,) float32 each.

    Layout: the 332 of `avatargpt.speech.features.SpeechFeatures`, then four onset strengths, one for each
    quarter frame: the mean rise of the log-mel bands since the quarter before (spectral flux, Dixon 2006). A frame is
    made of samples before its end alone.
    """

    def __init__(self) -> None:
        self._features = SpeechFeatures()
        self._before: np.ndarray | None = None

    def __call__(self, block: np.ndarray) -> np.ndarray:
        """The features of the next frame from its samples (533 or 534,)."""
        heard = self._features(block)
        bands = heard.reshape(QUARTERS, PER_QUARTER)[:, :BANDS]
        before = bands[0] if self._before is None else self._before
        rise = np.maximum(bands - np.concatenate([before[None], bands[:-1]]), 0).mean(1)
        self._before = bands[-1].copy()
        return np.concatenate([heard, rise.astype(np.float32)])


class ProsodyStream:
    """Samples in at any rate and chunk size, rows out; equal bit for bit whatever the chunks were, memory flat.

    Attributes:
        frames: rows given out.

    Raises:
        UserError: a rate that is not accepted.
    """

    def __init__(self, rate: int = RATE) -> None:
        self._blocks, self._prosody = FrameBlocks(rate), Prosody()
        self._ready: list[np.ndarray] = []  # of frames that end within the sample that is still to come
        self.frames = 0

    @property
    def delay(self) -> float:
        """Seconds of sound after a frame's end that resampling needs."""
        return self._blocks.delay

    @property
    def repaired(self) -> int:
        """Samples so far that were not numbers and counted as silence."""
        return self._blocks.repaired

    def push(self, pcm: np.ndarray) -> np.ndarray:
        """Samples (n,) or (n, channels), floats in [-1, 1] or integers -> (k, 336) rows that are ready, k may be 0.

        Raises:
            UserError: samples of another shape or type.
        """
        self._ready += [self._prosody(block) for block in self._blocks.push(pcm)]
        count = min(len(self._ready), self._blocks.samples * FPS // self._blocks.rate - self.frames)
        rows, self._ready = self._ready[:count], self._ready[count:]
        self.frames += len(rows)
        return np.stack(rows) if rows else np.zeros((0, WIDTH), np.float32)

    def end(self, beyond: int = 0, frames: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The rows still due, and `beyond` more of the silence after them; the stream ends.

        Args:
            frames: rows in all; None = whole frames in the sound, at least one.
        """
        due = frames_in(self._blocks.samples, self._blocks.rate) if frames is None else frames
        due = max(due - self.frames, 0)
        quiet = np.zeros(self._blocks.rate // FPS + 1, np.float32)
        rows = [np.zeros((0, WIDTH), np.float32)]
        while sum(map(len, rows)) < due + beyond:
            rows.append(self.push(quiet))
        both = np.concatenate(rows)
        return both[:due], both[due : due + beyond]


def prosody(audio: np.ndarray, rate: int) -> np.ndarray:
    """Rows of a whole signal, (frames_in(n, rate), 336) float32: the same as from a stream of it.

    Raises:
        UserError: samples of another shape or type, or a rate that is not accepted.
    """
    stream = ProsodyStream(rate)
    return np.concatenate([stream.push(audio), stream.end()[0]])


def checked_rows(rows: np.ndarray, what: str, width: int | None = None, empty: bool = False) -> np.ndarray:
    """(N, D) float32, N at least 1, or 0 where that is `empty`.

    Raises:
        UserError: another shape or type, or numbers that are not finite; names what it is.
    """
    x = np.asarray(rows)
    wanted = f"(frames, {'width' if width is None else width})"
    fits = x.ndim == 2 and (width is None or x.shape[1] == width) and (len(x) > 0 or empty)
    if not fits or x.dtype.kind not in "fiu":
        raise UserError(f"{what} of shape {x.shape} and type {x.dtype}; accepted: numbers {wanted}, one row a frame")
    x = x.astype(np.float32, copy=False)
    if not np.isfinite(x).all():
        raise UserError(f"{what}: row {int((~np.isfinite(x)).any(1).argmax())} holds numbers that are not finite")
    return x
