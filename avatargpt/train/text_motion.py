"""The text-motion stage of `scripts/train.py`: a store of clips with captions -> `avatargpt.metrics.evaluator`."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional as F

from avatargpt.config import Schedule, save_resolved
from avatargpt.metrics.checks import ClipJudge
from avatargpt.metrics.degradations import DEGRADATIONS, LEAST, degrade
from avatargpt.metrics.evaluator import FPS, EvaluatorNetwork, MotionEvaluator, joint_features, padded
from avatargpt.metrics.retrieval import ALIKE, POOL, alike, pair_distances, retrieval_precision, sides_of
from avatargpt.train.loop import run
from avatargpt.train.runtime import Runtime
from avatargpt.train.stage import Metrics, StageBase, StepContext
from instruct_data.clip import Clip
from instruct_data.mixture import clip_class
from instruct_data.store import Store
from instruct_data.synth.families import SOURCE as SYNTHETIC
from vqvae.errors import UserError
from vqvae.motion import Motion
from vqvae.strict import Dropout, PositiveInt, Rate, Share, Strict

LEAST_SPREAD = 0.02  # of a channel: what hardly moves must not weigh like what does
FAR = -1e4  # logit of a pair that is no counter-example


class EvaluatorTraining(Schedule):
    """How the evaluator is trained.

    Attributes:
        near: share of a step drawn from few classes. each: clips of one of them at most.
        balance: 1 = classes equally likely, 0 = clips.
        noise: standard deviation added to the channels, in theirs.
        alike: cosine of two captions above which neither counts against the other (TMR: 0.8), unless of opposite sides.
        longest: frames of a clip that are seen in a step; longer ones are cut at a random place.
        captions: of a clip that are taken, the first ones.
        every: only every so manieth keyframed clip of the store is taken.
        twins: clips made worse of each (`Twins`). Those that the predicates let pass stand in for the clip at times;
            the others count against its caption.
        stand_in: how often one that passes stands in.
    """

    steps: PositiveInt = 1500
    batch: PositiveInt = 192
    lr: Rate = 1.5e-3
    weight_decay: Rate = 0.02
    near: Share = 0.4
    each: PositiveInt = 8
    balance: Share = 0.4
    noise: Rate = 0.25
    alike: Share = ALIKE
    longest: PositiveInt = 160
    captions: PositiveInt = 4
    every: PositiveInt = 1
    twins: Annotated[int, Field(ge=0, le=7)] = 0
    stand_in: Share = 0.5


class EvaluatorShape(Strict):
    """See `EvaluatorNetwork`."""

    width: PositiveInt = 128
    hidden: PositiveInt = 160
    dim: PositiveInt = 128
    blocks: PositiveInt = 3
    dropout: Dropout = 0.1


class EvaluatorRecipe(Strict):
    """A configuration of the stage."""

    model: EvaluatorShape = EvaluatorShape()
    train: EvaluatorTraining = EvaluatorTraining()


class EvaluatorStage(StageBase):
    """An evaluator in training: see `avatargpt.train.loop.Stage`."""

    def __init__(self, recipe: EvaluatorRecipe, seen: Described, held: Described, runtime: Runtime, where: str) -> None:
        """Args:
            seen, held: of training and of validation; `held` may be empty.
            where: what `seen` was read from, for messages.

        Raises:
            UserError: fewer than two clips, or several processes.
        """
        self.recipe, self.schedule, self.runtime, self.seen, self.held = recipe, recipe.train, runtime, seen, held
        t, shape = recipe.train, recipe.model
        if len(seen) < 2:
            raise UserError(f"{where}: {len(seen)} training clips with captions; at least two are needed")
        if runtime.world > 1:
            raise UserError(f"{where}: {runtime.world} processes; this stage compares all rows of a batch: accepted: 1")
        torch.manual_seed(t.seed)
        network = EvaluatorNetwork(shape.width, shape.hidden, shape.dim, shape.blocks, shape.dropout)
        flat = np.concatenate([f[:: max(1, len(f) // 20)] for f in seen.frames]).astype(np.float32)
        network.mean.copy_(torch.from_numpy(flat.mean(0)))
        network.std.copy_(torch.from_numpy(np.maximum(flat.std(0), LEAST_SPREAD)))
        self.network = self.module = network.to(runtime.device)
        self.identity = {"shape": shape.model_dump()}
        self.optimizer = torch.optim.AdamW(network.parameters(), t.lr, weight_decay=t.weight_decay)
        self.draws = Draws(seen, t.batch, t.near, t.each, t.balance, t.alike)

    def losses(self, module: Any, context: StepContext) -> tuple[torch.Tensor, Metrics]:
        t = self.schedule
        rows, told, free = self.draws.draw([context.seed, context.step])
        rng = np.random.default_rng([context.seed, context.step, 1])
        frames: list[np.ndarray] = []
        wrong: list[np.ndarray] = []
        against: list[int] = []  # the row whose caption each of `wrong` does not show
        for row, i in enumerate(rows):
            clip = self.seen.frames[i]
            if self.seen.twins and self.seen.twins[i]:
                twin = self.seen.twins[i][int(rng.integers(len(self.seen.twins[i])))]
                if not twin.right:
                    wrong.append(self._cut(twin.frames, rng))
                    against.append(row)
                elif rng.random() < t.stand_in:
                    clip = twin.frames
            frames.append(self._cut(clip, rng))
        x, lengths = padded([*frames, *wrong])
        device = self.runtime.device
        a = module.see(x.to(device), lengths.to(device), t.noise)
        b = module.hear(torch.from_numpy(self.seen.vectors[told]).to(device))
        n = len(rows)
        left_out = np.ones((n, n + len(wrong)), bool)
        left_out[:, :n] = free.T
        left_out[against, n + np.arange(len(wrong))] = False
        logits = (b @ a.T * module.scale.clamp(max=4.6).exp()).masked_fill(torch.from_numpy(left_out).to(device), FAR)
        target = torch.arange(n, device=device)
        loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits[:, :n].T, target)) / 2
        return loss, {"loss": loss}

    def _cut(self, clip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """StepContext most `longest` frames of a clip, from a random place."""
        start = int(rng.integers(max(1, len(clip) - self.schedule.longest + 1)))
        return clip[start : start + self.schedule.longest]

    def validate(self) -> dict[str, float]:
        """R-precision at 1 and 3 and MM-Dist of each held-out clip's first caption, in pools of at most 32."""
        if len(self.held) < 2:
            return {}
        found = self.finished()
        first = [c[0] for c in self.held.captions]
        told = self.held.vectors[first]
        a, b = found.sentences(told), found.frames(self.held.frames)
        hits = retrieval_precision(
            a, b, alike(told, self.held.sides[first], self.schedule.alike), (1, min(3, len(a))), min(POOL, len(a))
        )
        one, three = np.nanmean(hits, 0)
        return {"val_top1": float(one), "val_top3": float(three), "val_mm_dist": float(pair_distances(a, b).mean())}

    def finished(self) -> MotionEvaluator:
        """The evaluator as it stands, on the CPU."""
        return MotionEvaluator(copy.deepcopy(self.network).cpu())

    def save(self, out: Path) -> None:
        self.finished().save(out)
        save_resolved(self.recipe, out)


