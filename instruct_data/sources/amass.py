"""Reader for AMASS, SMPL-H and SMPL-X ``.npz`` files: axis-angle poses, Z up, any frame rate."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from instruct_data.clip import SPLITS, Clip
from instruct_data.sources.bvh import read_captions
from instruct_data.sources.report import Report
from vqvae import modalities
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import MAX_FRAMES, Motion
from vqvae.skeleton import SMPL22

BODY = 22
_RATES = ("mocap_framerate", "mocap_frame_rate")
# AMASS stands on z = 0, facing along -y in the subject's T-pose; this takes z to y.
_Z_UP = rot.from_axis_angle(np.array([-np.pi / 2, 0, 0]))


def _poses(data: dict[str, np.ndarray]) -> np.ndarray:
    """(T, 22, 3) rotation vectors from either spelling."""
    if "poses" in data:
        poses = np.asarray(data["poses"], np.float64)
        if poses.ndim != 2 or poses.shape[1] < BODY * 3 or poses.shape[1] % 3:
            raise UserError(f"poses {poses.shape}; accepted (T, 66 or more): SMPL-H has 156, SMPL-X 165, SMPL 72")
        return poses[:, : BODY * 3].reshape(-1, BODY, 3)
    if "root_orient" in data and "pose_body" in data:
        root, body = np.asarray(data["root_orient"], np.float64), np.asarray(data["pose_body"], np.float64)
        if root.ndim != 2 or root.shape[1] != 3 or body.shape != (len(root), (BODY - 1) * 3):
            raise UserError(f"root_orient {root.shape}, pose_body {body.shape}; accepted (T, 3) and (T, 63)")
        return np.concatenate([root, body], 1).reshape(-1, BODY, 3)
    raise UserError("neither 'poses' nor 'root_orient' with 'pose_body'; accepted an AMASS, SMPL-H or SMPL-X motion")


def read_amass(path: str | os.PathLike[str], up: str = "z") -> Motion:
    """One file as a Motion at its own frame rate, on the project's skeleton, standing on y = 0.

    Rotations carry over as they are (both rest poses are the same T-pose); the body shape does not: translations are
    scaled by nothing, and the clip is set on the floor by its lowest toes.

    Args:
        up: ``z`` (AMASS) or ``y`` (files that were turned already).

    Raises:
        UserError: names the file and what is wrong with it.
    """
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as z:
            wanted = ("poses", "root_orient", "pose_body", "trans", *_RATES)
            data = {k: z[k] for k in z.files if k in wanted}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as e:
        raise UserError(f"{path}: not a readable .npz ({e})") from None
    try:
        rate = next((float(data[k]) for k in _RATES if k in data), None)
        if rate is None:
            raise UserError(f"no frame rate; accepted {' or '.join(_RATES)}")
        vectors = _poses(data)
        if "trans" not in data or data["trans"].shape != (len(vectors), 3):
            raise UserError(f"trans {data['trans'].shape if 'trans' in data else 'is missing'}; accepted (T, 3)")
        if not 1 <= len(vectors) <= MAX_FRAMES:
            raise UserError(f"{len(vectors)} frames; accepted 1 to {MAX_FRAMES}")
        if up not in ("z", "y"):
            raise UserError(f"up {up!r}; accepted z or y")
        rotations, root = rot.from_axis_angle(vectors), np.asarray(data["trans"], np.float64)
        if up == "z":
            rotations[:, 0] = rot.multiply(_Z_UP, rotations[:, 0])
            root = rot.rotate(_Z_UP, root)
        motion = Motion(rotations, root, rate)
    except UserError as e:
        raise UserError(f"{path}: {e}") from None
    toes = motion.joints[:, [SMPL22.index("l_foot"), SMPL22.index("r_foot")], 1].min(1)
    shift = np.array([0.0, 0.02 - np.percentile(toes, 2), 0.0])
    return motion.moved(0.0, shift)


@dataclass(frozen=True)
class _Load:
    path: Path
    caption: str
    up: str

    def __call__(self) -> Motion:
        fps = modalities.get("body").fps
        return read_amass(self.path, self.up).resampled(fps).canonical().with_caption(self.caption)


def read_amass_folder(
    folder: str | os.PathLike[str], licence: str = "AMASS licence (non-commercial research)", split: str = "train",
    up: str = "z", report: Report | None = None,
) -> Iterator[Clip]:  # fmt: skip
    """Every motion below a folder at 20 fps; the first sub-folder is its source; captions from ``NAME.txt``.

    ``shape.npz`` and other files without poses are skipped with their reason when there is a report.

    Raises:
        UserError: no such folder, nothing in it, or a bad file when there is no report.
    """
    folder = Path(folder)
    if split not in SPLITS:
        raise UserError(f"split {split!r}; accepted {', '.join(SPLITS)}")
    files = sorted(folder.rglob("*.npz"))
    if not files:
        raise UserError(f"{folder}: no .npz files in it")
    for path in files:
        relative = path.relative_to(folder)
        name = relative.with_suffix("").as_posix()
        captions = read_captions(path.with_suffix(".txt"))
        load = _Load(path, captions[0] if captions else "", up)
        source = relative.parts[0] if len(relative.parts) > 1 else "amass"
        if report is None:
            yield Clip(name, load, captions, source, licence, split)
            continue
        try:
            motion = load()
        except UserError as e:
            report.skip(name, str(e).removeprefix(f"{path}: "))
            continue
        report.read += 1
        yield Clip(name, motion, captions, source, licence, split)
