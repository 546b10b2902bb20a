"""What a clip's geometry says that a caption may claim: which hand, which foot, how high."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vqvae import rotations as rot
from vqvae.motion import Motion

_DOMINANT = 1.6  # one side counts as the acting one when it travels this many times as far as the other
_MOVES = 0.25  # metres: a limb that travels less, seen from the body, does nothing


@dataclass(frozen=True)
class Facts:
    """Which limbs act.

    Attributes:
        hand: ``left``, ``right``, ``both`` or None.
        foot: the same for the feet, seen from the pelvis.
        high: whether a wrist rises above the head.
    """

    hand: str | None
    foot: str | None
    high: bool


def _side(left: float, right: float) -> str | None:
    if max(left, right) < _MOVES:
        return None
    if left > _DOMINANT * right:
        return "left"
    return "right" if right > _DOMINANT * left else "both"


def clip_facts(motion: Motion) -> Facts:
    """Measure a clip.

    Side: reach of the wrist (ankle) in the body's heading frame, the largest distance between two of its positions
    along any axis. High: a wrist above the head joint for at least 3 frames.
    """
    joints = motion.joints.astype(np.float64)
    local = rot.rotate(rot.about_y(-motion.heading)[:, None], joints - joints[:, :1])
    index = motion.skeleton.index
    reach = {
        name: float(np.linalg.norm(np.ptp(local[:, index(name)], axis=0)))
        for name in ("l_wrist", "r_wrist", "l_ankle", "r_ankle")
    }
    above = joints[:, [index("l_wrist"), index("r_wrist")], 1] - joints[:, index("head"), 1, None]
    return Facts(
        _side(reach["l_wrist"], reach["r_wrist"]), _side(reach["l_ankle"], reach["r_ankle"]),
        bool(((above > 0).sum(0) >= 3).any()),
    )  # fmt: skip
