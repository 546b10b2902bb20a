"""From any humanoid rig to the project's 22 joints: joint names, axes, rest pose and size.

Every limb bone takes the source's global rotation relative to the source's rest pose, corrected by the shortest turn
between the two rest directions, so that the bone points exactly where the source's does (an A-pose or arms-down rest
becomes right). Torso, head, collars and feet take the rotation relative to rest alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22

# Core names (lower case, side and prefix removed) of each target joint, in order of preference.
_CENTRAL = {
    "pelvis": ["hips", "pelvis", "hip", "root", "bip01", "bip001"],
    "neck": ["neck", "neck1", "neck01", "lowerneck"],
    "head": ["head", "head1"],
}
_SIDED = {
    "hip": ["upleg", "upperleg", "thigh", "upperlimb", "femur", "hip", "legupper"],
    "knee": ["knee", "lowleg", "lowerleg", "calf", "shin", "leg", "tibia", "leglower"],
    "ankle": ["ankle", "foot"],
    "foot": ["toebase", "toes", "toe", "toe0", "toe1", "ball", "foot"],
    "collar": ["collar", "clavicle", "shoulder", "inshoulder"],
    "shoulder": ["arm", "upperarm", "uparm", "shldr", "shoulder", "humerus", "armupper"],
    "elbow": ["elbow", "forearm", "lowerarm", "lowarm", "armlower", "radius"],
    "wrist": ["wrist", "hand"],
}
_SPINE = re.compile(r"^(?:spine|chest|upperchest|lowerback|torso|abdomen|thorax|back|upperback|stomach)\d*[a-z]?$")
_OPTIONAL = {"neck", "head", "collar", "foot", "wrist"}
_TOE_HEIGHT = 0.02  # metres of the foot joint above the floor when standing


@dataclass(frozen=True, eq=False)
class Rig:
    """Motion of any joint tree, as a file holds it.

    Attributes:
        names, parents: J joints, parents before children, -1 for the root.
        offsets: (J, 3) rest offsets from the parent, the file's unit.
        rotations: (T, J, 4) local quaternions w, x, y, z relative to rest.
        translations: (T, J, 3) local positions relative to the parent (the rest offset where nothing moves).
        fps: frames per second.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: np.ndarray
    rotations: np.ndarray
    translations: np.ndarray
    fps: float


def side_and_core(name: str) -> tuple[str, str]:
    """``mixamorig:LeftUpLeg`` -> ("l", "upleg"); ``Hand_R`` -> ("r", "hand"); ``Spine1`` -> ("", "spine1")."""
    name = name.rsplit(":", 1)[-1]
    name = re.sub(r"^(?:bip0*1|mixamorig\d*|character\d*|joint|skel|def|rig)[ _-]+(?=.)", "", name, flags=re.I)
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)
    low = [p.lower() for p in parts]
    side = ""
    for k, p in enumerate(low):
        if p in ("left", "l", "lf", "lft") or p in ("right", "r", "rt", "rgt"):
            side = p[0]
            del low[k]
            break
    return side, "".join(low)


def match(names: tuple[str, ...]) -> tuple[dict[str, int], list[int]]:
    """Find our joints in a rig.

    Returns:
        target name -> source index (without the spine), and the indices of the spine joints, hips to chest.

    Raises:
        UserError: joints that cannot be done without are missing; lists them.
    """
    table: dict[tuple[str, str], int] = {}
    for i, n in enumerate(names):
        table.setdefault(side_and_core(n), i)
    found: dict[str, int] = {}
    missing: list[str] = []
    for joint, cores in _CENTRAL.items():
        hit = next((table["", c] for c in cores if ("", c) in table), None)
        if hit is not None:
            found[joint] = hit
        elif joint not in _OPTIONAL:
            missing.append(joint)
    for side in "lr":
        used: set[int] = set()
        # wanted first: joints whose names also serve for a neighbour ("shoulder", "foot", "hip") where that exists
        for joint in ("shoulder", "elbow", "wrist", "collar", "hip", "knee", "ankle", "foot"):
            hits = (table[side, c] for c in _SIDED[joint] if (side, c) in table)
            hit = next((h for h in hits if h not in used), None)
            if hit is not None:
                found[f"{side}_{joint}"] = hit
                used.add(hit)
            elif joint not in _OPTIONAL:
                missing.append(f"{side}_{joint}")
    for joint in _SIDED:  # a name that fits on one side only stands for a neighbour of the joint that is missing
        pair = [found.get(f"{side}_{joint}") for side in "lr"]
        ranks = [_SIDED[joint].index(side_and_core(names[i])[1]) if i is not None else -1 for i in pair]
        if ranks[0] != ranks[1] and joint not in _OPTIONAL and min(ranks) >= 0:
            missing.append(f"{'r' if ranks[0] < ranks[1] else 'l'}_{joint}")
    if missing:
        raise UserError(f"joints not found: {', '.join(missing)}; accepted: the names of CMU, Mixamo, 3ds Max, "
                        f"Blender, Bandai-Namco or SMPL rigs; the file has {', '.join(names[:12])}...")  # fmt: skip
    return found, [i for i, n in enumerate(names) if side_and_core(n)[0] == "" and _SPINE.match(side_and_core(n)[1])]