def text_motion_stage(recipe: EvaluatorRecipe, args: SimpleNamespace) -> None:
    """Train (or go on training) the evaluator of text and motion.

    Raises:
        UserError: a store of something else than bodies, or with fewer than two clips that have captions.
    """
    from avatargpt.lm.text_encoder import SentenceGrounder

    runtime = Runtime.start(args.threads, args.device)
    store = Store.open(args.store)
    if store.modality != "body":
        raise UserError(f"{args.store}: holds {store.modality} clips; accepted: a motion store of bodies")
    grounder = SentenceGrounder()
    t = recipe.train
    seen, held = (
        described(store.clips(split), grounder, t.captions, t.every, twins)
        for split, twins in (("train", t.twins), ("val", 0))
    )
    train(recipe, seen, held, Path(args.output), runtime, str(args.store))


def train(
    recipe: EvaluatorRecipe, seen: Described, held: Described, out: Path, runtime: Runtime, where: str = "clips",
    until: int | None = None,
) -> MotionEvaluator:  # fmt: skip
    """Run or resume training in folder `out` (minutes).

    Args:
        seen, held: see `EvaluatorStage`.
        until: stop here with a checkpoint; the schedule stays that of all steps.

    Raises:
        UserError: fewer than two clips, several processes, or a damaged checkpoint.
    """
    stage = EvaluatorStage(recipe, seen, held, runtime, where)
    run(stage, out, runtime, until)
    return stage.finished()


OTHER_SIDE = "mirrored"  # of the degradations


@dataclass
class Twin:
    """A clip made worse in some way.

    Attributes:
        frames: (T, 137) float16 of `joint_features`. right: whether it still shows what the clip shows.
    """

    frames: np.ndarray
    right: bool


@dataclass
class Described:
    """Clips with captions.

    Attributes:
        frames: (T, 137) float16 of each clip. captions: rows of `vectors` of each. classes: (n,) numbers of action and
            style. recorded: (n,) whether a clip was recorded: what is said of one such clip of a class and style is
            true of the others. vectors: (m, 384) unit sentence vectors. sides: (m,) of `sides_of`. twins: of each clip;
            empty where nobody can say what they show.
    """

    frames: list[np.ndarray]
    captions: list[list[int]]
    classes: np.ndarray
    recorded: np.ndarray
    vectors: np.ndarray
    sides: np.ndarray
    twins: list[list[Twin]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.frames)


