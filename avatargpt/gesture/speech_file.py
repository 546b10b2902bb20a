"""Features of a sound by another program (HuBERT, WavLM, PASE+, ...), read from a .npy file and laid on frames.

A file holds (n, A) numbers, rows evenly over the whole sound, whatever their rate: 50 a second by HuBERT, 100 by PASE+.
"""

import os
from pathlib import Path

import numpy as np

from avatargpt.speech.audio import FPS, AudioInfo, frames_in
from vqvae.errors import UserError
from vqvae.io.data_files import map_array

NAME = "file"  # of these features in a model's configuration
RATES = (10.0, 200.0)  # rows a second that are accepted: other files are of another sound


def speech_rows(path: str | os.PathLike[str], seconds: float, frames: int) -> np.ndarray:
    """The rows of a file at the middles of `frames` frames at 30 fps, linear between its own: (frames, A) float32.

    Args:
        seconds: how long the sound is.

    Raises:
        UserError: no such file, another shape, numbers that are not finite, another sound's length.
    """
    array = map_array(Path(path))
    if array.ndim != 2 or not array.size or array.dtype.kind != "f":
        raise UserError(f"{path}: {array.dtype} of shape {array.shape}; accepted: floats (rows, numbers)")
    rate = len(array) / max(seconds, 1e-9)
    if not RATES[0] <= rate <= RATES[1]:
        raise UserError(f"{path}: {len(array)} rows beside {seconds:.1f} s of sound; accepted: {RATES[0]:g} to "
                        f"{RATES[1]:g} a second, of the whole sound")  # fmt: skip
    values = np.asarray(array, np.float32)
    if not np.isfinite(values).all():
        raise UserError(f"{path}: NaN or infinity; accepted: finite numbers")
    at = np.clip((np.arange(frames) + 0.5) / FPS * rate - 0.5, 0, len(values) - 1)
    low = np.floor(at).astype(int)
    high = np.minimum(low + 1, len(values) - 1)
    share = (at - low).astype(np.float32)[:, None]
    return np.asarray(values[low] * (1 - share) + values[high] * share, np.float32)


class SpeechFile:
    """The rows of a file, given out as the samples of its sound are pushed, as `features.ProsodyStream` gives them."""

    delay, repaired = 0.0, 0

    def __init__(self, path: str | os.PathLike[str], sound: AudioInfo) -> None:
        self._rows = speech_rows(path, sound.seconds, frames_in(sound.samples, sound.rate))
        self.name, self.width = os.fspath(path), self._rows.shape[1]
        self.frames, self._rate, self._samples = 0, sound.rate, 0

    def push(self, pcm: np.ndarray) -> np.ndarray:
        """Samples (n,) or (n, channels) -> the rows (k, A) of frames that have ended, k may be 0."""
        self._samples += len(pcm)
        return self._take(self._samples * FPS // self._rate)

    def end(self, beyond: int = 0, frames: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The rows still due, of `frames` in all (None = those of the sound), and `beyond` times the last one."""
        rows = self._take(len(self._rows) if frames is None else frames)
        return rows, np.repeat(self._rows[-1:], beyond, 0)

    def _take(self, stop: int) -> np.ndarray:
        # Rows up to a frame; behind the last one it is repeated.
        at = np.minimum(np.arange(self.frames, max(stop, self.frames)), len(self._rows) - 1)
        self.frames += len(at)
        return self._rows[at]
