"""The upper body of one clip on the lower body of another: a person walks *while* waving."""

# Pelvis and legs are those of the lower clip to the bit, so contacts and balance stay what they were. An arm comes from
# the upper clip only while it acts there; a hand that hangs goes on swinging with the steps.
#
# Chest and head are seen in the direction that the hips face, as turns away from the stance that a recording has
# while it does nothing in particular. The upper clip's turns are added to the lower clip's stance. The lower clip's
# own turns belong to its steps while it steps, and stay, as does its posture; while it stands they belong to its own
# arms, and make room for the arms that come instead.

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion
from vqvae.smoothing import close_gaps, gaussian, minimum_jerk, smoothstep, widen_runs

SPINE = (3, 6, 9)
HEAD = (12, 15)
MAX_LEAN = np.radians(50)
_STEPPING = (0.15, 0.45)  # metres per second, mean of both ankles: standing, stepping
_STANCE_ANGLES = (np.radians(15), np.radians(35))  # between two stances: alike, one of them bent or seated
_HEADING_SECONDS = 0.35


def chain(rotations: np.ndarray, joints: tuple[int, ...]) -> np.ndarray:
    """Global rotation (T, 4) of the last joint of a chain from the root."""
    out = rotations[:, 0]
    for j in joints:
        out = rot.multiply(out, rotations[:, j])
    return out


def reference(q: np.ndarray, busy: np.ndarray) -> np.ndarray:
    """Median rotation (4,) of a part while it is not busy; of all frames if it always is."""
    quiet = ~busy if (~busy).mean() > 0.1 else np.ones(len(q), bool)
    return rot.normalize(np.median(rot.continuous(q)[quiet], axis=0))


def find_stance(motion: Motion) -> np.ndarray:
    """(T,) 1 while both feet stay where they are, 0 while they step, with half a second in between."""
    ankles = motion.joints[:, [7, 8]].astype(np.float64)
    speed = np.linalg.norm(np.diff(ankles, axis=0, prepend=ankles[:1]), axis=-1).mean(1) * motion.fps
    return 1 - _step(smooth(speed, _HEADING_SECONDS * motion.fps), _STEPPING)


def _step(x: np.ndarray | float, between: tuple[float, float]) -> np.ndarray:
    """0 below, 1 above, smoothly in between."""
    return smoothstep((np.asarray(x) - between[0]) / (between[1] - between[0]))


def smooth(x: np.ndarray, frames: float) -> np.ndarray:
    """`x` (T, ...) as float64 under a Gaussian of `frames` frames."""
    return gaussian(x.astype(np.float64), frames)


def hips_heading(motion: Motion) -> np.ndarray:
    """(T,) where the hips face (yaw, radians), without their swing from step to step."""
    across = (motion.joints[:, 1] - motion.joints[:, 2]).astype(np.float64)
    yaw = np.unwrap(np.arctan2(-across[:, 2], across[:, 0]))
    return smooth(yaw, _HEADING_SECONDS * motion.fps)


