"""The matcher stage of `scripts/train.py`: pairs of decoded clips and their captions -> `avatargpt.model.scorer`."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from avatargpt.model.scorer import ScorerNetwork, TextMotionScorer
from avatargpt.train.data.judged import Judged, judged_answers, judged_loss, picked
from avatargpt.train.runtime import Log, Runtime, check_finite, check_keys, cosine, from_mapping, load_yaml
from instruct_data.mixture import clip_class
from instruct_data.store import ClipCodes
from vqvae.errors import UserError

SECTIONS = ("model", "train")
ALIKE = 0.97  # cosine of two sentences that say the same


@dataclass
class ScorerTraining:
    """What `configs/train/matcher.yaml` may set under `train`.

    Attributes:
        families, each: half of a batch are that many classes with so many clips each, told apart by their details.
        balance: 1 = classes equally likely, 0 = clips.
        noise: standard deviation added to the numbers of a motion, in theirs.
        judged: pairs of a passing and a failing answer to one caption in every step, where there is practice.
        judged_weight: of their loss.
        held: every so manieth practised caption only validates.
    """

    steps: int = 5000
    batch: int = 384
    families: int = 12
    each: int = 16
    lr: float = 1.5e-3
    lr_floor: float = 1e-6
    warmup: int = 100
    weight_decay: float = 0.05
    noise: float = 0.15
    balance: float = 0.5
    judged: int = 192
    judged_weight: float = 1.0
    held: int = 12
    seed: int = 0
    log_every: int = 100


@dataclass
class ScorerShape:
    """What `configs/train/matcher.yaml` may set under `model`, see `ScorerNetwork`."""

    width: int = 384
    dim: int = 128
    dropout: float = 0.2


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
    from avatargpt.signals.signature import SIZE, motion_signature

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
        a = network.see(torch.from_numpy(pairs.signatures)).numpy()
        b = network.hear(torch.from_numpy(pairs.vectors)).numpy()
    hits = []
    for i in range(len(told)):
        strange = np.flatnonzero(~np.isin(told, pairs.captions[i]))
        if not len(strange):
            continue
        others = rng.choice(strange, among - 1)
        scores = a[i] @ b[np.concatenate([[told[i]], told[others]])].T
        hits.append(scores.argmax() == 0)
    return float(np.mean(hits)) if hits else float("nan")


def scorer_stage(args: argparse.Namespace) -> None:
    """Train the matcher that ranks candidates."""
    from avatargpt.model.text_encoder import SentenceGrounder
    from avatargpt.train.data.codes import read_codes
    from vqvae.tokenizer import MotionTokenizer

    runtime = Runtime.start(args.threads, args.device)
    tokenizer = MotionTokenizer.load(args.tokenizer)
    groups = read_codes(args.codes, [tokenizer])
    grounder = SentenceGrounder()
    if args.grounding:
        grounder.load_states(args.grounding)
    splits = [pairs_of(clips, tokenizer, grounder) for clips in groups]
    judged = judged_answers(args.self_training, tokenizer, grounder) if args.self_training else None
    train(load_yaml(args.config), splits[0], splits[1], Path(args.output), runtime, str(args.config), judged)


def train(
    config: dict[str, Any], pairs: Pairs, held: Pairs, out: Path, runtime: Runtime, where: str = "configuration",
    judged: Judged | None = None,
) -> TextMotionScorer:
    """Train from the beginning (minutes) and write `motion_scorer.safetensors` and log.jsonl.

    Raises:
        UserError: unknown keys or values in `config`, or fewer than two clips.
    """
    check_keys(config, SECTIONS, where)
    t = from_mapping(ScorerTraining, config.get("train"), f"{where}: train")
    shape = from_mapping(ScorerShape, config.get("model"), f"{where}: model")
    if len(pairs.captions) < 2:
        raise UserError(f"{where}: {len(pairs.captions)} clips with captions in the cache; at least two are needed")
    torch.manual_seed(t.seed)
    network = ScorerNetwork(pairs.signatures.shape[1], shape.width, shape.dim, shape.dropout)
    network.mean.copy_(torch.from_numpy(pairs.signatures.mean(0)))
    network.std.copy_(torch.from_numpy(pairs.signatures.std(0) + 1e-3))
    network = network.to(runtime.device).train()
    batches = PairBatches(pairs, t)
    optimizer = torch.optim.AdamW(network.parameters(), t.lr, weight_decay=t.weight_decay)
    seen, said = (torch.from_numpy(x).to(runtime.device) for x in (pairs.signatures, pairs.vectors))
    log = Log(out / "log.jsonl", runtime.main, t.steps, 0)
    self_training, rest = judged.split(t.held) if judged is not None else (None, None)
    groups = self_training.groups() if self_training is not None else []
    totals: list[float] = []
    for step in range(t.steps):
        rows, told, free = batches.draw([t.seed, step])
        a, b = network.see(seen[rows], t.noise), network.hear(said[told])
        logits = (a @ b.T * network.scale.exp()).masked_fill(free.to(a.device), -1e4)
        target = torch.arange(len(rows), device=a.device)
        loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
        if self_training is not None and groups:
            loss = loss + t.judged_weight * judged_loss(
                network, self_training, groups, t.judged, t.noise, [t.seed, step, 1], runtime.device
            )
        check_finite(loss, "loss")
        loss.backward()
        for group in optimizer.param_groups:
            group["lr"] = cosine(step, t.steps, t.warmup, t.lr, t.lr_floor)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        totals.append(float(loss.detach()))
        log.advance(loss)
        if (step + 1) % t.log_every == 0 or step + 1 == t.steps:
            log(step=step + 1, loss=float(np.mean(totals)))
            totals = []
    motion_scorer = TextMotionScorer(network.cpu())
    motion_scorer.save(out)
    if rest is not None and len(rest.caption):
        log(step=t.steps, **picked(motion_scorer.network, rest))
    if held.captions:
        log(step=t.steps, rank_one=rank_one(motion_scorer.network, held))
    log.close()
    return motion_scorer
