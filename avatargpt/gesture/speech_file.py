"""Features of a sound by another program (HuBERT, WavLM, PASE+, ...), read from a .npy file and laid on frames.

A file holds (n, A) numbers, rows evenly over the whole sound, whatever their rate: 50 a second by HuBERT, 100 by PASE+.
"""

import os
from pathlib import Path

import numpy as np

from avatargpt.speech.audio import FPS
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
