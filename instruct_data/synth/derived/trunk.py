"""Chest and head of a layered clip: whose movement they show, and how they hang together with the pelvis below.

Both are seen in the direction that the hips face, as turns away from the stance a recording has while it does nothing
in particular. What the upper clip does is added to the lower clip's stance. What the lower clip's chest and head do
besides belongs to its steps when it steps, and stays, as does its posture; when it stands it belongs to what its own
arms did, and makes room for the arms that come instead.
"""

from __future__ import annotations

import numpy as np

from vqvae import rotations as rot
from vqvae.motion import Motion
from vqvae.smoothing import gaussian

SPINE = (3, 6, 9)
HEAD = (12, 15)
LARGEST_LEAN = np.radians(50)
_STEPPING = (0.15, 0.45)  # metres per second of both ankles together: somebody who stands, somebody who steps
_UNLIKE = (np.radians(15), np.radians(35))  # between two stances: people who stand alike, one of them bent or seated
_HEADING_SECONDS = 0.35


def chain(rotations: np.ndarray, joints: tuple[int, ...]) -> np.ndarray:
    """Global rotation (T, 4) of the last joint of a chain from the root."""
    out = rotations[:, 0]
    for j in joints:
        out = rot.multiply(out, rotations[:, j])
    return out


def reference(q: np.ndarray, busy: np.ndarray) -> np.ndarray:
    """The rotation (4,) a part has while it does nothing in particular; over the whole clip if it always does."""
    quiet = ~busy if (~busy).mean() > 0.1 else np.ones(len(q), bool)
    return rot.normalize(np.median(rot.continuous(q)[quiet], axis=0))


def standing(motion: Motion) -> np.ndarray:
    """(T,) 1 while both feet stay where they are, 0 while they step, with half a second in between."""
    ankles = motion.joints[:, [7, 8]].astype(np.float64)
    speed = np.linalg.norm(np.diff(ankles, axis=0, prepend=ankles[:1]), axis=-1).mean(1) * motion.fps
    return 1 - _step(smooth(speed, _HEADING_SECONDS * motion.fps), _STEPPING)


def _step(x: np.ndarray | float, between: tuple[float, float]) -> np.ndarray:
    """0 below, 1 above, smoothly in between."""
    x = np.clip((np.asarray(x) - between[0]) / (between[1] - between[0]), 0, 1)
    return x * x * (3 - 2 * x)


def smooth(x: np.ndarray, frames: float) -> np.ndarray:
    """`x` (T, ...) as float64 under a Gaussian of `frames` frames."""
    return gaussian(x.astype(np.float64), frames)


def hips_heading(motion: Motion) -> np.ndarray:
    """(T,) where the hips face (yaw, radians), without their swing from step to step."""
    across = (motion.joints[:, 1] - motion.joints[:, 2]).astype(np.float64)
    yaw = np.unwrap(np.arctan2(-across[:, 2], across[:, 0]))
    return smooth(yaw, _HEADING_SECONDS * motion.fps)


def turns(motion: Motion, joints: tuple[int, ...], busy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far a part is from its quiet stance.

    Args:
        motion: any clip.
        joints: the chain from the pelvis to the part.
        busy: (T,) frames that do not count for the stance.

    Returns:
        Rotation vectors (T, 3) from the stance, radians, as seen by the hips; the stance (4,).
    """
    seen = rot.multiply(rot.about_y(-hips_heading(motion)), chain(motion.rotations.astype(np.float64), joints))
    stance = reference(seen, busy)
    vectors = rot.to_axis_angle(rot.multiply(seen, rot.conjugate(stance)[None]))
    return vectors, stance


def carried(
    lower: Motion, upper: Motion, where: slice, busy: tuple[np.ndarray, np.ndarray], weight: np.ndarray,
    room: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Spine, neck and head with the upper clip's movement on the lower clip's stance.

    Args:
        lower: gives pelvis and stance.
        upper: a clip of N frames.
        where: the N frames of `lower` on which `upper` lies.
        busy: of the whole of `lower` and of `upper`, (T,) bool: frames in which arms or head do something.
        weight: (N,) how much of the upper clip is wanted, 0..1.
        room: (N,) how much the lower clip's own movement gives way to it where it stands, 0..1.

    Returns:
        (N, 5, 4) local rotations of `SPINE` and `HEAD`.
    """
    low = lower.rotations[where].astype(np.float64)
    keep, take = 1 - weight * room * standing(lower)[where], weight * standing(upper)
    chains = (SPINE, (*SPINE, HEAD[0]), (*SPINE, *HEAD))
    chest, neck, head = (_moved(lower, upper, joints, where, busy, keep, take) for joints in chains)
    bent = bend(low, SPINE, low[:, 0], chest)
    above = [rot.multiply(rot.conjugate(chest), neck), rot.multiply(rot.conjugate(neck), head)]
    new = np.concatenate([bent, np.stack(above, 1)], 1)
    return np.where(weight[:, None, None] > 0, new, low[:, [*SPINE, *HEAD]])


def _moved(
    lower: Motion, upper: Motion, joints: tuple[int, ...], where: slice, busy: tuple[np.ndarray, np.ndarray],
    keep: np.ndarray, take: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Global rotation (N, 4) of the last of a chain of joints, so much (N,) of both clips' movement in it."""
    own, stance = turns(lower, joints, busy[0])
    other, foreign = turns(upper, joints, busy[1])
    # Stance and movement hang together (who leans back looks down): where the one gives way the other does too,
    # unless that would sit up or straighten somebody who is bent.
    share = (1 - keep) * (1 - _step(float(rot.angle_between(stance, foreign)), _UNLIKE))
    stances = rot.slerp(np.broadcast_to(stance, (len(keep), 4)), np.broadcast_to(foreign, (len(keep), 4)), share)
    size = np.linalg.norm(other, axis=-1, keepdims=True)
    other = other * np.minimum(1, LARGEST_LEAN / np.maximum(size, 1e-9))
    kept = rot.multiply(rot.from_axis_angle(own[where] * keep[:, None]), stances)
    added = rot.multiply(rot.about_y(hips_heading(lower)[where]), rot.from_axis_angle(other * take[:, None]))
    return rot.multiply(added, kept)


def bend(rotations: np.ndarray, joints: tuple[int, ...], below: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Local rotations (T, n, 4) of a chain that ends in `goal`, each joint taking an equal share of the change.

    Recordings bend all three joints of the spine alike; equal shares of the whole keep them so.

    Args:
        rotations: (T, J, 4) local rotations as they were.
        joints: the n joints, from below.
        below: (T, 4) global rotation that the first of them hangs on.
        goal: (T, 4) global rotation of the last.
    """
    whole = rotations[:, joints[0]]
    for j in joints[1:]:
        whole = rot.multiply(whole, rotations[:, j])
    wanted = rot.multiply(rot.conjugate(below), goal)
    share = 1 / len(joints)
    change = rot.multiply(rot.conjugate(_power(whole, share)), _power(wanted, share))
    out, done = [], np.broadcast_to(rot.identity(()), whole.shape)
    for j in joints[:-1]:
        out.append(rot.multiply(rotations[:, j], change))
        done = rot.multiply(done, out[-1])
    out.append(rot.multiply(rot.conjugate(done), wanted))
    return np.stack(out, 1)


def _power(q: np.ndarray, share: float) -> np.ndarray:
    return rot.from_axis_angle(rot.to_axis_angle(q) * share)
