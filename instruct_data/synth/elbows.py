"""Where an elbow stands off from the line between shoulder and wrist, in the chest's axes."""

from __future__ import annotations

import numpy as np

from instruct_data.synth.body import FOREARM, UPPER_ARM
from instruct_data.synth.geometry import Array, cross, dot, smoothstep, square_to
from instruct_data.synth.rows import H_ANGLES

DOWN = np.array([0.0, -1.0, 0.0])
FRONT, BACK = np.array([0.0, 0.0, 1.0]), np.array([0.0, 0.0, -1.0])


def neutral_elbow(side: float, axis: Array) -> Array:
    """Where the elbow stands off at swivel 0: behind a hanging arm, below one held forward or sideways, in front of a
    raised one, above one held back, behind one held low and outwards behind.

    Directions square to an axis cannot all agree; the place where they do not lies level and 60 degrees behind the
    side, where no arm goes.
    """
    x, y, z = axis[:, 0], axis[:, 1], axis[:, 2]
    back = smoothstep(-2.5 * z)
    aside = back * smoothstep(2.5 * side * x)
    tall = y - 0.3 * aside
    out = 0.22 * (1 - aside) + 0.7 * aside * smoothstep((tall + 0.1) / 0.3)
    fore = np.where(tall < 0, 0.75, 0.35 + 0.5 * aside) * tall
    pole = np.stack([side * out, -z - (0.8 + 0.8 * back) * np.abs(x), fore], 1)
    return square_to(axis, pole, np.broadcast_to(BACK + np.array([0.5 * side, 0.0, 0.0]), pole.shape))


def usual_swivel(side: float, axis: Array) -> Array:
    """Swivel of the elbow when none is given, degrees: more out for hands that are high or across the body."""
    across = np.clip(-axis[:, 0] * side, 0, 1)
    return 14 + 26 * smoothstep((axis[:, 1] + 0.3) / 1.1) + 22 * across


def from_angles(row: Array, side: float) -> tuple[Array, Array]:
    """Wrist relative to the shoulder (N, 3) in the chest's axes, and the direction in which the elbow stands off.

    `raise` and `forward` give the upper arm; the forearm bends to the front of a hanging arm, carried along as the arm
    is raised; `twist` turns it outwards.
    """
    lift, fore, flex, twist = (np.radians(row[:, H_ANGLES + i]) for i in range(4))
    flex = np.clip(flex, 0, np.radians(150))
    flat = np.stack([side * np.cos(fore), 0 * fore, np.sin(fore)], 1)
    upper = np.cos(lift)[:, None] * DOWN + np.sin(lift)[:, None] * flat
    # the shortest way of the hanging arm to `upper` (a turn by `lift` about a level axis) carries the front along
    axis = cross(np.broadcast_to(DOWN, flat.shape), flat)
    c, s = np.cos(lift)[:, None], np.sin(lift)[:, None]
    front = c * FRONT + s * cross(axis, FRONT[None]) + (1 - c) * axis * dot(axis, FRONT[None])[:, None]
    # outwards: towards the side for a hanging arm, upwards for one raised sideways
    sideways = side * cross(front, upper)
    to = np.cos(twist)[:, None] * front + np.sin(twist)[:, None] * sideways
    forearm = np.cos(flex)[:, None] * upper + np.sin(flex)[:, None] * to
    return UPPER_ARM * upper + FOREARM * forearm, -to


def swivel_of(side: float, axis: Array, elbow: Array) -> Array:
    """Swivel in degrees of an elbow direction about the unit axis."""
    e0 = neutral_elbow(side, axis)
    e1 = side * cross(axis, e0)
    return np.degrees(np.arctan2(dot(elbow, e1), dot(elbow, e0)))
