"""The kinds stage of `scripts/train.py`: wordings of scenes -> `avatargpt.planning.kinds`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from avatargpt.config import Schedule
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.planning.kinds import KindNet, KindReader
from avatargpt.planning.library import word_for_encoder
from avatargpt.requests.vector_index import unit
from avatargpt.train.loop import run
from avatargpt.train.plans import PLANS, Kind, read_kinds
from avatargpt.train.runtime import Runtime
from avatargpt.train.stage import Metrics, Stage, StepContext
from vqvae.errors import UserError
from vqvae.io.data_files import json_rows
from vqvae.strict import PositiveInt, Rate, Strict


class KindTraining(Schedule):
    """The section `train` of `configs/kinds.yaml`."""

    # shares of rows that are strangers' wordings, and those of the kind itself; the others are activities
    strangers: Rate = 0.6
    templates: Rate = 0.24
    vectors: Rate = 3.0  # rate of the kinds' vectors, by that of the encoder
    held: PositiveInt | None = 1  # last wordings of each kind that are for the figures alone; None = none


class KindShape(Strict):
    """See `KindNet`."""

    rank: PositiveInt = 16
    dropout: Rate = 0.1


class KindRecipe(Strict):
    """A configuration of the stage."""

    model: KindShape = KindShape()
    train: KindTraining = KindTraining()


class KindStage(Stage):
    """The network in training.

    Args:
        kinds: by name. wordings: of strangers, by the name of their kind.
    """

    def __init__(self, recipe: KindRecipe, kinds: Mapping[str, Kind], wordings: Mapping[str, Sequence[str]]) -> None:
        self.recipe, self.schedule, self.names = recipe, recipe.train, list(kinds)
        self.kinds = list(kinds.values())
        held = -(recipe.train.held or 0) or None
        self.learnt = [(text, k) for k, n in enumerate(self.names) for text in wordings.get(n, ())[:held]]
        self.held = [(text, k) for k, n in enumerate(self.names) for text in wordings.get(n, ())[held:] if held]
        if not self.learnt:
            raise UserError("no wordings of the kinds; accepted: some for training beside those that are held out")
        torch.manual_seed(recipe.train.seed)
        self.network = self.module = KindNet(len(self.names), recipe.model.rank, recipe.model.dropout)
        rng = np.random.default_rng(recipe.train.seed)
        own = [[kind.say(i, rng) for i in range(len(kind.scenes))] for kind in self.kinds]
        vectors = SentenceGrounder(cache_size=0).sentence([t for texts in own for t in texts])
        ends = np.cumsum([len(texts) for texts in own])[:-1]
        self.network.vectors.data.copy_(torch.from_numpy(unit(np.stack([p.mean(0) for p in np.split(vectors, ends)]))))
        self.identity = {"shape": recipe.model.model_dump(), "kinds": len(self.names)}
        t = recipe.train
        groups: list[dict[str, Any]] = [
            {"params": list(self.network.reader.parameters())},
            {"params": [self.network.vectors, self.network.sharpness], "times": t.vectors},
        ]
        self.optimizer = torch.optim.AdamW(groups, t.lr, weight_decay=t.weight_decay)

    def _draw(self, rng: np.random.Generator) -> tuple[str, int]:
        """A text and its kind."""
        t, chance = self.schedule, rng.random()
        if chance < t.strangers:
            return self.learnt[int(rng.integers(len(self.learnt)))]
        k = int(rng.integers(len(self.kinds)))
        kind = self.kinds[k]
        if chance < t.strangers + t.templates:
            return kind.say(int(rng.integers(len(kind.scenes))), rng), k
        return word_for_encoder(kind.activities[int(rng.integers(len(kind.activities)))].part.task), k

    def losses(self, module: Any, context: StepContext) -> tuple[torch.Tensor, Metrics]:
        rng = np.random.default_rng(context.row_seed)
        texts, kinds = zip(*(self._draw(rng) for _ in range(self.schedule.batch)), strict=True)
        loss = cross_entropy(module(texts), torch.tensor(kinds), label_smoothing=0.1)
        return loss, {"loss": loss}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Shares of held-out wordings whose kind is the likeliest, and among the three likeliest."""
        if not self.held:
            return {}
        self.network.eval()
        texts, kinds = [t for t, _ in self.held], torch.tensor([k for _, k in self.held])
        first = min(3, len(self.names))
        best = torch.cat([self.network(texts[i : i + 64]).topk(first, -1).indices for i in range(0, len(texts), 64)])
        self.network.train()
        right = best == kinds[:, None]
        return {"val_first": float(right[:, 0].float().mean()), "val_three": float(right.any(-1).float().mean())}

    def save(self, out: Path) -> None:
        KindReader(self.network, self.names).save(out)
        self.network.train()


def kinds_stage(recipe: KindRecipe, args: argparse.Namespace) -> None:
    """Train (or resume training) the network that reads which kind of scene a situation is."""
    runtime = Runtime.start(args.threads, "cpu")
    folder = Path(args.plans or PLANS)
    rows = [row for _, row in json_rows(folder / "wordings.jsonl.xz")]
    stage = KindStage(recipe, read_kinds(folder / "kinds"), {r["kind"]: r["scenes"] for r in rows})
    run(stage, Path(args.output), runtime, args.until)
