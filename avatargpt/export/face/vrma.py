"""What a face is in VRM's terms, and reading it from a VRM animation (``VRMC_vrm_animation`` 1.0)."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.export.gltf import from_rest, turned_above
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion, angles_of
from vqvae.io.files import parsing, read_bytes
from vqvae.io.gltf import MAX_GLTF_BYTES, Document, check_readable, unpacked
from vqvae.io.gltf_rigs import STEP, at, frames, said, turned_at, turning, unit

EXTENSION = "VRMC_vrm_animation"
_HEAD = ("neck", "head", "leftEye", "rightEye", "jaw")
ACCEPTED = "accepted a .vrma whose custom expressions have ARKit names"


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


def unpack(path: Path) -> tuple[dict[str, Any], bytes]:
    """JSON and data of a binary glTF.

    Raises:
        UserError: no such container, or one cut short.
    """
    raw = read_bytes(path, MAX_GLTF_BYTES)
    with parsing(path, "a binary glTF", ACCEPTED):
        magic, version, size = struct.unpack_from("<4sII", raw)
        if magic != b"glTF" or version != 2 or size > len(raw):
            raise ValueError("no binary glTF 2")
        length, kind = struct.unpack_from("<I4s", raw, 12)
        gltf = json.loads(raw[20 : 20 + length])
        start = 20 + length + 8
        if kind != b"JSON" or not isinstance(gltf, dict):
            raise ValueError("no JSON")
        return gltf, raw[start:size]


def has_face(gltf: Document) -> bool:
    """Whether a file is read as a face: unless it has no custom expressions and turns bones below the neck."""
    about = gltf.extensions.get(EXTENSION)
    if not isinstance(about, dict) or about.get("expressions", {}).get("custom"):
        return True  # without the extension it is refused as one
    bones = about.get("humanoid", {}).get("humanBones", {})
    body = {int(bone["node"]) for name, bone in bones.items() if name not in _HEAD}
    return not turning(gltf, body)


def read_vrma(path: Path) -> FaceMotion:
    """Read the custom ARKit expressions and the head of a .vrma; expressions that are missing stay 0, key frames that
    are not evenly spaced, or are few and held, come at 30 a second (`keyframes`). The head's turn is that of a skeleton
    without rotations at rest, as VRM defines it, whatever rotations the file's bones have there; where the neck turns,
    too, it is what both do together.

    Raises:
        UserError: not such a file, no ARKit expressions, key frames whose times do not rise, cubic splines, extensions
            for the data.
    """
    gltf, blob = unpack(path)
    with parsing(path, "a whole .vrma", ACCEPTED):
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
        human = about.get("humanoid", {}).get("humanBones", {})
        bones = [human.get(name, {}).get("node") for name in ("neck", "head")]
        turned = [(bone, tracks[bone, "rotation"]) for bone in bones if (bone, "rotation") in tracks]
        read = [*used.values(), *(sampler for _, sampler in turned)]
        check_readable(path, gltf.get("extensionsRequired"), [s.get("interpolation") for s in read])
        inputs = {s["input"] for s in read}
        lines = {i: _floats(gltf, blob, i)[:, 0] for i in inputs}
        rate, caption = said(gltf.get("extras"))
        times, fps = frames(list(lines.values()), rate, any(s.get("interpolation") == STEP for s in read))
        weights, head = np.zeros((len(times), arkit.COUNT)), np.zeros((len(times), 3))
        for i, sampler in used.items():
            values, held = _floats(gltf, blob, sampler["output"])[:, 0], sampler.get("interpolation") == STEP
            weights[:, i] = at(times, lines[sampler["input"]], values, held)
        nodes, turns = gltf["nodes"], []
        for bone, sampler in turned:
            above = turned_above(bone, [n.get("children", []) for n in nodes], lambda n: _own(nodes[n]))
            local = unit(np.roll(_floats(gltf, blob, sampler["output"]), 1, axis=-1))
            away, line = from_rest(local, above, _own(nodes[bone])), lines[sampler["input"]]
            turns.append((line, away, sampler.get("interpolation") == STEP))
        if len(turns) > 1:
            head = angles_of(rot.multiply(*(turned_at(times, line, unit(q), held) for line, q, held in turns)))
        elif turns:
            line, away, held = turns[0]
            head = at(times, line, angles_of(away), held)
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
