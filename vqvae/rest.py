"""How a rig's joints are turned at rest against ours, by the best evidence that a file has.

In this order: the pose in which a mesh is bound, or a rest pose that stands as one does; the first frame that is a T-
or A-pose; the clip as a whole. From a clip, a joint's axes are what its own children show: the direction of its bone,
and across it the hips, the collars or, of a limb, the hinge about which knee or elbow bends.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.posture import LIMBS, at_rest, degrees, in_t_or_a, posture, unit
from vqvae.rig import Rig
from vqvae.skeleton import SMPL22

ALIKE = 0.9998  # cosine between a foot and ours that is turned like its shin
SQUARE = 0.985  # cosine from which on a direction of a rest pose is an axis of the file
LIKELY = 20.0  # degrees by which the zero of a trunk's joint may differ from its mean in a clip
HINGE = np.sin(np.radians(3))  # mean bend of a knee or elbow, from which on its axis is known
UPRIGHT_SHARE, UPRIGHT_COSINE = 0.8, 0.9  # of frames, and of the body to an axis, by which a clip stands along it
LEVEL_FLOOR = 0.3  # lengths of a leg from 0, within which feet stand on a floor at 0
ON_FLOOR = (-0.05, 0.3)  # lengths of a leg: where the lowest joint is of a body that lies on a floor at 0
_CHAIN = ("pelvis", "spine1", "spine2", "spine3", "neck", "head")
_HINGES = {"l_knee": (1, 0, 0), "r_knee": (1, 0, 0), "l_elbow": (0, -1, 0), "r_elbow": (0, 1, 0)}
_REST = {n: SMPL22.rest_joints[j].astype(np.float64) for j, n in enumerate(SMPL22.names)}
_UP, _LEFT = np.array([0.0, 1, 0]), np.array([1.0, 0, 0])


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
    hinges: Mapping[str, np.ndarray] | None = None,
) -> Rest:  # fmt: skip
    """The rest of a rig of which `at` names our joints.

    Args:
        rest_joints: (J, 3). pos, glob: of the clip, (T, J, 3) and (T, J, 3, 3), from `vqvae.rig.world`.
        hinges: of `hinges_of`, summed over several clips of the same rig; this clip's by default.
    """
    axes = body_axes(rest_joints, at)
    standing = None if axes is None else _standing(rest_joints, at, axes)
    if axes is not None and standing is not None and (rig.bound or at_rest(posture(rest_joints, at))):
        return _of_rest_pose(rig, at, rest_joints, pos, glob, axes, standing)
    moved = by_movement(pos, at)
    up = moved if moved is not None else _UP
    frames = np.flatnonzero(in_t_or_a(posture(pos, at)))
    for frame in frames[:1]:
        at_frame = body_axes(pos[frame], at, whole=False)
        turns = None if at_frame is None else _standing(pos[frame], at, at_frame)
        if at_frame is not None and turns is not None:
            own = {n: glob[frame, at[n]].T @ c for n, c in turns.items()}
            return Rest(own, at_frame[:, 1], _ankle(pos, at, at_frame[:, 1]), f"the T- or A-pose of frame {frame}", 0.9)
    known = {"l_wrist", "r_wrist"} <= at.keys() and {"neck", "head"} & at.keys() and at["spine3"] != at["pelvis"]
    if not known and axes is not None and standing is not None:
        found = _of_rest_pose(rig, at, rest_joints, pos, glob, axes, standing)
        note = "the rest pose is bent, and there is no neck or wrist to tell another by"
        return found._replace(confidence=0.4, notes=(*found.notes, note))
    if not known:
        raise UserError("the rest pose is no T-pose or A-pose, and spine, neck or wrists to tell it by are missing")
    turns = _of_clip(rig, at, rest_joints, pos, glob, hinges or hinges_of(at, pos, glob))
    return Rest(turns, up, _ankle(pos, at, up), f"the movement of {len(pos)} frames", 0.7)


def _of_rest_pose(
    rig: Rig, at: Mapping[str, int], rest_joints: np.ndarray, pos: np.ndarray, glob: np.ndarray, axes: np.ndarray,
    turns: dict[str, np.ndarray],
) -> Rest:  # fmt: skip
    above = rig.parents[at["pelvis"]]
    up = _turned_up(axes[:, 1], None if above < 0 else glob[:, above])
    notes: tuple[str, ...] = ()
    moved = by_movement(pos, at)
    if rig.up is None and moved is not None and abs(moved @ up) < 0.5 and not _stands(pos, at, up).any():
        names = [_axis_name(v) for v in (up, moved)]
        if _lies_on_floor(pos, at, up):
            notes = (f"the body lies along {names[1]} throughout; up is {names[0]}, as at rest",)
        else:
            notes = (f"upright at rest is {names[0]}, in the movement {names[1]}, which is taken",)
            up = moved
    ankle = float((rest_joints[at["l_ankle"]] + rest_joints[at["r_ankle"]]) @ axes[:, 1]) / 2
    source = "the pose of the mesh" if rig.bound else "the rest pose"
    return Rest(turns, up, ankle, source, 1.0 - 0.2 * len(notes), notes)


def _axis_name(axis: np.ndarray) -> str:
    k = int(np.abs(axis).argmax())
    return ("-" if axis[k] < 0 else "") + "XYZ"[k]


def _ankle(pos: np.ndarray, at: Mapping[str, int], up: np.ndarray) -> float:
    """The height of the lower ankle where it is lowest, but for a few frames."""
    heights = np.minimum(pos[:, at["l_ankle"]] @ up, pos[:, at["r_ankle"]] @ up)
    return float(np.percentile(heights, 5))


def by_movement(pos: np.ndarray, at: Mapping[str, int]) -> np.ndarray | None:
    """(3,) the axis along which a clip (T, J, 3) stands: head above feet in most frames, feet on a floor at 0; None
    where no axis is sure."""
    for axis in (*np.eye(3), *-np.eye(3)):
        feet = abs(_ankle(pos, at, axis)) <= LEVEL_FLOOR * _leg(pos, at)
        if feet and _stands(pos, at, axis).mean() >= UPRIGHT_SHARE:
            return np.asarray(axis)
    return None


def _stands(pos: np.ndarray, at: Mapping[str, int], axis: np.ndarray) -> np.ndarray:
    """(T,) whether the body stands along an axis."""
    feet = (pos[:, at["l_ankle"]] + pos[:, at["r_ankle"]]) / 2
    return np.asarray(unit(top_of(pos, at) - feet) @ axis >= UPRIGHT_COSINE)


def _lies_on_floor(pos: np.ndarray, at: Mapping[str, int], up: np.ndarray) -> bool:
    """Whether a body's lowest joint is on a floor at 0 in most frames."""
    low = (pos[:, list(at.values())] @ up).min(1) / _leg(pos, at)
    return float(((low > ON_FLOOR[0]) & (low < ON_FLOOR[1])).mean()) >= UPRIGHT_SHARE


