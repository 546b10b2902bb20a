"""Motion <-> files, the format chosen by the suffix.

Every format has its entry in :mod:`avatargpt.export.formats`, kept in :mod:`avatargpt.export.table`; what it needs is
imported when it is used, so that importing this package costs nothing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from avatargpt.export import formats
from avatargpt.export.table import (
    MOST_CLIPS,
    PACKS,
    check_options,
    check_target,
    load,
    named_animation,
    readable,
    reader,
    save,
    takes,
    writable,
    writer,
)

if TYPE_CHECKING:
    from vqvae.motion import Motion

__all__ = [
    "MOST_CLIPS", "PACKS", "check_options", "check_target", "contact_sheet", "formats", "load", "named_animation",
    "readable", "reader", "save", "takes", "writable", "writer",
]  # fmt: skip


def contact_sheet(
    motions: list[Motion], captions: list[str], path: str | os.PathLike[str], frames: int = 8
) -> Path:
    """One row of evenly spaced poses per clip, as a PNG; see :func:`avatargpt.export.sheet.contact_sheet`."""
    from avatargpt.export.sheet import contact_sheet as draw

    return draw(motions, captions, check_target(path), frames)
