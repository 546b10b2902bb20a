"""Feet of a body of other proportions, put where ours stand: on the floor, each at one place while it is in contact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from vqvae import rotations as rot
from vqvae.contact import standing
from vqvae.ground import SOLE, smooth_lift, support_level
from vqvae.limbs import bend
from vqvae.motion import Motion
from vqvae.proportions import HEADED, below_floor, flat_hand, raise_trunk
from vqvae.retarget import STANDING
from vqvae.skeleton import SMPL22
from vqvae.smoothing import gaussian, runs_of

SLIPS = 0.12  # metres that a toe of ours moves in a contact, from which on it slides and is followed
ROUGH = 0.04  # metres: lower soles of ours carry the body, and are brought to the floor by the square of their height
LARGE = 1.25  # times our size, from which on feet tilt less than ours
HEEL = 0.045  # metres from below the ankle back to the heel
STEEP = 0.2  # level part of the direction of toes, up to which they are not lifted; from twice of it on they are
STRETCHED = 0.995  # share of a leg's length that it reaches at most; the hips are lowered where it does not reach
MAX_LOWERED = 0.15  # metres
SMOOTH = 0.1  # seconds over which the body follows its feet
_FLAT, _UP = np.array([1.0, 0, 1]), np.array([0.0, 1, 0])
_LEGS = ("pelvis", *(f"{side}_{name}" for side in "lr" for name in ("hip", "knee")))
_NOT_FEET = tuple(n for n in SMPL22.names if n[2:] not in ("ankle", "foot"))


class Feet(NamedTuple):
    """The feet of a standing body, metres of our body.

    Attributes:
        ankle: height of the ankles above the floor. toes: that of the toes, by side, where it has some.
        size: from the ankle to the toe, of ours.
    """

    ankle: float
    toes: Mapping[str, float]
    size: float


class _Foot(NamedTuple):
    """One foot: its ankle and toe, (T, 3) each, and the height of its sole (T,)."""

    ankle: np.ndarray
    toe: np.ndarray
    sole: np.ndarray


def plant_body(
    places: np.ndarray, at: Mapping[str, int], motion: Motion, ours: Mapping[str, tuple[np.ndarray, np.ndarray]],
    feet: Feet, trunk: Sequence[int] = (), fingers: Mapping[str, Sequence[int]] | None = None,
) -> tuple[np.ndarray, dict[int, np.ndarray]]:  # fmt: skip
    """How the body moves (T, 3) and its hips, knees and trunk are turned, for its feet to stand as ours.

    A foot's sole is as high as ours above the floor y = 0, or above the step that ours stands on; while our toe is in
    contact its toe stays at one place, the mean of where the limbs' directions alone would have it. The body goes along
    with the feet that carry it, hips and knees bend for the rest, feet keep their direction if they are not large, toes
    do not point into the floor. Nothing that carries the body is below it: arms that are too long raise the trunk, the
    rest raises the whole body, and hands are bent at the wrist.

    Args:
        places: (T, J, 3) the body's joints in metres of our body, Y up. at: our joint -> the body's.
        ours: our joint -> its places (T, 3) and turns (T, 3, 3) in the world.
        trunk: the joints between pelvis and shoulders, the lowest first. fingers: by side, those below the wrist.

    Returns:
        Metres (T, 3), and by joint of the body a turn (T, 3, 3) in the world that goes before what follows it.
    """
    ground = support_level(motion.joints, motion.fps)
    our_feet = {side: _ours(side, ours) for side in "lr"}
    heights = {side: foot.sole - ground for side, foot in our_feet.items()}
    in_air = {side: np.clip(height / ROUGH - 1, 0, 1)[:, None] for side, height in heights.items()}
    tilts = {side: _less_tilted(ours[f"{side}_ankle"][1], feet.size, 1 - air[:, 0]) for side, air in in_air.items()}
    pairs = {side: (foot, _theirs(side, places, at, tilts[side], ours, feet)) for side, foot in our_feet.items()}
    carries = {side: height < ROUGH for side, height in heights.items()}
    # where soles are low they are brought nearer to the floor
    rises = {side: np.minimum(heights[side].clip(0) ** 2 / ROUGH, heights[side].clip(0)) + ground - foot.sole
             for side, (_, foot) in pairs.items()}  # fmt: skip
    stands = dict(zip("lr", standing(motion.joints, motion.fps, ground).T, strict=True))
    offsets = {side: _anchor_toe(our_foot.toe, foot.toe, stands[side]) + rises[side][:, None] * _UP
               for side, (our_foot, foot) in pairs.items()}  # fmt: skip
    carried = _carry_body(offsets, carries, motion.fps)
    goals = {}
    for side, (_, foot) in pairs.items():  # in the air a leg goes with the body, as it is
        offset = (1 - in_air[side]) * offsets[side] + in_air[side] * carried
        offset[:, 1] = np.maximum(offset[:, 1], ground - foot.sole)
        goals[side] = foot.ankle + offset
    start, places = places, places + carried[:, None]
    turns: dict[int, np.ndarray] = {}
    below = below_floor(places, at, motion, ground, HEADED) - below_floor(places, at, motion, ground, _LEGS)
    if trunk and below.max() > 0:
        turned, places = raise_trunk(places, at, trunk[0], below.clip(0))
        turns = dict.fromkeys(trunk, turned)
    below = below_floor(places, at, motion, ground, _NOT_FEET)
    rise = smooth_lift(below) if below.any() else below
    rise = rise - np.maximum(_lower_hips(places, at, goals, carries) - rise, 0)
    places = places + rise[:, None, None] * _UP
    for side, goal in goals.items():
        goal = goal + in_air[side] * rise[:, None] * _UP
        hip, knee, ankle = (at[f"{side}_{n}"] for n in ("hip", "knee", "ankle"))
        ahead = ours[f"{side}_hip"][1][..., 2]
        middle = bend(places[:, hip], places[:, knee], places[:, ankle], goal, ahead).place
        turns[hip] = rot.to_matrix(rot.between(places[:, knee] - places[:, hip], middle - places[:, hip]))
        turns[knee] = rot.to_matrix(rot.between(places[:, ankle] - places[:, knee], goal - middle))
        turns[ankle] = tilts[side]
        if side in feet.toes:
            toe = tilts[side] @ ours[f"{side}_foot"][1]
            turns[at[f"{side}_foot"]] = _level_toes(toe, 1 - in_air[side][:, 0]) @ tilts[side]
    for side, joints in (fingers or {}).items():
        wrist, hand = places[:, at[f"{side}_wrist"]], (start[:, list(joints)] - start[:, [at[f"{side}_wrist"]]])
        flat = flat_hand(hand, ours[f"{side}_wrist"][1][..., 1], wrist[:, 1] - ground - SOLE)
        turns |= dict.fromkeys([at[f"{side}_wrist"], *joints], flat)
    return carried + rise[:, None] * _UP, turns


def _ours(side: str, ours: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> _Foot:
    ankle, turn = ours[f"{side}_ankle"]
    toe = ours[f"{side}_foot"][0]
    heel = ankle[:, 1] - STANDING * turn[:, 1, 1] - HEEL * turn[:, 1, 2]
    return _Foot(ankle, toe, np.minimum(heel, toe[:, 1] - SOLE))


def _less_tilted(turns: np.ndarray, size: float, share: np.ndarray) -> np.ndarray:
    """(T, 3, 3) what takes a share (T,) of the tilt of feet (T, 3, 3) away that are `size` times as large as ours, so
    that a heel rises as high as ours; soles that do not look down stay."""
    if size < LARGE:
        return np.broadcast_to(np.eye(3), turns.shape)
    up = turns[..., 1]
    share = share * (1 - 1 / size) * np.clip(2 * up[:, 1], 0, 1)
    level = rot.between(up, np.broadcast_to(_UP, up.shape))
    return np.asarray(rot.to_matrix(rot.slerp(rot.identity(share.shape), level, share)))


def _theirs(
    side: str, places: np.ndarray, at: Mapping[str, int], tilt: np.ndarray,
    ours: Mapping[str, tuple[np.ndarray, np.ndarray]], feet: Feet,
) -> _Foot:  # fmt: skip
    """The foot of the body, tilted less; without a toe's joint, the toe is as far ahead of the ankle as ours."""
    ankle, turn = places[:, at[f"{side}_ankle"]], tilt @ ours[f"{side}_ankle"][1]
    if side in feet.toes:
        bone = places[:, at[f"{side}_foot"]] - ankle
        toe, above = ankle + (tilt @ bone[..., None])[..., 0], feet.toes[side]
    else:
        reach = SMPL22.offsets[SMPL22.index(f"{side}_foot")] * _FLAT
        toe, above = ankle + turn @ (reach - (feet.ankle - SOLE) * _UP), SOLE
    heel = ankle[:, 1] - feet.ankle * turn[:, 1, 1] - HEEL * turn[:, 1, 2]
    return _Foot(ankle, toe, np.minimum(heel, toe[:, 1] - above))


