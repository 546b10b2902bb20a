"""Reader for KIT Motion-Language (Plappert et al. 2016) in Guo et al.'s release: 251 channels at 12.5 fps."""

# The channels are those of `vqvae.io.hml263` for the 21 joints of the Master Motor Map, lengths in a unit of the
# data set's own; positions are what is read. Right hip, left hip, right and left shoulder are joints 11, 16, 5 and 8
# (`face_joint_indx` of github.com/EricGuo5513/text-to-motion, MIT).

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from instruct_data.clip import Clip
from instruct_data.sources.corpus import Corpus, Report, loaded, normalised
from instruct_data.sources.humanml3d import span_id, spans_of
from vqvae.errors import UserError
from vqvae.io.data_files import map_array
from vqvae.io.hml263 import recover_joints, swing_rotations
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22

FPS = 12.5
JOINTS = 21
MIN_FRAMES = 5
_SIDES = {"l": (16, 17, 18, 20, 8, 9, 10), "r": (11, 12, 13, 15, 5, 6, 7)}
_LIMBS = ("hip", "knee", "ankle", "foot", "shoulder", "elbow", "wrist")
_SPINE = (0, 1, 2, 3)  # root, pelvis, torso, base of the neck
_HEAD = 4
_COLLAR = 0.35  # of the way from the base of the neck to the shoulder


def read_kit_ml(root: Path, corpus: Corpus, report: Report, split: str | None = None) -> Iterator[Clip]:
    """Clips of the lists train.txt, val.txt and test.txt, and parts of clips that have captions of their own."""
    for part, name in corpus.listed(root, split, report):
        vectors = root / "new_joint_vecs" / f"{name}.npy"
        for span, captions in spans_of(name, root, (vectors,), report).items():
            load = _Load(vectors, span, captions[0])
            yield from loaded(Clip(span_id(name, span), load, captions, "kit_ml", corpus.licence, part), report)


@dataclass(frozen=True)
class _Load:
    path: Path
    span: tuple[float, float]
    caption: str

    def __call__(self) -> Motion:
        features = np.array(map_array(self.path, "accepted (frames, 251)"))
        first, last = (int(seconds * FPS) for seconds in self.span)
        last = len(features) if self.span == (0.0, 0.0) else last
        try:
            joints = recover_joints(features, JOINTS)[first:last]
        except UserError as e:
            raise UserError(f"{self.path}: {e}") from None
        if len(joints) < MIN_FRAMES:
            raise UserError(f"{self.path}: {len(joints)} frames; accepted at least {MIN_FRAMES}")
        return normalised(from_joints(joints), self.caption)


def from_joints(joints: np.ndarray) -> Motion:
    """Positions (T, 21, 3) of any unit -> a body at 12.5 frames a second, metres by the length of its legs."""
    x = np.asarray(joints, np.float64)
    points = np.zeros((len(x), len(SMPL22.names), 3))
    for name, share in _shares().items():
        points[:, SMPL22.index(name)] = _along(x[:, _SPINE], share)
    points[:, SMPL22.index("head")] = x[:, _HEAD]
    for side, places in _SIDES.items():
        for limb, place in zip(_LIMBS, places, strict=True):
            points[:, SMPL22.index(f"{side}_{limb}")] = x[:, place]
        neck, shoulder = x[:, _SPINE[-1]], points[:, SMPL22.index(f"{side}_shoulder")]
        points[:, SMPL22.index(f"{side}_collar")] = neck + _COLLAR * (shoulder - neck)
    length = float(np.median([np.linalg.norm(points[:, b] - points[:, a], axis=-1) for a, b in _leg_bones()]))
    if not np.isfinite(length) or length < 1e-9:
        raise UserError("legs without length; accepted positions of a body")
    ours = float(np.median([np.linalg.norm(SMPL22.offsets[b]) for _, b in _leg_bones()]))
    scale = ours / length
    return Motion(swing_rotations(points), points[:, 0] * scale, FPS)


def _leg_bones() -> list[tuple[int, int]]:
    pairs = (("hip", "knee"), ("knee", "ankle"))
    return [(SMPL22.index(f"{s}_{a}"), SMPL22.index(f"{s}_{b}")) for s in "lr" for a, b in pairs]


def _shares() -> dict[str, float]:
    """How far up from pelvis to neck the joints of our spine are at rest, 0 to 1."""
    names = ("spine1", "spine2", "spine3", "neck")
    lengths = np.cumsum([np.linalg.norm(SMPL22.offsets[SMPL22.index(n)]) for n in names])
    return {"pelvis": 0.0, **{n: float(v / lengths[-1]) for n, v in zip(names, lengths, strict=True)}}


def _along(line: np.ndarray, share: float) -> np.ndarray:
    """The point that far along polylines (T, K, 3): (T, 3)."""
    steps = np.linalg.norm(np.diff(line, axis=1), axis=-1)
    reached = np.concatenate([np.zeros((len(line), 1)), np.cumsum(steps, 1)], 1)
    distance = share * reached[:, -1]
    k = np.clip((reached[:, 1:] < distance[:, None]).sum(1), 0, line.shape[1] - 2)
    rows = np.arange(len(line))
    part = (distance - reached[rows, k]) / np.maximum(steps[rows, k], 1e-12)
    return np.asarray(line[rows, k] + part[:, None] * (line[rows, k + 1] - line[rows, k]))
