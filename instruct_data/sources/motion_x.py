"""Reader for Motion-X (Lin et al. 2023): SMPL-X in 322 channels at 30 frames a second, Y up, with sentences."""

# Channels: root_orient 0:3, pose_body 3:66, pose_hand 66:156, pose_jaw 156:159, face_expr 159:209, face_shape 209:309,
# trans 309:312, betas 312:322. The body is read; hands, face and shape are not.
# Source: github.com/IDEA-Research/Motion-X.

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from instruct_data.clip import SPLITS, Clip
from instruct_data.sources.corpus import MAX_TEXT_BYTES, Corpus, Report, find_files
from instruct_data.sources.loading import loaded, normalised, read_captions
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.data_files import map_array
from vqvae.io.files import read_text
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22

MOTIONS = "motion_data/smplx_322"
TEXTS = ("texts/semantic_labels", "semantic_labels")
FPS, WIDTH, TRANSLATION = 30.0, 322, slice(309, 312)


def read_motion_x(root: Path, corpus: Corpus, report: Report, split: str | None = None) -> Iterator[Clip]:
    """Every motion, captions from the text of the same path; mirrored ones of HumanML3D (``M...``) are left out.

    A motion's `source` is ``motion_x_SUBSET``. Its split is that of the list which names it; without lists it is
    `split`, or training.
    """
    motions, texts = root / MOTIONS, next(root / t for t in TEXTS if (root / t).is_dir())
    lists = [(part, root / f"{part}.txt") for part in SPLITS if (root / f"{part}.txt").is_file()]
    splits = {line.strip(): part for part, path in lists for line in read_text(path, MAX_TEXT_BYTES).splitlines()}
    for path in find_files(motions, "**/*.npy"):
        relative = path.relative_to(motions).with_suffix("")
        name, subset = relative.as_posix(), relative.parts[0]
        if path.stem.startswith("M") and path.stem[1:].isdecimal():
            report.notes["mirrored clip, which training makes by itself"] += 1
            continue
        part = splits.get(name) if splits else split or "train"
        if part is None:
            report.skip(name, "in none of train.txt, val.txt, test.txt")
            continue
        if split is not None and part != split:
            continue
        captions = read_captions(texts / f"{name}.txt", name, report)
        if captions is not None:
            load = _Load(path, captions[0] if captions else "")
            clip = Clip(name, load, captions, f"motion_x_{subset.lower()}", corpus.licence, part)
            yield from loaded(clip, report)


@dataclass(frozen=True)
class _Load:
    path: Path
    caption: str

    def __call__(self) -> Motion:
        x = np.array(map_array(self.path, f"accepted (frames, {WIDTH})"), np.float64)
        if x.ndim != 2 or x.shape[1] != WIDTH or not np.isfinite(x).all():
            raise UserError(f"{self.path}: {x.shape}; accepted finite (frames, {WIDTH})")
        count = len(SMPL22.names)
        rotations = rot.from_axis_angle(x[:, : 3 * count].reshape(-1, count, 3))
        return normalised(Motion(rotations, x[:, TRANSLATION], FPS), self.caption)
