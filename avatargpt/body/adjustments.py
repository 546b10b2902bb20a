"""Rules that adjust a motion: tempo, size, limbs pinned to places, and an end that leads into the beginning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from avatargpt.body.stitch import retimed
from instruct_data.requests.spec import Clause, Pin
from instruct_data.synth.loops import find_cycle
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22
from vqvae.smoothing import gaussian

TEMPI = {"very_slow": 0.55, "slow": 0.75, "fast": 1.35, "very_fast": 1.75}
SIZES = {"slight": 0.55, "small": 0.65, "large": 1.3, "very_large": 1.45}
# times as fast at the end as at the beginning, where it speeds up
TEMPO_CHANGE = 1.8
MIN_TEMPO, MAX_TEMPO = 0.2, 4.0
# seconds, of what is done to the height of the pelvis
HEIGHT_SMOOTHING = 0.1
# metres: a pelvis that is higher in the median stands
MIN_UPRIGHT = 0.6
# Degrees about each axis of the left arm's joints where it hangs, as keyframed clips begin.
HANGING_ARM = {"collar": (0, -19, 0), "shoulder": (16, 5, -78), "elbow": (0, -28, 0), "wrist": (22, 0, 0)}
LEG_JOINTS = (1, 2, 4, 5, 7, 8, 10, 11)

PIN_CHAINS = {
    "left_hand": ("l_shoulder", "l_elbow", "l_wrist"), "right_hand": ("r_shoulder", "r_elbow", "r_wrist"),
    "left_foot": ("l_hip", "l_knee", "l_ankle"), "right_foot": ("r_hip", "r_knee", "r_ankle"),
}  # fmt: skip
PIN_EASE = 0.5  # seconds in which a limb comes and goes
MAX_STRETCH = 0.995  # of a limb's length
PIN_TOLERANCE = 0.02  # metres

LOOP_FADE = 0.6  # seconds, at most a third of the motion
# metres that a body may have gone and is led back to where it began
LOOP_SPOT = 0.8
LOOP_TURN = 60.0  # degrees of turn that are led back likewise


def tempo_factor(clause: Clause) -> float:
    """Tempo of a clause, 1 = usual or changing."""
    return min(max((clause.factor or 1.0) * TEMPI.get(clause.tempo or "", 1.0), MIN_TEMPO), MAX_TEMPO)


def in_tempo(motion: Motion, clause: Clause) -> Motion:
    """The motion as fast as the clause asks for."""
    factor = tempo_factor(clause)
    if factor != 1:
        motion = retimed(motion, max(2, round(len(motion) / factor)))
    if clause.tempo in ("speeding_up", "slowing_down"):
        motion = _changing(motion, TEMPO_CHANGE if clause.tempo == "speeding_up" else 1 / TEMPO_CHANGE)
    return motion


def _changing(motion: Motion, factor: float) -> Motion:
    """As long as before, but at the end `factor` times as fast as at the beginning."""
    n = len(motion)
    speeds = np.geomspace(factor**-0.5, factor**0.5, max(n - 1, 1))
    t = np.concatenate([[0.0], np.cumsum(speeds)])
    return motion.sampled(t * (n - 1) / max(t[-1], 1e-9))


def sized(motion: Motion, factor: float) -> Motion:
    """A larger or smaller movement, by the factor of joints' distances from a standing pose; it knows no objects."""
    # feet rise as much higher, the way is as much longer; a body that lies or sits keeps legs and way
    if factor == 1:
        return motion
    q = motion.rotations.astype(np.float64)
    upright = bool(np.median(motion.joints[:, 0, 1]) > MIN_UPRIGHT)
    out = q.copy()
    standing = _standing()
    for j in range(1, q.shape[1]):
        if upright or j not in LEG_JOINTS:
            offset = rot.to_axis_angle(rot.multiply(rot.conjugate(standing[j]), q[:, j]))
            out[:, j] = rot.multiply(standing[j], rot.from_axis_angle(offset * _angle_factors(offset, factor)))
    heading = rot.about_y(motion.heading)
    tilt = rot.to_axis_angle(rot.multiply(rot.conjugate(heading), q[:, 0]))
    if upright:
        out[:, 0] = rot.multiply(heading, rot.from_axis_angle(tilt * _angle_factors(tilt, factor)))
    scaled = replace(motion, rotations=out)
    if not upright:
        return scaled
    lowest, new_lowest = motion.joints[..., 1].min(1), scaled.joints[..., 1].min(1)
    floor = float(np.percentile(lowest, 5))
    height = floor + np.maximum(lowest - floor, 0) * factor + np.minimum(lowest - floor, 0)
    root = motion.root.astype(np.float64).copy()
    root[:, 1] += gaussian((height - new_lowest)[:, None], HEIGHT_SMOOTHING * motion.fps)[:, 0]
    steps = np.diff(root[:, [0, 2]], axis=0, prepend=root[:1, [0, 2]])
    stride = _stride(scaled) / max(_stride(motion), 1e-6)
    root[:, [0, 2]] = root[:1, [0, 2]] + np.cumsum(steps * stride, axis=0)
    return replace(scaled, root=root)


def _stride(motion: Motion) -> float:
    """Distance of the feet, metres: the 95th percentile."""
    offset = (motion.joints[:, 7] - motion.joints[:, 8])[:, [0, 2]]
    return float(np.percentile(np.linalg.norm(offset, axis=1), 95))


def _angle_factors(offset: np.ndarray, factor: float) -> np.ndarray:
    """(T, 1) factors of angles: large ones grow less, for joints have ends."""
    angle = np.linalg.norm(offset, axis=-1, keepdims=True)
    growth = np.ones_like(angle) if factor < 1 else 1 / (1 + (angle / np.radians(70)) ** 2)
    return np.asarray(1 + (factor - 1) * growth)


