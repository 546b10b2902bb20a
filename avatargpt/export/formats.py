"""The table of formats: what writes and reads each. Heavy imports stay inside the functions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from avatargpt.export.table import reader, writer
from vqvae.errors import UserError

if TYPE_CHECKING:
    from vqvae.face import FaceMotion
    from vqvae.motion import Motion

writer(".npy", ("body",), {"body": ("hml263", "pos7")})("avatargpt.export.arrays:write_npy")
reader(".npy")("avatargpt.export.arrays:read_npy")
writer(".bvh", ("body",))("vqvae.io.bvh:write_bvh")
reader(".bvh")("vqvae.io.bvh:read_bvh")
writer(".csv", ("face",))("avatargpt.export.face.livelink:write_livelink")
reader(".csv")("instruct_data.sources.livelink:read_livelink")
writer(".json", ("face",), {"face": ("audio2face", "beat")})("avatargpt.export.face.json:write_json")
reader(".json")("avatargpt.export.face.json:read_face_json")
writer(".vrma", ("face",), {"face": ("both", "arkit", "presets")})("avatargpt.export.face.vrma:write_vrma")
reader(".vrma")("avatargpt.export.face.vrma:read_vrma")


@writer(".npz", layouts={"body": ("motion", "smplx"), "face": ("motion",)})
def _write_npz(motion: Motion, path: Path, layout: str = "motion") -> None:
    if layout == "smplx":
        from vqvae.io.smplx import write_smplx

        write_smplx(motion, path)
    else:
        motion.save(path)


@reader(".npz")
def _read_npz(path: Path, up: str | None = None, fps: float | None = None) -> Motion | FaceMotion:
    from avatargpt.export.arrays import read_face_npz, read_npz

    return read_face_npz(path, fps, up) or read_npz(path, up)


@writer(".glb")
def _write_glb(motion: Motion | FaceMotion, path: Path) -> None:
    from avatargpt.export.face.gltf import write_face_glb
    from avatargpt.export.gltf import write_glb

    if motion.modality == "face":
        write_face_glb(cast("FaceMotion", motion), path)
    else:
        write_glb(cast("Motion", motion), path)


@reader(".glb")
def _read_glb(path: Path) -> Motion | FaceMotion:
    from avatargpt.export.face.gltf import read_face_glb
    from avatargpt.export.gltf_body import read_glb

    return read_face_glb(path) or read_glb(path)


@writer(".gif")
def _write_gif(motion: Motion | FaceMotion, path: Path, size: int = 360) -> None:
    from avatargpt.export.face.video import write_face_gif
    from avatargpt.export.video import write_gif

    if motion.modality == "face":
        write_face_gif(cast("FaceMotion", motion), path, size)
    else:
        write_gif(cast("Motion", motion), path, size)


@writer(".mp4")
def _write_mp4(motion: Motion | FaceMotion, path: Path, size: int = 480, audio: str | Path | None = None) -> None:
    from avatargpt.export.face.video import write_face_mp4
    from avatargpt.export.video import write_mp4

    if motion.modality == "face":
        write_face_mp4(cast("FaceMotion", motion), path, size, audio)
    elif audio is not None:
        raise UserError(f"{path}: audio goes with a face; this is a {motion.modality} motion")
    else:
        write_mp4(cast("Motion", motion), path, size)


@writer(".png")
def _write_png(motion: Motion | FaceMotion, path: Path, frames: int = 8) -> None:
    from avatargpt.export.face.video import face_sheet
    from avatargpt.export.sheet import contact_sheet

    if motion.modality == "face":
        face_sheet([cast("FaceMotion", motion)], [motion.caption], path, frames)
    else:
        contact_sheet([cast("Motion", motion)], [motion.caption], path, frames)
