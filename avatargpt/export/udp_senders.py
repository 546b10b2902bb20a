"""Frames of a face over UDP, as they come: Live Link Face to Unreal, and the Virtual Motion Capture protocol.

Live Link Face: one packet per frame, as the phone app sends them to port 11111. Layout of version 6: ``<I`` version;
37 characters, ``$`` and a UUID; ``>i`` length and UTF-8 of the subject's name; ``>i f i i`` frame number, sub-frame,
frame rate, its denominator; ``B`` 61; 61 ``>f``. The values are the 52 weights in Apple's order (`arkit.NAMES`; the CSV
has two pairs the other way round), then yaw, pitch and roll of the head and of both eyes with the file's signs.

VMC (https://protocol.vmc.info/english): OSC bundles, as VSeeFace, Warudo, VNyan and the Unity receiver EVMC4U take
them. Per frame ``/VMC/Ext/Blend/Val`` name, weight for each of the 52 ARKit shapes (Perfect Sync),
``/VMC/Ext/Bone/Pos`` Head with its rotation, ``/VMC/Ext/Blend/Apply``, then ``/VMC/Ext/OK`` 1 and ``/VMC/Ext/T``
seconds.
"""

import socket
import struct
import uuid
from collections.abc import Iterable
from typing import Any

import numpy as np

from avatargpt.export.face_files import angles
from avatargpt.speech.live import INSTALL
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion, turns

LIVE_LINK_PORT = 11111
VMC_PORT = 39539  # where programs that show an avatar listen
VALUES = arkit.COUNT + 9
MAX_DATAGRAM = 1400  # bytes, so that no network has to cut it up
_VERSION, _ID, _MAX_NAME = 6, 37, 64


class DatagramSender:
    """Sends datagrams to one address, IPv4 where a name has both kinds: Unreal and VMC programs listen there."""

    def __init__(self, host: str, port: int, what: str) -> None:
        self.failed = 0  # frames that the network refused
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

    def close(self) -> None:
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

    def send(self, frame: int, motion: FaceMotion) -> None:
        """One frame, `motion` of length 1."""
        self._send([pack(live_link_values(motion)[0], frame, self.subject, self.identity, round(motion.fps))])


def _vmc_messages(frame: int, motion: FaceMotion) -> list[tuple[str, list[str | float | int]]]:
    """Addresses and values of one frame of VMC, `motion` of length 1.

    Bones are in Unity's coordinates: X to the person's right, Y up, Z forward, left-handed. The head's quaternion
    (x, y, z, w) of ours, whose X points to the left, is mirrored in the plane of Y and Z.
    """
    w, x, y, z = (float(v) for v in turns(motion.head)[0])
    values: list[tuple[str, list[str | float | int]]] = [
        ("/VMC/Ext/Blend/Val", [name, float(v)]) for name, v in zip(arkit.NAMES, motion.weights[0], strict=True)
    ]
    return [
        *values, ("/VMC/Ext/Bone/Pos", ["Head", 0.0, 0.0, 0.0, x, -y, -z, w]), ("/VMC/Ext/Blend/Apply", []),
        ("/VMC/Ext/OK", [1]), ("/VMC/Ext/T", [frame / motion.fps]),
    ]  # fmt: skip


def pack_vmc(frame: int, motion: FaceMotion) -> list[bytes]:
    """One frame of VMC as OSC bundles of at most `MAX_DATAGRAM` bytes, to be sent in this order."""
    try:
        from pythonosc import osc_bundle_builder, osc_message_builder
    except ImportError:
        raise UserError(f"VMC needs the package python-osc; install it with {INSTALL}") from None
    parts: list[list[Any]] = [[]]
    size = 16  # "#bundle" and its time
    for address, values in _vmc_messages(frame, motion):
        builder = osc_message_builder.OscMessageBuilder(address)
        for value in values:
            kind = "s" if isinstance(value, str) else "i" if isinstance(value, int) else "f"
            builder.add_arg(value, kind)
        message = builder.build()
        if size + 4 + message.size > MAX_DATAGRAM:
            parts.append([])
            size = 16
        parts[-1].append(message)
        size += 4 + message.size
    datagrams = []
    for part in parts:
        bundle = osc_bundle_builder.OscBundleBuilder(osc_bundle_builder.IMMEDIATELY)
        for message in part:
            bundle.add_content(message)
        datagrams.append(bundle.build().dgram)
    return datagrams


class VMCSender(DatagramSender):
    """Sends frames to one program that shows an avatar, by VMC."""

    def __init__(self, host: str, port: int = VMC_PORT) -> None:
        pack_vmc(0, FaceMotion(np.zeros((1, arkit.COUNT)), np.zeros((1, 3))))
        super().__init__(host, port, "VMC")

    def send(self, frame: int, motion: FaceMotion) -> None:
        """One frame, `motion` of length 1."""
        self._send(pack_vmc(frame, motion))
