"""The upper-face stage of `scripts/train.py`: recorded faces -> `avatargpt.face.audio_model.upper`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avatargpt.config import Schedule
from avatargpt.face.audio_model.driver import Driver
from avatargpt.face.audio_model.idle import closures
from avatargpt.face.audio_model.upper import (
    COLUMNS,
    POSE,
    SHUT,
    STEP,
    WIDE,
    MouthSteps,
    UpperConfig,
    UpperNetwork,
    add_style,
    mouth_of,
    save_upper,
)
from avatargpt.speech.audio import load
from avatargpt.train.loop import run
from avatargpt.train.runtime import Runtime
from avatargpt.train.stage import Metrics, Stage, StepContext
from instruct_data.sources.face_files import read_livelink_folder
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.strict import NonNegativeInt, PositiveInt, Rate, Share, Strict

AROUND_BLINK = 8  # frames before and after a blink in which lids and brows still follow it
GAP = 12  # frames of a straight line, from which rows were missing
REST = 20  # percentile of a shape at which it rests
OPEN, CLOSED = 95, 20  # percentiles of the mouth's envelopes while speaking
JAW_SPEED, AROUND_SPEECH = 0.35, 1.5  # weights a second of a jaw that speaks; s over which it is averaged
MIN_SCALE = 0.03  # of a shape, in weights
STIRS = 0.3  # of the movements of silent people, which are left to those who return to rest
RIDGE = 0.02  # of the answer to the mouth
CALM = 0.7  # of a pose in silence, in standard deviations of speech: others are grimaces, and not learnt
MAX_SECONDS = 30.0  # of a sound that the driver's mouth is measured on


class UpperTraining(Schedule):
    """The section `train` of `configs/upper_face.yaml`."""

    window: PositiveInt = 120  # steps of 0.1 s
    noise: Rate = 0.15  # in the poses so far, in standard deviations, so that drawn poses do not drift
    held_out: str = ""  # part of the names of takes for the figures alone
    sounds: NonNegativeInt = 24  # of `--faces`, on which the driver's mouth is measured
    still: Share = 0.25  # of windows in which a face returns to rest, in so many seconds
    returns: Rate = 0.8
    largest: Rate = 0.15  # how much larger or smaller a window's poses may be, on a log scale


class UpperRecipe(Strict):
    """A configuration of the stage."""

    model: UpperConfig = UpperConfig()
    train: UpperTraining = UpperTraining()


@dataclass(frozen=True)
class Take:
    """A recorded face at 30 frames a second.

    Attributes:
        pose: (T, 12) deviations from rest of `upper.SHAPES` and the lids' opening, without blinks.
        mouth: (T, 5), see `upper.mouth_of`. speaks: (T,) bool. present: (T,) bool, where rows were recorded.
    """

    name: str
    pose: np.ndarray
    mouth: np.ndarray
    speaks: np.ndarray
    present: np.ndarray

    def mirrored(self) -> Take:
        """The other side of the same face."""
        swap = [COLUMNS.index(arkit.MIRROR[c]) for c in COLUMNS]
        return replace(self, pose=self.pose[:, [*swap, POSE - 1]])


def read_take(name: str, weights: np.ndarray, fps: float) -> Take:
    """Weights (T, 52) of a recorded face as a take."""
    shut = np.asarray(closures(weights, fps).any(1))
    shut = np.convolve(shut, np.ones(2 * AROUND_BLINK + 1), "same") > 0
    frames = np.arange(len(weights))
    opening = weights[:, WIDE].mean(1) - weights[:, SHUT].mean(1)
    raw = np.concatenate((weights[:, COLUMNS], opening[:, None]), 1).astype(np.float64)
    pose = np.stack([np.interp(frames, frames[~shut], x[~shut]) for x in raw.T], 1)
    rest = np.percentile(pose, REST, 0)
    rest[-1] = np.median(pose[:, -1])
    jaw = weights[:, arkit.INDEX["jawOpen"]].astype(np.float64)
    straight = np.abs(np.diff(jaw, 2, prepend=0, append=0)) < 1e-7
    lines = np.convolve(straight, np.ones(GAP), "same") >= GAP - 0.5
    missing = np.convolve(lines, np.ones(GAP), "same") > 0
    speaks = find_speech(np.abs(np.gradient(jaw)) * fps, fps)
    return Take(name, pose - rest, mouth_of(weights), speaks & ~missing, ~missing)


def find_speech(speed: np.ndarray, fps: float) -> np.ndarray:
    """(T,) weights a second of the jaw -> (T,) whether somebody speaks."""
    window = round(AROUND_SPEECH * fps)
    return np.asarray(np.convolve(speed, np.ones(window) / window, "same") > JAW_SPEED)


def read_takes(folder: str) -> list[Take]:
    """All takes of a folder. Raises UserError: none."""
    takes = []
    for clip in read_livelink_folder(folder):
        motion = clip.load().resampled(30.0)
        takes.append(read_take(clip.id, motion.weights, motion.fps))
    if not takes:
        raise UserError(f"{folder}: no takes in it; accepted: a folder of Live Link Face files")
    return takes


def measure_mouth(mouth: np.ndarray, speaks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(T, 5) -> (5,) envelopes of closed and open mouths, of frames in which somebody speaks."""
    steps = MouthSteps(30.0)
    envelopes = np.stack([steps.add(row)[: mouth.shape[1]] for row in mouth])
    low, high = np.percentile(envelopes[speaks], [CLOSED, OPEN], 0)
    return low.astype(np.float32), np.maximum(high, low + 0.02).astype(np.float32)


