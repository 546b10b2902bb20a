"""A driver network's trunk, frame by frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from avatargpt.speech.network import WIDEST, Block, DriverNetwork
from avatargpt.speech.slow import Slowly

Steer = Callable[[Tensor], tuple[Tensor, Tensor | None]]


@dataclass(frozen=True)
class _Layer:
    """A block's weights at hand: looking modules up takes longer than multiplying."""

    dilation: int
    shape: tuple[int, ...]
    norm_weight: Tensor
    norm_bias: Tensor
    taps_weight: Tensor
    taps_bias: Tensor
    out_weight: Tensor
    out_bias: Tensor

    @classmethod
    def of(cls, block: Any) -> _Layer:
        assert isinstance(block, Block)
        return cls(
            block.dilation, tuple(block.norm.normalized_shape), block.norm.weight, block.norm.bias, block.taps.weight,
            block.taps.bias, block.out.weight, block.out.bias,
        )  # fmt: skip


class Trunk:
    """What one network remembers of one speaker.

    Args:
        style: (8,) see `avatargpt.speech.teacher.STYLE`.
    """

    def __init__(self, network: DriverNetwork, style: np.ndarray) -> None:
        self.network = network
        rest = torch.zeros(network.config.width)
        self._layers = [_Layer.of(b) for b in network.blocks]
        self._past = [deque([rest] * (2 * b.dilation), 2 * b.dilation) for b in self._layers]
        self._slowly = Slowly(network.config.slow) if network.config.slow else None
        enters = [network.enter.weight] + ([network.around.weight] if self._slowly else [])
        with torch.inference_mode():  # one product for all that is heard, the style in its bias
            self._enter = torch.cat(enters, 1), network.enter.bias + network.style(torch.from_numpy(style))
        self._mean, self._std = network.mean.numpy(), network.std.numpy()

    def copied(self) -> Trunk:
        """Another that remembers the same and goes on by itself."""
        other = copy(self)
        other._past = [past.copy() for past in self._past]
        other._slowly = None if self._slowly is None else self._slowly.copied()
        return other

    def hear(self, features: np.ndarray, steer: Steer | None = None) -> tuple[Tensor, Tensor | None]:
        """One frame's features (332,) -> the hidden state (D,), and what text adds to the curves (55,).

        Args:
            steer: changes the state where text comes in, and says what text adds.
        """
        net = self.network
        heard = ((features - self._mean) / self._std).clip(-WIDEST, WIDEST)
        if self._slowly is not None:
            heard = np.concatenate((heard, self._slowly(heard)))
        x = F.linear(torch.from_numpy(heard), *self._enter)
        beside: Tensor | None = None
        for i, (layer, past) in enumerate(zip(self._layers, self._past, strict=True)):
            y = torch.layer_norm(x, layer.shape, layer.norm_weight, layer.norm_bias)
            taps = F.linear(torch.cat((past[0], past[layer.dilation], y)), layer.taps_weight, layer.taps_bias)
            past.append(y)
            x = x + F.linear(F.gelu(taps, approximate="tanh"), layer.out_weight, layer.out_bias)
            if steer is not None and i + 1 == net.config.inject:
                x, beside = steer(x)
        return net.leave(x), beside
