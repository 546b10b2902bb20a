"""Motion <-> files, the format chosen by the suffix.

Every format is one function in :mod:`avatargpt.export.formats` or :mod:`avatargpt.export.face.formats`, registered in
:mod:`avatargpt.export.table`; what it needs is imported inside it, so that importing this package costs nothing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from avatargpt.export import formats
from avatargpt.export.face import formats as face_formats
from avatargpt.export.table import (
    MOST_CLIPS,
    check_options,
    check_target,
    load,
    readable,
    reader,
    save,
    writable,
    writer,
)

if TYPE_CHECKING:
    from vqvae.motion import Motion

__all__ = [
    "MOST_CLIPS", "check_options", "check_target", "contact_sheet", "face_formats", "formats", "load", "readable",
    "reader", "save", "writable", "writer",
]  # fmt: skip


def contact_sheet(
    motions: list[Motion], captions: list[str], path: str | os.PathLike[str], frames: int = 8
) -> Path:
    """One row of evenly spaced poses per clip, as a PNG; see :func:`avatargpt.export.sheet.contact_sheet`."""
    from avatargpt.export.sheet import contact_sheet as draw

    return draw(motions, captions, check_target(path), frames)
