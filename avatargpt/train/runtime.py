"""One or many processes, CPU or GPU: what every trainer needs."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from vqvae.errors import UserError
from vqvae.motion import atomic_write


@dataclass
class Runtime:
    """Where this process runs.

    Attributes:
        rank, world: of torch.distributed (0, 1 when alone).
        device: this process's device.
        autocast: bf16 on every device that has it (4x float32 on CPUs with AVX-512 bf16).
    """

    rank: int
    world: int
    device: torch.device
    bf16: bool = True

    @classmethod
    def start(cls, threads: int | None = None, device: str | None = None, bf16: bool = True) -> Runtime:
        """Set threads and device; join the process group when started by torchrun or deepspeed."""
        if threads:
            torch.set_num_threads(threads)
        rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        cuda = torch.cuda.is_available() and device != "cpu"
        local = int(os.environ.get("LOCAL_RANK", 0))
        where = torch.device(device or (f"cuda:{local}" if cuda else "cpu"))
        if cuda:
            torch.cuda.set_device(where)
            torch.backends.cuda.matmul.allow_tf32 = True
        if world > 1 and not torch.distributed.is_initialized():
            torch.distributed.init_process_group("nccl" if cuda else "gloo")
        return cls(rank, world, where, bf16)

    @property
    def main(self) -> bool:
        return self.rank == 0

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)


class Log:
    """Appends one JSON line per report to a file and prints it."""

    def __init__(self, path: Path, main: bool) -> None:
        self.path, self.main, self.begin = path, main, time.time()
        if main:
            path.parent.mkdir(parents=True, exist_ok=True)

    def __call__(self, **values: Any) -> None:
        if not self.main:
            return
        row = {k: round(v, 5) if isinstance(v, float) else v for k, v in values.items()}
        row["minutes"] = round((time.time() - self.begin) / 60, 2)
        with self.path.open("a") as f:
            f.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)


def load_yaml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A configuration file as a dict.

    Raises:
        UserError: missing or not a YAML mapping.
    """
    try:
        data = yaml.safe_load(Path(path).read_text())
    except OSError as e:
        raise UserError(f"{path}: {e.strerror}") from None
    except yaml.YAMLError as e:
        raise UserError(f"{path}: not YAML ({str(e).splitlines()[0]})") from None
    if not isinstance(data, dict):
        raise UserError(f"{path}: not a YAML mapping")
    return data


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    atomic_write(path, lambda p: torch.save(state, p))


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any] | None:
    """The last checkpoint, or None. Only tensors and plain containers are read (weights_only)."""
    if not path.is_file():
        return None
    return torch.load(path, map_location=device, weights_only=True)


def cosine(step: int, total: int, warmup: int, peak: float, floor: float) -> float:
    """Learning rate at `step`: linear warm-up, then half a cosine from `peak` to `floor`."""
    import math

    if step < warmup:
        return peak * (step + 1) / warmup
    share = min(1.0, (step - warmup) / max(1, total - warmup))
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * share))
