"""ARKit's 52 shapes added to a character's glTF that has too few of its own to speak with."""

from __future__ import annotations

import copy
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.export.character_face import CharacterFace, face_of
from avatargpt.export.face_transfer import make_shapes
from avatargpt.export.gltf_animation import add_animation, extend_accessors, face_tracks
from avatargpt.export.gltf_write import BufferBuilder
from avatargpt.export.head_read import HeadPart, head_turns, read_head
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion, turns
from vqvae.io.files import atomic_write, check_output, parsing, read_bytes
from vqvae.io.gltf import (
    ACCEPTED,
    FLOAT,
    MAX_GLTF_BYTES,
    Document,
    accessor_values,
    check_readable,
    is_binary,
    pack_glb,
    read_gltf,
    self_contained,
    unpack_glb,
)

ENOUGH = arkit.COUNT // 2  # shapes of its own that a head has for none to be made


@dataclass(frozen=True)
class TalkingFile:
    """A character's file whose face can be moved: JSON and binary chunk, with shapes that were made where it had too
    few; the document; how its face follows ours; what to say of it in one line; and where it was read."""

    gltf: dict[str, Any]
    blob: bytes
    document: Document
    face: CharacterFace
    line: str
    path: Path = Path()

    def __fspath__(self) -> str:
        return str(self.path)


def open_gltf(path: Path) -> tuple[dict[str, Any], bytes, Document]:
    """JSON, binary chunk and document of a .glb or .vrm, or of a .gltf with all that it needs."""
    document = read_gltf(path, ACCEPTED)
    raw = read_bytes(path, MAX_GLTF_BYTES, ACCEPTED)
    with parsing(path, "a whole glTF", ACCEPTED):
        check_readable(path, document.extensionsRequired)
        if not is_binary(raw):
            return *self_contained(path, raw, document), document
        text, blob = unpack_glb(raw)
        return json.loads(text), blob, document


def load_talk(path: str | os.PathLike[str]) -> TalkingFile:
    """A character's file for any number of faces; one that is loaded already as it is. Raises as `make_talk`."""
    if isinstance(path, TalkingFile):
        return path
    source = Path(path)
    opened = open_gltf(source)
    with parsing(source, "a head", ACCEPTED):
        return replace(make_talk(*opened), path=source)


def make_talk(gltf: dict[str, Any], blob: bytes, document: Document, always: bool = False) -> TalkingFile:
    """A file with a face that speaks: its own shapes, visemes or presets, or else shapes that are made.

    `always`: make them for every head with fewer than half of the 52.

    Raises:
        UserError: a head for which none can be made: no eyes, no opening of a mouth.
    """
    face = face_of(document)
    few = len([n for n in face.used if n in arkit.INDEX]) < ENOUGH
    if not (always and few) and face.speaks:
        return TalkingFile(gltf, blob, document, face, face.line)
    gltf, blob, made = add_shapes(gltf, blob, document)
    whole = Document.model_validate(gltf)
    document = document.model_copy(update={k: getattr(whole, k) for k in ("meshes", "accessors", "extensions")})
    return TalkingFile(gltf, blob, document, face_of(document), made)


def write_shapes(path: str | os.PathLike[str], output: str | os.PathLike[str]) -> str:
    """Write a character's file (.glb, .vrm, .gltf) with the 52 shapes made for its head; what can be said of them.

    A VRM gets them as expressions, too (Perfect Sync). All else stays as it was.

    Raises:
        UserError: a head that has half of the shapes, or for which none can be made: no eyes, no opening of a mouth.
    """
    source, target = Path(path), Path(output)
    forms = (".vrm", ".glb") if source.suffix.lower() == ".vrm" else (".glb",)
    if target.suffix.lower() not in forms:
        raise UserError(f"{target}: {source.name} with shapes is written as {' or '.join(forms)}")
    check_output(target)
    opened = open_gltf(source)
    with parsing(source, "a head", ACCEPTED):
        have = [n for n in face_of(opened[2]).used if n in arkit.INDEX]
        if len(have) >= ENOUGH:
            raise UserError(f"{len(have)} of {arkit.COUNT} shapes are there already; accepted a head with fewer")
        talk = make_talk(*opened, always=True)
    atomic_write(target, lambda temporary: temporary.write_bytes(pack_glb(talk.gltf, talk.blob)))
    return talk.line


def write_face(motion: FaceMotion, path: Path, character: str | os.PathLike[str]) -> Path:
    """Write a character's file with a face's movement added: its shapes, and its head's turn where it has that bone.

    Raises:
        UserError: a file that cannot be read, or a head for which no shapes can be made.
    """
    talk = load_talk(character)
    with parsing(talk.path, "a head", ACCEPTED):
        tracks = face_tracks(talk.document, motion)
        bone, local = head_turns(talk.document, turns(motion.head))
        if bone >= 0:
            tracks[bone, "rotation"] = rot.continuous(local) if len(local) > 1 else local
        gltf, blob = add_animation(talk.gltf, talk.blob, tracks, motion.fps, motion.caption or "face")
    return atomic_write(path, lambda temporary: temporary.write_bytes(pack_glb(gltf, blob)))


