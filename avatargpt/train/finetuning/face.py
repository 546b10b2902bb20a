"""`avatargpt finetune --modality face`: one speaker's sound and face curves -> recorded lips like that speaker's."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avatargpt.face.audio_model.driver import Driver
from avatargpt.face.audio_model.features import extract
from avatargpt.metrics.lip_sync import MOUTH
from avatargpt.train.audio_model import DriverRecipe, DriverStage, DriverTraining
from avatargpt.train.finetuning.clips import digest_of
from avatargpt.train.finetuning.early import Early, best_figures, best_of, plan_of_steps, step_seconds
from avatargpt.train.finetuning.options import FinetuneOptions
from avatargpt.train.finetuning.packing import check_new, inherit, run_folder
from avatargpt.train.finetuning.progress import Progress
from avatargpt.train.finetuning.recordings import Recording, read_recordings
from avatargpt.train.runtime import Runtime
from avatargpt.train.speech_data.batches import Sampling
from avatargpt.train.speech_data.corpus import SpeechClip
from avatargpt.train.speech_data.validation import predict
from vqvae.errors import UserError

SUFFIXES = (".csv", ".json", ".npz", ".glb")
LR, BATCH, WINDOW = 3e-4, 12, 120
PAIRED = 0.6  # share of rows that are of the recordings; the rest holds the network to what it says of their sound
ERROR = "val_mouth_error"
DRIVER = "driver"


def finetune_face(
    folder: Path, out: Path, options: FinetuneOptions, start: Path, runtime: Runtime,
    notify: Callable[[str, int, int], None],
) -> dict[str, Any]:  # fmt: skip
    """Run or resume; what ``finetune.json`` of the new folder says. What the lips do by rule stays as it was.

    Args:
        folder: of sounds with face curves beside them. out: folder to make. start: model folder.

    Raises:
        UserError: bad recordings, a start without a driver, a folder that is there, another run that was begun.
    """
    check_new(out)
    if not (start / DRIVER / "driver.json").is_file():
        raise UserError(f"--model {start}: no driver of faces in it; accepted a folder of weights with one")
    found = read_recordings(folder, ("face",), SUFFIXES, notify=lambda done, total: notify("reading", done, total))
    work = run_folder(out)
    inputs = {"recordings": digest_of([f for r in found for f in r.files]), "start": str(start.resolve()),
              **{f"option {k}": v for k, v in options.model_dump().items()}}  # fmt: skip
    kept = Progress(work, inputs)
    driver = Driver.load(start / DRIVER)
    notify("preparing", 0, 1)
    clips = [c for r in found for c in clips_of(r, driver)]
    held = [c for c in clips if c.split == "val"]
    before = kept.get("before") or kept.keep("before", errors(driver.paired, held, runtime.device))
    steps = kept.get("steps")
    if steps is None:
        trial = FaceStage(recipe_of(options, 1), clips, runtime, Driver(driver.paired))
        steps = kept.keep("steps", plan_of_steps(options.steps, options.minutes, step_seconds(trial)))
    stage = FaceStage(recipe_of(options, steps), clips, runtime, Driver(Driver.load(start / DRIVER).paired))
    stage.patience = options.patience
    from avatargpt.train.loop import run

    run(stage, work, runtime)

    def change(place: Path) -> dict[str, Any]:
        notify("packing", 0, 1)
        learnt = Driver.load(best_of(work)).network
        Driver(driver.network, learnt).save_paired(place / DRIVER, torch.int8)
        after = best_figures(work) or stage.validate()
        return {
            "modality": "face", "start": start.name, "licence": options.licence, "options": options.model_dump(),
            "steps": steps, "clips": {s: sum(c.split == s and c.kind == "paired" for c in clips)
                                      for s in ("train", "val")},
            "figures": {k.removeprefix("val_"): [round(v, 5), round(after[k], 5)] for k, v in before.items()},
        }  # fmt: skip

    about = inherit(start, out, change)
    shutil.rmtree(work, ignore_errors=True)
    return about


def recipe_of(options: FinetuneOptions, steps: int) -> DriverRecipe:
    """Of the driver stage, for so many steps."""
    return DriverRecipe(train=DriverTraining(
        **options.schedule(steps, LR), batch=BATCH, window=WINDOW, best=ERROR,
        sampling=Sampling(paired=PAIRED, directed=0.0, masks=0.2, noise=0.2),
    ))  # fmt: skip


def clips_of(recording: Recording, driver: Driver) -> list[SpeechClip]:
    """A recording as training and held-out clips: recorded curves, and those that the network gives the sound now."""
    heard = extract(recording.audio, recording.rate)[: len(recording.motion)]
    motion = recording.motion.slice(0, len(heard))
    curves = np.concatenate([motion.weights, motion.head], 1).astype(np.float32)
    network = driver.paired
    own = predict(network, heard, next(network.parameters()).device)
    out = []
    cut = min(recording.held_from, len(heard))
    for part, split in ((slice(0, cut), "train"), (slice(cut, len(heard)), "val")):
        unknown = np.zeros((len(heard[part]), 2), np.uint8)
        name = f"own/{recording.name}"
        out.append(SpeechClip(heard[part], curves[part], unknown, kind="paired", split=split, name=name))
        if split == "train":
            out.append(SpeechClip(heard[part], own[part], unknown, kind="taught", split=split, name=name))
    return [c for c in out if len(c)]


@torch.no_grad()
def errors(network: Any, clips: Sequence[SpeechClip], device: torch.device) -> dict[str, float]:
    """Mean absolute error of mouth channels over clips, 0..1, under `ERROR`."""
    network.eval()
    columns = list(MOUTH)
    heard = (c.features.astype(np.float32) for c in clips)
    said = np.concatenate([predict(network, rows, device, "recorded")[:, columns] for rows in heard])
    true = np.concatenate([c.curves[:, columns] for c in clips])
    return {ERROR: float(np.abs(said - true).mean())}


class FaceStage(Early, DriverStage):
    """See `avatargpt.train.loop.Stage`; validated on the held-out ends of the recordings."""

    def __init__(self, recipe: DriverRecipe, clips: Sequence[SpeechClip], runtime: Runtime, start: Driver) -> None:
        # what is said of phones is not known of these recordings: nothing is to be learnt of them
        quiet = recipe.train.losses.changed(phones=0.0, seal=0.0, bite=0.0, shut=0.0)
        recipe = recipe.changed(train=recipe.train.changed(losses=quiet))
        DriverStage.__init__(self, recipe, clips, [], runtime, start, "fine-tuning")

    def validate(self) -> dict[str, float]:
        figures = errors(self.network, [c for c in self.clips if c.split == "val"], self.runtime.device)
        self.network.train()
        self.judged(figures[ERROR])
        return figures
