"""Joins a decoded stretch of motion to the real frames around it, without a jump."""
# The tokens of the neighbours are known, so the stretch is nearly right at both ends; what is left is the error of the
# tokens. At the seam the stretch, led on by a frame, is compared with the real frame there, and the offset in pose and
# speed fades out inside the stretch (inertialisation, Bollo 2018, with a fixed quintic ease); known frames are never
# touched.

from dataclasses import replace

import numpy as np

from vqvae import rotations as rot
from vqvae.motion import Motion
from vqvae.smoothing import fading

FADE_FRAMES = 12  # over which a seam's offset fades
EASE_FRAMES = 6  # over which a correction of the path sets in


def place(motion: Motion, frame: int, like: Motion, like_frame: int) -> Motion:
    """`motion` turned and moved in the plane so that its `frame` stands where `like_frame` of `like` does."""
    turn = float(like.heading[like_frame] - motion.heading[frame])
    turned = motion.moved(turn, np.zeros(3))
    shift = (like.root[like_frame] - turned.root[frame]) * np.array([1, 0, 1])
    return replace(turned, root=turned.root + shift)


def fade_in(stretch: Motion, real: Motion) -> Motion:
    """The stretch going on from the real frames before it, with their speed; the correction fades over its start.

    Args:
        stretch: (T) frames to be corrected, placed already.
        real: the last frames before the stretch: one, or two so that speeds meet as well.
    """
    turns, shifts = _fade_stretch(stretch.rotations, stretch.root, real.rotations[::-1], real.root[::-1])
    rotations = rot.multiply(rot.from_axis_angle(turns), stretch.rotations.astype(np.float64))
    return replace(stretch, rotations=rotations, root=stretch.root + shifts)


def fade_out(stretch: Motion, real: Motion) -> Motion:
    """The same at the other end: `real` are the first one or two frames after the stretch."""
    back = np.arange(len(stretch))[::-1]
    return fade_in(stretch.at_frames(back), real.at_frames(np.arange(len(real))[::-1])).at_frames(back)


def _fade_stretch(
    rotations: np.ndarray, root: np.ndarray, real_rotations: np.ndarray, real_root: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rotation vectors (T, J, 3) and shifts (T, 3) of a stretch after real frames, the nearest first."""
    q, real_q = rotations[:2].astype(np.float64), real_rotations.astype(np.float64)
    x, real_x = root[:2].astype(np.float64), real_root.astype(np.float64)
    # one frame back from the stretch, and one on from the real frames
    earlier, earlier_x = rot.multiply(_spin(q[1], q[0]), q[0]) if len(q) > 1 else q[0], 2 * x[0] - x[-1]
    turn = rot.to_axis_angle(rot.multiply(real_q[0], rot.conjugate(earlier)))
    shift = real_x[0] - earlier_x
    turn_speed, shift_speed = np.zeros_like(turn), np.zeros_like(shift)
    if len(real_q) > 1:
        later = rot.multiply(_spin(real_q[1], real_q[0]), real_q[0])
        turn_speed = rot.to_axis_angle(rot.multiply(later, rot.conjugate(q[0]))) - turn
        shift_speed = 2 * real_x[0] - real_x[1] - x[0] - shift
    width = max(1, min(FADE_FRAMES, len(rotations)))
    turns, shifts = np.zeros((len(rotations), *turn.shape)), np.zeros((len(rotations), 3))
    turns[:width] = fading(turn, turn_speed, width + 1)[1:]
    shifts[:width] = fading(shift, shift_speed, width + 1)[1:]
    return turns, shifts


def _spin(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The turn from a to b."""
    return rot.multiply(b, rot.conjugate(a))


def lead_to_target(stretch: Motion, before: Motion, after: Motion, target: Motion) -> Motion:
    """The stretch with its path led to the start of `target`, so that place and heading of both ends are met.

    Args:
        stretch: (T) frames.
        before, after: one frame on either side of the stretch, of the same stream.
        target: its first frame is the goal of `after`.
    """
    # the path is turned step by step, as a body walks it, and then shifted; both set in and fade over `EASE_FRAMES`, so
    # that speeds and yaw rates at the ends stay as they are
    root = np.concatenate([before.root[-1:], stretch.root, after.root[:1]]).astype(np.float64)
    turn = float(np.angle(np.exp(1j * (target.heading[0] - after.heading[0]))))
    share = _share(len(stretch) + 1)
    # of the turn that the step from frame to frame has taken
    half = (share[:-1] + share[1:]) / 2
    path = root[0] + np.cumsum(rot.rotate(rot.about_y(half * turn), np.diff(root, axis=0)), axis=0)
    shift = (target.root[0] - path[-1]) * np.array([1, 0, 1])
    rotations = stretch.rotations.astype(np.float64).copy()
    rotations[:, 0] = rot.multiply(rot.about_y(share[1:-1] * turn), rotations[:, 0])
    return replace(stretch, rotations=rotations, root=path[:-1] + share[1:-1, None] * shift)


def _share(steps: int) -> np.ndarray:
    """(steps + 1,) from 0 to 1, even but for `EASE_FRAMES` steps of a raised cosine at either end."""
    speed, ease = np.ones(steps), min(EASE_FRAMES, steps // 2)
    ramp = np.sin((np.arange(ease) + 0.5) / max(ease, 1) * np.pi / 2) ** 2
    speed[:ease] *= ramp
    speed[steps - ease :] *= ramp[::-1]
    return np.concatenate([[0.0], np.cumsum(speed) / speed.sum()])


def interpolate_motion(start: Motion, end: Motion, frames: int) -> Motion:
    """Straight interpolation of every joint, `frames` long, that takes up the speeds of both ends."""
    t = np.arange(1, frames + 1) / (frames + 1)
    a, b = start.rotations[-1:].astype(np.float64), end.rotations[:1].astype(np.float64)
    root = start.root[-1] + (end.root[0] - start.root[-1]) * t[:, None]
    path = replace(start, rotations=rot.slerp(a, b, t[:, None]), root=root, caption="")
    return fade_out(fade_in(path, start.slice(max(0, len(start) - 2), len(start))), end.slice(0, 2))


def retime_motion(motion: Motion, frames: int) -> Motion:
    """The same movement in another number of frames (at least 1), ends kept."""
    if frames == len(motion):
        return motion
    return motion.sampled(np.linspace(0, len(motion) - 1, frames))


def distances(candidates: list[Motion]) -> np.ndarray:
    """(B,) mean joint distance of each candidate to all others in the world, metres: the least is their consensus."""
    joints = np.stack([m.joints for m in candidates])
    return np.asarray(np.linalg.norm(joints[:, None] - joints[None], axis=-1).mean((1, 2, 3)))


def hold(motion: Motion, frames: int, before: bool) -> Motion:
    """Lengthened to `frames` by holding the first (before) or last pose."""
    index = np.arange(frames) - (frames - len(motion)) if before else np.arange(frames)
    return motion.at_frames(index.clip(0, len(motion) - 1))
