"""``avatargpt data``: corpora and the store that training reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from avatargpt.cli import common
from avatargpt.cli.corpora.body import body
from avatargpt.cli.corpora.build import build, list_corpora
from avatargpt.cli.corpora.hub import export_datasets
from avatargpt.cli.corpora.showing import show_store
from vqvae.errors import UserError

app = typer.Typer(add_completion=False, rich_markup_mode=None, help="Build, list and check training data.")
app.command("build")(build)
app.command("export-datasets")(export_datasets)
app.command("body")(body)


StorePath = Annotated[Path, typer.Argument(metavar="STORE", help="A folder made by `avatargpt data build`.")]


@app.command("ls")
def ls(
    store: Annotated[
        Path | None, typer.Argument(metavar="STORE", help="A folder made by `avatargpt data build`.")
    ] = None,
    as_json: common.Json = False,
) -> None:
    """List what a store holds; without STORE, the corpora that `build` reads."""
    if store is None:
        list_corpora(as_json)
        return
    from instruct_data.store import Store

    show_store(Store.open(store, verify=False), as_json)


@app.command("check")
def check(store: StorePath, as_json: common.Json = False, quiet: common.Quiet = False) -> None:
    """Compare every file of a store with its checksum and every clip with what the manifest says."""
    from instruct_data.store import Store

    opened = Store.open(store)
    with common.progress("checking", quiet):
        rows: Any = opened.codes() if opened.kind == "codes" else opened.clips()
        found = sum(1 for _ in rows)
    if found != len(opened):
        raise UserError(f"{store}: {found} clips, the manifest says {len(opened)}; build the store again")
    show_store(opened, as_json)
