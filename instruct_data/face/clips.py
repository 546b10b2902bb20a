"""Faces as :class:`instruct_data.clip.Clip`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from instruct_data.clip import Clip
from vqvae.errors import UserError
from vqvae.face import FaceMotion

LEAST, MOST = -0.5, 1.5  # real takes go to 1.08; beyond these, numbers are of another kind (percent, angles)


def check_weights(weights: np.ndarray, names: Sequence[str], rows: Sequence[int] | None = None) -> None:
    """Weights as a file has them, (T, n) of its columns `names`: a little outside 0 to 1 they are cut, not far outside.

    Args:
        rows: T numbers for messages; None = counted from 1.

    Raises:
        UserError: a weight below -0.5 or above 1.5.
    """
    bad = np.argwhere((weights < LEAST) | (weights > MOST))
    if len(bad):
        t, column = bad[0]
        row = int(t) + 1 if rows is None else rows[t]
        where = f"row {row}, {names[column]}: {weights[t, column]:g}"
        raise UserError(f"{where}; accepted weights from 0 to 1 ({LEAST} to {MOST}, cut to these)")


def face_clip(
    name: str, motion: FaceMotion, captions: list[str], source: str, licence: str, split: str = "train",
    action: str = "", extra: dict[str, Any] | None = None,
) -> Clip:  # fmt: skip
    """A clip of a face; `load` gives the :class:`FaceMotion`."""
    held = motion.with_caption(captions[0] if captions else "")
    return Clip(name, held, captions, source, licence, split, action, "", dict(extra or {}))
