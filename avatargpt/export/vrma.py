"""VRM animation (``VRMC_vrm_animation`` 1.0) of a body, a face, or an avatar that has both, for any VRM avatar.

The file has no mesh: a T-pose skeleton of humanoid bones, for a face one node for each expression, whose X translation
is the weight, and a node for the gaze. An avatar that has presets and ARKit's shapes must not be moved by both: these
are two animations of the file, presets first, which every player plays.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from avatargpt.export.avatar import AvatarMotion, body_and_face
from avatargpt.export.bones import bone_of
from avatargpt.export.expressions import SPELLINGS, PresetMixer, spell_shape
from avatargpt.export.gltf_read import rotation_above, world_turns
from avatargpt.export.gltf_write import BufferBuilder, drop_empty_fields, xyzw
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion, angles_of, turns
from vqvae.io import gltf_rigs
from vqvae.io.files import parsing
from vqvae.io.gltf import FLOAT, Document, Sampler, accessor_values, check_readable, node_transform, pack_glb, read_gltf
from vqvae.motion import Motion, atomic_write
from vqvae.retarget import STANDING

EXTENSION = "VRMC_vrm_animation"
ACCEPTED = "accepted a .vrma whose custom expressions have ARKit names"
BOTH = ".glb and .npz of an avatar"
VERSION = "1.0"
CUSTOM_NAMES = ("all", *SPELLINGS)
EYES = (0.0, 0.06, 0.0)  # from the head bone to between the eyes


class HumanoidBone(NamedTuple):
    """A humanoid bone at rest: its parent, empty for the first, and its offset from it in metres."""

    name: str
    parent: str
    place: tuple[float, float, float]


# the bones that VRM requires, for a file with a face alone: a T-pose that faces +Z, left = +X
_FACE_BONES = (
    HumanoidBone("hips", "", (0, 0.95, 0)), HumanoidBone("spine", "hips", (0, 0.10, 0)),
    HumanoidBone("chest", "spine", (0, 0.15, 0)), HumanoidBone("neck", "chest", (0, 0.22, 0)),
    HumanoidBone("head", "neck", (0, 0.08, 0)),
    *(HumanoidBone(f"{s}UpperArm", "chest", (x * 0.16, 0.18, 0)) for s, x in (("left", 1), ("right", -1))),
    *(HumanoidBone(f"{s}LowerArm", f"{s}UpperArm", (x * 0.27, 0, 0)) for s, x in (("left", 1), ("right", -1))),
    *(HumanoidBone(f"{s}Hand", f"{s}LowerArm", (x * 0.24, 0, 0)) for s, x in (("left", 1), ("right", -1))),
    *(HumanoidBone(f"{s}UpperLeg", "hips", (x * 0.09, -0.05, 0)) for s, x in (("left", 1), ("right", -1))),
    *(HumanoidBone(f"{s}LowerLeg", f"{s}UpperLeg", (0, -0.42, 0)) for s in ("left", "right")),
    *(HumanoidBone(f"{s}Foot", f"{s}LowerLeg", (0, -0.40, 0)) for s in ("left", "right")),
)  # fmt: skip
_HEAD_BONES = ("neck", "head", "leftEye", "rightEye", "jaw")


class _File:
    """Nodes, tracks and expressions of one animation."""

    def __init__(self, bones: Sequence[HumanoidBone], seconds: np.ndarray) -> None:
        self.data = BufferBuilder()
        self.nodes: list[dict[str, Any]] = []
        self.tracks: list[tuple[str, int, str, int]] = []  # kind of expression or "", node, path, accessor
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
        self.tracks.append(("", node, what, self.data.add(values, FLOAT)))

    def _express(self, kind: str, name: str, values: int) -> dict[str, int]:
        """An expression whose weights are the accessor `values` -> what the extension says of it."""
        self.roots.append(len(self.nodes))
        self.tracks.append((kind, len(self.nodes), "translation", values))
        self.nodes.append({"name": f"{kind}_{name}"})
        return {"node": len(self.nodes) - 1}

    def add_body(self, motion: Motion) -> None:
        """Every joint's rotation and the hips' way."""
        skeleton, rotations = motion.with_fingers
        self.animate(0, "translation", motion.root)
        for j, joint in enumerate(skeleton.names):
            self.animate(self.bones[bone_of(joint)], "rotation", rotations[:, j])

    def add_face(self, motion: FaceMotion, layout: str, names: str, turns_head: bool) -> dict[str, Any]:
        """Expressions and gaze, and the head's rotation where no body has it -> what the extension says of them."""
        if turns_head:
            self.animate(self.bones["head"], "rotation", turns(motion.head))
        eyes, look = len(self.nodes), gaze(motion)
        self.nodes.append({"name": "lookAt", "translation": list(EYES)})
        self.nodes[self.bones["head"]].setdefault("children", []).append(eyes)
        self.animate(eyes, "rotation", turns(np.concatenate([look, np.zeros((len(look), 1))], 1)))
        expressions: dict[str, dict[str, Any]] = {}
        if layout != "arkit":
            table = PresetMixer(motion.fps)(motion.weights)
            expressions["preset"] = {n: self._express("preset", n, self._weights(v)) for n, v in table.items()}
        if layout != "presets":
            custom = expressions["custom"] = {}
            for i, name in enumerate(arkit.NAMES):
                values = self._weights(motion.weights[:, i])
                for spelling in SPELLINGS if names == "all" else (names,):
                    written = spell_shape(name, spelling)
                    custom[written] = self._express("custom", written, values)
        return {"expressions": expressions, "lookAt": {"node": eyes, "offsetFromHeadBone": list(EYES)}}

    def _weights(self, values: np.ndarray) -> int:
        return self.data.add(np.stack([values, 0 * values, 0 * values], 1), FLOAT)

    def pack(self, extension: dict[str, Any], fps: float, caption: str, name: str) -> bytes:
        """The file."""
        kinds = [kind for kind in ("preset", "custom") if any(track[0] == kind for track in self.tracks)] or [""]
        ends = {"custom": " (ARKit)"} if len(kinds) > 1 else {}
        animations = []
        for kind in kinds:  # the tracks of the skeleton, and those of one kind of expression
            tracks = [track for track in self.tracks if track[0] in ("", kind)]
            animations.append({
                "name": (caption or name) + ends.get(kind, ""),
                "samplers": [{"input": self._times, "output": o, "interpolation": "LINEAR"} for *_, o in tracks],
                "channels": [{"sampler": k, "target": {"node": n, "path": p}} for k, (_, n, p, _) in enumerate(tracks)],
            })  # fmt: skip
        gltf = {
            "asset": {"version": "2.0", "generator": "AvatarGPT"}, "extensionsUsed": [EXTENSION],
            "extensions": {EXTENSION: extension}, "extras": {"fps": fps, "caption": caption},
            "scene": 0, "scenes": [{"nodes": self.roots}], "nodes": self.nodes,
            "animations": animations,
            "accessors": [drop_empty_fields(a) for a in self.data.accessors],
            "bufferViews": [drop_empty_fields(v) for v in self.data.views],
            "buffers": [{"byteLength": len(self.data.blob)}],
        }  # fmt: skip
        return pack_glb(gltf, bytes(self.data.blob))


