"""Contact with the floor, corrected on top of decoded motion: feet that slide or sink, bodies that sink or hang."""
# One pass for all motion that is written: `on_the_floor`; in streams `PenetrationStream`, then `FootLock`. A toe that
# is low and slow stands: it is held at one place, and the leg follows by bending hip and knee. Beside a contact the
# offset sets in and fades. The feet's orientation and all above the hips are not touched. The root is raised where a
# body has sunk, lowered where it hangs, and goes along with the feet where it drifts away from them.

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from vqvae import rotations as rot
from vqvae.contact import DEPENDS, standing
from vqvae.ground import (
    AHEAD,
    PUSH_OFF,
    SMOOTH,
    ease_weights,
    find_required_lift,
    lowest_step,
    smooth_lift,
    support_level,
)
from vqvae.limbs import KNEE, reached
from vqvae.motion import Motion, concatenate
from vqvae.skeleton import FEET, RADIUS, SMPL22, TOES
from vqvae.smoothing import average_window, fading, runs_of

LEGS = ((1, 4, 7, 10), (2, 5, 8, 11))  # hip, knee, ankle, toe
# metres a toe is held back at most; beyond it slips
MAX_OFFSET = 0.15
# metres a toe is held back while the body stays; metres a frame (0.05 m/s) that it goes along with its feet beyond that
SWAY, FOLLOWING = 0.08, 0.0025
ANCHOR_FRAMES = 20  # of a contact, whose median place is held
RELEASE_FRAMES = 6  # over which an offset sets in and fades
# frames on either side that a frame depends on, those of a contact that began earlier aside
LOOK_AHEAD, KEPT = AHEAD + PUSH_OFF + RELEASE_FRAMES + ANCHOR_FRAMES + DEPENDS, AHEAD + RELEASE_FRAMES + DEPENDS
# shares of a leg's length: from which on the pelvis goes down, by so many metres at most; up to which an ankle is led
# away from the hip
STRETCHED, MAX_DROP, MAX_REACH = 0.99, 0.03, 1.01
FLIGHT_FRAMES = 16  # of the longest flight, 0.8 s
CLEARANCE = 0.005  # metres above what a joint lies on that stay
CARRIED = 0.08  # metres; what hangs higher is carried by something, such as a saddle or a bar
FLESH = np.array([RADIUS.get(name, 0.01) for name in SMPL22.names])  # metres between a joint and what it lies on


