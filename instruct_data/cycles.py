"""Parts of a clip that can follow themselves, found by pose and speed, and clips made longer by them."""

# A cycle may begin at any frame whose pose and speed come back later in the clip. The seam is inertialised
# (:func:`instruct_data.joining.join_motions`); the feet count more than the other joints when it is chosen, because a
# foot that stands on one side of the seam has to stand on the other.

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from instruct_data.joining import join_motions, posture
from vqvae.errors import UserError
from vqvae.motion import Motion
from vqvae.skeleton import FEET

MIN_SECONDS, MAX_SECONDS = 0.6, 4.0  # of a cycle
MAX_COST = 0.11  # metres: cost of the worst seam that is not visible
_VELOCITY_SECONDS = 0.06  # weight of speed against pose
_FEET_WEIGHT = 3.0
_LIVELY = 0.75  # a cycle moves at least this much of what the clip moves on average


@dataclass(frozen=True)
class Cycle:
    """A part of a clip that can follow itself."""

    start: int  # first frame
    stop: int  # the frame that looks like `start`; frames [start, stop) are played
    # Weighted mean distance of the joints (metres, heading frame) plus 0.06 s times that of their velocities
    cost: float
    turn: float  # by how much the body has turned at `stop`, radians, positive to the left


def find_cycle(
    motion: Motion, straight: bool = False, longest: float = MAX_SECONDS, shortest: float = MIN_SECONDS
) -> Cycle | None:
    """The longest of the cycles that close about as well as the best one; None where none comes back in motion.

    Args:
        straight: only cycles after which the body faces where it faced before (within 6 degrees).
        longest, shortest: seconds of a cycle.
    """
    shortest_frames = max(2, round(shortest * motion.fps))
    if len(motion) < shortest_frames + 4:
        return None
    pose, speed = posture(motion, 0, len(motion))
    weight = np.ones(pose.shape[1])
    weight[list(FEET)] = _FEET_WEIGHT
    weight /= weight.sum()
    both = np.concatenate([pose, _VELOCITY_SECONDS * speed], -1).astype(np.float32)
    moved = np.linalg.norm(speed, axis=-1).mean(-1)
    total = np.concatenate([[0.0], np.cumsum(moved)])
    i, j = np.triu_indices(len(motion) - 2, shortest_frames)
    i, j = i + 1, j + 1  # the first and last frame have one-sided speeds
    inside = j - i <= round(longest * motion.fps)
    i, j = i[inside], j[inside]
    turn = motion.heading[j] - motion.heading[i]
    valid = (total[j] - total[i]) / (j - i) >= _LIVELY * moved.mean()
    if straight:
        valid &= np.abs(turn) < np.radians(6)
    i, j, turn = i[valid], j[valid], turn[valid]
    if not len(i):
        return None
    rough = np.linalg.norm((both[i][:, _ROUGH] - both[j][:, _ROUGH])[..., :3], axis=-1).mean(-1)
    closest = np.argsort(rough, kind="stable")[:400]
    i, j, turn = i[closest], j[closest], turn[closest]
    difference = both[i] - both[j]
    cost = (np.linalg.norm(difference[..., :3], axis=-1) + np.linalg.norm(difference[..., 3:], axis=-1)) @ weight
    good = cost <= min(MAX_COST, 1.25 * float(cost.min()))
    if not good.any():
        return None
    best = int(np.flatnonzero(good)[np.argmax((j - i)[good])])
    return Cycle(int(i[best]), int(j[best]), float(cost[best]), float(turn[best]))


_ROUGH = [1, 4, 5, 7, 8, 15, 20, 21]


def extend(motion: Motion, cycle: Cycle, seconds: float) -> Motion:
    """The clip with its cycle repeated before its end, `seconds` long or up to one round longer."""
    if not 1 <= cycle.start < cycle.stop < len(motion):
        raise UserError(f"loop: frames {cycle.start} to {cycle.stop}; accepted: within the clip's {len(motion)}")
    blend = round(0.3 * motion.fps)
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
