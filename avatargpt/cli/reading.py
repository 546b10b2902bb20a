"""What the commands that read motion files share: what a file does not say of itself, notes about what changes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avatargpt.cli import common
from vqvae.errors import UserError

if TYPE_CHECKING:
    from vqvae.face import FaceMotion
    from vqvae.motion import Motion

Up = Annotated[
    str | None, typer.Option("--up", metavar="AXIS", help="SMPL .npz: which axis is up, z (as in AMASS) or y.")
]
FromFps = Annotated[
    float | None, typer.Option("--from-fps", metavar="F", help=".npy of positions: its frame rate, usually 20.")
]


def load_motion(path: Path, up: str | None = None, fps: float | None = None) -> Any:
    """A file's motion, body or face; `up` and `fps` say what the file itself does not (``--up``, ``--from-fps``).

    Raises:
        UserError: not a motion, or one that needs no such telling.
    """
    from avatargpt import export

    if fps is not None:
        common.check_range("--from-fps", fps, 1, 1000, " frames per second")
    for option, value, suffix in (("--up", up, ".npz"), ("--from-fps", fps, ".npy")):
        if value is not None and path.suffix.lower() != suffix:
            raise UserError(f"{path}: {option} goes with {suffix}; other files say it themselves")
    return export.load(path, **{k: v for k, v in {"up": up, "fps": fps}.items() if v is not None})


def load_body(path: Path) -> Motion:
    """A file's body motion.

    Raises:
        UserError: not a motion, or a face.
    """
    motion: Motion = load_motion(path)
    if motion.modality != "body":
        raise UserError(f"{path}: a {motion.modality}; accepted a body motion")
    return motion


def note_rate(path: Path, motion: Motion | FaceMotion) -> None:
    """Say on stderr where a body's result has another frame rate than its file."""
    from vqvae import modalities

    fps = modalities.get("body").fps
    if motion.modality == "body" and abs(motion.fps - fps) > 1e-3 * fps:
        typer.echo(f"note: {path}: {motion.fps:.4g} frames a second; the result has {fps:g}", err=True)


def note_floor(path: Path, motion: Motion | FaceMotion) -> None:
    """Say on stderr where a body stands on another floor than y = 0."""
    from vqvae.ground import floor_of
    from vqvae.motion import Motion

    floor = floor_of(motion) if isinstance(motion, Motion) else 0.0
    if floor:
        typer.echo(f"note: {path}: the floor is taken to be at y = {floor:.2f} m", err=True)
