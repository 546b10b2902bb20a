"""The speech, expressions and driver stages of `scripts/train.py`: data for the driver, its losses and training."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from avatargpt.config import Schedule
from avatargpt.face.audio_model.driver import Driver, list_paired_channels
from avatargpt.face.audio_model.network import DriverConfig, DriverNetwork, DriverOutput
from avatargpt.face.audio_model.visemes import WIDTH as CURVES
from avatargpt.metrics.face import CLOSED_PRESS, CONTACT_ROLL, MOUTH, movements
from avatargpt.speech.phones import ARPABET, CLOSED, LABIODENTAL
from avatargpt.speech.phones import INDEX as INDEX_OF
from avatargpt.train.loop import run
from avatargpt.train.pack import mean_of
from avatargpt.train.runtime import Runtime
from avatargpt.train.speech_data import clips as speech_clips
from avatargpt.train.speech_data import corpus, expressions, recordings
from avatargpt.train.speech_data.batches import SpeechBatches, SpeechSampling
from avatargpt.train.speech_data.clips import SpeechData
from avatargpt.train.speech_data.corpus import SpeechClip
from avatargpt.train.speech_data.expressions import ExpressionClip
from avatargpt.train.speech_data.labels import Labeller
from avatargpt.train.speech_data.synthesizers import Espeak, Flite
from avatargpt.train.speech_data.validation import settle_gate, validate
from avatargpt.train.stage import Metrics, Stage, StepContext
from vqvae.arkit import INDEX, NAMES, expand
from vqvae.errors import UserError
from vqvae.strict import PositiveInt, Rate, Share, Strict

ACTION_UNITS = {
    "1": "browInnerUp", "2": "browOuterUp", "4": "browDown", "5": "eyeWide", "6": "cheekSquint", "7": "eyeSquint",
    "9": "noseSneer", "10": "mouthUpperUp", "12": "mouthSmile", "14": "mouthDimple", "15": "mouthFrown",
    "16": "mouthLowerDown", "17": "mouthShrugLower", "18": "mouthPucker", "19": "tongueOut", "20": "mouthStretch",
    "22": "mouthFunnel", "24": "mouthPress", "26": "jawOpen", "28": "mouthRollUpper", "29": "jawForward",
    "34": "cheekPuff", "45": "eyeBlink",
}  # fmt: skip
# Weights of frames with these phones: they are rare and their lip shapes conspicuous.
VISIBLE = {"F": 4.0, "V": 4.0, "P": 2.0, "B": 2.0, "M": 2.0} | dict.fromkeys("W UW SH ZH CH JH".split(), 1.5)
# Sounds that are taken for closures of the lips, and for contacts of lip and teeth
NASAL, FRICATIVE = ("N", "NG"), ("S", "Z", "TH", "DH", "SH")
# Channels that close the lips.
SEAL = tuple(INDEX[n] for name in ("jawOpen", "mouthClose", "mouthPress") for n in expand(name))
_MOVEMENTS = movements(np.eye(CURVES))  # (55, 3): they are a linear map
ACTIVE, SOFT = 0.2, 0.05  # intensity at which an action unit counts as active, and the width of the transition


class DriverLosses(Strict):
    """The section `train: losses` of `configs/driver/*.yaml`: weights; 0 disables a term."""

    curves: Rate = 1.0
    velocity: Rate = 2.0
    lips: Rate = 0.3
    still: Rate = 2.0
    action_units: Rate = 0.1
    phones: Rate = 0.7
    paired: Rate = 1.0
    amplitude: Rate = 0.1
    # Of recorded pairs, 1 - Lin's coefficient of jaw, rounding and press over all frames of a batch. It rewards the
    # movement's size; squared error alone prefers half a movement to all of it at a wrong moment
    concordance: Rate = 0.0
    # Factor for jaw and pressed lips in closures. An uncertain network gives half a closure, which looks like none;
    # with factor w it closes where it is at least 1 / (1 + w) certain
    shut: Rate = 1.0
    # Of the gate that closes the lips (if there is one), with missed p, b, m frames `shut` times as dear
    seal: Rate = 0.5
    # How dear it is to close the lips for another nasal, n or ng, and to bite for another fricative
    confused: Rate = 1.0
    # Of the gate that brings the lower lip to the teeth in f and v, with missed ones `teeth` times as dear
    bite: Rate = 0.5
    teeth: Rate = 25.0


def lip_gap(curves: Tensor) -> Tensor:
    """(..., 55) -> (...): the gap between the lips, negative when pressed."""
    names = ("jawOpen", "mouthClose", "mouthLowerDown", "mouthUpperUp", "mouthPress")
    jaw, close, lower, upper, press = (curves[..., [INDEX[n] for n in expand(name)]].mean(-1) for name in names)
    return jaw - close + 0.5 * (lower + upper) - 0.5 * press


def action_units(curves: Tensor) -> Tensor:
    """(..., 55) -> (..., 23) logits of active units, 0 at the threshold intensity."""
    means = [curves[..., [INDEX[n] for n in expand(name)]].mean(-1) for name in ACTION_UNITS.values()]
    return (torch.stack(means, -1) - ACTIVE) / SOFT


def emphasis(phones: Tensor) -> Tensor:
    """(B, T, 2) phones -> (B, T) weights by `VISIBLE`, the frames next to such a phone included."""
    table = torch.ones(len(ARPABET) + 1, device=phones.device)  # the last entry is for unknown phones, -1
    for name, weight in VISIBLE.items():
        table[INDEX_OF[name]] = weight
    here = table[phones].amax(-1)
    return F.max_pool1d(here[:, None], 3, 1, 1)[:, 0]


def find_closing(phones: Tensor, names: Collection[str] = CLOSED) -> Tensor:
    """(B, T, 2) phones -> (B, T) bool: a p, b or m (or one of `names`) in the frame or next to it."""
    here = torch.zeros_like(phones, dtype=torch.bool)
    for name in names:
        here |= phones == INDEX_OF[name]
    return F.max_pool1d(here.any(-1).float()[:, None], 3, 1, 1)[:, 0] > 0


def driver_losses(
    output: DriverOutput, curves: Tensor, phones: Tensor, mask: Tensor, paired: Tensor, scale: Tensor,
    paired_scale: Tensor, weights: DriverLosses,
) -> dict[str, Tensor]:  # fmt: skip
    """Weighted terms; their sum is the loss.

    Args:
        output: of the network, aligned with the curves.
        curves: (B, T, 55) targets; of recorded pairs what is NaN does not count.
        phones: (B, T, 2) indices, -1 where unknown. mask: (B, T) 1 where a frame counts.
        paired: (B,) True for rows of recorded pairs.
        scale, paired_scale: (55,) 1 / spread of each channel; 0 for channels that pairs do not hold.
    """
    out: dict[str, Tensor] = {}
    known = ~curves.isnan()
    curves = curves.nan_to_num()
    taught = mask * (~paired)[:, None]
    total = taught.sum().clamp(min=1)
    share = 1 / 14  # about as many channels move when speaking
    heavy = taught * emphasis(phones)
    heavy_total = heavy.sum().clamp(min=1)

    error = (output.curves.float() - curves) * scale
    press = curves[..., INDEX["mouthPressLeft"]]
    counted = error**2
    if weights.shut != 1:
        factor = torch.where(press > CLOSED_PRESS, weights.shut, 1.0)[..., None].to(error)
        seal = torch.zeros(error.shape[-1], dtype=torch.bool, device=error.device)
        seal[list(SEAL)] = True
        counted = torch.where(seal, counted * factor, counted)
    out["curves"] = weights.curves * (counted.sum(-1) * share * heavy).sum() / heavy_total
    step = (error[:, 1:] - error[:, :-1]) ** 2
    out["velocity"] = weights.velocity * (step.sum(-1) * share * heavy[:, 1:]).sum() / heavy_total
    gap = lip_gap(output.curves.float()) - lip_gap(curves)
    out["lips"] = weights.lips * ((gap / 0.15) ** 2 * (1 + 5 * (press > CLOSED_PRESS)) * taught).sum() / total
    mouth = list(MOUTH)
    quiet = (curves[..., mouth].amax(-1) < 0.005) * taught
    loud = output.curves.float()[..., mouth].abs().amax(-1)
    out["still"] = weights.still * (loud * quiet).sum() / total
    logits, active = (action_units(c) for c in (output.curves.float(), curves))
    binary = F.binary_cross_entropy_with_logits(logits, torch.sigmoid(active), reduction="none").sum(-1)
    out["action_units"] = weights.action_units * (binary * taught).sum() / total
    shut, rolled = press > CLOSED_PRESS, curves[..., INDEX["mouthRollLower"]] > CONTACT_ROLL
    gates = {
        "seal": (output.seal, find_closing(phones) & shut, weights.seal, weights.shut, NASAL),
        "bite": (output.bite, find_closing(phones, LABIODENTAL) & rolled & ~shut, weights.bite, weights.teeth,
                 FRICATIVE),
    }  # fmt: skip
    for name, (gate, active_frames, weight, miss_cost, alike) in gates.items():
        if gate is not None:
            target = active_frames.to(error)
            binary = F.binary_cross_entropy_with_logits(gate.float(), target, reduction="none")
            dear = torch.where(find_closing(phones, alike) & ~active_frames, weights.confused, 1.0)
            out[name] = weight * (binary * (dear + (miss_cost - 1) * target) * taught).sum() / total
    has_phone = (phones >= 0) * taught[..., None]
    cross = F.cross_entropy(output.phones.float().flatten(0, 2), phones.clamp(min=0).flatten(), reduction="none")
    out["phones"] = weights.phones * (cross * has_phone.flatten()).sum() / has_phone.sum().clamp(min=1)

    real = mask * paired[:, None]
    if paired.any():
        total = real.sum().clamp(min=1)
        channels = (paired_scale > 0).sum().clamp(min=1)
        error = (output.paired.float() - curves) * paired_scale * known
        step = error[:, 1:] - error[:, :-1]
        both = (error**2).sum(-1)[:, 1:] + weights.velocity * (step**2).sum(-1)
        out["paired"] = weights.paired * (both * real[:, 1:]).sum() / total / channels
        measured = paired_scale * known[paired]
        rows = output.paired.float()[paired] * measured, curves[paired] * measured
        spread = (rows[0].std(1) - rows[1].std(1)) ** 2
        out["amplitude"] = weights.amplitude * spread.sum(-1).mean() / channels
        if weights.concordance:
            counted, table = real > 0, torch.from_numpy(_MOVEMENTS).to(curves)
            far = 1 - concordance(output.paired.float()[counted] @ table, curves[counted] @ table)
            out["concordance"] = weights.concordance * far.mean()
    return out


def concordance(a: Tensor, b: Tensor) -> Tensor:
    """Columns of (N, K) and (N, K) -> (K,) Lin's concordance correlation coefficients (Biometrics 45, 1989, eq. 1)."""
    distance = (a.mean(0) - b.mean(0)) ** 2
    both = ((a - a.mean(0)) * (b - b.mean(0))).mean(0)
    return 2 * both / (a.var(0, correction=0) + b.var(0, correction=0) + distance + 1e-6)


