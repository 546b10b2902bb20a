"""Who else is told how a run goes: TensorBoard and Weights & Biases, beside log.jsonl, log.csv and losses.png."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from avatargpt.config import WatcherName
from vqvae.errors import UserError
from vqvae.motion import atomic_write

EXTRA = "pip install 'avatargpt[watch]'"
PROJECT, ID = "avatargpt", "wandb.id"


class Watcher(Protocol):
    """Takes figures and pictures of a run as they come."""

    def figures(self, step: int, values: Mapping[str, float]) -> None: ...

    def picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        """(H, W, 3) uint8."""

    def close(self) -> None: ...


class TensorBoard:
    """Events in ``tensorboard`` of the run's folder.

    Raises:
        UserError: not installed.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any]) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UserError(f"train: watch: tensorboard: not installed; install it: {EXTRA}") from None
        self.writer = SummaryWriter(str(out / "tensorboard"))

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        self.writer.add_image(name, pixels, step, dataformats="HWC")

    def close(self) -> None:
        self.writer.close()


class Wandb:
    """A run of Weights & Biases, offline without a key; a resumed run keeps its id (``wandb.id`` of the run's folder).

    Raises:
        UserError: not installed.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any]) -> None:
        try:
            import wandb
        except ImportError:
            raise UserError(f"train: watch: wandb: not installed; install it: {EXTRA}") from None
        known = out / ID
        name = known.read_text(encoding="utf-8").strip() if known.is_file() else secrets.token_hex(4)
        if not known.is_file():
            atomic_write(known, lambda p: p.write_text(name, encoding="utf-8"))
        keyed = bool(os.environ.get("WANDB_API_KEY"))
        mode = os.environ.get("WANDB_MODE", "online" if keyed else "offline")
        self.wandb: Any = wandb
        self.run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT), dir=str(out), id=name, resume="allow", name=out.name,
            config=dict(settings), mode=mode,  # type: ignore[arg-type]
        )  # fmt: skip

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        self.run.log(dict(values), step=step)

    def picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        self.run.log({name: self.wandb.Image(pixels)}, step=step)

    def close(self) -> None:
        self.run.finish()


WATCHERS: dict[WatcherName, type[TensorBoard] | type[Wandb]] = {"tensorboard": TensorBoard, "wandb": Wandb}


def watchers(names: Sequence[WatcherName], out: Path, settings: Mapping[str, Any]) -> list[Watcher]:
    """Those that a configuration names under `train: watch`.

    Args:
        settings: the resolved configuration.

    Raises:
        UserError: one that is not installed.
    """
    return [WATCHERS[name](out, settings) for name in names]
