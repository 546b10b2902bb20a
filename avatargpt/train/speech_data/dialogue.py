"""Many English voices: the dialogue of an adventure game of 1995 that its makers give away, with its texts.

"Flight of the Amazon Queen" (John Passfield and Steven Stamatiadis; may be passed on and modified, not sold by itself;
Debian: ``apt download flight-of-the-amazon-queen``, then ``dpkg -x``) has 6,700 spoken lines, 4.6 hours, of some fifty
characters, as 16 kbit/s MP3 at 11 kHz. They lie in one file, `queen.1c`:

- "QTBL", a version, at byte 13 how many entries there are (numbers are big-endian), then each of them: name (12 bytes),
  a byte, where it begins, its size;
- ``NAME.DOG``, a dialogue: 20 bytes, then (16-bit numbers) how many levels of 96 bytes there are, two keys, how many
  lines the hero and the other one have, three pairs and two more, where the other one's lines begin; at 32 + levels
  the hero's. A line is two bytes, its number, a length, the text; the next begins at a multiple of 4. Its sounds are
  KEY NUMBER WHO PART: two decimal and four hexadecimal digits, J for the hero or P, and the part of the line, counted
  from 1, as ``*`` and a command of two characters part it;
- ``NAME.CUT``, a scene: 20 bytes, at 2 how many lines, at 8 where a first remark and then they begin, each a length
  and a text up to a multiple of 2. Sounds: the name, filled with _ to 5 characters, two digits, the part.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from avatargpt.speech.audio import resample
from avatargpt.train.speech_data.coding import decoded
from avatargpt.train.speech_data.pairs import Spoken
from vqvae.errors import UserError

ARCHIVE = "queen.1c"
HELD_OUT = 40
"""One line in so many is never trained on."""
HEADER = 20  # bytes before what a dialogue or a scene says
MOST_BYTES = 1 << 20  # of one spoken line
QUIET = 0.2  # s of silence before and after: lines are cut to the sound
_COMMAND = re.compile(r"\*(?:XY..\([^)]*\)|..?)")
_UNSPOKEN = re.compile(r"[^A-Za-z0-9' ,.!?;:&%$-]+")


def is_dialogue(folder: Path) -> bool:
    """Whether the game's archive lies anywhere under a folder."""
    return next(folder.rglob(ARCHIVE), None) is not None


def dialogue(folder: Path, pronounce: Callable[[str], tuple[str, ...]]) -> Iterator[Spoken]:
    """All spoken lines with the phones of their texts, speaker by speaker.

    Args:
        folder: that holds the archive, at any depth.
        pronounce: text -> phones.

    Raises:
        UserError: no archive, one that is damaged or of another kind, PyAV is not installed.
    """
    path = next(folder.rglob(ARCHIVE), None)
    if path is None:
        raise UserError(f"{folder}: no {ARCHIVE} in it")
    data = path.read_bytes()
    try:
        entries = _entries(data)
        lines = {name: text for text_of in (_talks(data, entries), _scenes(data, entries)) for name, text in text_of}
    except (struct.error, IndexError, UnicodeDecodeError):
        raise UserError(f"{path}: not the talking game's archive, or damaged") from None
    for name in sorted(lines, key=lambda n: (*_speaker(n), n)):
        at = entries.get(f"{name}.SB")
        said = " ".join(_UNSPOKEN.sub(" ", lines[name]).split())
        if at is None or at[1] > MOST_BYTES or not re.search("[A-Za-z]", said) or not (phones := pronounce(said)):
            continue
        split = "train" if zlib.crc32(said.lower().encode()) % HELD_OUT else "val"
        sound = _decoded(data[at[0] : at[0] + at[1]])
        if len(sound):
            yield Spoken(f"dialogue/{'_'.join(_speaker(name))}/{name}", sound, phones, split)


def _speaker(name: str) -> tuple[str, str]:
    """Who says the line of this name, as far as it tells: dialogue and side, or scene."""
    return (name[:2], name[6]) if name[:2].isdigit() else (name[:5], "")


def _entries(data: bytes) -> dict[str, tuple[int, int]]:
    """Name -> where it begins, its size."""
    if data[:4] != b"QTBL":
        raise IndexError
    (count,) = struct.unpack_from(">H", data, 13)
    out = {}
    for k in range(count):
        name, _, at, size = struct.unpack_from(">12sBII", data, 15 + 21 * k)
        out[name.split(b"\0")[0].decode("ascii")] = (at, size)
    return out


def _text(data: bytes, at: int, align: int) -> tuple[str, int]:
    """A text that its length stands before, and where the next thing begins."""
    end = at + 1 + data[at]
    if data[at]:
        return data[at + 1 : end].decode("latin-1"), (end + align - 1) // align * align
    return "", at + 1


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """Parts of a line that are spoken one by one, counted from 1."""
    yield from ((k, part) for k, part in enumerate(_COMMAND.split(text), 1) if part.strip())


def _talks(data: bytes, entries: dict[str, tuple[int, int]]) -> Iterator[tuple[str, str]]:
    """Names of sounds and their texts, of all dialogues."""
    for file, (start, size) in entries.items():
        if not file.endswith(".DOG"):
            continue
        talk = data[start + HEADER : start + size]
        levels, _, key, heroes, others, *_, person = struct.unpack_from(">5h6hH", talk)
        for who, count, at in (("J", heroes, 32 + 96 * abs(levels)), ("P", others, person)):
            for _ in range(count):
                (number,) = struct.unpack_from(">H", talk, at + 2)
                text, at = _text(talk, at + 4, 4)
                name = f"{key:02d}{number:04X}{who}" if number else f"{key:02d}SSSS{who}"
                yield from ((f"{name}{k:X}", part) for k, part in _parts(text))
        again, after = _text(talk, struct.unpack_from(">H", talk, 26)[0], 2)
        for who, text in (("P", again), ("J", _text(talk, after, 2)[0])):
            yield from ((f"{key:02d}XXXX{who}{k:X}", part) for k, part in _parts(text))


def _scenes(data: bytes, entries: dict[str, tuple[int, int]]) -> Iterator[tuple[str, str]]:
    """Names of sounds and their texts, of all scenes."""
    for file, (start, size) in entries.items():
        if not file.endswith(".CUT"):
            continue
        scene = data[start + HEADER : start + size]
        (count,) = struct.unpack_from(">h", scene, 2)
        _, at = _text(scene, struct.unpack_from(">H", scene, 8)[0], 2)
        for line in range(1, abs(count) + 1):
            text, at = _text(scene, at, 2)
            yield from ((f"{file[:-4]:_<5}{line:02d}{k:X}", part) for k, part in _parts(text))


def _decoded(data: bytes) -> np.ndarray:
    """An MP3 -> (n,) float32 at 16 kHz, `QUIET` on both sides; nothing where it cannot be decoded."""
    try:
        import av
    except ImportError:
        raise UserError('spoken dialogue needs PyAV: pip install "avatargpt[video]"') from None
    try:
        sound, rate = decoded(io.BytesIO(data))
    except (av.FFmpegError, IndexError):
        return np.zeros(0, np.float32)
    return resample(np.pad(sound, round(QUIET * rate)), rate) if len(sound) else sound
