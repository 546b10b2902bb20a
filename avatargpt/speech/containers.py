"""Files of sound known by their first bytes, where raw samples are expected."""

from __future__ import annotations

# (offset, bytes) that must all be there; each more than raw samples begin with by chance
_STARTS: tuple[tuple[str, tuple[tuple[int, bytes], ...]], ...] = (
    ("WAV", ((0, b"RIFF"), (8, b"WAVE"))), ("WAV", ((0, b"RF64"), (8, b"WAVE"))),
    ("AIFF", ((0, b"FORM"), (8, b"AIF"))), ("FLAC", ((0, b"fLaC"), (5, b"\x00\x00\x22"))), ("Ogg", ((0, b"OggS\x00"),)),
    ("mp3", ((0, b"ID3"), (4, b"\x00"))), ("MP4", ((0, b"\x00\x00\x00"), (4, b"ftyp"))),
    ("WebM", ((0, b"\x1a\x45\xdf\xa3"),)),
)  # fmt: skip
_BITRATES = {  # kbit/s of MPEG 1 and of MPEG 2, layer III
    True: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = (44_100, 48_000, 32_000)  # Hz of MPEG 1; halved in MPEG 2, quartered in 2.5
SHORT, LONG = 16, 1500  # bytes to know a file by; with a frame of mp3, whose own start is too short to tell


def wanted(head: bytes) -> int:
    """How many bytes `container` needs to see, by the first two of them."""
    return LONG if head[:1] == b"\xff" and len(head) > 1 and head[1] & 0xE6 == 0xE2 else SHORT


def container(head: bytes) -> str:
    """Which kind of sound file begins with these bytes; empty: none that is known, they may be raw samples."""
    for name, parts in _STARTS:
        if all(head[at : at + len(part)] == part for at, part in parts):
            return name
    following = _mp3_frame(head)
    return "mp3" if following and _mp3_frame(head[following:]) else ""


def _mp3_frame(head: bytes) -> int:
    """Bytes of the layer III frame that begins here; 0: none does."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2 or head[1] & 0x18 == 0x08:
        return 0
    bits, rate, padded = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if bits in (0, 15) or rate == 3:
        return 0
    first = head[1] & 0x18 == 0x18
    hertz = _RATES[rate] // {0x18: 1, 0x10: 2, 0x00: 4}[head[1] & 0x18]
    return (144 if first else 72) * 1000 * _BITRATES[first][bits - 1] // hertz + padded
