"""The reader's decoder token by token: what was computed for the tokens before, and for the words, is kept."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avatargpt.face.instructions.network import ParserNetwork


@dataclass
class _Kept:
    """Keys and values of one layer: of the words (R, H, N, d), and of the tokens so far (R, H, L, d)."""

    words: tuple[Tensor, Tensor]
    tokens: tuple[Tensor, Tensor]


class Decoding:
    """R rows that are written at once, each of them of one of W texts.

    Args:
        network: in evaluation mode.
        read, words: (W, N, D) what `network.encode` made of the texts, and (W, N) 1 for words.
        of: (R,) the text of each row.
    """

    def __init__(self, network: ParserNetwork, read: Tensor, words: Tensor, of: Tensor) -> None:
        self.network, self._length = network, 0
        self._heads = network.config.heads
        self._open = words.bool()[of][:, None, None]
        self._kept: list[_Kept] = []
        for layer in self._layers():
            a = layer.multihead_attn
            _, weight, bias = self._parts(a)
            key, value = (self._split(F.linear(read, w, b))[of] for w, b in zip(weight, bias, strict=True))
            none = key[:, :, :0]
            self._kept.append(_Kept((key, value), (none, none)))

    def _layers(self) -> list[nn.TransformerDecoderLayer]:
        return [layer for layer in self.network.decoder if isinstance(layer, nn.TransformerDecoderLayer)]

    @staticmethod
    def _parts(a: nn.MultiheadAttention) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """The query's matrix and bias, the matrices of key and value, and their biases."""
        q, k, v = a.in_proj_weight.chunk(3)
        q0, k0, v0 = a.in_proj_bias.chunk(3)
        return (q, q0), (k, v), (k0, v0)

    def _split(self, x: Tensor) -> Tensor:
        """(R, L, D) -> (R, H, L, d)."""
        return x.unflatten(-1, (self._heads, -1)).transpose(1, 2)

    def step(self, tokens: Tensor) -> Tensor:
        """The latest token of each row (R,) -> logits of the next one (R, V)."""
        net = self.network
        x = net.table(tokens[:, None]) + net.place[self._length]
        for layer, kept in zip(self._layers(), self._kept, strict=True):
            a = layer.self_attn
            q, k, v = (self._split(p) for p in F.linear(layer.norm1(x), a.in_proj_weight, a.in_proj_bias).chunk(3, -1))
            kept.tokens = (torch.cat((kept.tokens[0], k), 2), torch.cat((kept.tokens[1], v), 2))
            x = x + self._mixed(a, F.scaled_dot_product_attention(q, *kept.tokens))
            b = layer.multihead_attn
            q = self._split(F.linear(layer.norm2(x), *self._parts(b)[0]))
            x = x + self._mixed(b, F.scaled_dot_product_attention(q, *kept.words, attn_mask=self._open))
            x = x + layer.linear2(F.gelu(layer.linear1(layer.norm3(x))))
        self._length += 1
        out: Tensor = net.leave(x[:, 0]) @ net.table.weight[:-1].T
        return out

    @staticmethod
    def _mixed(a: nn.MultiheadAttention, seen: Tensor) -> Tensor:
        out: Tensor = a.out_proj(seen.transpose(1, 2).flatten(2))
        return out

    def keep(self, rows: Tensor) -> None:
        """Only these rows (k,) go on."""
        self._open = self._open[rows]
        for kept in self._kept:
            kept.words = (kept.words[0][rows], kept.words[1][rows])
            kept.tokens = (kept.tokens[0][rows], kept.tokens[1][rows])
