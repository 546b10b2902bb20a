"""``avatargpt finetune``: a model that also knows the user's own clips."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer

from avatargpt.cli import common
from avatargpt.cli.output import say
from vqvae.errors import UserError

KINDS = {
    "body": "motion files with captions", "face": "wav files with face curves beside them",
    "gesture": "wav files with bodies beside them",
}  # fmt: skip


def finetune(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Clips with captions, or with their sound.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="MODEL", help="Folder to make.")],
    modality: Annotated[str, typer.Option("--modality", metavar="NAME", help="body, face or gesture.")] = "body",
    lora: Annotated[bool, typer.Option("--lora", help="Low-rank updates instead of all weights (body).")] = False,
    steps: Annotated[int, typer.Option("--steps", min=1, max=1_000_000, metavar="N", help="At most.")] = 240,
    minutes: Annotated[float, typer.Option("--minutes", metavar="M", help="Of training, at most.")] = 6.0,
    licence: Annotated[str, typer.Option("--licence", metavar="TEXT", help="Terms of the clips.")] = "not stated",
    seed: common.Seed = 0,
    model: common.Model = None,
    device: common.Device = None,
    threads: common.Threads = None,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """Go on training with clips of your own; the result is a whole model folder. The same command resumes."""
    if modality not in KINDS:
        raise UserError(f"--modality {modality}: accepted: {', '.join(KINDS)}")
    if lora and modality != "body":
        raise UserError(f"--lora: not for --modality {modality}, whose networks are small; accepted for: body")
    common.check_range("--minutes", minutes, 0.01, 10_000, " minutes")
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; accepted a folder of {KINDS[modality]}")
    from avatargpt.lm.checkpoint import check_model
    from avatargpt.resources import weights
    from avatargpt.train.finetuning.options import FinetuneOptions
    from avatargpt.train.finetuning.packing import check_new
    from avatargpt.train.runtime import Runtime

    check_model(model)
    check_new(output)
    options = FinetuneOptions(lora=lora, steps=steps, minutes=minutes, seed=seed, licence=licence)
    runtime = Runtime.start(threads, device)
    start = model or weights()
    with _told(quiet) as notify, redirect_stdout(sys.stderr):
        about = _method(modality)(folder, output, options, start, runtime, notify)
    if as_json:
        common.print_json({"model": str(output), **about})
        return
    clips = about["clips"]
    say(f"{output}: {clips['train']} clips learnt, {clips['val']} held out, at most {about['steps']} steps")
    for name, (before, after) in about["figures"].items():
        say(f"{name}: {before:.4g} before, {after:.4g} after")


def _method(modality: str) -> Any:
    if modality == "body":
        from avatargpt.train.finetuning.body import finetune_body

        return finetune_body
    if modality == "face":
        from avatargpt.train.finetuning.face import finetune_face

        return finetune_face
    from avatargpt.train.finetuning.gesture import finetune_gesture

    return finetune_gesture


@contextmanager
def _told(quiet: bool) -> Iterator[Any]:
    """Says on stderr what is being done, each thing once; training itself has a bar of its own there."""
    told: set[str] = set()

    def notify(what: str, done: int, total: int) -> None:
        if not quiet and what not in told:
            told.add(what)
            say(f"{what} ...", err=True)

    yield notify
