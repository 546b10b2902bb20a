"""The speech stages of `scripts/train.py`: data for the driver, and its training."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from avatargpt.train.checkpoints import go_on, load_checkpoint, save_checkpoint
from avatargpt.train.log import Log
from avatargpt.train.runtime import Runtime, check_keys, cosine, descend, from_mapping, load_yaml
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.face.audio_model.driver import Driver
    from avatargpt.train.speech_data.corpus import SpeechClip
    from avatargpt.train.speech_data.synthetic import SpeechData

SECTIONS = ("data", "model", "train")
FRESH = ("nothing", "text")
"""What of the driver that training begins from is begun anew: nothing, or the text branches."""
ONLY = {"everything": ("",), "text": ("emotion.", "motion.", "motion_norm."), "feelings": ("emotion.",)}
"""What is trained -> beginnings of its parameters' names. Where only the text branches are, or the one for feelings,
lips that nobody instructs stay as they were to the bit."""


@dataclass
class DriverTraining:
    """What `configs/driver/*.yaml` may set under `train`."""

    steps: int = 6000
    batch: int = 24  # windows per step, over all processes
    window: int = 160  # frames
    lr: float = 1.5e-3
    lr_floor: float = 3e-5
    warmup: int = 100
    weight_decay: float = 0.01
    seed: int = 0
    fresh: str = "nothing"  # one of FRESH
    only: str = "everything"  # one of ONLY
    paired_rate: float = 1.0  # times the rate at which the head of recorded pairs learns: what begins anew may hurry
    false_closures: float = 0.0  # share of vowels that the finished gate may close by mistake; 0 = as it was learnt
    false_contacts: float = 0.0  # the same for the gate of f and v
    log_every: int = 25
    save_every: int = 250
    val_every: int = 1000
    losses: dict[str, float] = field(default_factory=dict)
    sampling: dict[str, Any] = field(default_factory=dict)


def speech_data_stage(args: argparse.Namespace) -> None:
    """Synthetic speech with taught curves and recorded pairs; with --driver, real speech labelled by its phone head."""
    from avatargpt.train.speech_data import corpus
    from avatargpt.train.speech_data.synthetic import SpeechData

    Runtime.start(args.threads, "cpu")
    config = check_keys(load_yaml(args.config), SECTIONS, str(args.config))
    options = from_mapping(SpeechData, config.get("data"), f"{args.config}: data")
    faces = Path(args.faces)
    if not faces.is_dir():
        raise UserError(f"{faces}: no such folder; one with ljspeech_sample, facegood, aligned_speech_misc is needed")
    if args.spoken and not args.driver:
        raise UserError("--spoken: recordings are labelled by a driver; accepted with --driver")
    if args.driver:
        from avatargpt.face.audio_model.driver import Driver

        further = [Path(p) for p in args.spoken.split(",")] if args.spoken else []
        if missing := [str(p) for p in further if not p.is_dir()]:
            raise UserError(f"--spoken: {missing[0]}: no such folder")
        clips = _labelled(faces, further, Driver.load(args.driver), options)
    else:
        clips = _built(faces, args.texts, options)
    found = list(clips)
    corpus.save(found, args.output)
    minutes = sum(len(c) for c in found) / 1800
    print(f"{args.output}: {len(found)} clips, {minutes:.1f} minutes")


def _built(faces: Path, texts: str | None, options: SpeechData) -> Iterator[SpeechClip]:
    from avatargpt.train.speech_data.espeak import Espeak
    from avatargpt.train.speech_data.pairs import paired_clips
    from avatargpt.train.speech_data.sentences import line_texts, own_texts, parted, utterances
    from avatargpt.train.speech_data.synthetic import flite_clips, synthetic_clips

    lines = own_texts(Path(texts) if texts else None)
    table = faces / "ljspeech_sample" / "lj_phones_text_all.txt.gz"
    if table.is_file():
        lines += line_texts(table)[32:]  # the first 32 are the sample's own sentences
    learnt, kept = parted(lines)
    rng = np.random.default_rng([options.seed, 4])
    said, asked = utterances(learnt, rng, max(1, options.clips)), utterances(kept, rng, max(1, options.held_out))
    yield from synthetic_clips(said, asked, options, Espeak())
    if options.flite:
        from avatargpt.train.speech_data.flite import Flite

        said = utterances(learnt, np.random.default_rng([options.seed, 8]), options.flite)
        yield from flite_clips(said, options, Flite())
    if (faces / "facegood").is_dir():
        yield from paired_clips(faces / "facegood", options.copies, options.seed)


def _labelled(faces: Path, further: list[Path], driver: Driver, options: SpeechData) -> Iterator[SpeechClip]:
    from itertools import chain

    from avatargpt.train.speech_data.dialogue import dialogue, is_dialogue
    from avatargpt.train.speech_data.espeak import Espeak
    from avatargpt.train.speech_data.pairs import TRANSCRIBED, lj_sentences, transcribed
    from avatargpt.train.speech_data.prompts import is_prompts, prompts
    from avatargpt.train.speech_data.relabel import labelled_clips
    from avatargpt.train.speech_data.stamps import is_stamps, stamps

    pronounce = Espeak().pronounce
    folders = [p for name in ("mfa", "speechbrain") if (p := faces / "aligned_speech_misc" / name).is_dir()]
    lj = faces / "ljspeech_sample"
    spoken = chain(lj_sentences(lj) if lj.is_dir() else (), *(transcribed(p, pronounce) for p in folders))
    yield from labelled_clips(spoken, driver, options.copies, options.seed, options.coded)
    kinds = ((is_stamps, stamps), (is_prompts, prompts), (is_dialogue, dialogue))
    for folder in further:
        read = next((parser for known, parser in kinds if known(folder)), transcribed)
        said = read(folder, pronounce)
        first = next(said, None)
        if first is None:
            raise UserError(f"{folder}: no recordings with their words; accepted: {TRANSCRIBED}")
        both = chain([first], said)
        yield from labelled_clips(both, driver, options.further_copies, options.seed, options.coded)


def driver_stage(args: argparse.Namespace) -> None:
    """Train (or go on training) the speech driver."""
    from avatargpt.face.audio_model.driver import Driver
    from avatargpt.train.pack import mean_of
    from avatargpt.train.speech_data import corpus, expressions

    runtime = Runtime.start(args.threads, args.device)
    clips = [c for folder in str(args.speech).split(",") for c in corpus.load(folder)]
    directed = expressions.load(args.expressions) if getattr(args, "expressions", None) else []
    start = mean_of(args.start, Driver.load, args.shares) if args.start else None
    train(load_yaml(args.config), clips, directed, Path(args.output), runtime, start, args.until, str(args.config))


def train(
    config: dict[str, Any], clips: Sequence[SpeechClip], directed: Sequence[Any], out: Path, runtime: Runtime,
    start: Driver | None = None, until: int | None = None, where: str = "configuration",
) -> Driver:  # fmt: skip
    """Run or resume training in folder `out` (checkpoint.pt, log.jsonl, losses.png, and the finished driver).

    Args:
        config: ``{"model": DriverConfig fields, "train": DriverTraining fields, "data": ...}``.
        clips: of all caches, both splits.
        directed: `ExpressionClip`s for the text branches, may be empty.
        start: a driver to begin from; its own shape is kept, but for the gates of text branches that begin anew and
            what `DriverNetwork.grow` adds.
        until: stop here with a checkpoint; the schedule stays that of all steps.

    Raises:
        UserError: unknown keys or values in `config`, no training clips, a damaged checkpoint.
    """
    from avatargpt.face.audio_model.driver import Driver
    from avatargpt.face.audio_model.network import DriverConfig, DriverNetwork
    from avatargpt.face.audio_model.speaking import PAIRED
    from avatargpt.train.plot import plot_log
    from avatargpt.train.speech_data.batches import Batches, Sampling
    from avatargpt.train.speech_data.losses import DriverLosses, channel_scale, driver_losses
    from avatargpt.train.speech_data.validation import settle_gate, validate

    check_keys(config, SECTIONS, where)
    t = from_mapping(DriverTraining, config.get("train"), f"{where}: train")
    weights = from_mapping(DriverLosses, t.losses, f"{where}: train: losses")
    sampling = from_mapping(Sampling, t.sampling, f"{where}: train: sampling")
    shape = from_mapping(DriverConfig, config.get("model"), f"{where}: model")
    if t.fresh not in FRESH:
        raise UserError(f"{where}: train: fresh: {t.fresh!r}; accepted: {', '.join(FRESH)}")
    if t.only not in ONLY:
        raise UserError(f"{where}: train: only: {t.only!r}; accepted: {', '.join(ONLY)}")
    if (t.fresh != "nothing" or t.only != "everything") and start is None:
        raise UserError(f"{where}: train: fresh, only: a driver to begin from is needed (--start)")
    rows = runtime.share(t.batch, f"{where}: train")
    training = [c for c in clips if c.split == "train"]
    if not training:
        raise UserError(f"{where}: no training clips in the cache")
    told = [c for c in directed if c.split == "train"]
    grounder = None
    if told:
        from avatargpt.model.text_encoder import SentenceGrounder

        grounder = SentenceGrounder(device=runtime.device)
    batches = Batches(training, told, grounder, sampling, runtime.device)
    mean, std, spread, paired_spread = (torch.from_numpy(a).to(runtime.device) for a in batches.statistics())
    torch.manual_seed(t.seed)
    if start is None:
        network = DriverNetwork(shape)
        network.mean.copy_(mean)
        network.std.copy_(std)
    else:
        network = start.network
        if t.fresh == "text":
            network.begin_text(shape.gates)
        network.grow(shape)
    pairs = [c.curves for c in training if c.kind == "paired"]
    if pairs and sampling.paired and not network.paired.bias.any():  # at the mean it does not push the trunk about
        torch.nn.init.normal_(network.paired.weight, std=0.01)
        network.paired.bias.data.copy_(torch.from_numpy(np.concatenate(pairs).astype(np.float32).mean(0)))
    network = network.to(runtime.device).train()
    if t.only != "everything" and (sampling.directed < 1 or not told):
        raise UserError(f"{where}: train: only: {t.only}: accepted with sampling: directed: 1 and --expressions")
    for name, p in network.named_parameters():
        p.requires_grad_(name.startswith(ONLY[t.only]))
    learnt = [p for p in network.parameters() if p.requires_grad]
    scale, paired_scale = channel_scale(spread.float()), channel_scale(paired_spread.float(), PAIRED)
    head = {id(p) for p in network.paired.parameters()} if t.paired_rate != 1 else set()
    rates = (1.0, [p for p in learnt if id(p) not in head]), (t.paired_rate, [p for p in learnt if id(p) in head])
    groups = [{"params": some, "times": times} for times, some in rates if some]
    optimizer = torch.optim.AdamW(groups, lr=t.lr, betas=(0.9, 0.98), weight_decay=t.weight_decay, fused=True)
    last = out / "checkpoint.pt"
    saved = load_checkpoint(last, runtime.device, network.config)
    step = go_on(last, saved, network, optimizer) if saved else 0
    wrapped: torch.nn.Module = network
    if runtime.world > 1:
        wrapped = torch.nn.parallel.DistributedDataParallel(network, find_unused_parameters=True)
    stop = min(t.steps, until or t.steps)
    totals: dict[str, list[float]] = {}
    log = Log(out / "log.jsonl", runtime.main, t.steps, step)
    while step < stop:
        b = batches.draw(rows, t.window, network.config.look_ahead, [t.seed, step, runtime.rank])
        with runtime.autocast():
            said = wrapped(b.features, b.style, b.text)
        losses = driver_losses(said, b.curves, b.phones, b.mask, b.paired, scale, paired_scale, weights)
        total = torch.stack(list(losses.values())).sum()
        rate = cosine(step, t.steps, t.warmup, t.lr, t.lr_floor)
        norm = descend(total, learnt, optimizer, 5.0, rate)
        step += 1
        for k, v in {**losses, "loss": total, "grad": norm}.items():
            totals.setdefault(k, []).append(float(v.detach()))
        log.advance(total)
        if step % t.log_every == 0 or step == stop:
            log(step=step, **{k: float(np.mean(v)) for k, v in totals.items()})
            totals = {}
        if runtime.main and (step % t.val_every == 0 or step == t.steps):
            log(step=step, **validate(network, [c for c in clips if c.split == "val"], runtime.device))
        if runtime.main and (step % t.save_every == 0 or step == stop):
            state = {"model": network.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
            save_checkpoint(last, state, network.config)
            Driver(network).save(out)
            network.train()
    wanted = {"seal": t.false_closures, "bite": t.false_contacts}
    shifts = {f"{g}_shift": settle_gate(network, clips, s, g) for g, s in wanted.items() if s and step == t.steps}
    if shifts:
        log(step=step, **shifts, **validate(network, [c for c in clips if c.split == "val"], runtime.device))
    log.close()
    driver = Driver(network.to("cpu"))
    if runtime.main:
        driver.save(out)
        plot_log(out)
    return driver


def expression_data_stage(args: argparse.Namespace) -> None:
    """Expression clips with their words for the text branches: the facial instructions and drawn actions."""
    from avatargpt.train.speech_data import expressions
    from avatargpt.train.speech_data.conditioned import (
        composed_clips,
        corpus_clips,
        counted_clips,
        drawn_clips,
        felt_clips,
    )

    Runtime.start(args.threads, "cpu")
    folder = Path(args.texts)
    clips = [*corpus_clips(folder / "train.jsonl", "train"), *corpus_clips(folder / "val.jsonl", "val", 100_000)]
    for made, seed in ((drawn_clips, 1), (composed_clips, 3), (counted_clips, 5), (felt_clips, 7)):
        clips += [*made(args.count, seed, "train"), *made(args.count // 20 + 1, seed + 1, "val")]
    expressions.save(clips, args.output)
    print(f"{args.output}: {len(clips)} clips, {sum(len(c.curves) for c in clips) / 1800:.1f} minutes")
