"""``avatargpt data``: corpora and the store that training reads."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avatargpt.cli import common
from vqvae.errors import UserError

if TYPE_CHECKING:
    from instruct_data.store import Store

app = typer.Typer(add_completion=False, rich_markup_mode=None, help="Prepare, list and check training data.")

# kind of folder -> (its reader, what it looks like)
READERS = {
    "corpus": ("instruct_data.sources.corpus:read_corpus", "captions.jsonl, skeleton.json and shards motions_NN.npz"),
}

StorePath = Annotated[Path, typer.Argument(metavar="STORE", help="A folder made by `avatargpt data prepare`.")]


@app.command("ls")
def ls(
    store: Annotated[
        Path | None, typer.Argument(metavar="STORE", help="A folder made by `avatargpt data prepare`.")
    ] = None,
    as_json: common.Json = False,
) -> None:
    """List what a store holds; without STORE, the kinds of corpora that can be read."""
    if store is None:
        kinds = {kind: about for kind, (_, about) in READERS.items()}
        if as_json:
            common.print_json({"readers": kinds})
            return
        for kind, about in kinds.items():
            typer.echo(f"{kind}: {about}")
        return
    from instruct_data.store import Store

    _show(Store.open(store, verify=False), as_json)


@app.command("prepare")
def prepare(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A corpus as it was published.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="STORE", help="Folder to write.")],
    kind: Annotated[str, typer.Option("--kind", metavar="KIND", help="A name from `avatargpt data ls`.")] = "corpus",
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """Read a corpus and write it as a store: checked clips with captions, splits, licences and checksums."""
    if kind not in READERS:
        raise UserError(f"--kind {kind}: no such kind of corpus; accepted: {', '.join(READERS)}")
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; accepted a {kind} folder: {READERS[kind][1]}")
    from instruct_data.store import Store

    module, _, name = READERS[kind][0].partition(":")
    with common.progress("preparing", quiet):
        store = Store.write(getattr(import_module(module), name)(folder), output)
    _show(store, as_json)


@app.command("check")
def check(store: StorePath, as_json: common.Json = False, quiet: common.Quiet = False) -> None:
    """Compare every file of a store with its checksum and every clip with what the manifest says."""
    from instruct_data.store import Store

    opened = Store.open(store)
    with common.progress("checking", quiet):
        rows: Any = opened.clips() if opened.kind == "motion" else opened.codes()
        found = sum(1 for _ in rows)
    if found != len(opened):
        raise UserError(f"{store}: {found} clips, the manifest says {len(opened)}; prepare the store again")
    _show(opened, as_json)


def _show(store: Store, as_json: bool) -> None:
    facts = {k: v for k, v in store.manifest.items() if k != "shards"}
    if as_json:
        common.print_json({"store": str(store.path), **facts})
        return
    counts = f"{facts['clips']} clips, {facts['hours']:.2f} h, {facts['captions']} captions"
    typer.echo(f"{store.path}: {facts['kind']}, {counts}")
    typer.echo("splits: " + ", ".join(f"{name} {count}" for name, count in facts["splits"].items()))
    for name, entry in facts["sources"].items():
        typer.echo(f"{name}: {entry['clips']} clips, {entry['hours']:.2f} h, {entry['licence']}")
