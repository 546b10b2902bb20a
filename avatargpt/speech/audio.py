"""Sound in: files of any common kind, and a stream at any rate that becomes 16 kHz blocks of one video frame each."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from avatargpt.speech.sound_files import cut_off, in_silence, is_mp3, named, sample_blocks
from vqvae.errors import UserError
from vqvae.io.files import parsing, regular_file

RATE = 16_000  # Hz, what the features see
FPS = 30
MAX_SECONDS = 2 * 3600
MIN_RATE, MAX_RATE = 4_000, 384_000
MAX_CHANNELS = 64
ZERO_CROSSINGS = 16  # of the resampling filter on each side: 1 ms of delay at 16 kHz
LACKING, LACKING_SHARE = 0.5, 0.02  # s, share of what a header says: less sound than that may be told imprecisely
BLOCK = 65_536  # samples read from a file at once


def frame_end(frame: int) -> int:
    """First 16 kHz sample after video frame `frame`: from whole numbers, so an hour does not drift."""
    return _round_half_up((frame + 1) * RATE, FPS)


def frames_in(samples: int, rate: int) -> int:
    """Whole video frames in so many samples, at least 1."""
    return max(1, samples * FPS // rate)


def _round_half_up(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)


@dataclass(frozen=True)
class AudioInfo:
    """What a sound file says of itself."""

    rate: int
    channels: int
    samples: int  # per channel

    @property
    def seconds(self) -> float:
        return self.samples / self.rate


def inspect(path: str | os.PathLike[str]) -> AudioInfo:
    """Rate, channels and length of a sound file, checked.

    Raises:
        UserError: missing, not audio, empty, too long, cut off (WAV, AIFF, Ogg), a rate or channel count that makes no
            sense.
    """
    import soundfile

    path = regular_file(path, "a sound file (wav, flac, ogg, mp3) is needed")
    with parsing(path, "a sound file", "accepted: wav, flac, ogg, mp3, aiff"), in_silence(is_mp3(path)):
        about: Any = soundfile.info(named(path))
    if about.frames <= 0:
        raise UserError(f"{path}: the sound is 0 s long; at least one sample is needed")
    check_rate(about.samplerate, about.channels, str(path))
    if about.frames > MAX_SECONDS * about.samplerate:
        hours = about.frames / about.samplerate / 3600
        raise UserError(f"{path}: {hours:.1f} h of sound; accepted: up to {MAX_SECONDS // 3600} h, cut it into parts")
    info = AudioInfo(about.samplerate, about.channels, about.frames)
    if (said := cut_off(path)) is None:
        raise UserError(f"{path}: cut short, the page that ends an Ogg stream is missing; copy or record it again")
    _check_whole(path, info, info.samples * said)
    return info


def _check_whole(path: str | os.PathLike[str], info: AudioInfo, said: float, seen: int | None = None) -> None:
    """Raises UserError where there is less sound, `seen` samples of it, than the header's `said` samples."""
    seen = info.samples if seen is None else seen
    if said - seen > max(LACKING * info.rate, LACKING_SHARE * said):
        raise UserError(f"{path}: ends after {seen / info.rate:.1f} s; its header says {said / info.rate:.1f} s")


def check_rate(rate: int, channels: int, where: str) -> None:
    """Raises UserError for a sample rate or channel count out of range."""
    if not MIN_RATE <= rate <= MAX_RATE or rate != int(rate):
        raise UserError(f"{where}: {rate} samples a second; accepted: whole numbers from {MIN_RATE} to {MAX_RATE}")
    if not 1 <= channels <= MAX_CHANNELS:
        raise UserError(f"{where}: {channels} channels; accepted: 1 to {MAX_CHANNELS}")