@cache
def _standing() -> np.ndarray:
    """(22, 4) local rotations of a standing body with hanging arms."""
    angles = np.zeros((len(SMPL22.names), 3))
    for side, sign in (("l", 1.0), ("r", -1.0)):
        for joint, degrees in HANGING_ARM.items():
            angles[SMPL22.index(f"{side}_{joint}")] = np.array(degrees) * (1, sign, sign)
    return np.asarray(rot.from_axis_angle(np.radians(angles)))


def pinned(motion: Motion, pins: Sequence[Pin]) -> tuple[Motion, list[str]]:
    """The motion with hands and feet at given places at given times, and a line for each that is out of reach.

    Raises:
        UserError: a time beyond the motion.
    """
    notes = []
    for pin in pins:
        if not 0 <= pin.second <= motion.seconds:
            raise UserError(f"pin {pin.limb} at {pin.second:g} s; accepted: 0 to {motion.seconds:g}, its length")
        frame = min(round(pin.second * motion.fps), len(motion) - 1)
        goal, end = np.array(pin.place, float), SMPL22.index(PIN_CHAINS[pin.limb][2])
        shift = goal - motion.joints[frame, end]
        width = max(1, round(PIN_EASE * motion.fps))
        share = np.clip(1 - np.abs(np.arange(len(motion)) - frame) / width, 0, 1)
        share = share * share * (3 - 2 * share)
        motion = _reached(motion, pin.limb, motion.joints[:, end] + share[:, None] * shift, share > 0)
        missed = float(np.linalg.norm(motion.joints[frame, end] - goal))
        if missed > PIN_TOLERANCE:
            notes.append(f"pin {pin.limb} at {pin.second:g} s: {missed:.2f} m out of reach")
    return motion, notes


def _reached(motion: Motion, limb: str, goals: np.ndarray, frames: np.ndarray) -> Motion:
    """The end of a limb at (T, 3) goals in the frames (T,) bool by two-bone inverse kinematics, orientation kept."""
    upper, middle, end = (SMPL22.index(name) for name in PIN_CHAINS[limb])
    rotations = motion.rotations.astype(np.float64).copy()
    world = rot.from_matrix(SMPL22.fk_full(rotations, motion.root)[1])
    joints = motion.joints.astype(np.float64)
    root, knee, tip = joints[:, upper], joints[:, middle], joints[:, end]
    a, b = np.linalg.norm(knee - root, axis=1), np.linalg.norm(tip - knee, axis=1)
    way = goals - root
    distance = np.clip(np.linalg.norm(way, axis=1), np.abs(a - b) + 1e-3, MAX_STRETCH * (a + b))
    # bend the middle joint so that the end is as far away as the goal, about the axis that it is bent about now
    axis = np.cross(root - knee, tip - knee)
    flat = np.linalg.norm(axis, axis=1) < 1e-4
    axis[flat] = rot.rotate(world[flat, upper], np.array([0.0, 1, 0]))
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    goal_angle = np.arccos(np.clip((a**2 + b**2 - distance**2) / (2 * a * b), -1, 1))
    bend = rot.from_axis_angle(axis * (goal_angle - _angle(root - knee, tip - knee))[:, None])
    tip = knee + rot.rotate(bend, tip - knee)
    swing = rot.between(tip - root, way)
    new_upper = rot.multiply(swing, world[:, upper])
    new_middle = rot.multiply(swing, rot.multiply(bend, world[:, middle]))
    chain = (
        (upper, new_upper, world[:, SMPL22.parents[upper]]), (middle, new_middle, new_upper),
        (end, world[:, end], new_middle),
    )  # fmt: skip
    for joint, turned, parent in chain:
        rotations[frames, joint] = rot.multiply(rot.conjugate(parent), turned)[frames]
    return replace(motion, rotations=rotations)


def _angle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    cosine = (a * b).sum(1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-9)
    return np.asarray(np.arccos(np.clip(cosine, -1, 1)))


def looped(motion: Motion, cut: bool = True) -> Motion:
    """The motion as a loop: the frame after its last one would be its first, moved on where it goes somewhere.

    Args:
        cut: whether frames may be left out; else it is as long as before.
    """
    # the best cycle is cut out where there is one; remaining differences of pose, height, heading and, of a motion on
    # the spot, place are blended in over the last part
    cycle = find_cycle(motion, longest=motion.seconds) if cut else None
    if cycle is not None:
        motion = motion.slice(cycle.start, cycle.stop)
    frames = max(1, min(round(LOOP_FADE * motion.fps), len(motion) // 3))
    share = np.zeros(len(motion))
    share[-frames:] = np.sin(np.linspace(0, np.pi / 2, frames)) ** 2  # 1 at the last frame
    rotations = motion.rotations.astype(np.float64)
    root = motion.root.astype(np.float64)
    turn = float(np.angle(np.exp(1j * (motion.heading[-1] - motion.heading[0]))))
    goal = rotations[0].copy()
    goal[0] = rot.multiply(rot.about_y(np.array(0.0 if abs(np.degrees(turn)) < LOOP_TURN else turn)), goal[0])
    offset = rot.to_axis_angle(rot.multiply(goal, rot.conjugate(rotations[-1])))
    rotations = rot.multiply(rot.from_axis_angle(share[:, None, None] * offset), rotations)
    gap = root[0] - root[-1]
    if np.linalg.norm(gap[[0, 2]]) > LOOP_SPOT:
        gap = gap * np.array([0.0, 1, 0])
    return replace(motion, rotations=rotations, root=root + share[:, None] * gap)
