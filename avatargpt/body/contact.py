"""Contact with the floor, corrected on top of the decoded motion: feet that slide, bodies that sink."""
# The tokenizer says which toes are in contact; from its first frame of contact a toe is held in the plane, the offset
# is smoothed over a few frames on either side (hence the look-ahead) and the leg follows by bending hip and knee. The
# root, the foot's orientation and everything above are not touched. Decoded heights drift where a body lies, falls or
# kneels, down to 20 cm below the floor y = 0; it is raised there as far as its lowest joint has sunk (`vqvae.ground`).

from dataclasses import replace

import numpy as np

from vqvae import rotations as rot
from vqvae.ground import AHEAD, required_lift, smoothed_lift
from vqvae.legs import bent_knee
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22

LEGS = ((1, 4, 7, 10), (2, 5, 8, 11))  # hip, knee, ankle, toe
TOES = (10, 11)
# channels of the left and the right toe in body features
CONTACTS = (266, 268)
MAX_TOE_HEIGHT = 0.06  # metres: a higher toe is not locked
# metres a toe is held back at most; beyond it slips
MAX_OFFSET = 0.08
# share of the offset that stays from frame to frame in the air
RELEASE = 0.8
LOOK_AHEAD = 3  # frames
_KERNEL = np.hanning(2 * LOOK_AHEAD + 3)[1:-1] / np.hanning(2 * LOOK_AHEAD + 3)[1:-1].sum()


