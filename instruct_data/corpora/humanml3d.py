"""HumanML3D (Guo et al. 2022) from its repository and AMASS, without the body models that its own steps need.

``index.csv`` says which frames of which AMASS file a clip is. They count what `raw_pose_processing` of
github.com/EricGuo5513/HumanML3D (MIT) keeps: every ``int(fps / 20)``-th frame, without the first seconds of five
sub-sets (`SKIPPED`). Bodies are the data's own rotations on our skeleton, so twist about bones is kept, unlike in
``new_joint_vecs``. Clips of HumanAct12 come without rotations and are left out; so are the mirrored ones (``M...``),
which training makes by itself.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from instruct_data.clip import Clip
from instruct_data.corpora.amass_tree import FOLDER, AmassPart, AmassTree, rate_of
from instruct_data.corpora.bodies import reason, taken
from instruct_data.corpora.layout import MOST_TEXT, Layout, check_split
from instruct_data.sources.humanml3d import FPS, LICENCE, MIN_FRAMES, parse_texts
from instruct_data.sources.report import Report
from vqvae.errors import UserError
from vqvae.io.files import parsing, read_text

LAYOUT = Layout(
    "humanml3d", LICENCE,
    ("index.csv", "HumanML3D/texts/*.txt|texts/*.txt", "HumanML3D/train.txt|train.txt"),
    "the repository with index.csv, HumanML3D/train.txt, val.txt, test.txt, HumanML3D/texts/ (texts.zip unpacked) and "
    f"AMASS in {FOLDER}/ or where --amass says (a folder with new_joint_vecs: `data prepare --kind humanml3d`)",
)  # fmt: skip
COLUMNS = ("source_path", "start_frame", "end_frame", "new_name")
SKIPPED = {
    "Eyes_Japan_Dataset": 3.0, "MPI_HDM05": 3.0, "TotalCapture": 1.0, "MPI_Limits": 1.0, "Transitions_mocap": 0.5,
}  # fmt: skip
"""Seconds at 20 frames a second that the original drops at the beginning of a sub-set's files."""


def read_humanml3d_index(
    folder: str | os.PathLike[str], report: Report, split: str | None = None, amass: Path | None = None
) -> Iterator[Clip]:
    """Clips of the lists train.txt, val.txt and test.txt, and parts of clips that have words of their own.

    Args:
        split: only this one; None = those whose lists are there.
        amass: the folder of AMASS; None = `FOLDER` in the corpus' folder.

    Raises:
        UserError: another folder, a split without a list, a table that is none, or no AMASS.
    """
    root = LAYOUT.opened(folder)
    check_split(split)
    tree = AmassTree.of(amass or root / FOLDER, "humanml3d expects there")
    told = root / "HumanML3D" if (root / "HumanML3D" / "texts").is_dir() else root
    rows = index(root / "index.csv")
    for part, name in LAYOUT.listed(told, split, report):
        if name not in rows:
            report.skip(name, "not in index.csv")
        else:
            yield from _clips(name, rows[name], told / "texts" / f"{name}.txt", part, tree, report)


def index(path: Path) -> dict[str, tuple[str, int, int]]:
    """Clip -> path below AMASS, first frame and the one behind the last, at 20 frames a second.

    Raises:
        UserError: another table, or frames that are no rising whole numbers; names the line.
    """
    out: dict[str, tuple[str, int, int]] = {}
    with parsing(path, "HumanML3D's index", f"accepted the columns {', '.join(COLUMNS)}"):
        rows = csv.DictReader(StringIO(read_text(path, MOST_TEXT)), strict=True)
        if not set(COLUMNS) <= set(rows.fieldnames or ()):
            raise UserError(f"the columns {', '.join(rows.fieldnames or ())[:80]}; accepted {', '.join(COLUMNS)}")
        for row in rows:
            source, first, last, name = (str(row[c] or "").strip() for c in COLUMNS)
            if not (first.isdecimal() and last.lstrip("-").isdecimal()):
                raise UserError(f"line {rows.line_num}: frames {first!r} to {last!r}; accepted whole numbers")
            out[Path(name).stem] = (source, int(first), int(last))
    return out


def _clips(
    name: str, row: tuple[str, int, int], words: Path, split: str, tree: AmassTree, report: Report
) -> Iterator[Clip]:
    source, first, last = row
    below = source.replace("\\", "/").split("pose_data/")[-1]
    if below.startswith("humanact12"):
        report.skip(name, "of HumanAct12, which has no rotations")
        return
    path = tree.find(below)
    if path is None:
        report.skip(name, f"not below {tree.root.name}: the sub-set {below.split('/')[0]} or a file of it")
        return
    try:
        fps = rate_of(path)
        spans = parse_texts(read_text(words, MOST_TEXT), report)
    except UserError as e:
        report.skip(name, reason(e))
        return
    step = max(1, int(fps / FPS)) / fps  # seconds from one kept frame to the next
    skipped = round(next((s for subset, s in SKIPPED.items() if subset in source), 0.0) * FPS)
    if not spans:
        report.skip(name, "no usable caption")
    for (start, end), captions in spans.items():
        whole = (start, end) == (0.0, 0.0)
        a, b = (first, last) if whole else (first + int(start * FPS), min(first + int(end * FPS), last))
        called = name if whole else f"{name}_{start:g}_{end:g}"
        if b - a < MIN_FRAMES:
            report.skip(called, f"shorter than {MIN_FRAMES} frames or outside the clip")
            continue
        load = AmassPart(path, (skipped + a) * step, (skipped + b) * step, captions[0])
        yield from taken(Clip(called, load, captions, "humanml3d", LICENCE, split), report)
