"""LAFAN1 (Harvey et al. 2020, "Robust Motion In-Betweening"), 30 frames a second, takes of minutes.

Files are called ``THEMENUMBER_subjectN.bvh``; the paper trains on subjects 1 to 4 and tests on 5.
Source: github.com/ubisoft/ubisoft-laforge-animation-dataset.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from instruct_data.clip import Clip
from instruct_data.corpora.bodies import BodyFile, taken
from instruct_data.corpora.layout import Layout, check_split, files
from instruct_data.corpora.wording import words_of
from instruct_data.sources.report import Report

LAYOUT = Layout(
    "lafan1", "CC BY-NC-ND 4.0", ("*_subject*.bvh|lafan1/*_subject*.bvh",),
    "lafan1/THEMENUMBER_subjectN.bvh, lafan1.zip unpacked",
)  # fmt: skip
TESTED = "5"


def read_lafan1(folder: str | os.PathLike[str], report: Report, split: str | None = None) -> Iterator[Clip]:
    """Every take, whole, with its theme as action; without captions, which no sentence for minutes could be.

    Raises:
        UserError: another folder, or a split that there is not.
    """
    check_split(split)
    root = LAYOUT.opened(folder)
    for path in files(root, "*_subject*.bvh", "lafan1/*_subject*.bvh"):
        theme, _, subject = path.stem.partition("_subject")
        part = split or ("test" if subject == TESTED else "train")
        action = "_".join(words_of(theme.rstrip("0123456789")))
        clip = Clip(path.stem, BodyFile(path), [], "lafan1", LAYOUT.licence, part, action, "", {"subject": subject})
        yield from taken(clip, report)
