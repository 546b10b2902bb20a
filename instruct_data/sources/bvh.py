"""Reader for BVH clips of one's own, with captions in one table or in text files beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from instruct_data.clip import Clip
from instruct_data.sources.corpus import Corpus, Report
from instruct_data.sources.loading import BvhFile, loaded, read_captions
from instruct_data.sources.packs import Captions


def read_bvh_folder(
    root: Path, corpus: Corpus, report: Report, captions: Path | None = None, source: str = "own",
    licence: str = "", split: str = "train",
) -> Iterator[Clip]:  # fmt: skip
    """Every BVH below a folder; a table's captions go before those in ``NAME.txt``. `captions`: .csv, .jsonl or .yaml
    by the clips' names (`Captions`). `source`, `licence`, `split`: written into every clip.
    """
    table = Captions() if captions is None else Captions.load(captions)
    for path in sorted(p for p in root.rglob("*") if p.suffix.lower() == ".bvh"):
        name = path.relative_to(root).with_suffix("").as_posix()
        entry = table.find(name, path.stem)
        if entry.left_out:
            report.skip(name, f"left out: {entry.left_out}")
            continue
        texts = entry.captions or read_captions(path.with_suffix(".txt"), name, report)
        if texts is None:
            continue
        for clip in loaded(
            Clip(name, BvhFile(path, texts[0] if texts else ""), texts, source, licence or corpus.licence, split),
            report,
        ):
            if not texts:
                report.notes["clip without a caption"] += 1
            yield replace(clip, action=entry.kind)
    if unused := table.unused():
        report.notes[f"captions of no clip in {root}, as {min(unused)}"] += len(unused)
