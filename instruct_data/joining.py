"""Clips put one after another so that they look like one take: where to cut, and a blend that keeps the momentum."""

# The blend is inertialisation (Bollo 2018, "Inertialization: high-performance animation transitions"): the second
# clip plays at once, plus an offset that starts at the difference of pose and speed at the seam and dies out along a
# quintic.

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.ground import raise_motion, support_level
from vqvae.motion import Motion, concatenate
from vqvae.smoothing import fading

BLEND_SECONDS = 0.4
SEARCH_SECONDS = 0.5
_MAX_SPEED = 0.3  # radians per frame of offset speed that is carried over the seam
_VELOCITY_SECONDS = 0.1  # weight of speed against pose


@dataclass(frozen=True)
class Fit:
    """How well b can follow a."""

    end: int  # frame count to keep of a
    start: int  # first frame of b to use
    cost: float  # mean distance of the joints (metres, heading frame) plus 0.1 s times that of their velocities (m/s)


def _check(a: Motion, b: Motion) -> None:
    if abs(a.fps - b.fps) > 1e-6 or a.skeleton.names != b.skeleton.names:
        raise UserError(f"join: clips of {a.fps:g} and {b.fps:g} fps; accepted: the same frame rate and skeleton")


def posture(motion: Motion, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    """What frames [first, last) look like wherever the body stands and faces.

    Returns:
        Joints (n, J, 3) in the heading frame above the origin, heights above the ground below, metres; their
        velocities, metres/s.
    """
    lo, hi = max(first - 1, 0), min(last + 1, len(motion))
    part = motion.slice(lo, hi)
    joints = part.joints.astype(np.float64)
    joints[..., 1] -= support_level(motion.joints, motion.fps)[lo:hi, None]
    back = rot.about_y(-part.heading)[:, None]
    root = joints[:, :1] * np.array([1.0, 0, 1])
    local = rot.rotate(back, joints - root)
    speed = np.gradient(joints, axis=0) if len(joints) > 1 else np.zeros_like(joints)
    velocity = rot.rotate(back, speed) * motion.fps
    return local[first - lo : last - lo], velocity[first - lo : last - lo]


def suits(a: Motion, b: Motion, window: float = SEARCH_SECONDS) -> Fit:
    """The best place to go from a to b.

    Args:
        window: how much of a's end and of b's beginning may be given up, seconds (never more than a third of a clip).

    Returns:
        The cut with the lowest cost over all pairs of frames in the two windows.
    """
    _check(a, b)
    na = int(min(window * a.fps, len(a) // 3)) + 1
    nb = int(min(window * b.fps, len(b) // 3)) + 1
    pa, va = posture(a, len(a) - na, len(a))
    pb, vb = posture(b, 0, nb)
    cost = np.linalg.norm(pa[:, None] - pb[None], axis=-1).mean(-1)
    cost = cost + _VELOCITY_SECONDS * np.linalg.norm(va[:, None] - vb[None], axis=-1).mean(-1)
    i, j = np.unravel_index(int(cost.argmin()), cost.shape)
    return Fit(len(a) - na + int(i) + 1, int(j), float(cost[i, j]))


def join_motions(a: Motion, b: Motion, blend_frames: int | None = None, overlap: bool = False) -> Motion:
    """a followed by b, with b turned and moved to go on from a's end, and the seam blended over b's first frames.

    The result has len(a) + len(b) frames; a is not changed. a's caption is kept.

    Args:
        blend_frames: length of the blend; default 0.4 s; no more than b is long.
        overlap: a's last and b's first frame are only there to show where a was going and where b came from; they are
            left out, and pose and speed at the seam are compared exactly instead of being extrapolated.
    """
    _check(a, b)
    if overlap and (len(a) < 2 or len(b) < 2):
        raise UserError(f"join: clips of {len(a)} and {len(b)} frames; accepted: 2 or more to overlap")
    following, before = (a.slice(len(a) - 1, len(a)), b.slice(0, 1)) if overlap else (None, None)
    a, b = (a.slice(0, len(a) - 1), b.slice(1, len(b))) if overlap else (a, b)
    # b goes on on the ground that a has come to
    b = raise_motion(b, float(support_level(a.joints, a.fps)[-1] - support_level(b.joints, b.fps)[0]))
    n = max(1, min(round(BLEND_SECONDS * a.fps) if blend_frames is None else blend_frames, len(b)))
    ra = a.rotations[-2:].astype(np.float64)
    step_a = (a.root[-1] - a.root[-2]).astype(np.float64) if len(a) > 1 else np.zeros(3)
    last = a.slice(len(a) - 1, len(a))
    if following is not None:
        step_a = (following.root[0] - a.root[-1]).astype(np.float64)
        ra = np.concatenate([a.rotations[-1:], following.rotations]).astype(np.float64)
        last = following
    yaw = float(last.heading[0] - b.slice(0, 1).heading[0])
    target = a.root[-1].astype(np.float64) + step_a
    turned = b.moved(yaw, np.zeros(3))
    planar = np.array([1.0, 0, 1])
    moved = replace(turned, root=turned.root + (target - turned.root[0]) * planar)
    rb = moved.rotations[:2].astype(np.float64)
    if before is not None:
        rb = np.concatenate([before.moved(yaw, np.zeros(3)).rotations, rb[:1]]).astype(np.float64)
    # where a would be one frame on, and how fast it turns
    spin_a = rot.to_axis_angle(rot.multiply(ra[-1], rot.conjugate(ra[0])))  # zero for a clip of one frame
    spin_b = rot.to_axis_angle(rot.multiply(rb[-1], rot.conjugate(rb[0])))
    ahead = ra[-1] if following is not None else rot.multiply(rot.from_axis_angle(spin_a), ra[-1])
    x0 = rot.to_axis_angle(rot.multiply(ahead, rot.conjugate(moved.rotations[0].astype(np.float64))))
    v0 = spin_a - spin_b
    speed = np.linalg.norm(v0, axis=-1, keepdims=True)
    v0 = v0 * np.minimum(1, _MAX_SPEED / np.maximum(speed, 1e-9))
    rotations = moved.rotations.astype(np.float64)
    rotations[:n] = rot.multiply(rot.from_axis_angle(fading(x0, v0, n)), rotations[:n])
    root = moved.root.astype(np.float64)
    step_b = root[1] - root[0] if len(b) > 1 else np.zeros(3)
    if before is not None:
        step_b = rot.rotate(rot.about_y(yaw), (b.root[0] - before.root[0]).astype(np.float64))
    # the planar path only keeps its speed for a moment (no offset to undo): it ends displaced, not pulled back
    lead = fading(np.array([0.0, target[1] - root[0, 1], 0.0]), step_a - step_b, n)
    slip = (step_a - step_b) * planar
    carried = np.cumsum(slip * (1 - np.arange(n)[:, None] / n) ** 2, 0) - slip
    root[:n] += lead * np.array([0.0, 1, 0]) + carried
    root[n:] += carried[-1]
    return concatenate([a, replace(moved, rotations=rotations, root=root)])


def join_best(a: Motion, b: Motion) -> tuple[Motion, int]:
    """Both clips cut where they suit best and joined, and the frame at which b begins."""
    fit = suits(a, b)
    a, b = a.slice(0, fit.end), b.slice(fit.start, len(b))
    return join_motions(a, b), len(a)
