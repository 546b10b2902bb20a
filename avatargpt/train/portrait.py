"""The portrait stage of `scripts/train.py`: pairs of pictures of a face with landmarks -> `avatargpt.face.portrait`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional as F

from avatargpt.config import Schedule
from avatargpt.face.portrait import Move, Portrait, PortraitNetwork, PortraitShape, as_tensor
from avatargpt.train.checkpoints import INSTEAD
from avatargpt.train.loop import run
from avatargpt.train.portrait_pictures import PortraitTake, all_points, draw, load_films, render_people
from avatargpt.train.processes import cores
from avatargpt.train.runtime import Runtime
from avatargpt.train.stage import Metrics, Stage, StepContext
from vqvae.errors import UserError
from vqvae.motion import atomic_write
from vqvae.strict import NonNegativeInt, PositiveInt, Rate, Strict

HELD_SEED = 7  # of held-out people
PICTURE = "portrait.png"
MIN_ERROR = 1e-10  # mean squared error of 100 dB, the highest figure
TOGETHER = 8  # pictures of a validation made in one pass


class PortraitData(Strict):
    """Section `data` of the configuration."""

    # people, frames: renders of our own head
    people: PositiveInt = 120
    frames: Annotated[int, Field(ge=2)] = 24
    held: NonNegativeInt = 8  # people that only validate
    held_frames: NonNegativeInt = 24  # of each video the last so many frames only validate


class PortraitTraining(Schedule):
    """Section `train` of the configuration."""

    steps: PositiveInt = 2000
    batch: PositiveInt = 12
    lr: Rate = 1.0e-3
    lr_floor: Rate = 1.0e-5
    warmup: NonNegativeInt = 50
    near: Rate = 3.0  # additional weight of pixels around landmarks
    edges: Rate = 1.0  # weight of the differences of neighbouring pixels
    paint: Rate = 0.05  # weight of the share of the picture that is painted, not moved
    colour: Rate = 0.0  # strength of random changes of colour, the same in both pictures


class PortraitRecipe(Strict):
    """A configuration of the portrait stage."""

    data: PortraitData = PortraitData()
    model: PortraitShape = PortraitShape()
    train: PortraitTraining = PortraitTraining()


def portrait_stage(recipe: PortraitRecipe, args: SimpleNamespace) -> None:
    """Train a picture of a face to be moved by landmarks."""
    runtime = Runtime.start(args.threads, args.device)
    data, size = recipe.data, recipe.model.size
    if args.clips:
        takes = load_films(Path(args.clips), size)
        cuts = [max(len(t.frames) - data.held_frames, 2) for t in takes]
        ends = [t.rows(slice(c, None)) for t, c in zip(takes, cuts, strict=True)]
        groups = [t.rows(slice(c)) for t, c in zip(takes, cuts, strict=True)], [t for t in ends if len(t.frames) > 1]
    else:
        workers = cores(args.threads)
        learnt = render_people(data.people, data.frames, size, 0, workers)
        groups = learnt, render_people(data.held, data.frames, size, HELD_SEED, workers)
    out = Path(args.output)
    run(PortraitStage(recipe, *groups, out, runtime, str(args.config)), out, runtime, args.until)


def loss_of(output: torch.Tensor, true: torch.Tensor, lines: torch.Tensor, weight: float, edges: float) -> torch.Tensor:
    """Mean absolute error, weighted up at landmarks, and that of the differences of neighbouring pixels."""
    # Landmarks are drawn as thin lines; the weight covers the area around them.
    side = 2 * (output.shape[-1] // 16) + 1
    weights = 1 + weight * F.max_pool2d(lines.amax(1, keepdim=True), side, 1, side // 2)
    loss = ((output - true).abs() * weights).sum() / (weights.sum() * 3)
    for dim in (2, 3):
        loss = loss + edges * (output.diff(dim=dim) - true.diff(dim=dim)).abs().mean()
    return loss


def recolour(pictures: Sequence[torch.Tensor], strength: float, seed: Sequence[int]) -> list[torch.Tensor]:
    """Pictures (B, 3, S, S) in other colours: channels mixed, contrast and brightness changed, in all alike."""
    rng, count = np.random.default_rng([*seed, 1]), len(pictures[0])
    mix = np.eye(3) + rng.normal(0, 0.25 * strength, (count, 3, 3))
    mix /= mix.sum(2, keepdims=True).clip(0.5)
    gamma = np.exp(rng.normal(0, 0.35 * strength, (count, 1, 1, 1)))
    where = pictures[0].device
    by, power = (torch.from_numpy(x.astype(np.float32)).to(where) for x in (mix, gamma))
    return [torch.einsum("bij,bjhw->bihw", by, x).clamp(1e-4, 1) ** power for x in pictures]


@torch.inference_mode()
def move_first_frame(network: PortraitNetwork, take: PortraitTake, frames: slice, device: torch.device) -> torch.Tensor:
    """(N, 3, S, S) the first frame of a take, moved by the landmarks of some of its frames."""
    seen = network.see(as_tensor(take.frames[:1], device), as_tensor(take.lines[:1], device))
    points = torch.from_numpy(all_points(take.points)).to(device)
    out = []
    for rows in torch.arange(len(take.frames))[frames].split(TOGETHER):
        carry = network.carry(points[:1].expand(len(rows), -1, -1), points[rows.to(device)])
        out.append(network.move(seen, as_tensor(take.lines[rows], device), carry).of(seen.picture).clamp(0, 1))
    return torch.cat(out)


def measure_portrait(network: PortraitNetwork, takes: Sequence[PortraitTake], device: torch.device) -> dict[str, float]:
    """Peak signal-to-noise ratio in dB of pictures of held-out people, and of the first frame unchanged.

    ``face_db`` and ``face_db_copy``: of the pixels around landmarks alone, in pictures that have some.
    """
    errors: dict[str, list[float]] = {"": [], "_copy": [], "face": [], "face_copy": []}
    for take in takes:
        first = as_tensor(take.frames[:1], device)
        true, lines = as_tensor(take.frames[1:], device), as_tensor(take.lines[1:], device)
        face = F.max_pool2d(lines.amax(1, keepdim=True), 5, 1, 2) > 0.3
        for output, name in (
            (move_first_frame(network, take, slice(1, None), device), ""),
            (first.expand_as(true), "_copy"),
        ):
            wrong = (output - true).square()
            errors[name] += wrong.mean((1, 2, 3)).tolist()
            pixels = 3 * face.sum((1, 2, 3))
            around = (wrong * face).sum((1, 2, 3)) / pixels.clamp(min=1)
            errors["face" + name] += around[pixels > 0].tolist()
    names = {"": "val_db", "_copy": "val_db_copy", "face": "face_db", "face_copy": "face_db_copy"}
    return {names[k]: float(-10 * np.log10(max(float(np.mean(v)), MIN_ERROR))) for k, v in errors.items() if v}


def sheet(
    network: PortraitNetwork, takes: Sequence[PortraitTake], path: Path, device: torch.device, columns: int = 5
) -> None:
    """A picture: of each person the first frame, then columns of landmarks, output and truth."""
    from PIL import Image

    rows = []
    for take in takes[:4]:
        step = max(1, (len(take.frames) - 1) // columns)
        shown = slice(1, 1 + step * columns, step)
        output = (move_first_frame(network, take, shown, device) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        cells = [np.concatenate(list(x), 1) for x in (take.lines[shown], output, take.frames[shown])]
        left = np.zeros((3 * take.frames.shape[1], take.frames.shape[1], 3), np.uint8)
        left[: take.frames.shape[1]] = take.frames[0]
        rows.append(np.concatenate([left, np.concatenate(cells, 0)], 1))
    width = min(r.shape[1] for r in rows)
    atomic_write(path, lambda p: Image.fromarray(np.concatenate([r[:, :width] for r in rows], 0)).save(p, format="PNG"))


class PortraitStage(Stage):
    """A portrait in training. Raises UserError where no person has two frames."""

    user = Portrait
    recipe: PortraitRecipe
    schedule: PortraitTraining

    def __init__(
        self, recipe: PortraitRecipe, takes: Sequence[PortraitTake], val: Sequence[PortraitTake], out: Path,
        runtime: Runtime, where: str,
    ) -> None:  # fmt: skip
        self.recipe, self.schedule, self.val, self.out, self.runtime = recipe, recipe.train, val, out, runtime
        t = self.schedule
        self.takes = [x for x in takes if len(x.frames) > 1]
        if not self.takes:
            raise UserError(f"{where}: nobody with two pictures to learn from")
        self.rows = runtime.share(t.batch, f"{where}: train")
        self.pictures = {x.name: len(x.frames) for x in self.takes}
        self.identity = {"shape": recipe.model.model_dump()}
        torch.manual_seed(t.seed)
        self.network = self.module = PortraitNetwork(recipe.model).to(runtime.device).train()
        self.optimizer = torch.optim.AdamW(self.network.parameters(), t.lr, weight_decay=t.weight_decay)

    def losses(self, module: Any, context: StepContext) -> tuple[torch.Tensor, Metrics]:
        device, pairs = self.runtime.device, draw(self.takes, self.rows, context.row_seed)
        first, here, lines, true = (as_tensor(x, device) for x in pairs[:4])
        if self.schedule.colour:
            first, true = recolour([first, true], self.schedule.colour, context.row_seed)
        points = torch.from_numpy(pairs.points).to(device)
        carry = self.network.carry(points[:, 0], points[:, 1])
        with self.runtime.autocast():
            move = module(first, here, lines, carry)
        output = Move(*(part.float() for part in move)).of(first)
        loss = loss_of(output, true, lines, self.schedule.near, self.schedule.edges)
        share = move.share.float().mean()
        return loss + self.schedule.paint * share, {"loss": loss, "share": share}

    def validate(self) -> dict[str, float]:
        if not self.val:
            return {}
        figures = measure_portrait(self.network.eval(), self.val, self.runtime.device)
        if self.runtime.main:
            sheet(self.network, self.val, self.out / PICTURE, self.runtime.device)
        self.network.train()
        return figures

    def state(self) -> dict[str, Any]:
        return {"seen": self.pictures}

    def restore(self, state: dict[str, Any]) -> None:
        """Raises UserError where it was trained on other pictures (take -> frames)."""
        before, now = state.get("seen", self.pictures), self.pictures
        changed = next((k for k in {**before, **now} if before.get(k) != now.get(k)), None)
        if changed is not None:
            counts = f"{changed}: {before.get(changed, 0)} frames, now {now.get(changed, 0)}"
            raise UserError(f"{self.out}: taught on other pictures ({counts}); {INSTEAD}")
