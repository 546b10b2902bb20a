"""Sound files and sample streams: checked reading, and resampling to 16 kHz blocks of one video frame each."""

import math
import os
import struct
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from avatargpt.options import SOUND_RATE as RATE  # what the features see
from vqvae.errors import UserError
from vqvae.io.files import parsing, regular_file

FPS = 30
MAX_SECONDS = 2 * 3600
MIN_RATE, MAX_RATE = 4_000, 384_000
MAX_CHANNELS = 64
ZERO_CROSSINGS = 16  # of the resampling filter on each side: 1 ms of delay at 16 kHz
MISSING_SECONDS, MISSING_SHARE = 0.5, 0.02  # less sound than the header says by this much is tolerated
BLOCK = 65_536  # samples read from a file at once
UNKNOWN_SIZE = 0x7FF00000  # bytes: streams, which do not know their size, write sizes from here on
LARGEST_PAGE = 27 + 255 + 255 * 255  # bytes of Ogg
_LAST_PAGE = 4  # flag of the page that ends a stream of Ogg
# Starts of sound files: (offset, bytes) that must all match; each more than raw samples begin with by chance.
_SIGNATURES: tuple[tuple[str, tuple[tuple[int, bytes], ...]], ...] = (
    ("WAV", ((0, b"RIFF"), (8, b"WAVE"))), ("WAV", ((0, b"RF64"), (8, b"WAVE"))),
    ("AIFF", ((0, b"FORM"), (8, b"AIF"))), ("FLAC", ((0, b"fLaC"), (5, b"\x00\x00\x22"))), ("Ogg", ((0, b"OggS\x00"),)),
    ("mp3", ((0, b"ID3"), (4, b"\x00"))), ("MP4", ((0, b"\x00\x00\x00"), (4, b"ftyp"))),
    ("WebM", ((0, b"\x1a\x45\xdf\xa3"),)),
)  # fmt: skip
_MP3_BITRATES = {  # kbit/s of MPEG 1 and of MPEG 2, layer III
    True: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MP3_RATES = (44_100, 48_000, 32_000)  # Hz of MPEG 1; halved in MPEG 2, quartered in 2.5
SIGNATURE_BYTES, MP3_BYTES = 16, 1500  # that identify a file; an mp3 takes its first frame and the start of the next
_stderr_lock = threading.Lock()


# Frames and streams
def frame_end(frame: int) -> int:
    """First 16 kHz sample after video frame `frame`: from whole numbers, so an hour does not drift."""
    return round_half_up((frame + 1) * RATE, FPS)


def frames_in(samples: int, rate: int) -> int:
    """Whole video frames in so many samples, at least 1."""
    return max(1, samples * FPS // rate)


def round_half_up(numerator: int, denominator: int) -> int:
    """The fraction rounded to a whole number, halves up."""
    return (2 * numerator + denominator) // (2 * denominator)


def check_rate(rate: int, channels: int, where: str) -> None:
    """Raises UserError for a sample rate or channel count out of range."""
    if not MIN_RATE <= rate <= MAX_RATE or rate != int(rate):
        raise UserError(f"{where}: {rate} samples a second; accepted: whole numbers from {MIN_RATE} to {MAX_RATE}")
    if not 1 <= channels <= MAX_CHANNELS:
        raise UserError(f"{where}: {channels} channels; accepted: 1 to {MAX_CHANNELS}")


def to_mono(pcm: np.ndarray) -> np.ndarray:
    """(n,) or (n, channels) -> (n,) float32 in [-1, 1]; channels are averaged, integers scaled by their type."""
    x = np.asarray(pcm)
    if x.ndim not in (1, 2) or (x.ndim == 2 and not 1 <= x.shape[1] <= MAX_CHANNELS):
        raise UserError(f"sound of shape {x.shape}; accepted: (samples,) or (samples, channels)")
    # Integers of 64 bits are refused: they may hold samples of any width (NumPy makes int64 of a list).
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

    Resampling is a windowed sinc (Kaiser, beta 9) with `ZERO_CROSSINGS` on each side.
    """

    # Every block is computed by the same operations on arrays of the same shape whatever the chunks were, so the result
    # is equal bit for bit. Usual streaming resamplers hold back 20 to 115 ms of sound.

    def __init__(self, rate: int = RATE) -> None:
        check_rate(rate, 1, "stream")
        self.rate = rate = int(rate)
        common = math.gcd(rate, RATE)
        self._up, self._down = RATE // common, rate // common
        self._half = 0 if rate == RATE else math.ceil(ZERO_CROSSINGS * max(rate, RATE) / RATE)
        self._filters = None if rate == RATE else _phase_filters(self._up, self._half, min(1.0, RATE / rate))
        self._pending: list[np.ndarray] = []
        self._buffer = np.zeros(self._half, np.float32)  # starts at input sample `_first`
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
        while self.count_needed(self._frame) <= self.samples:
            if self._pending:
                self._buffer = np.concatenate([self._buffer, *self._pending])
                self._pending = []
            start, end = frame_end(self._frame - 1) if self._frame else 0, frame_end(self._frame)
            block = self._resample(start, end)
            keep = end * self._down // self._up - self._half
            if keep > self._first:
                self._buffer = self._buffer[keep - self._first :]
                self._first = keep
            self._frame += 1
            yield block

    def count_needed(self, frame: int) -> int:
        """Input samples, from the first on, that the block of a frame needs."""
        end = frame_end(frame)
        return end if self._filters is None else (end - 1) * self._down // self._up + self._half + 1

    def _resample(self, start: int, end: int) -> np.ndarray:
        if self._filters is None:
            return self._buffer[start - self._first : end - self._first].copy()
        first = start * self._down // self._up - self._half + 1 - self._first
        if self._up == 1:  # one filter, evenly spaced windows: 48 kHz
            samples, width = self._buffer[first:], 2 * self._half
            assert len(samples) >= (end - start - 1) * self._down + width  # `as_strided` checks no bounds
            step = samples.strides[0]
            shape, strides = (end - start, width), (self._down * step, step)
            windows = np.lib.stride_tricks.as_strided(samples, shape, strides, writeable=False)
            return np.einsum("ij,j->i", windows, self._filters[0])
        position = np.arange(start, end) * self._down
        index, phase = position // self._up, position % self._up
        windows = np.lib.stride_tricks.sliding_window_view(self._buffer, 2 * self._half)
        return np.einsum("ij,ij->i", windows[index - index[0] + first], self._filters[phase])


def _phase_filters(up: int, half: int, cutoff: float) -> np.ndarray:
    """(up, 2 half) filters: the weights of input samples -half+1 .. half around a fraction i / up of a sample."""
    distance = np.arange(-half + 1, half + 1)[None] - np.arange(up)[:, None] / up
    window = np.i0(9.0 * np.sqrt(np.clip(1 - (distance / half) ** 2, 0, None))) / np.i0(9.0)
    filters = np.sinc(distance * cutoff * 0.94) * window
    return (filters / filters.sum(1, keepdims=True)).astype(np.float32)


def resample(audio: np.ndarray, rate: int) -> np.ndarray:
    """A complete signal (n,) at `rate` -> 16 kHz (round(n * 16000 / rate),), for building data."""
    if rate == RATE:
        return audio.astype(np.float32)
    source = FrameBlocks(rate)
    length = round(len(audio) * RATE / rate)
    tail = np.zeros(2 * source._half + rate // FPS + 2, np.float32)
    return np.concatenate([*source.push(np.concatenate([audio.astype(np.float32), tail]))])[:length]


def convert_rate(audio: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """A complete signal (n,) at `rate` -> at another one, for what is heard."""
    from scipy.signal import resample_poly

    return np.asarray(resample_poly(audio, new_rate, rate), np.float32)


# Files
@dataclass(frozen=True)
class AudioInfo:
    """The header of a sound file; `samples` counts those of one channel."""

    rate: int
    channels: int
    samples: int

    @property
    def seconds(self) -> float:
        return self.samples / self.rate


@dataclass(frozen=True)
class Sound:
    """A file or samples, checked, to be read once."""

    about: AudioInfo  # rate, channels, length
    parts: Iterable[np.ndarray]  # mono blocks (n,) float32; of a file, memory does not grow with its length


def inspect(path: str | os.PathLike[str]) -> AudioInfo:
    """Rate, channels and length of a sound file, checked.

    Raises UserError: missing, not audio, empty, too long, cut off (WAV, AIFF, Ogg), a rate or channel count that
    makes no sense.
    """
    import soundfile

    path = regular_file(path, "a sound file (wav, flac, ogg, mp3) is needed")
    with parsing(path, "a sound file", "accepted: wav, flac, ogg, mp3, aiff"), silent_stderr(is_mp3(path)):
        header: Any = soundfile.info(_native(path))
    if header.frames <= 0:
        raise UserError(f"{path}: the sound is 0 s long; at least one sample is needed")
    check_rate(header.samplerate, header.channels, str(path))
    if header.frames > MAX_SECONDS * header.samplerate:
        hours = header.frames / header.samplerate / 3600
        raise UserError(f"{path}: {hours:.1f} h of sound; accepted: up to {MAX_SECONDS // 3600} h, cut it into parts")
    info = AudioInfo(header.samplerate, header.channels, header.frames)
    if (ratio := _compare_declared(path)) is None:
        raise UserError(f"{path}: cut short, the page that ends an Ogg stream is missing; copy or record it again")
    _check_complete(path, info, info.samples * ratio, info.samples)
    return info


def _check_complete(path: str | os.PathLike[str], info: AudioInfo, declared: float, samples: int) -> None:
    """Raises UserError where a file has fewer samples than its header declares."""
    if declared - samples > max(MISSING_SECONDS * info.rate, MISSING_SHARE * declared):
        seconds = samples / info.rate
        raise UserError(f"{path}: ends after {seconds:.1f} s; its header says {declared / info.rate:.1f} s")


def blocks(path: str | os.PathLike[str]) -> Iterator[np.ndarray]:
    """A checked file as mono blocks (n,) float32 in [-1, 1]; memory does not grow with its length.

    Raises UserError: as `inspect`; also samples that are not finite, or a file that ends early.
    """
    import soundfile

    info = inspect(path)
    samples = 0
    try:
        with closing(sample_blocks(path, BLOCK)) as reader:
            for block in reader:
                mono = to_mono(block)
                bad = ~np.isfinite(mono)
                if bad.any():
                    at = (samples + int(bad.argmax())) / info.rate
                    raise UserError(f"{path}: samples that are not numbers (NaN or infinite), the first at {at:.3f} s")
                samples += len(mono)
                yield mono
    except (soundfile.LibsndfileError, RuntimeError) as e:
        detail = str(getattr(e, "error_string", e)).rstrip(".")
        raise UserError(f"{path}: damaged sound after {samples / info.rate:.1f} s ({detail})") from None
    if samples == 0:
        raise UserError(f"{path}: the sound is 0 s long; at least one sample is needed")
    _check_complete(path, info, info.samples, samples)


def load(path: str | os.PathLike[str]) -> tuple[np.ndarray, int]:
    """All mono samples (n,) float32 of a file, and their rate. Raises UserError as `blocks`."""
    info = inspect(path)
    return np.concatenate(list(blocks(path))), info.rate


def open_sound(audio: str | os.PathLike[str] | np.ndarray, rate: int = RATE) -> Sound:
    """A sound file, or samples (n,) or (n, channels) at `rate`.

    Raises UserError: as `inspect`, and while its parts are read as `blocks`; samples that are none, not finite, of
    another shape or type, or of more than 2 h.
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


def sample_blocks(path: str | os.PathLike[str], size: int) -> Generator[np.ndarray, None, None]:
    """Blocks (up to `size`, channels) float32 of a file. Raises libsndfile's RuntimeError for what it cannot decode."""
    import soundfile

    quiet = is_mp3(Path(path))

    def read(file: Any) -> np.ndarray:
        with silent_stderr(quiet):
            block: np.ndarray = file.read(size, dtype="float32", always_2d=True)
        return block

    with silent_stderr(quiet):
        sound_file = soundfile.SoundFile(_native(path))
    with sound_file as file:
        while len(block := read(file)):
            yield block


# What libsndfile does not check
def _native(path: str | os.PathLike[str]) -> bytes | str:
    """A path as soundfile takes it: bytes on systems whose names are bytes."""
    return os.fspath(path) if os.name == "nt" else os.fsencode(path)


def is_mp3(path: Path) -> bool:
    """Whether libmpg123 will read a file."""
    with path.open("rb") as file:
        return container(file.read(MP3_BYTES)) == "mp3" or path.suffix.lower() == ".mp3"


@contextmanager
def silent_stderr(active: bool = True) -> Iterator[None]:
    """Discards what C libraries write to the process's standard error."""
    # libmpg123 writes its warnings of damaged files there, below Python's sys.stderr.
    if not active:
        yield
        return
    with _stderr_lock:
        try:
            saved = os.dup(2)
        except OSError:  # there is none
            saved = -1
        null = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(null, 2)
            yield
        finally:
            if saved >= 0:
                os.dup2(saved, 2)
                os.close(saved)
            else:
                os.close(2)
            os.close(null)


def _compare_declared(path: Path) -> float | None:
    """Bytes of sound that the header declares over those in the file; None: an Ogg stream without its last page."""
    # libsndfile reads what is there without a word. FLAC and mp3 are checked by decoding.
    with path.open("rb") as file:
        form, _, kind = struct.unpack("<4sI4s", file.read(12).ljust(12, b"\0"))
        if (form, kind) == (b"RIFF", b"WAVE"):
            return _chunk_ratio(file, "<4sI", b"data")
        if form == b"FORM" and kind in (b"AIFF", b"AIFC"):
            return _chunk_ratio(file, ">4sI", b"SSND")
        if form == b"OggS":
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 2 * LARGEST_PAGE))
            return 1.0 if _has_last_page(file.read()) else None
    return 1.0


