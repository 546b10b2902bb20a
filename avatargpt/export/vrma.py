"""VRM animation (``VRMC_vrm_animation`` 1.0) of a body, a face, or an avatar that has both, for any VRM avatar.

The file has no mesh: a T-pose skeleton of humanoid bones, for a face one node for each expression, whose X translation
is the weight, and a node for the gaze.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from avatargpt.export.avatar.clip import AvatarMotion, parts_of
from avatargpt.export.face.vrma import EXTENSION, gaze, presets
from avatargpt.export.gltf import _Builder
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion, turns
from vqvae.features import STANDING
from vqvae.io.gltf import FLOAT
from vqvae.motion import Motion, atomic_write
from vqvae.skeleton import SMPL22, SMPL52

VERSION = "1.0"
LAYOUTS = ("both", "arkit", "presets")
EYES = (0.0, 0.06, 0.0)  # from the head bone to between the eyes


class Bone(NamedTuple):
    """A humanoid bone at rest: its parent, empty for the first, and its offset from it in metres."""

    name: str
    parent: str
    place: tuple[float, float, float]


# a T-pose that faces +Z, left = +X: what VRM asks for, where there is a face alone
_BESIDE_A_FACE = (
    Bone("hips", "", (0, 0.95, 0)), Bone("spine", "hips", (0, 0.10, 0)), Bone("chest", "spine", (0, 0.15, 0)),
    Bone("neck", "chest", (0, 0.22, 0)), Bone("head", "neck", (0, 0.08, 0)),
    *(Bone(f"{s}UpperArm", "chest", (x * 0.16, 0.18, 0)) for s, x in (("left", 1), ("right", -1))),
    *(Bone(f"{s}LowerArm", f"{s}UpperArm", (x * 0.27, 0, 0)) for s, x in (("left", 1), ("right", -1))),
    *(Bone(f"{s}Hand", f"{s}LowerArm", (x * 0.24, 0, 0)) for s, x in (("left", 1), ("right", -1))),
    *(Bone(f"{s}UpperLeg", "hips", (x * 0.09, -0.05, 0)) for s, x in (("left", 1), ("right", -1))),
    *(Bone(f"{s}LowerLeg", f"{s}UpperLeg", (0, -0.42, 0)) for s in ("left", "right")),
    *(Bone(f"{s}Foot", f"{s}LowerLeg", (0, -0.40, 0)) for s in ("left", "right")),
)  # fmt: skip
_OF_JOINTS = {
    "pelvis": "hips", "spine1": "spine", "spine2": "chest", "spine3": "upperChest", "neck": "neck", "head": "head",
    "collar": "Shoulder", "shoulder": "UpperArm", "elbow": "LowerArm", "wrist": "Hand", "hip": "UpperLeg",
    "knee": "LowerLeg", "ankle": "Foot", "foot": "Toes",
}  # fmt: skip
_OF_FINGERS = {"thumb": "Thumb", "index": "Index", "middle": "Middle", "ring": "Ring", "pinky": "Little"}
_OF_PHALANGES = ("Proximal", "Intermediate", "Distal")
_OF_THUMBS = ("Metacarpal", "Proximal", "Distal")


def bone_of(joint: str) -> str:
    """The humanoid bone of VRM 1.0 that is one of our joints, or one of our fingers'."""
    side = {"l_": "left", "r_": "right"}.get(joint[:2], "")
    name = joint[2:] if side else joint
    if name in _OF_JOINTS:
        return side + _OF_JOINTS[name]
    finger, number = name[:-1], int(name[-1]) - 1
    return side + _OF_FINGERS[finger] + (_OF_THUMBS if finger == "thumb" else _OF_PHALANGES)[number]


