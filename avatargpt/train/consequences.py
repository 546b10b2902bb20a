"""The consequences stage of `scripts/train.py`: pairs of what was seen and what follows -> `planning.consequences`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

import instruct_data
from avatargpt.config import Schedule
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.planning.consequences import (
    STATE_SCALE,
    THEN,
    ConsequenceNet,
    Consequences,
    answer_text,
)
from avatargpt.planning.library import StoryPart
from avatargpt.train.loop import run
from avatargpt.train.runtime import Runtime
from avatargpt.train.stage import Metrics, Stage, StepContext
from vqvae.errors import UserError
from vqvae.io.data_files import json_rows
from vqvae.strict import PositiveInt, Rate, Strict

PAIRS = Path(instruct_data.__file__).parent / "plans" / "consequences.jsonl.xz"
SHARPNESS = 10.0  # of cosines to answers
# of a row's target: likeness of answers, and the same sort of consequence
ANSWER_WEIGHT, SORT_WEIGHT = 8.0, 1.5


class ConsequenceTraining(Schedule):
    """The section `train` of `configs/consequences.yaml`."""

    answers: Rate = 1.0  # weight of the choice among answers
    mismatched: Rate = 0.1  # share of ordinary rows that get another's step, which then was not seen
    false_share: Rate = 0.2  # of ordinary validation rows that may be taken for consequences
    validation: list[str] = []  # authors who are not learnt from


class ConsequenceShape(Strict):
    """See `ConsequenceNet`."""

    rank: PositiveInt = 16
    dim: PositiveInt = 128
    dropout: Rate = 0.1


class ConsequenceRecipe(Strict):
    """A configuration of the stage."""

    model: ConsequenceShape = ConsequenceShape()
    train: ConsequenceTraining = ConsequenceTraining()


class Rows:
    """Rows with what of them is computed once.

    Attributes:
        then: (N,) numbers of `THEN`. answered: (M,) places of those with an answer, `parts`; answers, told, saw:
            (M, 384) vectors of these and of what they answer; likeness: (M, M) of one answer to another.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]], grounder: SentenceGrounder) -> None:
        self.said, self.seen = ([r[key] for r in rows] for key in ("said", "described"))
        self.then = torch.tensor([THEN.index(r["then"]) for r in rows])
        self.answered = torch.tensor([i for i, r in enumerate(rows) if r["next"]], dtype=torch.long)
        told = [rows[i] for i in self.answered.tolist()]
        self.parts = [StoryPart(r["next"]["task"], tuple(r["next"]["steps"]), frozenset()) for r in told]
        texts = [[answer_text(p) for p in self.parts], *([r[key] for r in told] for key in ("said", "described"))]
        self.answers, self.told, self.saw = (torch.from_numpy(grounder.sentence(t)) for t in texts)
        same = torch.tensor([[a["sort"] == b["sort"] for b in told] for a in told]).float()
        self.likeness = ANSWER_WEIGHT * self.answers @ self.answers.T + SORT_WEIGHT * same


