"""VRM animation (``VRMC_vrm_animation`` 1.0) of a face: expressions, gaze and the head's rotation for any VRM avatar.

The file has no mesh: a T-pose skeleton with the bones that VRM asks for, one node for each expression, whose X
translation is the weight, and a node for the gaze.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.export.gltf import _Builder, from_rest, turned_above
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion, angles_of, turns
from vqvae.io.glb import FLOAT, MOST_BYTES, check_readable, unpacked
from vqvae.io.guard import read_bytes, understanding
from vqvae.io.keyframes import STEP, at, frames, said, unit
from vqvae.motion import atomic_write

EXTENSION, VERSION = "VRMC_vrm_animation", "1.0"
LAYOUTS = ("both", "arkit", "presets")
ACCEPTED = "accepted a .vrma whose custom expressions have ARKit names"
# bone, parent, offset from it in metres: a T-pose that faces +Z, left = +X
_BONES = (
    ("hips", "", (0, 0.95, 0)), ("spine", "hips", (0, 0.10, 0)), ("chest", "spine", (0, 0.15, 0)),
    ("neck", "chest", (0, 0.22, 0)), ("head", "neck", (0, 0.08, 0)),
    *((f"{s}UpperArm", "chest", (x * 0.16, 0.18, 0)) for s, x in (("left", 1), ("right", -1))),
    *((f"{s}LowerArm", f"{s}UpperArm", (x * 0.27, 0, 0)) for s, x in (("left", 1), ("right", -1))),
    *((f"{s}Hand", f"{s}LowerArm", (x * 0.24, 0, 0)) for s, x in (("left", 1), ("right", -1))),
    *((f"{s}UpperLeg", "hips", (x * 0.09, -0.05, 0)) for s, x in (("left", 1), ("right", -1))),
    *((f"{s}LowerLeg", f"{s}UpperLeg", (0, -0.42, 0)) for s in ("left", "right")),
    *((f"{s}Foot", f"{s}LowerLeg", (0, -0.40, 0)) for s in ("left", "right")),
)  # fmt: skip
_EYES = (0.0, 0.06, 0.0)  # from the head bone to between the eyes


def presets(motion: FaceMotion) -> dict[str, np.ndarray]:
    """VRM's preset expressions, (T,) each in [0, 1], by the table in docs/face_formats.md. A rule, not a network."""

    def mean(name: str) -> np.ndarray:
        return motion.channel(name).astype(np.float64)

    left, right = mean("eyeBlinkLeft"), mean("eyeBlinkRight")
    both = np.minimum(left, right)
    opened = np.clip(1.6 * (mean("jawOpen") - mean("mouthClose")), 0, 1)
    rounded = np.clip(1.2 * np.maximum(mean("mouthPucker"), mean("mouthFunnel")), 0, 1)
    wide = np.clip(2.0 * mean("mouthStretch"), 0, 1)
    flat = (1 - rounded) * (1 - wide)
    found = {
        "aa": opened * flat, "ih": (1 - rounded) * wide * (1 - opened), "ou": rounded * (1 - opened),
        "ee": (1 - rounded) * wide * opened, "oh": rounded * opened,
        "blink": both, "blinkLeft": left - both, "blinkRight": right - both,
        "happy": 0.75 * mean("mouthSmile") + 0.25 * mean("cheekSquint"),
        "angry": 0.75 * mean("browDown") + 0.25 * mean("noseSneer"),
        "sad": 0.5 * mean("browInnerUp") * (1 - mean("browOuterUp")) + 0.5 * mean("mouthFrown"),
        "surprised": 0.5 * mean("browOuterUp") + 0.5 * mean("eyeWide"),
    }  # fmt: skip
    return {name: np.clip(values, 0, 1) for name, values in found.items()}


def gaze(motion: FaceMotion) -> np.ndarray:
    """(T, 2) yaw to the person's left and pitch up of both eyes' mean, radians, relative to the head."""
    w = {n: motion.channel(n).astype(np.float64) for n in arkit.NAMES if n.startswith("eyeLook")}
    yaw = w["eyeLookOutLeft"] - w["eyeLookInLeft"] + w["eyeLookInRight"] - w["eyeLookOutRight"]
    pitch = w["eyeLookUpLeft"] - w["eyeLookDownLeft"] + w["eyeLookUpRight"] - w["eyeLookDownRight"]
    return np.stack([yaw, pitch], 1) / 2 * np.radians(arkit.EYE_DEGREES)


