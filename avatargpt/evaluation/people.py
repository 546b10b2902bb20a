"""The suite `people`: requests as people write them, by authors that nothing was learnt from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from avatargpt.evaluation.report import figure
from avatargpt.evaluation.suites import Run, folder
from avatargpt.reading.judging import compare, done_items, meant_names
from avatargpt.reading.judging import read_names as read_items
from avatargpt.requests.phrase_index import PhraseIndex
from instruct_data.reading.examples import TEXTS, read_authors
from vqvae.errors import UserError
from vqvae.io.data_files import json_rows

Names = Sequence[str | None]
EVERY = 8  # how many captions one is read of


def evaluate(run: Run) -> dict[str, Any]:
    """All figures.

    Options: ``authors``: files of `instruct_data.reading.examples.TEXTS`. ``second``: a file beside the suites with
    what a second reader took some of the texts for, blind.

    Returns:
        Of requests, by author and together: ``full``: read as the named actions in order (None where none fits);
        ``single``: the same of requests for one movement; ``silent``: another known action is read, without a word;
        ``count``: the right number of clauses; ``found``: known actions that are read; ``noticed``: unknown ones that
        are called so; ``false_flags``: clauses that are called unknown beyond those. ``own``: of the captions that the
        motion model was trained on, every eighth, those read as themselves; ``own/network``: by the reading network
        alone, which does not know that they are captions. ``FIGURE/second reader``: of the second reader's labels,
        over texts of all authors.
    """
    index = getattr(run.model, "phrase_index", None)
    if index is None or index.reads is None:
        raise UserError("the suite people: a model without a reading network; accepted: one with reading.json")
    known = set(index.classes)
    rows: list[dict[str, Any]] = [
        {"author": e.author, "text": e.text, "meant": meant_names(e, known), "read": read_names(index, e.text)}
        for e in read_authors([TEXTS], "read", run.suite.options["authors"])
    ]
    results: dict[str, Any] = {}
    for author in ("", *run.suite.options["authors"]):
        chosen = figures([(r["meant"], r["read"]) for r in rows if author in ("", r["author"])])
        results |= {f"{k}/{author}" if author else k: v for k, v in chosen.items()}
    captions = list(dict.fromkeys(c[""] for c in index.captions if c[""] in index.rows))[::EVERY]
    alone = [read_items(done_items(r.items)) for r in index.reads.reader.read(captions)]
    for part, names in (("", [read_names(index, c) for c in captions]), ("/network", alone)):
        right = [[index.classes[index.rows[c]]] == own for c, own in zip(captions, names, strict=True)]
        results[f"own{part}"] = figure([float(x) for x in right])
    both = [(row["first"], row["second"]) for _, row in json_rows(folder() / str(run.suite.options["second"]))]
    results |= {f"{k}/second reader": v for k, v in figures(both).items()}
    return {"results": results, "requests": rows}


def figures(rows: Sequence[tuple[Names, Names]]) -> dict[str, Any]:
    """The figures of what was meant and what was read."""
    values: dict[str, list[float]] = defaultdict(list)
    for meant, read in rows:
        for name, own in compare(meant, read).items():
            values[name] += own
    return {name: figure(own) for name, own in values.items()}


def read_names(index: PhraseIndex, text: str) -> list[str | None]:
    """The actions that a request is read as; None where it is said that none is known."""
    try:
        return [c.name if c.known else None for c in index.read(text).done]
    except UserError:  # refused, which is no silent answer
        return [None]
