"""The registered formats: which function writes and reads each suffix. Heavy imports stay inside the functions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from avatargpt.export.table import reader, with_article, writer
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.export.avatar import AvatarMotion
    from vqvae.face import FaceMotion
    from vqvae.motion import Motion

    Clip = Motion | FaceMotion | AvatarMotion

BODIES, FACES, EVERY = ("body", "avatar"), ("face", "avatar"), ("body", "face", "avatar")
EXPRESSIONS = ("both", "arkit", "presets")

writer(".npy", ("body",), {"body": ("hml263", "pos7")})("avatargpt.export.arrays:write_npy")
reader(".npy")("avatargpt.export.arrays:read_npy")
reader(".bvh")("vqvae.io.bvh:read_bvh")
writer(".csv", FACES)("avatargpt.export.face_files:write_livelink")
reader(".csv")("instruct_data.sources.livelink:read_livelink")
writer(".json", ("face",), {"face": ("audio2face", "beat")})("avatargpt.export.face_files:write_json")
reader(".json")("avatargpt.export.face_files:read_json")
writer(".vrma", EVERY, {"face": EXPRESSIONS, "avatar": EXPRESSIONS})("avatargpt.export.vrma:write_vrma")
reader(".vrma")("avatargpt.export.vrma:read_vrma")
writer(".gif", EVERY)("avatargpt.export.video:write_gif")
writer(".mp4", EVERY)("avatargpt.export.video:write_mp4")
writer(".mov", EVERY)("avatargpt.export.video:write_mp4")
writer(".png")("avatargpt.export.sheet:write_png")


@writer(".bvh", BODIES)
def _write_bvh(motion: Motion | AvatarMotion, path: Path, scale: float = 1.0) -> None:
    from avatargpt.export.avatar import body_and_face
    from vqvae.io.bvh import write_bvh

    write_bvh(cast("Motion", body_and_face(motion)[0]), path, scale)


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
    from avatargpt.export.avatar import AvatarMotion, is_avatar

    if is_avatar(path):
        return AvatarMotion.load(path)
    return read_face_npz(path, fps, up) or read_npz(path, up)


@writer(".glb", EVERY)
def _write_glb(motion: Clip, path: Path) -> None:
    from avatargpt.export.gltf_write import write_avatar_glb, write_face_glb, write_glb

    if motion.modality == "avatar":
        write_avatar_glb(cast("AvatarMotion", motion), path)
    elif motion.modality == "face":
        write_face_glb(cast("FaceMotion", motion), path)
    else:
        write_glb(cast("Motion", motion), path)


@reader(".gltf")
@reader(".glb")
def _read_glb(path: Path, animation: str | None = None) -> Clip:
    from avatargpt.export.gltf_read import read_avatar_glb, read_face_glb, read_glb

    clip = read_avatar_glb(path) or read_face_glb(path)
    if clip is not None and animation is not None:
        raise UserError(f"{path}: {with_article(clip.modality)} of one animation; --animation goes with bodies")
    return clip or read_glb(path, animation)
