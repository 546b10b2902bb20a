"""Entries of the lexicon move soundly, and their hands reach the place that they name without going through the body."""

from collections.abc import Iterator

import numpy as np
import pytest

from instruct_data.clip import Clip
from instruct_data.synth import families, keyframed
from instruct_data.synth.check import figures
from instruct_data.synth.format import Family
from vqvae import rotations as rot
from vqvae.skeleton import SMPL22

J = {n: i for i, n in enumerate(SMPL22.names)}
ENTRIES = [f for f in families().values() if f.schema]
FINGERS, PALM = 0.13, 0.09  # from the wrist along the hand, metres
# Joint and point in its axes of the places that the right hand touches.
SKIN = {
    "mouth": ("head", 0, -0.035, 0.105), "nose": ("head", -0.005, 0.005, 0.12), "chin": ("head", -0.01, -0.075, 0.09),
    "cheek": ("head", -0.065, -0.02, 0.07), "eye": ("head", -0.035, 0.04, 0.10), "brow": ("head", -0.035, 0.065, 0.098),
    "forehead": ("head", -0.01, 0.09, 0.095), "ear": ("head", -0.085, 0.02, 0.0), "hair": ("head", -0.07, 0.12, 0.0),
    "crown": ("head", -0.02, 0.155, -0.01), "occiput": ("head", -0.03, 0.05, -0.10),
    "nape": ("head", -0.035, -0.04, -0.085), "neck": ("head", -0.05, -0.09, 0.04),
    "shoulder": ("l_shoulder", -0.01, 0.055, 0.03), "arm": ("l_shoulder", 0.045, -0.12, 0.05),
    "heart": ("spine3", 0.05, 0.02, 0.125), "chest": ("spine3", 0.0, -0.04, 0.13), "belly": ("spine3", 0.01, -0.26, 0.125),
    "hip": ("pelvis", -0.15, 0.0, 0.05), "thigh": ("pelvis", -0.13, -0.13, 0.10), "knee": ("r_knee", 0.0, 0.03, 0.065),
    "loin": ("pelvis", -0.05, 0.10, -0.13),
}  # fmt: skip
HEAD, HEAD_SIZE = np.array([0.0, 0.045, 0.005]), np.array([0.072, 0.115, 0.098])  # its ellipsoid


def globals_of(clip: Clip) -> tuple[np.ndarray, np.ndarray]:
    """Joints (T, 22, 3) and their axes (T, 22, 3, 3) of a clip; of its mirror image if it is one of the left side."""
    motion = clip.load()
    local = rot.to_matrix(motion.rotations.astype(np.float64))
    axes = np.empty_like(local)
    for j, parent in enumerate(SMPL22.parents):
        axes[:, j] = local[:, j] if parent < 0 else axes[:, parent] @ local[:, j]
    joints = motion.joints.astype(np.float64)
    if clip.extra.get("side") != "left":
        return joints, axes
    swap = [J[{"l_": "r_", "r_": "l_"}.get(n[:2], n[:2]) + n[2:]] for n in SMPL22.names]
    flip = np.diag([-1.0, 1.0, 1.0])
    return joints[:, swap] @ flip, flip @ axes[:, swap] @ flip


def hand(joints: np.ndarray, axes: np.ndarray, side: str, along: float) -> np.ndarray:
    """(T, 3) point of a hand, a little on the side of the palm."""
    wrist, outwards = J[f"{side}_wrist"], 1.0 if side == "l" else -1.0
    return joints[:, wrist] + axes[:, wrist] @ np.array([outwards * along, -0.01, 0.0])


def skin(joints: np.ndarray, axes: np.ndarray, place: str, side: str) -> np.ndarray:
    """(T, 3) where a place of the body is; for the left hand its mirror image."""
    name, *point = SKIN[place]
    if side == "l":
        name, point[0] = {"l_": "r_", "r_": "l_"}.get(name[:2], name[:2]) + name[2:], -point[0]
    turn = axes[:, J["spine3"]] if name.endswith("shoulder") else axes[:, J[name]]
    return joints[:, J[name]] + turn @ np.array(point)


def touches(family: Family) -> Iterator[tuple[str, str, str, Clip]]:
    """Places of the body that an entry's clips name, and the parameter and hand that go there."""
    for clip in keyframed(family, range(3)):
        p = clip.extra["params"]
        if family.schema == "hand_work" and p["place"] in SKIN:
            yield p["place"], "gap", "r", clip
            if p["second"] in ("mirrors", "alternates"):
                yield p["place"], "gap", "l", clip
        if family.schema == "hand_to":
            for name in {p["first"], p["then"]} & set(SKIN):
                yield name, "", "r", clip
                if p["hands"] == "both hands":
                    yield name, "", "l", clip
