"""Fingers of any hand -> our 30 joints: found by their names, turned to our straight hand at rest.

A hand at rest is known by where its knuckles are: the way from the wrist to the middle finger's and the way from the
little finger's to the index finger's give its axes, whatever the arm does. Every bone of a finger then has a constant C
that turns our bone at rest onto the file's, so that G_ours = G_file C, as for the joints of the body
(`vqvae.retarget`).
"""

from __future__ import annotations

import re

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.rig import side_and_core
from vqvae.skeleton import FINGER_NAMES, FINGERS, SMPL22, SMPL52, finger_ends

HALF = len(FINGER_NAMES) // 2  # finger joints of a hand, the left one's first
_NUMBERED = re.compile(r"^(?:hand|f|finger)?(thumb|index|middle|mid|ring|pinky|pinkie|little)(?:finger)?0?(\d)$")
_BIPED = re.compile(r"^finger([0-4])([12]?)$")
_WORDS = re.compile(r"^(?:hand)?(thumb|index|middle|ring|little|pinky)(metacarpal|proximal|intermediate|distal)$")
_SAME = {"mid": "middle", "pinkie": "pinky", "little": "pinky"}
_ORDER = ("metacarpal", "proximal", "intermediate", "distal")


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
    """Our finger joint -> index of the rig's joint; empty where it has no fingers.

    Of more than three joints those named 0 and the tip are left out: what they turn is in the joints below them.

    Raises:
        UserError: some fingers, but not three joints of each.
    """
    found: dict[tuple[str, str], dict[int, int]] = {}
    for i, name in enumerate(names):
        if (finger := _finger(name)) is not None:
            found.setdefault(finger[:2], {}).setdefault(finger[2], i)
    if not found:
        return {}
    out: dict[str, int] = {}
    missing = []
    for side in "lr":
        for finger_name in FINGERS:
            joints = found.get((side, finger_name), {})
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
    """(3, 3) what turns our hand at rest onto another.

    Args:
        forward: (3,) from its wrist to the knuckle of the middle finger. across: (3,) from that of the little finger
            to that of the index finger.

    Raises:
        UserError: the knuckles lie in one line.
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

    Args:
        hand: (3, 3) from :func:`hand_turn`. theirs: (15, 3) the other hand's bones at rest, of any length.
    """
    laid = bones(side) @ hand.T
    return np.asarray(rot.to_matrix(rot.between(laid, theirs)) @ hand)


def below_wrist(wrist: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Rotations of one hand in the world, wrist (T, 4) and fingers (T, 15, 4), -> fingers below their parents."""
    parents = np.concatenate([wrist[:, None], whole[:, :-1]], 1)
    parents[:, ::3] = wrist[:, None]
    return np.asarray(rot.multiply(rot.conjugate(parents), whole))
