"""Bandai-Namco-Research-Motiondataset 1 and 2 (Kobayashi et al. 2023, arXiv 2306.08861), 30 frames a second.

Files are called ``dataset-N_CONTENT_STYLE_NUMBER.bvh``; words between hyphens make up CONTENT and STYLE.
Source: github.com/BandaiNamcoResearchInc/Bandai-Namco-Research-Motiondataset.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import numpy as np

from instruct_data.clip import Clip
from instruct_data.corpora.bodies import BodyFile, taken
from instruct_data.corpora.layout import Layout, check_split, files
from instruct_data.sources.report import Report
from instruct_data.text.captions import bank_style
from instruct_data.text.lexicon import everyday, lexicon

_DATA = "Bandai-Namco-Research-Motiondataset-*/data/*.bvh"
PATTERNS = (f"dataset/{_DATA}", _DATA, "data/dataset-*.bvh", "dataset-*.bvh")
LAYOUT = Layout(
    "bandai-namco", "CC BY-NC 4.0", ("|".join(PATTERNS),),
    "dataset/Bandai-Namco-Research-Motiondataset-N/data/dataset-N_CONTENT_STYLE_NUMBER.bvh, data.zip unpacked",
)  # fmt: skip
SENTENCES = 5  # captions of a clip at most


def read_bandai_namco(folder: str | os.PathLike[str], report: Report, split: str | None = None) -> Iterator[Clip]:
    """Every take with its content as action and its style; the data set has no sentences: captions are ours.

    Raises:
        UserError: another folder, or a split that there is not.
    """
    check_split(split)
    root = LAYOUT.opened(folder)
    for path in files(root, *PATTERNS):
        yield from _take(path, report, split)


def _take(path: Path, report: Report, split: str | None) -> Iterator[Clip]:
    parts = path.stem.split("_")
    if len(parts) != 4 or not parts[0].startswith("dataset-"):
        report.skip(path.stem, "a name of another form than dataset-N_CONTENT_STYLE_NUMBER")
        return
    action, style = (part.replace("-", "_") for part in parts[1:3])
    captions = sentences(action, style, path.stem)
    if not captions:
        report.notes["take whose content or style has no words of ours, without captions"] += 1
    load = BodyFile(path, captions[0] if captions else "")
    source = f"bandai{parts[0].removeprefix('dataset-')}"
    clip = Clip(path.stem, load, captions, source, LAYOUT.licence, split or "train", action, style)
    yield from taken(clip, report)


def sentences(action: str, style: str, name: str) -> list[str]:
    """Up to `SENTENCES` different short captions, always the same for one name; none for what the lexicon lacks."""
    if bank_style(style) not in lexicon()["styles"]:
        return []
    rng = np.random.default_rng(crc32(name.encode()))
    drawn = (everyday(action, style, rng) for _ in range(3 * SENTENCES))
    return list(dict.fromkeys(text for text in drawn if text))[:SENTENCES]
