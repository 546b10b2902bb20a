"""A run that is told to stop (SIGTERM) does so after the step that it is in, with a checkpoint."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

import torch

from avatargpt.train.running.runtime import Runtime


class Stopping:
    """While entered, SIGTERM sets a flag instead of ending the process; `asked` tells whether any process got one."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime, self._asked = runtime, False
        self._before: Any = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._hear)
        return self

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self._asked = True

    @property
    def asked(self) -> bool:
        """Whether to stop now: the same on all processes, so that none waits for another."""
        if self.runtime.world == 1:
            return self._asked
        flag = torch.tensor([float(self._asked)], device=self.runtime.device)
        torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MAX)
        self._asked = bool(flag.item())
        return self._asked

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:  # fmt: skip
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
