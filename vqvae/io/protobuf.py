"""The wire format of protocol buffers, as far as reading and mending a sentencepiece model needs it."""

from __future__ import annotations

from collections.abc import Iterator


def fields(message: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Fields of a protocol buffer: number, the whole field, what it holds (empty unless it is bytes).

    Raises:
        ValueError: not such a message.
    """

    def number(at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            if at >= len(message) or shift > 63:
                raise ValueError("cut off")
            value |= (message[at] & 127) << shift
            at, shift = at + 1, shift + 7
            if message[at - 1] < 128:
                return value, at

    at = 0
    while at < len(message):
        start = at
        key, at = number(at)
        inside = b""
        if key & 7 == 2:
            size, at = number(at)
            inside, at = message[at : at + size], at + size
        elif key & 7 == 0:
            _, at = number(at)
        else:
            at += {1: 8, 5: 4}.get(key & 7, len(message))
        if at > len(message):
            raise ValueError("cut off")
        yield key >> 3, message[start:at], inside
