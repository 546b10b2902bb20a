"""Motion <-> files, the format chosen by the suffix.

Every format has its entry in :mod:`avatargpt.export.formats`; what it needs is imported when it is used, so that
importing this package costs nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from avatargpt.export.formats import (
    MAX_CLIPS,
    PACKS,
    check_options,
    check_target,
    has_option,
    load,
    readable,
    save,
    split_animation_name,
    writable,
)

if TYPE_CHECKING:
    from vqvae.face import FaceMotion
    from vqvae.motion import Motion

__all__ = [
    "MAX_CLIPS", "PACKS", "check_options", "check_target", "contact_sheet", "has_option", "load",
    "split_animation_name", "readable", "save", "writable",
]  # fmt: skip


def contact_sheet(
    motions: Sequence[Motion] | Sequence[FaceMotion], captions: Sequence[str],
    path: str | os.PathLike[str], frames: int = 8,
) -> Path:  # fmt: skip
    """A PNG with some pictures of each clip; see :func:`avatargpt.export.sheet.contact_sheet`."""
    from avatargpt.export.sheet import contact_sheet as draw

    return draw(motions, captions, check_target(path), frames)
