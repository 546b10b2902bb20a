"""The film-bodies stage of `scripts/train.py`: clips of bodies, filmed by chance -> `avatargpt.video.body_network`."""

from __future__ import annotations

import argparse
import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import roma
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from avatargpt.config import Schedule
from avatargpt.train.film_landmarks import Detector, drop_frames, film, forth_and_back, loosen, sits
from avatargpt.train.loop import run
from avatargpt.train.runtime import Runtime
from avatargpt.train.stage import AveragedStage, Metrics, StepContext
from avatargpt.video.body_network import Body, BodyNet, FilmReader, FilmShape, Seen, see, smooth, turn_about_y
from instruct_data.clip import Clip
from instruct_data.factory.synth.families import VALIDATION, families, keyframed
from instruct_data.sources.quantised import read_quantised
from vqvae.errors import UserError
from vqvae.rotations import matrix_from_quaternion
from vqvae.skeleton import SMPL22, TOES
from vqvae.strict import NonNegativeInt, PositiveInt, Rate, Strict

UPPER = [j for j, n in enumerate(SMPL22.names) if j and n[2:] not in ("hip", "knee", "ankle", "foot")]
CONTACT_SPEED, CONTACT_HEIGHT = 0.02, 0.07  # m a frame, m of a toe that stands
TRUNK, ROOT = 2.0, 4.0  # weights of rotations of hips, shoulders and spine, and of the pelvis
WEIGHTS = {"rotations": 2.0, "doubt": 0.1, "places": 6.0, "speeds": 8.0, "height": 3.0, "velocity": 8.0,
           "contacts": 0.1, "up": 1.0, "slides": 3.0}  # fmt: skip


class FilmTraining(Schedule):
    """The section `train` of `configs/film_bodies.yaml`."""

    frames: PositiveInt = 48  # of a row, at 20 a second
    ema: Rate = 0.995  # decay of the mean of the weights
    keyframes: NonNegativeInt = 4  # clips of each of our key-framed families, which sit, kneel, lie and handle things
    seated: Rate = 6.0  # how much oftener clips are drawn whose people sit
    loose: Rate = 0.6  # share of rows whose joints are turned further, half of them with another row's upper body
    looser: Rate = 1.3  # by how much at most
    linear: PositiveInt = 40  # batches that the linear part begins with, by ridge regression
    weights: dict[str, Rate] = {}  # of sources by name, 1 for the others; nothing is learnt from those of 0


class FilmRecipe(Strict):
    """A configuration of the stage."""

    model: FilmShape = FilmShape()
    train: FilmTraining = FilmTraining()


class Truth(NamedTuple):
    """What the network is to say of B rows of T frames; see `Body`. joints: (B, T, 22, 3) about the pelvis."""

    rotations: torch.Tensor
    joints: torch.Tensor
    height: torch.Tensor
    velocity: torch.Tensor
    contacts: torch.Tensor
    up: torch.Tensor


