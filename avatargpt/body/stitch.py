"""Joins a decoded stretch of motion to the real frames around it, without a jump."""
# The decoder sees known tokens on both sides, so the stretch is smooth against the *decoded* neighbours; what is left
# is the small reconstruction error of the neighbours themselves. That offset is measured at the seam and fades out
# inside the stretch (inertialisation, Bollo 2018, with a fixed quintic ease); known frames are never touched.

from dataclasses import replace

import numpy as np

from vqvae import rotations as rot
from vqvae.motion import Motion

FADE_FRAMES = 12  # over which a seam's offset fades
EASE_FRAMES = 6  # over which a correction of the path sets in
# per frame: an offset's speed beyond this is noise
MAX_TURN, MAX_SHIFT = 0.1, 0.02


def fading(offset: np.ndarray, speed: np.ndarray, frames: int) -> np.ndarray:
    """An offset with a speed (...) per frame that comes to rest at zero, (frames, ...); value k: after k + 1 frames."""
    # the quintic of least jerk between these ends
    n = frames + 1
    t = ((np.arange(frames) + 1) / n).reshape(-1, *[1] * np.ndim(offset))
    v = speed * n
    a, b, c = -6 * offset - 3 * v, 15 * offset + 8 * v, -10 * offset - 6 * v
    return np.asarray(a * t**5 + b * t**4 + c * t**3 + v * t + offset)


def place(motion: Motion, frame: int, like: Motion, like_frame: int) -> Motion:
    """`motion` turned and moved in the plane so that its `frame` stands where `like_frame` of `like` does."""
    turn = float(like.heading[like_frame] - motion.heading[frame])
    turned = motion.moved(turn, np.zeros(3))
    shift = (like.root[like_frame] - turned.root[frame]) * np.array([1, 0, 1])
    return replace(turned, root=turned.root + shift)


def fade_in(stretch: Motion, decoded: Motion, real: Motion) -> Motion:
    """Remove the offset between the decoded and the real frames before `stretch`, fading over its start.

    Args:
        stretch: (T) frames to be corrected, placed already.
        decoded, real: the last frames before the stretch, the same instants: one, or two so that speeds meet as well.
    """
    return _fade(stretch, _offsets(decoded, real), forward=True)


def fade_out(stretch: Motion, decoded: Motion, real: Motion) -> Motion:
    """The same at the other end: `decoded` and `real` are the first one or two frames after the stretch."""
    turns, shifts = _offsets(decoded, real)
    return _fade(stretch, (turns[::-1], shifts[::-1]), forward=False)


def _offsets(decoded: Motion, real: Motion) -> tuple[np.ndarray, np.ndarray]:
    """Rotation vectors (n, J, 3) and root shifts (n, 3) that take the decoded frames to the real ones."""
    a, b = decoded.rotations.astype(np.float64), real.rotations.astype(np.float64)
    shifts = real.root.astype(np.float64) - decoded.root
    return rot.to_axis_angle(rot.multiply(b, rot.conjugate(a))), shifts


def _fade(stretch: Motion, offsets: tuple[np.ndarray, np.ndarray], forward: bool) -> Motion:
    """Offsets towards the seam: their last row is the frame next to the stretch."""
    width = max(1, min(FADE_FRAMES, len(stretch)))
    faded = []
    for rows, max_speed in zip(offsets, (MAX_TURN, MAX_SHIFT), strict=True):
        speed = rows[-1] - rows[-2] if len(rows) > 1 else np.zeros_like(rows[-1])
        norm = np.linalg.norm(speed, axis=-1, keepdims=True)
        speed = speed * np.minimum(1, max_speed / np.maximum(norm, 1e-12))
        curve = np.zeros((len(stretch), *rows.shape[1:]))
        curve[:width] = fading(rows[-1], speed, width)
        faded.append(curve if forward else curve[::-1])
    rotations = rot.multiply(rot.from_axis_angle(faded[0]), stretch.rotations.astype(np.float64))
    return replace(stretch, rotations=rotations, root=stretch.root + faded[1])


def arriving(stretch: Motion, before: Motion, after: Motion, target: Motion) -> Motion:
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


def interpolated(start: Motion, end: Motion, frames: int) -> Motion:
    """Straight interpolation of every joint, `frames` long, that takes up the speeds of both ends."""
    # START's last two frames would stand at -1 and 0, END's behind them
    t = np.arange(-1, frames + 3) / (frames + 1)
    a, b = start.rotations[-1:].astype(np.float64), end.rotations[:1].astype(np.float64)
    root = start.root[-1] + (end.root[0] - start.root[-1]) * t[:, None]
    path = replace(start, rotations=rot.slerp(a, b, t[:, None]), root=root, caption="")
    first, last = min(2, len(start)), min(2, len(end))
    real = start.slice(len(start) - first, len(start))
    stretch = fade_in(path.slice(2, 2 + frames), path.slice(2 - first, 2), real)
    return fade_out(stretch, path.slice(2 + frames, 2 + frames + last), end.slice(0, last))


def retimed(motion: Motion, frames: int) -> Motion:
    """The same movement in another number of frames (at least 1), ends kept."""
    if frames == len(motion):
        return motion
    return motion.sampled(np.linspace(0, len(motion) - 1, frames))


def distances(candidates: list[Motion]) -> np.ndarray:
    """(B,) mean joint distance of each candidate to all others in the world, metres."""
    joints = np.stack([m.joints for m in candidates])
    return np.asarray(np.linalg.norm(joints[:, None] - joints[None], axis=-1).mean((1, 2, 3)))


def medoid(candidates: list[Motion]) -> int:
    """The candidate nearest to all others: the consensus of the samples."""
    return int(distances(candidates).argmin())


def hold(motion: Motion, frames: int, before: bool) -> Motion:
    """Lengthened to `frames` by holding the first (before) or last pose."""
    index = np.arange(frames) - (frames - len(motion)) if before else np.arange(frames)
    return motion.at_frames(index.clip(0, len(motion) - 1))
