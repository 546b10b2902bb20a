"""Files in place of motions: what a field that names a motion means in Python and on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vqvae.errors import UserError


def load_source(kind: str, value: str, name: str) -> Any:
    """The motion of a file, or of FILE[:SECOND] its frame; sounds and films stay files, which are read in blocks.

    Args:
        kind: of the field's `Refers`. name: of the field, for errors.

    Raises:
        UserError: a file that holds no motion, a pose of what is no body, a second beyond the motion.
    """
    from avatargpt import export
    from avatargpt.body.edit import frame_of
    from vqvae.io.data_files import finite_number
    from vqvae.motion import Motion

    if kind in ("sound", "film"):
        return value
    if kind == "motion":
        return export.load(Path(value))
    file, _, second = value.rpartition(":")
    try:
        at = finite_number(second) if file else None
    except ValueError:
        file, at = value, None
    motion = export.load(Path(file or value))
    if not isinstance(motion, Motion):
        raise UserError(f"{name} {value}: no body motion; accepted: FILE[:SECOND] of one")
    return frame_of(motion, at, f"{name} {value}")
