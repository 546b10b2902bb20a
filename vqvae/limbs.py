"""Limbs of two bones that reach for a place: where elbow and knee go, and how the joints turn for it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from vqvae import rotations as rot
from vqvae.posture import unit
from vqvae.skeleton import SMPL22

# where a knee and an elbow stand off that bend from straight, in the axes of the bone above
KNEE, ELBOW = np.array([0.0, 0, 1]), np.array([0.0, 0, -1])
# share of a limb's length from which on it is stretched less
EASED_REACH = 0.95


def middle_joint(
    root: np.ndarray, axis: np.ndarray, pole: np.ndarray, upper: np.ndarray | float, lower: np.ndarray | float,
    reach: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Place (N, 3) of an elbow or a knee whose limb ends at `root + reach * axis`.

    Args:
        root: (N, 3). axis: (N, 3), unit. pole: (N, 3), unit and square to it, in which the joint stands off.
        upper, lower: (N,) or one, lengths of the bones. reach: (N,), from root to end.
    """
    along = (upper**2 - lower**2 + reach**2) / (2 * reach)
    off = np.sqrt(np.maximum(upper**2 - along**2, 0))
    return np.asarray(root + axis * along[:, None] + pole * off[:, None])


class Bend(NamedTuple):
    """Place of a middle joint, and the unit axes that it bends about before and there, all (N, 3)."""

    place: np.ndarray
    before: np.ndarray
    hinge: np.ndarray


def bend(
    root: np.ndarray, middle: np.ndarray, end: np.ndarray, goal: np.ndarray, ahead: np.ndarray, eased: bool = True
) -> Bend:
    """Where the middle joint goes for the end to be at `goal`, or as near as the limb reaches; all (N, 3), metres.

    It stays in the plane that it bends in; where the limb is straight now it bends as if from `ahead` (N, 3).

    Args:
        eased: the limb approaches its length ever more slowly, so that a knee does not pop; its end misses by little.
    """
    a, b = np.linalg.norm(middle - root, axis=-1), np.linalg.norm(end - middle, axis=-1)
    old, new = end - root, goal - root
    size = np.linalg.norm(new, axis=-1, keepdims=True)
    u = new / np.maximum(size, 1e-9)
    before = np.linalg.norm(old, axis=-1)
    turn = rot.between(old, new)
    bow = rot.rotate(turn, middle - root)
    bow = bow - (bow * u).sum(-1, keepdims=True) * u
    ahead = rot.rotate(turn, ahead)
    ahead = ahead - (ahead * u).sum(-1, keepdims=True) * u
    straight = np.linalg.norm(bow, axis=-1, keepdims=True) < 1e-3
    bow = np.where(straight, ahead, bow)
    bow = unit(bow)
    reach = before + _eased(size[:, 0], a + b) - _eased(before, a + b) if eased else size[:, 0]
    reach = np.clip(reach, np.abs(a - b) + 1e-4, (a + b) - 1e-4)
    hinge = np.cross(u, bow)
    return Bend(middle_joint(root, u, bow, a, b, reach), rot.rotate(rot.conjugate(turn), hinge), hinge)


def _eased(reach: np.ndarray, length: np.ndarray) -> np.ndarray:
    """A limb's reach (N,) that approaches its length (N,) ever more slowly from `EASED_REACH` of it on."""
    # a knee that is nearly straight moves by centimetres when the reach changes by millimetres: a pop at every hold
    first = EASED_REACH * length
    room = length - first
    return np.where(reach > first, first + room * (1 - np.exp(-np.maximum(reach - first, 0) / room)), reach)


def reached(
    joints: np.ndarray, world: np.ndarray, limb: tuple[int, int, int], goal: np.ndarray, front: np.ndarray,
    eased: bool = True,
) -> np.ndarray:  # fmt: skip
    """Local rotations (N, 3, 4) of a limb of `SMPL22` with its end at `goal` (N, 3); the end keeps its orientation.

    Args:
        joints: (N, 22, 3) metres. world: (N, 22, 4) rotations in the world. limb: upper, middle and end joint.
        front: (3,) where a straight limb bends to, in the axes of its upper bone. eased: as of `bend`.
    """
    upper, middle, end = limb
    ahead = rot.rotate(world[:, upper], np.broadcast_to(front, goal.shape))
    start, place, last = (joints[:, j] for j in limb)
    bent = bend(start, place, last, goal, ahead, eased)
    first = rot.multiply(_turn(place - start, bent.before, bent.place - start, bent.hinge), world[:, upper])
    second = rot.multiply(_turn(last - place, bent.before, goal - bent.place, bent.hinge), world[:, middle])
    return np.stack([
        rot.multiply(rot.conjugate(world[:, SMPL22.parents[upper]]), first),
        rot.multiply(rot.conjugate(first), second), rot.multiply(rot.conjugate(second), world[:, end]),
    ], 1)  # fmt: skip


def _turn(bone: np.ndarray, hinge: np.ndarray, new_bone: np.ndarray, new_hinge: np.ndarray) -> np.ndarray:
    """Quaternions (N, 4) that take a bone and what it bends about, (N, 3) each, to others: an elbow is not twisted."""
    swing = rot.between(bone, new_bone)
    axis = unit(new_bone)
    now = rot.rotate(swing, hinge)
    angle = np.arctan2((np.cross(now, new_hinge) * axis).sum(-1), (now * new_hinge).sum(-1))
    return rot.multiply(rot.from_axis_angle(axis * angle[:, None]), swing)
