"""Motion whose end leads into its beginning.

The best cycle is cut out where there is one (`instruct_data.synth.derived.loops`), and what pose, height, heading and,
of a motion on one spot, place still differ at the end fades in over the last part.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from instruct_data.synth.derived.loops import find_cycle
from vqvae import rotations as rot
from vqvae.motion import Motion

FADE = 0.6  # seconds, at most a third of the motion
SPOT = 0.8  # metres that somebody may have gone who is led back to where he began
TURNED = 60.0  # degrees of turn that are led back likewise


def looped(motion: Motion, cut: bool = True) -> Motion:
    """The motion as a loop: the frame behind its last one would be its first, moved on where it goes somewhere.

    Args:
        cut: whether frames may be left out; else it is as long as before.
    """
    cycle = find_cycle(motion, longest=motion.seconds) if cut else None
    if cycle is not None:
        motion = motion.slice(cycle.start, cycle.stop)
    frames = max(1, min(round(FADE * motion.fps), len(motion) // 3))
    share = np.zeros(len(motion))
    share[-frames:] = np.sin(np.linspace(0, np.pi / 2, frames)) ** 2  # 1 at the last frame
    rotations = motion.rotations.astype(np.float64)
    root = motion.root.astype(np.float64)
    turn = float(np.angle(np.exp(1j * (motion.heading[-1] - motion.heading[0]))))
    kept = 0.0 if abs(np.degrees(turn)) < TURNED else turn
    goal = rotations[0].copy()
    goal[0] = rot.multiply(rot.about_y(np.array(kept)), goal[0])
    away = rot.to_axis_angle(rot.multiply(goal, rot.conjugate(rotations[-1])))
    rotations = rot.multiply(rot.from_axis_angle(share[:, None, None] * away), rotations)
    gap = root[0] - root[-1]
    if np.linalg.norm(gap[[0, 2]]) > SPOT:
        gap = gap * np.array([0.0, 1, 0])
    return replace(motion, rotations=rotations, root=root + share[:, None] * gap)
