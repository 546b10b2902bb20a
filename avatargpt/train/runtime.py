"""Processes and devices of a run: one or many processes, CPU or GPU, and signals to stop."""

from __future__ import annotations

import math
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import torch

from avatargpt.lm.devices import check_device, fast_bfloat16
from vqvae.errors import UserError


@dataclass
class Runtime:
    """Place of this process in a run."""

    # rank, world: of torch.distributed (0, 1 when alone)
    rank: int
    world: int
    device: torch.device  # of this process
    bf16: bool = True  # autocast to bfloat16, on every device that gains by it (4x float32 on CPUs with AVX-512 bf16)

    @classmethod
    def start(cls, threads: int | None = None, device: str | None = None) -> Runtime:
        """Set threads and device; join the process group when started by torchrun or deepspeed."""
        if threads:
            torch.set_num_threads(threads)
        # Moments of rows without gradients decay into denormal numbers, with which a CPU computes many times slower.
        torch.set_flush_denormal(True)
        rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        cuda = torch.cuda.is_available() and device != "cpu"
        # The number of the process on its machine, which chooses its GPU.
        local = int(os.environ.get("LOCAL_RANK", 0))
        where = torch.device(f"cuda:{local}" if cuda and device in (None, "cuda") else check_device(device))
        if cuda:
            torch.cuda.set_device(where)
            torch.backends.cuda.matmul.allow_tf32 = True
        if world > 1 and not torch.distributed.is_initialized():
            # gloo is the only backend for CPUs here.
            torch.distributed.init_process_group("nccl" if cuda else "gloo")
        return cls(rank, world, where, fast_bfloat16(where))

    @property
    def main(self) -> bool:
        return self.rank == 0

    def share(self, batch: int, where: str) -> int:
        """Rows of this process in a step of `batch` rows over all processes."""
        if batch < self.world or batch % self.world:
            raise UserError(f"{where}: batch {batch} over {self.world} processes; accepted: a multiple of them")
        return batch // self.world

    def mean(self, figures: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Means over the processes of numbers that all of them have under the same names."""
        if self.world == 1 or not figures:
            return dict(figures)
        # In one message, and in double precision: the log compares runs to the last digit.
        values = torch.stack([v.detach().double() for v in figures.values()]).to(self.device)
        torch.distributed.all_reduce(values)
        return dict(zip(figures, values / self.world, strict=True))

    @contextmanager
    def group_errors(self, out: str) -> Iterator[None]:
        """Turns the loss of another process of a run in folder `out` into a `UserError`."""
        try:
            yield
        except RuntimeError as e:
            # NCCL and the store have kinds of error for it, gloo its name alone
            lost = isinstance(e, torch.distributed.DistError) or "gloo" in str(e)
            if self.world == 1 or not lost:
                raise
            raise UserError(f"{out}: another process of this run has ended; what it said tells why, "
                            "and the same command goes on from the last checkpoint") from None  # fmt: skip

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)


def check_finite(value: torch.Tensor, name: str) -> None:
    """Raises UserError where `value` is not finite, before anything is saved that it has spoilt."""
    if not math.isfinite(float(value.detach())):
        raise UserError(f"train: the {name} became {float(value.detach())}; this step is not taken nor saved: "
                        "lower lr, or go on from the last checkpoint")  # fmt: skip


def cosine(step: int, total: int, warmup: int, peak: float, floor: float) -> float:
    """Learning rate at `step`: linear warm-up, then half a cosine from `peak` to `floor`."""
    if step < warmup:
        return peak * (step + 1) / warmup
    share = min(1.0, (step - warmup) / max(1, total - warmup))
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * share))


class StopSignal:
    """While entered, SIGTERM sets a flag instead of ending the process."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime, self._received = runtime, False
        self._before: Any = None

    def __enter__(self) -> Self:
        # Python allows signal handlers in the main thread only; elsewhere SIGTERM ends the process as usual.
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._receive)
        return self

    def _receive(self, *_: object) -> None:
        self._received = True

    @property
    def received(self) -> bool:
        """Whether any process got one: the same on all processes, so that none waits for another."""
        if self.runtime.world > 1:
            # One process may get the signal a step before the others: all stop where the first does.
            flag = torch.tensor([float(self._received)], device=self.runtime.device)
            torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MAX)
            self._received = bool(flag.item())
        return self._received

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
