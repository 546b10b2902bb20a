"""A motion that begins or ends in a given pose: what lies between is made by the in-between task."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from avatargpt.body import stitch
from vqvae.errors import UserError
from vqvae.motion import Motion, concatenate

LEAD = 0.8  # s that getting from the pose to the motion takes, and back
HELD = 8  # frames of the pose that the network is shown
Between = Callable[[Motion, Motion, float], Motion]


def posed(motion: Motion, between: Between, start: Motion | None, end: Motion | None) -> Motion:
    """The motion, as long as it was, whose first or last frame is a pose.

    Args:
        between: START, END, seconds of the middle -> START, the middle and END as one motion.
        start, end: one frame each; where they stand and face is the motion's own.

    Raises:
        UserError: a motion too short for the way from or to the pose.
    """
    lead = round(LEAD * motion.fps)
    ends = (start is not None) + (end is not None)
    if len(motion) < ends * lead + HELD:
        least = (ends * lead + HELD) / motion.fps
        raise UserError(f"{motion.seconds:.1f} s with a pose to begin or end in; accepted: {least:.1f} s or more")
    if start is not None:
        still = stitch.place(_still(start, motion), HELD - 1, motion, 0)
        whole = between(still, motion.slice(lead, len(motion)), (lead - 1) / motion.fps)
        motion = whole.slice(HELD - 1, len(whole)).with_caption(motion.caption)
    if end is not None:
        still = stitch.place(_still(end, motion), 0, motion, len(motion) - 1)
        whole = between(motion.slice(0, len(motion) - lead), still, (lead - 1) / motion.fps)
        motion = whole.slice(0, len(whole) - HELD + 1).with_caption(motion.caption)
    return motion


def _still(pose: Motion, like: Motion) -> Motion:
    """`HELD` frames of a pose, at another motion's rate and bones."""
    one = pose.resampled(like.fps).slice(0, 1)
    return concatenate([one] * HELD)


def frame_of(motion: Motion, second: float | None, where: str) -> Motion:
    """One frame of a motion: at a second, or the first.

    Raises:
        UserError: a second beyond its end; `where` names the file.
    """
    if second is not None and not 0 <= second <= motion.seconds:
        raise UserError(f"{where}: second {second:g}; accepted 0 to {motion.seconds:g}")
    at = int(min(np.floor((second or 0.0) * motion.fps), len(motion) - 1))
    return motion.slice(at, at + 1)
