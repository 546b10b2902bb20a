"""Any humanoid rig -> our 22 joints: exactly where the skeleton is ours, by joint name and rest pose elsewhere.

For a foreign skeleton every joint of ours takes the world rotation of its counterpart, G_ours = A G_file C: A turns the
file's axes to ours (Y up), and the constant C turns our T-pose onto the file's rest, by the evidence of `vqvae.rest`.
The root follows the middle of the hips, scaled by the length of the legs, which settles the file's unit as well; where
the floor is known, the root is raised or lowered by the difference of ankle heights.

Fingers are found by name. A hand at rest is known by its knuckles: the direction from the wrist to the middle finger's
and from the little finger's to the index finger's give its axes, whatever the arm does. Every finger bone has a
constant C like the joints of the body.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion
from vqvae.posture import check_human
from vqvae.rest import GivesMeans, Rest, rest_of
from vqvae.rig import Rig, joint_map, side_and_core, world
from vqvae.skeleton import FINGER_NAMES, FINGERS, SMPL22, SMPL52, finger_ends
from vqvae.upright import root_ratio

STANDING = 0.07  # metres from the floor to our ankle where a foot is flat on it, as recorded bodies have it
SAME_UNIT = 3.0  # ratio of a stated unit to that of the legs, up to which they are one: bodies have all sizes
HALF = len(FINGER_NAMES) // 2  # finger joints of a hand, the left one's first
_NUMBERED = re.compile(r"^(?:hand|f|finger)?(thumb|index|middle|mid|ring|pinky|pinkie|little)(?:finger)?0?(\d)$")
_BIPED = re.compile(r"^finger([0-4])([12]?)$")
_WORDS = re.compile(r"^(?:hand)?(thumb|index|middle|ring|little|pinky)(metacarpal|proximal|intermediate|distal)$")
_SAME = {"mid": "middle", "pinkie": "pinky", "little": "pinky"}
_ORDER = ("metacarpal", "proximal", "intermediate", "distal")


def retarget(
    rig: Rig, hands: bool = False, means: GivesMeans | None = None, reading: RigReading | None = None
) -> Motion:
    """Transfer a rig's motion to the 22-joint skeleton, in metres, Y up, at the rig's frame rate.

    The unit and the size of the body follow from the length of the legs; heights are the file's. `hands` makes a
    gesture, with the rig's fingers if it has some; our own skeleton with fingers is a gesture in any case. `means`: of
    several clips of the rig, see `vqvae.rest.rest_of`. `reading`: that of `understand`, where it is there already.
    """
    exact = None if rig.up is not None or rig.known else _ours(rig)
    if exact is None:
        return _by_names(understand(rig, means) if reading is None else reading, hands)
    return replace(exact, modality="gesture") if hands else exact


def _ours(rig: Rig) -> Motion | None:
    """The motion if the file has our joints, tree and bone proportions, in any order and unit; else None."""
    skeleton = next((s for s in (SMPL22, SMPL52) if set(rig.names) == set(s.names)), None)
    if skeleton is None:
        return None
    order = [rig.names.index(n) for n in skeleton.names]
    parents = [rig.names[rig.parents[j]] if rig.parents[j] >= 0 else "" for j in order]
    if parents != [skeleton.names[p] if p >= 0 else "" for p in skeleton.parents]:
        return None
    ours, theirs = skeleton.offsets[1:], rig.offsets[order][1:]
    scale = float(np.linalg.norm(ours)) / max(float(np.linalg.norm(theirs)), 1e-12)
    if np.abs(theirs * scale - ours).max() > 1e-3:
        return None
    turns, root = rig.rotations[:, order], rig.translations[:, rig.names.index("pelvis")] * scale
    body, fingers = turns[:, : len(SMPL22.names)], turns[:, len(SMPL22.names) :]
    if skeleton is SMPL22:
        return Motion(body, root, rig.fps)
    return Motion(body, root, rig.fps, "gesture", fingers=fingers)


def add_hands(rig: Rig, at: dict[str, int], rest_joints: np.ndarray) -> dict[str, np.ndarray]:
    """C of the wrists and of all finger joints, whose places are added to `at`; none where the rig has no fingers."""
    fingers = finger_map(rig.names)
    if not fingers:
        return {}
    if not {"l_wrist", "r_wrist"} <= at.keys():
        raise UserError("fingers, but no wrists; accepted hands with both, or neither")
    out: dict[str, np.ndarray] = {}
    for side, names in (("l", FINGER_NAMES[:HALF]), ("r", FINGER_NAMES[HALF:])):
        places = {n: rest_joints[fingers[n]] for n in names}
        wrist = rest_joints[at[f"{side}_wrist"]]
        hand = hand_turn(side, places[f"{side}_middle1"] - wrist, places[f"{side}_index1"] - places[f"{side}_pinky1"])
        # the last bone is taken to go on as the one before: many files do not say where tips are
        ends = [names[k + 1] if n[-1] != "3" else n for k, n in enumerate(names)]
        begins = [n if n[-1] != "3" else names[k - 1] for k, n in enumerate(names)]
        lying = np.stack([places[e] - places[b] for b, e in zip(begins, ends, strict=True)])
        if np.linalg.norm(lying, axis=1).min() < 1e-9:
            raise UserError("finger joints that lie on one another at rest; accepted fingers of some length")
        out |= dict(zip(names, bone_turns(side, hand, lying), strict=True)) | {f"{side}_wrist": hand}
    at.update(fingers)
    return out


class RigReading(NamedTuple):
    """What was understood of a foreign rig.

    Attributes:
        joints: our joint -> index of the rig's. human: of `vqvae.posture.check_human`.
        scale: metres of a unit, by the legs.
        places, turns: (T, J, 3) and (T, J, 3, 3) of the rig's joints in the file's world.
    """

    rig: Rig
    joints: dict[str, int]
    human: dict[str, float]
    rest: Rest
    scale: float
    places: np.ndarray
    turns: np.ndarray
    notes: tuple[str, ...]

    @property
    def evidence(self) -> dict[str, float]:
        """What was looked at, and how much it speaks for the reading, from 0 to 1."""
        return self.human | {"where the rest is from": self.rest.confidence}


def understand(rig: Rig, means: GivesMeans | None = None) -> RigReading:
    """Which joints are ours and how they are at rest, with the evidence. `means`: see `vqvae.rest.rest_of`.

    Raises:
        UserError: joints that are missing, a body that is no human's, or a rest that nothing tells.
    """
    at, notes = joint_map(rig), list[str]()
    ours = leg_length(SMPL22.rest_joints, {n: SMPL22.index(n) for n in SMPL22.names})
    scale = ours / leg_length(rig.rest_joints, at)
    pos, glob = world(rig)
    ratio = root_ratio(pos, at) if rig.unit is None else scale / rig.unit
    if (ratio > 1 and rig.unit is None) or max(ratio, 1 / ratio) > SAME_UNIT:
        nearer = np.where(np.arange(len(rig.names)) == 0, ratio, 1.0)  # the root
        rig = replace(rig, translations=rig.translations / nearer[:, None])
        pos, glob = world(rig)
        if rig.unit is None:
            notes.append(f"the root is {ratio:g} times too high for the legs: another unit; --unit says which")
    human = check_human(at, rig.rest_joints, pos, rig.bound)
    rest = rest_of(rig, at, rig.rest_joints, pos, glob, means)
    return RigReading(rig, at, human, rest, scale, pos, glob, (*notes, *rest.notes))


def _by_names(reading: RigReading, hands: bool) -> Motion:
    rig, at, rest, scale = reading.rig, reading.joints, reading.rest, reading.scale
    pos, glob, rest_joints = reading.places, reading.turns, rig.rest_joints
    corrections = rest.turns | (add_hands(rig, at, rest_joints) if hands else {})
    upright = rot.to_matrix(rot.between(rest.up, np.array([0.0, 1.0, 0.0])))
    # G_ours = A G_file C, see the module
    target = {n: upright @ glob[:, at[n]] @ c for n, c in corrections.items() if n in at}
    quats = {n: rot.from_matrix(m) for n, m in target.items()}
    chest = quats["spine3"]
    # joints that the file lacks follow from their neighbours
    if "spine1" not in quats:
        quats["spine1"] = rot.slerp(quats["pelvis"], chest, 1 / 3)
        quats["spine2"] = rot.slerp(quats["pelvis"], chest, 2 / 3)
    quats.setdefault("head", quats.get("neck", chest))
    quats.setdefault("neck", rot.slerp(chest, quats["head"], 0.5))
    for side in "lr":
        quats.setdefault(f"{side}_collar", chest)
        quats.setdefault(f"{side}_wrist", quats[f"{side}_elbow"])
        quats[f"{side}_foot"] = quats[f"{side}_ankle"]
    local = rot.below_parents(np.stack([quats[n] for n in SMPL22.names], 1), SMPL22.parents)
    # the root follows the middle of the hips, in metres by the length of the legs
    middle = (pos[:, at["l_hip"]] + pos[:, at["r_hip"]]) / 2 @ upright.T * scale
    ours = (SMPL22.offsets[1] + SMPL22.offsets[2]) / 2
    root = middle - rot.rotate(quats["pelvis"], ours)
    if rig.floor is not None:  # feet are not as high as legs are long
        root = root + np.array([0.0, STANDING - (rest.ankle - rig.floor) * scale, 0.0])
    if not hands:
        return Motion(local, root, rig.fps, notes=reading.notes)
    fingers = None
    if FINGER_NAMES[0] in quats:
        turned = np.stack([quats[n] for n in FINGER_NAMES], 1)
        both = (("l_wrist", turned[:, :HALF]), ("r_wrist", turned[:, HALF:]))
        fingers = np.concatenate([below_wrist(quats[wrist], hand) for wrist, hand in both], 1)
    return Motion(local, root, rig.fps, "gesture", notes=reading.notes, fingers=fingers)


def leg_length(rest_joints: np.ndarray, at: dict[str, int]) -> float:
    """Mean length of thigh plus shin of both legs."""
    length = sum(
        float(np.linalg.norm(rest_joints[at[f"{s}_{a}"]] - rest_joints[at[f"{s}_{b}"]]))
        for s in "lr" for a, b in (("knee", "hip"), ("ankle", "knee"))
    )  # fmt: skip
    if length <= 1e-6:
        raise UserError("the rest pose has legs of no length; accepted a skeleton whose leg bones have a length")
    return length / 2


def _finger(name: str) -> tuple[str, str, int] | None:
    """``LeftHandThumb1`` -> ("l", "thumb", 1); None for what is no joint of a finger."""
    side, core = side_and_core(name)
    if side and (hit := _NUMBERED.match(core)):
        return side, _SAME.get(hit[1], hit[1]), int(hit[2])
    if side and (hit := _BIPED.match(core)):
        return side, FINGERS[int(hit[1])], int(hit[2] or 0) + 1
    if side and (hit := _WORDS.match(core)):
        # only thumbs are counted from the metacarpal on; VRM 0 begins theirs with the proximal bone
        return side, _SAME.get(hit[1], hit[1]), _ORDER.index(hit[2]) + (hit[1] == "thumb")
    return None


def finger_map(names: tuple[str, ...]) -> dict[str, int]:
    """Our finger joint -> index of the rig's joint; empty where it has no fingers."""
    joints_by_finger: dict[tuple[str, str], dict[int, int]] = {}
    for i, name in enumerate(names):
        if (finger := _finger(name)) is not None:
            joints_by_finger.setdefault(finger[:2], {}).setdefault(finger[2], i)
    if not joints_by_finger:
        return {}
    out: dict[str, int] = {}
    # three joints of each finger, from the palm on
    missing = []
    for side in "lr":
        for finger_name in FINGERS:
            joints = joints_by_finger.get((side, finger_name), {})
            # Of more than three joints, 0 and the tip are left out: their turns are in the joints below them.
            chosen = [joints[k] for k in sorted(joints) if k or len(joints) < 4][:3]
            if len(chosen) < 3:
                missing.append(f"{side}_{finger_name}")
            out |= {f"{side}_{finger_name}{k}": j for k, j in enumerate(chosen, 1)}
    if missing:
        raise UserError(f"fingers without three joints: {', '.join(missing)}; accepted five of each hand, or none")
    return out


