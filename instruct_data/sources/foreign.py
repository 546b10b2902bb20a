"""Readers for animations of foreign rigs with fingers: .glb files of several animations, and Unity's .anim files."""

from __future__ import annotations

import lzma
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from instruct_data.clip import Clip
from instruct_data.sources.report import Report
from instruct_data.sources.talk import Corpus, found, opened, ready, take
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.data_files import parse_yaml
from vqvae.io.files import parsing, read_bytes
from vqvae.io.gltf_rigs import read_rigs, turned_at
from vqvae.motion import Motion
from vqvae.retarget import retarget
from vqvae.rig import Rig, rig_of, world

MESH2MOTION = Corpus("mesh2motion", "CC0 1.0", "*.glb with a skin and animations")
ROCKETBOX = Corpus("rocketbox", "MIT", "*.anim or *.anim.xz, Unity's text form, of a Biped with all its positions")
MOST_ANIM = 1 << 26  # bytes of an .anim
STILL, SETTLED = 1e-4, 0.4  # of a quaternion's numbers; seconds that a clip takes out of its rest pose
_UNUSED = ("inSlope", "outSlope", "tangentMode", "weightedMode", "inWeight", "outWeight", "m_PreInf", "m_PostInf")
_CURVES = ("m_RotationCurves", "m_PositionCurves")


@dataclass(frozen=True)
class _Rigged:
    rig: Callable[[], Rig]

    def __call__(self) -> Motion:
        return ready(retarget(self.rig(), hands=True))


def read_glb_folder(
    folder: str | os.PathLike[str], split: str = "train", report: Report | None = None
) -> Iterator[Clip]:
    """Every animation of every ``*.glb`` of a folder; `action` is its name in lower case with underscores.

    Raises:
        UserError: no such tree, a file that is none or of no person, where there is no report.
    """
    folder = opened(folder, MESH2MOTION, split)
    for path in found(folder, "*.glb", MESH2MOTION):
        for rig in read_rigs(path):
            action = "_".join(rig.name.lower().split())
            load = _Rigged(rig)
            yield from take(f"{path.stem}/{rig.name}", load, MESH2MOTION, split, {}, {}, report, action=action)


def read_anim_folder(
    folder: str | os.PathLike[str], split: str = "train", report: Report | None = None
) -> Iterator[Clip]:
    """Every ``*.anim`` and ``*.anim.xz`` of a folder.

    Raises:
        UserError: no such tree, a file that is none or of no person, where there is no report.
    """
    folder = opened(folder, ROCKETBOX, split)
    for path in found(folder, "*.anim*", ROCKETBOX):
        yield from take(path.name.split(".")[0], _Anim(path), ROCKETBOX, split, {}, {}, report)


@dataclass(frozen=True)
class _Anim:
    path: Path

    def __call__(self) -> Motion:
        return _Rigged(lambda: read_anim(self.path))()


def read_anim(path: Path) -> Rig:
    """A Unity animation clip in text form as a rig; Unity's axes are left-handed, X is turned round.

    Such a file does not say how its rig is bound. A clip that stands still at first does so in its rest pose, which is
    left out with the way from there; of others the axes of the joints count, as they lie where no joint is turned.

    Raises:
        UserError: not such a file, joints without positions, no frames.
    """
    raw = read_bytes(path, MOST_ANIM)
    with parsing(path, "a Unity animation in text form", f"accepted {ROCKETBOX.tree}"):
        text = (lzma.decompress(raw) if path.suffix == ".xz" else raw).decode()
        clip = parse_yaml(_needed(text), path)
        fps, curves = float(clip["m_SampleRate"]), [{str(c["path"] or ""): c["curve"]["m_Curve"] for c in clip[kind]}
                                                    for kind in _CURVES]  # fmt: skip
        turned, moved = curves
        # a rig is one tree: objects of the scene beside the topmost joint are left out
        top = next(p for p in sorted(turned, key=len) if p and sum(q.startswith(f"{p}/") for q in turned) > 20)
        paths = [p for p in sorted(turned, key=lambda p: p.count("/")) if p == top or p.startswith(f"{top}/")]
        if lost := [p for p in paths if p not in moved]:
            raise UserError(f"{lost[0]} has no position")
        last = max(float(k["time"]) for p in paths for k in (turned[p][-1], moved[p][-1]))
        times = np.arange(round(last * fps) + 1) / fps
        rotations = np.stack([_turns(turned[p], times) for p in paths], 1)
        places = np.stack([_places(moved[p], times) for p in paths], 1)
        index = {p: k for k, p in enumerate(paths)}
        parents = tuple(index.get(p.rpartition("/")[0], -1) for p in paths)
        names = tuple(p.rpartition("/")[2] for p in paths)
        return _from_rest(Rig(names, parents, np.median(places, 0), rotations, places, fps))


def _from_rest(rig: Rig) -> Rig:
    """The rig with the pose that it holds at first as its rest pose, from `SETTLED` seconds after it moves on."""
    stirs = np.abs(rig.rotations - rig.rotations[0]).max((1, 2)) > STILL
    first = int(stirs.argmax()) if stirs.any() else len(stirs)
    if first < 2:
        return rig
    begin = min(first + round(SETTLED * rig.fps), len(stirs) - 1)
    places, matrices = world(rig)
    turns = rot.from_matrix(matrices)
    return rig_of(rig.names, rig.parents, (turns[0], places[0]), turns[begin:], places[begin:], rig.fps)


def _needed(text: str) -> str:
    """The lines of the clip's curves and rate, without slopes and weights of the keys, which take most of a file."""
    kept, wanted, open_brace = [], False, False
    for line in text.splitlines():
        if open_brace:  # an unused value goes on
            open_brace = "}" not in line
            continue
        if line.startswith("  ") and line[2:3] not in ("-", " "):
            wanted = line.split(":")[0].strip() in (*_CURVES, "m_SampleRate")
        if line.lstrip(" -").startswith(_UNUSED):
            open_brace = "{" in line and "}" not in line
        elif wanted and line.startswith("  "):
            kept.append(line[2:])
    return "\n".join(kept)


def _keys(curve: list[dict[str, Any]], axes: str) -> tuple[np.ndarray, np.ndarray]:
    values = [[float(key["value"][a]) for a in axes] for key in curve]
    return np.array([float(key["time"]) for key in curve]), np.array(values)


def _turns(curve: list[dict[str, Any]], times: np.ndarray) -> np.ndarray:
    keys, values = _keys(curve, "wxyz")
    return turned_at(times, keys, rot.normalize(values) * [1, 1, -1, -1])


def _places(curve: list[dict[str, Any]], times: np.ndarray) -> np.ndarray:
    keys, values = _keys(curve, "xyz")
    return np.stack([np.interp(times, keys, v) for v in (values * [-1, 1, 1]).T], 1)