class ConsequenceStage(Stage):
    """The network in training."""

    def __init__(self, recipe: ConsequenceRecipe, learnt: Rows, held: Rows, grounder: SentenceGrounder) -> None:
        self.grounder = grounder
        self.recipe, self.schedule, self.learnt, self.held = recipe, recipe.train, learnt, held
        torch.manual_seed(recipe.train.seed)
        shape = recipe.model
        self.network = self.module = ConsequenceNet(shape.rank, shape.dim, shape.dropout)
        self.identity = {"shape": shape.model_dump()}
        t = recipe.train
        self.optimizer = torch.optim.AdamW(self.network.parameters(), t.lr, weight_decay=t.weight_decay)

    def losses(self, module: Any, context: StepContext) -> tuple[torch.Tensor, Metrics]:
        rng, rows, size = np.random.default_rng(context.row_seed), self.learnt, self.schedule.batch
        which = rng.permutation(len(rows.then))[:size]
        said, then = [rows.said[i] for i in which], rows.then[which].clone()
        for row in np.flatnonzero((then == 0).numpy() & (rng.random(len(which)) < self.schedule.mismatched)):
            said[row], then[row] = rows.said[rng.integers(len(rows.said))], THEN.index("again")
        read = module(said, [rows.seen[i] for i in which])
        told = cross_entropy(module.then(read), then, label_smoothing=0.05)
        place = {int(i): k for k, i in enumerate(rows.answered)}
        at = torch.tensor([k for k, i in enumerate(which) if int(i) in place], dtype=torch.long)
        mine = torch.tensor([place[int(which[k])] for k in at], dtype=torch.long)
        keys = module.index(rows.told, rows.saw, rows.answers)
        likely = SHARPNESS * module.ask(read[at], rows.told[mine], rows.saw[mine]) @ keys.T
        itself = torch.zeros_like(likely)
        itself[torch.arange(len(mine)), mine] = -1e9  # an answer is chosen for others' mishaps
        target = (rows.likeness[mine] + itself).softmax(-1)
        chosen = -(target * (likely + itself).log_softmax(-1)).sum(-1).mean()
        return told + self.schedule.answers * chosen, {"told": told, "chosen": chosen}

    @torch.no_grad()
    def read(self, rows: Rows) -> torch.Tensor:
        """What the network gives for all rows, (N, 384)."""
        self.network.eval()
        parts = [slice(i, i + 64) for i in range(0, len(rows.said), 64)]
        return torch.cat([self.network(rows.said[p], rows.seen[p]) for p in parts])

    @torch.no_grad()
    def build_answers(self, held: torch.Tensor) -> Consequences:
        """The network of now with its answers, and with a threshold by what it gives for the held-out rows."""
        rows = self.learnt
        keys = self.network.index(rows.told, rows.saw, rows.answers).numpy()
        mishaps = self.read(rows)[rows.answered].numpy() / STATE_SCALE
        needed = 1 - self.network.then(held).softmax(-1)[:, 0].numpy()
        ordinary = needed[(self.held.then == 0).numpy()]
        least = float(np.quantile(ordinary, 1 - self.schedule.false_share)) if len(ordinary) else 0.5
        return Consequences(self.network, rows.parts, keys, mishaps, least)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Of held-out rows: area under the curve of consequences, and the share of them that is found; likeness of the
        answer to the one that was written.
        """
        held, read = self.held, self.read(self.held)
        built = self.build_answers(read)
        needed, real = 1 - self.network.then(read).softmax(-1)[:, 0], held.then != 0
        wins = (needed[real][:, None] > needed[~real][None]).float().mean()
        place = {id(p): k for k, p in enumerate(self.learnt.parts)}
        firsts = [built.read([held.said[i]], held.seen[i], self.grounder).answers[0] for i in held.answered.tolist()]
        best = [place[id(p)] for p in firsts]
        likeness = (self.learnt.answers[best] * held.answers).sum(-1).mean()
        self.network.train()
        return {
            "val_area": float(wins), "val_found": float((needed[real] >= built.min_needed).float().mean()),
            "val_answer": float(likeness),
        }  # fmt: skip

    def save(self, out: Path) -> None:
        self.build_answers(self.read(self.held)).save(out)
        self.network.train()


def consequences_stage(recipe: ConsequenceRecipe, args: argparse.Namespace) -> None:
    """Train (or resume training) the network that reads what follows from what was seen."""
    runtime = Runtime.start(args.threads, "cpu")
    path = args.pairs or PAIRS
    rows = [row for _, row in json_rows(path)]
    validation = set(recipe.train.validation)
    learnt, held = ([r for r in rows if (r["author"] in validation) == own] for own in (False, True))
    if not any(r["next"] for r in learnt) or not any(r["next"] for r in held):
        raise UserError(f"{path}: no answers of the authors {', '.join(sorted(validation)) or '(none)'}, or of others; "
                        "accepted: some of both")  # fmt: skip
    grounder = SentenceGrounder(cache_size=0)
    stage = ConsequenceStage(recipe, Rows(learnt, grounder), Rows(held, grounder), grounder)
    run(stage, Path(args.output), runtime, args.until)
