"""The table of formats: one function each. Heavy imports stay inside the functions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from avatargpt.export import reader, writer
from vqvae.errors import UserError

if TYPE_CHECKING:
    from vqvae.motion import Motion


@writer(".npz")
def _write_npz(motion: Motion, path: Path, layout: str = "motion") -> None:
    if layout == "motion":
        motion.save(path)
    elif layout == "smplx":
        from vqvae.smplx import write_smplx

        write_smplx(motion, path)
    else:
        raise UserError(f"{path}: layout '{layout}'; accepted motion, smplx")


@reader(".npz")
def _read_npz(path: Path, up: str = "z") -> Motion:
    from avatargpt.export.arrays import read_npz

    return read_npz(path, up)


@writer(".npy")
def _write_npy(motion: Motion, path: Path, layout: str = "hml263") -> None:
    from avatargpt.export.arrays import write_npy

    write_npy(motion, path, layout)


@reader(".npy")
def _read_npy(path: Path, fps: float = 20.0) -> Motion:
    from avatargpt.export.arrays import read_npy

    return read_npy(path, fps)


@writer(".bvh")
def _write_bvh(motion: Motion, path: Path, scale: float = 1.0) -> None:
    from vqvae.bvh import write_bvh

    write_bvh(motion, path, scale)


@reader(".bvh")
def _read_bvh(path: Path) -> Motion:
    from vqvae.bvh import read_bvh

    return read_bvh(path)


@writer(".glb")
def _write_glb(motion: Motion, path: Path) -> None:
    from avatargpt.export.gltf import write_glb

    write_glb(motion, path)


@reader(".glb")
def _read_glb(path: Path) -> Motion:
    from avatargpt.export.gltf import read_glb

    return read_glb(path)


@writer(".gif")
def _write_gif(motion: Motion, path: Path, size: int = 360) -> None:
    from avatargpt.export.video import write_gif

    write_gif(motion, path, size)


@writer(".mp4")
def _write_mp4(motion: Motion, path: Path, size: int = 480) -> None:
    from avatargpt.export.video import write_mp4

    write_mp4(motion, path, size)


@writer(".png")
def _write_png(motion: Motion, path: Path, frames: int = 8) -> None:
    from avatargpt.export.sheet import contact_sheet

    contact_sheet([motion], [motion.caption], path, frames)
