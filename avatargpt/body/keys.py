"""Keys of a motion: places of the body, poses, hands and feet, each at its second."""
# A key holds in its frame, exactly; beside it the motion is led there and back. Places lead the way (the travel between
# two of them is turned and lengthened, feet are held again), then poses turn joints, then limbs reach.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from avatargpt.body.contact import on_the_floor
from instruct_data.requests.spec import Pin, Place, PoseKey
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.limbs import ELBOW, KNEE, reached
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22
from vqvae.smoothing import gaussian, smoothstep

PIN_CHAINS = {
    "left_hand": ("l_shoulder", "l_elbow", "l_wrist"), "right_hand": ("r_shoulder", "r_elbow", "r_wrist"),
    "left_foot": ("l_hip", "l_knee", "l_ankle"), "right_foot": ("r_hip", "r_knee", "r_ankle"),
}  # fmt: skip
EASE = 0.5  # seconds in which a limb or a pose comes and goes
MAX_STRETCH = 0.995  # of a limb's length
PIN_TOLERANCE = 0.02  # metres

MIN_LEG_SECONDS = 0.5  # between places that turn and lengthen the way; the others only shift it
MIN_LEG = 0.3  # metres: a shorter way has no direction
STRIDES = (0.5, 1.8)  # factors of the way
TURNING = 0.3  # seconds: sigma of the changes of direction
MAX_SLIDE = 0.35  # m/s that steps may be shifted without a note


def pin_limbs(motion: Motion, pins: Sequence[Pin]) -> tuple[Motion, list[str]]:
    """The motion with hands and feet at given places at given times, and a line for each that is out of reach."""
    notes = []
    for limb in PIN_CHAINS:
        rows = {_frame(motion, f"pin {limb}", pin.second): pin for pin in pins if pin.limb == limb}
        if not rows:
            continue
        end = SMPL22.index(PIN_CHAINS[limb][2])
        goals = {f: np.array(pin.place, float) for f, pin in rows.items()}
        shift, near = _lead_offsets(
            {f: goal - motion.joints[f, end] for f, goal in goals.items()}, len(motion), motion.fps
        )
        motion = _reach_goals(motion, limb, motion.joints[:, end] + shift, near)
        for frame, goal in sorted(goals.items()):
            missed = float(np.linalg.norm(motion.joints[frame, end] - goal))
            if missed > PIN_TOLERANCE:
                notes.append(f"pin {limb} at {rows[frame].second:g} s: {missed:.2f} m out of reach")
    return motion, notes


def _frame(motion: Motion, name: str, second: float) -> int:
    if not 0 <= second <= motion.seconds:
        raise UserError(f"{name} at {second:g} s; accepted: 0 to {motion.seconds:g}, its length")
    return min(round(second * motion.fps), len(motion) - 1)


def _lead_offsets(offsets: Mapping[int, np.ndarray], frames: int, fps: float) -> tuple[np.ndarray, np.ndarray]:
    """(T, D) offsets that are those (D,) of the keys in their frames, and (T,) bool where there are any.

    Between two keys that are near the offset goes from one to the other; else it fades away and comes back.
    """
    keys, width = sorted(offsets), max(1, round(EASE * fps))
    at = np.arange(frames)
    out = np.zeros((frames, len(offsets[keys[0]])))
    near = np.zeros(frames, bool)
    for before, after in zip([None, *keys], [*keys, None], strict=True):
        if before is not None and after is not None and after - before <= 2 * width:
            between = (at >= before) & (at <= after)
            share = smoothstep((at[between] - before) / (after - before))[:, None]
            out[between] = (1 - share) * offsets[before] + share * offsets[after]
            near |= between
            continue
        for key, side in ((before, at >= (before or 0)), (after, at <= (after or 0))):
            if key is not None:
                share = smoothstep(1 - np.abs(at - key) / width) * side
                out[share > 0] = share[share > 0, None] * offsets[key]
                near |= share > 0
    return out, near


