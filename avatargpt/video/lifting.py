"""33 landmarks of a person -> rotations of our 22 joints, in the axes of the landmarks.

Only directions are taken from the landmarks: bones have the lengths of our skeleton. Pelvis and chest follow from hips,
shoulders and the line between their middles, the spine bends evenly between them, the head follows ears, eyes and nose,
and a limb is turned about itself so that its elbow or knee bends about the hinge, as far as it bends.
"""

from __future__ import annotations

import numpy as np

from avatargpt.video.poses import AT
from vqvae import rotations as rot
from vqvae.posture import turn_to, unit
from vqvae.skeleton import SMPL22
from vqvae.smoothing import gaussian

# limb: joints of ours, as landmarks are called, and the hinge's axis in the upper bone's frame
_LIMBS = (
    (("l_shoulder", "l_elbow", "l_wrist"), (0.0, -1.0, 0.0)), (("r_shoulder", "r_elbow", "r_wrist"), (0.0, 1.0, 0.0)),
    (("l_hip", "l_knee", "l_ankle"), (1.0, 0.0, 0.0)), (("r_hip", "r_knee", "r_ankle"), (1.0, 0.0, 0.0)),
)  # fmt: skip
BENT = (0.2, 0.6)  # sine of a limb's bend from which on its hinge counts, and from which on it counts in full
MAX_TWIST = {"shoulder": np.radians(100), "hip": np.radians(50), "wrist": np.radians(85)}
TWIST_SECONDS = 0.1  # over which a twist is smoothed
MAX_HAND = np.radians(70)  # of a hand against its forearm
MAX_NECK = np.radians(75)  # of the head against the chest


def lift(world: np.ndarray, visible: np.ndarray, fps: float) -> np.ndarray:
    """(T, 22, 4) local unit quaternions w, x, y, z.

    Args:
        world: (T, 33, 3) landmarks, metres, Y up, in any right-handed frame. visible: (T, 33) 0..1.
        fps: frames a second.
    """
    at = {name: world[:, k] for name, k in AT.items()}
    local = rot.identity((len(world), len(SMPL22.names)))
    turned = {"pelvis": _trunk(at, "hip"), "spine3": _trunk(at, "shoulder")}
    turned["spine1"] = rot.slerp(turned["pelvis"], turned["spine3"], 1 / 3)
    turned["spine2"] = rot.slerp(turned["pelvis"], turned["spine3"], 2 / 3)
    face = visible[:, [AT[n] for n in ("nose", "l_ear", "r_ear")]].mean(1)
    turned["head"] = _head(at, turned["spine3"], np.clip(face / 0.5, 0, 1))
    turned["neck"] = rot.slerp(turned["spine3"], turned["head"], 0.5)
    for side in "lr":
        turned[f"{side}_collar"] = turned["spine3"]
    for joints, hinge in _LIMBS:
        _limb(turned, at, joints, np.array(hinge), fps)
    for side in "lr":
        clear = visible[:, [AT[f"{side}_{n}"] for n in ("wrist", "index", "pinky")]].min(1)
        _hand(turned, at, side, np.clip(clear / 0.5, 0, 1), fps)
        _foot(turned, at, side)
    for j, name in enumerate(SMPL22.names):
        parent = SMPL22.parents[j]
        if parent < 0:
            local[:, j] = turned[name]
        elif name in turned:
            local[:, j] = rot.multiply(rot.conjugate(turned[SMPL22.names[parent]]), turned[name])
        else:
            turned[name] = turned[SMPL22.names[parent]]
    return rot.normalize(local)


def with_head(rotations: np.ndarray, head: np.ndarray) -> np.ndarray:
    """Local rotations (T, 22, 4) whose head is turned like `head` (T, 4) in the world, half of it by the neck."""
    chest = rot.from_matrix(SMPL22.fk_full(rotations, np.zeros((len(rotations), 3)))[1][:, SMPL22.index("spine3")])
    half = rot.from_axis_angle(_limit_turn(rot.to_axis_angle(rot.multiply(rot.conjugate(chest), head)), MAX_NECK) / 2)
    out = np.array(rotations, np.float64)
    out[:, SMPL22.index("neck")] = out[:, SMPL22.index("head")] = half
    return out


def _trunk(at: dict[str, np.ndarray], part: str) -> np.ndarray:
    """Pelvis or chest: up along the trunk, left along hips or shoulders."""
    up = at["l_shoulder"] + at["r_shoulder"] - at["l_hip"] - at["r_hip"]
    return turn_to(up, at[f"l_{part}"] - at[f"r_{part}"], "yx")