def channel_scale(spread: Tensor, only: tuple[int, ...] | None = None) -> Tensor:
    """(55,) 1 / (standard deviation + 0.05), heads in radians with 0.02; 0 outside `only`."""
    floor = torch.full_like(spread, 0.05)
    floor[len(NAMES) :] = 0.02
    scale = 1 / (spread + floor)
    if only is not None:
        keep = torch.zeros_like(scale)
        keep[list(only)] = 1
        scale = scale * keep
    return scale


class DriverTraining(Schedule):
    """The section `train` of `configs/driver/*.yaml`."""

    steps: PositiveInt = 6000
    batch: PositiveInt = 24  # windows per step, over all processes
    window: PositiveInt = 160  # frames
    lr: Rate = 1.5e-3
    lr_floor: Rate = 3e-5
    clip: Rate = 5.0
    paired_rate: Rate = 1.0  # factor for the learning rate of the head of recorded pairs
    # Share of vowels that the finished gate may close falsely; 0 = the gate is not calibrated
    false_closures: Share = 0.0
    false_contacts: Share = 0.0  # the same for the gate of f and v
    settled_on: str = ""  # source of the validation clips that decide; "" = synthetic voices
    val_every: PositiveInt = 1000
    losses: DriverLosses = DriverLosses()
    sampling: SpeechSampling = SpeechSampling()


