"""Which body stands, sits or walks under a talk: what ``--body`` names."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from avatargpt.avatar.body_track import Body, Clip, Standing
from vqvae.errors import UserError
from vqvae.motion import Motion

IDLE = "idle"


def names_file(what: str) -> bool:
    """Whether a body is a file: by its suffix, that of a motion's."""
    from avatargpt import export

    return export.named_animation(what)[0].suffix.lower() in export.readable()


def body_of(
    what: str | os.PathLike[str] | Motion | None, generate: Callable[[str], Motion], seed: int = 0
) -> Body:
    """The body that is meant.

    Args:
        what: ``idle`` or None: somebody who stands; a file of a body, a gesture or an avatar; a motion; or a text.
        generate: makes the motion of a text.
        seed: of somebody who stands.

    Raises:
        UserError: a file that is no motion, or a face's.
    """
    if isinstance(what, Motion):
        return Clip(what)
    if what is None or what == IDLE:
        return Standing(seed)
    if isinstance(what, str) and not names_file(what):
        return Clip(generate(what))
    return Clip(_read(Path(what)))


def _read(path: Path) -> Motion:
    from avatargpt import export
    from avatargpt.export.avatar.clip import parts_of

    body, _ = parts_of(export.load(path))
    if body is None:
        raise UserError(f"{path}: a face; accepted a body, a gesture or an avatar")
    return body
