"""The suite `people`: requests and scenes as people write them, by authors that nothing was learnt from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from avatargpt.evaluation.report import figure
from avatargpt.evaluation.suites import Run, folder
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.reading.judging import compare, done_items, meant_names
from avatargpt.reading.judging import read_names as read_items
from avatargpt.reading.reader import Reader
from avatargpt.reading.store import load_network
from avatargpt.requests.clause_spec import MIN_KNOWN
from avatargpt.requests.phrase_index import PhraseIndex
from avatargpt.requests.resolver import with_concurrent
from instruct_data.reading.examples import TEXTS, read_authors
from vqvae.errors import UserError
from vqvae.io.data_files import json_rows

Names = Sequence[str | None]
Read = Callable[[list[str]], list[list[str | None]]]
EVERY = 8  # so manieth caption is read


def evaluate(run: Run) -> dict[str, Any]:
    """All figures.

    Options: ``authors``: files of `instruct_data.reading.examples.TEXTS`. ``second``: a file beside the suites with
    what a second reader took some of the texts for, blind. ``network``: the folder of a reading network beside them.

    Returns:
        Of requests, by author and together: ``full``: read as the named actions in order (None where none fits);
        ``single``: the same of requests for one movement; ``silent``: another known action is read, without a word;
        ``count``: the right number of clauses; ``found``: known actions that are read; ``noticed``: unknown ones that
        are called so; ``false_flags``: clauses that are called unknown beyond those. ``own``: of the captions that the
        motion model was trained on, every eighth, those read as themselves. ``FIGURE/network``: the same by the
        reading network, where it is there (in a checkout), which does not read for the product yet.
        ``FIGURE/second reader``: of the second reader's labels, over texts of all authors.
    """
    index, grounder = getattr(run.model, "phrase_index", None), getattr(run.model, "grounder", None)
    if index is None or grounder is None:
        raise UserError("the suite people: a model without a phrase index; accepted: one that reads requests")
    known = set(index.classes)
    captions = list(dict.fromkeys(c[""] for c in index.captions if c[""] in index.rows))[::EVERY]
    examples = read_authors([TEXTS], "read", run.suite.options["authors"])
    texts = [e.text for e in examples]
    readers: dict[str, Read] = {"": lambda rows: [read_names(index, grounder, t) for t in rows]}
    network = load_network(folder() / str(run.suite.options["network"]))
    if network is not None:
        reader = Reader(network)
        readers["/network"] = lambda rows: [
            read_items(done_items(r.items)) for r in reader.read(rows)
        ]
    results: dict[str, Any] = {}
    rows: list[dict[str, Any]] = [
        {"author": e.author, "text": e.text, "meant": meant_names(e, known)} for e in examples
    ]
    for part, read in readers.items():
        names = read(texts)
        for row, name in zip(rows, names, strict=True):
            row[f"read{part}"] = name
        for author in ("", *run.suite.options["authors"]):
            chosen = [(r["meant"], r[f"read{part}"]) for r in rows if author in ("", r["author"])]
            end = f"/{author}{part.replace('/', ', ')}" if author else part
            results |= {f"{k}{end}": v for k, v in figures(chosen).items()}
        own = [[index.classes[index.rows[c]]] == n for c, n in zip(captions, read(captions), strict=True)]
        results[f"own{part}"] = figure([float(x) for x in own])
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


def read_names(index: PhraseIndex, grounder: SentenceGrounder, text: str) -> list[str | None]:
    """The actions that the product shows a request by; None where it says that it does not know."""
    try:
        clauses = index.clauses(text, grounder)
    except UserError:  # refused, which is no silent answer
        return [None]
    return [c.action if c.known >= MIN_KNOWN else None for c in with_concurrent(clauses)]