def write_vrma(
    motion: Motion | FaceMotion | AvatarMotion, path: Path, layout: str = "both", names: str = "all"
) -> Path:
    """Write a .vrma.

    Args:
        layout: of expressions. ``presets``: VRM's presets, which every avatar has; ``arkit``: custom expressions with
            the 52 names, for avatars with Perfect Sync; ``both``: two animations, the first with presets.
        names: of custom expressions: ``camel`` (jawOpen), ``pascal`` (JawOpen), or ``all`` for both.
    """
    if names not in CUSTOM_NAMES:
        raise UserError(f"{path}: names {names!r}; accepted {', '.join(CUSTOM_NAMES)}")
    body, face = body_and_face(motion)
    file = _File(_FACE_BONES if body is None else _bones(body), np.arange(len(motion)) / motion.fps)
    if body is not None:
        file.add_body(body)
    expressions = {} if face is None else file.add_face(face, layout, names, turns_head=body is None)
    human = {name: {"node": i} for name, i in file.bones.items()}
    extension = {"specVersion": VERSION, "humanoid": {"humanBones": human}, **expressions}
    content = file.pack(extension, float(motion.fps), motion.caption, motion.modality)
    return atomic_write(path, lambda temporary: temporary.write_bytes(content))


def _bones(motion: Motion) -> list[HumanoidBone]:
    """Our skeleton at rest, its ankles where those of a standing body are."""
    skeleton = motion.with_fingers[0]
    hips = np.array([0.0, STANDING - skeleton.rest_joints[skeleton.index("l_ankle"), 1], 0.0])
    out = []
    for joint, parent, offset in zip(skeleton.names, skeleton.parents, skeleton.offsets, strict=True):
        x, y, z = (hips if parent < 0 else offset).tolist()
        out.append(HumanoidBone(bone_of(joint), "" if parent < 0 else bone_of(skeleton.names[parent]), (x, y, z)))
    return out


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
        about = gltf.extensions.get(EXTENSION)
        # a file without the extension is refused as a face
        acts = not isinstance(about, dict) or bool(about.get("expressions", {}).get("custom"))
        if not acts and _turns(gltf, lambda bone: bone not in _HEAD_BONES):
            body = gltf_rigs.read_foreign(gltf, path)
            fingers = _turns(gltf, lambda bone: bone.endswith(_PHALANGES))
            return replace(body, notes=(*body.notes, *_FINGERS_LEFT * fingers))
        face, body_too = _face(gltf, path), _turns(gltf, lambda bone: bone not in _HEAD_BONES)
        return replace(face, notes=(f"a face is read, its body is not; accepted for both: {BOTH}",) * body_too)


