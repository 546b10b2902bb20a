"""`avatargpt finetune` for bodies: clips with captions and a model folder -> a model folder that knows them too."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from avatargpt.train.finetuning import material, phrases
from avatargpt.train.finetuning.clips import digest_of, motion_files, read_clips, table_of
from avatargpt.train.finetuning.early import best_figures, best_of, plan_of_steps, step_seconds
from avatargpt.train.finetuning.figures import continuation_fid, shown
from avatargpt.train.finetuning.options import OWN, FinetuneOptions
from avatargpt.train.finetuning.packing import check_new, inherit, run_folder
from avatargpt.train.finetuning.progress import Progress
from avatargpt.train.finetuning.stage import FinetuneStage, held_out
from avatargpt.train.runtime import Runtime
from instruct_data.clip import Clip
from instruct_data.store import ClipCodes, Store
from vqvae.errors import UserError
from vqvae.io.files import folder_lock

if TYPE_CHECKING:
    from avatargpt.lm.text_encoder import SentenceGrounder
    from vqvae.tokenizer import MotionTokenizer

BUSY = "another process fine-tunes there; wait until it is over, or choose another -o"
CODES = "codes"
WATCHED = 40  # packaged clips that continuation is measured on
Notify = Callable[[str, int, int], None]
"""Called with what is being done, steps done, steps in all."""


def finetune_body(
    folder: Path, out: Path, options: FinetuneOptions, start: Path, runtime: Runtime, notify: Notify
) -> dict[str, Any]:  # fmt: skip
    """Run or resume; what ``finetune.json`` of the new folder says.

    Args:
        folder: of clips, see `avatargpt.train.finetuning.clips.read_clips`. out: folder to make. start: model folder.

    Raises:
        UserError: bad clips, a folder that is there already, a run that was begun with other clips or options.
    """
    check_new(out)
    if options.lora:
        _check_peft()
    files = motion_files(folder)
    table = table_of(folder)
    beside = [t for f in files if (t := f.with_suffix(".txt")).is_file()]
    inputs = {
        "clips": digest_of([*files, *beside, *([table] if table else [])]), "start": str(start.resolve()),
        **{f"option {k}": v for k, v in options.model_dump().items()},
    }  # fmt: skip
    clips = read_clips(folder, options.licence, lambda done, total: notify("reading", done, total))
    work = run_folder(out)
    kept = Progress(work, inputs)
    with folder_lock(work, BUSY, ".finetune.lock"):
        kept.keep("clips", len(clips))
        return _Run(clips, out, work, options, start, runtime, kept, notify).go()


def _check_peft() -> None:
    from importlib.util import find_spec

    if find_spec("peft") is None:
        raise UserError("--lora: needs peft; install it: pip install 'avatargpt[train]'")


class _Run:
    def __init__(
        self, clips: Sequence[Clip], out: Path, work: Path, options: FinetuneOptions, start: Path, runtime: Runtime,
        kept: Progress, notify: Notify,
    ) -> None:  # fmt: skip
        self.clips, self.out, self.work, self.options, self.start = list(clips), out, work, options, start
        self.runtime, self.kept, self.notify = runtime, kept, notify

    def go(self) -> dict[str, Any]:
        from avatargpt.lm.text_encoder import SentenceGrounder
        from avatargpt.train.loop import run
        from vqvae.tokenizer import MotionTokenizer

        if not (self.start / "body" / "tokenizer.json").is_file():
            raise UserError(f"--model {self.start}: no body in it; accepted a folder of weights that make bodies")
        tokenizer = MotionTokenizer.load(self.start / "body", self.runtime.device)
        grounder = SentenceGrounder(cache_size=40_000, device=self.runtime.device, alone=True)
        items = self._codes(tokenizer)
        before = self.kept.get("before") or self.kept.keep("before", self._made(self.start))
        stage = self._stage(items, tokenizer, grounder)
        run(stage, self.work, self.runtime)
        own = [i for i in items if i.source == OWN and i.split == "train"]
        about = inherit(self.start, self.out, lambda place: self._packed(place, stage, own, grounder, before))
        shutil.rmtree(self.work, ignore_errors=True)
        return about

    def _codes(self, tokenizer: MotionTokenizer) -> list[ClipCodes]:
        from avatargpt.requests.exemplars import ExemplarBank

        place = self.work / CODES
        if not place.exists():
            self.notify("preparing", 0, 1)
            bank = ExemplarBank.load(self.start)
            if bank is not None:
                bank.check(tokenizer.fingerprint)
            o = self.options
            both = [*material.own_codes(self.clips, tokenizer, o.seed),
                    *material.packaged_codes(tokenizer, bank, o.keyframed)]  # fmt: skip
            Store.write_codes(both, place, tokenizer.fingerprint)
        store = Store.open(place)
        return [*store.codes("train"), *store.codes("val")]

    def _stage(
        self, items: list[ClipCodes], tokenizer: MotionTokenizer, grounder: SentenceGrounder
    ) -> FinetuneStage:  # fmt: skip
        from avatargpt.lm.checkpoint import load_model
        from avatargpt.lm.text_encoder import TextTokenizer
        from avatargpt.train.data.examples import Examples
        from avatargpt.train.lora import add_lora

        learnt = [i for i in items if i.split == "train"]
        lines, pairs = material.words(learnt)
        text = TextTokenizer.load(self.start)
        torch.manual_seed(self.options.seed)
        model = load_model(self.start, dtype=torch.float32)
        model.check_fingerprint("body", tokenizer.fingerprint)

        def stage(steps: int, before: dict[str, float] | None) -> FinetuneStage:
            recipe = self.options.recipe(steps)
            rates = {"body": tokenizer.tokens_per_second}
            examples = Examples(learnt, lines, pairs, text, model.config, recipe.train.options, rates)
            own, others = (
                [i for i in items if i.split == "val" and (i.source == OWN) is mine] for mine in (True, False)
            )
            val = held_out(examples, own, others)
            words = grounder if model.config.grounding_dim else None
            return FinetuneStage(recipe, model, examples, val, words, self.runtime, self.options.patience, before)

        steps, losses = self.kept.get("steps"), self.kept.get("losses")
        if steps is None or losses is None:
            self.notify("measuring", 0, 1)
            trial = stage(self.options.steps, None)
            steps = plan_of_steps(self.options.steps, self.options.minutes, step_seconds(trial))
            losses = trial.before
            self.kept.keep("losses", losses)
            self.kept.keep("steps", steps)
        recipe = self.options.recipe(steps)
        if recipe.lora is not None:
            add_lora(model, recipe.lora)
        return stage(steps, losses)

    def _made(self, folder: Path) -> dict[str, float]:
        """Figures of what a model folder makes."""
        from avatargpt.api import AvatarGPT
        from avatargpt.train.data.prepare import keyframed_clips
        from instruct_data.synth.families import VALIDATION
        from instruct_data.text.captions import CaptionBank
        from instruct_data.texts import unpacked

        self.notify("measuring", 0, 1)
        model = AvatarGPT.from_pretrained(folder, str(self.runtime.device))
        bank = CaptionBank(unpacked("text") / "body_captions.json")
        every = list(keyframed_clips(bank, np.zeros(0), 1, first=VALIDATION + 1))
        some = every[:: max(1, len(every) // WATCHED)]
        figures = {"shown": shown(model, self.clips), "continuation_fid": continuation_fid(model, some)}
        return {k: v for k, v in figures.items() if math.isfinite(v)}

    def _packed(
        self, place: Path, stage: FinetuneStage, own: list[ClipCodes], grounder: SentenceGrounder,
        before: dict[str, float],
    ) -> dict[str, Any]:  # fmt: skip
        """Write the new parts into a copy of the start folder; what is told of it."""
        from avatargpt.lm.checkpoint import load_model, save_small
        from avatargpt.requests.exemplars import EXAMPLE_TOKENS, Entry, ExemplarBank
        from avatargpt.requests.phrases import PhraseIndex
        from avatargpt.train.language import ADAPTER

        self.notify("packing", 0, 1)
        best = best_of(self.work)
        save_small(load_model(best), place)
        if (best / ADAPTER).is_dir():
            shutil.copytree(best / ADAPTER, place / ADAPTER)
        index, bank = PhraseIndex.load(place), ExemplarBank.load(place)
        if index is not None:
            phrases.grown(index, own, grounder).save(place)
        if bank is not None:
            entries = [Entry(f"own/{c.id}", c.codes[:EXAMPLE_TOKENS].astype(np.uint16), tuple(c.captions), c.licence)
                       for c in own]  # fmt: skip
            said = list(dict.fromkeys(t for e in entries for t in e.captions))
            vectors = dict(zip(said, grounder.sentence(said), strict=True))
            bank.merged(ExemplarBank(entries, vectors, bank.fingerprint)).save(place)
        after = self._made(place)
        losses = best_figures(self.work) or stage.validate()
        rows = {k.removeprefix("val_"): [v, losses[k]] for k, v in stage.before.items() if k in losses}
        rows |= {k: [v, after[k]] for k, v in before.items() if k in after}
        return {
            "modality": "body", "start": self.start.name, "licence": self.options.licence,
            "options": self.options.model_dump(), "steps": self.kept.get("steps"),
            "clips": {s: sum(c.split == s for c in self.clips) for s in ("train", "val")},
            "actions": sorted({c.action for c in self.clips}),
            "figures": {k: [round(a, 4), round(b, 4)] for k, (a, b) in rows.items() if k != "whole"},
        }  # fmt: skip
