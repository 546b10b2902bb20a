"""Damaged files from whole ones: what disks, cut downloads, editors, other programs and people do to them."""

import random
import re
import struct

NUMBERS = (
    "0", "-1", "1e999", "-1e999", "nan", "NaN", "Infinity", "1e308", "1e20", "1e-320", "9" * 400, "9" * 5000, "1_0",
    "٣", "0x10", "1.5", "2147483648", "-9223372036854775809", "1e30", ".", "+", "1,5", "true", "null", '""', "[]", "{}",
    "0o9", "2001-99-99", "!!int x", "*a", "&a [*a]", "1:1:1", "~", "1000000", "65536",
)  # fmt: skip
TEXTS = (
    "\x1b]0;owned\x07", "\x1b[2J", "\x9b31m", "\u202e", "\ud800", "\x00", "\u2028", "é", "走", "🙂", "%s", "{}",
    "../../etc/passwd", "a" * 3000, "\\", '"', "'", "\n", "\r", "\t", "<<", "- ", "? ", ": ", "#", "|", ">", "---\n",
)  # fmt: skip
DEEP = ("[", "{", '{"a":', "- ", "(", "[[", "{a: ", "? ")


def mutated(data: bytes, rng: random.Random, text: bool, peers: list[bytes]) -> bytes:
    """One to four changes of a file.

    Args:
        text: whether it is a text, in which numbers and words are changed as well.
        peers: good files of the same kind, of which parts are taken.
    """
    kinds = [flip, cut, copied, spliced, zeroed, counts] + [number, word, nested, swapped, line] * (2 if text else 0)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        data = rng.choice(kinds)(data, rng, peers)
    return data


def _span(data: bytes, rng: random.Random, limit: int = 4096) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + rng.randint(1, limit))


def flip(data: bytes, rng: random.Random, peers: list[bytes]) -> bytes:
    """Some bits, near the start (where headers are) or anywhere."""
    out = bytearray(data)
    reach = len(out) if rng.random() < 0.5 else min(len(out), 512)
    for _ in range(rng.choice((1, 1, 3, 20)) if out else 0):
        out[rng.randrange(reach)] ^= 1 << rng.randrange(8)
    return bytes(out)


def cut(data: bytes, rng: random.Random, peers: list[bytes]) -> bytes:
    """The end, the start or a piece is missing."""
    a, b = _span(data, rng)
    return rng.choice((data[:a], data[a:], data[:a] + data[b:], data[: len(data) - rng.randint(1, 64)]))


def copied(data: bytes, rng: random.Random, peers: list[bytes]) -> bytes:
    """A piece stands there several times."""
    a, b = _span(data, rng, 512)
    return data[:b] + data[a:b] * rng.choice((1, 2, 50)) + data[b:]


def spliced(data: bytes, rng: random.Random, peers: list[bytes]) -> bytes:
    """The start of one file and the end of another, or a piece of it within."""
    peer = rng.choice(peers)
    a, _ = _span(data, rng)
    c, d = _span(peer, rng)
    return rng.choice((data[:a] + peer[c:], data[:a] + peer[c:d] + data[a:]))


def zeroed(data: bytes, rng: random.Random, peers: list[bytes]) -> bytes:
    """A piece is all zeros, or all ones."""
    a, b = _span(data, rng, 256)
    return data[:a] + rng.choice((b"\0", b"\xff")) * (b - a) + data[b:]


def counts(data: bytes, rng: random.Random, peers: list[bytes]) -> bytes:
    """Four or eight bytes that may be a count are a very large or an odd one."""
    value = rng.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**16, 10**6, 10**9, rng.getrandbits(32)))
    form = rng.choice(("<I", ">I", "<Q"))
    a = rng.randrange(min(len(data), rng.choice((64, 1024, len(data) or 1))) or 1)
    return data[:a] + struct.pack(form, value) + data[a + struct.calcsize(form) :]


def _words(data: bytes) -> list[tuple[int, int]]:
    """Where words and numbers of a text are."""
    return [m.span() for m in re.finditer(rb"[\x80-\xff0-9A-Za-z._+-]+", data)]


def _replaced(data: bytes, rng: random.Random, by: bytes, digits: bool) -> bytes:
    places = [p for p in _words(data) if not digits or data[p[0] : p[1]].strip(b"+-")[:1].isdigit()]
    if not places:
        return data + by
    a, b = rng.choice(places)
    return data[:a] + by + data[b:]


def number(data: bytes, rng: random.Random, peers: list[bytes]) -> bytes:
    """A number is another one, or none."""
    return _replaced(data, rng, rng.choice(NUMBERS).encode(errors="surrogatepass"), True)


def word(data: bytes, rng: random.Random, peers: list[bytes]) -> bytes:
    """A word is another one, a number, or what steers terminals and parsers."""
    new = rng.choice((*TEXTS, *NUMBERS)).encode(errors="surrogatepass")
    if rng.random() < 0.5:
        return _replaced(data, rng, new, False)
    a = rng.randrange(len(data) + 1)
    return data[:a] + new + data[a:]


def nested(data: bytes, rng: random.Random, peers: list[bytes]) -> bytes:
    """Brackets without end."""
    a = rng.randrange(len(data) + 1)
    piece = rng.choice(DEEP).encode() * rng.choice((10, 100, 2_000, 100_000))
    return rng.choice((piece, data[:a] + piece + data[a:], data[:a] + piece))


def swapped(data: bytes, rng: random.Random, peers: list[bytes]) -> bytes:
    """Two words have changed places: keys and values, names and numbers."""
    places = _words(data)
    if len(places) < 2:
        return data
    (a, b), (c, d) = sorted(rng.sample(places, 2))
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def line(data: bytes, rng: random.Random, peers: list[bytes]) -> bytes:
    """A line is missing, doubled, elsewhere or indented."""
    lines = data.split(b"\n")
    moved = lines.pop(rng.randrange(len(lines)))
    at = rng.randrange(len(lines) + 1)
    lines[at:at] = rng.choice(([], [moved], [moved, moved], [b"  " + moved]))
    return b"\n".join(lines)