def turns(motion: Motion, joints: tuple[int, ...], busy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotation vectors (T, 3) of a part from its quiet stance, radians, in the heading of the hips; the stance (4,).
    `joints`: the chain from the pelvis to the part. `busy`: (T,) frames that do not count for the stance.
    """
    from_hips = rot.multiply(rot.about_y(-hips_heading(motion)), chain(motion.rotations.astype(np.float64), joints))
    stance = reference(from_hips, busy)
    vectors = rot.to_axis_angle(rot.multiply(from_hips, rot.conjugate(stance)[None]))
    return vectors, stance


def carry_trunk(
    lower: Motion, upper: Motion, where: slice, busy: tuple[np.ndarray, np.ndarray], weight: np.ndarray,
    room: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Spine, neck and head with the upper clip's movement on the lower clip's stance.

    Args:
        lower: gives pelvis and stance.
        upper: a clip of N frames.
        where: the N frames of `lower` on which `upper` lies.
        busy: of `lower` and of `upper`, (T,) bool: frames in which arms or head act.
        weight: (N,) share of the upper clip, 0..1.
        room: (N,) share by which the lower clip's movement gives way to it where it stands, 0..1.

    Returns:
        (N, 5, 4) local rotations of `SPINE` and `HEAD`.
    """
    low = lower.rotations[where].astype(np.float64)
    keep, take = 1 - weight * room * find_stance(lower)[where], weight * find_stance(upper)
    chains = (SPINE, (*SPINE, HEAD[0]), (*SPINE, *HEAD))
    chest, neck, head = (_move_chain(lower, upper, joints, where, busy, keep, take) for joints in chains)
    bent = bend(low, SPINE, low[:, 0], chest)
    above = [rot.multiply(rot.conjugate(chest), neck), rot.multiply(rot.conjugate(neck), head)]
    new = np.concatenate([bent, np.stack(above, 1)], 1)
    return np.where(weight[:, None, None] > 0, new, low[:, [*SPINE, *HEAD]])


def _move_chain(
    lower: Motion, upper: Motion, joints: tuple[int, ...], where: slice, busy: tuple[np.ndarray, np.ndarray],
    keep: np.ndarray, take: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Global rotation (N, 4) of the last joint of a chain, with shares (N,) of both clips' movement."""
    lower_turns, stance = turns(lower, joints, busy[0])
    upper_turns, foreign = turns(upper, joints, busy[1])
    # stance and movement belong together (a body that leans back looks down): where the one gives way the other does
    # too, unless that would straighten a seated or bent body
    share = (1 - keep) * (1 - _step(float(rot.angle_between(stance, foreign)), _STANCE_ANGLES))
    stances = rot.slerp(np.broadcast_to(stance, (len(keep), 4)), np.broadcast_to(foreign, (len(keep), 4)), share)
    size = np.linalg.norm(upper_turns, axis=-1, keepdims=True)
    upper_turns = upper_turns * np.minimum(1, MAX_LEAN / np.maximum(size, 1e-9))
    base = rot.multiply(rot.from_axis_angle(lower_turns[where] * keep[:, None]), stances)
    added = rot.multiply(rot.about_y(hips_heading(lower)[where]), rot.from_axis_angle(upper_turns * take[:, None]))
    return rot.multiply(added, base)


def bend(rotations: np.ndarray, joints: tuple[int, ...], below: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Local rotations (T, n, 4) of a chain that ends in `goal`, each joint taking an equal share of the change.

    Recordings bend all three joints of the spine alike; equal shares keep them so.

    Args:
        rotations: (T, J, 4) local rotations before. joints: the n joints, from below.
        below: (T, 4) global rotation of the parent of the first. goal: (T, 4) global rotation of the last.
    """
    chain_rotation = rotations[:, joints[0]]
    for j in joints[1:]:
        chain_rotation = rot.multiply(chain_rotation, rotations[:, j])
    target = rot.multiply(rot.conjugate(below), goal)
    share = 1 / len(joints)
    change = rot.multiply(rot.conjugate(_power(chain_rotation, share)), _power(target, share))
    out, total = [], np.broadcast_to(rot.identity(()), chain_rotation.shape)
    for j in joints[:-1]:
        out.append(rot.multiply(rotations[:, j], change))
        total = rot.multiply(total, out[-1])
    out.append(rot.multiply(rot.conjugate(total), target))
    return np.stack(out, 1)


def _power(q: np.ndarray, share: float) -> np.ndarray:
    return rot.from_axis_angle(rot.to_axis_angle(q) * share)


# collar, shoulder, elbow and wrist of each side
ARMS = {"left": (13, 16, 18, 20), "right": (14, 17, 19, 21)}
FADE_SECONDS = 0.4
MARGIN_SECONDS = 0.35  # of an active span
RAISED = 0.16  # metres: a wrist farther than this from where it hangs acts
_TURNED = np.radians(9)  # a head farther than this from looking ahead acts
# a hanging hand from the shoulder in the chest's frame (left; x mirrored for the right), metres
_HANGING = np.array([0.1, -0.5, 0.03])


@dataclass(frozen=True)
class UpperActivity:
    """Which parts of the upper body act."""

    # left, right: (T,) bool, the arm is not hanging
    left: np.ndarray
    right: np.ndarray
    head: np.ndarray  # (T,) bool, the head does not look ahead

    def arms(self) -> tuple[str, ...]:
        """The arms that act in at least an eighth of the clip."""
        return tuple(name for name in ("left", "right") if getattr(self, name).mean() >= 0.12)


def activity(motion: Motion, raised: float = RAISED) -> UpperActivity:
    """Which arm is not hanging and whether the head is turned, frame by frame; `raised` as `RAISED`."""
    q = motion.rotations.astype(np.float64)
    active = {name: far > raised for name, far in zip(("left", "right"), from_hanging(motion).T, strict=True)}
    head = rot.multiply(q[:, HEAD[0]], q[:, HEAD[1]])
    mean = rot.normalize(np.median(rot.continuous(head), axis=0))
    return UpperActivity(active["left"], active["right"], rot.angle_between(head, mean[None]) > _TURNED)


def from_hanging(motion: Motion) -> np.ndarray:
    """(T, 2) metres of the left and right wrist from where it hangs; sideways and forward weigh less."""
    joints, q = motion.joints.astype(np.float64), motion.rotations.astype(np.float64)
    back = rot.conjugate(chain(q, SPINE))
    out = []
    for name, sign in (("left", 1.0), ("right", -1.0)):
        shoulder, wrist = joints[:, ARMS[name][1]], joints[:, ARMS[name][3]]
        away = rot.rotate(back, wrist - shoulder) - _HANGING * np.array([sign, 1, 1])
        out.append(np.linalg.norm(away * np.array([0.7, 1, 0.7]), axis=-1))
    return np.stack(out, 1)


def active_span(motion: Motion, parts: tuple[str, ...], raised: float = RAISED) -> tuple[int, int]:
    """First and last (exclusive) frame in which any of the parts does something, with a margin on both sides."""
    acts = activity(motion, raised)
    busy = np.any([getattr(acts, p) for p in parts], axis=0)
    if not busy.any():
        raise UserError(f"layering: {', '.join(parts)}: does nothing in this clip")
    where, edge = np.flatnonzero(busy), round(MARGIN_SECONDS * motion.fps)
    return max(0, int(where[0]) - edge), min(len(motion), int(where[-1]) + 1 + edge)


def _weight(busy: np.ndarray, fps: float) -> np.ndarray:
    """(T,) 0..1: 1 while busy, faded in before and out after; short pauses do not count."""
    reach = max(1, round(FADE_SECONDS * fps / 2))
    edge = 4 * reach
    line = np.pad(busy, edge, mode="edge")
    grown = widen_runs(close_gaps(line, 2 * reach) | line, reach)
    return np.clip(smooth(grown, reach / 2), 0, 1)[edge : edge + len(busy)]


def layer(lower: Motion, upper: Motion, parts: tuple[str, ...], start: int = 0, raised: float = RAISED) -> Motion:
    """Put parts of `upper`'s upper body on `lower`.

    Args:
        lower: gives pelvis, legs, path, and everything that does not come from `upper`.
        upper: plays from frame `start` of the result on; cut at the end of `lower`.
        parts: any of ``left`` (arm), ``right`` (arm), ``head``. Movement of chest and head comes along.
        raised: see `RAISED`.

    Returns:
        A Motion as long as `lower`.
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
    # the first and last pose are held, so that a fade is over before anything happens
    frames = np.r_[np.zeros(lead, int), np.arange(len(upper)), np.full(tail, len(upper) - 1)]
    upper, start = upper.at_frames(frames), start - lead
    count = min(len(upper), len(lower) - start)
    cut = count < len(upper)
    acts = activity(upper, raised)
    here = slice(start, start + count)
    low, up = lower.rotations.astype(np.float64), upper.rotations.astype(np.float64)[:count]
    out = low.copy()
    busy_all = np.any([getattr(acts, p) for p in parts], axis=0)
    fade = minimum_jerk(np.arange(count) / reach) if lead else np.ones(count)
    if not cut:
        fade = fade * (minimum_jerk((count - 1 - np.arange(count)) / reach) if tail else 1)
    lower_acts = activity(lower)
    busy = (lower_acts.left | lower_acts.right | lower_acts.head, busy_all[:count])
    weight = _weight(busy[1], lower.fps) * fade
    # these arms of the lower clip go on, and chest and head with them
    stay = [getattr(lower_acts, side) for side in ARMS if side not in parts]
    room = 1 - _weight(np.any(stay, axis=0), lower.fps)[here] if stay else np.ones(count)
    out[here, [*SPINE, *HEAD]] = carry_trunk(lower, upper.slice(0, count), here, busy, weight, room)
    for side, joints in ARMS.items():
        if side in parts:
            weight = _weight(getattr(acts, side)[:count], lower.fps) * fade
            for j in joints:
                out[here, j] = rot.slerp(low[here, j], up[:, j], weight)
    return replace(lower, rotations=out)

