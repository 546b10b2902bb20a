"""Acclaim's ASF skeletons and AMC motions, as mocap.cs.cmu.edu publishes them, as rigs.

An ASF bone begins where its parent ends and ends ``length`` along ``direction``, both in the world at rest. Its angles
turn about the axes that ``axis`` names: with C = Rz Ry Rx of those angles (the first letter is turned about first) and
M the same of a frame's values of ``dof``, the bone turns by C M C^-1 against its parent. The root's values are in the
order of its ``order``, on top of ``position`` and ``orientation``. An AMC has a line for every bone with a ``dof``, and
no frame rate. Source: J. Lander, "Working with Motion Capture File Formats", Game Developer 1998, and
research.cs.wisc.edu/graphics/Courses/cs-838-1999/Jeff/ASF-AMC.html.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.data_files import plain_number
from vqvae.io.files import parsing, read_text
from vqvae.motion import MAX_FRAMES, Motion, check_fps
from vqvae.rest import GivesMeans
from vqvae.retarget import retarget
from vqvae.rig import Rig, state_rig

MAX_BYTES = 1 << 28
MAX_BONES = 1000
ACCEPTED = "accepted an .asf with :root, :bonedata and :hierarchy"
ACCEPTED_AMC = "accepted an .amc of that skeleton: the number of each frame, then lines of a bone and its values"
ROOT = "root"
FPS = 120.0  # of CMU's recordings, a few of which have 60
_ROTATIONS = {"rx": 0, "ry": 1, "rz": 2}
_PLACES = {"tx": 0, "ty": 1, "tz": 2}


@dataclass
class Bone:
    """One bone: `vector` (3,) from begin to end at rest in the file's unit, and the axes it turns about.

    `axis` (3,): their angles, radians, applied in the `order` of letters from left to right; `dof`: names of its values
    in a frame, lower case.
    """

    name: str
    vector: np.ndarray = field(default_factory=lambda: np.zeros(3))
    axis: np.ndarray = field(default_factory=lambda: np.zeros(3))
    order: str = "xyz"
    dof: tuple[str, ...] = ()


@dataclass(frozen=True)
class AsfSkeleton:
    """Bones with the root first, parents before children, and the parent of each (-1 for the root).

    `origin` (3,) is the root's position where its values are 0, `unit` the radians of one angle of the files.
    """

    bones: tuple[Bone, ...]
    parents: tuple[int, ...]
    origin: np.ndarray
    unit: float


def read_asf(path: str | os.PathLike[str]) -> AsfSkeleton:
    """Read a skeleton."""
    path = Path(path)
    text = read_text(path, MAX_BYTES, ACCEPTED, latin=True)
    with parsing(path, "an ASF skeleton", ACCEPTED):
        return parse_asf(text)


def parse_asf(text: str) -> AsfSkeleton:
    """The skeleton of an ASF's text; `UserError`: a missing section, a bone without a parent, invalid numbers."""
    sections = _sections(text)
    for name in ("root", "bonedata", "hierarchy"):
        if name not in sections:
            raise UserError(f"no :{name} section; {ACCEPTED}")
    angle = next((words[1] for words in sections.get("units", []) if words[:1] == ["angle"]), "deg")
    unit = np.pi / 180 if angle.startswith("deg") else 1.0
    root, origin = _root(sections["root"], unit)
    bones = {b.name: b for b in _bones(sections["bonedata"], unit)}
    if len(bones) > MAX_BONES:
        raise UserError(f"{len(bones)} bones; accepted at most {MAX_BONES}")
    above: dict[str, str] = {}
    for words in sections["hierarchy"]:
        for child in words[1:] if words[0] not in ("begin", "end") else ():
            if child not in bones or words[0] not in (*bones, ROOT):
                raise UserError(f":hierarchy names {child if child not in bones else words[0]}, which is no bone")
            above[child] = words[0]
    order, parents = [root], [-1]
    # parents before children, in whatever order the file lists them
    waiting = dict.fromkeys(above)
    while waiting:
        placed = {b.name: k for k, b in enumerate(order)}
        ready = [name for name in waiting if above[name] in placed]
        if not ready:
            raise UserError(f":hierarchy does not lead from root to {next(iter(waiting))}")
        for name in ready:
            order.append(bones[name])
            parents.append(placed[above[name]])
            del waiting[name]
    return AsfSkeleton(tuple(order), tuple(parents), origin, unit)