def _reach_goals(motion: Motion, limb: str, goals: np.ndarray, frames: np.ndarray) -> Motion:
    """The end of a limb at (T, 3) goals in the frames (T,) bool, or as near as `MAX_STRETCH` lets it come."""
    chain = [SMPL22.index(name) for name in PIN_CHAINS[limb]]
    rotations = motion.rotations.astype(np.float64).copy()
    joints, matrices = SMPL22.fk_full(rotations[frames], motion.root[frames])
    root, way = joints[:, chain[0]], goals[frames] - joints[:, chain[0]]
    length = np.linalg.norm(np.diff(joints[:, chain], axis=1), axis=-1).sum(1)
    way *= np.minimum(1, MAX_STRETCH * length / np.maximum(np.linalg.norm(way, axis=1), 1e-9))[:, None]
    upper, middle, end = chain
    front = KNEE if limb.endswith("foot") else ELBOW
    turned = reached(joints, rot.from_matrix(matrices), (upper, middle, end), root + way, front, eased=False)
    rotations[np.flatnonzero(frames)[:, None], chain] = turned
    return replace(motion, rotations=rotations)


def pose_joints(motion: Motion, poses: Sequence[PoseKey]) -> Motion:
    """The motion with joints turned as given at given times; in `EASE` seconds they come there and go back."""
    keys = {_frame(motion, "pose", pose.second): pose for pose in poses}
    rotations = motion.rotations.astype(np.float64).copy()
    for joint, name in enumerate(SMPL22.names):
        offsets = {}
        for frame, pose in keys.items():
            if name in pose.rotations:
                goal = rot.normalize(np.array(pose.rotations[name], float))
                offsets[frame] = rot.to_axis_angle(rot.multiply(goal, rot.conjugate(rotations[frame, joint])))
        if offsets:
            turned, _ = _lead_offsets(offsets, len(motion), motion.fps)
            rotations[:, joint] = rot.multiply(rot.from_axis_angle(turned), rotations[:, joint])
    root = motion.root.astype(np.float64).copy()
    heights = {f: np.array([pose.height - root[f, 1]]) for f, pose in keys.items() if pose.height is not None}
    if heights:
        root[:, 1] += _lead_offsets(heights, len(motion), motion.fps)[0][:, 0]
    return replace(motion, rotations=rotations, root=root)


def place_pelvis(motion: Motion, places: Sequence[Place]) -> tuple[Motion, list[str]]:
    """The motion with its pelvis above given places at given times, and a line where steps do not carry it there.

    The way from one place to the next is turned and lengthened as a whole, what is missing then is shifted, and feet
    are held again. Before the first place it comes from where it began, after the last one it goes on as it would.
    """
    if not places:
        return motion, []
    keys = {_frame(motion, "place", p.second): p for p in places}
    goals = {f: np.array(p.place, float) for f, p in keys.items()}
    goals.setdefault(0, motion.root[0, [0, 2]].astype(np.float64))
    led = _bend_way(motion, goals)
    headings = {f: float(np.radians(p.heading)) for f, p in keys.items() if p.heading is not None}
    if headings:
        away = np.unwrap([h - float(led.heading[f]) for f, h in sorted(headings.items())])
        away -= 2 * np.pi * np.round(away[0] / (2 * np.pi))
        turn = _curve(sorted(headings), away[:, None], len(led))[:, 0]
        led = replace(led, rotations=_turn_yaw(led.rotations, turn))
    shifted, slide = _shift_root(led, goals)
    standing = on_the_floor(shifted)
    out, _ = _shift_root(standing, goals)  # what feet that are held took back
    notes = []
    if slide > MAX_SLIDE:
        notes.append(f"places: the steps are shifted by up to {slide:.1f} m a second to be there in time")
    return out, notes


