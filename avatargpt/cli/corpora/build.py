"""``avatargpt data build``: a corpus as its site gives it becomes a store."""

from __future__ import annotations

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
        typer.Option("--captions", metavar="FILE", help="Of bvh and pack: .csv (animation, caption), .jsonl, .yaml."),
    ] = None,
    fps: Annotated[
        float | None, typer.Option("--fps", metavar="RATE", help="Of cmu's .amc and mead's tracks, which say none.")
    ] = None,
    source: Annotated[str | None, typer.Option("--source", metavar="NAME", help="Of bvh and pack: short name.")] = None,
    licence: Annotated[
        str | None, typer.Option("--licence", metavar="TEXT", help="Of bvh, pack and amass: terms of the clips.")
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", metavar="SPLIT", help="Only this one, or that of all where none is named.")
    ] = None,
    up: Annotated[str | None, typer.Option("--up", metavar="AXIS", help="Of amass: y or z.")] = None,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """Read a corpus in its published layout and write it as a store."""
    from instruct_data.sources.corpus import Report
    from instruct_data.sources.registry import build_store, find_corpus

    if name is None:
        list_corpora(as_json)
        return
    corpus = find_corpus(name)
    values = {
        "amass": amass,
        "captions": captions,
        "fps": fps,
        "source": source,
        "licence": licence,
        "split": split,
        "up": up,
    }
    if folder is None or output is None:
        missing = "DIR" if folder is None else "-o STORE"
        raise UserError(f"{name}: {missing} is missing; accepted: data build {name} DIR -o STORE, DIR being "
                        f"{corpus.tree}")  # fmt: skip
    report = Report()
    with common.progress("building", quiet):
        options: dict[str, Any] = {key: value for key, value in values.items() if value is not None}
        store = build_store(name, folder, output, report, **options)
    say(str(report), err=True)
    show_store(store, as_json)


def list_corpora(as_json: bool) -> None:
    """Print every corpus with the folder that it expects."""
    from instruct_data.sources.registry import CORPORA

    if as_json:
        common.print_json({"corpora": {name: corpus.tree for name, corpus in CORPORA.items()}})
        return
    for name, corpus in CORPORA.items():
        say(f"{name}: {corpus.tree}")