def _head(at: dict[str, np.ndarray], chest: np.ndarray, weight: np.ndarray) -> np.ndarray:
    ears = (at["l_ear"] + at["r_ear"]) / 2
    # the nose is below the ears, the eyes are above
    ahead = (2 * at["nose"] + at["l_eye"] + at["r_eye"]) / 4 - ears
    head = turn_to(at["l_ear"] - at["r_ear"], ahead, "xz")
    turn = rot.to_axis_angle(rot.multiply(rot.conjugate(chest), head))
    return rot.multiply(chest, rot.from_axis_angle(_limit_turn(turn, MAX_NECK) * weight[:, None]))


def _limit_turn(turn: np.ndarray, limit: float) -> np.ndarray:
    """Rotation vectors of at most that angle."""
    size = np.linalg.norm(turn, axis=-1, keepdims=True)
    return np.asarray(turn * np.minimum(1, limit / np.maximum(size, 1e-9)))


def _limb(
    turned: dict[str, np.ndarray], at: dict[str, np.ndarray], limb: tuple[str, str, str], hinge: np.ndarray, fps: float
) -> None:
    """Upper and lower bone of an arm or a leg."""
    upper, lower, end = limb
    one, two = unit(at[lower] - at[upper]), unit(at[end] - at[lower])
    parent = turned[SMPL22.names[SMPL22.parents[SMPL22.index(upper)]]]
    bone = np.broadcast_to(SMPL22.offsets[SMPL22.index(lower)], one.shape)
    swing = rot.multiply(parent, rot.between(bone, rot.rotate(rot.conjugate(parent), one)))
    across = np.cross(one, two)
    bend = np.linalg.norm(across, axis=-1)
    twist = _angle_about(one, rot.rotate(swing, np.broadcast_to(hinge, one.shape)), across)
    sure = np.clip((bend - BENT[0]) / (BENT[1] - BENT[0]), 0, 1)
    turned[upper] = rot.multiply(_about(one, _settle_twist(twist, sure, MAX_TWIST[upper[2:]], fps)), swing)
    above = turned[upper]
    bone = np.broadcast_to(SMPL22.offsets[SMPL22.index(end)], two.shape)
    turned[lower] = rot.multiply(above, rot.between(bone, rot.rotate(rot.conjugate(above), two)))


def _settle_twist(twist: np.ndarray, sure: np.ndarray, limit: float, fps: float) -> np.ndarray:
    """A twist (T,) within its limits, weighted by how sure it is and smoothed."""
    aside = np.abs(twist) > np.pi * 0.75  # the joint bends the wrong way: noise of a limb that is nearly straight
    values = np.clip(twist, -limit, limit) * sure * ~aside
    return gaussian(values, TWIST_SECONDS * fps)


def _about(axis: np.ndarray, angle: np.ndarray) -> np.ndarray:
    return rot.from_axis_angle(axis * angle[:, None])


def _angle_about(axis: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(T,) radians from a to b about the unit axis."""
    a = a - (a * axis).sum(-1, keepdims=True) * axis
    b = b - (b * axis).sum(-1, keepdims=True) * axis
    return np.arctan2((np.cross(a, b) * axis).sum(-1), (a * b).sum(-1))


def _hand(turned: dict[str, np.ndarray], at: dict[str, np.ndarray], side: str, weight: np.ndarray, fps: float) -> None:
    """The wrist from the knuckles: half of the turn about the forearm belongs to the forearm."""
    arm = turned[f"{side}_elbow"]
    sign = 1.0 if side == "l" else -1.0
    along = (at[f"{side}_index"] + at[f"{side}_pinky"]) / 2 - at[f"{side}_wrist"]
    hand = turn_to(sign * along, at[f"{side}_index"] - at[f"{side}_pinky"], "xz")
    turn = rot.multiply(rot.conjugate(arm), hand)
    # swing and twist about the bone
    twist = 2 * np.arctan2(turn[:, 1], turn[:, 0])
    twist = (twist + np.pi) % (2 * np.pi) - np.pi
    x = np.broadcast_to([1.0, 0, 0], along.shape)
    bent = rot.multiply(turn, rot.conjugate(_about(x, twist)))
    swing = _limit_turn(rot.to_axis_angle(bent), MAX_HAND) * weight[:, None]
    bent = rot.from_axis_angle(gaussian(swing, TWIST_SECONDS * fps))
    twist = _settle_twist(twist, weight, MAX_TWIST["wrist"], fps)
    turned[f"{side}_wrist"] = rot.multiply(arm, rot.multiply(bent, _about(x, twist)))


def _foot(turned: dict[str, np.ndarray], at: dict[str, np.ndarray], side: str) -> None:
    shin = turned[f"{side}_knee"]
    ahead = at[f"{side}_toe"] - at[f"{side}_ankle"]
    bone = np.broadcast_to(SMPL22.offsets[SMPL22.index(f"{side}_foot")], ahead.shape)
    swing = rot.between(bone, rot.rotate(rot.conjugate(shin), ahead))
    turned[f"{side}_ankle"] = rot.multiply(shin, swing)