def _leg(pos: np.ndarray, at: Mapping[str, int]) -> float:
    """The usual distance from hip to ankle in a clip."""
    return float(np.median(np.linalg.norm(pos[:, at["l_hip"]] - pos[:, at["l_ankle"]], axis=-1)))


def top_of(points: np.ndarray, at: Mapping[str, int]) -> np.ndarray:
    """Head, or what is highest where there is none: (..., J, 3) -> (..., 3)."""
    name = next((n for n in ("head", "neck") if n in at), None)
    if name is not None:
        return np.asarray(points[..., at[name], :])
    return np.asarray((points[..., at["l_shoulder"], :] + points[..., at["r_shoulder"], :]) / 2)


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


def _standing(rest_joints: np.ndarray, at: Mapping[str, int], axes: np.ndarray) -> dict[str, np.ndarray] | None:
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


def _turned_up(up: np.ndarray, above: np.ndarray | None) -> np.ndarray:
    """The file's vertical axis (3,), from the rest pose's `up` (3,) and the joint above the pelvis (T, 3, 3)."""
    if above is None:
        return up
    turned = above @ up
    k = int(np.abs(turned[0]).argmax())
    if np.ptp(turned, axis=0).max() > 1e-3 or abs(turned[0, k]) < 0.9:
        return up
    return np.asarray(np.sign(turned[0, k]) * np.eye(3)[k])


def hinges_of(at: Mapping[str, int], pos: np.ndarray, glob: np.ndarray) -> dict[str, np.ndarray]:
    """Of each knee's and elbow's joints the axis (3,) about which it bends, in the joint's axes: the mean of bone times
    bone, as long as the sine of the bend. Clips of one rig may be summed."""
    out: dict[str, np.ndarray] = {}
    for side in "lr":
        for joints in (("hip", "knee", "ankle", "foot"), ("shoulder", "elbow", "wrist")):
            names = [f"{side}_{j}" for j in joints if f"{side}_{j}" in at]
            if len(names) > 2:
                above, below = (unit(pos[:, at[b]] - pos[:, at[a]]) for a, b in zip(names, names[1:3], strict=False))
                out |= {n: _own(glob, at[n], np.cross(above, below)) for n in names[:-1]}
    return out


def _own(glob: np.ndarray, j: int, vectors: np.ndarray) -> np.ndarray:
    """(3,) mean over a clip of vectors of the world (T, 3) in a joint's axes."""
    return np.asarray(np.einsum("tij,ti->j", glob[:, j], vectors) / len(vectors))


