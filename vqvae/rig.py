"""Any joint tree that moves, and which of its joints are ours, found by their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.skeleton import JOINT_NAMES

# Core names (lower case, side and prefix removed) of each target joint, in order of preference.
_CENTRAL = {
    "pelvis": ["hips", "pelvis", "hip"],
    "neck": ["neck", "neck1", "neck01", "neck0", "lowerneck"],
    "head": ["head", "head1"],
}
_SIDED = {
    "hip": ["upleg", "upperleg", "thigh", "upperlimb", "femur", "hip", "legupper", "leg"],
    "knee": ["knee", "lowleg", "lowerleg", "calf", "shin", "leg", "tibia", "leglower"],
    "ankle": ["ankle", "foot"],
    "foot": ["toebase", "toes", "toe", "toe0", "toe1", "ball", "foot"],
    "collar": ["collar", "clavicle", "shoulder", "inshoulder", "shoulder1"],
    "shoulder": ["arm", "upperarm", "uparm", "shldr", "shoulder", "humerus", "armupper"],
    "elbow": ["elbow", "forearm", "lowerarm", "lowarm", "armlower", "radius"],
    "wrist": ["wrist", "hand"],
}
_SPINE = re.compile(r"^(?:spine|chest|upperchest|lowerback|torso|abdomen|thorax|back|upperback|stomach)\d*[a-z]?$")
_OPTIONAL = {"pelvis", "neck", "head", "collar", "foot", "wrist"}
_PREFIX = re.compile(
    r"^(?:(?:bip0*1|mixamorig\d*|character\d*|joint|skel|def|rig|j_bip_c|j_bip|cc_base|b)[ _-]+(?=.)"
    r"|mixamorig\d*(?=[a-z]))",
    re.I,
)
_SUFFIX = re.compile(r"(?<=.)[ _-]+(?:joint|jnt|bone)$", re.I)
_DEFORMING = re.compile(r"^def[ _-]", re.I)  # Rigify's bones that carry the mesh, beside controls of the same names
_NEAR = 0.5  # lengths of a leg, within which the pelvis is from the hips
MAX_LISTED = 12  # names of joints that a message lists
_COPY = re.compile(r"\.\d{3}$")  # Blender's ending of a second object of one name


@dataclass(frozen=True, eq=False)
class Rig:
    """Motion of any joint tree, as a file holds it.

    Attributes:
        names, parents: J joints, parents before children, -1 for the root.
        offsets: (J, 3) rest offsets from the parent, the file's unit.
        rotations: (T, J, 4) local quaternions w, x, y, z relative to rest.
        translations: (T, J, 3) local positions relative to the parent (the rest offset where nothing moves).
        up: (3,) which way is up in the world, or None: it follows from the rest pose and the movement.
        floor: height of the floor in the rest pose along `up`, the file's unit; None: not known.
        bound: the rest pose is the one in which a mesh is bound, or the format demands a T-pose.
        tips: where the bones of joints without children end, (3,) in the joint's axes.
        known: our joint -> the rig's, as somebody states it; all others are found by name.
        unit: metres of a unit of the root's places, as somebody states it.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: np.ndarray
    rotations: np.ndarray
    translations: np.ndarray
    fps: float
    up: np.ndarray | None = None
    floor: float | None = None
    bound: bool = False
    tips: Mapping[int, np.ndarray] = field(default_factory=dict)
    known: Mapping[str, str] = field(default_factory=dict)
    unit: float | None = None

    @cached_property
    def rest_joints(self) -> np.ndarray:
        """(J, 3) places at rest, the root's offset from the origin included."""
        out = np.array(self.offsets, np.float64)
        for j in range(1, len(self.names)):
            out[j] += out[self.parents[j]]
        return out


AXES = {sign + "xyz"[k]: (-1.0 if sign else 1.0) * np.eye(3)[k] for sign in ("", "-") for k in range(3)}


def check_statement(up: str | None, unit: float | None) -> None:
    """Raises UserError unless `up` is one of `AXES` and `unit` in metres, where they are stated."""
    if up is not None and up not in AXES:
        raise UserError(f"up {up!r}; accepted {', '.join(AXES)}")
    if unit is not None and not 0 < unit < np.inf:
        raise UserError(f"unit {unit}; accepted metres above 0")


def state_rig(
    rig: Rig, up: str | None = None, unit: float | None = None, joints: Mapping[str, str] | None = None
) -> Rig:
    """The rig with what somebody states of it: its vertical axis, metres of a unit of its places, names of joints."""
    check_statement(up, unit)
    return replace(rig, up=rig.up if up is None else AXES[up], unit=unit, known=joints or {})


