"""The movements and evaluator stages of `scripts/train.py`: HumanML3D -> the evaluator of its protocol.

Source: Guo et al. 2022 (`DecompTrainerV3`, `MotionDatasetV2` and `TextMotionMatchTrainer` of their code).
"""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from avatargpt.config import Schedule
from avatargpt.lm.checkpoint import fingerprint
from avatargpt.metrics.humanml3d import DIM, TAGS, Evaluator, Vocabulary, normalised, padded, read_vocabulary
from avatargpt.metrics.humanml3d_networks import (
    POSE,
    EvaluatorShape,
    MatchingNetwork,
    MovementDecoder,
    MovementEncoder,
    drawn_crop,
)
from avatargpt.metrics.retrieval import POOL, r_precision
from avatargpt.train.loop import run
from avatargpt.train.runtime import Runtime
from avatargpt.train.stage import Metrics, Stage, StepContext
from instruct_data.sources.corpus import Report
from instruct_data.sources.humanml3d import Pair, read_pairs
from vqvae.errors import UserError
from vqvae.io.data_files import map_array
from vqvae.io.files import parsing
from vqvae.io.tensors import load_tensors, no_larger_than
from vqvae.motion import atomic_write
from vqvae.strict import PositiveInt, Rate, Strict

FILE = "movements.safetensors"
ROOT, CONTACTS = slice(0, 4), slice(POSE, DIM)  # channels whose deviation is divided by `bias`


class MovementTraining(Schedule):
    """Training of the movement encoder.

    Attributes:
        window: frames of a row, a multiple of 4. sparsity, smoothness: weights of the movements' mean size, and of the
            mean difference between neighbours. bias: divisor of the deviations of root and contacts.
    """

    steps: PositiveInt = 200_000
    batch: PositiveInt = 128
    lr: Rate = 1e-4
    lr_floor: Rate = 1e-4
    weight_decay: Rate = 0.0
    window: PositiveInt = 40
    sparsity: Rate = 1e-3
    smoothness: Rate = 1e-3
    bias: Rate = 5.0


class MovementShape(Strict):
    """`width`: channels of the convolutions. `movement`: size of a movement."""

    width: PositiveInt = 512
    movement: PositiveInt = 512


class MovementRecipe(Strict):
    """A configuration of the stage."""

    model: MovementShape = MovementShape()
    train: MovementTraining = MovementTraining()


class Movements(NamedTuple):
    """What the stage makes: the encoder, and the mean and deviation (263,) that its features are normalised by."""

    encoder: MovementEncoder
    mean: np.ndarray
    std: np.ndarray


