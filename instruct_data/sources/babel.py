"""Reader for BABEL (Punnakkal et al. 2021): action labels of AMASS, of whole recordings and of spans within them."""

# The release has `train.json`, `val.json`, `test.json` (without labels) and `extra_*.json` with several
# annotators. A recording's `feat_p` is its path below AMASS. Source: babel.is.tue.mpg.de.

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from instruct_data.clip import Clip
from instruct_data.sources.amass import DEFAULT_FOLDER, AmassIndex, AmassSpan
from instruct_data.sources.corpus import Corpus, Report, find_files
from instruct_data.sources.loading import loaded
from vqvae.io.data_files import read_object
from vqvae.io.files import parsing

MAX_JSON_BYTES = 1 << 30
SPLITS_OF_FILES = {"train.json": "train", "val.json": "val", "extra_train.json": "train", "extra_val.json": "val",
                   "test.json": "test"}  # fmt: skip
MIN_SPAN_SECONDS = 0.4
TRANSITION = "transition"  # label of the way from one action to the next
Spans = dict[tuple[float, float | None], list[dict[str, Any]]]


def read_babel(
    root: Path, corpus: Corpus, report: Report, split: str | None = None, amass: Path | None = None
) -> Iterator[Clip]:
    """A clip for every labelled span, and one for the recording where that has a label of its own.

    Captions are the annotators' words (``raw_label``), `action` the first category, ``extra["categories"]`` all.

    Args:
        split: only this one; None = all.
        amass: the folder of AMASS; None = ``amass_data`` in the corpus' folder.
    """
    home = find_files(root, "train.json", "babel_v*_release/train.json")[0].parent
    default = root / DEFAULT_FOLDER if (root / DEFAULT_FOLDER).is_dir() else home / DEFAULT_FOLDER
    index = AmassIndex.of(amass or default, corpus)
    for file, part in SPLITS_OF_FILES.items():
        if (split is None or part == split) and (home / file).is_file():
            for sid, entry in read_object(home / file, MAX_JSON_BYTES).items():
                with parsing(home / file, "a file of BABEL", f"recording {sid}"):
                    path, spans = index.find(str(entry["feat_p"])), labels(entry, report)
                name = f"{Path(file).stem}_{sid}"
                if path is None:
                    report.skip(name, index.reason(str(entry["feat_p"])))
                elif not spans:
                    report.skip(name, "no label")
                else:
                    for clip in _clips(name, path, spans, report):
                        yield from loaded(replace(clip, licence=corpus.licence, split=part), report)


def labels(entry: dict[str, Any], report: Report) -> Spans:
    """Labels by their (start, end) in seconds, (0, None) for the recording; transitions are noted and dropped."""
    out: Spans = defaultdict(list)
    recording = [entry.get("seq_ann"), *(entry.get("seq_anns") or ())]
    frames = [entry.get("frame_ann"), *(entry.get("frame_anns") or ())]
    for notes, timed in ((recording, False), (frames, True)):
        for label in (x for note in notes if note for x in note.get("labels") or ()):
            words = " ".join(str(label.get("raw_label") or label.get("proc_label") or "").split())
            if not words or TRANSITION in (label.get("proc_label"), words):
                report.notes["label without words, or of the way between two actions"] += 1
                continue
            span = (float(label["start_t"]), float(label["end_t"])) if timed else (0.0, None)
            out[span].append({"words": words, "categories": [str(c) for c in label.get("act_cat") or ()]})
    return dict(out)


def _clips(name: str, path: Path, spans: Spans, report: Report) -> Iterator[Clip]:
    """The clips of one recording, without licence and split."""
    for (start, end), span_labels in spans.items():
        clip_id = name if end is None else f"{name}_{start:g}_{end:g}"
        if end is not None and end - start < MIN_SPAN_SECONDS:
            report.skip(clip_id, f"shorter than {MIN_SPAN_SECONDS:g} s")
            continue
        captions = list(dict.fromkeys(label["words"] for label in span_labels))
        categories = list(dict.fromkeys(c for label in span_labels for c in label["categories"]))
        action = categories[0].replace(" ", "_") if categories else ""
        load = AmassSpan(path, start, end, captions[0])
        yield Clip(clip_id, load, captions, "babel", "", action=action, extra={"categories": categories})