def write_vrma(motion: FaceMotion, path: Path, layout: str = "both") -> Path:
    """Write a .vrma.

    Args:
        layout: ``both``; ``arkit``: only custom expressions with the 52 names, for avatars that have them; ``presets``:
            only VRM's presets, for avatars that do not. An avatar with both kinds would move twice with ``both``.

    Raises:
        UserError: unknown layout.
    """
    if layout not in LAYOUTS:
        raise UserError(f"{path}: layout '{layout}'; accepted {', '.join(LAYOUTS)}")
    data = _Builder()
    nodes: list[dict[str, Any]] = []
    channels: list[dict[str, Any]] = []
    samplers: list[dict[str, Any]] = []
    bones = {name: i for i, (name, _, _) in enumerate(_BONES)}
    for name, _, place in _BONES:
        children = [i for i, (_, parent, _) in enumerate(_BONES) if parent == name]
        nodes.append({"name": name, "translation": [float(x) for x in place]})
        if children:
            nodes[-1]["children"] = children
    times = data.add(np.arange(len(motion)) / motion.fps, FLOAT, bounds=True)

    def animate(node: int, what: str, values: np.ndarray) -> None:
        channels.append({"sampler": len(samplers), "target": {"node": node, "path": what}})
        samplers.append({"input": times, "output": data.add(values, FLOAT), "interpolation": "LINEAR"})

    def turning(angles: np.ndarray) -> np.ndarray:
        q = turns(angles)
        return np.roll(rot.continuous(q) if len(q) > 1 else q, -1, axis=-1)

    animate(bones["head"], "rotation", turning(motion.head))
    eyes = len(nodes)
    nodes.append({"name": "lookAt", "translation": list(_EYES)})
    nodes[bones["head"]]["children"] = [eyes]
    look = gaze(motion)
    animate(eyes, "rotation", turning(np.concatenate([look, np.zeros((len(look), 1))], 1)))
    tables: dict[str, dict[str, np.ndarray]] = {}
    if layout != "arkit":
        tables["preset"] = presets(motion)
    if layout != "presets":
        tables["custom"] = {n: motion.weights[:, i] for i, n in enumerate(arkit.NAMES)}
    expressions: dict[str, dict[str, Any]] = {}
    roots = [0]
    for kind, table in tables.items():
        for name, values in table.items():
            expressions.setdefault(kind, {})[name] = {"node": len(nodes)}
            roots.append(len(nodes))
            animate(len(nodes), "translation", np.stack([values, 0 * values, 0 * values], 1))
            nodes.append({"name": f"{kind}_{name}"})
    gltf = {
        "asset": {"version": "2.0", "generator": "AvatarGPT"}, "extensionsUsed": [EXTENSION],
        "extensions": {EXTENSION: {
            "specVersion": VERSION, "humanoid": {"humanBones": {n: {"node": i} for n, i in bones.items()}},
            "expressions": expressions, "lookAt": {"node": eyes, "offsetFromHeadBone": list(_EYES)},
        }},
        "extras": {"fps": float(motion.fps), "caption": motion.caption}, "scene": 0, "scenes": [{"nodes": roots}],
        "nodes": nodes, "animations": [{"name": motion.caption or "face", "samplers": samplers, "channels": channels}],
        "accessors": [json.loads(a.to_json()) for a in data.accessors],
        "bufferViews": [json.loads(v.to_json()) for v in data.views], "buffers": [{"byteLength": len(data.blob)}],
    }  # fmt: skip
    return atomic_write(path, lambda p: p.write_bytes(_packed(gltf, bytes(data.blob))))


