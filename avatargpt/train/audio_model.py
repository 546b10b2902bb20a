"""The speech stages of `scripts/train.py`: data for the driver, and its training."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from avatargpt.config import Schedule
from avatargpt.face.audio_model.driver import Driver
from avatargpt.face.audio_model.network import DriverConfig, DriverNetwork
from avatargpt.face.audio_model.stream import PAIRED_CHANNELS
from avatargpt.train.loop import run
from avatargpt.train.runtime import Runtime
from avatargpt.train.speech_data import corpus, expressions
from avatargpt.train.speech_data.batches import Batches, Sampling
from avatargpt.train.speech_data.clips import (
    SpeechData,
    flite_clips,
    labelled_clips,
    line_texts,
    own_texts,
    split_texts,
    synthetic_clips,
    utterances,
)
from avatargpt.train.speech_data.corpus import SpeechClip
from avatargpt.train.speech_data.expressions import (
    ExpressionClip,
    composed_clips,
    corpus_clips,
    counted_clips,
    drawn_clips,
    felt_clips,
)
from avatargpt.train.speech_data.losses import DriverLosses, channel_scale, driver_losses
from avatargpt.train.speech_data.recordings import (
    TRANSCRIBED,
    Sentence,
    dialogue,
    is_dialogue,
    is_stamps,
    lj_sentences,
    paired_clips,
    stamps,
    transcribed,
)
from avatargpt.train.speech_data.synthesizers import Espeak, Flite
from avatargpt.train.speech_data.validation import settle_gate, validate
from avatargpt.train.stage import Metrics, Stage, StepContext
from vqvae.errors import UserError
from vqvae.strict import PositiveInt, Rate, Share, Strict

# What is trained -> prefixes of its parameters' names. Training only the text branches, or the one for feelings,
# leaves lips without instruction unchanged to the bit.
ONLY = {"everything": ("",), "text": ("emotion.", "motion.", "motion_norm."), "feelings": ("emotion.",)}


class DriverTraining(Schedule):
    """The section `train` of `configs/driver/*.yaml`.

    Attributes:
        batch: windows per step, over all processes. window: frames.
        only: what is trained, see `ONLY`.
        paired_rate: factor for the learning rate of the head of recorded pairs.
        false_closures: share of vowels that the finished gate may close falsely; 0 = the gate is not calibrated.
        false_contacts: the same for the gate of f and v.
    """

    steps: PositiveInt = 6000
    batch: PositiveInt = 24
    window: PositiveInt = 160
    lr: Rate = 1.5e-3
    lr_floor: Rate = 3e-5
    clip: Rate = 5.0
    only: Literal["everything", "text", "feelings"] = "everything"
    paired_rate: Rate = 1.0
    false_closures: Share = 0.0
    false_contacts: Share = 0.0
    val_every: PositiveInt = 1000
    losses: DriverLosses = DriverLosses()
    sampling: Sampling = Sampling()


class DriverRecipe(Strict):
    """A configuration of the speech and the driver stage."""

    data: SpeechData = SpeechData()
    model: DriverConfig = DriverConfig()
    train: DriverTraining = DriverTraining()


def speech_data_stage(recipe: DriverRecipe, args: argparse.Namespace) -> None:
    """Synthetic speech with rule-based curves, and recorded pairs; with --driver, recorded speech aligned by it."""

    options = recipe.data
    Runtime.start(args.threads, "cpu")
    faces = Path(args.faces)
    if not faces.is_dir():
        raise UserError(f"{faces}: no such folder; one with ljspeech_sample, facegood, aligned_speech_misc is needed")
    if args.spoken and not args.driver:
        raise UserError("--spoken: recordings are labelled by a driver; accepted with --driver")
    if args.driver:
        further = [Path(p) for p in args.spoken.split(",")] if args.spoken else []
        if missing := [str(p) for p in further if not p.is_dir()]:
            raise UserError(f"--spoken: {missing[0]}: no such folder")
        clips = _labelled(faces, further, Driver.load(args.driver), options)
    else:
        clips = _synthetic(faces, args.texts, options)
    items = list(clips)
    corpus.save(items, args.output)
    minutes = sum(len(c) for c in items) / 1800
    print(f"{args.output}: {len(items)} clips, {minutes:.1f} minutes")


def _synthetic(faces: Path, text_folder: str | None, options: SpeechData) -> Iterator[SpeechClip]:
    lines = own_texts(Path(text_folder) if text_folder else None)
    table = faces / "ljspeech_sample" / "lj_phones_text_all.txt.gz"
    if table.is_file():
        lines += line_texts(table)[32:]  # the first 32 are the recorded sentences
    training, validation = split_texts(lines)
    rng = np.random.default_rng([options.seed, 4])
    texts = utterances(training, rng, max(1, options.clips))
    validation_texts = utterances(validation, rng, max(1, options.held_out))
    yield from synthetic_clips(texts, validation_texts, options, Espeak())
    if options.flite:
        texts = utterances(training, np.random.default_rng([options.seed, 8]), options.flite)
        yield from flite_clips(texts, options, Flite())
    if (faces / "facegood").is_dir():
        yield from paired_clips(faces / "facegood", options.copies, options.seed)


def _labelled(faces: Path, further: list[Path], driver: Driver, options: SpeechData) -> Iterator[SpeechClip]:
    pronounce = Espeak().pronounce
    folders = [p for name in ("mfa", "speechbrain") if (p := faces / "aligned_speech_misc" / name).is_dir()]
    lj = faces / "ljspeech_sample"
    sentences: Iterator[Sentence] = chain(
        lj_sentences(lj) if lj.is_dir() else (), *(transcribed(p, pronounce) for p in folders)
    )
    yield from labelled_clips(sentences, driver, options.copies, options.seed, options.coded)
    for folder in further:
        read = stamps if is_stamps(folder) else dialogue if is_dialogue(folder) else transcribed
        sentences = read(folder, pronounce)
        first = next(sentences, None)
        if first is None:
            raise UserError(f"{folder}: no recordings with their words; accepted: {TRANSCRIBED}")
        copies = options.further_copies
        yield from labelled_clips(chain([first], sentences), driver, copies, options.seed, options.coded)


def driver_stage(recipe: DriverRecipe, args: argparse.Namespace) -> None:
    """Train (or go on training) the speech driver."""
    from avatargpt.train.pack import mean_of

    runtime = Runtime.start(args.threads, args.device)
    clips = [c for folder in str(args.speech).split(",") for c in corpus.load(folder)]
    directed = expressions.load(args.expressions) if getattr(args, "expressions", None) else []
    start = mean_of(args.start, Driver.load, args.shares) if args.start else None
    train(recipe, clips, directed, Path(args.output), runtime, start, args.until, str(args.config))


class DriverStage(Stage):
    """A driver in training: see `avatargpt.train.stage.Stage`."""

    def __init__(
        self, recipe: DriverRecipe, clips: Sequence[SpeechClip], directed: Sequence[ExpressionClip], runtime: Runtime,
        start: Driver | None, where: str,
    ) -> None:  # fmt: skip
        self.recipe, self.schedule, self.clips, self.runtime = recipe, recipe.train, clips, runtime
        t = self.schedule
        if t.only != "everything" and start is None:
            raise UserError(f"{where}: train: only: a driver to begin from is needed (--start)")
        self.rows = runtime.share(t.batch, f"{where}: train")
        training = [c for c in clips if c.split == "train"]
        if not training:
            raise UserError(f"{where}: no training clips in the cache")
        directed = [c for c in directed if c.split == "train"]
        if t.only != "everything" and (t.sampling.directed < 1 or not directed):
            raise UserError(f"{where}: train: only: {t.only}: accepted with sampling: directed: 1 and --expressions")
        grounder = None
        if directed:
            from avatargpt.lm.text_encoder import SentenceGrounder

            grounder = SentenceGrounder(device=runtime.device)
        self.batches = Batches(training, directed, grounder, t.sampling, runtime.device)
        mean, std, spread, of_pairs = (torch.from_numpy(a).to(runtime.device) for a in self.batches.statistics())
        self.scales = channel_scale(spread.float()), channel_scale(of_pairs.float(), PAIRED_CHANNELS)
        torch.manual_seed(t.seed)
        if start is None:
            network = DriverNetwork(recipe.model)
            network.mean.copy_(mean)
            network.std.copy_(std)
        else:
            network = start.network
            network.grow(recipe.model)
        pairs = [c.curves for c in training if c.kind == "paired"]
        if pairs and t.sampling.paired:
            _begin_paired(network, pairs)
        self.network = self.module = network.to(runtime.device)
        self.identity = {"shape": network.config.model_dump()}
        self.optimizer = _optimizer(network, t)

    def losses(self, module: Any, context: StepContext) -> tuple[torch.Tensor, Metrics]:
        t = self.schedule
        b = self.batches.draw(self.rows, t.window, self.network.config.look_ahead, context.row_seed)
        with self.runtime.autocast():
            output = module(b.features, b.style, b.text)
        losses = driver_losses(output, b.curves, b.phones, b.mask, b.paired, *self.scales, t.losses)
        total = torch.stack(list(losses.values())).sum()
        return total, {**losses, "loss": total}

    def validate(self) -> dict[str, float]:
        return validate(self.network, [c for c in self.clips if c.split == "val"], self.runtime.device)

    def finish(self) -> dict[str, float]:
        allowed = {"seal": self.schedule.false_closures, "bite": self.schedule.false_contacts}
        shifts = {f"{g}_shift": settle_gate(self.network, self.clips, s, g) for g, s in allowed.items() if s}
        return {**shifts, **self.validate()} if shifts else {}

    def save(self, out: Path) -> None:
        Driver(self.network).save(out)
        self.network.train()


def _begin_paired(network: DriverNetwork, pairs: Sequence[np.ndarray]) -> None:
    # Initialise an untrained head of recorded pairs at their mean, with small weights that spare the backbone.
    if not network.paired.bias.any():
        torch.nn.init.normal_(network.paired.weight, std=0.01)
        network.paired.bias.data.copy_(torch.from_numpy(np.concatenate(pairs).astype(np.float32).mean(0)))


def _optimizer(network: DriverNetwork, t: DriverTraining) -> torch.optim.AdamW:
    # Over the parameters of `t.only`; all others are frozen.
    for name, p in network.named_parameters():
        p.requires_grad_(name.startswith(ONLY[t.only]))
    trained = [p for p in network.parameters() if p.requires_grad]
    head = {id(p) for p in network.paired.parameters()} if t.paired_rate != 1 else set()
    rates = (1.0, [p for p in trained if id(p) not in head]), (t.paired_rate, [p for p in trained if id(p) in head])
    groups = [{"params": parameters, "times": times} for times, parameters in rates if parameters]
    return torch.optim.AdamW(groups, lr=t.lr, betas=(0.9, 0.98), weight_decay=t.weight_decay, fused=True)


def train(
    recipe: DriverRecipe, clips: Sequence[SpeechClip], directed: Sequence[ExpressionClip], out: Path, runtime: Runtime,
    start: Driver | None = None, until: int | None = None, where: str = "configuration",
) -> Driver:  # fmt: skip
    """Run or resume training in folder `out` (checkpoint.pt, log.jsonl, losses.png, and the finished driver).

    Args:
        clips: of all caches, both splits.
        directed: for the text branches, may be empty.
        start: a driver to begin from, in its own shape and what `DriverNetwork.grow` adds.
        until: stop here with a checkpoint; the schedule stays that of all steps.
        where: the configuration's name, for messages.

    Raises:
        UserError: values that do not go together, no training clips, a damaged checkpoint.
    """
    stage = DriverStage(recipe, clips, directed, runtime, start, where)
    run(stage, out, runtime, until)
    return Driver(stage.network.to("cpu"))


def expression_data_stage(args: argparse.Namespace) -> None:
    """Expression clips with their words, for the text branches: facial instructions and random actions."""

    Runtime.start(args.threads, "cpu")
    folder = Path(args.texts)
    clips = [*corpus_clips(folder / "train.jsonl", "train"), *corpus_clips(folder / "val.jsonl", "val", 100_000)]
    for generate, seed in ((drawn_clips, 1), (composed_clips, 3), (counted_clips, 5), (felt_clips, 7)):
        clips += [*generate(args.count, seed, "train"), *generate(args.count // 20 + 1, seed + 1, "val")]
    expressions.save(clips, args.output)
    print(f"{args.output}: {len(clips)} clips, {sum(len(c.curves) for c in clips) / 1800:.1f} minutes")
