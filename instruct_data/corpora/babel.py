"""BABEL (Punnakkal et al. 2021): action labels of AMASS, of whole recordings and of spans within them.

The release has ``train.json``, ``val.json``, ``test.json`` (without labels) and ``extra_*.json`` with several
annotators. A recording's ``feat_p`` is its path below AMASS. Source: babel.is.tue.mpg.de.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from instruct_data.clip import Clip
from instruct_data.corpora.amass_tree import FOLDER, AmassPart, AmassTree
from instruct_data.corpora.bodies import taken
from instruct_data.corpora.layout import Layout, check_split, files
from instruct_data.sources.report import Report
from vqvae.io.data_files import read_object
from vqvae.io.files import parsing

LAYOUT = Layout(
    "babel", "BABEL and AMASS terms (non-commercial research)", ("train.json|babel_v*_release/train.json",),
    "babel_v1.0_release/train.json, val.json, where wanted extra_train.json and extra_val.json, and AMASS in "
    f"{FOLDER}/ or where --amass says",
)  # fmt: skip
MOST_JSON = 1 << 30
FILES = {"train.json": "train", "val.json": "val", "extra_train.json": "train", "extra_val.json": "val",
         "test.json": "test"}  # fmt: skip
LEAST = 0.4  # seconds of a span
BETWEEN = "transition"  # what the annotators call the way from one action to the next
Spans = dict[tuple[float, float | None], list[dict[str, Any]]]


def read_babel(
    folder: str | os.PathLike[str], report: Report, split: str | None = None, amass: Path | None = None
) -> Iterator[Clip]:
    """A clip for every span with a label, and one for the whole recording where that has one.

    Captions are the annotators' words (``raw_label``), `action` the first category, ``extra["categories"]`` all.

    Args:
        split: only this one; None = all.
        amass: the folder of AMASS; None = `FOLDER` in the corpus' folder.

    Raises:
        UserError: another folder, a split that there is not, a file that is no BABEL, or no AMASS.
    """
    check_split(split)
    root = LAYOUT.opened(folder)
    home = files(root, "train.json", "babel_v*_release/train.json")[0].parent
    there = root / FOLDER if (root / FOLDER).is_dir() else home / FOLDER
    tree = AmassTree.of(amass or there, "babel expects there")
    for file, part in FILES.items():
        if (split is None or part == split) and (home / file).is_file():
            for sid, entry in read_object(home / file, MOST_JSON).items():
                with parsing(home / file, "a file of BABEL", f"recording {sid}"):
                    path, spans = tree.find(str(entry["feat_p"])), labels(entry, report)
                name = f"{Path(file).stem}_{sid}"
                if path is None:
                    subset = str(entry["feat_p"]).split("/")[0]
                    report.skip(name, f"not below {tree.root.name}: the sub-set {subset} or a file of it")
                elif not spans:
                    report.skip(name, "no label")
                else:
                    yield from _clips(name, path, spans, part, report)


def labels(entry: dict[str, Any], report: Report) -> Spans:
    """Labels by their (start, end) in seconds, (0, None) for the whole; ways between actions are noted, not kept."""
    out: Spans = defaultdict(list)
    whole = [entry.get("seq_ann"), *(entry.get("seq_anns") or ())]
    parts = [entry.get("frame_ann"), *(entry.get("frame_anns") or ())]
    for notes, timed in ((whole, False), (parts, True)):
        for label in (x for note in notes if note for x in note.get("labels") or ()):
            words = " ".join(str(label.get("raw_label") or label.get("proc_label") or "").split())
            if not words or BETWEEN in (label.get("proc_label"), words):
                report.notes["label without words, or of the way between two actions"] += 1
                continue
            span = (float(label["start_t"]), float(label["end_t"])) if timed else (0.0, None)
            out[span].append({"words": words, "categories": [str(c) for c in label.get("act_cat") or ()]})
    return dict(out)


def _clips(name: str, path: Path, spans: Spans, split: str, report: Report) -> Iterator[Clip]:
    for (start, end), found in spans.items():
        called = name if end is None else f"{name}_{start:g}_{end:g}"
        if end is not None and end - start < LEAST:
            report.skip(called, f"shorter than {LEAST:g} s")
            continue
        captions = list(dict.fromkeys(label["words"] for label in found))
        categories = list(dict.fromkeys(c for label in found for c in label["categories"]))
        action = categories[0].replace(" ", "_") if categories else ""
        load = AmassPart(path, start, end, captions[0])
        yield from taken(
            Clip(called, load, captions, "babel", LAYOUT.licence, split, action, "", {"categories": categories}), report
        )
