"""A motion of our 22 joints -> any humanoid rig: the inverse of `vqvae.retarget`, on the rig's own bones.

What `vqvae.retarget.understand` says of the rig is used the other way round: G_file = A^-1 G_ours C^-1 for every joint
that has a counterpart. Joints without one keep the turn below their parent that they have in the rig's first frame,
joints above the hips stay where they are there, and a spine of one or two bones takes its share of ours. The middle of
the hips moves as ours, by the ratio of the lengths of the legs, with the rig's own ankles in place of ours above the
floor, y = 0 whatever our floor is. Feet are then put down by `vqvae.planting`.

All is computed in our world (metres of our body, Y up) and turned back at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.ground import SOLE, ground_motion
from vqvae.motion import Motion
from vqvae.moving_ground import below
from vqvae.planting import Feet, plant_body
from vqvae.proportions import steady_hips
from vqvae.retarget import STANDING, RigReading, add_hands
from vqvae.rig import Rig, ancestors, world
from vqvae.skeleton import SMPL52

_HIPS = (SMPL52.offsets[1] + SMPL52.offsets[2]) / 2  # from our pelvis to the middle of the hips
_SPINE = {"spine1", "spine2"}


def carrier_of(reading: RigReading) -> int:
    """The joint that carries both legs: the pelvis, or the lowest above them where the pelvis stands beside them."""
    left, right = (ancestors(reading.rig.parents, reading.joints[f"{s}_hip"]) for s in "lr")
    pelvis = reading.joints["pelvis"]
    return pelvis if pelvis in left and pelvis in right else next(j for j in left if j in right)


def transfer_motion(motion: Motion, reading: RigReading) -> Rig:
    """The rig with the movement of `motion` at its frame rate; fingers stay as they are where the hands have not five.

    Args:
        motion: one in place with its `vqvae.moving_ground.MovingGround` among its notes stands on that ground.
        reading: of `vqvae.retarget.understand`; the first frame of its clip is the pose that joints without a
            counterpart keep.

    Returns:
        The rig of `reading` with rotations (T, J, 4) and translations (T, J, 3), its unit, axes and bones. The body's
        way is in the translation of `carrier_of`.
    """
    return _Body(motion, reading).rig()


def in_file(ways: np.ndarray, reading: RigReading) -> np.ndarray:
    """Ways or velocities (..., 3) of our body, metres, Y up, in the file's unit along its axes, as `transfer_motion`
    has them."""
    upright = rot.to_matrix(rot.between(reading.rest.up, np.array([0.0, 1, 0])))
    return np.asarray(ways @ upright / reading.scale)


def move_way(rig: Rig, joint: int, above: int, way: np.ndarray) -> Rig:
    """The same movement with a part of a joint's way put on one above it, which carries it without turning.

    `way`: (T, 3) of the world, the rig's unit.
    """
    _, turns = world(rig)
    translations = rig.translations.copy()
    for j, part in ((above, way), (joint, -way)):
        p = rig.parents[j]
        translations[:, j] += part if p < 0 else np.einsum("tji,tj->ti", turns[:, p], part)
    return replace(rig, translations=translations)


class _Body:
    """A rig in our world, metres of our body: bones as in its first frame, turned as our joints are."""

    def __init__(self, motion: Motion, reading: RigReading) -> None:
        ground = below(motion.notes, motion.seconds)
        # (T, 3) how far the ground has gone; feet are put down where they stand on it
        self.gone = np.arange(len(motion))[:, None] / motion.fps * (np.zeros(3) if ground is None else ground)
        motion = replace(motion, root=motion.root - self.gone)
        self.motion, self.reading, self.hips = ground_motion(motion), reading, carrier_of(reading)
        rig = reading.rig
        self.parents = rig.parents
        self.upright = rot.to_matrix(rot.between(reading.rest.up, np.array([0.0, 1, 0])))
        self.first_turns = self.upright @ reading.turns[0]
        self.first_places = reading.places[0] @ self.upright.T * reading.scale
        self.bones = rig.translations[0] * reading.scale  # (J, 3) in the axes of the joint above
        self.at = dict(reading.joints)
        self.constants = reading.rest.turns
        if self.motion.fingers is not None:
            with suppress(UserError):  # of hands that have not five fingers they stay as they are
                self.constants = self.constants | add_hands(rig, self.at, rig.rest_joints)
        self.above = ancestors(rig.parents, self.hips)[1:]
        places, ours = SMPL52.fk_full(self.motion.all_rotations, self.motion.root)
        self.ours = {n: (places[:, j], ours[:, j]) for j, n in enumerate(SMPL52.names)}
        self.pelvis = self.ours["pelvis"]
        rest, at = rig.rest_joints, self.at
        wide = float(np.linalg.norm(rest[at["l_hip"]] - rest[at["r_hip"]])) * reading.scale
        ours_wide = float(np.linalg.norm(SMPL52.offsets[1] - SMPL52.offsets[2]))
        steady = steady_hips(self.pelvis[1], ours_wide / max(wide, 1e-9), motion.fps)
        self.ours["pelvis"] = self.pelvis[0], steady @ self.pelvis[1]
        self.turned = self._map_turns()

    def _trunk(self) -> list[int]:
        """The joints from the one that carries the legs to the shoulders, the lowest first, and the collars."""
        line = ancestors(self.parents, self.at["spine3"])
        base = next((j for j in line if j in (self.hips, self.at["pelvis"])), -1)
        if base < 0:
            return []
        above = line[: line.index(base)][::-1]
        return above + [self.at[n] for n in ("l_collar", "r_collar") if n in self.at and self.at[n] not in above]

    def _fingers(self) -> dict[str, list[int]]:
        """The joints below each wrist that has some."""
        wrists, joints = {side: self.at.get(f"{side}_wrist") for side in "lr"}, range(len(self.parents))
        below = {side: [j for j in joints if w in ancestors(self.parents, j)[1:]] for side, w in wrists.items()}
        return {side: found for side, found in below.items() if found}

    def _map_turns(self) -> dict[int, np.ndarray]:
        """Joint -> (T, 3, 3) turn away from rest of what follows from ours alone."""
        out: dict[int, np.ndarray] = {}
        for name in SMPL52.names:  # of two of ours in one joint the first one is taken
            if name in self.at and name in self.constants:
                out.setdefault(self.at[name], self.ours[name][1] @ self.constants[name].T)
        pelvis, chest = self.at["pelvis"], self.at["spine3"]
        if self.hips != pelvis:
            out[self.hips] = self._since_first(out, pelvis) @ self.first_turns[self.hips]
        if not _SPINE & self.at.keys():
            line = ancestors(self.reading.rig.parents, chest)
            between = line[1 : line.index(pelvis)][::-1] if pelvis in line else []
            ends = [rot.from_matrix(self._since_first(out, j)) for j in (pelvis, chest)]
            for k, j in enumerate(between, 1):
                share = rot.slerp(ends[0], ends[1], k / (len(between) + 1))
                out.setdefault(j, rot.to_matrix(share) @ self.first_turns[j])
        return out

    def _since_first(self, turned: Mapping[int, np.ndarray], joint: int) -> np.ndarray:
        """(T, 3, 3) how a joint is turned in the world against the rig's first frame."""
        return np.asarray(turned[joint] @ self.first_turns[joint].T)

    def turns(self) -> np.ndarray:
        """(T, J, 3, 3) of all joints."""
        out = np.empty((len(self.motion), len(self.parents), 3, 3))
        for j, p in enumerate(self.parents):
            if j in self.turned:
                out[:, j] = self.turned[j]
            elif p < 0 or j in self.above:
                out[:, j] = self.first_turns[j]
            else:
                out[:, j] = out[:, p] @ (self.first_turns[p].T @ self.first_turns[j])
        return out

    def places(self, turns: np.ndarray, hips: np.ndarray) -> np.ndarray:
        """(T, J, 3) of all joints, the middle of the hips at `hips` (T, 3)."""
        out = np.empty(turns.shape[:3])
        for j, p in enumerate(self.parents):
            out[:, j] = self.first_places[j] if p < 0 else out[:, p] + turns[:, p] @ self.bones[j]
        move = hips - (out[:, self.at["l_hip"]] + out[:, self.at["r_hip"]]) / 2
        for j in range(len(self.parents)):
            if j not in self.above:
                out[:, j] += move
        return out

    def rig(self) -> Rig:
        """The rig that moves."""
        feet = self._feet()
        pelvis, turned = self.pelvis
        hips = pelvis + turned @ _HIPS + np.array([0, feet.ankle - STANDING, 0])
        way, bent = plant_body(
            self.places(self.turns(), hips), self.at, self.motion, self.ours, feet, self._trunk(), self._fingers()
        )
        for joint in bent.keys() & self.turned.keys():  # joints below, twists of the limb among them, follow
            self.turned[joint] = bent[joint] @ self.turned[joint]
        turns = self.turns()
        return self._local(turns, self.places(turns, hips + way + self.gone))

    def _feet(self) -> Feet:
        """How high ankles and toes are above the floor where the body stands."""
        rig, rest, scale = self.reading.rig, self.reading.rest, self.reading.scale
        drops, toes = {}, {}  # of the toes below the ankle, of the lowest point of the foot that is known
        for side in "lr":
            toe = self.at.get(f"{side}_foot")
            if toe is None:
                continue
            toes[side] = -float((self.constants[f"{side}_ankle"].T @ self.bones[toe])[1])
            tip = float((self.constants[f"{side}_foot"].T @ rig.tips.get(toe, np.zeros(3)))[1]) * scale
            drops[side] = max(0.0, toes[side], toes[side] - tip)
        standing = max(drops.values()) + SOLE if drops else STANDING
        if rig.floor is not None:
            standing = (rest.ankle - rig.floor) * scale
        lengths = [float(np.linalg.norm(self.bones[self.at[f"{side}_foot"]])) for side in toes] or [standing]
        ours = float(np.linalg.norm(SMPL52.offsets[SMPL52.index("l_foot")])) if toes else STANDING
        return Feet(standing, {side: max(0.0, standing - drop) for side, drop in toes.items()}, max(lengths) / ours)

    def _local(self, turns: np.ndarray, places: np.ndarray) -> Rig:
        """The rig of turns and places in our world."""
        rig = self.reading.rig
        local = np.empty((len(self.motion), len(self.parents), 4))
        translations = np.repeat(rig.translations[:1], len(self.motion), 0)
        for j, p in enumerate(self.parents):
            above = np.broadcast_to(self.upright, turns[:, 0].shape) if p < 0 else turns[:, p]
            back = above.swapaxes(-1, -2)
            local[:, j] = rot.from_matrix(back @ turns[:, j])
            if j == self.hips:
                way = places[:, j] - self.first_places[j]
                translations[:, j] += (back @ way[..., None])[..., 0] / self.reading.scale
        return replace(rig, rotations=local, translations=translations, fps=self.motion.fps)
