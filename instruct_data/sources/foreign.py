"""Readers for animations of foreign rigs with fingers: .glb files of several animations, and Unity's .anim files."""

from __future__ import annotations

import lzma
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from instruct_data.clip import Clip
from instruct_data.sources.corpus import Corpus, Report, find_files
from instruct_data.sources.loading import loaded, normalised, reason
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.data_files import parse_yaml
from vqvae.io.files import parsing, read_bytes
from vqvae.io.gltf_rigs import interpolate_rotations, read_rigs
from vqvae.motion import Motion
from vqvae.retarget import retarget
from vqvae.rig import Rig, rig_of, world

MAX_ANIM_BYTES = 1 << 26
STILL = 1e-4  # change of a quaternion's numbers below which a joint is at rest
LEAVING_SECONDS = 0.4  # that a clip takes out of its rest pose
_UNUSED = ("inSlope", "outSlope", "tangentMode", "weightedMode", "inWeight", "outWeight", "m_PreInf", "m_PostInf")
_CURVES = ("m_RotationCurves", "m_PositionCurves")


@dataclass(frozen=True)
class _Retargeted:
    rig: Callable[[], Rig]

    def __call__(self) -> Motion:
        return normalised(retarget(self.rig(), hands=True))


def read_glb_folder(root: Path, corpus: Corpus, report: Report, split: str = "train") -> Iterator[Clip]:
    """Every animation of every ``*.glb`` of a folder; `action` is its name in lower case with underscores."""
    for path in find_files(root, "*.glb"):
        try:
            rigs = read_rigs(path)
        except UserError as e:
            report.skip(path.stem, reason(e))
            continue
        for rig in rigs:
            action = "_".join(rig.name.lower().split())
            clip = Clip(f"{path.stem}/{rig.name}", _Retargeted(rig), [], "mesh2motion", corpus.licence, split, action)
            yield from loaded(clip, report)


def read_anim_folder(root: Path, corpus: Corpus, report: Report, split: str = "train") -> Iterator[Clip]:
    """Every ``*.anim`` and ``*.anim.xz`` of a folder."""
    for path in find_files(root, "*.anim*"):
        load = _Retargeted(partial(read_anim, path))
        yield from loaded(Clip(path.name.split(".")[0], load, [], "rocketbox", corpus.licence, split), report)


def read_anim(path: Path) -> Rig:
    """A Unity animation clip in text form as a rig; Unity's axes are left-handed, X is turned round.

    Such a file does not say how its rig is bound. A clip that begins still does so in its rest pose, which is cut off
    with the movement out of it; in other clips the rest pose is that of unrotated joints.
    """
    raw = read_bytes(path, MAX_ANIM_BYTES)
    accepted = "accepted *.anim or *.anim.xz of a Biped with all its positions"
    with parsing(path, "a Unity animation in text form", accepted):
        text = (lzma.decompress(raw) if path.suffix == ".xz" else raw).decode()
        clip = parse_yaml(_curve_lines(text), path)
        fps = float(clip["m_SampleRate"])
        turns, places = ({str(c["path"] or ""): c["curve"]["m_Curve"] for c in clip[kind]} for kind in _CURVES)
        # a rig is one tree: objects of the scene beside the topmost joint are left out
        top = next(p for p in sorted(turns, key=len) if p and sum(q.startswith(f"{p}/") for q in turns) > 20)
        paths = [p for p in sorted(turns, key=lambda p: p.count("/")) if p == top or p.startswith(f"{top}/")]
        if lost := [p for p in paths if p not in places]:
            raise UserError(f"{lost[0]} has no position")
        last = max(float(k["time"]) for p in paths for k in (turns[p][-1], places[p][-1]))
        times = np.arange(round(last * fps) + 1) / fps
        rotations = np.stack([_rotations_at(turns[p], times) for p in paths], 1)
        positions = np.stack([_positions_at(places[p], times) for p in paths], 1)
        index = {p: k for k, p in enumerate(paths)}
        parents = tuple(index.get(p.rpartition("/")[0], -1) for p in paths)
        names = tuple(p.rpartition("/")[2] for p in paths)
        return _from_rest(Rig(names, parents, np.median(positions, 0), rotations, positions, fps))


def _from_rest(rig: Rig) -> Rig:
    """The rig with its initial pose as rest pose, from `LEAVING_SECONDS` after it first moves."""
    moves = np.abs(rig.rotations - rig.rotations[0]).max((1, 2)) > STILL
    first = int(moves.argmax()) if moves.any() else len(moves)
    if first < 2:
        return rig
    begin = min(first + round(LEAVING_SECONDS * rig.fps), len(moves) - 1)
    places, matrices = world(rig)
    turns = rot.from_matrix(matrices)
    return rig_of(rig.names, rig.parents, (turns[0], places[0]), turns[begin:], places[begin:], rig.fps)


def _curve_lines(text: str) -> str:
    """The lines of the clip's curves and rate, without slopes and weights of the keys, which take most of a file."""
    lines, inside, open_brace = [], False, False
    for line in text.splitlines():
        if open_brace:  # an unused value goes on
            open_brace = "}" not in line
            continue
        if line.startswith("  ") and line[2:3] not in ("-", " "):
            inside = line.split(":")[0].strip() in (*_CURVES, "m_SampleRate")
        if line.lstrip(" -").startswith(_UNUSED):
            open_brace = "{" in line and "}" not in line
        elif inside and line.startswith("  "):
            lines.append(line[2:])
    return "\n".join(lines)


def _keys(curve: list[dict[str, Any]], axes: str) -> tuple[np.ndarray, np.ndarray]:
    values = [[float(key["value"][a]) for a in axes] for key in curve]
    return np.array([float(key["time"]) for key in curve]), np.array(values)


def _rotations_at(curve: list[dict[str, Any]], times: np.ndarray) -> np.ndarray:
    keys, values = _keys(curve, "wxyz")
    return interpolate_rotations(times, keys, rot.normalize(values) * [1, 1, -1, -1])


def _positions_at(curve: list[dict[str, Any]], times: np.ndarray) -> np.ndarray:
    keys, values = _keys(curve, "xyz")
    return np.stack([np.interp(times, keys, v) for v in (values * [-1, 1, 1]).T], 1)