class FootLock:
    """Foot contact in a stream: `push` frames, get frames `LOOK_AHEAD` later; `finish` gives the last ones.

    State: the frames within the look-ahead, per foot the anchor and the offset.
    """

    def __init__(self) -> None:
        self.anchor: list[np.ndarray | None] = [None, None]
        self.offset = np.zeros((2, 2))
        self.rotations = np.zeros((0, 22, 4))
        self.root = np.zeros((0, 3))
        # of the frames kept, and of LOOK_AHEAD frames before them
        self.offsets = np.zeros((0, 2, 2))
        self.started = False

    def push(self, rotations: np.ndarray, root: np.ndarray, contact: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(T, 22, 4) rotations, (T, 3) root, (T, 2) contact of both toes (0..1) -> final rotations and root."""
        if not len(root):
            return np.zeros((0, 22, 4)), np.zeros((0, 3))
        toes = SMPL22.fk(rotations, root)[:, TOES].astype(np.float64)
        locked = (contact > 0.5) & (toes[..., 1] < MAX_TOE_HEIGHT)
        new = np.zeros((len(root), 2, 2))
        for t in range(len(root)):
            for side in (0, 1):
                new[t, side] = self._offset(side, toes[t, side][[0, 2]], bool(locked[t, side]))
        if not self.started:
            self.offsets, self.started = np.repeat(new[:1], LOOK_AHEAD, 0), True
        self.rotations = np.concatenate([self.rotations, rotations])
        self.root = np.concatenate([self.root, root])
        self.offsets = np.concatenate([self.offsets, new])
        return self._emit(len(self.root) - LOOK_AHEAD)

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """The remaining frames."""
        if not len(self.root):
            return self.rotations, self.root
        self.offsets = np.concatenate([self.offsets, np.repeat(self.offsets[-1:], LOOK_AHEAD, 0)])
        return self._emit(len(self.root))

    def _offset(self, side: int, toe: np.ndarray, locked: bool) -> np.ndarray:
        if locked:
            anchor = self.anchor[side]
            if anchor is None:
                anchor = toe + self.offset[side]
            offset = anchor - toe
            size = float(np.linalg.norm(offset))
            if size > MAX_OFFSET:
                offset = offset * (MAX_OFFSET / size)
                anchor = toe + offset
            self.anchor[side], self.offset[side] = anchor, offset
        else:
            self.anchor[side] = None
            self.offset[side] = self.offset[side] * RELEASE
        return self.offset[side].copy()

    def _emit(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        if count <= 0:
            return np.zeros((0, 22, 4)), np.zeros((0, 3))
        span = self.offsets[: count + 2 * LOOK_AHEAD]
        smooth = np.stack([(span[k : k + 2 * LOOK_AHEAD + 1] * _KERNEL[:, None, None]).sum(0) for k in range(count)])
        root = self.root[:count]
        rotations = shift_feet(self.rotations[:count], root, smooth)
        self.rotations, self.root, self.offsets = self.rotations[count:], self.root[count:], self.offsets[count:]
        return rotations, root


def shift_feet(rotations: np.ndarray, root: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """(T, 22, 4) local rotations with both feet moved in the plane by hips and knees; feet keep their orientation.

    Args:
        rotations: (T, 22, 4) local. root: (T, 3).
        offsets: (T, 2, 2) metres along x and z for the left and right foot.
    """
    joints, matrices = SMPL22.fk_full(rotations, root)
    out = np.array(rotations, np.float64)
    world = rot.from_matrix(matrices)
    for side, (hip, knee, ankle, _) in enumerate(LEGS):
        moved = np.abs(offsets[:, side]).max(-1) > 1e-5
        if not moved.any():
            continue
        p, g = joints[moved], world[moved]
        goal = p[:, ankle] + np.insert(offsets[moved, side], 1, 0, axis=-1)
        ahead = rot.rotate(g[:, hip], np.broadcast_to([0.0, 0, 1], goal.shape))
        bent = bent_knee(p[:, hip], p[:, knee], p[:, ankle], goal, ahead)
        upper = rot.multiply(rot.between(p[:, knee] - p[:, hip], bent - p[:, hip]), g[:, hip])
        lower = rot.multiply(rot.between(p[:, ankle] - p[:, knee], goal - bent), g[:, knee])
        out[moved, hip] = rot.multiply(rot.conjugate(g[:, 0]), upper)
        out[moved, knee] = rot.multiply(rot.conjugate(upper), lower)
        out[moved, ankle] = rot.multiply(rot.conjugate(lower), g[:, ankle])
    return out


def planted(stretch: Motion, contact: np.ndarray, start: Motion, end: Motion) -> Motion:
    """A stretch between given frames whose feet stand where they touch the floor; nothing above the hips moves.

    Args:
        stretch: (T) frames. contact: (T, 2) of the left and the right toe, 0..1.
        start, end: the frames before and after, in the world.
    """
    # a toe is held at its place in the middle of its contact, or at that of START or END where it stands on it; between
    # contacts the offset is interpolated
    frames = len(stretch)
    toes = stretch.joints[:, TOES].astype(np.float64)
    offsets = np.zeros((frames + 2 * LOOK_AHEAD, 2, 2))
    for side in (0, 1):
        way, on = toes[:, side][:, [0, 2]], (contact[:, side] > 0.5) & (toes[:, side, 1] < MAX_TOE_HEIGHT)
        keys = [(-1.0, np.zeros(2))]
        edges = np.flatnonzero(np.diff(np.concatenate([[False], on, [False]])))
        for first, last in edges.reshape(-1, 2):
            run = np.arange(first, last)
            ends = [way[(first + last) // 2]] * 2
            if first == 0:
                ends[0] = start.joints[-1, TOES[side], [0, 2]]
                ends[1] = ends[0] if last < frames else ends[1]
            if last == frames:
                ends[1] = end.joints[0, TOES[side], [0, 2]]
                ends[0] = ends[1] if first else ends[0]
            share = (run - first + 1)[:, None] / (last - first + 1)
            offset = ends[0] * (1 - share) + ends[1] * share - way[run]
            size = np.linalg.norm(offset, axis=-1, keepdims=True)
            offset *= np.minimum(1, MAX_OFFSET / np.maximum(size, 1e-9))
            keys += [(float(t), o) for t, o in zip(run, offset, strict=True)]
        keys.append((float(frames), np.zeros(2)))
        times, values = [t for t, _ in keys], np.array([v for _, v in keys])
        grid = np.arange(-LOOK_AHEAD, frames + LOOK_AHEAD)
        offsets[:, side] = np.stack([np.interp(grid, times, values[:, c]) for c in (0, 1)], -1)
    smooth = np.stack([(offsets[k : k + 2 * LOOK_AHEAD + 1] * _KERNEL[:, None, None]).sum(0) for k in range(frames)])
    ramp = np.arange(1, frames + 1) / (LOOK_AHEAD + 1)
    smooth *= np.minimum(1, np.minimum(ramp, ramp[::-1]))[:, None, None]
    return replace(stretch, rotations=shift_feet(stretch.rotations, stretch.root, smooth))


def with_seam_lifted(motion: Motion, first: int, last: int, floor: float = 0.0) -> Motion:
    """The motion raised where the blended frames [first, last) sink below `floor`, smoothly within `AHEAD` frames."""
    # two clips on the floor are not on it halfway between: a hand passes through it where one lies and the next stands
    lo, hi = max(0, first - AHEAD), min(len(motion), last + AHEAD)
    window = motion.slice(lo, hi)
    lift = required_lift(window.joints - np.array([0, floor, 0]))
    lift[: first - lo] = lift[last - lo :] = 0
    if not lift.any():
        return motion
    root = motion.root.copy()
    root[lo:hi, 1] += smoothed_lift(lift)
    return replace(motion, root=root)


class PenetrationStream:
    """`vqvae.ground.without_penetration` for frames that arrive in pieces: the same frames, `AHEAD` later."""

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
            above = root - np.multiply.outer(np.broadcast_to(ground, len(root)), [0, 1, 0])
            self.lift = np.concatenate([self.lift, required_lift(SMPL22.fk(rotations, above))])
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
            lift = smoothed_lift(self.lift)[past : past + count]
            root = root + lift[:, None] * [0, 1, 0]
        self.rotations, self.root = self.rotations[count:], self.root[count:]
        self.lift = self.lift[max(0, past + count - AHEAD) :]
        return rotations, root
