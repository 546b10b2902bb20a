"""VRM animation (``VRMC_vrm_animation`` 1.0) of a body, a face, or an avatar that has both, for any VRM avatar.

The file has no mesh: a T-pose skeleton of humanoid bones, for a face one node for each expression, whose X translation
is the weight, and a node for the gaze.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from avatargpt.export.avatar import AvatarMotion, body_and_face
from avatargpt.export.gltf_read import rotation_above, world_turns
from avatargpt.export.gltf_write import BufferBuilder, filled, xyzw
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion, angles_of, turns
from vqvae.features import STANDING
from vqvae.io import gltf_rigs
from vqvae.io.files import parsing
from vqvae.io.gltf import FLOAT, Document, Sampler, accessor_values, check_readable, node_transform, packed, read_gltf
from vqvae.motion import Motion, atomic_write
from vqvae.skeleton import SMPL22, SMPL52

EXTENSION = "VRMC_vrm_animation"
ACCEPTED = "accepted a .vrma whose custom expressions have ARKit names"
VERSION = "1.0"
EYES = (0.0, 0.06, 0.0)  # from the head bone to between the eyes


class Bone(NamedTuple):
    """A humanoid bone at rest: its parent, empty for the first, and its offset from it in metres."""

    name: str
    parent: str
    place: tuple[float, float, float]


# the bones that VRM requires, for a file with a face alone: a T-pose that faces +Z, left = +X
_FACE_BONES = (
    Bone("hips", "", (0, 0.95, 0)), Bone("spine", "hips", (0, 0.10, 0)), Bone("chest", "spine", (0, 0.15, 0)),
    Bone("neck", "chest", (0, 0.22, 0)), Bone("head", "neck", (0, 0.08, 0)),
    *(Bone(f"{s}UpperArm", "chest", (x * 0.16, 0.18, 0)) for s, x in (("left", 1), ("right", -1))),
    *(Bone(f"{s}LowerArm", f"{s}UpperArm", (x * 0.27, 0, 0)) for s, x in (("left", 1), ("right", -1))),
    *(Bone(f"{s}Hand", f"{s}LowerArm", (x * 0.24, 0, 0)) for s, x in (("left", 1), ("right", -1))),
    *(Bone(f"{s}UpperLeg", "hips", (x * 0.09, -0.05, 0)) for s, x in (("left", 1), ("right", -1))),
    *(Bone(f"{s}LowerLeg", f"{s}UpperLeg", (0, -0.42, 0)) for s in ("left", "right")),
    *(Bone(f"{s}Foot", f"{s}LowerLeg", (0, -0.40, 0)) for s in ("left", "right")),
)  # fmt: skip
_HEAD_BONES = ("neck", "head", "leftEye", "rightEye", "jaw")
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
        self.data = BufferBuilder()
        self.nodes: list[dict[str, Any]] = []
        self.channels: list[dict[str, Any]] = []
        self.samplers: list[dict[str, Any]] = []
        self.bones = {bone.name: i for i, bone in enumerate(bones)}
        self.roots = [0]
        for bone in bones:
            children = [i for i, child in enumerate(bones) if child.parent == bone.name]
            self.nodes.append({"name": bone.name, "translation": [float(x) for x in bone.place]})
            if children:
                self.nodes[-1]["children"] = children
        self._times = self.data.add(seconds, FLOAT, bounds=True)

    def animate(self, node: int, what: str, values: np.ndarray) -> None:
        """A track (T, 3) of a translation, (T, 4) of a rotation, w first."""
        if what == "rotation":
            values = xyzw(rot.continuous(values) if len(values) > 1 else values)
        self.channels.append({"sampler": len(self.samplers), "target": {"node": node, "path": what}})
        sampler = {"input": self._times, "output": self.data.add(values, FLOAT), "interpolation": "LINEAR"}
        self.samplers.append(sampler)

    def add_body(self, motion: Motion) -> None:
        """Every joint's rotation and the hips' way."""
        skeleton, rotations = motion.with_fingers
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
            "accessors": [filled(a) for a in self.data.accessors],
            "bufferViews": [filled(v) for v in self.data.views],
            "buffers": [{"byteLength": len(self.data.blob)}],
        }  # fmt: skip
        return packed(gltf, bytes(self.data.blob))


def write_vrma(motion: Motion | FaceMotion | AvatarMotion, path: Path, layout: str = "both") -> Path:
    """Write a .vrma.

    Args:
        layout: of expressions. ``both``; ``arkit``: only custom expressions with the 52 names, for avatars that have
            them; ``presets``: only VRM's presets, for avatars that do not. An avatar with both kinds would move twice
            with ``both``.
    """
    body, face = body_and_face(motion)
    file = _File(_FACE_BONES if body is None else _bones(body), np.arange(len(motion)) / motion.fps)
    if body is not None:
        file.add_body(body)
    expressions = {} if face is None else file.add_face(face, layout, turns_head=body is None)
    human = {name: {"node": i} for name, i in file.bones.items()}
    extension = {"specVersion": VERSION, "humanoid": {"humanBones": human}, **expressions}
    content = file.packed(extension, float(motion.fps), motion.caption, motion.modality)
    return atomic_write(path, lambda temporary: temporary.write_bytes(content))


def _bones(motion: Motion) -> list[Bone]:
    """Our skeleton at rest, standing on the floor."""
    skeleton = SMPL22 if motion.fingers is None else SMPL52
    out = []
    for joint, parent, offset in zip(skeleton.names, skeleton.parents, skeleton.offsets, strict=True):
        x, y, z = (STANDING if parent < 0 else offset).tolist()
        out.append(Bone(bone_of(joint), "" if parent < 0 else bone_of(skeleton.names[parent]), (x, y, z)))
    return out


def presets(motion: FaceMotion) -> dict[str, np.ndarray]:
    """VRM's preset expressions, (T,) each in [0, 1], by the table in docs/face_formats.md. A rule, not a network."""

    def mean(name: str) -> np.ndarray:
        return motion.channel(name).astype(np.float64)

    left, right = mean("eyeBlinkLeft"), mean("eyeBlinkRight")
    both = np.minimum(left, right)
    opening = np.clip(1.6 * (mean("jawOpen") - mean("mouthClose")), 0, 1)
    rounded = np.clip(1.2 * np.maximum(mean("mouthPucker"), mean("mouthFunnel")), 0, 1)
    wide = np.clip(2.0 * mean("mouthStretch"), 0, 1)
    flat = (1 - rounded) * (1 - wide)
    values = {
        "aa": opening * flat, "ih": (1 - rounded) * wide * (1 - opening), "ou": rounded * (1 - opening),
        "ee": (1 - rounded) * wide * opening, "oh": rounded * opening,
        "blink": both, "blinkLeft": left - both, "blinkRight": right - both,
        "happy": 0.75 * mean("mouthSmile") + 0.25 * mean("cheekSquint"),
        "angry": 0.75 * mean("browDown") + 0.25 * mean("noseSneer"),
        "sad": 0.5 * mean("browInnerUp") * (1 - mean("browOuterUp")) + 0.5 * mean("mouthFrown"),
        "surprised": 0.5 * mean("browOuterUp") + 0.5 * mean("eyeWide"),
    }  # fmt: skip
    return {name: np.clip(v, 0, 1) for name, v in values.items()}


