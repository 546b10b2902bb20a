"""The text-motion stage of `scripts/train.py`: a store of clips with captions -> `avatargpt.metrics.evaluator`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional as F

from avatargpt.config import Schedule
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.metrics.checks import ClipJudge
from avatargpt.metrics.degradations import DEGRADATIONS, MIN_FRAMES, degrade
from avatargpt.metrics.evaluator import (
    FPS,
    MIN_COSINE,
    POOL,
    EvaluatorNetwork,
    MotionEvaluator,
    joint_features,
    pad_rows,
    pair_distances,
    retrieval_precision,
    sides_of,
    similar_pairs,
)
from avatargpt.train.loop import run
from avatargpt.train.runtime import Runtime
from avatargpt.train.scorer import ClassDraws
from avatargpt.train.stage import Metrics, Stage, StepContext
from instruct_data.clip import Clip
from instruct_data.factory.mixture import clip_class
from instruct_data.factory.synth.families import SOURCE as SYNTHETIC
from instruct_data.store import Store
from vqvae.errors import UserError
from vqvae.motion import Motion
from vqvae.strict import Dropout, PositiveInt, Rate, Share, Strict

MIN_SPREAD = 0.02  # of a channel: still joints must not weigh like moving ones
FAR = -1e4  # logit of a pair that is no counter-example
MIRRORED = "mirrored"  # of the degradations


class EvaluatorTraining(Schedule):
    """Training of the evaluator."""

    steps: PositiveInt = 1500
    batch: PositiveInt = 192
    lr: Rate = 1.5e-3
    weight_decay: Rate = 0.02
    near: Share = 0.4  # share of a step drawn from few classes
    # each, balance: see `ClassDraws`
    each: PositiveInt = 8
    balance: Share = 0.4
    noise: Rate = 0.25  # standard deviation added to the channels, in units of theirs
    # Cosine of two captions above which neither counts against the other (TMR: 0.8), unless of opposite sides
    alike: Share = MIN_COSINE
    longest: PositiveInt = 160  # frames of a clip in a step; longer ones are cut at a random place
    captions: PositiveInt = 4  # of a clip, the first ones
    every: PositiveInt = 1  # only every `every`-th keyframed clip of the store is used
    # Degraded copies of each clip (`make_twins`). Those that pass the predicates replace the clip at times; the others
    # count against its caption
    twins: Annotated[int, Field(ge=0, le=7)] = 0
    stand_in: Share = 0.5  # share of steps in which one that passes replaces the clip


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


@dataclass
class Twin:
    """A degraded copy of a clip."""

    frames: np.ndarray  # (T, 137) float16 of `joint_features`
    right: bool  # whether it still shows the clip's caption


@dataclass
class CaptionedClips:
    """Clips with captions."""

    frames: list[np.ndarray]  # (T, 137) float16 of each clip
    captions: list[list[int]]  # rows of `vectors` of each
    classes: np.ndarray  # (n,) numbers of action and style
    recorded: np.ndarray  # (n,) whether a clip was recorded: captions of others of its class may be true of it
    vectors: np.ndarray  # (m, 384) unit sentence vectors
    sides: np.ndarray  # (m,) of `sides_of`
    twins: list[list[Twin]] = field(default_factory=list)  # of each clip; empty where no predicate can judge them

    def __len__(self) -> int:
        return len(self.frames)


def no_counterexamples(
    clips: CaptionedClips, rows: np.ndarray, captions: np.ndarray, cosine: float = MIN_COSINE
) -> np.ndarray:
    """(B, B) bool: captions that may be true of a clip of another row; `cosine`: of two captions of one meaning."""
    same = clips.classes[rows][:, None] == clips.classes[rows][None]
    recorded = clips.recorded[rows]
    possible = same & recorded[:, None] & recorded[None]
    # Two captions of one meaning do not count against each other, unless they name opposite sides.
    out = possible | similar_pairs(clips.vectors[captions], clips.sides[captions], cosine)
    np.fill_diagonal(out, False)
    return out


def frame_features(motion: Motion) -> np.ndarray:
    """(T, 137) float16 of `joint_features`."""
    return joint_features(motion.resampled(FPS).joints).astype(np.float16)


def make_twins(clip: Clip, motion: Motion, number: int, count: int, geometry: ClipJudge) -> list[Twin]:
    """`count` copies degraded in ways drawn at random; none where no predicate is about the clip, or it fails itself.

    Where the first caption names a side the mirrored clip is among them, and never right.
    """
    if len(motion) < MIN_FRAMES:
        return []
    rng = np.random.default_rng([number, count])
    ways = rng.choice(list(DEGRADATIONS), min(count, len(DEGRADATIONS)), False).tolist()
    sided = sides_of(clip.captions[:1])[0] != 0
    # A clip that fails its own predicates is no reference for its copies.
    if geometry.verdict(clip, motion) != 1.0:
        ways = []
    if sided:
        # Confusing sides is the mistake that matters most, so it always is among them.
        ways = [MIRRORED, *(w for w in ways if w != MIRRORED)][:count]
    out = []
    for way in ways:
        worse = degrade(motion, way, number)
        wrong = sided and way == MIRRORED
        out.append(Twin(frame_features(worse), not wrong and geometry.verdict(clip, worse) == 1.0))
    return out


def find_captioned(
    clips: Iterable[Clip], grounder: Any, captions: int = 4, every: int = 1, twins: int = 0
) -> CaptionedClips:
    """Clips that have captions, in order.

    Args:
        clips: bodies, each read once. grounder: has `sentence(texts)`.
        captions: of a clip, the first ones. every: only every `every`-th keyframed clip is used.
        twins: of a clip, at most.
    """
    texts: dict[str, int] = {}
    names: dict[str, int] = {}
    frames: list[np.ndarray] = []
    rows: list[list[int]] = []
    classes: list[int] = []
    recorded: list[bool] = []
    degraded: list[list[Twin]] = []
    judge = ClipJudge() if twins else None
    keyframed = -1
    for clip in clips:
        keyframed += clip.source == SYNTHETIC
        if clip.source == SYNTHETIC and keyframed % every:
            continue
        first = list(dict.fromkeys(clip.captions))[:captions]
        motion = clip.load()
        if not first or len(motion) < 2:
            continue
        degraded.append(make_twins(clip, motion, len(frames), twins, judge) if judge else [])
        frames.append(frame_features(motion))
        rows.append([texts.setdefault(t, len(texts)) for t in first])
        classes.append(names.setdefault(f"{clip_class(clip)}|{clip.style}", len(names)))
        recorded.append(clip.source != SYNTHETIC)
    vectors = grounder.sentence(list(texts)) if texts else np.zeros((0, 384))
    return CaptionedClips(
        frames, rows, np.array(classes, int), np.array(recorded, bool), vectors.astype(np.float32),
        sides_of(list(texts)), degraded,
    )  # fmt: skip


class EvaluatorStage(Stage):
    """An evaluator in training."""

    user = MotionEvaluator
    recipe: EvaluatorRecipe
    schedule: EvaluatorTraining

    def __init__(
        self, recipe: EvaluatorRecipe, clips: CaptionedClips, val: CaptionedClips, runtime: Runtime, where: str
    ) -> None:
        self.recipe, self.schedule, self.runtime, self.clips, self.val = recipe, recipe.train, runtime, clips, val
        t, shape = recipe.train, recipe.model
        if len(clips) < 2:
            raise UserError(f"{where}: {len(clips)} training clips with captions; at least two are needed")
        if runtime.world > 1:
            raise UserError(f"{where}: {runtime.world} processes; this stage compares all rows of a batch: accepted: 1")
        torch.manual_seed(t.seed)
        network = EvaluatorNetwork(shape.width, shape.hidden, shape.dim, shape.blocks, shape.dropout)
        # About twenty frames of each clip, so that long clips do not dominate.
        flat = np.concatenate([f[:: max(1, len(f) // 20)] for f in clips.frames]).astype(np.float32)
        network.mean.copy_(torch.from_numpy(flat.mean(0)))
        network.std.copy_(torch.from_numpy(np.maximum(flat.std(0), MIN_SPREAD)))
        self.network = self.module = network.to(runtime.device)
        self.identity = {"shape": shape.model_dump()}
        self.optimizer = torch.optim.AdamW(network.parameters(), t.lr, weight_decay=t.weight_decay)
        few = int(t.near * t.batch / t.each)
        self.draws = ClassDraws(clips.classes, clips.captions, t.batch, few, t.each, t.balance)

    def losses(self, module: Any, context: StepContext) -> tuple[torch.Tensor, Metrics]:
        t = self.schedule
        rows, captions = self.draws.draw([context.seed, context.step])
        rng = np.random.default_rng([context.seed, context.step, 1])
        frames: list[np.ndarray] = []
        wrong: list[np.ndarray] = []
        wrong_rows: list[int] = []  # whose caption each of `wrong` does not show
        for row, i in enumerate(rows):
            clip = self.clips.frames[i]
            if self.clips.twins and self.clips.twins[i]:
                twin = self.clips.twins[i][int(rng.integers(len(self.clips.twins[i])))]
                if not twin.right:
                    wrong.append(self._cut(twin.frames, rng))
                    wrong_rows.append(row)
                elif rng.random() < t.stand_in:
                    clip = twin.frames
            frames.append(self._cut(clip, rng))
        x, lengths = pad_rows([*frames, *wrong])
        device = self.runtime.device
        a = module.encode_motions(x.to(device), lengths.to(device), t.noise)
        b = module.encode_texts(torch.from_numpy(self.clips.vectors[captions]).to(device))
        n = len(rows)
        # A wrong copy counts against the caption of its clip alone: it may well show another row's.
        ignored = np.ones((n, n + len(wrong)), bool)
        ignored[:, :n] = no_counterexamples(self.clips, rows, captions, t.alike).T
        ignored[wrong_rows, n + np.arange(len(wrong))] = False
        logits = (b @ a.T * module.scale.clamp(max=4.6).exp()).masked_fill(torch.from_numpy(ignored).to(device), FAR)
        target = torch.arange(n, device=device)
        loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits[:, :n].T, target)) / 2
        return loss, {"loss": loss}

    def _cut(self, clip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A stretch of at most `longest` frames."""
        start = int(rng.integers(max(1, len(clip) - self.schedule.longest + 1)))
        return clip[start : start + self.schedule.longest]

    def validate(self) -> dict[str, float]:
        """R-precision at 1 and 3 and MM-Dist of each held-out clip's first caption, in pools of at most 32."""
        if len(self.val) < 2:
            return {}
        evaluator, first = self.copy_network(), [c[0] for c in self.val.captions]
        vectors = self.val.vectors[first]
        a, b = evaluator.sentences(vectors), evaluator.frames(self.val.frames)
        same = similar_pairs(vectors, self.val.sides[first], self.schedule.alike)
        top1, top3 = np.nanmean(retrieval_precision(a, b, same, (1, min(3, len(a))), min(POOL, len(a))), 0)
        return {"val_top1": float(top1), "val_top3": float(top3), "val_mm_dist": float(pair_distances(a, b).mean())}


def text_motion_stage(recipe: EvaluatorRecipe, args: SimpleNamespace) -> None:
    """Train the evaluator of text and motion. Raises UserError for a store of something else than bodies."""
    runtime = Runtime.start(args.threads, args.device)
    store = Store.open(args.store)
    if store.modality != "body":
        raise UserError(f"{args.store}: holds {store.modality} clips; accepted: a motion store of bodies")
    grounder, t = SentenceGrounder(), recipe.train
    clips, val = (
        find_captioned(store.clips(split), grounder, t.captions, t.every, twins)
        for split, twins in (("train", t.twins), ("val", 0))
    )
    run(EvaluatorStage(recipe, clips, val, runtime, str(args.store)), Path(args.output), runtime, args.until)