def _of_clip(
    rig: Rig, at: Mapping[str, int], rest_joints: np.ndarray, pos: np.ndarray, glob: np.ndarray,
    hinges: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:  # fmt: skip
    """C of every mapped joint where zero is no pose, from its own children over the clip."""
    ends = "collar" if {"l_collar", "r_collar"} <= at.keys() else "shoulder"

    def bone(a: str, b: str) -> np.ndarray:
        return unit(_own(glob, at[a], pos[:, at[b]] - pos[:, at[a]]))

    def zero_or_mean(name: str, world: np.ndarray, zero: np.ndarray, along: np.ndarray) -> np.ndarray:
        """A direction of the trunk in a joint's axes: as where its rotation is zero, unless no body holds that."""
        mean, flat = _own(glob, at[name], world), zero - along * (along @ zero)
        is_near = np.linalg.norm(flat) > 0.5 and degrees(flat, mean - along * (along @ mean)) <= LIKELY
        return flat if is_near else mean

    hips, sides = (pos[:, at[f"l_{n}"]] - pos[:, at[f"r_{n}"]] for n in ("hip", ends))
    zero_left = unit(rest_joints[at[f"l_{ends}"]] - rest_joints[at[f"r_{ends}"]])
    chain = [n for n in _CHAIN if n in at]
    out: dict[str, np.ndarray] = {}
    ups: dict[str, np.ndarray] = {}
    for name, end in zip(chain, chain[1:], strict=False):
        along = ups[name] = bone(name, end)
        if name == "pelvis":
            left = _own(glob, at[name], hips)
        elif name == "spine3":
            left = _own(glob, at[name], sides)
        else:
            across = sides if name in ("neck", "head") else unit(hips) + unit(sides)
            left = zero_or_mean(name, across, zero_left, along)
        out[name] = frame_turn(along, left, unit(_REST[end] - _REST[name]), _LEFT)
    chest_up = np.einsum("tij,j->ti", glob[:, at["spine3"]], ups["spine3"])
    last, tip = chain[-1], rig.tips.get(at[chain[-1]], np.zeros(3))
    mean_up = unit(_own(glob, at[last], chest_up))
    likely = [unit(v) for v in (tip, ups[chain[-2]]) if np.linalg.norm(v) > 0 and degrees(v, mean_up) <= LIKELY]
    along = [*likely, mean_up][0]
    out[last] = frame_turn(along, zero_or_mean(last, sides, zero_left, along), _UP, _LEFT)
    for side in "lr":
        collar, shoulder = f"{side}_collar", f"{side}_shoulder"
        if collar in at:
            along = bone(collar, shoulder)
            ours = unit(_REST[shoulder] - _REST[collar])
            out[collar] = frame_turn(along, zero_or_mean(collar, chest_up, ups["spine3"], along), ours, _UP)
        for joints, bend in ((("hip", "knee", "ankle", "foot"), "knee"), (("shoulder", "elbow", "wrist"), "elbow")):
            names = [f"{side}_{j}" for j in joints if f"{side}_{j}" in at]
            ours_hinge = np.array(_HINGES[f"{side}_{bend}"], np.float64)
            first = hinges[names[0]]
            if np.linalg.norm(first) < HINGE:
                first = _own(glob, at[names[0]], _unbent(pos, glob, at, out, side, bend, ours_hinge))
            for name, end in zip(names, names[1:], strict=False):
                along, hinge = bone(name, end), hinges.get(name, first)
                flat = first - along * (along @ first)
                weak = np.linalg.norm(hinge) < HINGE or degrees(flat, hinge - along * (along @ hinge)) <= LIKELY
                out[name] = frame_turn(along, flat if weak else hinge, unit(_REST[end] - _REST[name]), ours_hinge)
        out[f"{side}_foot"] = out[f"{side}_ankle"]
        elbow, wrist = f"{side}_elbow", f"{side}_wrist"
        out[wrist] = out[elbow]
        if degrees(bone(f"{side}_shoulder", elbow), bone(elbow, wrist)) > LIKELY:
            # bones along no common axis: the hand is straight on average, not where it is not turned
            hand = np.einsum("tji,tjk->ik", glob[:, at[wrist]], glob[:, at[elbow]] @ out[elbow])
            left, _, right = np.linalg.svd(hand)
            out[wrist] = left @ np.diag([1, 1, np.linalg.det(left @ right)]) @ right
    return {n: c for n, c in out.items() if n in at}


def _unbent(
    pos: np.ndarray, glob: np.ndarray, at: Mapping[str, int], turns: Mapping[str, np.ndarray], side: str, bend: str,
    hinge: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """(T, 3) the axis of a knee or elbow that hardly bends in a clip: as of a limb that swings without twist."""
    start, end, base = (f"{side}_hip", f"{side}_knee", "pelvis") if bend == "knee" else (
        f"{side}_shoulder", f"{side}_elbow", "spine3")  # fmt: skip
    body = glob[:, at[base]] @ turns[base]
    swing = rot.between(body @ unit(_REST[end] - _REST[start]), pos[:, at[end]] - pos[:, at[start]])
    return rot.rotate(swing, body @ hinge)


def frame_turn(theirs: np.ndarray, second: np.ndarray, ours: np.ndarray, our_second: np.ndarray) -> np.ndarray:
    """The rotation (3, 3) taking direction `ours` to `theirs` and `our_second` as near as possible to `second`."""

    def basis(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        a = unit(a)
        b = unit(b - a * (a @ b))
        return np.stack([a, b, np.cross(a, b)], -1)

    out: np.ndarray = basis(theirs, second) @ basis(ours, our_second).T
    return out