def gaze(motion: FaceMotion) -> np.ndarray:
    """(T, 2) yaw to the person's left and pitch up of both eyes' mean, radians, relative to the head."""
    w = {n: motion.channel(n).astype(np.float64) for n in arkit.NAMES if n.startswith("eyeLook")}
    yaw = w["eyeLookOutLeft"] - w["eyeLookInLeft"] + w["eyeLookInRight"] - w["eyeLookOutRight"]
    pitch = w["eyeLookUpLeft"] - w["eyeLookDownLeft"] + w["eyeLookUpRight"] - w["eyeLookDownRight"]
    return np.stack([yaw, pitch], 1) / 2 * np.radians(arkit.EYE_DEGREES)


def read_vrma(path: Path) -> Motion | FaceMotion:
    """Read a .vrma: a face where it has custom expressions, or turns no bone below the neck; else a body.

    Of a face the custom ARKit expressions and the head are read; expressions that are missing stay 0, key frames that
    are not evenly spaced, or are few and held, come at 30 a second.
    """
    gltf = read_gltf(path, ACCEPTED, "a whole .vrma")
    with parsing(path, "a whole .vrma", ACCEPTED):
        return _face(gltf, path) if _has_face(gltf) else gltf_rigs.read_foreign(gltf, path)


def _has_face(gltf: Document) -> bool:
    about = gltf.extensions.get(EXTENSION)
    if not isinstance(about, dict) or about.get("expressions", {}).get("custom"):
        return True  # a file without the extension is refused as a face
    bones = about.get("humanoid", {}).get("humanBones", {})
    body = {int(bone["node"]) for name, bone in bones.items() if name not in _HEAD_BONES}
    return not gltf_rigs.animations_turning(gltf, body)


