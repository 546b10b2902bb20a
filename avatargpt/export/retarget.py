"""A parsed BVH -> our 22 joints: exactly where the skeleton is ours, by joint name and rest pose elsewhere.

For a foreign skeleton every joint of ours takes the world rotation of its counterpart, G_ours = A G_file C: A turns
the file's axes to ours (Y up), and the constant C turns our T-pose bone onto the file's rest bone, so that an A-pose
or splayed legs at rest are taken out; where the file's zero pose is no pose at all (bones along one axis of their
joints, as the Bandai-Namco files have it), C follows from how the bones attach and about which axis limbs bend. The
root follows the middle of the hips, scaled by the length of the legs, which settles the file's unit as well.
"""

from __future__ import annotations

import re

import numpy as np

from avatargpt.export.bvh import Bvh
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22

# Names seen in files, without case, separators and name space; earlier ones are preferred. {s} = l, left; both
# "left..." and "...left"/"..._l" forms are tried. A file joint serves once, so that "LeftShoulder" is the collar
# beside "LeftArm" but the shoulder beside "LeftElbow".
_CENTRE = {
    "pelvis": ("pelvis", "hips", "hip", "root"), "neck": ("neck", "neck1", "spineneck"),
    "head": ("head",),
}  # fmt: skip
_SIDE = {
    "hip": ("upleg", "upperleg", "thigh", "hip", "femur"), "knee": ("knee", "leg", "lowerleg", "calf", "shin", "tibia"),
    "ankle": ("ankle", "foot"), "shoulder": ("arm", "upperarm", "uparm", "humerus", "shldr", "shoulder"),
    "elbow": ("elbow", "forearm", "lowerarm", "lowarm", "radius"), "wrist": ("wrist", "hand"),
    "foot": ("toebase", "toe", "toes", "ball", "foot"), "collar": ("collar", "clavicle", "shoulder"),
}  # fmt: skip
_OPTIONAL = {"foot", "collar", "neck"}
_SPINE = re.compile(r"^(lowerback|abdomen\d*|spine\d*|chest\d*|upperchest|torso\d*|back\d*)$")
# Bones whose rest direction is compared: joint, child.
_BONES = {"hip": "knee", "knee": "ankle", "ankle": "foot", "shoulder": "elbow", "elbow": "wrist"}


def to_motion(bvh: Bvh) -> Motion:
    """Body motion at the file's frame rate.

    Raises:
        UserError: a joint that is needed is missing, or the rest pose cannot be understood.
    """
    exact = _ours(bvh)
    return exact if exact is not None else _retarget(bvh)


def _ours(bvh: Bvh) -> Motion | None:
    """The motion if the file has our joints, tree and bone proportions, in any order and unit."""
    if set(bvh.names) != set(SMPL22.names):
        return None
    order = [bvh.names.index(n) for n in SMPL22.names]
    parents = [bvh.names[bvh.parents[j]] if bvh.parents[j] >= 0 else "" for j in order]
    if parents != [SMPL22.names[p] if p >= 0 else "" for p in SMPL22.parents]:
        return None
    ours, theirs = SMPL22.offsets[1:], bvh.offsets[order][1:]
    scale = float(np.linalg.norm(ours)) / max(float(np.linalg.norm(theirs)), 1e-12)
    if np.abs(theirs * scale - ours).max() > 1e-3:
        return None
    return Motion(bvh.local[:, order], bvh.translation[:, bvh.names.index("pelvis")] * scale, bvh.fps)


