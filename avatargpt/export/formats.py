"""The table of formats: what writes and reads each. Heavy imports stay inside the functions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from avatargpt.export.table import a_motion, reader, writer
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.export.avatar.clip import AvatarMotion
    from vqvae.face import FaceMotion
    from vqvae.motion import Motion

    Clip = Motion | FaceMotion | AvatarMotion

BODIES, FACES, EVERY = ("body", "avatar"), ("face", "avatar"), ("body", "face", "avatar")
EXPRESSIONS = ("both", "arkit", "presets")

writer(".npy", ("body",), {"body": ("hml263", "pos7")})("avatargpt.export.arrays:write_npy")
reader(".npy")("avatargpt.export.arrays:read_npy")
reader(".bvh")("vqvae.io.bvh:read_bvh")
reader(".csv")("instruct_data.sources.livelink:read_livelink")
writer(".json", ("face",), {"face": ("audio2face", "beat")})("avatargpt.export.face.json:write_json")
reader(".json")("avatargpt.export.face.json:read_face_json")
writer(".vrma", EVERY, {"face": EXPRESSIONS, "avatar": EXPRESSIONS})("avatargpt.export.vrma:write_vrma")


@writer(".bvh", BODIES)
def _write_bvh(motion: Motion | AvatarMotion, path: Path, scale: float = 1.0) -> None:
    from avatargpt.export.avatar.clip import parts_of
    from vqvae.io.bvh import write_bvh

    write_bvh(cast("Motion", parts_of(motion)[0]), path, scale)


@writer(".csv", FACES)
def _write_csv(motion: FaceMotion | AvatarMotion, path: Path) -> None:
    from avatargpt.export.avatar.clip import parts_of
    from avatargpt.export.face.livelink import write_livelink

    write_livelink(cast("FaceMotion", parts_of(motion)[1]), path)


@writer(".npz", EVERY, {"body": ("motion", "smplx"), "face": ("motion",), "avatar": ("motion",)})
def _write_npz(motion: Clip, path: Path, layout: str = "motion") -> None:
    if layout == "smplx":
        from vqvae.io.smplx import write_smplx

        write_smplx(cast("Motion", motion), path)
    elif motion.modality == "avatar":
        cast("AvatarMotion", motion).write_npz(path)
    else:
        cast("Motion | FaceMotion", motion).save(path)


@reader(".npz")
def _read_npz(path: Path, up: str | None = None, fps: float | None = None) -> Clip:
    from avatargpt.export.arrays import read_face_npz, read_npz
    from avatargpt.export.avatar.clip import AvatarMotion, is_avatar

    if is_avatar(path):
        return AvatarMotion.load(path)
    return read_face_npz(path, fps, up) or read_npz(path, up)


@writer(".glb", EVERY)
def _write_glb(motion: Clip, path: Path) -> None:
    from avatargpt.export.avatar.gltf import write_avatar_glb
    from avatargpt.export.face.gltf import write_face_glb
    from avatargpt.export.gltf import write_glb

    if motion.modality == "avatar":
        write_avatar_glb(cast("AvatarMotion", motion), path)
    elif motion.modality == "face":
        write_face_glb(cast("FaceMotion", motion), path)
    else:
        write_glb(cast("Motion", motion), path)


@reader(".gltf")
@reader(".glb")
def _read_glb(path: Path, animation: str | None = None) -> Clip:
    from avatargpt.export.avatar.gltf import read_avatar_glb
    from avatargpt.export.face.gltf import read_face_glb
    from avatargpt.export.gltf_body import read_glb

    whole = read_avatar_glb(path) or read_face_glb(path)
    if whole is not None and animation is not None:
        raise UserError(f"{path}: {a_motion(whole.modality)} of one animation; --animation goes with bodies")
    return whole or read_glb(path, animation)


@reader(".vrma")
def _read_vrma(path: Path) -> Clip:
    from avatargpt.export.face.vrma import ACCEPTED, has_face, read_vrma
    from vqvae.io.files import parsing
    from vqvae.io.gltf import read_gltf
    from vqvae.io.gltf_rigs import read_foreign

    gltf = read_gltf(path, ACCEPTED, "a whole .vrma")
    with parsing(path, "a whole .vrma", ACCEPTED):
        face = has_face(gltf)
    return read_vrma(path) if face else read_foreign(gltf, path)


@writer(".gif", EVERY)
def _write_gif(motion: Clip, path: Path, size: int = 360) -> None:
    from avatargpt.export.avatar.video import write_avatar_gif
    from avatargpt.export.face.video import write_face_gif
    from avatargpt.export.video import write_gif

    if motion.modality == "avatar":
        write_avatar_gif(cast("AvatarMotion", motion), path, size)
    elif motion.modality == "face":
        write_face_gif(cast("FaceMotion", motion), path, size)
    else:
        write_gif(cast("Motion", motion), path, size)


@writer(".mov", EVERY)
@writer(".mp4", EVERY)
def _write_mp4(motion: Clip, path: Path, size: int = 480, audio: str | Path | None = None) -> None:
    from avatargpt.export.avatar.video import write_avatar_mp4
    from avatargpt.export.face.video import write_face_mp4
    from avatargpt.export.video import write_mp4

    if motion.modality == "avatar":
        write_avatar_mp4(cast("AvatarMotion", motion), path, size, audio)
    elif motion.modality == "face":
        write_face_mp4(cast("FaceMotion", motion), path, size, audio)
    else:
        write_mp4(cast("Motion", motion), path, size, audio)


@writer(".png")
def _write_png(motion: Motion | FaceMotion, path: Path, frames: int = 8) -> None:
    from avatargpt.export.face.video import face_sheet
    from avatargpt.export.sheet import contact_sheet

    if motion.modality == "face":
        face_sheet([cast("FaceMotion", motion)], [motion.caption], path, frames)
    else:
        contact_sheet([cast("Motion", motion)], [motion.caption], path, frames)
