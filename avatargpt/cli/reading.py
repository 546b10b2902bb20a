"""What the commands that read motion files share: what a file does not say of itself, notes about what changes."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avatargpt.cli import common
from avatargpt.cli.output import say
from vqvae.errors import UserError
from vqvae.io.files import regular_file

if TYPE_CHECKING:
    from vqvae.face import FaceMotion
    from vqvae.motion import Motion

Up = Annotated[
    str | None, typer.Option("--up", metavar="AXIS", help="SMPL .npz: which axis is up, z (as in AMASS) or y.")
]
FromFps = Annotated[
    float | None,
    typer.Option("--from-fps", metavar="F", help=".npy of positions, MediaPipe's .npz: the frame rate, else 20, 30."),
]
Animation = Annotated[
    str | None,
    typer.Option("--animation", metavar="NAME", help=".glb, .gltf: which of several animations; also FILE#NAME."),
]


def load_motion(
    path: Path, up: str | None = None, fps: float | None = None, avatars: bool = False, animation: str | None = None
) -> Any:
    """A file's motion, body or face; `up` and `fps` say what the file itself does not (``--up``, ``--from-fps``).

    Args:
        avatars: whether it may be both in one.
        animation: which of a pack's (``--animation``).

    Raises:
        UserError: not a motion, or one that needs no such telling.
    """
    from avatargpt import export
    from instruct_data.sources.mediapipe_npz import kind
    from vqvae.motion import MAX_FPS, MIN_FPS

    if fps is not None:
        common.check_range("--from-fps", fps, MIN_FPS, MAX_FPS, " frames per second")
    file, named = export.named_animation(path)
    suffix = regular_file(file).suffix.lower()
    if animation is not None and (suffix not in export.PACKS or named is not None):
        other = "other files hold one motion" if named is None else "the file's name says one already"
        raise UserError(f"{path}: --animation goes with {' and '.join(export.PACKS)}; {other}")
    mediapipe, says_rate = kind(file) if suffix == ".npz" else (False, True)
    if up is not None and suffix != ".npz":
        raise UserError(f"{path}: --up goes with .npz; other files say it themselves")
    if fps is not None and suffix != ".npy" and not mediapipe:
        raise UserError(f"{path}: --from-fps goes with .npy and MediaPipe's .npz; other files say it themselves")
    options = {"up": up, "fps": fps, "animation": animation}
    motion = export.load(path, **{k: v for k, v in options.items() if v is not None})
    if motion.modality == "avatar" and not avatars:
        apart = "`avatargpt export` writes them apart, as .bvh and .csv"
        raise UserError(f"{path}: an avatar; accepted a body or a face ({apart})")
    if fps is None and not says_rate and motion.modality == "face" and mediapipe:
        say(f"note: {path}: says no frame rate; 30 a second are taken (export, describe: --from-fps)", err=True)
    return motion


def name_of(path: Path, animation: str | None = None) -> str:
    """What a motion is called by its file, or in a pack by its animation."""
    from avatargpt import export

    file, named = export.named_animation(path)
    return animation or named or PureWindowsPath(file.name).stem  # a backslash separates, too


def load_body(path: Path, animation: str | None = None) -> Motion:
    """A file's body motion, of a pack the animation that is asked for.

    Raises:
        UserError: not a motion, or a face.
    """
    motion: Motion = load_motion(path, animation=animation)
    if motion.modality != "body":
        raise UserError(f"{path}: a {motion.modality}; accepted a body motion")
    return motion


def note_rate(path: Path, motion: Motion | FaceMotion) -> None:
    """Say on stderr where a body's result has another frame rate than its file."""
    from vqvae import modalities

    fps = modalities.get("body").fps
    if motion.modality == "body" and abs(motion.fps - fps) > 1e-3 * fps:
        say(f"note: {path}: {motion.fps:.4g} frames a second; the result has {fps:g}", err=True)


def note_floor(path: Path, motion: Motion | FaceMotion) -> None:
    """Say on stderr where a body stands on another floor than y = 0."""
    from vqvae.ground import floor_of
    from vqvae.motion import Motion

    floor = floor_of(motion) if isinstance(motion, Motion) else 0.0
    if floor:
        say(f"note: {path}: the floor is taken to be at y = {floor:.2f} m", err=True)
