"""``avatargpt finetune``: a model that also knows the user's own clips."""

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Any

from avatargpt.cli import common
from avatargpt.cli.common import argument, check_folder, option, print_json, say
from vqvae.errors import UserError

KINDS = {
    "body": "motion files with captions", "face": "wav files with face curves beside them",
    "gesture": "wav files with bodies beside them",
}  # fmt: skip


def finetune(
    folder: Annotated[Path, argument("FOLDER", "Clips with captions, or with their sound.")],
    output: Annotated[Path, option("-o --output MODEL", "Folder to make.")],
    modality: Annotated[str, option("--modality NAME", "body, face or gesture.")] = "body",
    lora: Annotated[bool, option("--lora", "Low-rank updates instead of all weights (body).")] = False,
    steps: Annotated[int, option("--steps N", "At most.", min=1, max=1_000_000)] = 240,
    minutes: Annotated[float, option("--minutes M", "Of training, at most.")] = 6.0,
    licence: Annotated[str, option("--licence TEXT", "Terms of the clips.")] = "not stated",
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
    from avatargpt.train.finetuning.run import FinetuneOptions, check_new
    from avatargpt.train.runtime import Runtime

    check_model(model)
    check_new(output)
    check_folder(output)
    options = FinetuneOptions(lora=lora, steps=steps, minutes=minutes, seed=seed, licence=licence)
    runtime = Runtime.start(threads, device)

    def notify(activity: str) -> None:
        if not quiet:
            say(f"{activity} ...", err=True)

    with redirect_stdout(sys.stderr):
        report = _method(modality)(folder, output, options, model or weights(), runtime, notify).go()
    if as_json:
        print_json({"model": str(output), **report})
        return
    clips = report["clips"]
    say(f"{output}: {clips['train']} clips learnt, {clips['val']} held out, at most {report['steps']} steps")
    for name, (before, after) in report["figures"].items():
        say(f"{name}: {before:.4g} before, {after:.4g} after")


def _method(modality: str) -> Any:
    if modality == "body":
        from avatargpt.train.finetuning.body import BodyFinetuning

        return BodyFinetuning
    from avatargpt.train.finetuning import speakers

    return speakers.FaceFinetuning if modality == "face" else speakers.GestureFinetuning
