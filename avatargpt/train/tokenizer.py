"""The tokenizer and codes stages of `scripts/train.py`: a `MotionTokenizer` trained on windows of features."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from avatargpt.config import Schedule
from avatargpt.train.data.windows import FeatureFile, Windows
from avatargpt.train.loop import run
from avatargpt.train.objectives import objective
from avatargpt.train.runtime import Runtime
from avatargpt.train.stage import Metrics, Stage, StepContext
from instruct_data.clip import Clip
from instruct_data.mixture import clip_class
from instruct_data.store import ClipCodes, Store
from vqvae import modalities
from vqvae.errors import UserError
from vqvae.networks import TokenizerConfig, begin_direct
from vqvae.strict import Flag, PositiveInt, Rate, Share, Strict, Weights
from vqvae.tokenizer import MotionTokenizer

COMPONENTS = 4000  # windows of eight tokens that principal components are computed from


class TokenizerTraining(Schedule):
    """Training of a tokenizer.

    Attributes:
        batch: windows per step. window: frames.
        balance: sampling weight of a class ~ frames^-balance.
        speed: extra weight of clips with fast limbs, 0 = none.
        level_dropout: share of steps that decode from a random number of levels.
        decoder_only: freeze encoder and codebooks (a second stage; the fingerprint stays).
        losses: weights of the modality's losses (`LossWeights` of `vqvae.losses`, of faces and gestures beside it).
    """

    window: PositiveInt = 64
    lr: Rate = 4e-4
    clip: Rate = 5.0
    balance: Share = 0.5
    speed: Share = 0.5
    level_dropout: Share = 0.2
    decoder_only: Flag = False
    log_every: PositiveInt = 50
    save_every: PositiveInt = 500
    val_every: PositiveInt = 1000
    losses: Weights = {}


class TokenizerRecipe(Strict):
    """A configuration of the tokenizer stage."""

    model: TokenizerConfig = TokenizerConfig()
    train: TokenizerTraining = TokenizerTraining()


def fit_normaliser(model: MotionTokenizer, windows: Windows) -> None:
    """Mean and std per channel over the training frames; a channel's std is at least a tenth of its group's mean.
    A direct path begins as the principal components of such frames.
    """
    mean, std = windows.statistics()
    for group in model.spec.slices().values():
        # A channel that hardly moves must not be blown up to the size of the others.
        std[group] = np.maximum(std[group], 0.1 * std[group].mean())
    model.mean.copy_(torch.from_numpy(mean))
    model.std.copy_(torch.from_numpy(np.maximum(std, 1e-5)))
    if model.config.direct:
        step = model.downsample
        drawn = windows.batch(COMPONENTS, 8 * step, [0, 8], 0.5, 0.0).reshape(-1, step, model.spec.dim)
        frames = (torch.from_numpy(drawn).to(model.mean.device) - model.mean) / model.std
        begin_direct(model.encoder, model.decoder, frames)


class TokenizerStage(Stage):
    """A tokenizer in training."""

    recipe: TokenizerRecipe
    schedule: TokenizerTraining

    def __init__(
        self, recipe: TokenizerRecipe, windows: Windows, val: Windows, runtime: Runtime, start: Path | None, where: str
    ) -> None:
        self.recipe, self.schedule, self.windows, self.val, self.runtime = recipe, recipe.train, windows, val, runtime
        t = self.schedule
        self.rows = runtime.share(t.batch, f"{where}: train")
        if t.decoder_only and start is None:
            raise UserError(f"{where}: train: decoder_only trains a decoder for given codes; give --start FOLDER")
        # Replacement of dead codes draws random rows, other ones on each process.
        torch.manual_seed(t.seed + runtime.rank)
        if start is not None:
            model = MotionTokenizer.load(start, runtime.device, trainable=True)
        else:
            model = MotionTokenizer(recipe.model).to(runtime.device)
        if model.spec.dim != (width := windows.clips.width):
            raise UserError(f"{where}: {model.config.modality}: {model.spec.dim} channels, but the store has {width}")
        if start is None:
            fit_normaliser(model, windows)
        self.objective = objective(model.config.modality, t.losses, f"{where}: train", model.downsample)
        if t.window % model.downsample:
            raise UserError(f"{where}: train: window: {t.window}; accepted: whole tokens of {model.downsample} frames")
        if t.decoder_only:
            model.encoder.requires_grad_(False)
        self.network = self.module = self.model = model
        self.identity = {"shape": model.config.model_dump()}
        trained = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            trained, lr=t.lr, betas=(0.9, 0.98), weight_decay=t.weight_decay, fused=True
        )  # fmt: skip
        self.drop = np.random.default_rng([t.seed, 7]).random(t.steps) < t.level_dropout  # the same when resumed

    def losses(self, module: Any, context: StepContext) -> tuple[torch.Tensor, Metrics]:
        t, model = self.schedule, self.model
        if t.decoder_only:
            # In evaluation mode the codebooks are not updated by the moving mean.
            model.vq.eval()
        batch = self.windows.batch(self.rows, t.window, context.row_seed, t.balance, t.speed)
        x = (torch.from_numpy(batch).to(self.runtime.device) - model.mean) / model.std
        # Decoding from fewer levels makes the first ones carry most of the motion.
        model.vq.quantize_dropout = bool(self.drop[context.step]) and not t.decoder_only
        with self.runtime.autocast():
            predicted, _, commit = module(x)
        losses, logged = self.objective.losses(predicted.float(), x, model.mean, model.std)
        if not t.decoder_only:
            losses["commit"] = commit
        return torch.stack(list(losses.values())).sum(), {**losses, **logged}

    def stepped(self, step: int) -> None:
        if step == self.schedule.steps and not self.schedule.decoder_only:
            self.model.round_codebooks()

    def validate(self) -> dict[str, float]:
        self.model.vq.quantize_dropout = False
        figures = self.objective.validate(self.model.eval(), list(self.val.clips), self.val.rare)
        self.model.train()
        return figures

    def save(self, out: Path) -> None:
        self.model.save(out)


# Sources of held-out clips that are reported separately.
RARE: dict[str, Callable[[str], bool]] = {
    "body": lambda source: not source.startswith("bandai"), "face": lambda source: source.startswith("livelink"),
}  # fmt: skip


def feature_windows(store: Store, split: str, folder: Path) -> Windows:
    """Features of a store's single clips (composed ones add nothing to a tokenizer), in a file in `folder`."""
    spec, is_rare = modalities.get(store.modality).features(), RARE.get(store.modality, lambda source: False)
    clips, labels, rare = FeatureFile(folder), [], []
    for clip in store.clips(split):
        # A composed clip repeats frames of single ones.
        if clip.source == "composed":
            continue
        clips.add(spec.encode(clip.load()))
        labels.append(clip_class(clip))
        rare.append(is_rare(clip.source))
    if split == "train" and not clips:
        raise UserError(f"{store.path}: no single training clips in it")
    groups = spec.slices()
    hold = [groups[k] for k in ("velocity", "yaw", "joint_velocity") if k in groups]
    return Windows(clips, labels, np.array(rare), hold)


