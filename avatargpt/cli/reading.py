"""Reading motion files: options for what a file does not say of itself, and notes about what changes."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Annotated, Any

from avatargpt.cli.common import check_range, note, option
from vqvae.errors import UserError
from vqvae.io.files import regular_file

if TYPE_CHECKING:
    from vqvae.face import FaceMotion
    from vqvae.motion import Motion

Up = Annotated[str | None, option("--up AXIS", "SMPL .npz: which axis is up, z (as in AMASS) or y.")]
FromFps = Annotated[
    float | None, option("--from-fps F", ".npy of positions, MediaPipe's .npz: the frame rate, else 20, 30.")
]
Animation = Annotated[
    str | None, option("--animation NAME", ".glb, .gltf: which of several animations; also FILE#NAME.")
]


def load_motion(
    path: Path, up: str | None = None, fps: float | None = None, avatars: bool = False, animation: str | None = None
) -> Any:
    """A file's motion, body or face, with the values of ``--up``, ``--from-fps`` and ``--animation``.

    Args:
        avatars: whether it may be both in one.
    """
    from avatargpt import export
    from instruct_data.sources.face_files import mediapipe_kind
    from vqvae.motion import MAX_FPS, MIN_FPS

    check_range("--from-fps", fps, MIN_FPS, MAX_FPS, " frames per second")
    file, named = export.named_animation(path)
    suffix = regular_file(file).suffix.lower()
    if animation is not None and (suffix not in export.PACKS or named is not None):
        reason = "other files hold one motion" if named is None else "the file's name says one already"
        raise UserError(f"{path}: --animation goes with {' and '.join(export.PACKS)}; {reason}")
    mediapipe, says_rate = mediapipe_kind(file) if suffix == ".npz" else (False, True)
    if up is not None and suffix != ".npz":
        raise UserError(f"{path}: --up goes with .npz; other files say it themselves")
    if fps is not None and suffix != ".npy" and not mediapipe:
        raise UserError(f"{path}: --from-fps goes with .npy and MediaPipe's .npz; other files say it themselves")
    options = {"up": up, "fps": fps, "animation": animation}
    motion = export.load(path, **{k: v for k, v in options.items() if v is not None})
    if motion.modality == "avatar" and not avatars:
        separately = "`avatargpt export` writes them apart, as .bvh and .csv"
        raise UserError(f"{path}: an avatar; accepted a body or a face ({separately})")
    if fps is None and not says_rate and motion.modality == "face" and mediapipe:
        note(f"{path}: says no frame rate; 30 a second are taken (export, describe: --from-fps)")
    return motion


def name_of(path: Path, animation: str | None = None) -> str:
    """The name of a motion: that of its file, or in a pack of its animation."""
    from avatargpt import export

    file, named = export.named_animation(path)
    return animation or named or PureWindowsPath(file.name).stem  # a backslash separates, too


def load_body(path: Path, animation: str | None = None) -> Motion:
    """A file's body motion."""
    motion: Motion = load_motion(path, animation=animation)
    if motion.modality != "body":
        raise UserError(f"{path}: a {motion.modality}; accepted a body motion")
    return motion


def note_rate(path: Path, motion: Motion | FaceMotion) -> None:
    """Say on stderr where a body's result has another frame rate than its file."""
    from vqvae import modalities

    fps = modalities.get("body").fps
    if motion.modality == "body" and abs(motion.fps - fps) > 1e-3 * fps:
        note(f"{path}: {motion.fps:.4g} frames a second; the result has {fps:g}")


def note_floor(path: Path, motion: Motion | FaceMotion) -> None:
    """Say on stderr where a body stands on another floor than y = 0."""
    from vqvae.ground import floor_of
    from vqvae.motion import Motion

    floor = floor_of(motion) if isinstance(motion, Motion) else 0.0
    if floor:
        note(f"{path}: the floor is taken to be at y = {floor:.2f} m")
