"""The floor of a clip: its height, its course over stairs, and clips moved to the floor of the tokens, y = 0."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vqvae.motion import Motion
from vqvae.skeleton import FEET
from vqvae.smoothing import runs_of

SUNK = 0.03  # metres below the floor; toes and hands of real clips are lower in 0.02 % of the frames
SMOOTH = 3  # frames on either side that a lift is smoothed over, and begins ahead
EASE = 6  # frames over which it grows beside frames that stay as they are
AHEAD = 2 * SMOOTH  # frames on either side that a lift depends on
_KERNEL = np.hanning(2 * SMOOTH + 3)[1:-1] / np.hanning(2 * SMOOTH + 3)[1:-1].sum()
UPRIGHT = 0.6  # metres from the lowest joint to the pelvis, from which on a body is on its feet
DEEP = 0.05  # metres by which a clip may stand too low as a whole; more is a fall, which sinks by itself
BELOW, ABOVE = -0.1, 0.2  # metres; nearer to 0 it is no other floor but feet that sink a little, or a jump


SOLE = 0.006  # metres, the lowest joint of a foot that stands
STANDING_SPEED, STANDING_FRAMES = 0.02, 4  # metres a frame at 20 fps; such frames that a foot stands at least
MIN_RISE = 0.12  # metres; feet of a body on one level stand nearer to one another than that
RAMP = 4  # frames at 20 fps on either side over which the level of one step passes into the next
PUSH_OFF = 8  # frames at 20 fps from which on the foot behind may have left the step before


def support_level(joints: np.ndarray, fps: float = 20.0) -> np.ndarray:
    """(T,) metres: height of the ground below the body where it climbs or descends; zeros where it stays on one level.

    Read off the feet that stand: the lowest joint of the body, slow for `STANDING_FRAMES` frames or more. Between them
    it is interpolated.

    Args:
        joints: (T, 22, 3) metres, Y up. fps: their frames per second.
    """
    count, scale = len(joints), fps / 20
    low, lowest = joints[..., 1].min(1).astype(np.float64), joints[..., 1].argmin(1)
    step = np.linalg.norm(np.diff(joints[:, FEET], axis=0, prepend=joints[:1, FEET]), axis=-1)
    moved = step[np.arange(count), [FEET.index(j) if j in FEET else 0 for j in lowest]]
    standing = np.isin(lowest, FEET) & (moved < STANDING_SPEED / scale)
    # at the top of a jump the feet are slow, too, but not for long
    shortest = min(STANDING_FRAMES * scale, count)
    spans = [(a, b) for a, b in runs_of(standing) if b - a >= shortest]
    heights = [float(np.median(low[a:b])) for a, b in spans]
    if not heights or max(heights) - min(heights) < MIN_RISE:
        return np.zeros(count)
    at = np.concatenate([[a, b - 1] for a, b in spans])
    level = np.interp(np.arange(count), at, np.repeat(heights, 2)) - SOLE
    ramp = round(RAMP * scale)
    return np.convolve(np.pad(level, ramp, "edge"), np.full(2 * ramp + 1, 1 / (2 * ramp + 1)), "valid")


def lowest_step(level: np.ndarray, fps: float = 20.0) -> np.ndarray:
    """(T,) metres: the lowest ground that a foot may stand on while `support_level` (T,) passes from step to step."""
    reach = round(PUSH_OFF * fps / 20)
    return np.lib.stride_tricks.sliding_window_view(np.pad(level, reach, "edge"), 2 * reach + 1).min(-1)


def floor_of(motion: Motion) -> float:
    """Height of a clip's floor, metres: the lowest joints' second percentile, 0 between `BELOW` and `ABOVE`."""
    # Other heights come from files whose pelvis is the origin, or from a stage; a clip in the air looks the same.
    lowest = float(np.percentile(motion.joints[..., 1].min(1), 2))
    return 0.0 if BELOW <= lowest <= ABOVE else lowest


def raise_motion(motion: Motion, height: float) -> Motion:
    """The motion so many metres higher; itself for 0."""
    if not height:
        return motion
    return replace(motion, root=motion.root + np.array([0, height, 0], np.float32))


def ground_motion(motion: Motion) -> Motion:
    """The motion on the floor y = 0; itself where it stands there."""
    return raise_motion(motion, -floor_of(motion))


def settle_motion(motion: Motion) -> Motion:
    """The motion lowered onto the floor, and lifted where it sinks; a clip entirely in the air is lowered, too."""
    lowest = motion.joints[..., 1].min(1)
    # Bodies with other legs and feet stand a few centimetres above or below the floor, and sink where they lie or fall.
    on_feet = (motion.root[:, 1] - lowest > UPRIGHT) & (lowest > -DEEP)
    low = float(np.percentile(lowest[on_feet], 20)) if on_feet.any() else float(np.percentile(lowest, 5))
    level = support_level(motion.joints, motion.fps)
    if level.any():
        return without_penetration(raise_motion(motion, -float(level[0])))
    return without_penetration(raise_motion(motion, -max(low, -DEEP)))


def without_penetration(motion: Motion, after: bool = False, before: bool = False) -> Motion:
    """The motion with its root lifted where a joint is more than `SUNK` below the floor; itself where none is.

    `after` and `before`: other frames precede or follow it, so the lift grows or fades over `EASE` frames there.
    """
    joints = motion.joints
    ground = lowest_step(support_level(joints, motion.fps), motion.fps)
    needed = find_required_lift(joints - ground[:, None, None] * np.array([0, 1, 0]))
    if not needed.any():
        return motion
    lift = smooth_lift(needed) * ease_weights(len(needed), after, before)
    return replace(motion, root=(motion.root + lift[:, None] * [0, 1, 0]).astype(motion.root.dtype))


def ease_weights(frames: int, after: bool, before: bool) -> np.ndarray:
    """(T,) weights of a correction that grows or fades over `EASE` frames beside frames that stay as they are."""
    ramp = np.arange(1, frames + 1) / (min(EASE, frames) + 1)
    ease = np.sin(ramp.clip(0, 1) * np.pi / 2) ** 2
    return np.ones(frames) * (ease if after else 1) * (ease[::-1] if before else 1)


def find_required_lift(joints: np.ndarray) -> np.ndarray:
    """(T,) metres that joints (T, J, 3) must be lifted: nothing at `SUNK`, all of it from twice as deep on."""
    depth = -joints[..., 1].min(1).astype(np.float64)
    return np.asarray(np.minimum(depth, 2 * (depth - SUNK)).clip(0))


def smooth_lift(needed: np.ndarray) -> np.ndarray:
    """(T,) a smooth lift, nowhere less than needed (T,)."""
    highest = np.lib.stride_tricks.sliding_window_view(np.pad(needed, SMOOTH, "edge"), 2 * SMOOTH + 1).max(-1)
    return np.convolve(np.pad(highest, SMOOTH, "edge"), _KERNEL, "valid")
