"""Which part of a clip HumanML3D's protocol shows (`instruct_data.sources.humanml3d`: which clips it takes).

Source: Guo et al. 2022, `Text2MotionDatasetV2` of their code (github.com/EricGuo5513/text-to-motion, data/dataset.py).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

UNIT = 4  # frames of one step of the movement encoder
MOST = 196  # frames that the evaluator sees: what is shorter is padded to it


class Crop(NamedTuple):
    """Frames `start` to `start + frames` of a clip."""

    start: int
    frames: int


def drawn_crop(frames: int, rng: np.random.Generator) -> Crop:
    """The part of a clip that is shown: whole units of 4 frames, in one of three draws one less, at a random place.

    Args:
        frames: of the clip, 8 or more.

    Raises:
        ValueError: fewer frames.
    """
    if frames < 2 * UNIT:
        raise ValueError(f"{frames} frames; accepted {2 * UNIT} or more")
    units = frames // UNIT - int(rng.integers(3) == 2)
    shown = units * UNIT
    return Crop(int(rng.integers(frames - shown + 1)), shown)


def whole_units(frames: int) -> int:
    """Frames of a generated motion that are seen: at most 196, in whole units.

    Raises:
        ValueError: less than one unit.
    """
    if frames < UNIT:
        raise ValueError(f"{frames} frames; accepted {UNIT} or more")
    return min(frames, MOST) // UNIT * UNIT
