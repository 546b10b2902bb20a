"""BEAT2 and GENEA 2023 as `data build` takes them: their readers behind a check of the folder."""

from __future__ import annotations

import os
from collections.abc import Iterator

from instruct_data.clip import Clip
from instruct_data.corpora.layout import Layout
from instruct_data.sources.beat_talk import BEAT2, read_beat2
from instruct_data.sources.genea import GENEA, read_genea
from instruct_data.sources.report import Report

BEAT2_LAYOUT = Layout(
    "beat2", BEAT2.licence,
    ("smplxflame_30/*.npz", "wave16k/*.wav", "textgrid/*.TextGrid", "train_test_split.csv"), BEAT2.tree,
)  # fmt: skip
GENEA_LAYOUT = Layout(
    "genea2023", GENEA.licence,
    ("trn/main-agent/bvh/*.bvh|val/main-agent/bvh/*.bvh", "trn/interloctr/wav/*.wav|val/interloctr/wav/*.wav"),
    GENEA.tree,
)  # fmt: skip


def read_beat2_release(folder: str | os.PathLike[str], report: Report) -> Iterator[Clip]:
    """BEAT2's takes of one language. Raises UserError as `read_beat2`, and for another folder."""
    yield from read_beat2(BEAT2_LAYOUT.opened(folder), report)


def read_genea_release(folder: str | os.PathLike[str], report: Report) -> Iterator[Clip]:
    """GENEA 2023's main agents. Raises UserError as `read_genea`, and for another folder."""
    yield from read_genea(GENEA_LAYOUT.opened(folder), report)
