"""Notes of the ground's velocity below motions in place: as lines, and for who needs the number."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

WHOLE = "in place"
LONGER = 0.05  # seconds by which another frame rate may make a motion longer
UPRIGHT = 0.999  # part of the upright along an axis, from which on nothing moves along it


class MovingGround(str):
    """The note of a motion in place on ground of one velocity.

    Attributes:
        beginning: of the note, with the seconds, `WHOLE` where it is all of the motion.
        velocity: (3,) of the ground, metres a second, Y up. seconds: of the motion.
    """

    beginning: str
    velocity: np.ndarray
    seconds: float

    @classmethod
    def of(cls, beginning: str, velocity: np.ndarray, seconds: float) -> MovingGround:
        note = cls(ground_note(beginning, velocity, np.array([0.0, 1, 0]), "metres"))
        note.beginning, note.velocity, note.seconds = beginning, velocity, seconds
        return note


def below(notes: Iterable[str], seconds: float) -> np.ndarray | None:
    """The velocity (3,) of the ground below all of a motion, by its notes; None where there is not one."""
    for note in notes:
        # a longer motion is joined of it and others, and keeps its notes
        if isinstance(note, MovingGround) and note.beginning == WHOLE and seconds < note.seconds + LONGER:
            return note.velocity
    return None


def ground_note(beginning: str, velocity: np.ndarray, up: np.ndarray, unit: str) -> str:
    """The line of a velocity (3,) in a unit a second along axes of which `up` (3,) is upright."""
    # two decimals, and more where the unit is longer than a metre or so
    digits = 2 - min(0, int(np.floor(np.log10(max(float(np.abs(velocity).max()), 1e-6)))))
    parts = [f"{a} {v:+.{digits}f}" for a, v, u in zip("xyz", velocity, up, strict=True) if abs(u) < UPRIGHT]
    return f"{beginning}: the ground moves by {', '.join(parts)} {unit} a second"
