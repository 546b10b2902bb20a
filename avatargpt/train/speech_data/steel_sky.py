"""The spoken lines of "Beneath a Steel Sky" with their texts.

A game of 1994 (Revolution Software; may be passed on and modified, not sold by itself; Debian: ``apt download
beneath-a-steel-sky``, then ``dpkg -x``) of whose lines 3,477, 1.9 hours of some twenty speakers, have sound: 8 bits at
11 kHz. The lines of one person are not marked.

- ``sky.dnr`` lists the files in ``sky.dsk``: their number (little-endian, 32 bits), then 8 bytes each: number of the
  file (16 bits), offset (24 bits, of which the last means: in units of 16 bytes), size (22 bits), whether the header of
  22 bytes belongs to what is packed (1 bit), whether the file is never packed (1 bit).
- Files 60600 to 60606 are sections of text, packed by RNC's first method. A text is found by its number: the lengths,
  in quarters of a byte, of blocks of 32 texts, then of single texts. Letters are codes of a binary tree (`LETTERS`).
- File 50000 + `SPEECH` + number is the sound of a text of that section: a header whose 7th number (16 bits) is the
  length, and unsigned bytes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.speech.audio import resample
from avatargpt.train.speech_data.recordings import Sentence
from vqvae.errors import UserError

INDEX, DISK = "sky.dnr", "sky.dsk"
FILES = 5097  # of version 0.0372, whose tree of letters this is
HEADER = 22  # bytes
TEXTS, SOUNDS, SOUND_RATE = 60600, 50000, 11025
SPEECH = (0, 600, 1100, 2430, 3380, 4530, 5080)  # of each section
LINES = (553, 488, 1303, 922, 1140, 531, 150)  # texts of each section
MAX_LETTERS = 400
VALIDATION = 40  # one line in so many is for validation
QUIET = 0.2  # s of silence before and after: lines are cut to the sound
# The tree, from its root, left before right: a fork is {, the end of a text |, a letter that no English line has ~.
LETTERS = (
    "{{{ {ea{{{os{tn{{.ir{{{{{|Eu{mA{{{lI{dR{{NST{{{{{Ohc{Dg{{{LC{pU{{!yM{{{{{PvH{?b{{{'f,{GB{{{{{VkF{qw{{{K-W{J*"
    "{{{{zY{j+{{{Q~){{Z~<{{{{{~~~{~:{{{~]#{{xX~{{{{{~`2{{0~1{{{/(={~^~"
)
Tree = Any  # a letter, or a pair of trees


def steel_sky(folder: Path, pronounce: Callable[[str], tuple[str, ...]]) -> Iterator[Sentence]:
    """The lines with the phones of their texts, in lower case: the game writes stressed words in capitals."""
    index = next(folder.rglob(INDEX), None)
    if index is None or not (disk := index.with_name(DISK)).is_file():
        raise UserError(f"{folder}: no {INDEX} and {DISK} in it")
    game = _Game(index, disk)
    for section, count in enumerate(LINES):
        texts = game.file(TEXTS + section)
        for number in range(count):
            sound = game.file(SOUNDS + SPEECH[section] + number)
            text = _text(texts, number) if sound and texts else ""
            if not text or not (phones := pronounce(text)):
                continue
            length = struct.unpack_from("<H", sound, 12)[0]
            samples = np.frombuffer(sound, np.uint8, offset=HEADER)[:length] / 128 - 1
            audio = resample(np.pad(samples.astype(np.float32), round(QUIET * SOUND_RATE)), SOUND_RATE)
            split = "train" if zlib.crc32(text.encode()) % VALIDATION else "val"
            yield Sentence(f"sky/{section}/{number:04d}", audio, phones, split, text)


class _Game:
    """Files by number; bytes() where there is none."""

    def __init__(self, index: Path, disk: Path) -> None:
        self._where, self._disk = disk, disk.read_bytes()
        table = index.read_bytes()
        if len(table) < 4 or struct.unpack_from("<I", table)[0] != FILES or len(table) < 4 + 8 * FILES:
            raise UserError(f"{index}: not the index of version 0.0372, which has {FILES} files")
        self._entries = {struct.unpack_from("<H", table, 4 + 8 * k)[0]: table[6 + 8 * k : 12 + 8 * k]
                         for k in range(FILES)}  # fmt: skip

    def file(self, number: int) -> bytes:
        entry = self._entries.get(number)
        if entry is None:
            return b""
        at, flags = int.from_bytes(entry[:3], "little"), int.from_bytes(entry[3:], "little")
        at = (at & 0x7FFFFF) << 4 if at >> 23 else at
        data = self._disk[at : at + (flags & 0x3FFFFF)]
        try:
            if not flags >> 23 and data[0] & 0x80:
                data = (b"" if flags >> 22 & 1 else data[:HEADER]) + _unpack(data[HEADER:])
        except (IndexError, struct.error, ValueError):
            raise UserError(f"{self._where}: file {number} is damaged") from None
        return data


def _tree(letters: Iterator[str]) -> Tree:
    letter = next(letters)
    return (_tree(letters), _tree(letters)) if letter == "{" else letter


TREE = _tree(iter(LETTERS))


def _text(data: bytes, number: int) -> str:
    """The text of that number in a section, in lower case; "" where it has no letters, or ones of other languages."""
    block, within = number >> 5, number & 31
    singles, letters = struct.unpack_from("<HH", data)
    quarters = sum(struct.unpack_from(f"<{block}H", data, 4))
    for length in data[singles + 32 * block : singles + 32 * block + within]:
        quarters += (length & 0x7F) << 3 if length & 0x80 else length
    bit, out = 8 * letters + 2 * quarters, ""
    while len(out) < MAX_LETTERS:
        node = TREE
        while isinstance(node, tuple):
            node = node[data[bit >> 3] >> (7 - bit % 8) & 1]
            bit += 1
        if node == "|":
            return " ".join(out.lower().split()) if any(c.isalpha() for c in out) and "~" not in out else ""
        out += node
    return ""


class _Bits:
    """Bits from the lowest on, in words of 16; bytes that lie between them are read by `take`."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at, self._held, self._count = data + bytes(4), at, 0, 0
        self._fill()

    def _fill(self) -> None:
        self._held |= struct.unpack_from("<H", self._data, self._at)[0] << self._count
        self._count += 16

    def peek(self, mask: int) -> int:
        return self._held & mask

    def read(self, count: int) -> int:
        value = self._held & ((1 << count) - 1)
        self._held >>= count
        self._count -= count
        if self._count < 16:
            self._at += 2
            self._fill()
        return value

    def take(self, count: int) -> bytes:
        out = self._data[self._at : self._at + count]
        self._at += count
        self._count -= 16  # the last word held lies after these bytes
        self._held &= (1 << self._count) - 1
        self._fill()
        return out