def side_and_core(name: str) -> tuple[str, str]:
    """``mixamorig:LeftUpLeg`` -> ("l", "upleg"); ``Hand_R`` -> ("r", "hand"); ``Spine1`` -> ("", "spine1")."""
    name = _SUFFIX.sub("", _PREFIX.sub("", _COPY.sub("", name.rsplit(":", 1)[-1])))
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)
    low = [p.lower() for p in parts]
    side = ""
    for k, p in enumerate(low):
        if p in ("left", "l", "lf", "lft") or p in ("right", "r", "rt", "rgt"):
            side = p[0]
            del low[k]
            break
    core = "".join(low)
    prefix = re.match(r"(left|right)(?=.)", core)  # in one case throughout nothing parts the words
    return (prefix[1][0], core[prefix.end() :]) if prefix and not side else (side, core)


def match(names: tuple[str, ...], known: Mapping[str, str] = MappingProxyType({})) -> dict[str, int]:
    """Our joint name -> index of the rig's joint, without the spine but for what is `known`."""
    deforming, lacking = _match_joints([n if _DEFORMING.match(n) else "" for n in names])
    joints, missing = (deforming, lacking) if not lacking else _match_joints(names)
    for joint, name in known.items():
        if joint not in JOINT_NAMES or name not in names:
            known_joint = joint in JOINT_NAMES
            accepted = (n for n in names[:MAX_LISTED] if n) if known_joint else JOINT_NAMES
            wrong = f"{joint}: the file has no joint {name!r}" if known_joint else f"no joint {joint!r}"
            raise UserError(f"--map: {wrong}; accepted {', '.join(accepted)}{', ...' * known_joint}")
    stated = {joint: names.index(name) for joint, name in known.items()}
    joints = {n: j for n, j in joints.items() if j not in stated.values()} | stated
    needed = [f"{s}_{n}" for n in _SIDED if n not in _OPTIONAL for s in "lr"]
    missing = [n for n in missing if n not in stated] + [n for n in needed if n not in {*joints, *missing}]
    if missing:
        raise UserError(f"joints not found: {', '.join(missing)}; accepted: the names of VRM, Mixamo, Unreal, ARKit, "
                        "Rigify, 3ds Max, CMU, Bandai-Namco or SMPL rigs, packs that are called like them, or a --map; "
                        f"the file has {', '.join(n for n in names[:MAX_LISTED] if n)}...")  # fmt: skip
    return joints


def joints_known(names: Iterable[str]) -> int:
    """How many joints of ours the names have, of those that cannot be done without, and the optional ones."""
    return len(_match_joints(names)[0])


def _match_joints(names: Iterable[str]) -> tuple[dict[str, int], list[str]]:
    """Our joint name -> index of the rig's joint, and those that are needed and missing."""
    names = tuple(names)
    table: dict[tuple[str, str], int] = {}
    for i, n in enumerate(names):
        table.setdefault(side_and_core(n), i)
    joints: dict[str, int] = {}
    missing: list[str] = []
    for joint, cores in _CENTRAL.items():
        hit = next((table["", c] for c in cores if ("", c) in table), None)
        if hit is not None:
            joints[joint] = hit
        elif joint not in _OPTIONAL:
            missing.append(joint)
    for side in "lr":
        used: set[int] = set()
        # wanted first: joints whose names also serve for a neighbour ("shoulder", "foot", "hip") where that exists
        for joint in ("shoulder", "elbow", "wrist", "collar", "hip", "knee", "ankle", "foot"):
            hits = (table[side, c] for c in _SIDED[joint] if (side, c) in table)
            hit = next((h for h in hits if h not in used), None)
            if hit is not None:
                joints[f"{side}_{joint}"] = hit
                used.add(hit)
            elif joint not in _OPTIONAL:
                missing.append(f"{side}_{joint}")
    for joint in _SIDED:  # a name that fits on one side only stands for a neighbour of the joint that is missing
        pair = [joints.get(f"{side}_{joint}") for side in "lr"]
        ranks = [_SIDED[joint].index(side_and_core(names[i])[1]) if i is not None else -1 for i in pair]
        if ranks[0] != ranks[1] and joint not in _OPTIONAL and min(ranks) >= 0:
            missing.append(f"{'r' if ranks[0] < ranks[1] else 'l'}_{joint}")
    return joints, missing