def statistics(folder: Path, bias: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation (263,) of a HumanML3D folder, the deviations of root and contacts divided by `bias`.

    Raises:
        UserError: ``Mean.npy`` or ``Std.npy`` is missing or something else.
    """
    mean, std = (np.array(map_array(folder / f"{name}.npy"), np.float32) for name in ("Mean", "Std"))
    if mean.shape != (DIM,) or std.shape != (DIM,) or not (np.isfinite(mean).all() and (std > 0).all()):
        raise UserError(f"{folder}: Mean.npy {mean.shape}, Std.npy {std.shape}; accepted ({DIM},) both, Std above zero")
    if not bias:
        raise UserError("train: bias: 0; accepted: a number above 0")
    for channels in (ROOT, CONTACTS):
        std[channels] /= bias
    return mean, std


def window_of(pairs: Sequence[Pair], frames: int, rng: np.random.Generator) -> np.ndarray:
    """(frames, 263) of a clip, every possible window as likely as any other.

    Raises:
        ValueError: no clip is that long.
    """
    places = np.cumsum([max(len(p) - frames + 1, 0) for p in pairs])
    if not len(places) or not places[-1]:
        raise ValueError(f"no clip of {frames} frames")
    at = int(rng.integers(places[-1]))
    chosen = int(np.searchsorted(places, at, side="right"))
    return pairs[chosen].features(int(places[chosen]) - 1 - at, frames)


class MovementStage(Stage):
    """A movement auto-encoder in training, with normalisation `mean` and `std` (263,), see `statistics`."""

    recipe: MovementRecipe
    schedule: MovementTraining

    def __init__(
        self, recipe: MovementRecipe, train: Sequence[Pair], val: Sequence[Pair], mean: np.ndarray, std: np.ndarray,
        runtime: Runtime,
    ) -> None:  # fmt: skip
        self.recipe, self.schedule, self.runtime = recipe, recipe.train, runtime
        self.train, self.val, self.mean, self.std = train, val, mean, std
        torch.manual_seed(recipe.train.seed)
        shape = recipe.model
        self.encoder = MovementEncoder(shape.width, shape.movement)
        both = torch.nn.Sequential(self.encoder, MovementDecoder(shape.width, shape.movement))
        self.network = self.module = both.to(runtime.device)
        self.identity = {"shape": shape.model_dump()}
        self.optimizer = torch.optim.Adam(both.parameters(), recipe.train.lr, weight_decay=recipe.train.weight_decay)

    def _batch(self, pairs: Sequence[Pair], rng: np.random.Generator, rows: int) -> Tensor:
        t = self.schedule.window
        x = np.stack([normalised(window_of(pairs, t, rng), self.mean, self.std) for _ in range(rows)])
        return torch.from_numpy(x).to(self.runtime.device)

    def _losses(self, x: Tensor) -> Metrics:
        movements = self.network[0](x[..., :POSE])
        return {
            "rebuilt": (self.network[1](movements) - x).abs().mean(), "sparsity": movements.abs().mean(),
            "smoothness": (movements[:, 1:] - movements[:, :-1]).abs().mean(),
        }  # fmt: skip

    def losses(self, module: Any, context: StepContext) -> tuple[Tensor, Metrics]:
        rng = np.random.default_rng(context.row_seed)
        parts = self._losses(self._batch(self.train, rng, self.schedule.batch))
        s = self.schedule
        total = parts["rebuilt"] + s.sparsity * parts["sparsity"] + s.smoothness * parts["smoothness"]
        return total, {"total": total, **parts}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """The losses on held-out windows, the same at every step."""
        if not self.val:
            return {}
        self.network.eval()
        parts = self._losses(self._batch(self.val, np.random.default_rng(0), self.schedule.batch))
        self.network.train()
        return {f"val_{k}": float(v) for k, v in parts.items()}

    def save(self, out: Path) -> None:
        save_movements(Movements(self.encoder, self.mean, self.std), out)


def save_movements(movements: Movements, folder: str | os.PathLike[str]) -> Path:
    """Write ``movements.safetensors``: encoder, mean and std."""
    from safetensors.torch import save_file

    state = {f"encoder.{k}": v.detach().cpu().contiguous() for k, v in movements.encoder.state_dict().items()}
    state |= {k: torch.from_numpy(np.asarray(getattr(movements, k), np.float32)) for k in ("mean", "std")}
    return atomic_write(Path(folder) / FILE, lambda p: save_file(state, p))


def load_movements(folder: str | os.PathLike[str]) -> Movements:
    """Read the file of `save_movements`. Raises UserError where it is missing or damaged."""
    path = Path(folder) / FILE
    state = load_tensors(path, "a movement encoder")
    with parsing(path, "a movement encoder"):
        mean, std = (state.pop(k).numpy() for k in ("mean", "std"))
        state = {k.removeprefix("encoder."): v for k, v in state.items()}
        with no_larger_than(state):
            encoder = MovementEncoder(len(state["main.0.bias"]), len(state["out_net.bias"]))
        encoder.load_state_dict(state)
        return Movements(encoder, mean, std)


def movements_stage(recipe: MovementRecipe, args: SimpleNamespace) -> None:
    """Train the movement encoder. Raises UserError for a window that is no multiple of 4 or longer than every clip."""
    t = recipe.train
    if t.window % 4:
        raise UserError(f"train: window: {t.window}; accepted: a multiple of 4")
    folder = Path(args.data)
    mean, std = statistics(folder, t.bias)
    train, val = split_of(folder, "train"), split_of(folder, "val")
    if max(map(len, train)) < t.window:
        raise UserError(f"train: window: {t.window}; accepted: up to the longest clip, {max(map(len, train))}")
    runtime = Runtime.start(args.threads, args.device)
    val = [p for p in val if len(p) >= t.window]
    run(MovementStage(recipe, train, val, mean, std, runtime), Path(args.output), runtime, args.until)


def split_of(folder: Path, split: str) -> list[Pair]:
    """`read_pairs`, with its report printed."""
    report = Report()
    pairs = read_pairs(folder, split, report)
    print(f"{folder}: {split}: {report}")
    return pairs


MAX_VAL = 32 * POOL  # clips of validation
EPSILON = 1e-6  # added to differences, as in `torch.nn.functional.pairwise_distance`


class MatchingTraining(Schedule):
    """Training of the common space; `margin`: distance up to which texts are pushed away from other motions."""

    steps: PositiveInt = 196_000
    batch: PositiveInt = 32
    lr: Rate = 1e-4
    lr_floor: Rate = 1e-4
    weight_decay: Rate = 0.0
    clip: Rate = 0.5
    best: str = "val_total"
    margin: Rate = 10.0


class MatchingShape(Strict):
    """See `EvaluatorShape`; the sizes of words and movements are those of the inputs."""

    text: PositiveInt = 512
    motion: PositiveInt = 1024
    joint: PositiveInt = 512


class EvaluatorRecipe(Strict):
    """A configuration of the stage."""

    model: MatchingShape = MatchingShape()
    train: MatchingTraining = MatchingTraining()


def contrast(texts: Tensor, motions: Tensor, margin: float, shift: int) -> Metrics:
    """The published loss: d^2 to a text's motion, max(margin - d, 0)^2 to that `shift` rows on, each averaged.

    Args:
        texts, motions: (B, D), row i of a pair. shift: 0 to B - 1; 0 means the same motion.

    Returns:
        ``own``, ``other`` and their sum ``total``.
    """
    positive = torch.nn.functional.pairwise_distance(texts, motions, eps=EPSILON)
    negative = torch.nn.functional.pairwise_distance(texts, motions.roll(-shift, 0), eps=EPSILON)
    pull, push = positive.square().mean(), (margin - negative).clamp(min=0).square().mean()
    return {"total": pull + push, "own": pull, "other": push}


class EvaluatorStage(Stage):
    """An evaluator in training."""

    recipe: EvaluatorRecipe
    schedule: MatchingTraining

    def __init__(
        self, recipe: EvaluatorRecipe, train: Sequence[Pair], val: Sequence[Pair], movements: Movements,
        vocabulary: Vocabulary, runtime: Runtime,
    ) -> None:  # fmt: skip
        self.recipe, self.schedule, self.runtime = recipe, recipe.train, runtime
        self.train, self.val, self.movements, self.vocabulary = train, val[:MAX_VAL], movements, vocabulary
        torch.manual_seed(recipe.train.seed)
        encoder = movements.encoder
        shape = EvaluatorShape(
            word=vocabulary.vectors.shape[1], tags=len(TAGS), width=encoder.width,
            movement=encoder.out, **recipe.model.model_dump(),
        )  # fmt: skip
        network = MatchingNetwork(shape)
        network.movement_encoder = encoder.requires_grad_(False).eval()
        self.network = self.module = network.to(runtime.device)
        self.identity = {"shape": shape._asdict(), "movements": fingerprint(encoder)}
        trained = [p for p in network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(trained, recipe.train.lr, weight_decay=recipe.train.weight_decay)

    def _inputs(self, pairs: Sequence[Pair], rng: np.random.Generator) -> list[Tensor]:
        """Inputs of the network: a caption and a crop of each clip."""
        captions, motions = [], []
        for pair in pairs:
            captions.append(pair.captions[int(rng.integers(len(pair.captions)))].tokens)
            features = pair.features(*drawn_crop(len(pair), rng))
            motions.append(normalised(features, self.movements.mean, self.movements.std))
        words = [torch.from_numpy(x) for x in self.vocabulary.encode(captions)]
        return [x.to(self.runtime.device) for x in (*words, *padded(motions))]

    def losses(self, module: Any, context: StepContext) -> tuple[Tensor, Metrics]:
        rng = np.random.default_rng(context.row_seed)
        rows = rng.permutation(len(self.train))[: self.schedule.batch]
        texts, motions = module(*self._inputs([self.train[i] for i in rows], rng))
        # As published: a shift of 0, the own motion, is among those drawn.
        parts = contrast(texts, motions, self.schedule.margin, int(rng.integers(len(rows) - 1)))
        return parts["total"], parts

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """The loss on held-out clips beside their neighbours in a random order, and R-precision in pools of 32."""
        rng = np.random.default_rng(0)
        pairs = [self.val[i] for i in rng.permutation(len(self.val))]
        if len(pairs) < 2:
            return {}
        self.network.eval()
        both = [self.network(*self._inputs(pairs[i : i + POOL], rng)) for i in range(0, len(pairs), POOL)]
        self.network.train()
        texts, motions = (torch.cat(chunks) for chunks in zip(*both, strict=True))
        out = {f"val_{k}": float(v) for k, v in contrast(texts, motions, self.schedule.margin, 1).items()}
        full = len(pairs) // POOL * POOL
        if full:
            shares = r_precision(texts[:full].cpu().numpy(), motions[:full].cpu().numpy())
            out |= {f"val_r_precision_{k + 1}": float(share) for k, share in enumerate(shares)}
        return out

    def finished(self) -> Evaluator:
        """A copy of the present evaluator, on the CPU."""
        m = self.movements
        return Evaluator(copy.deepcopy(self.network), m.mean, m.std, self.vocabulary)

    def save(self, out: Path) -> None:
        self.finished().save(out)


def evaluator_stage(recipe: EvaluatorRecipe, args: SimpleNamespace) -> None:
    """Train the evaluator. Raises UserError for fewer than two clips in a step."""
    movements, vocabulary = load_movements(args.movements), read_vocabulary(Path(args.words))
    train, val = (split_of(Path(args.data), split) for split in ("train", "val"))
    rows = min(len(train), recipe.train.batch)
    if rows < 2:
        raise UserError(f"train: batch: {rows} clips in a step; accepted: 2 or more, to tell them from each other")
    runtime = Runtime.start(args.threads, args.device)
    stage = EvaluatorStage(recipe, train, val, movements, vocabulary, runtime)
    run(stage, Path(args.output), runtime, args.until)