def apply_keys(
    motion: Motion, places: Sequence[Place], poses: Sequence[PoseKey], pins: Sequence[Pin]
) -> tuple[Motion, list[str]]:
    """The motion with keys in the frames of its own rate; steps are not made again, which `place_pelvis` has done
    before.

    Of the places those at other seconds than before the frames were chosen move it by centimetres.
    """
    goals = {_frame(motion, "place", p.second): np.array(p.place, float) for p in places}
    if goals:
        motion, _ = _shift_root(motion, goals)
    return pin_limbs(pose_joints(motion, poses), pins)


def _bend_way(motion: Motion, goals: Mapping[int, np.ndarray]) -> Motion:
    """The motion whose way between places (frame -> (2,) x, z) has the direction and, within bounds, their distance."""
    way = motion.root[:, [0, 2]].astype(np.float64)
    steps = np.diff(way, axis=0, prepend=way[:1])
    frames = sorted(goals)
    legs, shortest = [frames[0]], MIN_LEG_SECONDS * motion.fps
    for frame in frames[1:]:
        if frame - legs[-1] >= shortest:
            legs.append(frame)
    turns, sizes = np.full(len(way), np.nan), np.ones(len(way))
    last = 0.0
    for first, stop in zip(legs, legs[1:], strict=False):
        goes, goal = way[stop] - way[first], goals[stop] - goals[first]
        own, wanted = float(np.linalg.norm(goes)), float(np.linalg.norm(goal))
        if own > MIN_LEG and wanted > MIN_LEG:
            turn = float(np.arctan2(*goal) - np.arctan2(*goes))
            last += float((turn - last + np.pi) % (2 * np.pi) - np.pi)
            turns[first + 1 : stop + 1] = last
        if own > MIN_LEG:
            sizes[first + 1 : stop + 1] = np.clip(wanted / own, *STRIDES)
    known = np.flatnonzero(~np.isnan(turns))
    if len(known):  # elsewhere as in the nearest leg
        at = np.arange(len(way))
        nearest = known[np.abs(at[:, None] - known).argmin(1)]
        turns = gaussian(turns[nearest], TURNING * motion.fps)
    else:
        turns = np.zeros(len(way))
    sizes = gaussian(sizes, TURNING * motion.fps)
    c, s = np.cos(turns), np.sin(turns)
    moved = np.stack([c * steps[:, 0] + s * steps[:, 1], c * steps[:, 1] - s * steps[:, 0]], 1) * sizes[:, None]
    root = motion.root.astype(np.float64).copy()
    root[:, [0, 2]] = goals[0] + np.cumsum(moved, axis=0)
    return replace(motion, root=root, rotations=_turn_yaw(motion.rotations, turns))


def _turn_yaw(rotations: np.ndarray, yaw: np.ndarray) -> np.ndarray:
    out = rotations.astype(np.float64).copy()
    out[:, 0] = rot.multiply(rot.about_y(yaw), out[:, 0])
    return out


def _shift_root(motion: Motion, goals: Mapping[int, np.ndarray]) -> tuple[Motion, float]:
    """The motion with its root above the places in their frames, and m/s by which it was shifted at most."""
    root = motion.root.astype(np.float64).copy()
    frames = sorted(goals)
    curve = _curve(frames, np.stack([goals[f] - root[f, [0, 2]] for f in frames]), len(root))
    root[:, [0, 2]] += curve
    slide = np.linalg.norm(np.diff(curve, axis=0), axis=1).max(initial=0.0) * motion.fps
    return replace(motion, root=root), float(slide)


def _curve(frames: Sequence[int], values: np.ndarray, count: int) -> np.ndarray:
    """(T, D) through values (K, D) in their frames, monotonic between two, level outside."""
    if len(frames) == 1:
        return np.repeat(values, count, axis=0)
    from scipy.interpolate import PchipInterpolator  # takes longer to import than the rest of this module

    inside = PchipInterpolator(frames, values)(np.clip(np.arange(count), frames[0], frames[-1]))
    return np.asarray(inside)