def seen(motion: Motion) -> np.ndarray:
    """(T, 137) float16 of `joint_features`."""
    return joint_features(motion.resampled(FPS).joints).astype(np.float16)


class Twins:
    """Makes clips worse, and asks the predicates whether they still show what they showed.

    Args:
        each: of a clip, in ways drawn at random.
    """

    def __init__(self, each: int) -> None:
        self.each, self.geometry = each, ClipJudge()

    def of(self, clip: Clip, motion: Motion, number: int) -> list[Twin]:
        """None of clips that no predicate is about, or that do not pass themselves.

        Where the first caption speaks of a side the mirrored clip is among them, and never right.

        Args:
            number: of the clip, from which the ways are drawn.
        """
        if len(motion) < LEAST:
            return []
        rng = np.random.default_rng([number, self.each])
        ways = rng.choice(list(DEGRADATIONS), min(self.each, len(DEGRADATIONS)), False).tolist()
        sided = sides_of(clip.captions[:1])[0] != 0
        if self.geometry.verdict(clip, motion) != 1.0:
            ways = []
        if sided:
            ways = [OTHER_SIDE, *(w for w in ways if w != OTHER_SIDE)][: self.each]
        out = []
        for way in ways:
            worse = degrade(motion, way, number)
            wrong = sided and way == OTHER_SIDE
            out.append(Twin(seen(worse), not wrong and self.geometry.verdict(clip, worse) == 1.0))
        return out


def described(clips: Iterable[Clip], grounder: Any, most: int = 4, every: int = 1, twins: int = 0) -> Described:
    """Clips that have captions, in order.

    Args:
        clips: bodies, each read once.
        grounder: gives `sentence(texts)`.
        most: captions of a clip that are taken, the first ones.
        every: only every so manieth keyframed clip is taken.
        twins: of a clip, at most.
    """
    texts: dict[str, int] = {}
    names: dict[str, int] = {}
    frames: list[np.ndarray] = []
    captions: list[list[int]] = []
    classes: list[int] = []
    recorded: list[bool] = []
    made: list[list[Twin]] = []
    maker = Twins(twins) if twins else None
    keyframed = -1
    for clip in clips:
        keyframed += clip.source == SYNTHETIC
        if clip.source == SYNTHETIC and keyframed % every:
            continue
        told = list(dict.fromkeys(clip.captions))[:most]
        motion = clip.load()
        if not told or len(motion) < 2:
            continue
        made.append(maker.of(clip, motion, len(frames)) if maker else [])
        frames.append(seen(motion))
        captions.append([texts.setdefault(t, len(texts)) for t in told])
        classes.append(names.setdefault(f"{clip_class(clip)}|{clip.style}", len(names)))
        recorded.append(clip.source != SYNTHETIC)
    vectors = grounder.sentence(list(texts)) if texts else np.zeros((0, 384))
    return Described(
        frames, captions, np.array(classes, int), np.array(recorded, bool), vectors.astype(np.float32),
        sides_of(list(texts)), made,
    )  # fmt: skip


class Draws:
    """Draws the rows of a step: some from few classes, so that details are learnt, the others from all.

    Args:
        near: share of a step from few classes. each: clips of one of these at most. balance: 1 = classes equally
            likely, 0 = clips. least: cosine of two captions from which on neither counts against the other.
    """

    def __init__(
        self, clips: Described, batch: int, near: float, each: int, balance: float, least: float = ALIKE
    ) -> None:
        self.clips, self.batch, self.each, self.least = clips, batch, each, least
        count = Counter(clips.classes.tolist())
        weight = np.array([count[c] ** -balance for c in clips.classes])
        self.weight = weight / weight.sum()
        self.of = {c: np.flatnonzero(clips.classes == c) for c in count}
        self.large = [c for c, n in count.items() if n >= 4]
        self.few = int(near * batch / each)

    def draw(self, seed: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(B,) clips, (B,) one caption of each, and (B, B) which pairs are no counter-examples although no pairs."""
        rng, c = np.random.default_rng(list(seed)), self.clips
        rows: list[int] = []
        for name in rng.choice(self.large, min(self.few, len(self.large)), False) if self.large else ():
            rows += rng.choice(self.of[name], min(self.each, len(self.of[name])), False).tolist()
        rows += rng.choice(len(c), max(2, self.batch - len(rows)), p=self.weight).tolist()
        chosen = np.array(rows)
        told = np.array([c.captions[i][int(rng.integers(len(c.captions[i])))] for i in rows])
        same = c.classes[chosen][:, None] == c.classes[chosen][None]
        known = c.recorded[chosen]
        free = (same & known[:, None] & known[None]) | alike(c.vectors[told], c.sides[told], self.least)
        np.fill_diagonal(free, False)
        return chosen, told, free