def world(rig: Rig) -> tuple[np.ndarray, np.ndarray]:
    """Global positions (T, J, 3) and rotations (T, J, 4) of every joint."""
    glob, pos = [rig.rotations[:, 0]], [rig.translations[:, 0]]
    for j in range(1, len(rig.parents)):
        p = rig.parents[j]
        pos.append(pos[p] + rot.rotate(glob[p], rig.translations[:, j]))
        glob.append(rot.multiply(glob[p], rig.rotations[:, j]))
    return np.stack(pos, 1), np.stack(glob, 1)


def rest_positions(rig: Rig) -> np.ndarray:
    """(J, 3) joint positions with all rotations identity."""
    out = [np.zeros(3)]
    for j in range(1, len(rig.parents)):
        out.append(out[rig.parents[j]] + rig.offsets[j])
    return np.array(out)


def _frame(up: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Quaternion that takes `up` to +Y and `left` to +X."""
    y = up / np.linalg.norm(up)
    x = left - y * (left @ y)
    x = x / np.linalg.norm(x)
    return rot.from_matrix(np.stack([x, y, np.cross(x, y)]))


def _snapped(direction: np.ndarray) -> np.ndarray:
    """The nearest coordinate axis if it is within 20 degrees (rest poses stand upright, spines are curved)."""
    unit = direction / np.linalg.norm(direction)
    axis = np.zeros(3)
    k = int(np.abs(unit).argmax())
    axis[k] = np.sign(unit[k])
    return axis if unit @ axis > np.cos(np.radians(20)) else unit


def _up_axis(rest_up: np.ndarray, upright: np.ndarray) -> np.ndarray:
    """The world's up: the axis nearest to the rest pose's, unless the moving body clearly stands along another."""
    axis = np.zeros(3)
    k = int(np.abs(rest_up).argmax())
    axis[k] = np.sign(rest_up[k])
    mean = upright.mean(0) / max(float(np.linalg.norm(upright, axis=-1).mean()), 1e-9)
    best = int(np.abs(mean).argmax())
    if mean @ axis < 0.3 and abs(mean[best]) > 0.6:
        axis = np.zeros(3)
        axis[best] = np.sign(mean[best])
    return axis


def retarget(rig: Rig) -> Motion:
    """Transfer a rig's motion to the 22-joint skeleton, in metres, Y up, standing on y = 0.

    The unit and the size of the body follow from the length of the legs.

    Raises:
        UserError: a joint is missing or the rest pose has no extent.
    """
    if set(rig.names) == set(SMPL22.names) and len(rig.names) == len(SMPL22.names):
        return _own(rig)
    found, spine = match(rig.names)
    rest = rest_positions(rig)
    mid_hip = (rest[found["l_hip"]] + rest[found["r_hip"]]) / 2
    shoulders = (rest[found["l_shoulder"]] + rest[found["r_shoulder"]]) / 2
    left = rest[found["l_hip"]] - rest[found["r_hip"]]
    legs = [np.linalg.norm(rest[found[f"{s}_{a}"]] - rest[found[f"{s}_{b}"]])
            for s in "lr" for a, b in (("hip", "knee"), ("knee", "ankle"))]  # fmt: skip
    if min(legs) < 1e-9 or np.linalg.norm(shoulders - mid_hip) < 1e-9 or np.linalg.norm(left) < 1e-9:
        raise UserError("the rest pose has bones of no length")
    ours = -2 * (SMPL22.offsets[SMPL22.index("l_knee"), 1] + SMPL22.offsets[SMPL22.index("l_ankle"), 1])
    scale = ours / sum(legs)
    positions, glob = world(rig)
    torso = _snapped(shoulders - mid_hip)
    rest_turn = _frame(torso, left)
    upright = (positions[:, found["l_shoulder"]] + positions[:, found["r_shoulder"]]
               - positions[:, found["l_hip"]] - positions[:, found["r_hip"]])  # fmt: skip
    up = _up_axis(torso, upright)
    side = left - up * (left @ up)
    turn = _frame(up, side) if np.linalg.norm(side) > 1e-6 else rot.between(up, np.array([0.0, 1, 0]))
    back = rot.conjugate(rest_turn)

    def relative(source: int) -> np.ndarray:
        return rot.multiply(rot.multiply(turn, glob[:, source]), back)

    aligned = rot.rotate(rest_turn, rest)
    ours_rest = SMPL22.rest_joints.astype(np.float64)
    g: dict[str, np.ndarray] = {"pelvis": relative(found["pelvis"])}
    g["spine3"] = relative(spine[-1]) if spine else g["pelvis"]
    if len(spine) >= 3:
        g["spine1"], g["spine2"] = relative(spine[0]), relative(spine[(len(spine) - 1) // 2])
    else:  # bends are spread evenly over our three
        g["spine1"], g["spine2"] = (rot.slerp(g["pelvis"], g["spine3"], f) for f in (1 / 3, 2 / 3))
    g["neck"] = relative(found["neck"]) if "neck" in found else g["spine3"]
    g["head"] = relative(found["head"]) if "head" in found else g["neck"]
    for s in "lr":
        correction = np.array([1.0, 0, 0, 0])
        g[f"{s}_collar"] = relative(found[f"{s}_collar"]) if f"{s}_collar" in found else g["spine3"]
        for joint, child in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist")):
            name, next_name = f"{s}_{joint}", f"{s}_{child}"
            if next_name in found:
                a, b = SMPL22.index(name), SMPL22.index(next_name)
                correction = rot.between(ours_rest[b] - ours_rest[a], aligned[found[next_name]] - aligned[found[name]])
            g[name] = rot.multiply(relative(found[name]), correction)
        g[f"{s}_wrist"] = (rot.multiply(relative(found[f"{s}_wrist"]), correction)
                           if f"{s}_wrist" in found else g[f"{s}_elbow"])  # fmt: skip
        g[f"{s}_ankle"] = relative(found[f"{s}_ankle"])
        g[f"{s}_foot"] = relative(found[f"{s}_foot"]) if f"{s}_foot" in found else g[f"{s}_ankle"]
    local = np.stack([
        g[n] if p < 0 else rot.multiply(rot.conjugate(g[SMPL22.names[p]]), g[n])
        for n, p in zip(SMPL22.names, SMPL22.parents, strict=True)
    ], 1)  # fmt: skip
    hips = (positions[:, found["l_hip"]] + positions[:, found["r_hip"]]) / 2
    between_hips = (SMPL22.offsets[SMPL22.index("l_hip")] + SMPL22.offsets[SMPL22.index("r_hip")]) / 2
    root = scale * rot.rotate(turn, hips) - rot.rotate(g["pelvis"], between_hips)
    feet = SMPL22.fk(local, root)[:, [SMPL22.index("l_foot"), SMPL22.index("r_foot")], 1].min(1)
    root[:, 1] += _TOE_HEIGHT - np.percentile(feet, 2)
    return Motion(local, root, rig.fps)


def _own(rig: Rig) -> Motion:
    """A file with our own joints and rest pose: copied, only the unit is undone."""
    order = [rig.names.index(n) for n in SMPL22.names]
    offsets = rig.offsets[order]
    norm = np.linalg.norm(offsets[1:], axis=-1).sum()
    if norm < 1e-9:
        raise UserError("the rest pose has bones of no length")
    scale = np.linalg.norm(SMPL22.offsets[1:], axis=-1).sum() / norm
    if np.abs(offsets[1:] * scale - SMPL22.offsets[1:]).max() > 0.02:
        raise UserError("joints named as ours but with another rest pose; accepted: a T-pose of the 22 SMPL joints")
    return Motion(rig.rotations[:, order], rig.translations[:, order[0]] * scale, rig.fps)
