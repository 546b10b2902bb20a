"""The moving average of a network's weights, which often serves better than the last ones (Polyak 1992)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


class MovingAverage:
    """Exponential moving average, in float32, of what is trained in a network.

    After n steps an average keeps ``min(decay, (1 + n) / (10 + n))`` of itself, so that it soon forgets the beginning.

    Args:
        decay: at least 0 and below 1; 0 = there is no average, and the weights serve as they are.
    """

    def __init__(self, network: torch.nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.learnt = {name: p for name, p in network.named_parameters() if decay and p.requires_grad}
        self.mean = self._copy()

    def _copy(self) -> dict[str, torch.Tensor]:
        return {name: p.detach().float().clone() for name, p in self.learnt.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights of one more step."""
        self.steps += 1
        kept = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, p in self.learnt.items():
            self.mean[name].lerp_(p.detach().float(), 1 - kept)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside, the network has the averaged weights; behind it, its own to the bit."""
        own = {name: p.detach().clone() for name, p in self.learnt.items()}
        self._write(self.mean)
        try:
            yield
        finally:
            self._write(own)

    @torch.no_grad()
    def _write(self, values: dict[str, torch.Tensor]) -> None:
        for name, p in self.learnt.items():
            p.copy_(values[name])

    def state(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"ema": {"steps": self.steps, "mean": self.mean}} if self.decay else {}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave; a run that had no average begins one with the weights it has got to."""
        saved = state.get("ema")
        self.steps = int(saved["steps"]) if saved else 0
        own = self._copy()
        self.mean = {name: saved["mean"][name].to(p) if saved else p for name, p in own.items()}