class DriverRecipe(Strict):
    """A configuration of the speech and the driver stage."""

    data: SpeechData = SpeechData()
    model: DriverConfig = DriverConfig()
    train: DriverTraining = DriverTraining()


def speech_data_stage(recipe: DriverRecipe, args: argparse.Namespace) -> None:
    """Synthetic speech with rule-based curves and recorded pairs; with --spoken recorded speech, too."""
    options = recipe.data
    Runtime.start(args.threads, "cpu")
    faces = Path(args.faces)
    if not faces.is_dir():
        raise UserError(f"{faces}: no such folder; one with ljspeech_sample, facegood, aligned_speech_misc is needed")
    further = [Path(p) for p in args.spoken.split(",")] if args.spoken else []
    if missing := [str(p) for p in further if not p.is_dir()]:
        raise UserError(f"--spoken: {missing[0]}: no such folder")
    if options.flite:
        Flite()  # before hours of work: it fails at once where it is not installed, and so does pocketsphinx
    clips = list(_label_clips(faces, further, options)) if further else []
    clips += _synthetic(faces, args.texts, options)
    corpus.save(clips, args.output)
    minutes = sum(len(c) for c in clips) / 1800
    print(f"{args.output}: {len(clips)} clips, {minutes:.1f} minutes")


def _synthetic(faces: Path, text_folder: str | None, options: SpeechData) -> Iterator[SpeechClip]:
    lines = speech_clips.own_texts(Path(text_folder) if text_folder else None)
    table = faces / "ljspeech_sample" / "lj_phones_text_all.txt.gz"
    if table.is_file():
        # The first 32 lines are those of the recorded sentences.
        lines += speech_clips.line_texts(table)[32:]
    training, validation = speech_clips.split_texts(lines)
    rng = np.random.default_rng([options.seed, 4])
    texts = speech_clips.utterances(training, rng, max(1, options.clips))
    validation_texts = speech_clips.utterances(validation, rng, max(1, options.held_out))
    yield from speech_clips.synthetic_clips(texts, validation_texts, options, Espeak())
    if options.flite:
        texts = speech_clips.utterances(training, np.random.default_rng([options.seed, 8]), options.flite)
        yield from speech_clips.flite_clips(texts, options, Flite())
    if (faces / "facegood").is_dir():
        yield from recordings.load_paired_clips(faces / "facegood", options.copies, options.seed)


