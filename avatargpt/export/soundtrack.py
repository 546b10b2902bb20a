"""The sound of a film: AAC beside the pictures, encoded as far as these have come."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

if TYPE_CHECKING:
    from av.audio.stream import AudioStream

_AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
_OTHER_RATE = 48_000  # samples a second, for sound at any other rate


def sound_of(audio: str | os.PathLike[str] | None, seconds: float) -> Callable[[Any], Soundtrack] | None:
    """What makes the track of a film of so many seconds, see `avatargpt.export.video.encode_mp4`; None without sound.

    Both start at 0; sound beyond the last frame is left out. More than two channels become one.
    """
    return None if audio is None else lambda container: Soundtrack(container, audio, seconds)


class Soundtrack:
    """The sound of a film, encoded as far as its pictures have come: memory does not grow with length."""

    def __init__(self, container: Any, source: str | os.PathLike[str], seconds: float) -> None:
        import av

        from avatargpt.speech.audio import inspect

        info = inspect(source)
        self._rate = info.rate
        self._left = round(seconds * info.rate)
        self._given = 0
        self._blocks = _blocks(Path(source), info.channels)
        self._layout = "stereo" if info.channels == 2 else "mono"
        out = info.rate if info.rate in _AAC_RATES else _OTHER_RATE
        self._container = container
        self._stream = cast("AudioStream", container.add_stream("aac", rate=out, layout=self._layout))
        self._stream.bit_rate = 128_000
        self._resampler = av.AudioResampler(format="fltp", layout=self._layout, rate=out)

    def until(self, second: float) -> None:
        """Encode the sound before this moment."""
        while self._left > 0 and self._given < second * self._rate:
            block = next(self._blocks, None)
            if block is None:
                self._left = 0
                return
            self._encode(block[: self._left])

    def finish(self) -> None:
        """Encode what is still inside."""
        for frame in self._resampler.resample(None):
            self._container.mux(self._stream.encode(frame))
        self._container.mux(self._stream.encode(None))

    def _encode(self, block: np.ndarray) -> None:
        import av

        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block.T), format="fltp", layout=self._layout)
        frame.sample_rate, frame.time_base, frame.pts = self._rate, Fraction(1, self._rate), self._given
        self._given += len(block)
        self._left -= len(block)
        for made in self._resampler.resample(frame):
            self._container.mux(self._stream.encode(made))


def _blocks(path: Path, channels: int) -> Iterator[np.ndarray]:
    """(n, 1 or 2) float32 blocks of a sound file."""
    from avatargpt.speech.audio import to_mono
    from avatargpt.speech.sound_files import sample_blocks

    for block in sample_blocks(path, 4096):
        yield np.nan_to_num(block) if channels == 2 else np.nan_to_num(to_mono(block)[:, None])
