"""The portrait stage of `scripts/train.py`: pictures of faces with landmarks -> `avatargpt.face.portrait`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from avatargpt.face.portrait import Portrait, PortraitNetwork, PortraitShape, as_tensor
from avatargpt.train.checkpoints import INSTEAD, go_on, load_checkpoint, save_checkpoint
from avatargpt.train.data.portrait_clips import Take, filmed, rendered
from avatargpt.train.log import Log
from avatargpt.train.runtime import Runtime, check_keys, cosine, descend, from_mapping, load_yaml
from vqvae.errors import UserError
from vqvae.motion import atomic_write

SECTIONS = ("data", "model", "train")
HELD = 7  # seed that sets held-out people apart
PICTURE = "portrait.png"
EXACT = 1e-10  # least mean squared error that is told apart: 100 dB


@dataclass
class PortraitData:
    """What `configs/train/portrait.yaml` may set under `data`.

    Attributes:
        people, frames: renders of our own head. held: people that only validate. held_frames: of each video the last so
            many frames only validate.
    """

    people: int = 120
    frames: int = 24
    held: int = 8
    held_frames: int = 24


@dataclass
class PortraitTraining:
    """What `configs/train/portrait.yaml` may set under `train`.

    Attributes:
        near: how much more pixels around landmarks count. edges: weight of the differences of neighbouring pixels.
    """

    steps: int = 2000
    batch: int = 12
    lr: float = 1.0e-3
    lr_floor: float = 1.0e-5
    warmup: int = 50
    near: float = 3.0
    edges: float = 1.0
    seed: int = 0
    log_every: int = 25
    val_every: int = 500
    save_every: int = 250


def portrait_stage(args: argparse.Namespace) -> None:
    """Train a picture of a face to be moved by landmarks."""
    runtime = Runtime.start(args.threads, args.device)
    config = load_yaml(args.config)
    check_keys(config, SECTIONS, str(args.config))
    data = from_mapping(PortraitData, config.get("data"), f"{args.config}: data")
    shape = from_mapping(PortraitShape, config.get("model"), f"{args.config}: model")
    if args.clips:
        takes = filmed(Path(args.clips), shape.size)
        cuts = [max(len(t.frames) - data.held_frames, 2) for t in takes]
        rest = [t.part(slice(c, None)) for t, c in zip(takes, cuts, strict=True)]
        groups = [t.part(slice(c)) for t, c in zip(takes, cuts, strict=True)], [t for t in rest if len(t.frames) > 1]
    else:
        groups = (rendered(data.people, data.frames, shape.size, 0), rendered(data.held, data.frames, shape.size, HELD))
    train(config, *groups, Path(args.output), runtime, args.until, str(args.config))


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


def _check_seen(path: Path, before: dict[str, int], now: dict[str, int]) -> None:
    """Refuse to go on with other pictures (take -> frames) than those of the checkpoint."""
    other = [k for k in {**before, **now} if before.get(k) != now.get(k)]
    if other:
        told = f"{other[0]}: {before.get(other[0], 0)} frames, now {now.get(other[0], 0)}"
        raise UserError(f"{path}: taught on other pictures ({told}); {INSTEAD}")


def train(
    config: dict[str, Any], takes: Sequence[Take], held: Sequence[Take], out: Path, runtime: Runtime,
    until: int | None = None, where: str = "configuration",
) -> Portrait:
    """Run or resume training in folder `out`: checkpoint.pt, log.jsonl, losses.png, portrait.png, portrait.safetensors.

    Args:
        until: stop here with a checkpoint; the schedule stays that of all steps.

    Raises:
        UserError: unknown keys or values in `config`, no person with two frames, a damaged checkpoint, or one that was
            taught on other pictures.
    """
    from avatargpt.train.plot import plot_log

    check_keys(config, SECTIONS, where)
    t = from_mapping(PortraitTraining, config.get("train"), f"{where}: train")
    shape = from_mapping(PortraitShape, config.get("model"), f"{where}: model")
    takes = [x for x in takes if len(x.frames) > 1]
    if not takes:
        raise UserError(f"{where}: nobody with two pictures to learn from")
    torch.manual_seed(t.seed)
    network = PortraitNetwork(shape).to(runtime.device).train()
    optimizer = torch.optim.AdamW(network.parameters(), t.lr, weight_decay=0.01)
    last = out / "checkpoint.pt"
    saved = load_checkpoint(last, runtime.device, shape)
    seen = {x.name: len(x.frames) for x in takes}
    if saved:
        _check_seen(last, saved.get("seen", seen), seen)
    step = go_on(last, saved, network, optimizer) if saved else 0
    log = Log(out / "log.jsonl", runtime.main, t.steps, step)
    totals: list[float] = []
    stop = min(t.steps, until or t.steps)
    while step < stop:
        first, lines, true = (as_tensor(x).to(runtime.device) for x in draw(takes, t.batch, [t.seed, step]))
        with runtime.autocast():
            made = network(first, lines)
        loss = loss_of(made.float(), true, lines, t.near, t.edges)
        rate = cosine(step, t.steps, t.warmup, t.lr, t.lr_floor)
        descend(loss, network.parameters(), optimizer, 1.0, rate)
        step += 1
        totals.append(float(loss.detach()))
        log.advance(loss)
        if step % t.log_every == 0 or step == t.steps:
            log(step=step, loss=float(np.mean(totals)))
            totals = []
        if held and (step % t.val_every == 0 or step == t.steps):
            log(step=step, **measured(network.eval(), held, runtime.device))
            sheet(network, held, out / PICTURE, runtime.device)
            network.train()
        if step % t.save_every == 0 or step == stop:
            state = {"model": network.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "seen": seen}
            save_checkpoint(last, state, shape)
    log.close()
    portrait = Portrait(network.cpu())
    portrait.save(out)
    plot_log(out)
    return portrait