class _File:
    """Nodes, tracks and expressions of one animation."""

    def __init__(self, bones: Sequence[Bone], seconds: np.ndarray) -> None:
        self.data = _Builder()
        self.nodes: list[dict[str, Any]] = []
        self.channels: list[dict[str, Any]] = []
        self.samplers: list[dict[str, Any]] = []
        self.bones = {bone.name: i for i, bone in enumerate(bones)}
        self.roots = [0]
        for bone in bones:
            children = [i for i, other in enumerate(bones) if other.parent == bone.name]
            self.nodes.append({"name": bone.name, "translation": [float(x) for x in bone.place]})
            if children:
                self.nodes[-1]["children"] = children
        self._times = self.data.add(seconds, FLOAT, bounds=True)

    def animate(self, node: int, what: str, values: np.ndarray) -> None:
        """A track (T, 3) of a translation, (T, 4) of a rotation, w first."""
        if what == "rotation":
            values = np.roll(rot.continuous(values) if len(values) > 1 else values, -1, axis=-1)
        self.channels.append({"sampler": len(self.samplers), "target": {"node": node, "path": what}})
        sampler = {"input": self._times, "output": self.data.add(values, FLOAT), "interpolation": "LINEAR"}
        self.samplers.append(sampler)

    def add_body(self, motion: Motion) -> None:
        """Every joint's rotation and the hips' way."""
        skeleton, rotations = motion.whole
        self.animate(0, "translation", motion.root)
        for j, joint in enumerate(skeleton.names):
            self.animate(self.bones[bone_of(joint)], "rotation", rotations[:, j])

    def add_face(self, motion: FaceMotion, layout: str, turns_head: bool) -> dict[str, Any]:
        """Expressions and gaze, and the head's rotation where no body has it -> what the extension says of them."""
        if turns_head:
            self.animate(self.bones["head"], "rotation", turns(motion.head))
        eyes, look = len(self.nodes), gaze(motion)
        self.nodes.append({"name": "lookAt", "translation": list(EYES)})
        self.nodes[self.bones["head"]].setdefault("children", []).append(eyes)
        self.animate(eyes, "rotation", turns(np.concatenate([look, np.zeros((len(look), 1))], 1)))
        tables: dict[str, dict[str, np.ndarray]] = {}
        if layout != "arkit":
            tables["preset"] = presets(motion)
        if layout != "presets":
            tables["custom"] = {n: motion.weights[:, i] for i, n in enumerate(arkit.NAMES)}
        expressions: dict[str, dict[str, Any]] = {}
        for kind, table in tables.items():
            for name, values in table.items():
                expressions.setdefault(kind, {})[name] = {"node": len(self.nodes)}
                self.roots.append(len(self.nodes))
                self.animate(len(self.nodes), "translation", np.stack([values, 0 * values, 0 * values], 1))
                self.nodes.append({"name": f"{kind}_{name}"})
        return {"expressions": expressions, "lookAt": {"node": eyes, "offsetFromHeadBone": list(EYES)}}

    def packed(self, extension: dict[str, Any], fps: float, caption: str, name: str) -> bytes:
        """The file."""
        gltf = {
            "asset": {"version": "2.0", "generator": "AvatarGPT"}, "extensionsUsed": [EXTENSION],
            "extensions": {EXTENSION: extension}, "extras": {"fps": fps, "caption": caption},
            "scene": 0, "scenes": [{"nodes": self.roots}], "nodes": self.nodes,
            "animations": [{"name": caption or name, "samplers": self.samplers, "channels": self.channels}],
            "accessors": [json.loads(a.to_json()) for a in self.data.accessors],
            "bufferViews": [json.loads(v.to_json()) for v in self.data.views],
            "buffers": [{"byteLength": len(self.data.blob)}],
        }  # fmt: skip
        return _packed(gltf, bytes(self.data.blob))


def write_vrma(motion: Motion | FaceMotion | AvatarMotion, path: Path, layout: str = "both") -> Path:
    """Write a .vrma.

    Args:
        layout: of expressions. ``both``; ``arkit``: only custom expressions with the 52 names, for avatars that have
            them; ``presets``: only VRM's presets, for avatars that do not. An avatar with both kinds would move twice
            with ``both``.

    Raises:
        UserError: unknown layout.
    """
    if layout not in LAYOUTS:
        raise UserError(f"{path}: layout '{layout}'; accepted {', '.join(LAYOUTS)}")
    body, face = parts_of(motion)
    file = _File(_BESIDE_A_FACE if body is None else _bones(body), np.arange(len(motion)) / motion.fps)
    if body is not None:
        file.add_body(body)
    told = {} if face is None else file.add_face(face, layout, turns_head=body is None)
    human = {name: {"node": i} for name, i in file.bones.items()}
    extension = {"specVersion": VERSION, "humanoid": {"humanBones": human}, **told}
    whole = file.packed(extension, float(motion.fps), motion.caption, motion.modality)
    return atomic_write(path, lambda temporary: temporary.write_bytes(whole))


def _bones(motion: Motion) -> list[Bone]:
    """Our skeleton at rest, standing on the floor."""
    skeleton = SMPL22 if motion.fingers is None else SMPL52
    out = []
    for joint, parent, offset in zip(skeleton.names, skeleton.parents, skeleton.offsets, strict=True):
        x, y, z = (STANDING if parent < 0 else offset).tolist()
        out.append(Bone(bone_of(joint), "" if parent < 0 else bone_of(skeleton.names[parent]), (x, y, z)))
    return out


def _packed(gltf: dict[str, Any], blob: bytes) -> bytes:
    """The binary container: header, JSON chunk, data chunk, each padded to 4 bytes."""
    for table in ("accessors", "bufferViews"):  # empty fields would be invalid
        gltf[table] = [{k: v for k, v in row.items() if v not in (None, {}, [])} for row in gltf[table]]
    text = json.dumps(gltf, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    size = 12 + 8 + len(text) + 8 + len(blob)
    head = struct.pack("<4sII", b"glTF", 2, size) + struct.pack("<I4s", len(text), b"JSON")
    return head + text + struct.pack("<I4s", len(blob), b"BIN\0") + blob