class Clips:
    """Motions of a split, in one piece: those that are too short are played forth and back."""

    def __init__(self, folders: str, split: str, train: FilmTraining) -> None:
        rotations, roots, weights, starts = [], [], [], [0]
        for clip in self._clips(folders, split, train.keyframes):
            if not (weight := train.weights.get(clip.source, 1.0)):
                continue
            motion = clip.load()
            at = forth_and_back(len(motion), max(len(motion), train.frames))
            seated = bool(sits(torch.from_numpy(motion.joints[None])))
            rotations.append((motion.rotations[at] * 32767).astype(np.int16))
            roots.append(motion.root[at].astype(np.float32))
            starts.append(starts[-1] + len(at))
            weights.append(weight * len(at) ** 0.7 * (train.seated if seated else 1.0))
        if not weights:
            raise UserError(f"{folders}: no clips of the split {split}")
        self.rotations, self.roots = (torch.from_numpy(np.concatenate(x)) for x in (rotations, roots))
        self.starts, self.train = np.array(starts), train
        self.share = np.array(weights) / np.sum(weights)

    @staticmethod
    def _clips(folders: str, split: str, keyframes: int) -> Iterator[Clip]:
        """Recorded ones, then those of our key frames."""
        for folder in folders.split(","):
            yield from read_quantised(folder, split)
        seeds = range(keyframes) if split == "train" else range(VALIDATION, VALIDATION + min(keyframes, 1))
        for family in families().values():
            yield from keyframed(family, seeds)

    def draw(self, count: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, T, 22, 3, 3) local rotations and (B, T, 3) roots: clips and mirrored clips, mixed, loosened."""
        t = self.train
        which = rng.choice(len(self.share), count, p=self.share)
        room = self.starts[which + 1] - self.starts[which] - t.frames
        at = torch.from_numpy(self.starts[which] + rng.integers(0, room + 1))[:, None] + torch.arange(t.frames)
        turns, root = self.rotations[at].float(), self.roots[at].clone()
        other = torch.rand(count) < 0.5
        turns[other] = turns[other][:, :, torch.from_numpy(SMPL22.mirror)] * torch.tensor([1.0, 1, -1, -1])
        root[other] *= torch.tensor([-1.0, 1, 1])
        turns = matrix_from_quaternion(roma.quat_normalize(turns))
        looser = torch.rand(count) < t.loose
        before = SMPL22.fk_torch(turns, root)[..., 1].amin(-1)
        mixed = looser & (torch.rand(count) < 0.5)
        chosen, upper = turns[torch.randperm(count)], torch.tensor([j in UPPER for j in range(22)])[:, None, None]
        turns = torch.where(mixed[:, None, None, None, None] & upper, chosen, turns)
        turns = loosen(turns, t.looser * torch.rand(count) * looser)
        rise = before - SMPL22.fk_torch(turns, root)[..., 1].amin(-1)
        root[..., 1] += torch.where(looser[:, None], smooth(rise[..., None, None], 0.2)[..., 0, 0], 0.0)
        return turns, root


def draw(clips: Clips, detector: Detector, count: int, rng: np.random.Generator) -> tuple[Seen, Truth]:
    """Rows as the network sees them, and the truth about them in the same frame."""
    turns, root = clips.draw(count, rng)
    joints, turned = SMPL22.fk_global_torch(turns, root)
    marks, yaw, axes = film(joints, turned, detector)
    seen = see(drop_frames(marks))
    back = yaw[:, None] - seen.heading
    place = turn_about_y(root, yaw[:, None])
    step = torch.diff(place, dim=1, prepend=2 * place[:, :1] - place[:, 1:2])
    toes = joints[:, :, list(TOES)]
    speed = torch.diff(toes, dim=1, prepend=2 * toes[:, :1] - toes[:, 1:2]).norm(dim=-1)
    turns[:, :, 0] = turn_about_y(turns[:, :, 0].transpose(-1, -2), back[..., None]).transpose(-1, -2)
    return seen, Truth(
        turns, turn_about_y(joints - root[:, :, None], back[..., None]), root[..., 1],
        turn_about_y(step, -seen.heading), ((speed < CONTACT_SPEED) & (toes[..., 1] < CONTACT_HEIGHT)).float(),
        turn_about_y(axes[..., 1][:, None].expand_as(root), -seen.heading),
    )  # fmt: skip


def six(turns: torch.Tensor) -> torch.Tensor:
    """The first two columns of matrices (..., 3, 3) -> (..., 6)."""
    return turns[..., :2].transpose(-1, -2).flatten(-2)


def measure(body: Body, truth: Truth) -> Metrics:
    """The parts of the loss."""
    weight = torch.ones(22)
    weight[0], weight[[1, 2, 3, 6, 9, 16, 17]] = ROOT, TRUNK
    joints = SMPL22.fk_torch(body.rotations, torch.zeros_like(body.velocity))
    faster = torch.diff(joints - truth.joints, dim=1)
    slides = faster[:, :, list(TOES)] + (body.velocity - truth.velocity)[:, 1:, None]
    off = (joints - truth.joints).square().sum(-1).add(1e-6).sqrt()
    return {
        "rotations": (six(body.rotations) - six(truth.rotations)).abs().mean((0, 1, 3)) @ weight / weight.sum(),
        "doubt": (off * (-body.doubt).exp() + body.doubt)[..., 1:].mean(), "places": off.mean(),
        "speeds": faster.norm(dim=-1).mean(), "slides": (slides.norm(dim=-1) * truth.contacts[:, 1:]).mean(),
        "height": (body.height - truth.height).abs().mean(), "velocity": (body.velocity - truth.velocity).abs().mean(),
        "contacts": binary_cross_entropy_with_logits(body.contacts, truth.contacts),
        "up": (body.up - truth.up).norm(dim=-1).mean(),
    }  # fmt: skip


class FilmBodyStage(AveragedStage):
    """The network in training."""

    def __init__(
        self, recipe: FilmRecipe, learnt: Clips, held: Clips, detector: Detector, start: str | None = None
    ) -> None:
        self.recipe, self.schedule, self.learnt, self.detector = recipe, recipe.train, learnt, detector
        t = recipe.train
        torch.manual_seed(t.seed)
        network = BodyNet(recipe.model)
        rng = np.random.default_rng(t.seed)
        self.held = [draw(held, detector, t.batch, rng) for _ in range(4)]
        if start is None:
            self._begin_linear(network, [draw(learnt, detector, t.batch, rng) for _ in range(t.linear)])
        self.network = self.module = network if start is None else FilmReader.load(start).network.train()
        self.identity = {"shape": recipe.model.model_dump()}
        self.optimizer = torch.optim.AdamW(self.network.parameters(), t.lr, (0.9, 0.98), weight_decay=t.weight_decay)
        self.averaged = FilmReader(copy.deepcopy(self.network).eval())
        self.start_mean()

    @torch.no_grad()
    def _begin_linear(self, network: BodyNet, rows: list[tuple[Seen, Truth]]) -> None:
        """The linear part by ridge regression."""
        seen = torch.cat([s.numbers.unfold(1, 3, 1).flatten(-2).flatten(0, 1) for s, _ in rows])
        seen = torch.cat([seen, torch.ones(len(seen), 1)], -1).double()
        answers = torch.cat([
            torch.cat([six(t.rotations).flatten(-2), t.height[..., None], t.velocity, 2 * t.contacts - 1,
                       torch.full((*t.height.shape, 22), -2.5), t.up], -1)[:, 1:-1].flatten(0, 1)
            for _, t in rows
        ]).double()  # fmt: skip
        square = seen.T @ seen + 1e-3 * len(seen) * torch.eye(seen.shape[1], dtype=torch.float64)
        found = torch.linalg.solve(square, seen.T @ answers).float()
        direct = network.direct
        direct.weight.copy_(found[:-1].T.unflatten(-1, direct.weight.shape[1:]))
        assert direct.bias is not None
        direct.bias.copy_(found[-1])

    def losses(self, module: Any, context: StepContext) -> tuple[torch.Tensor, Metrics]:
        rows = draw(self.learnt, self.detector, self.schedule.batch, np.random.default_rng(context.row_seed))
        with torch.autocast("cpu", torch.bfloat16):
            parts = measure(module(rows[0].numbers), rows[1])
        return torch.stack([WEIGHTS[k] * v for k, v in parts.items()]).sum(), {k: v.detach() for k, v in parts.items()}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        network = self.copy_network().network
        rows = [measure(network(seen.numbers), truth) for seen, truth in self.held]
        return {f"val_{k}": float(np.mean([float(r[k]) for r in rows])) for k in rows[0]}


def film_bodies_stage(recipe: FilmRecipe, args: argparse.Namespace) -> None:
    """Train (or resume training) the network that reads bodies off the landmarks of films."""
    runtime = Runtime.start(args.threads, "cpu")
    learnt, held = (Clips(args.corpus, split, recipe.train) for split in ("train", "val"))
    stage = FilmBodyStage(recipe, learnt, held, Detector.load(args.detector), args.start)
    run(stage, Path(args.output), runtime, args.until)
