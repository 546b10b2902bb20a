"""What an avatar's file has (.vrm, .glb, .gltf): expressions and whether they move anything, bones, places, scale."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.export.bones import unity_name
from avatargpt.export.character_face import CharacterFace, face_of
from avatargpt.export.expressions import PRESETS, VRM0, choose_names
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.files import parsing, regular_file
from vqvae.io.gltf import Document, node_transform, read_gltf
from vqvae.io.gltf_rigs import humanoid_bones

SUFFIXES = (".vrm", ".glb", ".gltf")
ACCEPTED = f"accepted an avatar: {', '.join(SUFFIXES)}"
VRM_0, VRM_1, PLAIN = "VRM 0", "VRM 1", "glTF"
REQUIRED = ("hips", "spine", "head", *(f"{side}{bone}" for side in ("left", "right") for bone in (
    "UpperArm", "LowerArm", "Hand", "UpperLeg", "LowerLeg", "Foot")))  # fmt: skip
MIN_HEIGHT, MAX_HEIGHT = 0.3, 3.0  # m of an avatar in metres
MAX_PLACES = 1e6  # m


@dataclass(frozen=True)
class AvatarFile:
    """An avatar's expressions and skeleton.

    Attributes:
        kind: ``VRM 0``, ``VRM 1`` or ``glTF``.
        expressions: names -> the number of shapes, colours and others that each moves. Of a glTF without VRM the morph
            targets.
        bones: names of Unity's ``HumanBodyBones``; empty without VRM.
        places: of each bone, Unity's coordinates, metres from the bone above at rest (of the hips from the ground).
        face: how its face follows ours.
        hips, head: heights of both bones, metres; 0 where there is none.
    """

    path: Path
    kind: str
    expressions: Mapping[str, int]
    bones: tuple[str, ...]
    places: Mapping[str, np.ndarray]
    face: CharacterFace
    hips: float
    head: float

    @property
    def moving(self) -> list[str]:
        """Expressions that move something; where none does, all of them: shapes may be added by the program."""
        moving = [name for name, count in self.expressions.items() if count]
        return moving or list(self.expressions)

    @property
    def presets(self) -> list[str]:
        """VRM's presets that move something, by VRM 1's names."""
        lower = {n.lower() for n in self.moving}
        return [n for n in PRESETS if n.lower() in lower or VRM0[n].lower() in lower]

    @property
    def perfect_sync(self) -> dict[str, str]:
        """ARKit names -> the avatar's spelling of them."""
        return {shape: name for name in self.moving if (shape := arkit.canonical(name)) is not None}

    @property
    def names(self) -> str | None:
        """The value of ``names`` (`expressions.NAMES`) that fits; None where nothing can move the face."""
        chosen = choose_names(self.moving)
        if not chosen:
            return None
        if "jawOpen" not in chosen:
            return "presets"
        pascal = sum(name == arkit.pascal(shape) for shape, name in chosen.items())
        return "pascal" if 2 * pascal > len(chosen) else "camel"

    @property
    def missing(self) -> list[str]:
        """Bones that a VRM needs and that are not there, by VRM's names."""
        have = set(self.bones)
        return [b for b in REQUIRED if arkit.pascal(b) not in have] if self.bones else []


def read_avatar(path: str | os.PathLike[str]) -> AvatarFile:
    """What a file has. Raises UserError for a file that cannot be read."""
    source = regular_file(Path(path))
    if source.suffix.lower() not in SUFFIXES:
        raise UserError(f"{source}: '{source.suffix or source.name}'; {ACCEPTED}")
    gltf = read_gltf(source, ACCEPTED, "a whole avatar")
    with parsing(source, "an avatar", ACCEPTED):
        new, old = gltf.extensions.get("VRMC_vrm"), gltf.extensions.get("VRM")
        if isinstance(new, dict):
            return _avatar(source, gltf, VRM_1, _expressions(new), humanoid_bones(new))
        if isinstance(old, dict):
            return _avatar(source, gltf, VRM_0, _groups(old), humanoid_bones(old))
        targets = [n for mesh in gltf.meshes for n in mesh.target_names]
        return _avatar(source, gltf, PLAIN, dict.fromkeys(targets, 1), {})


def _expressions(extension: dict[str, Any]) -> dict[str, int]:
    """Of VRM 1: names -> how many things each moves."""
    kinds = extension.get("expressions") or {}
    tables = [kinds.get("preset") or {}, kinds.get("custom") or {}]
    binds = ("morphTargetBinds", "materialColorBinds", "textureTransformBinds")
    return {name: sum(len(e.get(b) or ()) for b in binds) for table in tables for name, e in table.items()}


def _groups(extension: dict[str, Any]) -> dict[str, int]:
    """Of VRM 0: names -> how many things each moves; a preset under its usual name, whatever it is called here."""
    out = {}
    usual = {"a": "A", "i": "I", "u": "U", "e": "E", "o": "O", "blink": "Blink", "blink_l": "Blink_L",
             "blink_r": "Blink_R", "joy": "Joy", "angry": "Angry", "sorrow": "Sorrow", "fun": "Fun"}  # fmt: skip
    for group in (extension.get("blendShapeMaster") or {}).get("blendShapeGroups") or ():
        name = usual.get(str(group.get("presetName", "")).lower(), str(group.get("name", "")))
        out[name] = len(group.get("binds") or ()) + len(group.get("materialValues") or ())
    return out


def _avatar(
    path: Path, gltf: Document, kind: str, expressions: Mapping[str, int], bones: Mapping[str, int]
) -> AvatarFile:
    parents = gltf.parents
    world = {bone: _place(gltf, gltf.path_to(node, parents)) for bone, node in bones.items()}
    nodes = {node: bone for bone, node in bones.items()}
    if any(not np.isfinite(p).all() or np.abs(p).max() > MAX_PLACES for p in world.values()):
        raise ValueError("bones at places that are not finite")
    # VRM 0 looks along -Z; Unity shows it from the other side than VRM 1, always along its +Z
    mirror = np.array([-1.0, 1, 1]) if kind == VRM_1 else np.array([1.0, 1, -1])
    places = {}
    for bone, node in bones.items():
        above = [nodes[n] for n in gltf.path_to(node, parents)[:-1] if n in nodes]
        offset = world[bone] - (world[above[-1]] if above else 0)
        # the bones of VRM 0 are Unity's
        places[unity_name(bone) if kind == VRM_1 else arkit.pascal(bone)] = offset * mirror
    height = {bone: float(world[bone][1]) if bone in world else 0.0 for bone in ("hips", "head")}
    return AvatarFile(path, kind, expressions, tuple(places), places, face_of(gltf), height["hips"], height["head"])


def _place(gltf: Document, path: Sequence[int]) -> np.ndarray:
    """(3,) of the last of these nodes in the world, from the topmost one down."""
    place, turn, scale = np.zeros(3), rot.identity(()), np.ones(3)
    for node in path:
        local = node_transform(gltf.nodes[node])
        place = place + rot.rotate(turn, scale * local["translation"].astype(np.float64))
        turn = rot.multiply(turn, local["rotation"].astype(np.float64))
        scale = scale * local["scale"].astype(np.float64)
    return np.asarray(place, np.float64)
