"""Frames of a face over UDP, as they come: Live Link Face to Unreal, iFacialMocap, and what senders share.

Live Link Face: one packet per frame, as the phone app sends them to port 11111. Layout of version 6: ``<I`` version;
37 characters, ``$`` and a UUID; ``>i`` length and UTF-8 of the subject's name; ``>i f i i`` frame number, sub-frame,
frame rate, its denominator; ``B`` 61; 61 ``>f``. The values are the 52 weights in Apple's order (`arkit.NAMES`; the CSV
has two pairs the other way round), then yaw, pitch and roll of the head and of both eyes with the file's signs.

iFacialMocap (https://www.ifacialmocap.com/for-developer): one packet of text per frame to port 49983,
``mouthSmile_L-63|...|=head#X,Y,Z,x,y,z|rightEye#X,Y,Z|leftEye#X,Y,Z|``: weights in percent; degrees about ARKit's axes,
X down, Y to the person's left, Z to the right shoulder; the head's place in metres, 0 here.
"""

import socket
import struct
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from avatargpt.export.avatar import AvatarMotion
from avatargpt.export.face_files import angles
from avatargpt.speech.live import SoundClock
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.motion import Motion

Clip = Motion | FaceMotion | AvatarMotion
LIVE_LINK_PORT = 11111
IFACIALMOCAP_PORT = 49983
VALUES = arkit.COUNT + 9
_VERSION, _ID, _MAX_NAME = 6, 37, 64


class FrameSender(ABC):
    """Sends frames as they come, and at the end a face at rest: a receiver shows the last one that it got."""

    def __init__(self) -> None:
        self.failed = 0  # frames that were lost on the way
        self.clock = SoundClock()  # of the sound that frames go with
        self._last: tuple[int, Clip] | None = None

    def send(self, frame: int, motion: Any) -> None:
        """One frame, `motion` of length 1."""
        self._last = frame, motion
        self._send_frame(frame, motion)

    def close(self) -> None:
        """Send the face at rest and end."""
        frame, motion = self._last or (0, None)
        if isinstance(motion, FaceMotion | AvatarMotion):
            rest = FaceMotion(np.zeros((1, arkit.COUNT)), np.zeros((1, 3)), motion.fps)
            self._send_frame(frame + 1, rest if isinstance(motion, FaceMotion) else replace(motion, face=rest))
        self._last = None
        self._close()

    @abstractmethod
    def _send_frame(self, frame: int, motion: Any) -> None: ...

    @abstractmethod
    def _close(self) -> None: ...


class DatagramSender(FrameSender):
    """Sends datagrams to one address, IPv4 where a name has both kinds: Unreal and VMC programs listen there."""

    def __init__(self, host: str, port: int, what: str) -> None:
        super().__init__()
        try:
            addresses = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
            family, kind, protocol, _, target = min(addresses, key=lambda address: address[0] != socket.AF_INET)
            with socket.socket(family, kind, protocol) as probe:
                probe.connect(target)  # sends nothing; fails where no network leads there
        except (OSError, UnicodeError) as e:
            reason = getattr(e, "strerror", None) or e
            raise UserError(f"{host}:{port}: {reason}; accepted HOST:PORT of a {what} listener") from None
        self._target: Any = target
        self._socket = socket.socket(family, kind, protocol)

    def _send(self, datagrams: Iterable[bytes]) -> None:
        """Send a frame. Nobody need listen, and what is lost is lost."""
        refused = False
        for data in datagrams:
            try:
                self._socket.sendto(data, self._target)
            except OSError:
                refused = True
        self.failed += refused

    def _close(self) -> None:
        self._socket.close()


def live_link_values(motion: FaceMotion) -> np.ndarray:
    """(T, 61) float32 in the order of Live Link packets."""
    return np.concatenate([motion.weights, angles(motion)], 1).astype(np.float32)


def pack(row: np.ndarray, frame: int, subject: str, identity: str, rate: int = 30) -> bytes:
    """One frame, (61,) values, as a Live Link packet."""
    try:
        name = subject.encode()
    except UnicodeEncodeError:
        raise UserError(f"subject {subject!r}: accepted UTF-8 text") from None
    if not 0 < len(name) <= _MAX_NAME:
        raise UserError(f"subject {subject!r}: {len(name)} bytes; accepted 1 to {_MAX_NAME}")
    if row.shape != (VALUES,) or len(identity) != _ID:
        raise ValueError(f"a packet of {row.shape} values and an identity of {len(identity)} characters")
    head = struct.pack("<I", _VERSION) + identity.encode() + struct.pack(">i", len(name)) + name
    return head + struct.pack(">ifii", frame & 0x7FFFFFFF, 0.0, rate, 1) + struct.pack(f">B{VALUES}f", VALUES, *row)


class LiveLinkSender(DatagramSender):
    """Sends frames to one listener of Live Link Face."""

    def __init__(self, host: str, port: int = LIVE_LINK_PORT, subject: str = "AvatarGPT") -> None:
        self.subject, self.identity = subject, "$" + str(uuid.uuid4())
        pack(np.zeros(VALUES, np.float32), 0, subject, self.identity)
        super().__init__(host, port, "Live Link")

    def _send_frame(self, frame: int, motion: FaceMotion | AvatarMotion) -> None:
        face = motion.face if isinstance(motion, AvatarMotion) else motion
        self._send([pack(live_link_values(face)[0], frame, self.subject, self.identity, round(face.fps))])


def ifacialmocap_name(shape: str) -> str:
    """``mouthSmileLeft`` -> ``mouthSmile_L``; shapes without two sides stay as they are."""
    for side in ("Left", "Right"):
        if shape.endswith(side) and shape not in ("jawLeft", "jawRight", "mouthLeft", "mouthRight"):
            return f"{shape.removesuffix(side)}_{side[0]}"
    return shape


def pack_ifacialmocap(motion: FaceMotion) -> bytes:
    """One frame, `motion` of length 1, as a packet of iFacialMocap."""
    percent = [round(100 * float(w)) for w in motion.weights[0]]
    parts = [f"{ifacialmocap_name(n)}-{value}" for n, value in zip(arkit.NAMES, percent, strict=True)]
    yaw, pitch, roll = (float(v) for v in np.degrees(motion.head[0]))
    eyes = np.degrees(angles(motion)[0, 3:]).reshape(2, 3)  # left and right: to the right, down, 0
    parts.append(f"=head#{_numbers(-pitch, yaw, roll, 0.0, 0.0, 0.0)}")
    for name, (right, down, _) in (("rightEye", eyes[1]), ("leftEye", eyes[0])):
        parts.append(f"{name}#{_numbers(down, -right, 0.0)}")
    return ("|".join(parts) + "|").encode()


def _numbers(*values: float) -> str:
    return ",".join(f"{v + 0.0:.4f}" for v in values)


class IFacialMocapSender(DatagramSender):
    """Sends frames to one program that listens for the phone app iFacialMocap."""

    def __init__(self, host: str, port: int = IFACIALMOCAP_PORT) -> None:
        super().__init__(host, port, "iFacialMocap")

    def _send_frame(self, frame: int, motion: FaceMotion | AvatarMotion) -> None:
        self._send([pack_ifacialmocap(motion.face if isinstance(motion, AvatarMotion) else motion)])
