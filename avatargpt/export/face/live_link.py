"""Live Link Face over the network: one UDP packet per frame, as the phone app sends them to Unreal (port 11111).

Layout of version 6: ``<I`` version; 37 characters, ``$`` and a UUID; ``>i`` length and UTF-8 of the subject's name;
``>i f i i`` frame number, sub-frame, frame rate, its denominator; ``B`` 61; 61 ``>f``. The values are the 52 weights in
Apple's order (`arkit.NAMES`; the CSV has two pairs the other way round), then yaw, pitch and roll of the head and of
both eyes with the file's signs.
"""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass

import numpy as np

from avatargpt.export.face.datagrams import Datagrams
from avatargpt.export.face.livelink import angles
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion

PORT = 11111
VALUES = arkit.COUNT + 9
_VERSION, _ID, _LONGEST_NAME = 6, 37, 64


@dataclass(frozen=True, eq=False)
class Packet:
    """What one packet says: `values` (61,) float32, `frame` of `rate` a second, who is moving."""

    subject: str
    frame: int
    rate: float
    values: np.ndarray
    identity: str


def values(motion: FaceMotion) -> np.ndarray:
    """(T, 61) float32 in the packets' order."""
    return np.concatenate([motion.weights, angles(motion)], 1).astype(np.float32)


def pack(row: np.ndarray, frame: int, subject: str, identity: str, rate: int = 30) -> bytes:
    """One frame, (61,) values, as a packet.

    Raises:
        UserError: a subject's name that is empty, longer than 64 bytes or no text.
    """
    try:
        name = subject.encode()
    except UnicodeEncodeError:
        raise UserError(f"subject {subject!r}: accepted UTF-8 text") from None
    if not 0 < len(name) <= _LONGEST_NAME:
        raise UserError(f"subject {subject!r}: {len(name)} bytes; accepted 1 to {_LONGEST_NAME}")
    if row.shape != (VALUES,) or len(identity) != _ID:
        raise ValueError(f"a packet of {row.shape} values and an identity of {len(identity)} characters")
    head = struct.pack("<I", _VERSION) + identity.encode() + struct.pack(">i", len(name)) + name
    return head + struct.pack(">ifii", frame & 0x7FFFFFFF, 0.0, rate, 1) + struct.pack(f">B{VALUES}f", VALUES, *row)


def unpack(data: bytes) -> Packet:
    """Read a packet.

    Raises:
        UserError: not one of these packets.
    """
    try:
        (version,) = struct.unpack_from("<I", data)
        identity = data[4 : 4 + _ID].decode()
        (length,) = struct.unpack_from(">i", data, 4 + _ID)
        start = 8 + _ID
        if version != _VERSION or not 0 < length <= 1000:
            raise ValueError("another layout")
        subject = data[start : start + length].decode()
        frame, part, rate, denominator, count = struct.unpack_from(">ifiiB", data, start + length)
        numbers = struct.unpack_from(f">{count}f", data, start + length + 17)
        if count != VALUES or denominator < 1:
            raise ValueError(f"{count} values")
    except (struct.error, UnicodeDecodeError, ValueError) as e:
        raise UserError(f"{len(data)} bytes that are no Live Link Face packet ({e})") from None
    return Packet(subject, frame + (part > 0.5), rate / denominator, np.array(numbers, np.float32), identity)


class LiveLinkSender:
    """Sends frames to one listener. UDP: nobody need listen, and what is lost is lost.

    Args:
        host, port: of the listener. subject: name under which Unreal lists the face.

    Raises:
        UserError: a host that is not known, or a name that is too long.
    """

    def __init__(self, host: str, port: int = PORT, subject: str = "AvatarGPT") -> None:
        self.subject, self.identity, self.failed = subject, "$" + str(uuid.uuid4()), 0
        pack(np.zeros(VALUES, np.float32), 0, subject, self.identity)
        self._datagrams = Datagrams(host, port, "Live Link")

    def send(self, frame: int, motion: FaceMotion) -> None:
        """One frame, `motion` of length 1; what the network refuses counts in `failed`."""
        data = pack(values(motion)[0], frame, self.subject, self.identity, round(motion.fps))
        self.failed += not self._datagrams.send(data)

    def close(self) -> None:
        self._datagrams.close()