def joint_map(bvh: Bvh) -> dict[str, int]:
    """Our joint name -> index of the file's joint.

    Raises:
        UserError: a needed joint has no counterpart.
    """
    known: dict[str, int] = {}
    for j, name in enumerate(bvh.names):
        known.setdefault(re.sub(r"[^a-z0-9]", "", re.split(r"[:|]", name)[-1].lower()), j)
        known.setdefault(re.sub(r"^(mixamorig\d*|bip\d*|joint|jnt)", "", re.sub(r"[^a-z0-9]", "", name.lower())), j)
    found: dict[str, int] = {}

    def take(joint: str, forms: list[str]) -> None:
        for form in forms:
            if form in known and known[form] not in found.values():
                found[joint] = known[form]
                return
        if joint.split("_")[-1] not in _OPTIONAL:
            raise UserError(
                f"{bvh.path}: no joint for {joint} among {', '.join(bvh.names[:6])}...; accepted SMPL, CMU, Mixamo "
                f"or Bandai names, e.g. {forms[0]}"
            )

    for kind, stems in _SIDE.items():
        for letter, word in (("l", "left"), ("r", "right")):
            forms = [f for s in stems for f in (word + s, letter + s, s + letter, s + word)]
            take(f"{letter}_{kind}", forms)
    for joint, stems in _CENTRE.items():
        take(joint, list(stems))
    # The pelvis is where both legs and the spine meet, whatever the joints above it are called.
    found["pelvis"] = _meeting(bvh, found["l_hip"], found["r_hip"], found["pelvis"])
    spine = _chain(bvh, found["neck"] if "neck" in found else found["head"], found["pelvis"])
    if not spine:
        where = f"between {bvh.names[found['pelvis']]} and the head"
        raise UserError(f"{bvh.path}: no spine joint {where}; accepted 1 or more")
    named = [j for j in spine if _SPINE.match(re.sub(r"[^a-z0-9]", "", re.split(r"[:|_]", bvh.names[j])[-1].lower()))]
    spine = named or spine
    found["spine3"] = spine[-1]
    if len(spine) >= 3:
        found["spine1"], found["spine2"] = spine[0], spine[len(spine) // 2]
    return found


def _chain(bvh: Bvh, child: int, ancestor: int) -> list[int]:
    """Joints strictly between, from the ancestor downwards; empty if they are not on one line."""
    out, j = [], bvh.parents[child]
    while j not in (ancestor, -1):
        out.append(j)
        j = bvh.parents[j]
    return out[::-1] if j == ancestor else []


def _meeting(bvh: Bvh, a: int, b: int, named: int) -> int:
    """`named` if it is above both a and b, otherwise their lowest common ancestor."""

    def up(j: int) -> list[int]:
        out = []
        while j >= 0:
            out.append(j)
            j = bvh.parents[j]
        return out

    line, other = up(a), up(b)
    return named if named in line and named in other else next(j for j in line if j in other)


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-9)


def _body_axes(rest: np.ndarray, at: dict[str, int]) -> np.ndarray | None:
    """(3, 3): our axes (left, up, forward) in the file's, snapped to its axes; None if the rest pose does not stand."""
    left = _unit(rest[at["l_hip"]] - rest[at["r_hip"]] + rest[at["l_shoulder"]] - rest[at["r_shoulder"]])
    up = _unit(rest[at["spine3"]] + rest[at["head"]] - rest[at["l_knee"]] - rest[at["r_knee"]])
    axes = np.zeros((3, 3))
    for k, v in enumerate((left, up)):
        i = int(np.abs(v).argmax())
        if abs(v[i]) < 0.8:
            return None
        axes[i, k] = np.sign(v[i])
    axes[:, 2] = np.cross(axes[:, 0], axes[:, 1])
    return axes if abs(np.linalg.det(axes) - 1) < 1e-6 else None


def _standing(rest: np.ndarray, at: dict[str, int], axes: np.ndarray) -> dict[str, np.ndarray] | None:
    """C of every mapped joint (3, 3) from a rest pose that is a T- or A-pose; None if it is neither."""
    out = {name: axes for name in at}
    for side in "lr":
        for joint, child in _BONES.items():
            name, end = f"{side}_{joint}", f"{side}_{child}"
            if end not in at:
                continue
            theirs = _unit(rest[at[end]] - rest[at[name]])
            ours = axes @ _unit(SMPL22.offsets[SMPL22.index(end)])
            angle = np.degrees(np.arccos(np.clip(theirs @ ours, -1, 1)))
            if angle > 110:
                return None
            # Feet stand flat in any rest pose; only where they lie in the bone's joints do they differ.
            if joint != "ankle" or angle > 50:
                out[name] = rot.to_matrix(rot.between(ours, theirs)) @ axes
        out[f"{side}_wrist"] = out[f"{side}_elbow"]
    return out


def _oriented(bvh: Bvh, rest: np.ndarray, at: dict[str, int]) -> dict[str, np.ndarray]:
    """C of every mapped joint for skeletons whose bones lie along an axis of their joints, so that zero is no pose.

    Within each joint's own frame the torso is known from where hips, spine, collars and neck attach, a limb from the
    direction of its bone and the hinge about which the knee or elbow bends in the clip. Collars follow the chest.

    Raises:
        UserError: a limb that is not straight at rest, or that never bends.
    """
    ends = ("collar" if {"l_collar", "r_collar"} <= at.keys() else "shoulder", "neck" if "neck" in at else "head")
    pelvis = _frame(
        rest[at["spine3"]] - rest[at["pelvis"]], rest[at["l_hip"]] - rest[at["r_hip"]],
        np.array([0.0, 1, 0]), np.array([1.0, 0, 0]),
    )  # fmt: skip
    chest = _frame(
        rest[at[ends[1]]] - rest[at["spine3"]], rest[at[f"l_{ends[0]}"]] - rest[at[f"r_{ends[0]}"]],
        np.array([0.0, 1, 0]), np.array([1.0, 0, 0]),
    )  # fmt: skip
    out = {name: chest for name in at if not name.endswith("collar")} | {"pelvis": pelvis}
    for side, sign in (("l", 1.0), ("r", -1.0)):
        for joints, hinge in (
            (("hip", "knee", "ankle", "foot"), np.array([1.0, 0, 0])),
            (("shoulder", "elbow", "wrist"), np.array([0.0, -sign, 0])),
        ):
            names = [f"{side}_{j}" for j in joints if f"{side}_{j}" in at]
            bones = [_unit(rest[at[b]] - rest[at[a]]) for a, b in zip(names, names[1:], strict=False)]
            turns = rot.to_axis_angle(bvh.local[:, at[names[1]]]).mean(0)
            turns -= bones[1] * (turns @ bones[1])
            if bones[0] @ bones[1] < 0.94 or np.linalg.norm(turns) < np.radians(3):
                raise UserError(
                    f"{bvh.path}: the rest pose is no T-pose or A-pose and {names[1]} does not tell how the limb is "
                    "turned (it must be straight at rest and bend in the clip); accepted a T-pose or A-pose at rest"
                )
            for name, end, bone in zip(names, names[1:], bones, strict=False):
                out[name] = _frame(bone, turns, _unit(SMPL22.offsets[SMPL22.index(end)]), hinge)
        out[f"{side}_wrist"] = out[f"{side}_elbow"]
    return out


