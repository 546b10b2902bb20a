"""Frames by the Virtual Motion Capture protocol (https://protocol.vmc.info/english): OSC bundles over UDP.

VSeeFace, Warudo, VNyan and the Unity receiver EVMC4U take them. Of each frame ``/VMC/Ext/Root/Pos`` (with a body),
``/VMC/Ext/Bone/Pos`` name, position, rotation of the head or of every bone, ``/VMC/Ext/Blend/Val`` name, weight of the
expressions, ``/VMC/Ext/Blend/Apply``, then ``/VMC/Ext/OK`` 1 and ``/VMC/Ext/T`` seconds of the sound.

Bones have Unity's names and coordinates: X to the person's right, Y up, Z forward, left-handed; ours, whose X points to
the left, are mirrored in the plane of Y and Z. Positions are those at rest relative to the bone above, because some
receivers set them: of the avatar's own bones where its file is known, else of our skeleton.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from avatargpt.export.avatar import AvatarMotion, body_and_face
from avatargpt.export.bones import unity_bone
from avatargpt.export.expressions import PresetMixer, check_names, choose_names, name_values
from avatargpt.export.udp_senders import DatagramSender
from avatargpt.speech.live import INSTALL
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion, turns
from vqvae.features import STANDING
from vqvae.motion import Motion
from vqvae.skeleton import SMPL52

if TYPE_CHECKING:
    from avatargpt.export.avatar_file import AvatarFile

PORT = 39539  # where programs that show an avatar listen
MAX_DATAGRAM = 1400  # bytes, so that no network has to cut it up
Message = tuple[str, list[str | float | int]]
_HIPS = SMPL52.names[0]


class VMCFrames:
    """Messages of one avatar's frames, one after the other.

    Args:
        names: of expressions, see `expressions.NAMES`; None: all, or those that `avatar` has.
        avatar: the file of the avatar that is moved: its bones' places and its expressions' names.
    """

    def __init__(self, names: str | None = None, avatar: AvatarFile | None = None) -> None:
        if names is not None:
            check_names(names)
        self._names = names or "all"
        self._mixer: PresetMixer | None = None
        self._chosen = None if avatar is None or names is not None else choose_names(avatar.moving)
        self._places: Mapping[str, np.ndarray] = {} if avatar is None else avatar.places
        self._scale = 1.0 if avatar is None or not avatar.hips else avatar.hips / float(STANDING[1])

    def messages(self, second: float, motion: Motion | FaceMotion | AvatarMotion) -> list[Message]:
        """Addresses and values of one frame at a second of the sound, `motion` of length 1."""
        body, face = body_and_face(motion)
        values = [] if body is None else self._body(body)
        if face is not None:
            if body is None:
                values.append(self._bone("head", turns(face.head)[0]))
            values += [("/VMC/Ext/Blend/Val", [name, value]) for name, value in self._expressions(face)]
            values.append(("/VMC/Ext/Blend/Apply", []))
        return [*values, ("/VMC/Ext/OK", [1]), ("/VMC/Ext/T", [second])]

    def _expressions(self, face: FaceMotion) -> list[tuple[str, float]]:
        self._mixer = self._mixer or PresetMixer(face.fps)
        presets = self._mixer(face.weights)
        if self._chosen is None:
            return name_values(face.weights[0], presets, self._names)
        shapes = {n: face.weights[0, i] for n, i in arkit.INDEX.items()} | {n: v[0] for n, v in presets.items()}
        return [(name, float(shapes[shape])) for shape, name in self._chosen.items()]

    def _body(self, motion: Motion) -> list[Message]:
        """The root, and every bone that the avatar has."""
        skeleton, rotations = motion.with_fingers
        out: list[Message] = [("/VMC/Ext/Root/Pos", ["root", *([0.0] * 6), 1.0])]
        carried: dict[int, np.ndarray] = {}  # rotations of joints that the avatar lacks, for those below them
        for j, (joint, parent) in enumerate(zip(skeleton.names, skeleton.parents, strict=True)):
            turn = rotations[0, j].astype(np.float64)
            if parent in carried:
                turn = rot.multiply(carried[int(parent)], turn)
            if self._places and unity_bone(joint) not in self._places:
                carried[j] = turn
                continue
            out.append(self._bone(joint, turn, motion.root[0] if joint == _HIPS else None))
        return out

    def _bone(self, joint: str, turn: np.ndarray, root: np.ndarray | None = None) -> Message:
        name = unity_bone(joint)
        place = self._places.get(name)
        if root is not None:
            place = np.asarray(root, np.float64) * self._scale * (-1, 1, 1)
        elif place is None:
            place = SMPL52.offsets[SMPL52.index(joint)] * (-1, 1, 1)
        w, x, y, z = (float(v) for v in turn)
        return "/VMC/Ext/Bone/Pos", [name, *(float(v) for v in place), x, -y, -z, w]


def pack(messages: list[Message]) -> list[bytes]:
    """One frame as OSC bundles of at most `MAX_DATAGRAM` bytes, to be sent in this order."""
    try:
        from pythonosc import osc_bundle_builder, osc_message_builder
    except ImportError:
        raise UserError(f"VMC needs the package python-osc; install it with {INSTALL}") from None
    parts: list[list[Any]] = [[]]
    size = 16  # "#bundle" and its time
    for address, values in messages:
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
    """Sends frames of a face, a body or both to one program that shows an avatar."""

    def __init__(
        self, host: str, port: int = PORT, names: str | None = None, avatar: AvatarFile | None = None
    ) -> None:
        self._frames = VMCFrames(names, avatar)
        pack([])
        super().__init__(host, port, "VMC")

    def _send_frame(self, frame: int, motion: Motion | FaceMotion | AvatarMotion) -> None:
        self._send(pack(self._frames.messages(self.clock(frame / motion.fps), motion)))