def bones(side: str) -> np.ndarray:
    """(15, 3) our finger bones at rest, from each joint to the next or to the tip, metres."""
    first = len(SMPL22.names) + (0 if side == "l" else HALF)
    return np.stack([finger_ends(first + k) for k in range(HALF)])


def hand_turn(side: str, forward: np.ndarray, across: np.ndarray) -> np.ndarray:
    """(3, 3) turn of our hand at rest onto another, known by two directions (3,).

    `forward` is from the wrist to the middle finger's knuckle, `across` from the little finger's to the index finger's.
    """
    at = {n: SMPL52.offsets[SMPL52.index(f"{side}_{n}")] for n in ("index1", "middle1", "pinky1")}
    theirs, ours = _axes(forward, across), _axes(at["middle1"], at["index1"] - at["pinky1"])
    if theirs is None or ours is None:
        raise UserError("the knuckles of a hand lie in one line at rest; accepted a hand with a palm")
    return np.asarray(theirs @ ours.T)


def _axes(forward: np.ndarray, across: np.ndarray) -> np.ndarray | None:
    a = forward / max(float(np.linalg.norm(forward)), 1e-12)
    b = across - a * (across @ a)
    if np.linalg.norm(forward) < 1e-9 or np.linalg.norm(b) < 1e-9:
        return None
    b = b / np.linalg.norm(b)
    return np.stack([a, b, np.cross(a, b)], -1)


def bone_turns(side: str, hand: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """(15, 3, 3) C of every finger joint: the hand's turn, then the shortest way onto the bone as it lies at rest.

    `hand` (3, 3) is from :func:`hand_turn`; `theirs` (15, 3) are the other hand's bones at rest, of any length.
    """
    laid = bones(side) @ hand.T
    return np.asarray(rot.to_matrix(rot.between(laid, theirs)) @ hand)


def below_wrist(wrist: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Rotations of one hand in the world, wrist (T, 4) and fingers (T, 15, 4), -> fingers below their parents."""
    parents = np.concatenate([wrist[:, None], turns[:, :-1]], 1)
    parents[:, ::3] = wrist[:, None]
    return np.asarray(rot.multiply(rot.conjugate(parents), turns))
