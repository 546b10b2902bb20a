"""Reader for a HumanML3D folder: ``new_joint_vecs/*.npy``, ``texts/*.txt`` and ``train/val/test.txt``.

A text line is ``caption#tokens#start#end``; start and end in seconds, both 0 for the whole clip. Captions of a part
become a clip of their own, ``ID_START_END``.
"""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from instruct_data.clip import SPLITS, Clip
from instruct_data.sources.report import Report
from vqvae.errors import UserError
from vqvae.io.data_files import map_array
from vqvae.io.files import read_text
from vqvae.motion import Motion

FPS = 20.0
MIN_FRAMES = 8
MOST_TEXT = 32 << 20  # bytes
LICENCE = "HumanML3D (AMASS and HumanAct12 terms, non-commercial)"


@dataclass(frozen=True)
class _Load:
    path: Path
    start: int
    stop: int
    caption: str

    def __call__(self) -> Motion:
        from vqvae.io.hml263 import HML263Features

        features = _array(self.path)
        motion = HML263Features().decode(features, self.caption)
        return motion.slice(self.start, min(self.stop, len(motion))).canonical()


def _array(path: Path) -> np.ndarray:
    x = np.array(map_array(path))
    if x.ndim != 2 or x.shape[1] != 263:
        raise UserError(f"{path}: {x.shape}; accepted (T, 263)")
    if not np.isfinite(x).all():
        raise UserError(f"{path}: NaN or infinity in frame {int(np.argmin(np.isfinite(x).all(1)))}")
    return x


def _frames(path: Path) -> int:
    """Number of frames from the header alone, so that a whole corpus is listed in seconds."""
    x = map_array(path)
    if x.ndim != 2 or x.shape[1] != 263:
        raise UserError(f"{x.shape} instead of (T, 263)")
    return len(x)


def parse_texts(text: str, report: Report) -> dict[tuple[float, float], list[str]]:
    """Captions by (start, end) in seconds; (0, 0) is the whole clip. Lines of another form are noted."""
    out: dict[tuple[float, float], list[str]] = defaultdict(list)
    for line in text.splitlines():
        if not line.strip():
            continue
        parts = line.split("#")
        try:
            start, end = float(parts[2]), float(parts[3])
        except (IndexError, ValueError):
            report.notes["caption line is not caption#tokens#start#end"] += 1
            continue
        caption = " ".join(parts[0].split())
        if not caption:
            report.notes["empty caption"] += 1
            continue
        if math.isnan(start) or math.isnan(end):
            report.notes["caption without a time span (NaN), taken for the whole clip"] += 1
            start = end = 0.0
        if (start, end) != (0.0, 0.0) and not 0 <= start < end:
            report.notes["caption span ends before it starts"] += 1
            continue
        out[start, end].append(caption)
    return dict(out)


def read_humanml3d(
    folder: str | os.PathLike[str], split: str | None = None, report: Report | None = None
) -> Iterator[Clip]:
    """Clips of a HumanML3D folder, motions decoded when they are loaded.

    Args:
        split: only this one; None = all three.
        report: filled with what was read, skipped and noted. Without one the same is left out, so give one to see it.

    Raises:
        UserError: a folder or the split's list is missing.
    """
    folder = Path(folder)
    if split is not None and split not in SPLITS:
        raise UserError(f"split {split!r}; accepted {', '.join(SPLITS)}")
    for name in ("new_joint_vecs", "texts"):
        if not (folder / name).is_dir():
            raise UserError(f"{folder / name}: no such folder; a HumanML3D folder has new_joint_vecs, texts and "
                            "train.txt, val.txt, test.txt")  # fmt: skip
    report = Report() if report is None else report
    for part in SPLITS if split is None else (split,):
        ids = read_text(folder / f"{part}.txt", MOST_TEXT).split()
        for clip_id in ids:
            yield from _clips(folder, clip_id, part, report)


def _clips(folder: Path, clip_id: str, split: str, report: Report) -> Iterator[Clip]:
    vectors, texts = folder / "new_joint_vecs" / f"{clip_id}.npy", folder / "texts" / f"{clip_id}.txt"
    for path, what in ((vectors, "no feature file"), (texts, "no text file")):
        if not path.is_file():
            report.skip(clip_id, what)
            return
    try:
        frames = _frames(vectors)
        spans = parse_texts(read_text(texts, MOST_TEXT), report)
    except UserError as e:
        report.skip(clip_id, str(e))
        return
    if not spans:
        report.skip(clip_id, "no usable caption")
    for (start, end), captions in spans.items():
        whole = (start, end) == (0.0, 0.0)
        a, b = (0, frames) if whole else (int(start * FPS), min(int(end * FPS), frames))
        name = clip_id if whole else f"{clip_id}_{start:g}_{end:g}"
        if b - a < MIN_FRAMES:
            report.skip(name, f"shorter than {MIN_FRAMES} frames or outside the clip")
            continue
        report.read += 1
        yield Clip(name, _Load(vectors, a, b, captions[0]), captions, "humanml3d", LICENCE, split)