def _packed(gltf: dict[str, Any], blob: bytes) -> bytes:
    """The binary container: header, JSON chunk, data chunk, each padded to 4 bytes."""
    for table in ("accessors", "bufferViews"):  # empty fields would be invalid
        gltf[table] = [{k: v for k, v in row.items() if v not in (None, {}, [])} for row in gltf[table]]
    text = json.dumps(gltf, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    size = 12 + 8 + len(text) + 8 + len(blob)
    head = struct.pack("<4sII", b"glTF", 2, size) + struct.pack("<I4s", len(text), b"JSON")
    return head + text + struct.pack("<I4s", len(blob), b"BIN\0") + blob


def unpack(path: Path) -> tuple[dict[str, Any], bytes]:
    """JSON and data of a binary glTF.

    Raises:
        UserError: no such container, or one cut short.
    """
    raw = read_bytes(path, MOST_BYTES)
    with understanding(path, "a binary glTF", ACCEPTED):
        magic, version, size = struct.unpack_from("<4sII", raw)
        if magic != b"glTF" or version != 2 or size > len(raw):
            raise ValueError("no binary glTF 2")
        length, kind = struct.unpack_from("<I4s", raw, 12)
        gltf = json.loads(raw[20 : 20 + length])
        start = 20 + length + 8
        if kind != b"JSON" or not isinstance(gltf, dict):
            raise ValueError("no JSON")
        return gltf, raw[start:size]


def read_vrma(path: Path) -> FaceMotion:
    """Read the custom ARKit expressions and the head of a .vrma; expressions that are missing stay 0, key frames that
    are not evenly spaced, or are few and held, come at 30 a second (`keyframes`). The head's turn is that of a skeleton
    without rotations at rest, as VRM defines it, whatever rotations the file's bones have there.

    Raises:
        UserError: not such a file, no ARKit expressions, key frames whose times do not rise, cubic splines, extensions
            for the data.
    """
    gltf, blob = unpack(path)
    with understanding(path, "a whole .vrma", ACCEPTED):
        about = gltf["extensions"][EXTENSION]
        animation = gltf["animations"][0]
        tracks = {
            (c["target"]["node"], c["target"]["path"]): animation["samplers"][c["sampler"]]
            for c in animation["channels"]
        }
        custom = {arkit.canonical(n): e["node"] for n, e in about.get("expressions", {}).get("custom", {}).items()}
        known = {n: tracks.get((node, "translation")) for n, node in custom.items() if n is not None}
        used = {arkit.INDEX[n]: sampler for n, sampler in known.items() if sampler is not None}
        if not used:
            raise UserError(f"{path}: no custom expressions with ARKit names; {ACCEPTED}")
        bone = about.get("humanoid", {}).get("humanBones", {}).get("head", {}).get("node")
        turn = tracks.get((bone, "rotation"))
        read = [*used.values(), *([turn] if turn else [])]
        check_readable(path, gltf.get("extensionsRequired"), [s.get("interpolation") for s in read])
        inputs = {s["input"] for s in read}
        lines = {i: _floats(gltf, blob, i)[:, 0] for i in inputs}
        rate, caption = said(gltf.get("extras"))
        times, fps = frames(list(lines.values()), rate, any(s.get("interpolation") == STEP for s in read))
        weights, head = np.zeros((len(times), arkit.COUNT)), np.zeros((len(times), 3))
        for i, sampler in used.items():
            values, held = _floats(gltf, blob, sampler["output"])[:, 0], sampler.get("interpolation") == STEP
            weights[:, i] = at(times, lines[sampler["input"]], values, held)
        if turn is not None:
            nodes = gltf["nodes"]
            above = turned_above(bone, [n.get("children", []) for n in nodes], lambda n: _own(nodes[n]))
            local = unit(np.roll(_floats(gltf, blob, turn["output"]), 1, axis=-1))
            turned = from_rest(local, above, _own(nodes[bone]))
            head = at(times, lines[turn["input"]], angles_of(turned), turn.get("interpolation") == STEP)
        return FaceMotion(weights, head, fps, caption)


def _own(node: dict[str, Any]) -> np.ndarray:
    """(4,) a node's own rotation, w first."""
    if "matrix" in node:  # column by column, with the scale
        axes = np.reshape(node["matrix"], (4, 4))[:3, :3].astype(np.float64).T
        out: np.ndarray = rot.from_matrix(axes / np.linalg.norm(axes, axis=0))
        return out
    turn = np.roll(np.asarray(node.get("rotation", (0, 0, 0, 1)), np.float64), 1)
    return rot.normalize(turn)


def _floats(gltf: dict[str, Any], blob: bytes, index: int) -> np.ndarray:
    """(N, k) float64 values of a packed accessor, floats or normalised integers."""
    accessor = gltf["accessors"][index]
    view = gltf["bufferViews"][accessor["bufferView"]]
    if view.get("byteStride"):
        raise ValueError("only packed values")
    width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[accessor["type"]]
    start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
    form = accessor["componentType"], accessor.get("normalized", False)
    return unpacked(blob, start, accessor["count"] * width, *form).reshape(-1, width).astype(np.float64)