def _sections(text: str) -> dict[str, list[list[str]]]:
    """Words of the lines below every ``:name``, without comments."""
    sections: dict[str, list[list[str]]] = {}
    lines: list[list[str]] = []
    for line in text.splitlines():
        words = line.split("#")[0].split()
        if not words:
            continue
        if words[0].startswith(":"):
            lines = sections.setdefault(words[0][1:].lower(), [])
        else:
            lines.append(words)
    return sections


def _numbers(words: list[str], count: int, what: str) -> np.ndarray:
    try:
        values = np.array([plain_number(w) for w in words[:count]])
    except ValueError:
        values = np.zeros(0)
    if len(values) != count or not np.isfinite(values).all():
        raise UserError(f"{what}: {' '.join(words)[:60]!r}; accepted {count} finite number{'s' * (count > 1)}")
    return values


def _root(lines: list[list[str]], unit: float) -> tuple[Bone, np.ndarray]:
    bone, origin = Bone(ROOT), np.zeros(3)
    for words in lines:
        if words[0] == "order":
            bone.dof = _dof(words[1:], ROOT)
        elif words[0] == "axis" and len(words) > 1:
            bone.order = _order(words[1], ROOT)
        elif words[0] == "position":
            origin = _numbers(words[1:], 3, "root: position")
        elif words[0] == "orientation":
            bone.axis = _numbers(words[1:], 3, "root: orientation") * unit
    if not bone.dof:
        raise UserError(f"root has no order; {ACCEPTED}")
    return bone, origin


def _bones(lines: list[list[str]], unit: float) -> Iterator[Bone]:
    bone, direction, length = Bone(""), np.zeros(3), 0.0
    for words in lines:
        key, values = words[0], words[1:]
        if key == "begin":
            bone, direction, length = Bone(""), np.zeros(3), 0.0
        elif key == "name" and values:
            bone.name = values[0]
        elif key == "direction":
            direction = _numbers(values, 3, f"bone {bone.name}: direction")
        elif key == "length":
            length = float(_numbers(values, 1, f"bone {bone.name}: length")[0])
        elif key == "axis":
            bone.axis = _numbers(values, 3, f"bone {bone.name}: axis") * unit
            bone.order = _order(values[3] if len(values) > 3 else "xyz", bone.name)
        elif key == "dof":
            bone.dof = _dof(values, bone.name)
        elif key == "end":
            if not bone.name:
                raise UserError("a bone without a name in :bonedata")
            bone.vector = direction * length
            yield bone


def _order(word: str, bone: str) -> str:
    if sorted(word.lower()) != ["x", "y", "z"]:
        raise UserError(f"bone {bone}: axis order {word!r}; accepted XYZ in any order")
    return word.lower()


def _dof(words: list[str], bone: str) -> tuple[str, ...]:
    dof = tuple(w.lower() for w in words)
    if unknown := [d for d in dof if d not in (*_ROTATIONS, *_PLACES, "l")]:
        raise UserError(f"bone {bone}: dof {unknown[0]!r}; accepted TX TY TZ RX RY RZ l")
    return dof


def read_acclaim(
    path: str | os.PathLike[str], fps: float = FPS, up: str | None = None, unit: float | None = None,
    joints: Mapping[str, str] | None = None, means: GivesMeans | None = None,
) -> Motion:  # fmt: skip
    """Read an .amc with the .asf beside it as a Motion.

    Args:
        fps: frames a second, which an .amc does not say.
        up, unit, joints, means: see `vqvae.io.bvh.read_bvh`.

    Raises:
        UserError: names the file and what is wrong; no .asf beside it, or several that may be meant.
    """
    rig = read_acclaim_rig(path, fps, up, unit, joints)
    with parsing(path, "a humanoid's motion", ACCEPTED_AMC):
        return retarget(rig, means=means)


def read_acclaim_rig(
    path: str | os.PathLike[str], fps: float = FPS, up: str | None = None, unit: float | None = None,
    joints: Mapping[str, str] | None = None,
) -> Rig:  # fmt: skip
    """The rig of an .amc with the .asf beside it; see `read_acclaim`."""
    rig = read_amc(path, read_asf(skeleton_beside(Path(path))), fps)
    with parsing(path, "an AMC motion", ACCEPTED_AMC):
        return state_rig(rig, up, unit, joints)


