"""Arms kept within what joints do, without a corner where a limit begins to act."""

from __future__ import annotations

import numpy as np

from instruct_data.gesture.strokes import ARM, SIDES, Turns
from vqvae import rotations as rot

# Ranges of healthy adults (American Academy of Orthopaedic Surgeons 1965), degrees: from where on a limit acts, and
# what is never passed.
COLLAR, WRIST = (34.0, 44.0), (80.0, 100.0)
BACK = (2.0, 7.0)  # of an elbow, beyond straight
FAR = (110.0, 150.0)  # of an elbow's whole turn, between which nothing is changed more and more: at 180 signs swap
INWARD = {"l": -1.0, "r": 1.0}  # sign of a bend in the elbow's rotation vector, about y


def soft(x: np.ndarray, start: float, most: float) -> np.ndarray:
    """x up to `start`, from there on ever closer to `most`, with the same slope where it begins."""
    room = most - start
    over = np.maximum(x - start, 0)
    return np.asarray(np.minimum(x, start) + room * (1 - np.exp(-over / room)))


def within(turns: Turns) -> Turns:
    """The same motion with collars, elbows and wrists within their limits."""
    out = turns.copy()
    for side in SIDES:
        collar, _, elbow, wrist = ARM[side]
        for joint, (start, most) in ((collar, COLLAR), (wrist, WRIST)):
            vector = np.degrees(rot.to_axis_angle(out[:, joint]))
            size = np.linalg.norm(vector, axis=-1, keepdims=True)
            out[:, joint] = rot.from_axis_angle(np.radians(vector * soft(size, start, most) / np.maximum(size, 1e-6)))
        vector = np.degrees(rot.to_axis_angle(out[:, elbow]))
        back = -vector[:, 1] * INWARD[side]
        near = 1 - np.clip((np.linalg.norm(vector, axis=-1) - FAR[0]) / (FAR[1] - FAR[0]), 0, 1)
        vector[:, 1] += INWARD[side] * near * (back - soft(back, *BACK))
        out[:, elbow] = rot.from_axis_angle(np.radians(vector))
    return out