def _chunk_ratio(file: IO[bytes], head: str, chunk: bytes) -> float:
    size = os.fstat(file.fileno()).st_size
    while len(raw := file.read(8)) == 8:
        name, declared = struct.unpack(head, raw)
        if name == chunk:
            there = size - file.tell()
            return declared / there if there < declared < UNKNOWN_SIZE and there else 1.0
        file.seek(declared + declared % 2, os.SEEK_CUR)
    return 1.0


def _has_last_page(tail: bytes) -> bool:
    """Whether the last complete page in the last bytes of an Ogg file ends a stream, and nothing begins behind it."""
    last = False
    at = tail.find(b"OggS")
    while at >= 0:
        segments = tail[at + 27 : at + 27 + tail[at + 26]] if at + 27 <= len(tail) else b""
        end = at + 27 + len(segments) + sum(segments)
        if at + 27 > len(tail) or len(segments) < tail[at + 26] or end > len(tail):
            return False
        last = bool(tail[at + 5] & _LAST_PAGE)
        at = tail.find(b"OggS", end)
    return last


# Signatures of sound files
def header_size(head: bytes) -> int:
    """Bytes that `container` needs, by the first two of them."""
    return MP3_BYTES if head[:1] == b"\xff" and len(head) > 1 and head[1] & 0xE6 == 0xE2 else SIGNATURE_BYTES


def container(head: bytes) -> str:
    """The kind of sound file that begins with these bytes; empty: none that is known, they may be raw samples."""
    for name, parts in _SIGNATURES:
        if all(head[at : at + len(part)] == part for at, part in parts):
            return name
    following = _mp3_frame_bytes(head)
    return "mp3" if following and _mp3_frame_bytes(head[following:]) else ""


def _mp3_frame_bytes(head: bytes) -> int:
    """Bytes of the layer III frame that begins here; 0: none does."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2 or head[1] & 0x18 == 0x08:
        return 0
    bits, rate, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if bits in (0, 15) or rate == 3:
        return 0
    first = head[1] & 0x18 == 0x18
    hertz = _MP3_RATES[rate] // {0x18: 1, 0x10: 2, 0x00: 4}[head[1] & 0x18]
    return (144 if first else 72) * 1000 * _MP3_BITRATES[first][bits - 1] // hertz + padding