_PHALANGES = ("Proximal", "Intermediate", "Distal", "Metacarpal")  # ends of VRM's names of finger bones
_FINGERS_LEFT = ("its fingers are not read; accepted with fingers: .npz, .glb, .bvh",)


def _turns(gltf: Document, is_meant: Callable[[str], bool]) -> bool:
    """Whether an animation turns a bone of a name that is meant."""
    bones = gltf_rigs.humanoid_bones(gltf.extensions[EXTENSION])
    return bool(gltf_rigs.animations_turning(gltf, {node for name, node in bones.items() if is_meant(name)}))


def _face(gltf: Document, path: Path) -> FaceMotion:
    about = gltf.extensions[EXTENSION]
    custom = {arkit.canonical(n): e["node"] for n, e in about.get("expressions", {}).get("custom", {}).items()}
    animation = max(gltf.animations, key=lambda a: len({c.target.node for c in a.channels} & {*custom.values()}))
    tracks = {(c.target.node, c.target.path): animation.samplers[c.sampler] for c in animation.channels}
    named = {n: (node, "translation") for n, node in custom.items() if n is not None}
    shapes = {arkit.INDEX[n]: tracks[track] for n, track in named.items() if track in tracks}
    if not shapes:
        raise UserError(f"{path}: no custom expressions with ARKit names; {ACCEPTED}")
    human = gltf_rigs.humanoid_bones(about)
    bones = [human[name] for name in ("neck", "head") if name in human]
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
    turned = []
    for bone, sampler in rotated:
        above, initial = rotation_above(gltf, bone, gltf.parents), node_transform(gltf.nodes[bone])["rotation"]
        keys = gltf_rigs.check_unit(np.roll(values(sampler.output), 1, axis=-1))
        turned.append((lines[sampler.input], world_turns(keys, above, initial.astype(np.float64)), is_held(sampler)))
    if len(turned) > 1:
        both = (gltf_rigs.interpolate_rotations(times, line, gltf_rigs.check_unit(q), step) for line, q, step in turned)
        head = angles_of(rot.multiply(*both))
    elif turned:
        line, away, step = turned[0]
        head = gltf_rigs.interpolate(times, line, angles_of(away), step)
    return FaceMotion(weights, head, fps, caption)
