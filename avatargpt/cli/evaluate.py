"""``avatargpt eval``: the evaluation harness."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from avatargpt.cli import common
from vqvae.errors import UserError

app = typer.Typer(add_completion=False, rich_markup_mode=None, help="Measure a model: run a suite, or list them.")


@app.command("ls")
def ls(as_json: common.Json = False) -> None:
    """List the suites."""
    from avatargpt import evaluation

    suites = evaluation.list_suites()
    if as_json:
        common.print_json({"suites": suites})
        return
    for name in suites:
        typer.echo(name)


@app.command("run")
def run(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="A name from `avatargpt eval ls`.")],
    data: Annotated[
        Path | None, typer.Option("--data", metavar="FOLDER", help="The corpora, for suites that need real clips.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Where to write the results (.json).")
    ] = None,
    model: common.Model = None,
    device: common.Device = None,
    threads: common.Threads = None,
    quiet: common.Quiet = False,
) -> None:
    """Run a suite and print its results as JSON."""
    from avatargpt import evaluation

    if suite not in evaluation.list_suites():
        raise UserError(f"no suite called {suite}; accepted: {', '.join(evaluation.list_suites())}")
    if output is not None and output.suffix.lower() != ".json":
        raise UserError(f"-o {output}: results are JSON; accepted a name ending in .json")
    loaded = common.load_model(model, device, threads, quiet)
    with common.progress(suite, quiet):
        common.print_json(evaluation.run(suite, loaded, data, output))
