"""How a rig's joints are turned at rest against ours, by the best evidence that a file has.

In this order: the pose in which a mesh is bound, or a rest pose that stands as one does; a first or last frame that is
a T- or A-pose; the clip as a whole. From a clip, a joint's axes are what its own children show: the direction of its
bone, and across it the hips, the collars or, of a limb, the hinge about which knee or elbow bends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.posture import LIMBS, at_rest, degrees, in_t_or_a, posture, unit
from vqvae.rig import Rig
from vqvae.skeleton import SMPL22
from vqvae.upright import ankle_height, axis_name, by_movement, lies_on_floor, likeliest, stands, top_of

ALIKE = 0.9998  # cosine between a foot and ours that is turned like its shin
SQUARE = 0.985  # cosine from which on a direction of a rest pose is an axis of the file
LIKELY = 20.0  # degrees by which the zero of a trunk's joint may differ from its mean in a clip
LIKELY_HEAD = 35.0  # by which a head's may
HINGE = np.sin(np.radians(3))  # mean bend of a knee or elbow, from which on its axis is known
_CHAIN = ("pelvis", "spine1", "spine2", "spine3", "neck", "head")
_LIMBS = [[f"{s}_{n}" for n in line.split()]
          for line in ("hip knee ankle foot", "shoulder elbow wrist", "collar shoulder") for s in "lr"]  # fmt: skip
_HINGES = {"l_knee": (1, 0, 0), "r_knee": (1, 0, 0), "l_elbow": (0, -1, 0), "r_elbow": (0, 1, 0)}
_REST = {n: SMPL22.rest_joints[j].astype(np.float64) for j, n in enumerate(SMPL22.names)}
_UP, _LEFT = np.array([0.0, 1, 0]), np.array([1.0, 0, 0])


Means = Mapping[tuple[str, str], np.ndarray]  # by joint and what it is the mean of
GivesMeans = Callable[[Rig], Means]


class Rest(NamedTuple):
    """What a rig's rest is.

    Attributes:
        turns: of every mapped joint the constant C (3, 3), see `vqvae.retarget`.
        up: (3,) the vertical axis of the file's world.
        ankle: height of the ankles along `up` where the body stands, from the file's origin, its unit.
        source: where it is from, for people. confidence: 0 to 1.
        notes: what a user should know.
    """

    turns: dict[str, np.ndarray]
    up: np.ndarray
    ankle: float
    source: str
    confidence: float
    notes: tuple[str, ...] = ()


def rest_of(
    rig: Rig, at: Mapping[str, int], rest_joints: np.ndarray, pos: np.ndarray, glob: np.ndarray,
    means: GivesMeans | None = None,
) -> Rest:  # fmt: skip
    """The rest of a rig of which `at` names our joints.

    Args:
        rest_joints: (J, 3). pos, glob: of the clip, (T, J, 3) and (T, J, 3, 3), from `vqvae.rig.world`.
        means: gives those of `means_of` for the rig, as the mean of several clips; this clip's by default.
    """
    axes = body_axes(rest_joints, at)
    standing = None if axes is None else _find_standing_rest(rest_joints, at, axes)
    if axes is not None and standing is not None and (rig.bound or at_rest(posture(rest_joints, at))):
        return _of_rest_pose(rig, at, rest_joints, pos, glob, axes, standing)
    up = likeliest(pos, at) if rig.up is None else rig.up
    for frame in (0, len(pos) - 1):
        if not in_t_or_a(posture(pos[frame], at)):
            continue
        at_frame = body_axes(pos[frame], at, whole=False)
        turns = None if at_frame is None else _find_standing_rest(pos[frame], at, at_frame)
        if at_frame is not None and turns is not None:
            own = {n: glob[frame, at[n]].T @ c for n, c in turns.items()}
            up = at_frame[:, 1] if rig.up is None else rig.up
            return Rest(own, up, ankle_height(pos, at, up), f"the T- or A-pose of frame {frame}", 0.9)
    known = {"l_wrist", "r_wrist"} <= at.keys() and {"neck", "head"} & at.keys() and at["spine3"] != at["pelvis"]
    if not known and axes is not None and standing is not None:
        found = _of_rest_pose(rig, at, rest_joints, pos, glob, axes, standing)
        note = "the rest pose is bent, and there is no neck or wrist to tell another by"
        return found._replace(confidence=0.4, notes=(*found.notes, note))
    if not known:
        raise UserError("the rest pose is no T-pose or A-pose, and spine, neck or wrists to tell it by are missing")
    turns = _of_clip(at, rest_joints, rig.tips, pos, glob, means(rig) if means else means_of(at, pos, glob))
    return Rest(turns, up, ankle_height(pos, at, up), f"the movement of {len(pos)} frames", 0.7)


def _of_rest_pose(
    rig: Rig, at: Mapping[str, int], rest_joints: np.ndarray, pos: np.ndarray, glob: np.ndarray, axes: np.ndarray,
    turns: dict[str, np.ndarray],
) -> Rest:  # fmt: skip
    above = rig.parents[at["pelvis"]]
    up = _find_up(axes[:, 1], None if above < 0 else glob[:, above]) if rig.up is None else rig.up
    notes: tuple[str, ...] = ()
    moved = by_movement(pos, at)
    if rig.up is None and moved is not None and abs(moved @ up) < 0.5 and not stands(pos, at, up).any():
        names = [axis_name(v) for v in (up, moved)]
        if lies_on_floor(pos, at, up):
            notes = (f"the body lies along {names[1]} throughout; up is {names[0]}, as at rest; --up says another",)
        else:
            notes = (f"upright at rest is {names[0]}, in the movement {names[1]}, which is taken; --up says another",)
            up = moved
    ankle = float((rest_joints[at["l_ankle"]] + rest_joints[at["r_ankle"]]) @ axes[:, 1]) / 2
    source = "the pose of the mesh" if rig.bound else "the rest pose"
    return Rest(turns, up, ankle, source, 1.0 - 0.2 * len(notes), notes)


def body_axes(joints: np.ndarray, at: Mapping[str, int], whole: bool = True) -> np.ndarray | None:
    """(3, 3): our axes (left, up, forward) in the file's of a pose (J, 3) that stands along an axis; else None.

    `whole`: left is an axis of the file where it is near one.
    """
    place = {name: joints[j] for name, j in at.items()}
    left = unit(place["l_hip"] - place["r_hip"] + place["l_shoulder"] - place["r_shoulder"])
    up = unit(place["spine3"] + top_of(joints, at) - place["l_knee"] - place["r_knee"])
    axes = np.zeros((3, 3))
    i = int(np.abs(up).argmax())
    if abs(up[i]) < 0.8:
        return None
    axes[i, 1] = np.sign(up[i])
    i = int(np.abs(left).argmax())
    if whole and abs(left[i]) >= SQUARE:
        axes[i, 0] = np.sign(left[i])
    elif abs(left @ axes[:, 1]) < 0.2:
        axes[:, 0] = unit(left - axes[:, 1] * (left @ axes[:, 1]))
    else:
        return None
    axes[:, 2] = np.cross(axes[:, 0], axes[:, 1])
    return axes if abs(np.linalg.det(axes) - 1) < 1e-6 else None


def _find_standing_rest(
    rest_joints: np.ndarray, at: Mapping[str, int], axes: np.ndarray
) -> dict[str, np.ndarray] | None:
    """C of every mapped joint (3, 3) from a rest pose that is a T- or A-pose; None if it is neither."""
    out = {name: axes for name in at}
    for side in "lr":
        for joint, child in (*LIMBS.items(), ("ankle", "foot")):
            name, end = f"{side}_{joint}", f"{side}_{child}"
            if end not in at:
                if joint == "elbow":
                    out[name] = out[f"{side}_shoulder"]
                continue
            theirs = unit(rest_joints[at[end]] - rest_joints[at[name]])
            ours = axes @ unit(SMPL22.offsets[SMPL22.index(end)])
            angle = np.degrees(np.arccos(np.clip(theirs @ ours, -1, 1)))
            if angle > 110:
                return None
            # Feet stand flat in any rest pose, unless they are ours on a shin that is turned at rest; only where they
            # lie in the bone's joints do they differ.
            if joint != "ankle" or angle > 50:
                out[name] = rot.to_matrix(rot.between(ours, theirs)) @ axes
            elif theirs @ (out[f"{side}_knee"] @ unit(SMPL22.offsets[SMPL22.index(end)])) > ALIKE:
                out[name] = out[f"{side}_knee"]
        out[f"{side}_wrist"] = out[f"{side}_elbow"]
    return out


def _find_up(up: np.ndarray, above: np.ndarray | None) -> np.ndarray:
    """The file's vertical axis (3,), from the rest pose's `up` (3,) and the joint above the pelvis (T, 3, 3)."""
    if above is None:
        return up
    turned = above @ up
    k = int(np.abs(turned[0]).argmax())
    if np.ptp(turned, axis=0).max() > 1e-3 or abs(turned[0, k]) < 0.9:
        return up
    return np.asarray(np.sign(turned[0, k]) * np.eye(3)[k])


def means_of(at: Mapping[str, int], pos: np.ndarray, glob: np.ndarray) -> Means:
    """Directions (3,) in the axes of a joint, by the joint and what they are: means over a clip, of which those of
    several clips of one rig may be averaged.

    ``bone``: to the next joint. ``left``, ``up``: across and along the trunk. ``hinge``: about which the limb bends, as
    long as the mean sine of the bend.
    """

    def own(name: str, vectors: np.ndarray) -> np.ndarray:
        return np.asarray(np.einsum("tij,ti->j", glob[:, at[name]], vectors) / len(vectors))

    out: dict[tuple[str, str], np.ndarray] = {}
    chain = [n for n in _CHAIN if n in at]
    lines = [chain, *([n for n in line if n in at] for line in _LIMBS)]
    bones = {a: pos[:, at[b]] - pos[:, at[a]] for line in lines for a, b in zip(line, line[1:], strict=False)}
    out |= {(name, "bone"): unit(own(name, bone)) for name, bone in bones.items()}
    hips, sides = (unit(pos[:, at[f"l_{n}"]] - pos[:, at[f"r_{n}"]]) for n in ("hip", _girdle(at)))
    lefts = dict.fromkeys(chain, sides) | {"pelvis": hips, "spine1": hips + sides, "spine2": hips + sides}
    out |= {(name, "left"): own(name, lefts[name]) for name in chain}
    chest_up = np.einsum("tij,j->ti", glob[:, at["spine3"]], out["spine3", "bone"])
    out |= {(n, "up"): own(n, chest_up) for n in ("head", "neck", "l_collar", "r_collar") if n in at}
    for line in _LIMBS[:4]:
        first, second = bones[line[0]], bones[line[1]]
        bend = np.cross(unit(first), unit(second))
        out |= {(n, "hinge"): own(n, bend) for n in line if n in bones}
    return out


def _girdle(at: Mapping[str, int]) -> str:
    return "collar" if {"l_collar", "r_collar"} <= at.keys() else "shoulder"


def _of_clip(
    at: Mapping[str, int], rest_joints: np.ndarray, tips: Mapping[int, np.ndarray], pos: np.ndarray, glob: np.ndarray,
    means: Means,
) -> dict[str, np.ndarray]:  # fmt: skip
    """C of every mapped joint where zero is no pose, from its own children over the clip."""

    def zero_or_mean(name: str, what: str, zero: np.ndarray, along: np.ndarray) -> np.ndarray:
        """A direction of the trunk in a joint's axes: as where its rotation is zero, unless no body holds that."""
        mean, flat = means[name, what], zero - along * (along @ zero)
        is_near = np.linalg.norm(flat) > 0.5 and degrees(flat, mean - along * (along @ mean)) <= LIKELY
        return flat if is_near else mean

    short = [name for (name, what), v in means.items() if what == "bone" and not np.linalg.norm(v) > 0.5]
    if short:
        raise UserError(f"the bone of {short[0]} has no length; accepted a skeleton whose bones have a length")
    zero_left = unit(rest_joints[at[f"l_{_girdle(at)}"]] - rest_joints[at[f"r_{_girdle(at)}"]])
    chain = [n for n in _CHAIN if n in at]
    out: dict[str, np.ndarray] = {}
    for name, end in zip(chain, chain[1:], strict=False):
        along = means[name, "bone"]
        is_girdle = name in ("pelvis", "spine3")
        left = means[name, "left"] if is_girdle else zero_or_mean(name, "left", zero_left, along)
        out[name] = frame_turn(along, left, unit(_REST[end] - _REST[name]), _LEFT)
    last, below = chain[-1], chain[-2]
    mean_up = unit(means[last, "up"])
    zeros = (tips.get(at[last], np.zeros(3)), means[below, "bone"])
    likely = [unit(v) for v in zeros if np.linalg.norm(v) > 0 and degrees(v, mean_up) <= LIKELY_HEAD]
    along = [*likely, mean_up][0]
    out[last] = frame_turn(along, zero_or_mean(last, "left", zero_left, along), _UP, _LEFT)
    for side in "lr":
        collar, shoulder, elbow, wrist = (f"{side}_{n}" for n in ("collar", "shoulder", "elbow", "wrist"))
        if collar in at:
            along, ours = means[collar, "bone"], unit(_REST[shoulder] - _REST[collar])
            up = zero_or_mean(collar, "up", means["spine3", "bone"], along)
            out[collar] = frame_turn(along, up, ours, _UP)
        for line, bend in (([f"{side}_{n}" for n in ("hip", "knee", "ankle", "foot")], "knee"),
                           ([shoulder, elbow, wrist], "elbow")):  # fmt: skip
            ours = np.array(_HINGES[f"{side}_{bend}"], np.float64)
            first = means[line[0], "hinge"]
            if np.linalg.norm(first) < HINGE:
                first = _unbent(pos, glob, at, out, line, ours)
            for name, end in zip(line, line[1:], strict=False):
                if end not in at:
                    continue
                along, hinge = means[name, "bone"], means[name, "hinge"]
                flat = first - along * (along @ first)
                # bones along one axis share their zero; so does a foot, unless nobody's is turned so
                shared = degrees(along, means[line[0], "bone"]) <= LIKELY or np.linalg.norm(hinge) < HINGE
                shared = shared or degrees(flat, hinge - along * (along @ hinge)) <= LIKELY
                out[name] = frame_turn(along, flat if shared else hinge, unit(_REST[end] - _REST[name]), ours)
        out[f"{side}_foot"] = out.get(f"{side}_ankle", out[f"{side}_knee"])
        out.setdefault(f"{side}_ankle", out[f"{side}_knee"])
        out[wrist] = out[elbow]
        if degrees(means[shoulder, "bone"], means[elbow, "bone"]) > LIKELY:
            # bones along no common axis: the hand is straight on average, not where it is not turned
            hand = np.einsum("tji,tjk->ik", glob[:, at[wrist]], glob[:, at[elbow]] @ out[elbow])
            left, _, right = np.linalg.svd(hand)
            out[wrist] = left @ np.diag([1, 1, np.linalg.det(left @ right)]) @ right
    return {n: c for n, c in out.items() if n in at}


def _unbent(
    pos: np.ndarray, glob: np.ndarray, at: Mapping[str, int], turns: Mapping[str, np.ndarray], line: Sequence[str],
    hinge: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """(3,) the axis of a knee or elbow that hardly bends in a clip: as of a limb that swings without twist."""
    start, end = line[:2]
    base = "pelvis" if start.endswith("hip") else "spine3"
    body = glob[:, at[base]] @ turns[base]
    swing = rot.between(body @ unit(_REST[end] - _REST[start]), pos[:, at[end]] - pos[:, at[start]])
    world = rot.rotate(swing, body @ hinge)
    return np.asarray(np.einsum("tij,ti->j", glob[:, at[start]], world) / len(world))


def frame_turn(theirs: np.ndarray, second: np.ndarray, ours: np.ndarray, our_second: np.ndarray) -> np.ndarray:
    """The rotation (3, 3) taking direction `ours` to `theirs` and `our_second` as near as possible to `second`."""

    def basis(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        a = unit(a)
        b = unit(b - a * (a @ b))
        return np.stack([a, b, np.cross(a, b)], -1)

    out: np.ndarray = basis(theirs, second) @ basis(ours, our_second).T
    return out
