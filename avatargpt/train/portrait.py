"""The portrait stage of `scripts/train.py`: pictures of faces with landmarks -> `avatargpt.face.portrait`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional as F

from avatargpt.config import Schedule, save_resolved
from avatargpt.face.portrait import Portrait, PortraitNetwork, PortraitShape, as_tensor
from avatargpt.train.data.portrait_clips import Take, filmed, rendered
from avatargpt.train.loop import run
from avatargpt.train.running.checkpoints import INSTEAD
from avatargpt.train.running.runtime import Runtime
from avatargpt.train.running.stage import Metrics, StageBase, StepContext
from vqvae.errors import UserError
from vqvae.motion import atomic_write
from vqvae.strict import NonNegativeInt, PositiveInt, Rate, Strict

HELD = 7  # seed that sets held-out people apart
PICTURE = "portrait.png"
EXACT = 1e-10  # least mean squared error that is told apart: 100 dB


class PortraitData(Strict):
    """What `configs/train/portrait.yaml` may set under `data`.

    Attributes:
        people, frames: renders of our own head. held: people that only validate. held_frames: of each video the last so
            many frames only validate.
    """

    people: PositiveInt = 120
    frames: Annotated[int, Field(ge=2)] = 24
    held: NonNegativeInt = 8
    held_frames: NonNegativeInt = 24


class PortraitTraining(Schedule):
    """What `configs/train/portrait.yaml` may set under `train`.

    Attributes:
        near: how much more pixels around landmarks count. edges: weight of the differences of neighbouring pixels.
    """

    steps: PositiveInt = 2000
    batch: PositiveInt = 12
    lr: Rate = 1.0e-3
    lr_floor: Rate = 1.0e-5
    warmup: NonNegativeInt = 50
    weight_decay: Rate = 0.01
    clip: Rate = 1.0
    near: Rate = 3.0
    edges: Rate = 1.0
    log_every: PositiveInt = 25
    save_every: PositiveInt = 250
    val_every: PositiveInt = 500


class PortraitRecipe(Strict):
    """A configuration of the portrait stage."""

    data: PortraitData = PortraitData()
    model: PortraitShape = PortraitShape()
    train: PortraitTraining = PortraitTraining()


def portrait_stage(recipe: PortraitRecipe, args: argparse.Namespace) -> None:
    """Train a picture of a face to be moved by landmarks."""
    runtime = Runtime.start(args.threads, args.device)
    data, size = recipe.data, recipe.model.size
    if args.clips:
        takes = filmed(Path(args.clips), size)
        cuts = [max(len(t.frames) - data.held_frames, 2) for t in takes]
        rest = [t.part(slice(c, None)) for t, c in zip(takes, cuts, strict=True)]
        groups = [t.part(slice(c)) for t, c in zip(takes, cuts, strict=True)], [t for t in rest if len(t.frames) > 1]
    else:
        groups = (rendered(data.people, data.frames, size, 0), rendered(data.held, data.frames, size, HELD))
    train(recipe, *groups, Path(args.output), runtime, args.until, str(args.config))


def loss_of(made: torch.Tensor, true: torch.Tensor, lines: torch.Tensor, near: float, edges: float) -> torch.Tensor:
    """Mean absolute error, more where the face's lines are, and that of the differences of neighbouring pixels."""
    side = 2 * (made.shape[-1] // 16) + 1
    weight = 1 + near * F.max_pool2d(lines.amax(1, keepdim=True), side, 1, side // 2)
    loss = ((made - true).abs() * weight).sum() / (weight.sum() * 3)
    for dim in (2, 3):
        loss = loss + edges * (made.diff(dim=dim) - true.diff(dim=dim)).abs().mean()
    return loss


def draw(takes: Sequence[Take], batch: int, seed: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames j, landmark images i and frames i of the same person, each (B, S, S, 3) uint8."""
    rng = np.random.default_rng(list(seed))
    rows = []
    for k in rng.integers(len(takes), size=batch):
        j, i = rng.choice(len(takes[int(k)].frames), 2, replace=False)
        rows.append((takes[int(k)].frames[j], takes[int(k)].lines[i], takes[int(k)].frames[i]))
    a, b, c = (np.stack(x) for x in zip(*rows, strict=True))
    return a, b, c


def measured(network: PortraitNetwork, takes: Sequence[Take], device: torch.device) -> dict[str, float]:
    """Peak signal-to-noise ratio in dB of pictures of held-out people, and of the first frame as it stands.

    ``face_db`` and ``face_db_copy``: of the pixels around landmarks alone, in pictures that have some.
    """
    errors: dict[str, list[float]] = {"": [], "_copy": [], "face": [], "face_copy": []}
    with torch.inference_mode():
        for take in takes:
            first = as_tensor(take.frames[:1]).to(device)
            true, lines = as_tensor(take.frames[1:]).to(device), as_tensor(take.lines[1:]).to(device)
            near = F.max_pool2d(lines.amax(1, keepdim=True), 5, 1, 2) > 0.3
            for made, name in ((network(first.expand_as(true), lines), ""), (first.expand_as(true), "_copy")):
                wrong = (made.clamp(0, 1) - true).square()
                errors[name] += wrong.mean((1, 2, 3)).tolist()
                pixels = 3 * near.sum((1, 2, 3))
                around = (wrong * near).sum((1, 2, 3)) / pixels.clamp(min=1)
                errors["face" + name] += around[pixels > 0].tolist()
    names = {"": "val_db", "_copy": "val_db_copy", "face": "face_db", "face_copy": "face_db_copy"}
    return {names[k]: float(-10 * np.log10(max(float(np.mean(v)), EXACT))) for k, v in errors.items() if v}


def sheet(network: PortraitNetwork, takes: Sequence[Take], path: Path, device: torch.device, columns: int = 5) -> None:
    """A picture: of each person the first frame, then landmarks over what was made over what is true."""
    from PIL import Image

    rows = []
    with torch.inference_mode():
        for take in takes[:4]:
            lines = take.lines[1 : columns + 1]
            first = as_tensor(take.frames[:1]).to(device).expand(len(lines), -1, -1, -1)
            made = network(first, as_tensor(lines).to(device)).clamp(0, 1)
            made8 = (made * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
            cells = [np.concatenate(list(x), 1) for x in (lines, made8, take.frames[1 : columns + 1])]
            left = np.zeros((3 * take.frames.shape[1], take.frames.shape[1], 3), np.uint8)
            left[: take.frames.shape[1]] = take.frames[0]
            rows.append(np.concatenate([left, np.concatenate(cells, 0)], 1))
    width = min(r.shape[1] for r in rows)
    atomic_write(path, lambda p: Image.fromarray(np.concatenate([r[:, :width] for r in rows], 0)).save(p, format="PNG"))


class PortraitStage(StageBase):
    """A portrait in training: see `avatargpt.train.loop.Stage`."""

    def __init__(
        self, recipe: PortraitRecipe, takes: Sequence[Take], held: Sequence[Take], out: Path, runtime: Runtime,
        where: str,
    ) -> None:  # fmt: skip
        self.recipe, self.schedule, self.held, self.out, self.runtime = recipe, recipe.train, held, out, runtime
        t = self.schedule
        self.takes = [x for x in takes if len(x.frames) > 1]
        if not self.takes:
            raise UserError(f"{where}: nobody with two pictures to learn from")
        self.rows = runtime.share(t.batch, f"{where}: train")
        self.seen = {x.name: len(x.frames) for x in self.takes}
        self.identity = {"shape": recipe.model.model_dump()}
        torch.manual_seed(t.seed)
        self.network = self.module = PortraitNetwork(recipe.model).to(runtime.device).train()
        self.optimizer = torch.optim.AdamW(self.network.parameters(), t.lr, weight_decay=t.weight_decay)

    def losses(self, module: Any, context: StepContext) -> tuple[torch.Tensor, Metrics]:
        drawn = draw(self.takes, self.rows, context.row_seed)
        first, lines, true = (as_tensor(x).to(self.runtime.device) for x in drawn)
        with self.runtime.autocast():
            made = module(first, lines)
        loss = loss_of(made.float(), true, lines, self.schedule.near, self.schedule.edges)
        return loss, {"loss": loss}

    def validate(self) -> dict[str, float]:
        if not self.held:
            return {}
        found = measured(self.network.eval(), self.held, self.runtime.device)
        if self.runtime.main:
            sheet(self.network, self.held, self.out / PICTURE, self.runtime.device)
        self.network.train()
        return found

    def state(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def restore(self, state: dict[str, Any]) -> None:
        """Raises UserError: it was trained on other pictures (take -> frames)."""
        before, now = state.get("seen", self.seen), self.seen
        other = next((k for k in {**before, **now} if before.get(k) != now.get(k)), None)
        if other is not None:
            told = f"{other}: {before.get(other, 0)} frames, now {now.get(other, 0)}"
            raise UserError(f"{self.out}: taught on other pictures ({told}); {INSTEAD}")

    def save(self, out: Path) -> None:
        Portrait(self.network).save(out)
        self.network.train()
        save_resolved(self.recipe, out)


def train(
    recipe: PortraitRecipe, takes: Sequence[Take], held: Sequence[Take], out: Path, runtime: Runtime,
    until: int | None = None, where: str = "configuration",
) -> Portrait:  # fmt: skip
    """Run or resume training in folder `out`: checkpoint.pt, log.jsonl, losses.png, portrait.png, portrait.safetensors.

    Args:
        until: stop here with a checkpoint; the schedule stays that of all steps.
        where: the configuration's name, for messages.

    Raises:
        UserError: no person with two frames, a damaged checkpoint, or one that was trained on other pictures.
    """
    stage = PortraitStage(recipe, takes, held, out, runtime, where)
    run(stage, out, runtime, until)
    return Portrait(stage.network.cpu())
