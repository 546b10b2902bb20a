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

from avatargpt.face.audio_model.long_term_spectrum import LongTermSpectrum
from avatargpt.face.audio_model.network import WIDEST, Block, DriverNetwork
from avatargpt.face.audio_model.products import EightBits, Exact, multiplied

Steer = Callable[[Tensor], tuple[Tensor, Tensor | None]]


@dataclass(frozen=True)
class _Layer:
    """A block's weights at hand: looking modules up takes longer than multiplying."""

    dilation: int
    shape: tuple[int, ...]
    norm_weight: Tensor
    norm_bias: Tensor
    taps: Exact | EightBits
    out: Exact | EightBits

    @classmethod
    def of(cls, block: Any, kind: type[Exact | EightBits]) -> _Layer:
        assert isinstance(block, Block)
        norm = block.norm
        shape = tuple(norm.normalized_shape)
        return cls(block.dilation, shape, norm.weight, norm.bias, kind(block.taps), kind(block.out))


class Backbone:
    """What one network remembers of one speaker.

    Args:
        style: (8,) see `avatargpt.face.audio_model.visemes.STYLE`.
        eight_bits: whether the blocks multiply with weights of eight bits, where that is possible and faster
            (`avatargpt.face.audio_model.products`).
    """

    def __init__(self, network: DriverNetwork, style: np.ndarray, eight_bits: bool = False) -> None:
        fast = eight_bits and multiplied(network.config.width, network.config.hidden)
        kind: type[Exact | EightBits] = EightBits if fast else Exact
        self.network, self._dtype = network, kind.dtype
        rest = torch.zeros(network.config.width, dtype=self._dtype)
        self._layers = [_Layer.of(b, kind) for b in network.blocks]
        self._past = [deque([rest] * (2 * b.dilation), 2 * b.dilation) for b in self._layers]
        self._slowly = LongTermSpectrum(network.config.slow) if network.config.slow else None
        enters = [network.enter.weight] + ([network.around.weight] if self._slowly else [])
        with torch.inference_mode():  # one product for all that is heard, the style in its bias
            self._enter = torch.cat(enters, 1), network.enter.bias + network.style(torch.from_numpy(style))
        self._mean, self._std = network.mean.numpy(), network.std.numpy()
        self._leave = (network.config.width,), network.leave.weight, network.leave.bias

    def copied(self) -> Backbone:
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
        heard = (features - self._mean) / self._std
        np.minimum(np.maximum(heard, -WIDEST, out=heard), WIDEST, out=heard)  # half the time of `clip`
        if self._slowly is not None:
            heard = np.concatenate((heard, self._slowly(heard)))
        x: Tensor = F.linear(torch.from_numpy(heard), *self._enter)
        beside: Tensor | None = None
        for number, (layer, past) in enumerate(zip(self._layers, self._past, strict=True), 1):
            y = torch.layer_norm(x, layer.shape, layer.norm_weight, layer.norm_bias).to(self._dtype)
            taps = layer.taps(torch.cat((past[0], past[layer.dilation], y)))
            past.append(y)
            x = x + layer.out(F.gelu(taps, approximate="tanh"))
            if steer is not None and number == self.network.config.inject:
                x, beside = steer(x)
        return torch.layer_norm(x, *self._leave), beside