class FootLock:
    """Feet that stand in a stream at 20 fps: `push` frames, get frames `LOOK_AHEAD` later; `finish` gives the last.

    State: the frames within the look-ahead and `RELEASE_FRAMES` before them, which of them stand, and the anchors.
    """

    def __init__(self) -> None:
        self.rotations, self.root, self.ground = np.zeros((0, 22, 4)), np.zeros((0, 3)), np.zeros(0)
        self.on, self.moved, self.anchors = np.zeros((0, 2), bool), np.zeros((0, 2)), np.full((2, 2), np.nan)

    def push(
        self, rotations: np.ndarray, root: np.ndarray, ground: np.ndarray | float = 0.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """(T, 22, 4) rotations, (T, 3) root, (T,) height of the ground below -> final rotations and root."""
        self.rotations = np.concatenate([self.rotations, rotations])
        self.root = np.concatenate([self.root, root])
        self.ground = np.concatenate([self.ground, np.broadcast_to(ground, len(root))])
        return self._emit(len(self.root) - LOOK_AHEAD)

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """The remaining frames."""
        return self._emit(len(self.root))

    def _emit(self, stop: int) -> tuple[np.ndarray, np.ndarray]:
        first = len(self.on)  # frames before it are out
        if stop <= first:
            return np.zeros((0, 22, 4)), np.zeros((0, 3))
        joints = SMPL22.fk(self.rotations, self.root).astype(np.float64)
        on = standing(joints, ground=self.ground)
        on[:first] = self.on
        feet = find_held(joints[:, TOES][..., [0, 2]], on, np.zeros(len(on), bool), self.moved, self.anchors)
        offsets = _raise_offsets(feet.offsets, joints, self.ground)
        drop = smooth_lift(_out_of_reach(joints, offsets, self.ground))[first:stop]
        root = self.root[first:stop] + np.insert(feet.moved[first:stop], 1, -drop, axis=-1)
        offsets = offsets[first:stop] + drop[:, None, None] * [0, 1, 0]
        rotations, kept = shift_feet(self.rotations[first:stop], root, offsets), max(0, stop - KEPT)
        self.on, self.moved, self.anchors = on[kept:stop], feet.moved[kept:stop], feet.anchors[kept]
        self.rotations, self.root, self.ground = self.rotations[kept:], self.root[kept:], self.ground[kept:]
        return rotations, root


class Held(NamedTuple):
    """How feet are held, (T, 2, 2) of the left and right toe in the plane, metres.

    Attributes:
        offsets: from where they are. anchors: where they are held, NaN where they are not.
        moved: (T, 2) how far the body has gone along with its feet.
    """

    offsets: np.ndarray
    anchors: np.ndarray
    moved: np.ndarray


def find_held(
    ways: np.ndarray, on: np.ndarray, fixed: np.ndarray, moved: np.ndarray, anchors: np.ndarray | None = None,
    along: bool = True,
) -> Held:  # fmt: skip
    """What holds toes in one place wherever they stand.

    Args:
        ways: (T, 2, 2) courses of the left and right toe in the plane, metres. on: (T, 2) whether they stand.
        fixed: (T,) frames that do not move; a contact that one of them belongs to is held where they have it.
        moved: (N, 2) how far the body has gone along with its feet in the first N frames.
        anchors: (2, 2) where contacts at the first frame are held already, NaN where they begin there.
        along: a body that drifts off from all feet that stand goes along with them, and back in later steps.
    """
    out = Held(np.zeros(ways.shape), np.full(ways.shape, np.nan), np.zeros(ways.shape[:2]))
    goals, body = np.zeros(ways.shape), np.zeros(2)
    runs = [dict(runs_of(on[:, side])) for side in (0, 1)]
    ends = [0, 0]
    for t, way in enumerate(ways):
        for side in (0, 1):
            if t in runs[side]:
                span = slice(t, runs[side][t])
                ends[side] = span.stop
                start = anchors[side] if anchors is not None and not t else np.full(2, np.nan)
                goals[span, side] = _places(ways[span, side], fixed[span], start, body)
        feet = [side for side in (0, 1) if on[t, side]]
        if t < len(moved):
            body = moved[t]
        elif along:
            body = body + _step_along([goals[t, side] - way[side] - body for side in feet], body)
        for side in feet:
            offset = goals[t, side] - way[side] - body
            goals[t : ends[side], side] -= offset - _limit_length(offset, MAX_OFFSET)
            out.offsets[t, side], out.anchors[t, side] = _limit_length(offset, MAX_OFFSET), goals[t, side]
        out.moved[t] = body
    out.offsets[fixed] = 0
    for side in (0, 1):
        spans = runs_of(on[:, side] | fixed)
        for (_, first), (last, _) in zip([(0, 0), *spans], [*spans, (len(on), len(on))], strict=True):
            if first < last:
                # Between two contacts the offset of one fades, that of the other sets in.
                gap, width = np.zeros((last - first, 2)), min(RELEASE_FRAMES, last - first)
                if first > 0:
                    gap[:width] += fading(out.offsets[first - 1, side], np.zeros(2), width + 1)[1:]
                if last < len(on):
                    gap[len(gap) - width :] += fading(out.offsets[last, side], np.zeros(2), width + 1)[:0:-1]
                out.offsets[first:last, side] = gap
    return out


def _places(way: np.ndarray, fixed: np.ndarray, start: np.ndarray, body: np.ndarray) -> np.ndarray:
    """Where a toe (T, 2) is held in a contact: at START, where fixed frames have it, or at its first median place."""
    known = np.flatnonzero(fixed)
    if len(known):  # between two known places a toe goes from one to the other
        return np.stack([np.interp(np.arange(len(way)), known, way[known, c]) for c in (0, 1)], -1)
    place = start if np.isfinite(start).all() else np.median(way[:ANCHOR_FRAMES], 0) + body
    return np.broadcast_to(place, way.shape)


def _step_along(offsets: Sequence[np.ndarray], body: np.ndarray) -> np.ndarray:
    """The step (2,) of a body that has gone so far with its feet: with all that stand, or back while one does not."""
    beyond = sorted((o - _limit_length(o, SWAY) for o in offsets), key=np.linalg.norm)
    if beyond and beyond[0].any():
        return _limit_length(beyond[0], FOLLOWING) * (float(beyond[0] @ beyond[-1]) > 0)
    return -_limit_length(body, FOLLOWING) if len(beyond) < 2 else np.zeros(2)


def _limit_length(vector: np.ndarray, most: float) -> np.ndarray:
    """A vector (2,) of this length at most."""
    return vector * min(1.0, most / max(float(np.linalg.norm(vector)), 1e-9))


def _raise_offsets(offsets: np.ndarray, joints: np.ndarray, ground: np.ndarray | float) -> np.ndarray:
    """(T, 2, 3) offsets in the plane (T, 2, 2) of the toes of joints (T, 22, 3), raised to the ground (T,)."""
    floor = lowest_step(np.broadcast_to(ground, len(joints)))
    return np.insert(offsets, 1, (floor[:, None] - joints[:, TOES, 1]).clip(0), axis=-1)


def shift_feet(rotations: np.ndarray, root: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """(T, 22, 4) local rotations with both feet moved by hips and knees; feet keep their orientation.

    Args:
        rotations: (T, 22, 4) local. root: (T, 3).
        offsets: (T, 2, 3) metres of the left and right foot.
    """
    joints, matrices = SMPL22.fk_full(rotations, root)
    out = np.array(rotations, np.float64)
    world = rot.from_matrix(matrices)
    for side, (hip, knee, ankle, _) in enumerate(LEGS):
        moved = np.flatnonzero(np.abs(offsets[:, side]).max(-1) > 1e-5)
        p, limb = joints[moved], (hip, knee, ankle)
        goal = p[:, ankle] + _within_reach(p[:, hip], p[:, knee], p[:, ankle], offsets[moved, side])
        out[moved[:, None], limb] = reached(p, world[moved], limb, goal, KNEE)
    return out


def _out_of_reach(joints: np.ndarray, offsets: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """(T,) metres by which the hips of joints (T, 22, 3) come down to feet moved by (T, 2, 3); no joint sinks in."""
    out, room = np.zeros(len(joints)), np.delete(joints[..., 1], FEET, axis=1).min(1) - ground
    for side, (hip, knee, ankle, _) in enumerate(LEGS):
        now = joints[:, ankle] - joints[:, hip]
        goal = now + offsets[:, side]
        length = np.linalg.norm(np.diff(joints[:, [hip, knee, ankle]], axis=1), axis=-1).sum(-1)
        reach = np.maximum(STRETCHED * length, np.linalg.norm(now, axis=-1))
        deep = np.sqrt((reach**2 - goal[:, 0] ** 2 - goal[:, 2] ** 2).clip(0))
        out = np.maximum(out, -goal[:, 1] - deep)
    return out.clip(0, room.clip(0, MAX_DROP))


def _within_reach(hip: np.ndarray, knee: np.ndarray, ankle: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """The part of an ankle's offset, all (N, 3), that leads it no farther than `MAX_REACH`: beyond, it would rise."""
    length = np.linalg.norm(knee - hip, axis=-1) + np.linalg.norm(ankle - knee, axis=-1)
    now = ankle - hip
    room = np.maximum(MAX_REACH * length, np.linalg.norm(now, axis=-1)) ** 2 - (now**2).sum(-1)
    along, size = (now * offset).sum(-1), np.maximum((offset**2).sum(-1), 1e-12)
    share = (np.sqrt(along**2 + size * room) - along) / size
    return np.asarray(offset * share.clip(0, 1)[:, None])


def on_the_floor(motion: Motion, before: Motion | None = None, after: Motion | None = None) -> Motion:
    """The motion on the floor at 20 fps: nothing sinks in, feet that stand hold, and what nothing carries comes down.

    Args:
        before, after: the frames beside it, in the world, which stay; None = there are none.
    """
    weight = ease_weights(len(motion), before is not None, after is not None)
    motion = _raise_motion(motion, -weight * average_window(_measure_hang(motion), 2 * SMOOTH + 1))
    ground = lowest_step(support_level(motion.joints, motion.fps), motion.fps)
    motion = _raise_motion(motion, weight * smooth_lift(_measure_sink(motion.joints, ground)))
    reach = RELEASE_FRAMES + ANCHOR_FRAMES
    head = [] if before is None else [before.slice(max(0, len(before) - reach), len(before))]
    tail = [] if after is None else [after.slice(0, reach)]
    whole = concatenate([*head, motion, *tail])
    first = sum(map(len, head))
    own = slice(first, first + len(motion))
    fixed = np.ones(len(whole), bool)
    fixed[own] = False
    joints, ground = whole.joints.astype(np.float64), support_level(whole.joints, whole.fps)
    on = standing(joints, ground=ground)
    feet = find_held(joints[:, TOES][..., [0, 2]], on, fixed, np.zeros((first, 2)), along=after is None)
    offsets = _raise_offsets(feet.offsets, joints, ground)
    drop = weight * smooth_lift(_out_of_reach(joints, offsets, ground))[own]
    motion = replace(motion, root=motion.root + np.insert(feet.moved[own], 1, -drop, axis=-1))
    offsets = offsets[own] * weight[:, None, None] + drop[:, None, None] * [0, 1, 0]
    return replace(motion, rotations=shift_feet(motion.rotations, motion.root, offsets))


def _raise_motion(motion: Motion, metres: np.ndarray) -> Motion:
    """The motion raised by (T,) metres; itself for zeros."""
    if not metres.any():
        return motion
    return replace(motion, root=motion.root + metres[:, None] * [0, 1, 0])


def _measure_hang(motion: Motion) -> np.ndarray:
    """(T,) metres that a body hangs above a level floor for longer than a flight; zeros where something carries it."""
    room, count = (motion.joints[..., 1] - FLESH).min(1).astype(np.float64) - CLEARANCE, FLIGHT_FRAMES + 1
    if len(room) < count or support_level(motion.joints, motion.fps).any():
        return np.zeros(len(room))
    windows = np.lib.stride_tricks.sliding_window_view
    least = np.pad(windows(room, count).min(-1), count - 1, constant_values=0).clip(0)
    out = windows(least, count).max(-1).copy()
    for first, last in runs_of(out > 0):
        out[first:last] *= out[first:last].max() <= CARRIED
    return out


def _measure_sink(joints: np.ndarray, ground: np.ndarray | float) -> np.ndarray:
    """(T,) metres that joints (T, 22, 3) must be lifted to the ground (T,); feet a little below it are raised alone."""
    above = joints - np.broadcast_to(ground, len(joints))[:, None, None] * np.array([0, 1, 0])
    return np.maximum(find_required_lift(above), (-np.delete(above[..., 1], FEET, axis=1).min(1)).clip(0))


def with_seam_lifted(motion: Motion, first: int, last: int, floor: float = 0.0) -> Motion:
    """The motion raised where the blended frames [first, last) sink below `floor`, smoothly within `AHEAD` frames."""
    # two clips on the floor are not on it halfway between: a hand passes through it where one lies and the next stands
    lo, hi = max(0, first - AHEAD), min(len(motion), last + AHEAD)
    window = motion.slice(lo, hi)
    lift = find_required_lift(window.joints - np.array([0, floor, 0]))
    lift[: first - lo] = lift[last - lo :] = 0
    if not lift.any():
        return motion
    root = motion.root.copy()
    root[lo:hi, 1] += smooth_lift(lift)
    return replace(motion, root=root)


class PenetrationStream:
    """A body raised out of the ground as by `on_the_floor`; frames arrive in pieces and come `AHEAD` later."""

    def __init__(self) -> None:
        self.rotations, self.root = np.zeros((0, 22, 4)), np.zeros((0, 3))
        self.lift = np.zeros(0)

    def push(
        self, rotations: np.ndarray, root: np.ndarray, ground: np.ndarray | float = 0.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Take (T, 22, 4) rotations and (T, 3) root, metres; as many frames as are final now. `ground`: height of the
        ground below the body, (T,).
        """
        if len(root):
            self.lift = np.concatenate([self.lift, _measure_sink(SMPL22.fk(rotations, root), ground)])
            self.rotations = np.concatenate([self.rotations, rotations])
            self.root = np.concatenate([self.root, root])
        return self._out(max(0, len(self.root) - AHEAD))

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """The remaining frames."""
        return self._out(len(self.root))

    def _out(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        rotations, root = self.rotations[:count], self.root[:count]
        past = len(self.lift) - len(self.root)
        if count and self.lift.any():
            lift = smooth_lift(self.lift)[past : past + count]
            root = root + lift[:, None] * [0, 1, 0]
        self.rotations, self.root = self.rotations[count:], self.root[count:]
        self.lift = self.lift[max(0, past + count - AHEAD) :]
        return rotations, root
