"""Physics figures of clips, and a table per family."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from instruct_data.clip import Clip
from vqvae import rotations as rot

COLUMNS = ("seconds", "skate", "below", "bent", "speed", "feet", "jerk", "jump")
MEANING = (
    "seconds: mean length; skate: largest slide of a planted toe, mm/frame; below: deepest joint under the floor, cm; "
    "bent: share of frames with a joint beyond its limits, %; speed, feet: peak of wrists and ankles, m/s (median); "
    "jerk: mean jerk of the joints, m/s^3; jump: largest turn of a joint in a frame, degrees"
)


def figures(clips: Sequence[Clip]) -> dict[str, float]:
    """The figures named in `COLUMNS` over a list of clips; see `MEANING`."""
    seconds, skate, below, bent, speed, feet, jerk, jump = [], [0.0], [0.0], [], [], [], [], [0.0]
    for clip in clips:
        motion = clip.load()
        joints = motion.joints.astype(np.float64)
        seconds.append(motion.seconds)
        toes = joints[:, [10, 11]]
        low = toes[..., 1] < 0.012
        moved = np.linalg.norm(np.diff(toes[..., [0, 2]], axis=0), axis=-1) * (low[1:] & low[:-1])
        skate.append(1000 * float(np.percentile(moved, 99)) if len(moved) else 0.0)
        below.append(100 * max(0.0, -float(joints[..., 1].min())))
        bent.append(100 * float(violations(motion.rotations).mean()))
        velocity = np.linalg.norm(np.diff(joints, axis=0), axis=-1) * motion.fps
        speed.append(float(velocity[:, [20, 21]].max()))
        feet.append(float(velocity[:, [7, 8]].max()))
        third = np.diff(joints, 3, axis=0) * motion.fps**3
        jerk.append(float(np.linalg.norm(third, axis=-1).mean()))
        q = motion.rotations.astype(np.float64)
        jump.append(float(np.degrees(rot.angle_between(q[1:], q[:-1]).max())))
    values: tuple[float, ...] = (
        float(np.mean(seconds)), max(skate), max(below), float(np.mean(bent)), float(np.median(speed)),
        float(np.median(feet)), float(np.mean(jerk)), max(jump),
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def violations(rotations: np.ndarray) -> np.ndarray:
    """(T,) whether a hinge is bent the wrong way or too far, or a wrist, neck or head beyond its range."""
    v = np.degrees(rot.to_axis_angle(rotations.astype(np.float64)))
    knees = v[:, [4, 5], 0]
    elbows = v[:, [18, 19], 1] * np.array([-1.0, 1.0])
    out = (knees < -3).any(1) | (knees > 155).any(1) | (elbows < -3).any(1) | (elbows > 156).any(1)
    off = np.abs(v[:, [4, 5], 1:]).max((1, 2))
    bends = np.linalg.norm(v[:, [12, 15, 20, 21, 3, 6, 9, 7, 8]], axis=-1)
    limits = np.array([50, 50, 100, 100, 55, 55, 55, 85, 85])
    return out | (off > 6) | (bends > limits).any(1)


def table(rows: Sequence[tuple[str, dict[str, float]]]) -> str:
    """Text table of figures, one line per family."""
    wide = max([len(n) for n, _ in rows] + [6])
    lines = [" " * wide + "".join(f"{c:>9}" for c in COLUMNS)]
    lines += [f"{name:{wide}}" + "".join(f"{f[c]:9.2f}" for c in COLUMNS) for name, f in rows]
    return "\n".join([*lines, MEANING])