def skeleton_beside(path: Path) -> Path:
    """The .asf of an .amc: of the longest name that its own begins with up to a ``_``, else the folder's only one."""
    files = sorted(p for p in path.parent.iterdir() if p.suffix.lower() == ".asf")
    if named := [p for p in files if f"{path.stem}_".startswith(f"{p.stem}_")]:
        return max(named, key=lambda p: len(p.stem))
    if len(files) == 1:
        return files[0]
    beside = f"{len(files)} others are there" if files else "none is there"
    raise UserError(f"{path}: no skeleton of its name beside it ({beside}); accepted {path.stem}.asf in its folder")


def read_amc(path: str | os.PathLike[str], skeleton: AsfSkeleton, fps: float) -> Rig:
    """Read a motion of a skeleton at the recording's `fps`; CMU's have 120 frames a second, a few 60."""
    path = Path(path)
    text = read_text(path, MAX_BYTES, ACCEPTED_AMC, latin=True)
    with parsing(path, "an AMC motion", ACCEPTED_AMC):
        return parse_amc(text, skeleton, fps)


def parse_amc(text: str, skeleton: AsfSkeleton, fps: float) -> Rig:
    """The rig of an AMC's text; joints are where bones begin and have their names (``lfemur``: ``left_femur``).

    `UserError` names the line with a bone that the skeleton lacks, or another number of values.
    """
    check_fps(fps, "amc")
    widths = {b.name: len(b.dof) for b in skeleton.bones}
    frames: list[dict[str, np.ndarray]] = []
    unit = skeleton.unit
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#")[0].split()
        if not words:
            continue
        if words[0].startswith(":"):
            unit = {":DEGREES": np.pi / 180, ":RADIANS": 1.0}.get(words[0].upper(), unit)
        # a number alone begins a frame
        elif len(words) == 1 and words[0].isdecimal():
            frames.append({})
        elif not frames or words[0] not in widths:
            raise UserError(f"line {number}: {words[0][:40]!r} is no bone of the skeleton; {ACCEPTED_AMC}")
        else:
            frames[-1][words[0]] = _numbers(words[1:], widths[words[0]], f"line {number}: {words[0]}")
    if not 2 <= len(frames) <= MAX_FRAMES:
        raise UserError(f"{len(frames)} frames; accepted 2 to {MAX_FRAMES}")
    count = len(skeleton.bones)
    rotations, offsets = rot.identity((len(frames), count)), np.zeros((count, 3))
    # a joint is where its bone begins: at the end of its parent's bone
    for j, bone in enumerate(skeleton.bones):
        if j and (parent := skeleton.parents[j]) >= 0:
            offsets[j] = skeleton.bones[parent].vector
        if bone.dof:
            missing = next((k for k, f in enumerate(frames) if bone.name not in f), None)
            if missing is not None:
                raise UserError(f"frame {missing + 1}: no values of {bone.name}; {ACCEPTED_AMC}")
            rotations[:, j] = _turns(bone, np.stack([f[bone.name] for f in frames]), unit)
    translations = np.repeat(offsets[None], len(frames), 0)
    root, values = skeleton.bones[0], np.stack([f[ROOT] for f in frames])
    translations[:, 0] = skeleton.origin
    # translations of the root are added to its place at rest
    for k, name in enumerate(root.dof):
        if name in _PLACES:
            translations[:, 0, _PLACES[name]] += values[:, k]
    # ``lfemur`` beside ``rfemur`` -> ``left_femur``, for names that exist with both l and r in front
    names = [b.name for b in skeleton.bones]
    both, sides = {n[1:] for n in names if f"l{n[1:]}" in names and f"r{n[1:]}" in names}, {"l": "left_", "r": "right_"}
    names = [sides[n[0]] + n[1:] if n[:1] in sides and n[1:] in both else n for n in names]
    return Rig(tuple(names), skeleton.parents, offsets, rotations, translations, fps, up=np.array([0.0, 1, 0]))


def _turns(bone: Bone, values: np.ndarray, unit: float) -> np.ndarray:
    """(T, k) values of a bone -> (T, 4) turns against its parent: C M C^-1."""
    # the first letter is turned about first
    order = ["xyz".index(letter) for letter in reversed(bone.order)]
    frame = rot.from_euler(bone.axis[None, order], order)
    turned = [k for k, name in enumerate(bone.dof) if name in _ROTATIONS][::-1]
    moved = rot.from_euler(values[:, turned] * unit, [_ROTATIONS[bone.dof[k]] for k in turned])
    return rot.multiply(rot.multiply(frame, moved), rot.conjugate(frame))