def blocks(path: str | os.PathLike[str]) -> Iterator[np.ndarray]:
    """A checked file as mono blocks (n,) float32 in [-1, 1]; memory does not grow with its length.

    Raises:
        UserError: as `inspect`; also samples that are not finite, or a file that ends early.
    """
    import soundfile

    info = inspect(path)
    seen = 0
    try:
        with closing(sample_blocks(path, BLOCK)) as read:
            for block in read:
                mono = to_mono(block)
                bad = ~np.isfinite(mono)
                if bad.any():
                    at = (seen + int(bad.argmax())) / info.rate
                    raise UserError(f"{path}: samples that are not numbers (NaN or infinite), the first at {at:.3f} s")
                seen += len(mono)
                yield mono
    except (soundfile.LibsndfileError, RuntimeError) as e:
        detail = str(getattr(e, "error_string", e)).rstrip(".")
        raise UserError(f"{path}: damaged sound after {seen / info.rate:.1f} s ({detail})") from None
    if seen == 0:
        raise UserError(f"{path}: the sound is 0 s long; at least one sample is needed")
    _check_whole(path, info, info.samples, seen)


def load(path: str | os.PathLike[str]) -> tuple[np.ndarray, int]:
    """A whole file: mono samples (n,) float32 and their rate. Raises UserError as `blocks`."""
    info = inspect(path)
    return np.concatenate(list(blocks(path))), info.rate


@dataclass(frozen=True)
class Sound:
    """A file or samples, checked, to be read once.

    Attributes:
        about: rate, channels, length. parts: mono blocks (n,) float32; of a file, memory does not grow with its length.
    """

    about: AudioInfo
    parts: Iterable[np.ndarray]


