"""Cyclic clips (walking, running, dancing) made longer: the best-matching cycle is found and played again and again.

A cycle may begin at any frame whose pose and speed come back later in the clip. The seam is inertialised
(:func:`instruct_data.joining.join_motions`); the feet count more than the rest of the body when it is chosen, because
a foot that stands on one side of the seam has to stand on the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from instruct_data.joining import join_motions, posture
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion

SHORTEST, LONGEST = 0.6, 4.0
CLOSE = 0.11  # metres: cost of the worst seam that does not show
_VELOCITY_SECONDS = 0.06  # weight of speed against pose
_FEET = (7, 8, 10, 11)
_FEET_WEIGHT = 3.0
_LIVELY = 0.75  # a cycle moves at least this much of what the clip moves on average


@dataclass(frozen=True)
class Cycle:
    """A part of a clip that can follow itself.

    Attributes:
        start: first frame.
        stop: the frame that looks like `start`; frames [start, stop) are played.
        cost: weighted mean distance of the joints (metres, heading frame) plus 0.06 s times that of their velocities.
        turn: by how much the body has turned at `stop`, radians, positive to the left.
    """

    start: int
    stop: int
    cost: float
    turn: float


def find_cycle(
    motion: Motion, shortest: float = SHORTEST, longest: float = LONGEST, close: float = CLOSE, straight: bool = False
) -> Cycle | None:
    """The longest of the cycles that close about as well as the best one does.

    Args:
        motion: any clip.
        shortest: least length of a cycle, seconds.
        longest: greatest length, seconds.
        close: greatest cost accepted, metres.
        straight: only cycles after which the body faces where it faced before (within 6 degrees).

    Returns:
        None when nothing in the clip comes back, or only standing still does.
    """
    least = max(2, round(shortest * motion.fps))
    if len(motion) < least + 4:
        return None
    pose, speed = posture(motion, 0, len(motion))
    weight = np.ones(pose.shape[1])
    weight[list(_FEET)] = _FEET_WEIGHT
    weight /= weight.sum()
    both = np.concatenate([pose, _VELOCITY_SECONDS * speed], -1).astype(np.float32)
    moved = np.linalg.norm(speed, axis=-1).mean(-1)
    total = np.concatenate([[0.0], np.cumsum(moved)])
    i, j = np.triu_indices(len(motion) - 2, least)
    i, j = i + 1, j + 1  # the first and last frame have one-sided speeds
    inside = j - i <= round(longest * motion.fps)
    i, j = i[inside], j[inside]
    turn = motion.heading[j] - motion.heading[i]
    kept = (total[j] - total[i]) / (j - i) >= _LIVELY * moved.mean()
    if straight:
        kept &= np.abs(turn) < np.radians(6)
    i, j, turn = i[kept], j[kept], turn[kept]
    if not len(i):
        return None
    rough = np.linalg.norm((both[i][:, _ROUGH] - both[j][:, _ROUGH])[..., :3], axis=-1).mean(-1)
    near = np.argsort(rough, kind="stable")[:400]
    i, j, turn = i[near], j[near], turn[near]
    apart = both[i] - both[j]
    cost = (np.linalg.norm(apart[..., :3], axis=-1) + np.linalg.norm(apart[..., 3:], axis=-1)) @ weight
    good = cost <= min(close, 1.25 * float(cost.min()))
    if not good.any():
        return None
    best = int(np.flatnonzero(good)[np.argmax((j - i)[good])])
    return Cycle(int(i[best]), int(j[best]), float(cost[best]), float(turn[best]))


_ROUGH = [1, 4, 5, 7, 8, 15, 20, 21]


def extend(motion: Motion, cycle: Cycle, seconds: float, blend_frames: int | None = None) -> Motion:
    """Play the clip, its cycle again and again, and then the clip's end.

    Args:
        motion: the clip that `cycle` was found in.
        seconds: least length of the result; less than one round more is added to it.
        blend_frames: of every seam, default 0.3 s.

    Returns:
        A Motion that begins like the clip and ends like it (turned by the turns of the cycles).

    Raises:
        UserError: a cycle that is not within the clip.
    """
    if not 1 <= cycle.start < cycle.stop < len(motion):
        raise UserError(f"loop: frames {cycle.start} to {cycle.stop}; accepted: within the clip's {len(motion)}")
    blend = round(0.3 * motion.fps) if blend_frames is None else blend_frames
    length = cycle.stop - cycle.start
    missing = round(seconds * motion.fps) - len(motion)
    rounds = max(0, -(-missing // length))
    if not rounds:
        return motion
    # one frame more on both sides of every seam, for the speed there
    out = motion.slice(0, cycle.stop + 1)
    middle, end = motion.slice(cycle.start - 1, cycle.stop + 1), motion.slice(cycle.start - 1, len(motion))
    for _ in range(rounds - 1):
        out = join_motions(out, middle, blend, overlap=True)
    return join_motions(out, end, blend, overlap=True)


def closed(motion: Motion, cycle: Cycle) -> Motion:
    """One round of the cycle whose end leads into its beginning exactly, for players that repeat a clip.

    What differs between `start` and `stop` (pose, height, and the heading) is taken out evenly along the round; the way
    travelled is kept.
    """
    part = motion.slice(cycle.start, cycle.stop + 1)
    part = part.moved(-float(part.heading[0]), np.zeros(3))
    share = np.arange(len(part))[:, None] / (len(part) - 1)
    back = rot.about_y(-(part.heading - part.heading[0])[-1] * share[:, 0])
    rotations = part.rotations.astype(np.float64)
    rotations[:, 0] = rot.multiply(back, rotations[:, 0])
    apart = rot.to_axis_angle(rot.multiply(rotations[0], rot.conjugate(rotations[-1])))
    rotations = rot.multiply(rot.from_axis_angle(apart * share[..., None]), rotations)
    root = part.root.astype(np.float64)
    steps = rot.rotate(back[1:], np.diff(root, axis=0))
    root = np.concatenate([root[:1], root[:1] + np.cumsum(steps, 0)])
    root[:, 1] += (root[0, 1] - root[-1, 1]) * share[:, 0]
    return Motion(rotations, root, part.fps, part.modality, part.caption, part.skeleton).slice(0, len(part) - 1)
