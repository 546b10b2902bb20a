"""The upper body of one clip on the lower body of another: somebody walks *while* waving.

Pelvis and legs are those of the lower clip to the bit, so contacts and balance stay what they were. Chest, neck and
head keep the lower clip's stance and their counter-rotation to its gait; what the upper clip's do besides standing
upright is added in the direction of travel (`synth.derived.trunk`). An arm comes from the upper clip only while
it does something there; a hand that hangs goes on swinging with the steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from instruct_data.synth.derived.trunk import HEAD, SPINE, carried, chain, smooth
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion

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


def layer(
    lower: Motion, upper: Motion, parts: tuple[str, ...], start: int = 0, raised: float = RAISED
) -> Motion:
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