def _face(gltf: Document, path: Path) -> FaceMotion:
    about, animation = gltf.extensions[EXTENSION], gltf.animations[0]
    tracks = {(c.target.node, c.target.path): animation.samplers[c.sampler] for c in animation.channels}
    custom = {arkit.canonical(n): e["node"] for n, e in about.get("expressions", {}).get("custom", {}).items()}
    samplers = {n: tracks.get((node, "translation")) for n, node in custom.items() if n is not None}
    shapes = {arkit.INDEX[n]: sampler for n, sampler in samplers.items() if sampler is not None}
    if not shapes:
        raise UserError(f"{path}: no custom expressions with ARKit names; {ACCEPTED}")
    human = about.get("humanoid", {}).get("humanBones", {})
    bones = [human.get(name, {}).get("node") for name in ("neck", "head")]
    rotated = [(bone, tracks[bone, "rotation"]) for bone in bones if (bone, "rotation") in tracks]
    read = [*shapes.values(), *(sampler for _, sampler in rotated)]
    check_readable(path, gltf.extensionsRequired, [s.interpolation for s in read])

    def values(index: int) -> np.ndarray:
        return accessor_values(gltf, index).astype(np.float64)

    def is_held(sampler: Sampler) -> bool:
        return sampler.interpolation == gltf_rigs.STEP

    lines = {i: values(i)[:, 0] for i in {s.input for s in read}}
    rate, caption = gltf_rigs.extras_of(gltf.extras)
    times, fps = gltf_rigs.common_times(list(lines.values()), rate, any(is_held(s) for s in read))
    weights, head = np.zeros((len(times), arkit.COUNT)), np.zeros((len(times), 3))
    for i, sampler in shapes.items():
        column = values(sampler.output)[:, 0]
        weights[:, i] = gltf_rigs.interpolate(times, lines[sampler.input], column, is_held(sampler))
    # VRM defines turns for a skeleton without rotations at rest, whatever the file's bones have there; where the neck
    # turns as well, a face's head is what both do together
    local = [node_transform(node)["rotation"].astype(np.float64) for node in gltf.nodes]
    turned = []
    for bone, sampler in rotated:
        above = rotation_above(bone, [n.children for n in gltf.nodes], lambda n: local[n])
        keys = gltf_rigs.check_unit(np.roll(values(sampler.output), 1, axis=-1))
        turned.append((lines[sampler.input], world_turns(keys, above, local[bone]), is_held(sampler)))
    if len(turned) > 1:
        both = (gltf_rigs.interpolate_rotations(times, line, gltf_rigs.check_unit(q), step) for line, q, step in turned)
        head = angles_of(rot.multiply(*both))
    elif turned:
        line, away, step = turned[0]
        head = gltf_rigs.interpolate(times, line, angles_of(away), step)
    return FaceMotion(weights, head, fps, caption)