def _level_toes(turns: np.ndarray, share: np.ndarray) -> np.ndarray:
    """(T, 3, 3) what lifts toes that point down by a share (T,) of the way: where the heel rises they stay flat; toes
    that point straight down, as of somebody who lies, stay."""
    ahead = turns[..., 2]
    level = ahead - np.minimum(ahead[:, 1:2], 0) * _UP
    share = share * np.clip(np.linalg.norm(level, axis=-1) / STEEP - 1, 0, 1)
    bent = rot.between(ahead, level + 1e-6 * turns[..., 1])
    return np.asarray(rot.to_matrix(rot.slerp(rot.identity(share.shape), bent, share)))


def _anchor_toe(ours: np.ndarray, toe: np.ndarray, stands: np.ndarray) -> np.ndarray:
    """(T, 3) level offsets that keep a toe in place while ours stands (T,); interpolated between contacts."""
    at, offsets = [], []
    for start, stop in runs_of(stands):
        moved = (ours[start:stop] - ours[start:stop].mean(0)) * _FLAT
        goal = toe[start:stop].mean(0) + (moved if np.linalg.norm(moved, axis=-1).max() > SLIPS else 0)
        at.append(np.arange(start, stop))
        offsets.append((goal - toe[start:stop]) * _FLAT)
    if not at:
        return np.zeros_like(toe)
    frames, known = np.concatenate(at), np.concatenate(offsets)
    return np.stack([np.interp(np.arange(len(toe)), frames, known[:, k]) for k in range(3)], -1)


