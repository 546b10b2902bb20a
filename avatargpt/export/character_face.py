"""How the face of a character's file follows ours: by ARKit's shapes, Oculus' visemes or VRM's presets, what it has.

Rules, no network. Every morph target is a sum of what it follows (`face_names.SOURCES`), so that one table of numbers
turns our weights into the file's. A mouth is moved by one kind alone: two would open it twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from avatargpt.export.expressions import BLINKS, MOODS, PRESETS, PresetMixer
from avatargpt.export.expressions import VISEMES as VOWELS
from avatargpt.export.face_names import SOURCES, VISEMES, is_own_name, read_name
from avatargpt.export.viseme_files import poses, visemes_of
from vqvae import arkit
from vqvae.face import FaceMotion
from vqvae.io.gltf import Document

_INDEX = {name: k for k, name in enumerate(SOURCES)}
_MOUTH = tuple(n for n in arkit.NAMES if n.startswith(("jaw", "mouth")))
MANY = 12  # shapes of jaw and mouth from which on these speak, whatever else there is
# what visemes pose; a smile and a frown are moods beside them
_SPOKEN = tuple(arkit.NAMES[k] for k in np.flatnonzero(poses().any(0)) if "Smile" not in arkit.NAMES[k])
# what each preset reads of our shapes (`expressions`)
_OF_VOWELS = ("jawOpen", "mouthClose", "mouthFunnel", "mouthPucker", *arkit.expand("mouthStretch"))
_OF_MOODS = {"happy": ("mouthSmile", "cheekSquint"), "angry": ("browDown", "noseSneer"),
             "sad": ("browInnerUp", "mouthFrown"), "surprised": ("browOuterUp", "eyeWide")}  # fmt: skip
_SHUT = ("eyeBlinkLeft", "eyeBlinkRight")


@dataclass(frozen=True)
class CharacterFace:
    """What of a character's face moves, and how.

    Attributes:
        tables: of each node with a face, (`SOURCES`, its morph targets): how much of each our weights put in.
        used: names of `SOURCES` that move something.
    """

    tables: Mapping[int, np.ndarray]
    used: tuple[str, ...]

    @property
    def mouth(self) -> str:
        """What moves the mouth: ``shapes``, ``visemes``, ``presets``, or empty for nothing."""
        have = set(self.used)
        kinds = {"visemes": VISEMES, "presets": VOWELS, "shapes": _MOUTH}
        return next((kind for kind, names in kinds.items() if have & set(names) - {"viseme_sil"} and
                     (kind != "shapes" or "jawOpen" in have)), "")  # fmt: skip

    @property
    def speaks(self) -> bool:
        """Whether visemes, presets or enough shapes of jaw and mouth move the mouth."""
        return self.mouth in ("visemes", "presets") or len(set(self.used) & set(_MOUTH)) >= MANY

    @property
    def line(self) -> str:
        """What is moved and what is not, in one line."""
        shapes = [n for n in arkit.NAMES if n in self.used]
        if not self.used:
            return "no shapes of a face by ARKit's, Oculus', VRM's or another known maker's names"
        parts = [f"{len(shapes)} of {arkit.COUNT} shapes"] * bool(shapes)
        visemes = [n for n in VISEMES if n in self.used]
        parts += [f"{len(visemes)} of {len(VISEMES)} visemes of Oculus"] * bool(visemes)
        presets = [n for n in PRESETS if n in self.used]
        parts += [f"presets {', '.join(presets)}"] * bool(presets)
        shown = set(shapes) | set({"visemes": _SPOKEN, "presets": _OF_VOWELS}.get(self.mouth, ()))
        shown |= {n for mood in presets for name in _OF_MOODS.get(mood, ()) for n in arkit.expand(name)}
        shown |= set(_SHUT) if "blink" in presets or "blinkLeft" in presets else set()
        missing = _by_pairs([n for n in arkit.NAMES if n not in shown])
        return ", ".join(parts) + (f"; not shown: {', '.join(missing)}" if missing else "")

    def weights(self, face: FaceMotion) -> dict[int, np.ndarray]:
        """Node -> (T, its morph targets) of a clip of T frames, within 0 to 1; 0 where nothing of ours moves one."""
        presets = PresetMixer(face.fps)(face.weights) if set(PRESETS) & set(self.used) else {}
        spoken = visemes_of(face.weights) if set(VISEMES) & set(self.used) else np.zeros((len(face), len(VISEMES)))
        mixed = np.stack([presets[n] if presets else np.zeros(len(face)) for n in PRESETS], 1)
        values = np.concatenate([face.weights, spoken, mixed], 1)
        return {node: np.clip(values @ table, 0, 1) for node, table in self.tables.items()}


def _by_pairs(names: list[str]) -> list[str]:
    """Names without their sides where both are there."""
    whole = [n for n in arkit.SIDED if f"{n}Left" in names and f"{n}Right" in names]
    return [*whole, *(n for n in names if n.removesuffix("Left").removesuffix("Right") not in whole)]


def face_of(gltf: Document) -> CharacterFace:
    """The face of a file; without any shape of a known name its tables are empty."""
    binds = [*_targets(gltf), *(b for b in _expressions(gltf) if not _is_still(gltf, b[1], b[2]))]
    have = {name for names, *_ in binds for name in names}
    used = _choose(have)
    tables: dict[int, np.ndarray] = {}
    for names, node, target, weight in binds:
        if target >= _count(gltf, node) or not used & set(names):
            continue
        table = tables.setdefault(node, np.zeros((len(SOURCES), _count(gltf, node)), np.float32))
        for name in names:
            table[_INDEX[name], target] = max(table[_INDEX[name], target], weight / len(names))
    moved = {SOURCES[k] for table in tables.values() for k in np.flatnonzero(table.any(1))} & used
    for table in tables.values():
        table[[_INDEX[n] for n in SOURCES if n not in used]] = 0
    return CharacterFace(tables, tuple(n for n in SOURCES if n in moved))


def _choose(have: set[str]) -> set[str]:
    """The sources that are used of those a file has, one kind for the mouth, one for the lids."""
    shapes, visemes = have & set(arkit.NAMES), have & set(VISEMES) - {"viseme_sil"}
    vowels, moods = have & set(VOWELS), have & set(MOODS)
    blinks = have & set(BLINKS) if not shapes & set(_SHUT) else set()
    if "jawOpen" in shapes and (len(shapes & set(_MOUTH)) >= MANY or not (visemes or vowels)):
        return shapes | blinks
    if visemes:
        return (shapes - set(_SPOKEN)) | visemes | {"viseme_sil"} & have | blinks
    if vowels:
        return (shapes - set(_MOUTH)) | vowels | moods | blinks
    return shapes | moods | blinks


def _count(gltf: Document, node: int) -> int:
    mesh = gltf.meshes[gltf.nodes[node].mesh or 0]
    return max([len(mesh.target_names), *(len(p.targets) for p in mesh.primitives)])


def _is_still(gltf: Document, node: int, target: int) -> bool:
    """Whether a morph target moves no point: converters write empty ones for shapes that a head lacks."""
    targets = [p.targets[target] for p in gltf.meshes[gltf.nodes[node].mesh or 0].primitives if target < len(p.targets)]
    shifts = [gltf.accessors[t["POSITION"]] for t in targets if "POSITION" in t]
    return bool(shifts) and not any(not s.min or any(s.min) or any(s.max) for s in shifts)


def _targets(gltf: Document) -> Iterable[tuple[tuple[str, ...], int, int, float]]:
    """Sources, node, target and weight of every morph target with a known name.

    Of targets that would move one thing twice the last of the name itself counts, else those of fewest sides: not
    ``mouthOpen`` beside ``jawOpen``, nor ``BLINK`` beside ``BLINK_L`` and ``BLINK_R``.
    """
    for number, node in enumerate(gltf.nodes):
        own = [] if node.mesh is None else gltf.meshes[node.mesh].target_names
        found = [(() if _is_still(gltf, number, k) and "_sil" not in n else read_name(n), n) for k, n in enumerate(own)]
        ranks = [(-k if is_own_name(name, names) else 1, len(names)) for k, (names, name) in enumerate(found)]
        best = {n: min(r for r, (names, _) in zip(ranks, found, strict=True) if n in names)
                for names, _ in found for n in names}  # fmt: skip
        for place, (rank, (names, _)) in enumerate(zip(ranks, found, strict=True)):
            if kept := tuple(n for n in names if rank == best[n]):
                yield kept, number, place, len(kept) / len(names)


def _expressions(gltf: Document) -> Iterable[tuple[tuple[str, ...], int, int, float]]:
    """The same of a VRM's expressions, of either version."""
    for name, bind in vrm_binds(gltf.extensions):
        if names := read_name(name, preset=True):
            weight, target = float(bind.get("weight", 1)), int(bind["index"])
            if "mesh" in bind:  # VRM 0 counts in percent, and names the mesh
                found = [n for n, node in enumerate(gltf.nodes) if node.mesh == bind["mesh"]]
                yield from ((names, n, target, weight / 100) for n in found)
            elif 0 <= int(bind.get("node", -1)) < len(gltf.nodes) and gltf.nodes[bind["node"]].mesh is not None:
                yield names, int(bind["node"]), target, weight


def vrm_binds(extensions: Mapping[str, Any]) -> Iterable[tuple[str, dict[str, Any]]]:
    """Each expression's name with each of its morph targets, as the file states them."""
    kinds = (extensions.get("VRMC_vrm") or {}).get("expressions") or {}
    for table in (kinds.get("preset") or {}, kinds.get("custom") or {}):
        for name, expression in table.items():
            yield from ((name, bind) for bind in expression.get("morphTargetBinds") or ())
    for group in ((extensions.get("VRM") or {}).get("blendShapeMaster") or {}).get("blendShapeGroups") or ():
        preset = str(group.get("presetName") or "unknown").lower()
        name = str(group.get("name", "")) if preset == "unknown" else preset
        yield from ((name, bind) for bind in group.get("binds") or ())