def joint_map(rig: Rig) -> dict[str, int]:
    """Our joint name -> index of the rig's joint, the spine from where its joints stand between pelvis and neck.

    `UserError` where a needed joint has no counterpart.
    """
    mapped = match(rig.names, rig.known)
    # the spine is what lies between the pelvis and the highest joint of the trunk
    top = next(mapped[n] for n in ("neck", "head", "l_collar", "l_shoulder") if n in mapped)
    # The pelvis is where both legs and the spine meet, whatever the joints above it are called.
    if "pelvis" in mapped:
        named = mapped["pelvis"]
        mapped["pelvis"] = (
            named if "pelvis" in rig.known else _find_meeting(rig, mapped["l_hip"], mapped["r_hip"], named)
        )
    else:
        legs = _find_meeting(rig, mapped["l_hip"], mapped["r_hip"])
        mapped["pelvis"] = _find_meeting(rig, legs, top)
    spine = ancestors(rig.parents, top)[1:]
    if "pelvis" not in rig.known:
        mapped["pelvis"] = _near_hips(rig, mapped, spine)
    if mapped["pelvis"] not in spine:
        raise UserError(f"{rig.names[top]} does not stand on {rig.names[mapped['pelvis']]}; accepted one joint tree")
    spine = spine[: spine.index(mapped["pelvis"])][::-1]
    spine = _find_named_spine(rig, spine) or spine or [mapped["pelvis"]]
    mapped["spine3"] = spine[-1]
    # our three spine joints: lowest, middle, highest
    if len(spine) >= 3:
        mapped["spine1"], mapped["spine2"] = spine[0], spine[len(spine) // 2]
    if not {"neck", "head"} & mapped.keys():  # Blender's Rigify counts the spine on to the head
        higher = [
            j for j in _find_named_spine(rig, range(len(rig.names))) if spine[-1] in ancestors(rig.parents, j)[1:]
        ]
        if higher:
            mapped["neck"], mapped["head"] = higher[0], higher[-1]
    return mapped | {joint: rig.names.index(name) for joint, name in rig.known.items()}


def _find_named_spine(rig: Rig, joints: Iterable[int]) -> list[int]:
    return [j for j in joints if _SPINE.match(side_and_core(rig.names[j])[1])]


def ancestors(parents: Sequence[int], joint: int) -> list[int]:
    """A joint and all above it, upwards."""
    line = []
    while joint >= 0:
        line.append(joint)
        joint = parents[joint]
    return line


def _find_meeting(rig: Rig, a: int, b: int, named: int = -1) -> int:
    """`named` if it is above both a and b, otherwise their lowest common ancestor."""
    line, line_b = ancestors(rig.parents, a), ancestors(rig.parents, b)
    return named if named in line and named in line_b else next(j for j in line if j in line_b)


def _near_hips(rig: Rig, mapped: dict[str, int], spine: list[int]) -> int:
    """The pelvis, or where legs and spine hang side by side on a joint far from the hips, as on the origin, the joint
    of the spine that is nearest to them."""
    rest_joints = rig.rest_joints
    hips = (rest_joints[mapped["l_hip"]] + rest_joints[mapped["r_hip"]]) / 2
    away = np.linalg.norm(rest_joints - hips, axis=1)
    leg = float(np.linalg.norm(rest_joints[mapped["l_ankle"]] - rest_joints[mapped["l_hip"]]))
    nearest = min(spine, key=lambda j: away[j], default=mapped["pelvis"])
    far = away[mapped["pelvis"]] > _NEAR * leg and away[nearest] <= _NEAR * leg
    return nearest if far and nearest not in ancestors(rig.parents, mapped["pelvis"]) else mapped["pelvis"]


def world(rig: Rig) -> tuple[np.ndarray, np.ndarray]:
    """Positions (T, J, 3), the file's unit, and global rotations (T, J, 3, 3) of every joint."""
    local = rot.to_matrix(rig.rotations)
    glob, pos = [local[:, 0]], [rig.translations[:, 0]]
    for j in range(1, len(rig.parents)):
        p = rig.parents[j]
        pos.append(pos[p] + (glob[p] @ rig.translations[:, j, :, None])[..., 0])
        glob.append(glob[p] @ local[:, j])
    return np.stack(pos, 1), np.stack(glob, 1)


def rig_of(
    names: tuple[str, ...], parents: tuple[int, ...], rest_pose: tuple[np.ndarray, np.ndarray],
    turns: np.ndarray, places: np.ndarray, fps: float,
) -> Rig:  # fmt: skip
    """A rig from rotations (T, J, 4) and positions (T, J, 3) in the world: rotations become turns away from rest.

    `rest_pose`: rotations (J, 4), of any axes, and positions (J, 3) of the joints in the world at rest.
    """
    away = rot.multiply(turns, rot.conjugate(rest_pose[0]))
    local, moved, offsets = away.copy(), places.copy(), rest_pose[1].copy()
    for j, p in enumerate(parents):
        if p >= 0:
            back = rot.conjugate(away[:, p])
            local[:, j] = rot.multiply(back, away[:, j])
            moved[:, j] = rot.rotate(back, places[:, j] - places[:, p])
            offsets[j] = rest_pose[1][j] - rest_pose[1][p]
    return Rig(names, parents, offsets, local, moved, fps)