def _carry_body(offsets: Mapping[str, np.ndarray], carries: Mapping[str, np.ndarray], fps: float) -> np.ndarray:
    """(T, 3) by how much the whole body goes with the feet that carry it, so that legs change least; in between as
    before and after."""
    weights = np.stack([carries[side] for side in offsets]).astype(np.float64)
    count, total = weights.sum(0), np.einsum("st,stk->tk", weights, np.stack(list(offsets.values())))
    known = np.flatnonzero(count)
    if not len(known):
        return np.zeros((len(count), 3))
    means = total[known] / count[known][:, None]
    moved = np.stack([np.interp(np.arange(len(count)), known, means[:, k]) for k in range(3)], -1)
    return gaussian(moved, SMOOTH * fps)


def _lower_hips(
    places: np.ndarray, at: Mapping[str, int], goals: Mapping[str, np.ndarray], carries: Mapping[str, np.ndarray]
) -> np.ndarray:
    """(T,) by how much the hips are too high for the legs to reach the floor."""
    out = np.zeros(len(places))
    for side, goal in goals.items():
        hip, knee, ankle = (places[:, at[f"{side}_{n}"]] for n in ("hip", "knee", "ankle"))
        length = np.linalg.norm(knee - hip, axis=-1) + np.linalg.norm(ankle - knee, axis=-1)
        away = np.linalg.norm((goal - hip) * _FLAT, axis=-1)
        room = np.sqrt(np.maximum((STRETCHED * length) ** 2 - away**2, 0))
        out = np.maximum(out, np.where(carries[side], (hip - goal)[:, 1] - room, 0))
    return smooth_lift(np.minimum(out, MAX_LOWERED)) if out.any() else out
