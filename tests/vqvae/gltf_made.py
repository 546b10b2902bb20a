"""Small glTF files of other programs' rigs, written independently of our writer and readers."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from tests.vqvae.test_bvh import MIXAMO
from vqvae import rotations as rot
from vqvae.rig import Rig
from vqvae.skeleton import SMPL22

_LIMBS = ("hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist")
_TRUNK = ("pelvis", "spine1", "spine2", "spine3", "neck", "head")


def _names(trunk: tuple[str, ...], limbs: tuple[str, ...], form: str, sides: tuple[str, str]) -> dict[str, str]:
    """Our joint -> a rig's name; `form` joins {limb} and {side}."""
    found = dict(zip(_TRUNK, trunk, strict=True))
    for side, word in zip("lr", sides, strict=True):
        found |= {f"{side}_{ours}": form.format(limb=limb, side=word) for ours, limb in zip(_LIMBS, limbs, strict=True)}
    return found


_UNREAL = ("thigh", "calf", "foot", "ball", "clavicle", "upperarm", "lowerarm", "hand")
_RIGIFY = ("thigh", "shin", "foot", "toe", "shoulder", "upper_arm", "forearm", "hand")
_VRM = ("UpperLeg", "LowerLeg", "Foot", "Toes", "Shoulder", "UpperArm", "LowerArm", "Hand")
_UNDERSCORE = ("{limb}_{side}", ("l", "r"))
CONVENTIONS = {
    "mixamo": MIXAMO,
    "mixamo without colons": {k: v.replace(":", "") for k, v in MIXAMO.items()},
    "ready player me": {k: v.removeprefix("mixamorig:") for k, v in MIXAMO.items()},
    "unreal": _names(("pelvis", "spine_01", "spine_02", "spine_03", "neck_01", "head"), _UNREAL, *_UNDERSCORE),
    "quaternius": _names(("pelvis", "spine_01", "spine_02", "spine_03", "neck_01", "Head"), _UNREAL, *_UNDERSCORE),
    "rigify": _names(
        ("DEF-spine", "DEF-spine.001", "DEF-spine.002", "DEF-spine.003", "DEF-spine.004", "DEF-spine.005"), _RIGIFY,
        "DEF-{limb}.{side}", ("L", "R"),
    ),
    "vroid": _names(
        ("J_Bip_C_Hips", "J_Bip_C_Spine", "J_Bip_C_Chest", "J_Bip_C_UpperChest", "J_Bip_C_Neck", "J_Bip_C_Head"), _VRM,
        "J_Bip_{side}_{limb}", ("L", "R"),
    ),
    "kaykit": _names(
        ("hips", "spine", "chest", "upperchest", "neck", "head"),
        ("upperleg", "lowerleg", "foot", "toes", "shoulder", "upperarm", "lowerarm", "hand"),
        "{limb}.{side}", ("l", "r"),
    ),
}  # fmt: skip
VRM_BONES = _names(
    ("hips", "spine", "chest", "upperChest", "neck", "head"), _VRM, "{side}{limb}", ("left", "right")
)  # fmt: skip