def _codes(bits: _Bits) -> list[tuple[int, int, int, int]]:
    """Mask, bits, their number and value of each code: a canonical Huffman table."""
    lengths = [bits.read(4) for _ in range(bits.read(5))]
    code, out = 0, []
    for length in range(1, 17):
        for value in (k for k, n in enumerate(lengths) if n == length):
            mirrored = int(f"{code >> (16 - length):0{length}b}"[::-1], 2)
            out.append(((1 << length) - 1, mirrored, length, value))
            code += 1 << (16 - length)
    return out


def _number(bits: _Bits, codes: list[tuple[int, int, int, int]]) -> int:
    for mask, code, length, value in codes:
        if bits.peek(mask) == code:
            bits.read(length)
            return value if value < 2 else 1 << (value - 1) | bits.read(value - 1)
    raise ValueError


def _unpack(data: bytes) -> bytes:
    """RNC ProPack, method 1: blocks of literal bytes and copies of what precedes."""
    if data[:4] != b"RNC\x01":
        raise ValueError
    size, bits, out = struct.unpack_from(">I", data, 4)[0], _Bits(data, 18), bytearray()
    bits.read(2)
    for _ in range(data[17]):
        literals, offsets, lengths = _codes(bits), _codes(bits), _codes(bits)
        count = bits.read(16)
        for k in range(count):
            if literal := _number(bits, literals):
                out += bits.take(literal)
            if k < count - 1:
                back, length = _number(bits, offsets) + 1, _number(bits, lengths) + 2
                for _ in range(length):
                    out.append(out[-back])
    if len(out) != size:
        raise ValueError
    return bytes(out)