def add_shapes(gltf: dict[str, Any], blob: bytes, document: Document) -> tuple[dict[str, Any], bytes, str]:
    """JSON and binary chunk of a .glb with the 52 shapes of its head as further morph targets, and what to say.

    Raises:
        UserError: a head for which none can be made.
    """
    about = read_head(document)
    made = make_shapes(about)
    gltf, data = copy.deepcopy(gltf), BufferBuilder()
    moved = {p.mesh for p, m in zip(about.parts, made.moves, strict=True) if m.any()}
    by_place = {(p.mesh, p.primitive): k for k, p in enumerate(about.parts)}
    first = len(gltf.get("accessors", ()))
    for number in sorted(moved):
        mesh, old = gltf["meshes"][number], document.meshes[number]
        before = max((len(p.targets) for p in old.primitives), default=0)
        for place, primitive in enumerate(mesh["primitives"]):
            count = gltf["accessors"][primitive["attributes"]["POSITION"]]["count"]
            moves = normals = np.zeros((arkit.COUNT, count, 3), np.float32)
            if (k := by_place.get((number, place))) is not None:
                moves, normals = _in_mesh(about.parts[k], made.moves[k], made.normals[k])
            rows = [{n: first + a for n, a in row.items()} for row in data.targets(moves, normals)]
            if "NORMAL" not in primitive["attributes"]:
                rows = [{"POSITION": row["POSITION"]} for row in rows]
            primitive["targets"] = [*primitive.get("targets", ()), *rows]
        names = [*old.target_names, *(f"target {k}" for k in range(len(old.target_names), before))]
        mesh["extras"] = dict(mesh.get("extras") or {}) | {"targetNames": [*names, *_free(arkit.NAMES, names)]}
        if mesh.get("weights"):
            mesh["weights"] = [*mesh["weights"], *[0.0] * arkit.COUNT]
        for node in gltf["nodes"]:
            if node.get("mesh") == number and node.get("weights"):
                node["weights"] = [*node["weights"], *[0.0] * arkit.COUNT]
        _lengthen(gltf, data, document, number, before)
        _bind(gltf, number, before)
    gltf, blob = extend_accessors(gltf, blob, data)
    return gltf, blob, made.line


def _free(names: tuple[str, ...], taken: list[str]) -> list[str]:
    """Names for new targets; one that an old target has is spelt in another way, which programs read as the same."""
    return [arkit.pascal(n) if n in taken else n for n in names]


def _in_mesh(part: HeadPart, moves: np.ndarray, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Displacements and changes of normals (52, V, 3) in the space of the mesh."""
    size = np.cbrt(np.abs(np.linalg.det(part.to_mesh)))[:, None, None]
    turn = part.to_mesh / np.maximum(size, 1e-12)
    pair = (np.einsum("vij,kvj->kvi", by, values) for by, values in ((part.to_mesh, moves), (turn, normals)))
    first, second = (values.astype(np.float32) for values in pair)
    return first, second


def _lengthen(gltf: dict[str, Any], data: BufferBuilder, document: Document, mesh: int, before: int) -> None:
    """Give key frames of a mesh's weights, which hold a value for each target, 0 for each new one."""
    nodes = {n for n, node in enumerate(document.nodes) if node.mesh == mesh}
    first, done = len(gltf.get("accessors", ())), dict[int, int]()
    for animation in gltf.get("animations", ()):
        for channel in animation["channels"]:
            target = channel["target"]
            if target.get("node") in nodes and target.get("path") == "weights" and before:
                sampler = animation["samplers"][channel["sampler"]]
                if (old := sampler["output"]) not in done:
                    values = accessor_values(document, old).reshape(-1, before)
                    longer = np.pad(values, ((0, 0), (0, arkit.COUNT)))
                    done[old] = first + data.add(longer.reshape(-1), FLOAT)
                sampler["output"] = done[old]


def _bind(gltf: dict[str, Any], mesh: int, before: int) -> None:
    """Name the new targets of a mesh as expressions of a VRM, which programs with Perfect Sync move."""
    extensions = gltf.get("extensions", {})
    nodes = [n for n, node in enumerate(gltf["nodes"]) if node.get("mesh") == mesh]
    if isinstance(new := extensions.get("VRMC_vrm"), dict):
        custom = new.setdefault("expressions", {}).setdefault("custom", {})
        for k, name in enumerate(arkit.NAMES):
            binds = custom.setdefault(name, {}).setdefault("morphTargetBinds", [])
            binds += [{"node": n, "index": before + k, "weight": 1.0} for n in nodes]
    elif isinstance(old := extensions.get("VRM"), dict):
        groups = old.setdefault("blendShapeMaster", {}).setdefault("blendShapeGroups", [])
        for k, name in enumerate(arkit.NAMES):
            group = next((g for g in groups if g.get("name") == arkit.pascal(name)), None)
            if group is None:
                group = {"name": arkit.pascal(name), "presetName": "unknown", "binds": [], "materialValues": []}
                groups.append(group)
            group["binds"].append({"mesh": mesh, "index": before + k, "weight": 100})
