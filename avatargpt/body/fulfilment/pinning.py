"""Hands and feet led to given places at given times: the limb is bent, and the trunk leans where it is too short.

Two-bone inverse kinematics (the law of cosines) after the motion was made; how the body gets there is the motion's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from instruct_data.requests.spec import Pin
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22

LIMBS = {"left_hand": ("l_shoulder", "l_elbow", "l_wrist"), "right_hand": ("r_shoulder", "r_elbow", "r_wrist"),
         "left_foot": ("l_hip", "l_knee", "l_ankle"), "right_foot": ("r_hip", "r_knee", "r_ankle")}  # fmt: skip
EASE = 0.5  # seconds in which a limb comes and goes
REACH = 0.995  # of its length, to which a limb is stretched
NEAR = 0.02  # metres that count as reached


def pinned(motion: Motion, pins: Sequence[Pin]) -> tuple[Motion, list[str]]:
    """The motion with its limbs led to the pins, and a line for each that is out of reach.

    Raises:
        UserError: a time beyond the motion.
    """
    notes = []
    for pin in pins:
        if not 0 <= pin.second <= motion.seconds:
            raise UserError(f"pin {pin.limb} at {pin.second:g} s; accepted: 0 to {motion.seconds:g}, its length")
        frame = min(round(pin.second * motion.fps), len(motion) - 1)
        goal, end = np.array(pin.place, float), SMPL22.index(LIMBS[pin.limb][2])
        shift = goal - motion.joints[frame, end]
        width = max(1, round(EASE * motion.fps))
        share = np.clip(1 - np.abs(np.arange(len(motion)) - frame) / width, 0, 1)
        share = share * share * (3 - 2 * share)
        motion = _led(motion, pin.limb, motion.joints[:, end] + share[:, None] * shift, share > 0)
        missed = float(np.linalg.norm(motion.joints[frame, end] - goal))
        if missed > NEAR:
            notes.append(f"pin {pin.limb} at {pin.second:g} s: {missed:.2f} m out of reach")
    return motion, notes


def _led(motion: Motion, limb: str, goals: np.ndarray, frames: np.ndarray) -> Motion:
    """The end of a limb at (T, 3) goals in the frames (T,) bool, its orientation kept."""
    upper, middle, end = (SMPL22.index(name) for name in LIMBS[limb])
    rotations = motion.rotations.astype(np.float64).copy()
    world = rot.from_matrix(SMPL22.fk_full(rotations, motion.root)[1])
    at = motion.joints.astype(np.float64)
    root, knee, tip = at[:, upper], at[:, middle], at[:, end]
    a, b = np.linalg.norm(knee - root, axis=1), np.linalg.norm(tip - knee, axis=1)
    way = goals - root
    far = np.clip(np.linalg.norm(way, axis=1), np.abs(a - b) + 1e-3, REACH * (a + b))
    # bend the middle joint so that the end is as far away as the goal, about the axis that it is bent about now
    axis = np.cross(root - knee, tip - knee)
    flat = np.linalg.norm(axis, axis=1) < 1e-4
    axis[flat] = rot.rotate(world[flat, upper], np.array([0.0, 1, 0]))
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    now = _angle(root - knee, tip - knee)
    wanted = np.arccos(np.clip((a**2 + b**2 - far**2) / (2 * a * b), -1, 1))
    bend = rot.from_axis_angle(axis * (wanted - now)[:, None])
    tip = knee + rot.rotate(bend, tip - knee)
    swing = rot.between(tip - root, way)
    new_upper = rot.multiply(swing, world[:, upper])
    new_middle = rot.multiply(swing, rot.multiply(bend, world[:, middle]))
    parents = SMPL22.parents
    for joint, turned, above in ((upper, new_upper, world[:, parents[upper]]), (middle, new_middle, new_upper),
                                 (end, world[:, end], new_middle)):  # fmt: skip
        rotations[frames, joint] = rot.multiply(rot.conjugate(above), turned)[frames]
    return replace(motion, rotations=rotations)


def _angle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    cosine = (a * b).sum(1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-9)
    return np.asarray(np.arccos(np.clip(cosine, -1, 1)))