def _frame(theirs: np.ndarray, second: np.ndarray, ours: np.ndarray, our_second: np.ndarray) -> np.ndarray:
    """The rotation (3, 3) taking direction `ours` to `theirs` and `our_second` as near as possible to `second`."""

    def basis(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        a = _unit(a)
        b = _unit(b - a * (a @ b))
        return np.stack([a, b, np.cross(a, b)], -1)

    out: np.ndarray = basis(theirs, second) @ basis(ours, our_second).T
    return out


def _retarget(bvh: Bvh) -> Motion:
    at = joint_map(bvh)
    rest = np.zeros((len(bvh.names), 3))
    for j in range(1, len(bvh.names)):
        rest[j] = rest[bvh.parents[j]] + bvh.offsets[j]
    pos, glob = bvh.world()
    axes = _body_axes(rest, at)
    standing = None if axes is None else _standing(rest, at, axes)
    if axes is None or standing is None:
        # the clip itself must tell which way is up
        body = pos[:, at["head"]] - (pos[:, at["l_ankle"]] + pos[:, at["r_ankle"]]) / 2
        up = np.array([0.0, 0, 1] if body[:, 2].mean() > 2 * abs(body[:, 1].mean()) else [0.0, 1, 0])
        corrections = _oriented(bvh, rest, at)
    else:
        up, corrections = axes[:, 1], standing
    world = rot.to_matrix(rot.between(up, np.array([0.0, 1.0, 0.0])))
    target = {n: world @ glob[:, at[n]] @ c for n, c in corrections.items()}
    quats = {n: rot.from_matrix(m) for n, m in target.items()}
    chest = quats["spine3"]
    if "spine1" not in quats:
        quats["spine1"] = rot.slerp(quats["pelvis"], chest, 1 / 3)
        quats["spine2"] = rot.slerp(quats["pelvis"], chest, 2 / 3)
    quats.setdefault("neck", rot.slerp(chest, quats["head"], 0.5))
    for side in "lr":
        quats.setdefault(f"{side}_collar", chest)
        quats[f"{side}_foot"] = quats[f"{side}_ankle"]
    whole = np.stack([quats[n] for n in SMPL22.names], 1)
    local = whole.copy()
    for j in range(1, len(SMPL22.parents)):
        local[:, j] = rot.multiply(rot.conjugate(whole[:, SMPL22.parents[j]]), whole[:, j])
    scale = _leg(SMPL22.offsets, [SMPL22.index(n) for n in ("l_knee", "l_ankle")]) / _file_leg(bvh, rest, at)
    middle = (pos[:, at["l_hip"]] + pos[:, at["r_hip"]]) / 2 @ world.T * scale
    ours = (SMPL22.offsets[1] + SMPL22.offsets[2]) / 2
    return Motion(local, middle - rot.rotate(quats["pelvis"], ours), bvh.fps)


def _leg(offsets: np.ndarray, joints: list[int]) -> float:
    return float(np.linalg.norm(offsets[joints], axis=-1).sum())


def _file_leg(bvh: Bvh, rest: np.ndarray, at: dict[str, int]) -> float:
    length = sum(
        float(np.linalg.norm(rest[at[f"{s}_{a}"]] - rest[at[f"{s}_{b}"]]))
        for s in "lr" for a, b in (("knee", "hip"), ("ankle", "knee"))
    )  # fmt: skip
    if length <= 1e-6:
        raise UserError(f"{bvh.path}: legs of length 0 in the OFFSETs; accepted a skeleton with bone lengths")
    return length / 2
