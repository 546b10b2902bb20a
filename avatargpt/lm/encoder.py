"""The encoder as the decode loop runs it: fused maps, a few prompts at a time.

Shapes: B prompts, S inputs, H heads of D, d = d_model.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from avatargpt.lm.fused_maps import (
    AddedMap,
    Map,
    activation,
    effective_weight,
    plain_added_map,
    plain_map,
    scaled_by,
)
from avatargpt.lm.shape import Shape

ROWS = 512  # inputs at once on a CPU: what the maps in between yield then stays in its caches


class _Layer(NamedTuple):
    """Maps of one layer; the norms' weights and sqrt(d) are folded into those behind them."""

    qkv: Map  # d -> 3 * H * D
    out: AddedMap
    gates: tuple[Map, ...]  # d -> d_ff each: one, or the gate and what it lets through
    down: AddedMap


class Encoder:
    """T5's encoder, ready to run. Weights are copied: make a new one after training steps.

    Args:
        model: an `AvatarGPTModel`.
        dtype: of the matrix products; norms and sums are float32 either way.
    """

    def __init__(self, model: Any, dtype: torch.dtype = torch.float32) -> None:
        self.dtype, self.stack = dtype, model.encoder
        c: Shape = model.config
        self.heads, self.width, self.inner = c.num_heads, c.d_model, c.num_heads * c.d_kv
        self.eps = torch.tensor((c.d_model * c.layer_norm_epsilon) ** 0.5, device=model.shared.weight.device)
        self.act = activation(c)
        with torch.no_grad():
            self.layers = [self._layer(block) for block in model.encoder.block]
            self.final = (model.encoder.final_layer_norm.weight * self.width**0.5).float()

    def _layer(self, block: Any) -> _Layer:
        own, forward = block.layer[0], block.layer[1]
        a, f = own.SelfAttention, forward.DenseReluDense
        qkv = torch.cat([effective_weight(m) for m in (a.q, a.k, a.v)])
        gates = (f.wi_0, f.wi_1) if hasattr(f, "wi_0") else (f.wi,)
        return _Layer(
            plain_map(scaled_by(own.layer_norm, qkv), self.dtype), plain_added_map(effective_weight(a.o), self.dtype),
            tuple(plain_map(scaled_by(forward.layer_norm, effective_weight(g)), self.dtype) for g in gates),
            plain_added_map(effective_weight(f.wo), self.dtype),
        )

    def _norm(self, x: Tensor) -> Tensor:
        return x / torch.linalg.vector_norm(x, 2, -1, True).hypot_(self.eps)

    def __call__(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """Vectors (B, S, d) and their mask (B, S), 1 = input -> states (B, S, d) float32.

        What stands where the mask is 0 means nothing.
        """
        length = vectors.shape[1]
        attention = self.stack.block[0].layer[0].SelfAttention
        bias = attention.compute_bias(length, length, device=vectors.device).to(self.dtype)
        out = torch.zeros(vectors.shape, device=vectors.device)
        used = (mask != 0).long().mul(torch.arange(1, length + 1, device=mask.device)).amax(1).clamp(min=1)
        per = max(1, ROWS // length) if vectors.device.type == "cpu" else len(vectors)
        for start in range(0, len(vectors), per):
            rows = slice(start, start + per)
            s = int(used[rows].max())
            here = bias[:, :, :s, :s]
            if not bool(mask[rows, :s].all()):
                blocked = torch.zeros(mask[rows, :s].shape, device=mask.device, dtype=self.dtype)
                here = here + blocked.masked_fill_(mask[rows, :s] == 0, -1e9)[:, None, None]
            out[rows, :s] = self._run(vectors[rows, :s].float(), here)
        return out

    def _run(self, vectors: Tensor, bias: Tensor) -> Tensor:
        batch, length, _ = vectors.shape
        bias = bias.expand(batch, self.heads, -1, -1)
        x = vectors.reshape(-1, self.width).clone()  # the added maps write into it
        for layer in self.layers:
            y = layer.qkv(self._norm(x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
            # T5 does not scale its scores by the heads' width
            y = F.scaled_dot_product_attention(y[0], y[1], y[2], attn_mask=bias, scale=1.0)
            x = layer.out(x, y.transpose(1, 2).reshape(-1, self.inner))
            y = self._norm(x)
            u = self.act(layer.gates[0](y))
            for more in layer.gates[1:]:
                u = u.mul_(more(y))
            x = layer.down(x, u)
        return (self._norm(x) * self.final).view(batch, length, -1)