def tokenizer_stage(recipe: TokenizerRecipe, args: SimpleNamespace) -> None:
    """Train a motion tokenizer."""
    runtime = Runtime.start(args.threads, args.device)
    store = Store.open(args.store)
    start = Path(args.start) if args.start else None
    out = Path(args.output)
    windows, val = feature_windows(store, "train", out), feature_windows(store, "val", out)
    run(TokenizerStage(recipe, windows, val, runtime, start, str(args.config)), out, runtime, args.until)


def tokenised(clips: Iterable[Clip], tokenizer: MotionTokenizer) -> Iterator[ClipCodes]:
    """Clips as codes; one whose name ends in ``_m`` is a mirror image."""
    for clip in clips:
        motion = clip.load()
        yield ClipCodes(
            clip.id, tokenizer.encode(motion), clip.captions, clip.split, clip.source, clip.licence, clip.action,
            clip.style, len(motion), motion.fps, clip.id.endswith("_m"), tokenizer.config.modality, clip.extra,
        )  # fmt: skip


def codes_stage(args: SimpleNamespace) -> None:
    """Motion store -> tokenised cache: all that the language stage reads."""
    runtime = Runtime.start(args.threads, args.device)
    tokenizer = MotionTokenizer.load(args.tokenizer, runtime.device)
    store = Store.write_codes(tokenised(Store.open(args.store).clips(), tokenizer), args.output, tokenizer.fingerprint)
    print(f"{args.output}: {len(store)} clips as codes of tokenizer {tokenizer.fingerprint[:12]}")
