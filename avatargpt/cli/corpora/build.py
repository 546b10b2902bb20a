"""``avatargpt data build``: a downloaded corpus, as it unpacks, becomes a store."""

from __future__ import annotations

from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any

import typer

from avatargpt.cli import common
from avatargpt.cli.corpora.showing import show_store
from avatargpt.cli.output import say
from vqvae.errors import UserError


def build(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="The corpus; without any arguments, all are listed.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="Its folder, as downloaded and unpacked.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="STORE", help="Folder to write.")] = None,
    amass: Annotated[
        Path | None, typer.Option("--amass", metavar="DIR", help="Of humanml3d and babel: AMASS, unpacked.")
    ] = None,
    captions: Annotated[
        Path | None,
        typer.Option("--captions", metavar="FILE", help="Of bvh: .csv with the columns animation, caption."),
    ] = None,
    fps: Annotated[
        float | None, typer.Option("--fps", metavar="RATE", help="Of cmu's .amc and mead's tracks, which say none.")
    ] = None,
    source: Annotated[str | None, typer.Option("--source", metavar="NAME", help="Of bvh: short name.")] = None,
    licence: Annotated[
        str | None, typer.Option("--licence", metavar="TEXT", help="Of bvh: terms of the clips.")
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", metavar="SPLIT", help="Only this one, or that of all where none is named.")
    ] = None,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """Read a corpus in its published layout and write it as a store."""
    from instruct_data.corpora.table import CORPORA
    from instruct_data.sources.report import Report
    from instruct_data.store import Store

    if name is None:
        trees = {key: corpus.about().tree for key, corpus in CORPORA.items()}
        if as_json:
            common.print_json({"corpora": trees})
        else:
            for key, tree in trees.items():
                say(f"{key}: {tree}")
        return
    if name not in CORPORA:
        raise UserError(f"{name}: no such corpus; accepted: {', '.join(CORPORA)}")
    corpus = CORPORA[name]
    given = {"amass": amass, "captions": captions, "fps": fps, "source": source, "licence": licence, "split": split}
    options: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    for key in options:
        if key not in corpus.options:
            takers = ", ".join(n for n, c in CORPORA.items() if key in c.options)
            raise UserError(f"--{key}: not for {name}; accepted for: {takers}")
    if folder is None or output is None:
        lacking = "DIR" if folder is None else "-o STORE"
        raise UserError(f"{name}: {lacking} is missing; accepted: data build {name} DIR -o STORE, DIR being "
                        f"{corpus.about().tree}")  # fmt: skip
    report = Report()
    with common.progress("building", quiet):
        clips = corpus.read()(folder, report=report, **options)
        first = list(islice(clips, 1))
        if not first:
            why = "; ".join(report.reasons()[:3]) or f"{name} expects {corpus.about().tree}"
            raise UserError(f"{folder}: no clip in it could be used: {why}")
        store = Store.write(chain(first, clips), output)
    say(str(report), err=True)
    show_store(store, as_json)