class Made:
    """A file while it is put together: its JSON, and one buffer.

    Attributes:
        gltf: the JSON. blob: bytes of the buffer. nodes: node of every joint of the rig.
    """

    def __init__(self, rigs: dict[str, Rig], axes: np.ndarray | None = None, armature: np.ndarray | None = None,
                 scale: float = 1.0, skin: bool = True) -> None:  # fmt: skip
        """
        Args:
            rigs: name of the animation -> movement; all of one skeleton, of whose rest the first one tells.
            axes: (J, 4) how every bone's own axes lie at rest; the world's if None.
            armature: (4,) turn of the node above the skeleton, `scale` its scale.
        """
        first = next(iter(rigs.values()))
        count = len(first.names)
        self.axes = rot.identity((count,)) if axes is None else axes
        self.turn = rot.identity(()) if armature is None else armature
        self.scale, self.parents = scale, first.parents
        self.blob = bytearray()
        self.gltf: dict[str, Any] = {
            "asset": {"version": "2.0"}, "bufferViews": [], "accessors": [], "animations": [], "scene": 0,
            "scenes": [{"nodes": [0]}],
        }  # fmt: skip
        places = np.zeros((count, 3))
        for j, p in enumerate(first.parents):
            places[j] = first.offsets[j] + (places[p] if p >= 0 else 0)
        self.nodes = [j + 1 for j in range(count)]
        turns, spots = self._local(np.repeat(rot.identity((count,))[None], 1, 0), places[None])
        joints = [{"name": n, "rotation": _xyzw(turns[0, j]).tolist(), "translation": spots[0, j].tolist(),
                   "children": [k + 1 for k, p in enumerate(first.parents) if p == j]}
                  for j, n in enumerate(first.names)]  # fmt: skip
        roots = [j + 1 for j, p in enumerate(first.parents) if p < 0]
        top = {"name": "Armature", "rotation": _xyzw(self.turn).tolist(), "scale": [scale] * 3, "children": roots}
        self.gltf["nodes"] = [top, *joints]
        if skin:
            bind = np.tile(np.eye(4), (count, 1, 1))
            back = rot.conjugate(self.turn)
            bind[:, :3, :3] = rot.to_matrix(rot.multiply(back, self.axes))
            bind[:, :3, 3] = rot.rotate(back, places) / scale
            values = np.linalg.inv(bind).transpose(0, 2, 1).reshape(-1, 16)
            self.gltf["skins"] = [{"joints": self.nodes, "inverseBindMatrices": self.add(values)}]
        for name, rig in rigs.items():
            self.animate(name, rig)

    def _local(self, turns: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(T, J) turns away from rest and places in the world -> those of the nodes below their parents."""
        whole = rot.multiply(turns, self.axes)
        local, spots = np.empty_like(whole), np.empty_like(places)
        for j, p in enumerate(self.parents):
            above = np.broadcast_to(self.turn, whole[:, 0].shape) if p < 0 else whole[:, p]
            local[:, j] = rot.multiply(rot.conjugate(above), whole[:, j])
            away = places[:, j] - (places[:, p] if p >= 0 else 0)
            spots[:, j] = rot.rotate(rot.conjugate(above), away) / self.scale
        return local, spots

    def add(self, values: np.ndarray, kind: str = "<f4", normalised: bool = False) -> int:
        """The number of an accessor that holds values (N, k)."""
        values = np.asarray(values)
        data = values.astype(kind).tobytes()
        self.blob += b"\0" * (-len(self.blob) % 4)
        view = {"buffer": 0, "byteOffset": len(self.blob), "byteLength": len(data)}
        self.blob += data
        self.gltf["bufferViews"].append(view)
        width = values.shape[1] if values.ndim > 1 else 1
        component = {"<f4": 5126, "<i2": 5122, "<u2": 5123}[kind]
        self.gltf["accessors"].append({
            "bufferView": len(self.gltf["bufferViews"]) - 1, "componentType": component, "count": len(values),
            "type": {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}[width], "normalized": normalised,
        })  # fmt: skip
        return len(self.gltf["accessors"]) - 1

    def animate(self, name: str, rig: Rig) -> None:
        """Add an animation with a key frame for every frame of the rig."""
        turns, places = _world(rig)
        turns, spots = self._local(turns, places)
        times = self.add(np.arange(len(turns)) / rig.fps)
        animation: dict[str, Any] = {"name": name, "samplers": [], "channels": []}
        self.gltf["animations"].append(animation)
        for j, node in enumerate(self.nodes):
            tracks = {"rotation": _xyzw(turns[:, j])}
            if self.parents[j] < 0 or j == 0:
                tracks["translation"] = spots[:, j]
            for path, values in tracks.items():
                target = {"node": node, "path": path}
                animation["channels"].append({"sampler": len(animation["samplers"]), "target": target})
                animation["samplers"].append({"input": times, "output": self.add(values), "interpolation": "LINEAR"})

    def sampler(self, joint: int, path: str = "rotation", animation: int = 0) -> dict[str, Any]:
        """The sampler of a joint's track."""
        one = self.gltf["animations"][animation]
        return next(one["samplers"][c["sampler"]] for c in one["channels"]
                    if c["target"] == {"node": self.nodes[joint], "path": path})  # fmt: skip

    def values(self, accessor: int) -> np.ndarray:
        """(N, k) floats as they were added."""
        about = self.gltf["accessors"][accessor]
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}[about["type"]]
        start = self.gltf["bufferViews"][about["bufferView"]]["byteOffset"]
        return np.frombuffer(bytes(self.blob), "<f4", about["count"] * width, start).reshape(-1, width)

    def save(self, path: Path, uri: str | None = None) -> Path:
        """Write it as a .glb, or as a .gltf whose buffer is a file beside it, or inside where `uri` is ``data:``."""
        blob = bytes(self.blob) + b"\0" * (-len(self.blob) % 4)
        self.gltf["buffers"] = [{"byteLength": len(blob)}]
        if path.suffix == ".glb":
            text = json.dumps(self.gltf).encode()
            text += b" " * (-len(text) % 4)
            head = struct.pack("<4sII", b"glTF", 2, 28 + len(text) + len(blob))
            parts = struct.pack("<I4s", len(text), b"JSON"), text, struct.pack("<I4s", len(blob), b"BIN\0"), blob
            path.write_bytes(head + b"".join(parts))
            return path
        name = path.stem + ".bin" if uri is None else uri
        if uri is None:
            path.with_name(name).write_bytes(blob)
        elif uri == "data:":
            name = "data:application/octet-stream;base64," + base64.b64encode(blob).decode()
        self.gltf["buffers"][0]["uri"] = name
        path.write_text(json.dumps(self.gltf))
        return path


def _world(rig: Rig) -> tuple[np.ndarray, np.ndarray]:
    """Turns (T, J, 4) and places (T, J, 3) in the world, of a rig that may have several roots."""
    turns, places = rig.rotations.copy(), rig.translations.copy()
    for j, p in enumerate(rig.parents):
        if p >= 0:
            turns[:, j] = rot.multiply(turns[:, p], rig.rotations[:, j])
            places[:, j] = places[:, p] + rot.rotate(turns[:, p], rig.translations[:, j])
    return turns, places


def _xyzw(q: np.ndarray) -> np.ndarray:
    return np.roll(q, -1, axis=-1)


def bone_axes(seed: int = 0) -> np.ndarray:
    """(22, 4) axes of bones as they like."""
    return rot.normalize(np.random.default_rng(seed).normal(size=(len(SMPL22.names), 4)))
