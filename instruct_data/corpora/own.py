"""One's own BVH clips with captions in one table."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from instruct_data.clip import Clip
from instruct_data.corpora.layout import Layout, check_split
from instruct_data.sources.bvh import read_bvh_folder
from instruct_data.sources.packs import Captions, plain
from instruct_data.sources.report import Report

LAYOUT = Layout(
    "bvh", "not stated", ("**/*.[bB][vV][hH]",),
    "*.bvh, in folders or not, with --captions captions.csv (columns animation, caption), or NAME.txt beside each",
)  # fmt: skip


def read_own(
    folder: str | os.PathLike[str], report: Report, captions: Path | None = None, source: str = "own",
    licence: str = LAYOUT.licence, split: str = "train",
) -> Iterator[Clip]:  # fmt: skip
    """Every BVH below a folder; a table's captions go before those in ``NAME.txt``.

    Args:
        captions: .csv, .jsonl or .yaml by the clips' names (`instruct_data.sources.packs`).
        source, licence, split: written into every clip.

    Raises:
        UserError: no BVH in the folder, a split that there is not, or a table that is none.
    """
    check_split(split)
    root = LAYOUT.opened(folder)
    known = Captions() if captions is None else Captions.load(captions)
    used: set[str] = set()
    for clip in read_bvh_folder(root, source, licence, split, report):
        names = [plain(clip.id), plain(Path(clip.id).name)]
        used.update(names)
        if why := next((known.left_out[n] for n in names if n in known.left_out), ""):
            report.read -= 1
            report.skip(clip.id, f"left out: {why}")
            continue
        texts = next((known.clips[n] for n in names if n in known.clips), clip.captions)
        if not texts:
            report.notes["clip without a caption"] += 1
        action = next((known.kinds[n] for n in names if n in known.kinds), "")
        motion = clip.load().with_caption(texts[0] if texts else "")
        yield replace(clip, motion=motion, captions=texts, action=action)
    if missing := set(known.clips) - used:
        report.notes[f"captions of no clip in {root}, as {min(missing)}"] += len(missing)
