"""`avatargpt finetune --modality gesture`: one speaker's sound and body -> hands that talk like that speaker's."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avatargpt.gesture.config import GestureConfig, Material
from avatargpt.gesture.driver import NAME, GestureDriver
from avatargpt.gesture.features import prosody
from avatargpt.gesture.words import WordEncoder, word_encoder
from avatargpt.speech.words.files import read as read_words
from avatargpt.train.finetuning.clips import digest_of
from avatargpt.train.finetuning.early import Early, best_figures, best_of, plan_of_steps, step_seconds
from avatargpt.train.finetuning.options import FinetuneOptions
from avatargpt.train.finetuning.packing import check_new, inherit, run_folder
from avatargpt.train.finetuning.progress import Progress
from avatargpt.train.finetuning.recordings import Recording, read_recordings
from avatargpt.train.gesture import cache
from avatargpt.train.gesture.batches import Sampling
from avatargpt.train.gesture.takes import word_at, word_states
from avatargpt.train.gesture.training import GestureRecipe, GestureStage, GestureTraining
from avatargpt.train.runtime import Runtime
from vqvae.errors import UserError
from vqvae.features import GestureFeatures

SUFFIXES = (".bvh", ".npz", ".glb")
TIMES = (".TextGrid", ".ctm", ".srt", ".vtt")  # of word times that may lie beside; without, only the sound is heard
LR, BATCH, SEGMENTS = 2e-4, 4, 2
NATS = "val_nats"
TAKES = "takes"


def finetune_gesture(
    folder: Path, out: Path, options: FinetuneOptions, start: Path, runtime: Runtime,
    notify: Callable[[str, int, int], None],
) -> dict[str, Any]:  # fmt: skip
    """Run or resume; what ``finetune.json`` of the new folder says. The new manner is nobody's, the one without
    ``--speaker``.

    Args:
        folder: of sounds with bodies beside them. out: folder to make. start: model folder.

    Raises:
        UserError: bad recordings, a start without gestures or with sounds heard by another model than prosody, a
            folder that is there, another run that was begun.
    """
    from avatargpt.train.loop import run

    check_new(out)
    if not (start / NAME / f"{NAME}.json").is_file():
        raise UserError(f"--model {start}: no gestures in it; accepted a folder of weights with them")
    driver = GestureDriver.load(start / NAME)
    if driver.network.config.audio != "prosody":
        raise UserError(f"--model {start}: gestures that hear {driver.network.config.audio}; accepted prosody")
    found = read_recordings(
        folder, ("body", "gesture"), SUFFIXES, TIMES, lambda done, total: notify("reading", done, total)
    )  # fmt: skip
    work = run_folder(out)
    inputs = {"recordings": digest_of([f for r in found for f in r.files]), "start": str(start.resolve()),
              **{f"option {k}": v for k, v in options.model_dump().items()}}  # fmt: skip
    kept = Progress(work, inputs)
    if not (work / TAKES / cache.FILE).is_file():
        notify("preparing", 0, 1)
        cache.save(takes_of(found, driver), material_of(driver.network.config), work / TAKES)
    corpus = cache.load(work / TAKES)
    steps, before = kept.get("steps"), kept.get("before")
    if steps is None or before is None:
        trial = OwnGestureStage(recipe_of(options, 1), corpus, runtime, driver)
        before = kept.keep("before", trial.validate())
        steps = kept.keep("steps", plan_of_steps(options.steps, options.minutes, step_seconds(trial)))
    stage = OwnGestureStage(recipe_of(options, steps), corpus, runtime, GestureDriver.load(start / NAME))
    stage.patience = options.patience
    run(stage, work, runtime)

    def change(place: Path) -> dict[str, Any]:
        notify("packing", 0, 1)
        GestureDriver.load(best_of(work)).save(place / NAME, torch.int8)
        after = best_figures(work) or stage.validate()
        return {
            "modality": "gesture", "start": start.name, "licence": options.licence, "options": options.model_dump(),
            "steps": steps, "clips": {s: len(corpus.split(s)) for s in ("train", "val")},
            "figures": {k.removeprefix("val_"): [round(v, 5), round(after[k], 5)]
                        for k, v in before.items() if k in after},
        }  # fmt: skip

    about = inherit(start, out, change)
    shutil.rmtree(work, ignore_errors=True)
    return about


def recipe_of(options: FinetuneOptions, steps: int) -> GestureRecipe:
    """Of the gesture stage, for so many steps; all rows are in nobody's style."""
    return GestureRecipe(train=GestureTraining(
        **options.schedule(steps, LR), batch=BATCH, segments=SEGMENTS, best=NATS,
        sampling=Sampling(anonymous=1.0, alone=1.0),
    ))  # fmt: skip


def material_of(config: GestureConfig) -> Material:
    """What the rows of a network are."""
    return Material(**{name: getattr(config, name) for name in Material.model_fields})


def takes_of(recordings: Sequence[Recording], driver: GestureDriver) -> Iterator[cache.Take]:
    """Each recording as a take of training and one, its end, that is held out; tokens by the driver's tokenizer."""
    config = driver.network.config
    encoder = word_encoder(config.words)
    for recording in recordings:
        arrays = _arrays(recording, driver, encoder)
        n = config.downsample
        frames = len(arrays["features"])
        cut = recording.held_from // n * n
        for split, part in (("train", slice(0, cut)), ("val", slice(cut, frames))):
            own = {k: v[part] for k, v in arrays.items() if k in ("audio", "features", "word_at")}
            own["codes"] = arrays["codes"][part.start // n : -(-part.stop // n)]
            own["word_states"] = arrays["word_states"]
            yield cache.Take(f"{recording.name}/{split}", config.speakers[0], split, own)


def _arrays(recording: Recording, driver: GestureDriver, encoder: WordEncoder) -> dict[str, np.ndarray]:
    tokenizer: Any = driver.tokenizer
    motion = recording.motion
    rows = prosody(recording.audio, recording.rate)
    frames = min(len(rows), len(motion))
    times = next((f for f in recording.files if f.suffix in TIMES), None)
    said = read_words(times, len(recording.audio) / recording.rate).words if times is not None else ()
    words = [w for w in said if w.start * 30 < frames]
    motion = motion.slice(0, frames)
    codes = np.asarray(tokenizer.encode(motion))
    return {
        "audio": rows[:frames], "features": GestureFeatures().encode(motion), "codes": codes,
        "word_states": word_states(words, encoder), "word_at": word_at(words, frames),
    }  # fmt: skip


class OwnGestureStage(Early, GestureStage):
    """See `avatargpt.train.loop.Stage`; validated on the held-out ends of the recordings."""

    def __init__(
        self, recipe: GestureRecipe, corpus: cache.Corpus, runtime: Runtime, start: GestureDriver
    ) -> None:  # fmt: skip
        GestureStage.__init__(self, recipe, corpus, runtime, start, "fine-tuning")

    def validate(self) -> dict[str, float]:
        figures = {k: v for k, v in GestureStage.validate(self).items() if math.isfinite(v)}
        self.judged(figures[NATS])
        return figures
