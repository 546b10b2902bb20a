"""The upper body of one clip on the lower body of another: a person walks *while* waving.

Pelvis and legs are those of the lower clip to the bit, so contacts and balance stay what they were. An arm comes from
the upper clip only while it acts there; a hand that hangs goes on swinging with the steps.

Chest and head are seen in the direction that the hips face, as turns away from the stance that a recording has while it
does nothing in particular. The upper clip's turns are added to the lower clip's stance. The lower clip's own turns
belong to its steps while it steps, and stay, as does its posture; while it stands they belong to its own arms, and make
room for the arms that come instead.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
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


ARMS = {"left": (13, 16, 18, 20), "right": (14, 17, 19, 21)}
"""Collar, shoulder, elbow and wrist of each side."""
FADE_SECONDS = 0.4
RAISED = 0.16  # metres: a wrist farther than this from where it hangs is doing something
_TURNED = np.radians(9)  # a head farther than this from looking ahead is doing something
# Where a hanging hand is, seen from the shoulder in the chest's frame (left; x mirrored for the right), metres.
_HANGING = np.array([0.1, -0.5, 0.03])


@dataclass(frozen=True)
class Activity:
    """What the upper body of a clip does.

    Attributes:
        left, right: (T,) bool, the arm is not hanging.
        head: (T,) bool, the head does not look ahead.
    """

    left: np.ndarray
    right: np.ndarray
    head: np.ndarray

    def arms(self, least: float = 0.12) -> tuple[str, ...]:
        """The arms that do something in at least this share of the clip."""
        return tuple(name for name in ("left", "right") if getattr(self, name).mean() >= least)


def activity(motion: Motion, raised: float = RAISED) -> Activity:
    """Which arm is not hanging and whether the head is turned, frame by frame.

    Args:
        raised: metres, see `RAISED`.
    """
    q = motion.rotations.astype(np.float64)
    found = {name: far > raised for name, far in zip(("left", "right"), from_hanging(motion).T, strict=True)}
    head = rot.multiply(q[:, HEAD[0]], q[:, HEAD[1]])
    mean = rot.normalize(np.median(rot.continuous(head), axis=0))
    return Activity(found["left"], found["right"], rot.angle_between(head, mean[None]) > _TURNED)


def from_hanging(motion: Motion) -> np.ndarray:
    """(T, 2) metres of the left and the right wrist from where it hangs; sideways and forward count less."""
    joints, q = motion.joints.astype(np.float64), motion.rotations.astype(np.float64)
    back = rot.conjugate(chain(q, SPINE))
    out = []
    for name, sign in (("left", 1.0), ("right", -1.0)):
        shoulder, wrist = joints[:, ARMS[name][1]], joints[:, ARMS[name][3]]
        away = rot.rotate(back, wrist - shoulder) - _HANGING * np.array([sign, 1, 1])
        out.append(np.linalg.norm(away * np.array([0.7, 1, 0.7]), axis=-1))
    return np.stack(out, 1)


def active_span(
    motion: Motion, parts: tuple[str, ...], margin: float = 0.35, raised: float = RAISED
) -> tuple[int, int]:
    """First and last (exclusive) frame in which any of the parts does something, with `margin` seconds on both sides.

    Raises:
        UserError: nothing is done.
    """
    acts = activity(motion, raised)
    busy = np.any([getattr(acts, p) for p in parts], axis=0)
    if not busy.any():
        raise UserError(f"layering: {', '.join(parts)}: does nothing in this clip")
    where, edge = np.flatnonzero(busy), round(margin * motion.fps)
    return max(0, int(where[0]) - edge), min(len(motion), int(where[-1]) + 1 + edge)


def _weight(busy: np.ndarray, fps: float) -> np.ndarray:
    """(T,) 0..1: 1 while something is done, faded in before and out after it; short pauses do not count."""
    from scipy.ndimage import binary_closing, binary_dilation

    reach = max(1, round(FADE_SECONDS * fps / 2))
    edge = 4 * reach
    filled = binary_closing(np.pad(busy, edge, mode="edge"), iterations=2 * reach, border_value=0)
    grown = binary_dilation(filled | np.pad(busy, edge, mode="edge"), iterations=reach)
    return np.clip(smooth(grown, reach / 2), 0, 1)[edge : edge + len(busy)]


def layer(lower: Motion, upper: Motion, parts: tuple[str, ...], start: int = 0, raised: float = RAISED) -> Motion:
    """Put parts of `upper`'s upper body on `lower`.

    Args:
        lower: gives pelvis, legs, path, and everything that is not taken from `upper`.
        upper: plays from frame `start` of the result on; what is longer than `lower` is cut.
        parts: any of ``left`` (arm), ``right`` (arm), ``head``. Movement of chest and head comes along.
        start: frame of `lower` at which `upper` begins.
        raised: metres from where it hangs at which a hand of `upper` does something.

    Returns:
        A Motion as long as `lower`.

    Raises:
        UserError: other frame rates, a part that is not known, a start outside the lower clip.
    """
    if abs(lower.fps - upper.fps) > 1e-6:
        raise UserError(f"layering: clips of {lower.fps:g} and {upper.fps:g} fps; accepted: the same frame rate")
    if not parts or set(parts) - {"left", "right", "head"}:
        raise UserError(f"layering: parts {', '.join(parts) or 'none'}; accepted left, right, head")
    if not 0 <= start < len(lower):
        raise UserError(f"layering: start {start}; accepted 0 to {len(lower) - 1}")
    reach = max(1, round(FADE_SECONDS * lower.fps))
    lead = min(start, reach)
    tail = max(0, min(reach, len(lower) - start - len(upper)))
    upper, start = _held(upper, lead, tail), start - lead
    count = min(len(upper), len(lower) - start)
    cut = count < len(upper)
    acts = activity(upper, raised)
    here = slice(start, start + count)
    low, up = lower.rotations.astype(np.float64), upper.rotations.astype(np.float64)[:count]
    out = low.copy()
    busy_all = np.any([getattr(acts, p) for p in parts], axis=0)
    fade = _ease(np.arange(count) / reach) if lead else np.ones(count)
    if not cut:
        fade = fade * (_ease((count - 1 - np.arange(count)) / reach) if tail else 1)
    own = activity(lower)
    busy = (own.left | own.right | own.head, busy_all[:count])
    weight = _weight(busy[1], lower.fps) * fade
    stay = [getattr(own, side) for side in ARMS if side not in parts]  # these go on, and chest and head with them
    room = 1 - _weight(np.any(stay, axis=0), lower.fps)[here] if stay else np.ones(count)
    out[here, [*SPINE, *HEAD]] = carried(lower, upper.slice(0, count), here, busy, weight, room)
    for side, joints in ARMS.items():
        if side in parts:
            weight = _weight(getattr(acts, side)[:count], lower.fps) * fade
            for j in joints:
                out[here, j] = rot.slerp(low[here, j], up[:, j], weight)
    return replace(lower, rotations=out)


def _held(motion: Motion, before: int, after: int) -> Motion:
    """The clip with its first and last pose held, so that a fade is over before anything happens."""
    index = np.r_[np.zeros(before, int), np.arange(len(motion)), np.full(after, len(motion) - 1)]
    return motion.at_frames(index)


def _ease(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return x * x * x * (10 + x * (6 * x - 15))