def _label_clips(faces: Path, further: list[Path], options: SpeechData) -> Iterator[SpeechClip]:
    pronounce, labeller = Espeak().pronounce, Labeller()
    folders = [p for name in ("mfa", "speechbrain") if (p := faces / "aligned_speech_misc" / name).is_dir()]
    lj = faces / "ljspeech_sample"
    sentences: Iterator[recordings.Sentence] = chain(
        recordings.lj_sentences(lj) if lj.is_dir() else (),
        *(recordings.load_transcribed(p, pronounce) for p in folders),
    )
    yield from speech_clips.label_sentences(sentences, labeller, options.copies, options.seed, options.coded)
    for folder in further:
        sentences = speech_clips.sentences_of(folder, pronounce)
        copies = options.further_copies
        yield from speech_clips.label_sentences(sentences, labeller, copies, options.seed, options.coded)
    print(f"left out: {labeller.left_out or 'none'}")


def driver_stage(recipe: DriverRecipe, args: argparse.Namespace) -> None:
    """Train (or go on training) the speech driver."""
    runtime = Runtime.start(args.threads, args.device)
    clips = [c for folder in str(args.speech).split(",") for c in corpus.load(folder)]
    directed = expressions.load(args.expressions) if getattr(args, "expressions", None) else []
    start = mean_of(args.start, Driver.load) if args.start else None
    stage = DriverStage(recipe, clips, directed, runtime, start, str(args.config))
    run(stage, Path(args.output), runtime, args.until)