def opened(audio: str | os.PathLike[str] | np.ndarray, rate: int = RATE) -> Sound:
    """A sound file, or samples (n,) or (n, channels) at `rate`.

    Raises:
        UserError: as `inspect`, and while its parts are read as `blocks`; samples that are none, not finite, of another
            shape or type, or of more than 2 h.
    """
    if not isinstance(audio, np.ndarray):
        return Sound(inspect(audio), blocks(audio))
    if audio.size == 0:
        raise UserError("the sound is 0 s long; at least one sample is needed")
    check_rate(rate, 1, "sound")
    mono = to_mono(audio)
    if not np.isfinite(mono).all():
        raise UserError("sound with samples that are not numbers (NaN or infinite)")
    if len(mono) > MAX_SECONDS * rate:
        hours = f"{len(mono) / rate / 3600:.1f} h of sound"
        raise UserError(f"{hours}; accepted: up to {MAX_SECONDS // 3600} h, cut it into parts")
    channels = 1 if audio.ndim == 1 else audio.shape[1]
    return Sound(AudioInfo(int(rate), channels, len(mono)), np.array_split(mono, max(1, len(mono) // BLOCK)))


def to_mono(pcm: np.ndarray) -> np.ndarray:
    """(n,) or (n, channels) -> (n,) float32 in [-1, 1]; channels are averaged.

    Floats are taken as they are, integers of 8, 16 and 32 bits by what their type holds. Wider ones are refused: they
    hold samples of any width (NumPy makes int64 of a list).

    Raises:
        UserError: another shape or type.
    """
    x = np.asarray(pcm)
    if x.ndim not in (1, 2) or (x.ndim == 2 and not 1 <= x.shape[1] <= MAX_CHANNELS):
        raise UserError(f"sound of shape {x.shape}; accepted: (samples,) or (samples, channels)")
    if x.dtype == np.uint8:
        x = (x.astype(np.float32) - 128) / 128
    elif x.dtype in (np.int8, np.int16, np.int32):
        x = x.astype(np.float32) / -float(np.iinfo(x.dtype).min)
    elif not np.issubdtype(x.dtype, np.floating):
        raise UserError(f"samples of type {x.dtype}; accepted: floats in [-1, 1], int8, int16, int32 or uint8")
    if x.ndim == 2:
        # Channel by channel: the sum over an axis may be ordered by how many rows there are.
        total = x[:, 0].astype(np.float32)
        for c in range(1, x.shape[1]):
            total = total + x[:, c].astype(np.float32)
        return total / np.float32(x.shape[1])
    return x.astype(np.float32)


class FrameBlocks:
    """Samples at any rate, in chunks of any size -> 16 kHz blocks, one for each video frame (533 or 534 samples).

    Every block is computed by the same operations on arrays of the same shape whatever the chunks were, so the
    result is equal bit for bit. Resampling is a windowed sinc (Kaiser, beta 9) with `ZERO_CROSSINGS` on each side.
    """

    def __init__(self, rate: int = RATE) -> None:
        check_rate(rate, 1, "stream")
        self.rate = rate = int(rate)
        common = math.gcd(rate, RATE)
        self._up, self._down = RATE // common, rate // common
        self._half = 0 if rate == RATE else math.ceil(ZERO_CROSSINGS * max(rate, RATE) / RATE)
        self._filters = None if rate == RATE else _phases(self._up, self._half, min(1.0, RATE / rate))
        self._pending: list[np.ndarray] = []
        self._held = np.zeros(self._half, np.float32)  # starts at input sample `_first`
        self._first = -self._half
        self._frame = 0
        self.samples = 0
        self.repaired = 0

    @property
    def delay(self) -> float:
        """Seconds of input beyond a frame's end that its block needs."""
        return self._half / self.rate

    def push(self, pcm: np.ndarray) -> Iterator[np.ndarray]:
        """Add samples and yield the blocks that are complete. Samples that are not finite count as silence."""
        x = to_mono(pcm)
        bad = ~np.isfinite(x)
        if bad.any():
            self.repaired += int(bad.sum())
            x = np.where(bad, np.float32(0), x)
        self.samples += len(x)
        self._pending.append(np.clip(x, -8, 8))
        return self._complete()

    def _complete(self) -> Iterator[np.ndarray]:
        while self.needed(self._frame) <= self.samples:
            if self._pending:
                self._held = np.concatenate([self._held, *self._pending])
                self._pending = []
            start, end = frame_end(self._frame - 1) if self._frame else 0, frame_end(self._frame)
            block = self._resample(start, end)
            keep = end * self._down // self._up - self._half
            if keep > self._first:
                self._held = self._held[keep - self._first :]
                self._first = keep
            self._frame += 1
            yield block

    def needed(self, frame: int) -> int:
        """Input samples, from the first on, that the block of a frame needs."""
        end = frame_end(frame)
        return end if self._filters is None else (end - 1) * self._down // self._up + self._half + 1

    def _resample(self, start: int, end: int) -> np.ndarray:
        if self._filters is None:
            return self._held[start - self._first : end - self._first].copy()
        first = start * self._down // self._up - self._half + 1 - self._first
        if self._up == 1:  # one filter, evenly spaced windows: 48 kHz
            held, width = self._held[first:], 2 * self._half
            assert len(held) >= (end - start - 1) * self._down + width  # `as_strided` does not look
            step = held.strides[0]
            shape, strides = (end - start, width), (self._down * step, step)
            windows = np.lib.stride_tricks.as_strided(held, shape, strides, writeable=False)
            return np.einsum("ij,j->i", windows, self._filters[0])
        position = np.arange(start, end) * self._down
        whole, phase = position // self._up, position % self._up
        windows = np.lib.stride_tricks.sliding_window_view(self._held, 2 * self._half)
        return np.einsum("ij,ij->i", windows[whole - whole[0] + first], self._filters[phase])


def _phases(up: int, half: int, cutoff: float) -> np.ndarray:
    """(up, 2 half) filters: the weights of input samples -half+1 .. half around a fraction i / up of a sample."""
    distance = np.arange(-half + 1, half + 1)[None] - np.arange(up)[:, None] / up
    window = np.i0(9.0 * np.sqrt(np.clip(1 - (distance / half) ** 2, 0, None))) / np.i0(9.0)
    filters = np.sinc(distance * cutoff * 0.94) * window
    return (filters / filters.sum(1, keepdims=True)).astype(np.float32)


def resample(audio: np.ndarray, rate: int) -> np.ndarray:
    """A whole signal (n,) at `rate` -> 16 kHz (round(n * 16000 / rate),), for building data."""
    if rate == RATE:
        return audio.astype(np.float32)
    source = FrameBlocks(rate)
    wanted = round(len(audio) * RATE / rate)
    tail = np.zeros(2 * source._half + rate // FPS + 2, np.float32)
    return np.concatenate([*source.push(np.concatenate([audio.astype(np.float32), tail]))])[:wanted]
