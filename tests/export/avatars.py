"""Small VRM files of either version: a skeleton and expressions that move one target each; and faces to move them."""

from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.export.bones import bone_of, unity_bone
from avatargpt.export.expressions import VRM0
from vqvae import arkit
from vqvae.features import STANDING
from vqvae.io.gltf import pack_glb
from vqvae.skeleton import SMPL52


def face_weights(frames: int = 1, **weights: Any) -> np.ndarray:
    """(T, 52) weights by names, of both sides where a name is without one; each a number or one for every frame."""
    values = np.zeros((frames, 52))
    for name, w in weights.items():
        values[:, [arkit.INDEX[n] for n in arkit.expand(name)]] = np.reshape(w, (-1, 1))
    return values


def talk(mood: str, press: float = 0.0, frames: int = 90) -> np.ndarray:
    """(T, 52) of syllables "pa" with a mood's shapes on top; the first two frames of nine are the p's."""
    shut = np.arange(frames) % 9 < 2
    shapes = {"happy": ("mouthSmile", "cheekSquint"), "angry": ("browDown", "noseSneer"),
              "sad": ("mouthFrown", "browInnerUp"), "surprised": ("browOuterUp", "eyeWide")}[mood]  # fmt: skip
    return face_weights(
        frames, jawOpen=np.where(shut, 0.02, 0.4), mouthPress=np.maximum(np.where(shut, 0.5, 0), press),
        mouthRollLower=np.where(shut, 0.2, 0), **dict.fromkeys(shapes, 1.0),
    )  # fmt: skip


def write_vrm(path: Path, version: int, perfect_sync: bool, without: tuple[str, ...] = (), scale: float = 0.8) -> Path:
    """Presets, and with `perfect_sync` the 52 in PascalCase; a body of our proportions times `scale`."""
    sign = -1.0 if version == 0 else 1.0  # VRM 0 looks along -Z, its left is -X
    nodes: list[dict[str, Any]] = [{"name": "mesh", "mesh": 0}]
    for joint, parent, offset in zip(SMPL52.names, SMPL52.parents, SMPL52.offsets, strict=True):
        place = STANDING if parent < 0 else offset
        x, y, z = (scale * float(v) for v in place)
        nodes.append({"name": joint, "translation": [sign * x, y, sign * z]})
        if parent >= 0:
            nodes[1 + int(parent)].setdefault("children", []).append(len(nodes) - 1)
    shapes = [*VRM0, *([arkit.pascal(n) for n in arkit.NAMES] if perfect_sync else ())]
    bones = {bone_of(n): i for i, n in enumerate(SMPL52.names, 1) if bone_of(n) not in without}
    gltf: dict[str, Any] = {
        "asset": {"version": "2.0"}, "nodes": nodes, "scene": 0, "scenes": [{"nodes": [0, 1]}],
        "meshes": [{"primitives": [], "extras": {"targetNames": shapes}}], "buffers": [{"byteLength": 0}],
    }  # fmt: skip
    if version == 1:
        def bound(names: list[str]) -> dict[str, Any]:
            return {n: {"morphTargetBinds": [{"node": 0, "index": shapes.index(n), "weight": 1.0}]} for n in names}

        gltf["extensions"] = {"VRMC_vrm": {
            "specVersion": "1.0", "humanoid": {"humanBones": {n: {"node": i} for n, i in bones.items()}},
            "expressions": {"preset": bound(shapes[: len(VRM0)]), "custom": bound(shapes[len(VRM0) :])},
        }}  # fmt: skip
    else:
        joints = {bone_of(n): unity_bone(n) for n in SMPL52.names}
        gltf["extensions"] = {"VRM": {
            "humanoid": {"humanBones": [
                {"bone": joints[n][:1].lower() + joints[n][1:], "node": i} for n, i in bones.items()]},
            "blendShapeMaster": {"blendShapeGroups": [
                {"name": VRM0.get(n, n), "presetName": VRM0.get(n, "unknown").lower(),
                 "binds": [{"mesh": 0, "index": k, "weight": 100}]} for k, n in enumerate(shapes)]},
        }}  # fmt: skip
    path.write_bytes(pack_glb(gltf, b""))
    return path
