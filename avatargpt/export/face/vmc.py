"""Virtual Motion Capture protocol: OSC over UDP, as VSeeFace, Warudo, VNyan and the Unity receiver EVMC4U take it.

Per frame ``/VMC/Ext/Blend/Val`` name, weight for each of the 52 ARKit shapes (Perfect Sync), ``/VMC/Ext/Bone/Pos`` Head
with its rotation, ``/VMC/Ext/Blend/Apply``, then ``/VMC/Ext/OK`` 1 and ``/VMC/Ext/T`` seconds
(https://protocol.vmc.info/english). OSC itself is written by the package python-osc.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from avatargpt.export.face.datagrams import Datagrams
from avatargpt.speech.live.sources import INSTALL
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion, turns

PORT = 39539  # where programs that show an avatar listen
LARGEST = 1400  # bytes of a datagram, so that no network has to cut it up


def messages(frame: int, motion: FaceMotion) -> list[tuple[str, list[str | float | int]]]:
    """Addresses and values of one frame, `motion` of length 1.

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


def pack(frame: int, motion: FaceMotion) -> list[bytes]:
    """One frame as OSC bundles of at most `LARGEST` bytes, to be sent in this order.

    Raises:
        UserError: the package python-osc is not installed.
    """
    try:
        from pythonosc import osc_bundle_builder, osc_message_builder
    except ImportError:
        raise UserError(f"VMC needs the package python-osc; install it with {INSTALL}") from None
    parts: list[list[Any]] = [[]]
    size = 16  # "#bundle" and its time
    for address, values in messages(frame, motion):
        builder = osc_message_builder.OscMessageBuilder(address)
        for value in values:
            kind = "s" if isinstance(value, str) else "i" if isinstance(value, int) else "f"
            builder.add_arg(value, kind)
        message = builder.build()
        if size + 4 + message.size > LARGEST:
            parts.append([])
            size = 16
        parts[-1].append(message)
        size += 4 + message.size
    out = []
    for part in parts:
        bundle = osc_bundle_builder.OscBundleBuilder(osc_bundle_builder.IMMEDIATELY)
        for message in part:
            bundle.add_content(message)
        out.append(bundle.build().dgram)
    return out


class VMCSender:
    """Sends frames to one program that shows an avatar.

    Args:
        host, port: of the listener.

    Raises:
        UserError: a host that is not known, or the package python-osc is not installed.
    """

    def __init__(self, host: str, port: int = PORT) -> None:
        pack(0, FaceMotion(np.zeros((1, arkit.COUNT)), np.zeros((1, 3))))
        self._datagrams, self.failed = Datagrams(host, port, "VMC"), 0

    def send(self, frame: int, motion: FaceMotion) -> None:
        """One frame, `motion` of length 1; a frame that the network refuses counts in `failed`."""
        sent = [self._datagrams.send(data) for data in pack(frame, motion)]
        self.failed += not all(sent)

    def close(self) -> None:
        self._datagrams.close()