def measure_driver(driver: Driver, faces: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The same of the driver's mouth over recorded speech. Raises UserError: no sounds in the folder."""
    sounds = sorted(Path(faces).rglob("*.wav"))
    if not sounds:
        raise UserError(f"{faces}: no .wav in it; accepted: a folder with recorded speech")
    # Spread over the folder, whose parts are voices.
    chosen = sounds[:: max(len(sounds) // max(count, 1), 1)][:count]
    rows = []
    for path in chosen:
        samples, rate = load(path)
        rows.append(driver.drive(samples[: int(MAX_SECONDS * rate)], rate).weights)
    mouths = np.concatenate([mouth_of(w) for w in rows])
    jaw = np.concatenate([np.abs(np.gradient(w[:, arkit.INDEX["jawOpen"]])) * 30 for w in rows])
    return measure_mouth(mouths, find_speech(jaw, 30.0))


def log_likelihood(mixture: tuple[Tensor, Tensor, Tensor], target: Tensor) -> Tensor:
    """Mixture of (.., K) Gaussians, see `UpperNetwork.mixture`, at poses (.., D) -> (..)."""
    weights, means, spreads = mixture
    distance = ((target[..., None, :] - means) / spreads).square().sum(-1) / 2
    scale = spreads.log().sum(-1) + target.shape[-1] * 0.918939  # log(2 pi) / 2
    return torch.logsumexp(weights - distance - scale, -1)


@dataclass(frozen=True)
class Steps:
    """A take in steps of 0.1 s.

    Attributes:
        latent: (S + 2, D) poses, later their rests; those before step s are s + 1 and s, the one after it s + 2.
        seen: (S, 15), see `upper.MouthSteps`. speaks: (S,) bool. counts: (S,) weights of the loss.
        style: how lively the take is.
    """

    latent: np.ndarray
    seen: np.ndarray
    speaks: np.ndarray
    counts: np.ndarray
    style: float

    def without(self, answer: np.ndarray) -> Steps:
        """Of poses what is left without the answer (D, 20) to the mouth."""
        answers = _features(self) @ answer.T
        before = np.maximum(np.arange(-2, len(answers)), 0)
        return replace(self, latent=(self.latent - answers[before]).astype(np.float32))


def _features(steps: Steps) -> np.ndarray:
    """(S, 20), see `upper.add_style`."""
    return add_style(steps.seen, steps.style)


def _find_components(speech: Sequence[np.ndarray], latent: int) -> np.ndarray:
    """(D, 12) principal components of poses (T, 12) while speaking, along which these have a mean square of one."""
    rows = np.concatenate(speech)
    scale = np.maximum(np.sqrt(np.mean([p.var(0) for p in speech], 0)), MIN_SCALE)
    _, sizes, axes = np.linalg.svd(rows / scale, full_matrices=False)
    return np.asarray(sizes[:latent, None] / np.sqrt(len(rows)) * axes[:latent] * scale, np.float32)


def _fit_answer(steps: Sequence[Steps]) -> np.ndarray:
    """(D, 20) ridge regression of poses on what is seen of the mouth."""
    x = np.concatenate([_features(s)[s.counts > 0] for s in steps]).astype(np.float64)
    y = np.concatenate([s.latent[2:][s.counts > 0] for s in steps])
    return np.linalg.solve(x.T @ x + RIDGE * len(x) * np.eye(x.shape[1]), x.T @ y).T.astype(np.float32)


class UpperData:
    """Takes and their mirror images as steps, and the principal components of their poses.

    Attributes:
        basis: (D, 12) of components to deviations in weights. steps: of each take, at each of the three frames at which
            steps may begin.
    """

    def __init__(self, takes: Sequence[Take], latent: int, like: UpperData | None = None) -> None:
        speech = [np.concatenate((t.pose[t.speaks], t.mirrored().pose[t.speaks])) for t in takes]
        self.basis: np.ndarray = _find_components(speech, latent) if like is None else like.basis
        # Not orthogonal in weights: least squares.
        self.inverse = np.linalg.pinv(self.basis)
        spreads = np.log([np.sqrt(np.mean((p @ self.inverse).var(0))) for p in speech])
        self.styles = (spreads - spreads.mean()) / max(float(spreads.std()), 1e-3)
        pairs = zip(takes, self.styles.tolist(), strict=True)
        steps = [s for t, style in pairs for side in (t, t.mirrored()) for s in self._cut(side, style)]
        self.answer: np.ndarray = _fit_answer(steps) if like is None else like.answer
        self.steps = [s.without(self.answer) for s in steps]

    def _cut(self, take: Take, style: float) -> Iterator[Steps]:
        size = round(STEP * 30)
        low, high = measure_mouth(take.mouth, take.speaks)
        latent = (take.pose @ self.inverse).astype(np.float32)
        still = np.sqrt(np.mean(latent**2, 1)) < CALM
        counts = (take.present & (take.speaks | still)).astype(np.float32)
        for first in range(size):
            mouth, seen, at = MouthSteps(30.0, low, high), [], []
            for k in range(first, len(latent) - size + 1):
                now = mouth.add(take.mouth[k])
                if (k - first) % size == 0:
                    # As live: the pose that is drawn at a frame is reached two frames later.
                    seen.append(now)
                    at.append(k + size - 1)
            reached = np.array(at)
            poses = np.concatenate([np.maximum([at[0] - 2 * size, at[0] - size], 0), reached])
            yield Steps(latent[poses], np.stack(seen), take.speaks[reached], counts[reached], style)


class UpperStage(Stage):
    """The network in training.

    Args:
        takes: of recorded faces. mouth: the driver's, closed and open, see `measure_driver`.
    """

    def __init__(self, recipe: UpperRecipe, takes: Sequence[Take], mouth: tuple[np.ndarray, np.ndarray]) -> None:
        self.recipe, self.schedule = recipe, recipe.train
        name = recipe.train.held_out
        held = [t for t in takes if name and name in t.name]
        learnt = [t for t in takes if t not in held and t.speaks.any()]
        if not learnt or (name and not held):
            raise UserError(f"train: held_out: {name!r}; accepted: a part of the names of some takes, not of all: "
                            f"{', '.join(t.name for t in takes)}")  # fmt: skip
        self.data = UpperData(learnt, recipe.model.latent)
        self.held, self.held_takes = UpperData(held, recipe.model.latent, self.data) if held else None, held
        torch.manual_seed(recipe.train.seed)
        self.network = self.module = UpperNetwork(recipe.model)
        for buffer, value in zip((self.network.answer, self.network.basis, self.network.low, self.network.high),
                                 (self.data.answer, self.data.basis, *mouth), strict=True):  # fmt: skip
            buffer.copy_(torch.from_numpy(value))
        self.identity = {"shape": recipe.model.model_dump()}
        t = recipe.train
        self.optimizer = torch.optim.AdamW(self.network.parameters(), t.lr, weight_decay=t.weight_decay)
        lengths = np.array([float(s.counts.sum()) for s in self.data.steps])
        self._chances = lengths / lengths.sum()

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """Windows: poses before (B, S, 2 D), what is seen (B, S, 6), styles (B, S, 1), poses (B, S, D), counts."""
        t, rows = self.schedule, []
        for number in rng.choice(len(self.data.steps), t.batch, p=self._chances):
            steps = self.data.steps[number]
            begin = int(rng.integers(max(len(steps.seen) - t.window, 0) + 1))
            part = slice(begin, begin + t.window)
            rests = steps.latent[begin : begin + t.window + 2] * np.exp(t.largest * rng.standard_normal())
            seen, speaks, counts = steps.seen[part], steps.speaks[part], steps.counts[part]
            if rng.random() < t.still:
                # Who has spoken returns to rest, from wherever the face is.
                falls = np.exp(-STEP / t.returns * np.arange(len(rests)))[:, None]
                stirs = 0.0 if speaks.any() else STIRS * (rests - rests[0])
                rests = rng.uniform(0.2, 1.2) * rests[rng.integers(len(rests))] * falls + stirs
                seen, speaks, counts = 0 * seen, 0 * speaks, 0 * counts + 1
            noise = t.noise * rng.standard_normal((3, len(counts), rests.shape[1]))
            past = np.concatenate((rests[1:-1] + noise[0] + noise[1] / 3, rests[:-2] + noise[0] + noise[2] / 3), 1)
            # Who is silent is calm whatever the style.
            style = np.where(speaks, steps.style, rng.uniform(-1.5, 1.5)) + 0.2 * rng.standard_normal()
            rows.append((past, seen, style[:, None], rests[2:], counts))
        size = min(len(r[0]) for r in rows)
        columns = zip(*rows, strict=True)
        return tuple(torch.from_numpy(np.stack([x[:size] for x in xs]).astype(np.float32)) for xs in columns)

    def losses(self, module: Any, context: StepContext) -> tuple[Tensor, Metrics]:
        past, seen, style, target, counts = self.draw(np.random.default_rng(context.row_seed))
        score = log_likelihood(module(past, seen, style), target)
        loss = -(score * counts).sum() / counts.sum().clamp(min=1)
        return loss, {"loss": loss}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Mean negative log-likelihood of steps of the held-out takes while speaking."""
        if self.held is None:
            return {}
        self.network.eval()
        total, count = 0.0, 0.0
        for steps in self.held.steps:
            past = np.concatenate((steps.latent[1:-1], steps.latent[:-2]), 1)
            style = torch.full((1, len(past), 1), float(np.clip(steps.style, -2, 2)))
            tensors = (torch.from_numpy(x.astype(np.float32))[None] for x in (past, steps.seen, steps.latent[2:]))
            before, seen, target = tensors
            score = log_likelihood(self.network(before, seen, style), target)[0]
            counts = torch.from_numpy(steps.counts * steps.speaks)
            total, count = total - float((score * counts).sum()), count + float(counts.sum())
        self.network.train()
        return {"val_loss": total / max(count, 1.0)}

    def save(self, out: Path) -> None:
        save_upper(self.network, out)


def upper_face_stage(recipe: UpperRecipe, args: argparse.Namespace) -> None:
    """Train (or resume training) the network of the upper face."""
    runtime = Runtime.start(args.threads, "cpu")
    takes = read_takes(args.takes)
    mouth = measure_driver(Driver.load(args.driver or None), args.faces, recipe.train.sounds)
    run(UpperStage(recipe, takes, mouth), Path(args.output), runtime, args.until)
