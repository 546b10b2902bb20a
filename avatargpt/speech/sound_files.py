"""What libsndfile does not say of a file: whether it is whole, and in silence."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from avatargpt.speech.containers import LONG, container

UNKNOWN_SIZE = 0x7FF00000  # bytes: sizes from here on are written by streams, which do not know theirs
LARGEST_PAGE = 27 + 255 + 255 * 255  # bytes of Ogg
_LAST = 4  # flag of the page that ends a stream of Ogg
_alone = threading.Lock()


def named(path: str | os.PathLike[str]) -> bytes | str:
    """A file's name as soundfile takes it: on systems whose names are bytes, these."""
    return os.fspath(path) if os.name == "nt" else os.fsencode(path)


def cut_off(path: Path) -> float | None:
    """How many times as many bytes of sound as there are a file's header says; None: it ends, but does not say where.

    libsndfile takes those that are there. WAV and AIFF say their size, Ogg marks its last page; the others are found
    out by decoding.
    """
    with path.open("rb") as file:
        form, _, kind = struct.unpack("<4sI4s", file.read(12).ljust(12, b"\0"))
        if (form, kind) == (b"RIFF", b"WAVE"):
            return _missing(file, "<4sI", b"data")
        if form == b"FORM" and kind in (b"AIFF", b"AIFC"):
            return _missing(file, ">4sI", b"SSND")
        if form == b"OggS":
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 2 * LARGEST_PAGE))
            return 1.0 if _ended(file.read()) else None
    return 1.0


def _missing(file: IO[bytes], head: str, wanted: bytes) -> float:
    """Bytes that the chunk `wanted` should have for each that it has."""
    size = os.fstat(file.fileno()).st_size
    while len(raw := file.read(8)) == 8:
        name, said = struct.unpack(head, raw)
        if name == wanted:
            there = size - file.tell()
            return said / there if there < said < UNKNOWN_SIZE and there else 1.0
        file.seek(said + said % 2, os.SEEK_CUR)
    return 1.0


def _ended(tail: bytes) -> bool:
    """Whether the last whole page in the last bytes of an Ogg file ends a stream, and nothing begins behind it."""
    last = False
    at = tail.find(b"OggS")
    while at >= 0:
        segments = tail[at + 27 : at + 27 + tail[at + 26]] if at + 27 <= len(tail) else b""
        end = at + 27 + len(segments) + sum(segments)
        if at + 27 > len(tail) or len(segments) < tail[at + 26] or end > len(tail):
            return False
        last = bool(tail[at + 5] & _LAST)
        at = tail.find(b"OggS", end)
    return last


def is_mp3(path: Path) -> bool:
    """Whether libmpg123 will read a file."""
    with path.open("rb") as file:
        return container(file.read(LONG)) == "mp3" or path.suffix.lower() == ".mp3"


@contextmanager
def in_silence(wanted: bool = True) -> Iterator[None]:
    """While this lasts, what libraries in C write to the process's standard error is lost.

    libmpg123 writes its warnings of damaged files there, past everything that Python could do.
    """
    if not wanted:
        yield
        return
    with _alone:
        try:
            kept = os.dup(2)
        except OSError:  # there is none
            kept = -1
        nothing = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nothing, 2)
            yield
        finally:
            if kept >= 0:
                os.dup2(kept, 2)
                os.close(kept)
            else:
                os.close(2)
            os.close(nothing)


def sample_blocks(path: str | os.PathLike[str], size: int) -> Generator[np.ndarray, None, None]:
    """A file's samples as blocks (up to `size`, channels) float32, decoded in silence.

    Raises:
        RuntimeError: libsndfile's, for what it cannot decode.
    """
    import soundfile

    quietly = is_mp3(Path(path))

    def following(file: Any) -> np.ndarray:
        with in_silence(quietly):
            block: np.ndarray = file.read(size, dtype="float32", always_2d=True)
        return block

    with in_silence(quietly):
        opened = soundfile.SoundFile(named(path))
    with opened as file:
        while len(block := following(file)):
            yield block
