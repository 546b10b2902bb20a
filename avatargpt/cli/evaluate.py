"""``avatargpt eval``: the evaluation harness."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from avatargpt.cli import common
from avatargpt.cli.output import say
from vqvae.errors import UserError

app = typer.Typer(add_completion=False, rich_markup_mode=None, help="Measure a model: run a suite, or list them.")


@app.command("ls")
def ls(as_json: common.Json = False) -> None:
    """List the suites."""
    from avatargpt import evaluation

    suites = [evaluation.load(name) for name in evaluation.list_suites()]
    if as_json:
        keys = ("name", "version", "kind", "description")
        common.print_json({"suites": [{k: getattr(s, k) for k in keys} for s in suites]})
        return
    for suite in suites:
        say(f"{suite.name}: {suite.description}")


@app.command("run")
def run(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="A name from `avatargpt eval ls`.")],
    data: Annotated[
        Path | None, typer.Option("--data", metavar="FOLDER", help="The corpora, for suites that need real clips.")
    ] = None,
    store: Annotated[
        Path | None, typer.Option("--store", metavar="FOLDER", help="A prepared store, for suites about made-up clips.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="The large sample, where a suite has two sizes.")] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Where to write the results (.json).")
    ] = None,
    model: common.Model = None,
    device: common.Device = None,
    dtype: common.Dtype = None,
    threads: common.Threads = None,
    quiet: common.Quiet = False,
) -> None:
    """Run a suite: a table on stderr, the results as JSON on stdout."""
    from avatargpt import evaluation

    chosen = evaluation.load(suite)
    wanted = evaluation.DATA.get(chosen.kind, "the body corpus")
    enough = chosen.kind in evaluation.WITHOUT_DATA or (chosen.kind == "speech_face" and store is not None)
    if data is None and not enough:
        raise UserError(f"{suite}: measured on {wanted}; name its folder with --data")
    if data is not None and not data.is_dir():
        raise UserError(f"--data {data}: no such folder; accepted that of {wanted}")
    if store is not None and not store.is_dir():
        raise UserError(f"--store {store}: no such folder; accepted the result of the prepare stage")
    if output is not None:
        if output.suffix.lower() != ".json":
            raise UserError(f"-o {output}: results are JSON; accepted a name ending in .json")
        common.check_folder(output)
        if output.is_dir():
            raise UserError(f"-o {output}: a folder; accepted the name of a file")
    if model is not None and chosen.kind in evaluation.WITHOUT_MODEL:
        raise UserError(f"--model: no model takes part in {suite}")
    without = chosen.kind in evaluation.WITHOUT_MODEL
    loaded = None if without else common.load_model(model, device, threads, quiet, dtype)
    common.print_json(evaluation.run_suite(chosen, loaded, data, output, store, full))
