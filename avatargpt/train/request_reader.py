"""The requests stage of `scripts/train.py`: requests for bodies and faces -> what they mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from avatargpt.config import Schedule
from avatargpt.lm.devices import fast_bfloat16
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.requests.reader import (
    MAX_TARGET,
    MAX_WORDS,
    RequestConfig,
    RequestNetwork,
    RequestReader,
    Vocabulary,
    make_word_grounder,
    word_states,
)
from avatargpt.train.loop import run
from avatargpt.train.runtime import Runtime
from avatargpt.train.stage import AveragedStage, Metrics, StepContext
from instruct_data.factory.requests.pairs import Pair, Pairs
from instruct_data.factory.requests.ways import DOMAINS, FAMILIES, SlotMaterial, Way, all_ways, material
from vqvae.errors import UserError
from vqvae.strict import PositiveInt, Share, Strict

Row = tuple[str, Pair]  # with its domain
POOL = 6  # steps whose pairs are drawn at once and sorted by length: two thirds less padding


class RequestTraining(Schedule):
    """Section `train` of the configuration."""

    batch: PositiveInt = 64  # pairs of a step
    weight_decay: Share = 0.02  # of AdamW
    ema: Share = 0.998  # of the moving mean that is saved
    # Of the weights of --start in what is saved: between two readers one knows what either does (Wortsman et al. 2022)
    kept: Share = 0.0
    held: PositiveInt = 12  # every `held`-th template, action and being only validates
    validated: PositiveInt = 400  # validation pairs of each domain
    shares: dict[str, Share] = {"face": 1.0}  # of the pairs, by domain


class RequestRecipe(Strict):
    """A configuration of the requests stage."""

    model: RequestConfig = RequestConfig()
    train: RequestTraining = RequestTraining()


def requests_stage(recipe: RequestRecipe, args: SimpleNamespace) -> None:
    """Train the reader of requests."""
    runtime = Runtime.start(args.threads, args.device)
    grounder = make_word_grounder(recipe.model)
    sources = {domain: (all_ways(domain), material(domain)) for domain in DOMAINS}
    stage = RequestStage(recipe, sources, runtime, grounder, Path(args.start) if args.start else None)
    run(stage, Path(args.output), runtime, args.until)


def divide_pairs(ways: Sequence[Way], words: SlotMaterial, every: int) -> tuple[Pairs, Pairs]:
    """Training and validation pairs: every `every`-th template, action and being is held out."""
    val = set(list(dict.fromkeys(w.text for w in ways))[every - 1 :: every])
    lists = {name: getattr(words, name) for name in ("actions", *FAMILIES.values(), "beings")}
    train: dict[str, Any] = {n: tuple(a for i, a in enumerate(x) if i % every != every - 1) for n, x in lists.items()}
    held: dict[str, Any] = {name: tuple(x[every - 1 :: every]) for name, x in lists.items()}
    return (
        Pairs([w for w in ways if w.text not in val], replace(words, **train)),
        Pairs([w for w in ways if w.text in val], replace(words, **held)),
    )


class RequestStage(AveragedStage):
    """A reader in training. Raises UserError where there are no templates."""

    recipe: RequestRecipe
    schedule: RequestTraining

    def __init__(
        self, recipe: RequestRecipe, sources: Mapping[str, tuple[Sequence[Way], SlotMaterial]], runtime: Runtime,
        grounder: SentenceGrounder, start: Path | None = None,
    ) -> None:  # fmt: skip
        self.recipe, self.schedule, self.runtime, self.grounder = recipe, recipe.train, runtime, grounder
        t = self.schedule
        if not all(ways for ways, _ in sources.values()):
            raise UserError("no ways to say requests to learn from")
        self.rows = runtime.share(t.batch, "requests: train")
        torch.manual_seed(t.seed)
        self.network = self.module = RequestNetwork(recipe.model).to(runtime.device).train()
        self.before = RequestReader.load(start).network.state_dict() if start else {}
        if start:
            self.network.load_state_dict(self.before)
        elif t.kept:
            raise UserError(f"train: kept: {t.kept:g}; accepted with --start")
        both = {domain: divide_pairs(ways, words, t.held) for domain, (ways, words) in sources.items()}
        self.pairs = {domain: pairs for domain, (pairs, _) in both.items()}
        rng = np.random.default_rng([t.seed, 9])
        self.val = {domain: [pairs.draw(rng) for _ in range(t.validated)] for domain, (_, pairs) in both.items()}
        self.identity = {"shape": recipe.model.model_dump()}
        self.optimizer = torch.optim.AdamW(self.network.parameters(), t.lr, (0.9, 0.98), weight_decay=t.weight_decay)
        self.start_mean()
        self.averaged = RequestReader(RequestNetwork(recipe.model), grounder)
        self.vocabulary = Vocabulary()
        self.pool: tuple[tuple[int, ...], list[list[Row]]] = (), []  # of the steps whose seed is the key

    def losses(self, module: Any, context: StepContext) -> tuple[torch.Tensor, Metrics]:
        pool, which = divmod(context.step, POOL)
        # Pools are functions of seed, number and rank alone, so that a resumed run draws the same pairs.
        if self.pool[0] != (key := (context.seed, pool, context.rank)):
            rng, rows = np.random.default_rng(key), self.rows
            drawn = sorted((self._draw(rng) for _ in range(POOL * rows)), key=lambda d: len(d[1].words))
            self.pool = key, [drawn[place * rows : (place + 1) * rows] for place in rng.permutation(POOL)]
        states, words, before, following = self._batch(self.pool[1][which])
        with self.runtime.autocast():
            logits = module(states, words, before).float()
        present = following >= 0
        loss = F.cross_entropy(logits[present], following[present])
        right = (logits[present].argmax(-1) == following[present]).float().mean()
        return loss, {"loss": loss, "right": right}

    def _draw(self, rng: np.random.Generator) -> Row:
        shares = np.array([self.schedule.shares.get(name, 0.0) for name in self.pairs])
        domain = [*self.pairs][int(rng.choice(len(shares), p=shares / shares.sum()))]
        # Pairs that do not fit are drawn anew; cutting them would teach wrong targets.
        while True:
            pair = self.pairs[domain].draw(rng)
            if len(pair.target) < MAX_TARGET and len(pair.words) <= MAX_WORDS:
                return domain, pair

    def _batch(self, drawn: Sequence[Row]) -> tuple[torch.Tensor, ...]:
        pairs = [pair for _, pair in drawn]
        rows = [self.vocabulary.encode(p.target) for p in pairs]
        vectors = word_states([p.words for p in pairs], self.grounder, fast_bfloat16(self.runtime.device))
        width, longest = max(map(len, vectors)), max(map(len, rows))
        states = np.zeros((len(pairs), width, vectors[0].shape[1]), np.float32)
        words = np.zeros((len(pairs), width), np.float32)
        before = np.zeros((len(pairs), longest), int)
        following = np.full((len(pairs), longest), -1)
        for i, (state, row, (domain, _)) in enumerate(zip(vectors, rows, drawn, strict=True)):
            states[i, : len(state)], words[i, : len(state)] = state, 1
            following[i, : len(row)] = row
            before[i, : len(row)] = [self.network.begin(domain), *(self.network.feed_token(x) for x in row[:-1])]
        device = self.runtime.device
        return tuple(torch.from_numpy(x).to(device) for x in (states, words, before, following))

    def copy_network(self) -> RequestReader:
        """The reader with the mean of the weights so far, and what is kept of the one before."""
        reader: RequestReader = super().copy_network()
        if kept := self.schedule.kept:
            with torch.no_grad():
                for name, value in reader.network.named_parameters():
                    value.lerp_(self.before[name].to(value), kept)
        return reader

    def validate(self) -> dict[str, float]:
        reader = self.copy_network()
        return {k: v for domain, pairs in self.val.items() for k, v in exactness(reader, pairs, domain).items()}


def exactness(reader: RequestReader, pairs: Sequence[Pair], domain: str) -> dict[str, float]:
    """Share of targets that are exact, and per kind of token its share of right ones where either side has it."""
    targets = reader.targets([p.words for p in pairs], domain)
    hits: Counter[str] = Counter()
    all_: Counter[str] = Counter()
    for (target, _), pair in zip(targets, pairs, strict=True):
        all_["exact"] += 1
        hits["exact"] += target == pair.target
        predicted, right = _units(target), _units(pair.target)
        for name, value in predicted | right:
            all_[name] += 1
            hits[name] += (name, value) in predicted and (name, value) in right
    return {f"{domain}/{k}": round(hits[k] / n, 4) for k, n in sorted(all_.items())}


def _units(target: Sequence[str | int]) -> set[tuple[str, str]]:
    """Attributes with values, and clauses with their words, as comparable units."""
    out: set[tuple[str, str]] = set()
    clause, at = 0, 0
    while at < len(target):
        after = at + 1
        # Words of a clause follow its token as numbers or "#" references.
        while after < len(target) and (isinstance(target[after], int) or str(target[after]).startswith("#")):
            after += 1
        token = str(target[at])
        # These tokens open a clause.
        if token in ("new", "with", "not"):
            clause += 1
        name = "clause" if token in ("new", "with", "not") else token.partition("=")[0]
        if token not in ("end", "whole"):
            out.add((name, f"{clause} {token} {target[at + 1 : after]}"))
        at = after
    return out