class DriverStage(Stage):
    """A driver in training.

    Args:
        clips: of both splits. directed: for the text branches, may be empty.
        start: a driver to begin from, in its own shape and what `DriverNetwork.grow` adds. where: for messages.
    """

    user = Driver

    def __init__(
        self, recipe: DriverRecipe, clips: Sequence[SpeechClip], directed: Sequence[ExpressionClip], runtime: Runtime,
        start: Driver | None = None, where: str = "configuration",
    ) -> None:  # fmt: skip
        self.recipe, self.schedule, self.clips, self.runtime = recipe, recipe.train, clips, runtime
        t = self.schedule
        self.rows = runtime.share(t.batch, f"{where}: train")
        training = [c for c in clips if c.split == "train"]
        if not training:
            raise UserError(f"{where}: no training clips in the cache")
        directed = [c for c in directed if c.split == "train"]
        grounder = None
        if directed:
            from avatargpt.lm.text_encoder import SentenceGrounder

            grounder = SentenceGrounder(device=runtime.device)
        self.batches = SpeechBatches(training, directed, grounder, t.sampling, runtime.device)
        mean, std, spread, of_pairs = (torch.from_numpy(a).to(runtime.device) for a in self.batches.statistics())
        torch.manual_seed(t.seed)
        if start is None:
            network = DriverNetwork(recipe.model)
            network.mean.copy_(mean)
            network.std.copy_(std)
        else:
            network = start.network
            network.grow(recipe.model)
        learnt = list_paired_channels(network.config.own)
        self.scales = channel_scale(spread.float()), channel_scale(of_pairs.float(), learnt)
        pairs = [c.curves for c in training if c.kind == "paired"]
        if pairs and t.sampling.paired and not network.paired.bias.any():
            # An untrained head of recorded pairs begins at their mean, with small weights that spare the backbone.
            torch.nn.init.normal_(network.paired.weight, std=0.01)
            network.paired.bias.data.copy_(torch.from_numpy(np.concatenate(pairs).astype(np.float32).mean(0)))
        self.network = self.module = network.to(runtime.device)
        self.identity = {"shape": network.config.model_dump()}
        head = {id(p) for p in network.paired.parameters()} if t.paired_rate != 1 else set()
        parts = ([p for p in network.parameters() if (id(p) in head) is mine] for mine in (False, True))
        rates = zip(parts, (1.0, t.paired_rate), strict=True)
        groups = [{"params": parameters, "times": times} for parameters, times in rates if parameters]
        self.optimizer = torch.optim.AdamW(groups, t.lr, (0.9, 0.98), weight_decay=t.weight_decay, fused=True)

    def losses(self, module: Any, context: StepContext) -> tuple[torch.Tensor, Metrics]:
        t = self.schedule
        b = self.batches.draw(self.rows, t.window, self.network.config.look_ahead, context.row_seed)
        with self.runtime.autocast():
            output = module(b.features, b.style, b.text, b.told)
        losses = driver_losses(output, b.curves, b.phones, b.mask, b.paired, *self.scales, t.losses)
        total = torch.stack(list(losses.values())).sum()
        return total, {**losses, "loss": total}

    def validate(self) -> dict[str, float]:
        return validate(self.network, [c for c in self.clips if c.split == "val"], self.runtime.device)

    def finish(self) -> dict[str, float]:
        allowed = {"seal": self.schedule.false_closures, "bite": self.schedule.false_contacts}
        source = self.schedule.settled_on
        shifts = {f"{g}_shift": settle_gate(self.network, self.clips, s, g, source) for g, s in allowed.items() if s}
        return {**shifts, **self.validate()} if shifts else {}


def expression_data_stage(args: argparse.Namespace) -> None:
    """Expression clips with their words, for the text branches: facial instructions and random actions."""
    Runtime.start(args.threads, "cpu")
    clips = expressions.all_clips(Path(args.texts), args.count)
    expressions.save(clips, args.output)
    print(f"{args.output}: {len(clips)} clips, {sum(len(c.curves) for c in clips) / 1800:.1f} minutes")
