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

from avatargpt.config import Schedule, save_resolved
from avatargpt.lm.scorer import ScorerNetwork, TextMotionScorer
from avatargpt.train.data.corpus import read_codes
from avatargpt.train.data.judged_answers import Judged, judged_answers, judged_loss, picked
from avatargpt.train.loop import run
from avatargpt.train.runtime import Runtime
from avatargpt.train.stage import Metrics, StageBase, StepContext
from instruct_data.mixture import clip_class
from instruct_data.store import ClipCodes
from vqvae.errors import UserError
from vqvae.strict import Dropout, Limit, NonNegativeInt, PositiveInt, Rate, Share, Strict

ALIKE = 0.97  # cosine of two sentences that say the same


class ScorerTraining(Schedule):
    """How the scorer is trained.

    Attributes:
        families, each: half of a batch are that many classes with so many clips each, told apart by their details.
        balance: 1 = classes equally likely, 0 = clips.
        noise: standard deviation added to the numbers of a motion, in theirs.
        judged: pairs of a passing and a failing answer to one caption in every step, where there is self-training.
        judged_weight: of their loss.
        held: every so manieth caption of self-training only validates; 0 = none.
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
    """Clips as numbers, with the sentences that are true of them.

    Attributes:
        signatures: (n, 437). captions: rows of `vectors` of each clip. classes: (n,) numbers. recorded: (n,) whether a
            clip was recorded: its captions are some of those that are true of its class. vectors: (m, 384).
    """

    signatures: np.ndarray
    captions: list[list[int]]
    classes: np.ndarray
    recorded: np.ndarray
    vectors: np.ndarray


def pairs_of(clips: Sequence[ClipCodes], tokenizer: Any, grounder: Any) -> Pairs:
    """Clips decoded from their codes (as the generator's are), joined ones left out."""
    from avatargpt.kinematics.measures import SIZE, motion_signature

    kept = [c for c in clips if c.source != "composed" and c.captions]
    if not kept:
        return Pairs(np.zeros((0, SIZE), np.float32), [], np.zeros(0, int), np.zeros(0, bool),
                     np.zeros((0, 384), np.float32))  # fmt: skip
    numbers: dict[str, int] = {}
    texts: dict[str, int] = {}
    signatures = np.stack([motion_signature(tokenizer.decode(c.codes).joints, c.fps) for c in kept])
    captions = [[texts.setdefault(t, len(texts)) for t in dict.fromkeys(c.captions)] for c in kept]
    names = [f"{clip_class(c)}|{c.style}" for c in kept]
    classes = np.array([numbers.setdefault(n, len(numbers)) for n in names])
    told = list(texts)
    vectors = grounder.sentence(told)
    recorded = np.array([c.source != "synthetic" for c in kept])
    return Pairs(signatures, captions, classes, recorded, vectors.astype(np.float32))


class PairBatches:
    """Draws rows: half at random, half from few classes, so that details are learnt too."""

    def __init__(self, pairs: Pairs, training: ScorerTraining) -> None:
        self.pairs, self.training = pairs, training
        count = Counter(pairs.classes.tolist())
        weight = np.array([count[c] ** -training.balance for c in pairs.classes])
        self.weight = weight / weight.sum()
        self.of = {c: np.flatnonzero(pairs.classes == c) for c in count}
        self.large = [c for c, n in count.items() if n >= 4]

    def draw(self, seed: Sequence[int]) -> tuple[np.ndarray, np.ndarray, torch.Tensor]:
        """Clips, one caption of each, and (B, B) which pairs are no counter-examples although they do not belong."""
        rng, t, p = np.random.default_rng(list(seed)), self.training, self.pairs
        near: list[int] = []
        for c in rng.choice(self.large, min(t.families, len(self.large)), False) if self.large else ():
            near += rng.choice(self.of[c], min(t.each, len(self.of[c])), False).tolist()
        far = rng.choice(len(self.weight), max(2, t.batch - len(near)), p=self.weight).tolist()
        rows = np.array([*near, *far])
        told = np.array([p.captions[i][int(rng.integers(len(p.captions[i])))] for i in rows])
        sets = [set(p.captions[i]) for i in rows]
        true = np.array([[word in some for word in told] for some in sets])
        same = p.classes[rows][:, None] == p.classes[rows][None]
        loose = p.recorded[rows][:, None] & p.recorded[rows][None] & same
        alike = p.vectors[told] @ p.vectors[told].T > ALIKE
        free = true | loose | alike
        np.fill_diagonal(free, False)
        return rows, told, torch.from_numpy(free)


def rank_one(network: ScorerNetwork, pairs: Pairs, among: int = 32, seed: int = 0) -> float:
    """R-precision at 1: how often a clip's own caption is nearest to it among 31 others' of other words."""
    rng = np.random.default_rng(seed)
    told = np.array([c[0] for c in pairs.captions])
    with torch.inference_mode():
        a = network.embed_motion(torch.from_numpy(pairs.signatures)).numpy()
        b = network.embed_text(torch.from_numpy(pairs.vectors)).numpy()
    hits = []
    for i in range(len(told)):
        strange = np.flatnonzero(~np.isin(told, pairs.captions[i]))
        if not len(strange):
            continue
        others = rng.choice(strange, among - 1)
        scores = a[i] @ b[np.concatenate([[told[i]], told[others]])].T
        hits.append(scores.argmax() == 0)
    return float(np.mean(hits)) if hits else float("nan")


class ScorerStage(StageBase):
    """A text-motion scorer in training: see `avatargpt.train.loop.Stage`."""

    def __init__(
        self, recipe: ScorerRecipe, pairs: Pairs, held: Pairs, runtime: Runtime, where: str, judged: Judged | None
    ) -> None:
        self.recipe, self.schedule, self.held, self.runtime = recipe, recipe.train, held, runtime
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
        self.batches = PairBatches(pairs, t)
        self.seen, self.said = (torch.from_numpy(x).to(runtime.device) for x in (pairs.signatures, pairs.vectors))
        self.judged: Judged | None = None
        self.rest: Judged | None = None
        if judged is not None:
            self.judged, self.rest = judged.split(t.held)
        self.groups = self.judged.groups() if self.judged is not None else []

    def losses(self, module: Any, context: StepContext) -> tuple[torch.Tensor, Metrics]:
        t = self.schedule
        rows, told, free = self.batches.draw([context.seed, context.step])
        a, b = module.embed_motion(self.seen[rows], t.noise), module.embed_text(self.said[told])
        logits = (a @ b.T * module.scale.exp()).masked_fill(free.to(a.device), -1e4)
        target = torch.arange(len(rows), device=a.device)
        loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
        if self.judged is not None and self.groups:
            seed, device = [context.seed, context.step, 1], self.runtime.device
            loss = loss + t.judged_weight * judged_loss(
                module, self.judged, self.groups, t.judged, t.noise, seed, device
            )  # fmt: skip
        return loss, {"loss": loss}

    def validate(self) -> dict[str, float]:
        network, found = self.finished().network, {}
        if self.rest is not None and len(self.rest.caption):
            found = picked(network, self.rest)
        return {**found, "rank_one": rank_one(network, self.held)} if self.held.captions else found

    def finished(self) -> TextMotionScorer:
        """The scorer as it stands, on the CPU."""
        return TextMotionScorer(copy.deepcopy(self.network).cpu())

    def save(self, out: Path) -> None:
        self.finished().save(out)
        save_resolved(self.recipe, out)


def scorer_stage(recipe: ScorerRecipe, args: SimpleNamespace) -> None:
    """Train (or go on training) the text-motion scorer that ranks candidates."""
    from avatargpt.lm.text_encoder import SentenceGrounder
    from vqvae.tokenizer import MotionTokenizer

    runtime = Runtime.start(args.threads, args.device)
    tokenizer = MotionTokenizer.load(args.tokenizer)
    groups = read_codes(args.codes, [tokenizer])
    grounder = SentenceGrounder()
    if args.grounding:
        grounder.load_states(args.grounding)
    splits = [pairs_of(clips, tokenizer, grounder) for clips in groups]
    judged = judged_answers(args.self_training, tokenizer, grounder) if args.self_training else None
    train(recipe, splits[0], splits[1], Path(args.output), runtime, str(args.config), judged, args.until)


def train(
    recipe: ScorerRecipe, pairs: Pairs, held: Pairs, out: Path, runtime: Runtime, where: str = "configuration",
    judged: Judged | None = None, until: int | None = None,
) -> TextMotionScorer:  # fmt: skip
    """Run or resume training in folder `out` (minutes).

    Args:
        pairs, held: of training and of validation.
        judged: answers of self-training, part of which only validates.
        until: stop here with a checkpoint; the schedule stays that of all steps.

    Raises:
        UserError: fewer than two clips, several processes, or a damaged checkpoint.
    """
    stage = ScorerStage(recipe, pairs, held, runtime, where, judged)
    run(stage, out, runtime, until)
    return stage.finished()
