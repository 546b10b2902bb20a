"""The reader of a talking game: packed text files, letters of a binary tree, sounds, damage."""

import struct
from pathlib import Path

import numpy as np
import pytest

from avatargpt.speech.audio import RATE
from avatargpt.train.speech_data import steel_sky as game
from avatargpt.train.speech_data.clips import sentences_of
from vqvae.errors import UserError


def pronounce(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def code(letter: str, tree: game.Tree = game.TREE, so_far: str = "") -> str | None:
    """The bits of a letter."""
    if not isinstance(tree, tuple):
        return so_far if tree == letter else None
    return next((c for k, part in enumerate(tree) if (c := code(letter, part, f"{so_far}{k}")) is not None), None)


def section(texts: list[str]) -> bytes:
    """A section of up to 32 texts."""
    bits, lengths = "", b""
    for text in texts:
        letters = "".join(code(c) or "" for c in text) + (code("|") or "")
        letters += "0" * (-len(letters) % 2)  # lengths are counted in quarters of a byte
        quarters = len(letters) // 2
        if quarters >= 0x80:
            letters, quarters = letters + "0" * (-len(letters) % 16), -(-quarters // 8) | 0x80
        lengths, bits = lengths + bytes([quarters]), bits + letters
    bits += "0" * (-len(bits) % 8)
    packed = int(bits, 2).to_bytes(len(bits) // 8, "big")
    return struct.pack("<HH", 4, 4 + len(lengths)) + lengths + packed


def packed(literal: bytes, back: int, length: int) -> bytes:
    """RNC's first method: one block, some bytes and one copy of what precedes."""
    def low(value: int, count: int) -> str:
        return f"{value:0{count}b}"[::-1]

    def table(*used: int) -> str:  # codes of one bit, 0 and 1, for the values of these bit lengths
        return low(max(used) + 1, 5) + "".join(low(int(k in used), 4) for k in range(max(used) + 1))

    def value(number: int, bit: str = "0") -> str:
        return bit + (low(number, number.bit_length())[:-1] if number > 1 else "")

    def index(number: int) -> int:
        return number if number < 2 else number.bit_length()

    before = "00" + table(0, index(len(literal))) + table(index(back - 1)) + table(index(length - 2))
    before += low(2, 16) + value(len(literal), "1")
    bits = before + value(back - 1) + value(length - 2) + value(0)  # no bytes at the end
    words = -(-len(before) // 16)
    bits = bits.ljust(16 * words + 48, "0")
    data = [struct.pack("<H", int(bits[k : k + 16][::-1], 2)) for k in range(0, len(bits) // 16 * 16, 16)]
    stream = b"".join(data[:words]) + literal + b"".join(data[words:])
    size = len(literal) + length
    return b"RNC\x01" + struct.pack(">II", size, len(stream)) + bytes(5) + b"\x01" + stream


def write(folder: Path, files: dict[int, bytes], never_packed: bool = True) -> None:
    index, disk = b"", b""
    for number, data in files.items():
        disk += bytes(-len(disk) % 16)
        at = len(disk) >> 4 | 0x800000
        index += struct.pack("<H", number) + at.to_bytes(3, "little")
        index += (len(data) | never_packed << 23).to_bytes(3, "little")
        disk += data
    index += bytes(8 * (game.FILES - len(files)))
    (folder / game.INDEX).write_bytes(struct.pack("<I", game.FILES) + index)
    (folder / game.DISK).write_bytes(disk)


def sound(seconds: float) -> bytes:
    count = round(seconds * game.SOUND_RATE)
    wave = (128 + 60 * np.sin(np.arange(count) / 5)).astype(np.uint8).tobytes()
    return struct.pack("<11H", *([0] * 6), count, *([0] * 4)) + wave + b"\xff" * 7


def test_lines_with_sound(tmp_path: Path) -> None:
    long = "What about the robots? " * 12
    texts = ["It's a PIPE.", "no sound", "", long.strip(), "#~"]
    files = {60601: section(texts)} | {50600 + k: sound(0.5) for k in (0, 2, 3, 4)}
    write(tmp_path, files)
    lines = list(sentences_of(tmp_path, pronounce))
    assert [s.name for s in lines] == ["sky/1/0000", "sky/1/0003"]
    assert lines[0].text == "it's a pipe." and lines[1].text == long.strip().lower()
    quiet = round(game.QUIET * RATE)
    assert len(lines[0].audio) == pytest.approx(0.5 * RATE + 2 * quiet, abs=40)
    assert np.abs(lines[0].audio[: quiet - 40]).max() < 0.02 < 0.3 < np.abs(lines[0].audio).max() < 0.6


def test_packed_files() -> None:
    for literal, back, length in ((b"abcde", 3, 4), (b"x" * 37, 1, 9), (b"Foster", 6, 2)):
        expected = bytearray(literal)
        for _ in range(length):
            expected.append(expected[-back])
        assert game._unpack(packed(literal, back, length)) == bytes(expected)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no sky.dnr and sky.dsk"):
        next(game.steel_sky(tmp_path, pronounce))
    header = struct.pack("<11H", 0x80, *([0] * 10))
    write(tmp_path, {60600: header + b"not packed", 50000: sound(0.2)}, never_packed=False)
    with pytest.raises(UserError, match="file 60600 is damaged"):
        next(game.steel_sky(tmp_path, pronounce))
    (tmp_path / game.INDEX).write_bytes(struct.pack("<I", 7))
    with pytest.raises(UserError, match=r"not the index of version 0\.0372"):
        next(game.steel_sky(tmp_path, pronounce))
