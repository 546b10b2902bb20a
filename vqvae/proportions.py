"""What bodies of other proportions do otherwise: wide hips swing less, long arms raise the trunk, hands lie flat."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vqvae import rotations as rot
from vqvae.ground import smooth_lift
from vqvae.motion import Motion
from vqvae.posture import unit
from vqvae.skeleton import SMPL22
from vqvae.smoothing import gaussian

SWING = 0.35  # seconds over which the way that hips face is a mean, about which they swing
MAX_RAISED = np.radians(35.0)
LOW = 0.12  # metres above the floor, from which on down a joint of ours may carry the body; at twice of it none does
ARMS = tuple(f"{s}_{n}" for s in "lr" for n in ("shoulder", "elbow", "wrist"))
HEADED = ("neck", "head", "l_collar", "r_collar", *ARMS)  # what goes up with the trunk, and by which it is raised
STEEP = 0.5  # level part of a hand's direction, below which it is bent towards its back more than straight up
_UP, _FLAT = np.array([0.0, 1, 0]), np.array([1.0, 0, 1])


def steady_hips(pelvis: np.ndarray, ratio: float, fps: float) -> np.ndarray:
    """(T, 3, 3) what takes the swing of hips away that is too wide, so that each goes up, down, ahead and back as ours.

    Legs keep their directions; hips that are three times as wide would otherwise move feet that stand by three times
    as much.

    Args:
        pelvis: (T, 3, 3) our pelvis in the world; one that lies keeps its turn.
        ratio: width of our hips by that of the body's, both metres of our body; 1 and more leaves all as it is.
    """
    if ratio >= 1:
        return np.broadcast_to(np.eye(3), pelvis.shape)
    across, up = pelvis[..., 0], pelvis[..., 1]
    mean = gaussian(across, SWING * fps) * _FLAT
    size = np.linalg.norm(mean, axis=-1, keepdims=True)
    share = np.clip(2 * up[:, 1] - 0.5, 0, 1) * np.clip(2 * size[:, 0] - 0.5, 0, 1)
    mean = mean / np.maximum(size, 1e-9)
    turn = rot.between(across, mean + ratio * (across - mean))
    return np.asarray(rot.to_matrix(rot.slerp(rot.identity(share.shape), turn, share)))


def below_floor(
    places: np.ndarray, at: Mapping[str, int], motion: Motion, ground: np.ndarray, names: tuple[str, ...]
) -> np.ndarray:
    """(T,) by how much joints of some names, where ours are low and may carry the body, are below the floor."""
    below = np.zeros(len(places))
    for name in names:
        if name in at:
            share = np.clip(2 - (motion.joints[:, SMPL22.index(name), 1] - ground) / LOW, 0, 1)
            below = np.maximum(below, share * (ground - places[:, at[name], 1]))
    return below


def raise_trunk(
    places: np.ndarray, at: Mapping[str, int], pivot: int, below: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(T, 3, 3) how a trunk is turned up about its lowest joint for arms that are `below` (T,) the floor to be on it,
    and the places (T, J, 3) then; arms, neck and head keep their directions.

    Args:
        places: (T, J, 3) the body's joints, Y up. at: our joint -> the body's. pivot: the trunk's lowest joint.
    """
    low = places[:, pivot]
    trunk = (places[:, at["l_shoulder"]] + places[:, at["r_shoulder"]]) / 2 - low
    length = np.maximum(np.linalg.norm(trunk, axis=-1), 1e-9)
    now = np.arcsin(np.clip(trunk[:, 1] / length, -1, 1))
    goal = np.arcsin(np.clip((trunk[:, 1] + smooth_lift(below)) / length, -1, 1))
    axis = unit(np.cross(trunk, _UP))
    turn = rot.to_matrix(rot.from_axis_angle(axis * np.clip(goal - now, 0, MAX_RAISED)[:, None]))
    out = places.copy()
    for name in HEADED:
        if name in at:
            moved = at[name]
            # below a shoulder all goes along with it, above the neck with the neck
            carrier = at.get(f"{name[:2]}shoulder" if name in ARMS else "neck" if name == "head" else name, moved)
            out[:, moved] += ((turn - np.eye(3)) @ (places[:, carrier] - low)[..., None])[..., 0]
    return turn, out


def flat_hand(hand: np.ndarray, back: np.ndarray, height: np.ndarray) -> np.ndarray:
    """(T, 3, 3) how a `hand`, (T, K, 3) from the wrist to the joints of its fingers, is turned for none of them to be
    below the floor. `back`: (T, 3) where its back faces. `height`: (T,) of the wrist above the floor."""
    ahead = unit(hand.mean(1))
    steep = np.clip(1 - np.linalg.norm(ahead * _FLAT, axis=-1, keepdims=True) / STEEP, 0, 1)
    level = unit((ahead + steep * back) * _FLAT)
    away = np.einsum("tkc,tc->tk", hand, level)
    # a joint hangs so far round from straight down, and may hang so near to it
    reach, hangs = np.hypot(hand[..., 1], away), np.arctan2(away, -hand[..., 1])
    nearest = np.arccos(np.clip(np.maximum(height, 0)[:, None] / np.maximum(reach, 1e-9), 0, 1))
    turned = np.where(hand[..., 1] < -height[:, None], nearest - hangs, 0).max(1, initial=0).clip(0, np.pi / 2)
    return np.asarray(rot.to_matrix(rot.from_axis_angle(np.cross(-_UP, level) * smooth_lift(turned)[:, None])))
