"""The scorer stage of `scripts/train.py`: pairs of decoded clips and their captions -> `avatargpt.lm.scorer`."""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from avatargpt.config import Schedule
from avatargpt.kinematics.measures import SIZE, motion_signature
from avatargpt.lm.scorer import ScorerNetwork, TextMotionScorer
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.train.data.corpus import read_codes
from avatargpt.train.data.judged_answers import Judged, judged_answers, judged_loss, picked
from avatargpt.train.loop import run
from avatargpt.train.runtime import Runtime
from avatargpt.train.stage import Metrics, Stage, StepContext
from instruct_data.mixture import clip_class
from instruct_data.store import ClipCodes
from vqvae.errors import UserError
from vqvae.strict import Dropout, Limit, NonNegativeInt, PositiveInt, Rate, Share, Strict
from vqvae.tokenizer import MotionTokenizer

MIN_CLASS = 4  # clips of a class that a part of a step is drawn from


class ClassDraws:
    """Draws clips and a caption of each.

    Args:
        classes: (n,) of the clips. captions: rows of sentences of each clip. batch: clips of a step.
        few: classes that share a part of the step. each: clips of one of these at most.
        balance: 1 = classes equally likely, 0 = clips.
    """

    def __init__(
        self, classes: np.ndarray, captions: Sequence[Sequence[int]], batch: int, few: int, each: int, balance: float
    ) -> None:
        self.captions, self.batch, self.few, self.each = captions, batch, few, each
        count = Counter(classes.tolist())
        weight = np.array([count[c] ** -balance for c in classes])
        self.weight = weight / weight.sum()
        self.rows = {c: np.flatnonzero(classes == c) for c in count}
        self.large = [c for c, n in count.items() if n >= MIN_CLASS]

    def draw(self, seed: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """(B,) clips and (B,) a caption of each."""
        rng = np.random.default_rng(list(seed))
        rows: list[int] = []
        # Clips of one class differ in details alone (count, side, manner), which a contrast with other classes would
        # not teach.
        for c in rng.choice(self.large, min(self.few, len(self.large)), False) if self.large else ():
            rows += rng.choice(self.rows[c], min(self.each, len(self.rows[c])), False).tolist()
        rows += rng.choice(len(self.weight), max(2, self.batch - len(rows)), p=self.weight).tolist()
        captions = [self.captions[i][int(rng.integers(len(self.captions[i])))] for i in rows]
        return np.array(rows), np.array(captions)


PARAPHRASE = 0.97  # cosine of two sentences of the same meaning


class ScorerTraining(Schedule):
    """Training of the scorer.

    Attributes:
        families, each, balance: see `ClassDraws`.
        noise: standard deviation added to the numbers of a motion, in units of theirs.
        judged: pairs of a passing and a failing answer to one caption in every step, where there is self-training.
        judged_weight: of their loss.
        held: every `held`-th caption of self-training only validates.
    """

    steps: PositiveInt = 5000
    batch: PositiveInt = 384
    families: NonNegativeInt = 12
    each: PositiveInt = 16
    lr: Rate = 1.5e-3
    lr_floor: Rate = 1e-6
    warmup: NonNegativeInt = 100
    weight_decay: Rate = 0.05
    clip: Limit = math.inf
    noise: Rate = 0.15
    balance: Share = 0.5
    judged: PositiveInt = 192
    judged_weight: Rate = 1.0
    held: NonNegativeInt = 12
    seed: NonNegativeInt = 0
    log_every: PositiveInt = 100
    save_every: PositiveInt = 500
    val_every: PositiveInt = 1000


class ScorerShape(Strict):
    """The networks, see `ScorerNetwork`."""

    width: PositiveInt = 384
    dim: PositiveInt = 128
    dropout: Dropout = 0.2


class ScorerRecipe(Strict):
    """A configuration of the scorer stage."""

    model: ScorerShape = ScorerShape()
    train: ScorerTraining = ScorerTraining()


@dataclass
class Pairs:
    """Clips with captions."""

    signatures: np.ndarray  # (n, 437)
    captions: list[list[int]]  # rows of `vectors` of each clip
    classes: np.ndarray  # (n,) numbers
    recorded: np.ndarray  # (n,) whether a clip was recorded: captions of others of its class may be true of it
    vectors: np.ndarray  # (m, 384)


def pairs_of(clips: Sequence[ClipCodes], tokenizer: Any, grounder: Any) -> Pairs:
    """Clips decoded from their codes (as the generator's are), composed ones left out."""
    single = [c for c in clips if c.source != "composed" and c.captions]
    if not single:
        return Pairs(np.zeros((0, SIZE), np.float32), [], np.zeros(0, int), np.zeros(0, bool),
                     np.zeros((0, 384), np.float32))  # fmt: skip
    numbers: dict[str, int] = {}
    texts: dict[str, int] = {}
    # From codes, not from the recordings: candidates are decoded motion as well.
    signatures = np.stack([motion_signature(tokenizer.decode(c.codes).joints, c.fps) for c in single])
    captions = [[texts.setdefault(t, len(texts)) for t in dict.fromkeys(c.captions)] for c in single]
    names = [f"{clip_class(c)}|{c.style}" for c in single]
    classes = np.array([numbers.setdefault(n, len(numbers)) for n in names])
    recorded = np.array([c.source != "synthetic" for c in single])
    return Pairs(signatures, captions, classes, recorded, grounder.sentence(list(texts)).astype(np.float32))


def no_counterexamples(pairs: Pairs, rows: np.ndarray, captions: np.ndarray) -> np.ndarray:
    """(B, B) bool: captions that may be true of a clip of another row."""
    sets = [set(pairs.captions[i]) for i in rows]
    true = np.array([[caption in clip_captions for caption in captions] for clip_captions in sets])
    same = pairs.classes[rows][:, None] == pairs.classes[rows][None]
    # Captions of recordings describe their class in general, so they may be true of other recordings of it.
    possible = pairs.recorded[rows][:, None] & pairs.recorded[rows][None] & same
    paraphrased = pairs.vectors[captions] @ pairs.vectors[captions].T > PARAPHRASE
    out = true | possible | paraphrased
    np.fill_diagonal(out, False)
    return out


def rank_one(network: ScorerNetwork, pairs: Pairs, among: int = 32, seed: int = 0) -> float:
    """R-precision at 1: how often a clip's first caption is the nearest among 31 captions of other words."""
    rng = np.random.default_rng(seed)
    first = np.array([c[0] for c in pairs.captions])
    with torch.inference_mode():
        a = network.embed_motion(torch.from_numpy(pairs.signatures)).numpy()
        b = network.embed_text(torch.from_numpy(pairs.vectors)).numpy()
    hits = []
    for i in range(len(first)):
        # Captions of the clip itself would be right answers.
        strange = np.flatnonzero(~np.isin(first, pairs.captions[i]))
        if len(strange):
            foreign = rng.choice(strange, among - 1)
            scores = a[i] @ b[np.concatenate([[first[i]], first[foreign]])].T
            hits.append(scores.argmax() == 0)
    return float(np.mean(hits)) if hits else float("nan")


class ScorerStage(Stage):
    """A text-motion scorer in training."""

    recipe: ScorerRecipe
    schedule: ScorerTraining

    def __init__(
        self, recipe: ScorerRecipe, pairs: Pairs, val: Pairs, runtime: Runtime, where: str = "configuration",
        judged: Judged | None = None,
    ) -> None:  # fmt: skip
        self.recipe, self.schedule, self.pairs, self.val, self.runtime = recipe, recipe.train, pairs, val, runtime
        t, shape = recipe.train, recipe.model
        if len(pairs.captions) < 2:
            raise UserError(f"{where}: {len(pairs.captions)} clips with captions in the cache; at least two are needed")
        if runtime.world > 1:
            raise UserError(f"{where}: {runtime.world} processes; this stage compares all rows of a batch: accepted: 1")
        torch.manual_seed(t.seed)
        network = ScorerNetwork(pairs.signatures.shape[1], shape.width, shape.dim, shape.dropout)
        network.mean.copy_(torch.from_numpy(pairs.signatures.mean(0)))
        network.std.copy_(torch.from_numpy(pairs.signatures.std(0) + 1e-3))
        self.network = self.module = network.to(runtime.device)
        self.identity = {"shape": shape.model_dump()}
        self.optimizer = torch.optim.AdamW(network.parameters(), t.lr, weight_decay=t.weight_decay)
        self.draws = ClassDraws(pairs.classes, pairs.captions, t.batch, t.families, t.each, t.balance)
        tensors = (torch.from_numpy(x).to(runtime.device) for x in (pairs.signatures, pairs.vectors))
        self.signatures, self.vectors = tensors
        splits = judged.split(t.held) if judged is not None else (None, None)
        self.judged: Judged | None = splits[0]
        self.judged_val: Judged | None = splits[1]
        self.groups = self.judged.groups() if self.judged is not None else []

    def losses(self, module: Any, context: StepContext) -> tuple[torch.Tensor, Metrics]:
        t = self.schedule
        rows, captions = self.draws.draw([context.seed, context.step])
        a, b = module.embed_motion(self.signatures[rows], t.noise), module.embed_text(self.vectors[captions])
        ignored = torch.from_numpy(no_counterexamples(self.pairs, rows, captions)).to(a.device)
        logits = (a @ b.T * module.scale.exp()).masked_fill(ignored, -1e4)
        target = torch.arange(len(rows), device=a.device)
        # InfoNCE in both directions (CLIP).
        loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
        if self.judged is not None and self.groups:
            seed, device = [context.seed, context.step, 1], self.runtime.device
            loss = loss + t.judged_weight * judged_loss(
                module, self.judged, self.groups, t.judged, t.noise, seed, device
            )  # fmt: skip
        return loss, {"loss": loss}

    def validate(self) -> dict[str, float]:
        network, figures = self.finished().network, {}
        if self.judged_val is not None and len(self.judged_val.caption):
            figures = picked(network, self.judged_val)
        return {**figures, "rank_one": rank_one(network, self.val)} if self.val.captions else figures

    def finished(self) -> TextMotionScorer:
        """A copy of the present scorer, on the CPU."""
        return TextMotionScorer(copy.deepcopy(self.network).cpu())

    def save(self, out: Path) -> None:
        self.finished().save(out)


def scorer_stage(recipe: ScorerRecipe, args: SimpleNamespace) -> None:
    """Train the text-motion scorer that ranks candidates."""
    runtime = Runtime.start(args.threads, args.device)
    tokenizer = MotionTokenizer.load(args.tokenizer)
    groups = read_codes(args.codes, [tokenizer])
    grounder = SentenceGrounder()
    if args.grounding:
        grounder.load_states(args.grounding)
    pairs, val = (pairs_of(clips, tokenizer, grounder) for clips in groups)
    judged = judged_answers(args.self_training, tokenizer, grounder) if args.self_training else None
    stage = ScorerStage(recipe, pairs, val, runtime, str(args.config), judged)
    run(stage, Path(args.output), runtime, args.until)
