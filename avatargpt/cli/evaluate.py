"""``avatargpt eval``: the evaluation harness."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avatargpt.cli import common
from avatargpt.cli.common import argument, option, print_json, say, warn
from avatargpt.options import FPS
from vqvae.errors import UserError
from vqvae.io.files import check_output

if TYPE_CHECKING:
    from avatargpt.evaluation.outputs import Outputs

app = typer.Typer(add_completion=False, rich_markup_mode=None, help="Measure a model: run a suite, or list them.")
_SUITE = "A name from `eval ls`, a prompt suite of your own (.yaml), or a list of prompts (.csv, .json)."
_OUTPUTS = "Measure another system's motion files in this folder in place of the model."
_STORE = "A clip store; or a suite's evaluator, speech cache or Whisper model (eval/README.md)."
_MODEL = "Weights to use instead of the packaged ones; nearest, random: training clips as answers; none: no model."


@app.command("ls")
def ls(as_json: common.Json = False) -> None:
    """List the suites."""
    from avatargpt import evaluation

    suites = [evaluation.load(name) for name in evaluation.list_suites()]
    if as_json:
        keys = ("name", "version", "kind", "description")
        print_json({"suites": [{k: getattr(s, k) for k in keys} for s in suites]})
        return
    for suite in suites:
        say(f"{suite.name}: {suite.description}")


@app.command("run")
def run(
    suite: Annotated[str, argument("SUITE", _SUITE)],
    data: Annotated[Path | None, option("--data FOLDER", "The corpora, for suites that need real clips.")] = None,
    store: Annotated[Path | None, option("--store FOLDER", _STORE)] = None,
    full: Annotated[bool, option("--full", "The large sample, where a suite has two sizes.")] = False,
    outputs: Annotated[Path | None, option("--outputs FOLDER", _OUTPUTS)] = None,
    names: Annotated[Path | None, option("--prompts FILE", "Names and prompts of --outputs: CSV or JSON.")] = None,
    fps: Annotated[float | None, option("--fps F", "Frame rate of --outputs that state none (20).")] = None,
    output: Annotated[Path | None, option("-o --output FILE", "Where to write the results (.json).")] = None,
    model: Annotated[str | None, option("--model FOLDER", _MODEL)] = None,
    device: common.Device = None,
    dtype: common.Dtype = None,
    threads: common.Threads = None,
    quiet: common.Quiet = False,
) -> None:
    """Run a suite: a table on stderr, the results as JSON on stdout. Exits with 1 where items failed."""
    from avatargpt import evaluation
    from avatargpt.evaluation import corpus
    from avatargpt.evaluation.outputs import failure_lines

    chosen = evaluation.load(suite)
    # What is learnt from recordings of speech is also measured on a cache of them.
    if chosen.data and data is None and (store is None or chosen.kind != "speech" or chosen.measure != "face"):
        raise UserError(f"{suite}: measured on {chosen.data}; name its folder with --data")
    if data is not None and not data.is_dir():
        raise UserError(f"--data {data}: no such folder; accepted that of {chosen.data or 'the body corpus'}")
    if store is not None and not store.is_dir():
        raise UserError(f"--store {store}: no such folder; accepted one that the suite reads")
    if output is not None:
        if output.suffix.lower() != ".json":
            raise UserError(f"-o {output}: results are JSON; accepted a name ending in .json")
        check_output(output)
    other_system = _other_system(outputs, names, fps)
    without = chosen.model is False or (other_system is not None and chosen.kind != "prompt_list")
    if model not in (None, "none") and without:
        raise UserError(f"--model: no model takes part in {suite}{' on --outputs' if other_system else ''}")
    if without or model == "none":
        if not without and chosen.model != "optional":
            accepted = [name for name in evaluation.list_suites() if evaluation.load(name).model is not True]
            raise UserError(f"--model none: {suite} needs a model; accepted {', '.join(accepted)}")
        loaded: Any = None
    elif model in ("nearest", "random"):
        if chosen.kind != "prompts":
            raise UserError(f"--model {model} answers prompts alone; not {chosen.name}")
        clips = corpus.load_clips(data, "train")
        loaded = corpus.RandomClip(clips) if model == "random" else corpus.NearestCaption(clips)
    else:
        loaded = common.Setup(
            model=None if model is None else Path(model), device=device, threads=threads, quiet=quiet, dtype=dtype
        ).load()
    result = evaluation.run_suite(chosen, loaded, data, output, store, full, other_system)
    print_json(result)
    for line in result.get("warnings", []):
        warn(line)
    if failed := result.get("failed"):
        for line in failure_lines(failed):
            say(f"failed: {line}", err=True)
        raise typer.Exit(1)


def _other_system(folder: Path | None, names: Path | None, fps: float | None) -> Outputs | None:
    """The outputs of another system, as the options name them."""
    from avatargpt.evaluation.outputs import Outputs

    if folder is None:
        if names is not None or fps is not None:
            raise UserError(f"{'--prompts' if names else '--fps'}: goes with --outputs")
        return None
    if not folder.is_dir():
        raise UserError(f"--outputs {folder}: no such folder; accepted one of motion files")
    common.check_range("--fps", fps, *FPS, " frames per second")
    return Outputs(folder, names, fps)


@app.command("ask")
def ask(
    suite: Annotated[str, argument("SUITE", "A suite that takes --outputs.")],
    data: Annotated[Path | None, option("--data FOLDER", "Recorded talks, for gesture suites.")] = None,
    as_json: common.Json = False,
) -> None:
    """List what a suite asks of another system, as CSV: the name of each file, and the prompt it answers."""
    from avatargpt import evaluation
    from avatargpt.evaluation import outputs

    items = outputs.items(evaluation.load(suite), data)
    if as_json:
        print_json({i.id: i.text for i in items})
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("name", "prompt"))
    writer.writerows((i.id, i.text) for i in items)
    say(text.getvalue().rstrip("\n"))


@app.command("compare")
def compare(
    first: Annotated[Path, argument("A.json", "A result of a suite.")],
    second: Annotated[Path, argument("B.json", "Another of the same suite.")],
    as_json: common.Json = False,
) -> None:
    """What differs between two results by more than chance: paired figures, then rows."""
    from avatargpt.evaluation import report

    result = report.compare(first, second)
    if as_json:
        print_json(result)
        return
    for line in report.summary(result):
        say(line)
