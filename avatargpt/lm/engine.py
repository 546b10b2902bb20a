"""One decoding step over static buffers: the decoder's weights fused once, keys and values written in place.

Rows N are whatever is decoded side by side: prompts, samples, beams, and the unconditional copies of guidance. Shapes:
P prompts of `repeat` neighbouring rows, H heads of D, d = d_model, L layers, S encoder states, T steps at most.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from avatargpt.lm.encoder import (
    AddedMap,
    Map,
    T5Encoder,
    activation,
    effective_weight,
    fold_norm,
    make_added_map,
    make_map,
)
from avatargpt.lm.shape import TEXT, Shape

Softmax = Callable[[Tensor], Tensor]
# Called by every decode with the steps done and those at most, before each block; ends the decode where it raises
PAUSE: ContextVar[Callable[[int, int], None] | None] = ContextVar("pause", default=None)
MANY = 2  # rows from which on the packed weights are faster
BLOCK = 8  # keys are looked at in prefixes of multiples of this many steps
FEW_PROMPTS = 2  # up to which the maps of cross-attention are multiplied into its keys and values


class CrossWeights:
    """Weights of all layers' cross-attention: of each layer, those of q (with the norm before it), k, v and o.

    `both` maps states (n, d) -> (n, L * H * 2 * D), keys and values of all layers and heads; `queries`, (L, H, D, d),
    and `outs`, (L, H, d, D), are float32.
    """

    def __init__(self, layers: Sequence[tuple[Tensor, ...]], heads: int, dtype: torch.dtype) -> None:
        queries, keys, values, outs = (torch.stack([w[i].float() for w in layers]) for i in range(4))
        self.queries, keys, values = (w.unflatten(1, (heads, -1)) for w in (queries, keys, values))
        self.outs = outs.unflatten(2, (heads, -1)).transpose(1, 2)
        self.dtype = dtype
        self.both = make_map(torch.stack([keys, values], 2).flatten(0, 3), True, dtype)

    def keys_values(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """States (P, S, d) -> keys and values, (L, P, H, S, D) each."""
        layers, heads, width, _ = self.queries.shape
        cross = self.both(states.flatten(0, 1)).view(*states.shape[:2], layers, heads, 2, width)
        keys, values = cross.permute(4, 2, 0, 3, 1, 5)
        return keys, values


class CrossHeads:
    """Cross-attention by the keys and values of every layer and head.

    `states` (P, S, d), `mask` (P, S); `repeat` samples of one prompt share its keys.
    """

    def __init__(
        self, weights: CrossWeights, softmax: Softmax, states: Tensor, mask: Tensor, repeat: int, maps: Sequence[Layer],
    ) -> None:  # fmt: skip
        self.maps, self.softmax, self.repeat, self.heads = maps, softmax, repeat, weights.queries.shape[1]
        keys, values = weights.keys_values(states)
        self.keys = keys.flatten(1, 2).contiguous().transpose(2, 3).unbind(0)
        self.values = values.flatten(1, 2).contiguous().unbind(0)
        self.bias = _block_scores(mask, weights.dtype).repeat_interleave(self.heads, dim=0)

    def __call__(self, layer: int, x: Tensor, y: Tensor) -> None:
        """Adds to x (N, d) what the normalised y (N, d) attends to."""
        n, many, h = len(y), self.repeat, self.heads
        prompts = n // many
        q = self.maps[layer].query(y)
        if many == 1:
            q = q.view(n * h, 1, -1)
        else:
            q = q.view(prompts, many, h, -1).transpose(1, 2).reshape(prompts * h, many, -1)
        attended = torch.bmm(self.softmax(torch.baddbmm(self.bias, q, self.keys[layer])), self.values[layer])
        if many > 1:
            attended = attended.view(prompts, h, many, -1).transpose(1, 2)
        self.maps[layer].cross_out(x, attended.reshape(n, -1))


class CrossFolded:
    """Cross-attention of few prompts, whose keys and values are multiplied by the maps before and after once."""

    def __init__(self, weights: CrossWeights, softmax: Softmax, states: Tensor, mask: Tensor, repeat: int) -> None:
        self.softmax, self.half = softmax, weights.dtype != torch.float32
        heads = weights.queries.shape[1]
        self.scores = (len(states) * repeat, heads, states.shape[1])
        keys, values = (v.float() for v in weights.keys_values(states))
        folded = keys @ weights.queries[:, None], values @ weights.outs[:, None].mT
        keys, values = (v.flatten(2, 3).to(weights.dtype) for v in folded)
        keys, bias = keys.mT.contiguous(), _block_scores(mask, weights.dtype).repeat(1, 1, heads)
        # (P, d, H * S) and (P, H * S, d), of one prompt as matrices: one product is faster than a batch of one
        self.prompts: tuple[int, ...] = (len(states), repeat, -1)
        self.add: Callable[..., Tensor] = torch.baddbmm
        self.add_: Callable[..., Tensor] = Tensor.baddbmm_
        self.times: Callable[..., Tensor] = torch.bmm
        if len(states) == 1:
            keys, values, bias, self.prompts = keys[:, 0], values[:, 0], bias[0], (repeat, -1)
            self.add, self.add_, self.times = torch.addmm, Tensor.addmm_, torch.mm
        self.keys, self.values, self.bias = keys.unbind(0), values.unbind(0), bias

    def __call__(self, layer: int, x: Tensor, y: Tensor) -> None:
        """As of `CrossHeads`."""
        y = y.view(self.prompts)
        if self.half:
            y = y.to(self.bias.dtype)
        p = self.softmax(self.add(self.bias, y, self.keys[layer]).view(self.scores)).view(self.prompts)
        if self.half:
            x += self.times(p, self.values[layer]).view(x.shape)
        else:
            self.add_(x.view(self.prompts), p, self.values[layer])


def _block_scores(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """(P, 1, S) bias of scores: 0, or -1e9 where there is no state."""
    return torch.zeros(mask.shape, device=mask.device, dtype=dtype).masked_fill(mask == 0, -1e9)[:, None]


def _half_softmax(scores: Tensor, dtype: torch.dtype) -> Tensor:
    """Probabilities are computed in float32 and kept in `dtype`."""
    return scores.softmax(-1, torch.float32).to(dtype)


class Layer(NamedTuple):
    """Maps of one decoder layer; the norms' weights and sqrt(d) are folded into the maps after them."""

    qkv: Map  # d -> H * 3 * D, head by head
    out: AddedMap  # H * D -> d
    query: Map  # d -> H * D
    cross_out: AddedMap  # H * D -> d
    up: Map  # d -> d_ff, in a gated layer 2 * d_ff: `up` and its gate
    down: AddedMap  # d_ff -> d


class OutputHead(NamedTuple):
    """One head: rows of `table` are inputs of the decoder, rows of `weight` its outputs.

    Text: both are the V text ids. A modality: K codes, then the start id as input, the end id as output.
    """

    table: Tensor  # (n, d)
    weight: Tensor  # (n, d)
    bias: Tensor  # (n,)
    start: int
    end: int


class Engine:
    """The decoder of an `AvatarGPTModel` or a peft model around one, copied: make a new engine after training steps.

    `dtype` is that of the matrix products; float32 gives the model's own tokens, bfloat16 is up to twice as fast
    where the processor has it.
    """

    def __init__(self, model: Any, dtype: torch.dtype = torch.float32) -> None:
        self.model = model.get_base_model() if hasattr(model, "get_base_model") else model
        self.config: Shape = self.model.config
        c = self.config
        self.dtype, self.device = dtype, self.model.shared.weight.device
        self.heads_count, self.head_width, self.width = c.num_heads, c.d_kv, c.d_model
        self.eps = (c.d_model * c.layer_norm_epsilon) ** 0.5
        self.gated = c.is_gated_act
        self.softmax = partial(torch.softmax, dim=-1) if dtype == torch.float32 else partial(_half_softmax, dtype=dtype)
        self.act = activation(c)
        with torch.no_grad():
            cross = [
                (fold_norm(c.layer_norm, effective_weight(a.q)), *(effective_weight(m) for m in (a.k, a.v, a.o)))
                for c, a in ((b.layer[1], b.layer[1].EncDecAttention) for b in self.model.decoder.block)
            ]
            self.cross = CrossWeights(cross, self.heads_count, dtype)
            self.final = (self.model.decoder.final_layer_norm.weight * self.width**0.5).float()
        # made on first use: many decodes need one layout of the weights alone
        self._layers: dict[bool, list[Layer]] = {}
        self._heads: dict[str, OutputHead] = {}
        self._inputs: dict[str | None, Tensor] = {}
        self._head_maps: dict[tuple[str, bool], Map] = {}
        self._bias: Tensor | None = None
        self._encoder: T5Encoder | None = None

    def encode(self, vectors: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs of `AvatarGPTModel.inputs` -> encoder states (P, S, d) float32 and their mask (P, S)."""
        if self._encoder is None:
            self._encoder = T5Encoder(self.model, self.dtype)
        return self._encoder(vectors, mask), mask

    def _qkv(self, attention: Any) -> Tensor:
        """(H * 3 * D, d) weight of queries, keys and values, rows ordered head by head."""
        parts = [effective_weight(m) for m in (attention.q, attention.k, attention.v)]
        by_head = [w.view(self.heads_count, self.head_width, self.width) for w in parts]
        return torch.stack(by_head, 1).reshape(-1, self.width)

    def _many(self, rows: int) -> bool:
        """Whether the weights of so many rows are packed."""
        return rows >= MANY and self.dtype != torch.float32

    def layers(self, rows: int) -> list[Layer]:
        """The layers' maps for a number of rows, made on first use."""
        many = self._many(rows)
        if many not in self._layers:
            with torch.no_grad():
                self._layers[many] = [self._layer(block, many) for block in self.model.decoder.block]
        return self._layers[many]

    @torch.no_grad()
    def inputs(self, name: str | None) -> Tensor:
        """(n, d + 1 + H * 3 * D): a head's table (None: length conditioning's), eps, the first qkv map of the table.

        That map, before its norm, is missing for text, whose table is longer than what is decoded.
        """
        if name not in self._inputs:
            table = self.model.countdown.rows.weight.detach().float() if name is None else self.head(name).table
            # the length of a row with eps beside it is what the norm divides by; eps comes with the head's table
            table = F.pad(table, (0, 1), value=0.0 if name is None else self.eps)
            if name != TEXT:
                layer = self.model.decoder.block[0].layer[0]
                first = table[:, :-1] @ fold_norm(layer.layer_norm, self._qkv(layer.SelfAttention)).t()
                table = torch.cat([table, first], 1)
            self._inputs[name] = table
        return self._inputs[name]

    def _layer(self, block: Any, many: bool) -> Layer:
        self_layer, cross, forward = block.layer
        a, x, f = self_layer.SelfAttention, cross.EncDecAttention, forward.DenseReluDense
        ups = [effective_weight(m) for m in ((f.wi_0, f.wi_1) if self.gated else (f.wi,))]

        def plain(norm: Any, weight: Tensor) -> Map:
            return make_map(fold_norm(norm, weight), many, self.dtype)

        def add_map(linear: Any) -> AddedMap:
            return make_added_map(effective_weight(linear).float(), many, self.dtype)

        return Layer(
            plain(self_layer.layer_norm, self._qkv(a)), add_map(a.o),
            plain(cross.layer_norm, effective_weight(x.q)), add_map(x.o),
            plain(forward.layer_norm, torch.cat(ups)), add_map(f.wo),
        )  # fmt: skip

    def head_map(self, name: str, rows: int) -> Map:
        """States (N, d) -> logits (N, n) of a head, its bias not yet added."""
        key = (name, self._many(rows))
        if key not in self._head_maps:
            self._head_maps[key] = make_map(self.head(name).weight, key[1], self.dtype)
        return self._head_maps[key]

    @torch.no_grad()
    def head(self, name: str) -> OutputHead:
        """Tables of one head, made on first use."""
        if name not in self._heads:
            c, m = self.config, self.model
            if name == TEXT:
                weight, table = effective_weight(m.lm_head), m.shared.weight
                bias = torch.zeros(len(weight), device=self.device)
                start, end = c.start_id(TEXT), c.end_id(TEXT)
            else:
                codes = c.modality(name)["codebook_size"]
                table = m.codes[name].table()[: codes + 1]
                outputs = torch.tensor([*range(codes), codes + 1], device=self.device)
                linear = m.heads[name]
                weight, bias, start, end = effective_weight(linear)[outputs], linear.bias[outputs], codes, codes
            self._heads[name] = OutputHead(table.detach().float(), weight.float(), bias.detach().float(), start, end)
        return self._heads[name]

    @torch.no_grad()
    def bias_strip(self, steps: int) -> Tensor:
        """(H, 2 * steps) strip: the self-attention bias of step t over keys 0.. is its slice from steps - 1 - t on."""
        if self._bias is None or self._bias.shape[1] != 2 * steps:
            attention = self.model.decoder.block[0].layer[0].SelfAttention
            last = attention.compute_bias(1, steps, device=self.device, past_seen_tokens=steps - 1)[0, :, 0]
            self._bias = torch.cat([last, torch.full_like(last, float("-inf"))], 1).to(self.dtype)
        return self._bias


class DecodeSession:
    """Caches of one decode: N rows, at most `steps` steps.

    Args:
        states: (P, S, d) of the encoder; mask: (P, S). Each prompt becomes `repeat` neighbouring rows, N = P * repeat.
        remaining: (N, steps) number of remaining motion tokens at each step, below 0 = unknown; None = all unknown.
    """

    def __init__(
        self, engine: Engine, head: str, states: Tensor, mask: Tensor, steps: int, repeat: int = 1,
        remaining: Tensor | None = None,
    ) -> None:
        e, self.engine, self.head, self.t = engine, engine, engine.head(head), 0
        self.rows = states.shape[0] * repeat
        self.layers, self.output = e.layers(self.rows), e.head_map(head, self.rows)
        h, d, layers = e.heads_count, e.head_width, len(self.layers)
        # a multiple of BLOCK, so that the views of the cache seldom change
        steps = -(-steps // BLOCK) * BLOCK
        self.strip = e.bias_strip(steps)
        self.steps = steps
        self.cache = torch.zeros(layers, self.rows * h, 2, steps, d, device=e.device, dtype=e.dtype)
        few = len(states) <= FEW_PROMPTS
        attention: Any = CrossFolded if few else partial(CrossHeads, maps=self.layers)
        self.cross = attention(e.cross, e.softmax, states, mask, repeat)
        self.table = e.inputs(head)
        counter = e.model.countdown
        self.counts: Tensor | None = None  # (steps, N) rows of the table of length conditioning
        if counter is not None:
            if remaining is None:
                remaining = torch.full((1, 1), -1, device=e.device).expand(self.rows, self.steps)
            self.counts = counter.bucket(remaining.t())
            self.count_rows = e.inputs(None)[:, : self.table.shape[1]]
        self._views()

    def _views(self) -> None:
        if pause := PAUSE.get():
            pause(self.t, self.steps)
        # attention reads a prefix of the cache in blocks: slicing anew for every step costs more
        self.visible = min(self.t // BLOCK * BLOCK + BLOCK, self.steps)
        self.keys = self.cache[:, :, 0, : self.visible].transpose(2, 3).unbind(0)
        self.values = self.cache[:, :, 1, : self.visible].unbind(0)

    def step(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Feed one token per row (N,), head-local; returns its successors' logits (N, n) float32, states (N, d)."""
        e, t, n = self.engine, self.t, self.rows
        if t >= self.visible:
            self._views()
        h, d = e.heads_count, e.head_width
        inner, wide, start = h * d, n * h, self.steps - 1 - t
        # the bias of keys that do not exist yet is -inf
        bias = self.strip[:, start : start + self.visible].expand(n, h, -1).reshape(wide, 1, -1)
        norm, bmm, baddbmm, softmax = torch.linalg.vector_norm, torch.bmm, torch.baddbmm, e.softmax
        now = self.cache[:, :, :, t].unbind(0)
        x = self.table.index_select(0, tokens)
        if self.counts is not None:
            x += self.count_rows.index_select(0, self.counts[t])
        # the first layer's map is looked up: its inputs are sums of table rows
        first, extended, x = x[:, e.width + 1 :], x[:, : e.width + 1], x[:, : e.width]
        for i, (layer, new, keys, values) in enumerate(zip(self.layers, now, self.keys, self.values, strict=True)):
            scale = norm(extended, 2, -1, True)
            y = layer.qkv(x / scale) if i or not first.shape[1] else (first / scale).to(e.dtype)
            y = y.view(wide, 3, d)
            # keys and values of this step go into their place in the cache
            new.copy_(y[:, 1:])
            p = softmax(baddbmm(bias, y[:, :1], keys))
            layer.out(x, bmm(p, values).view(n, inner))
            # the norm's weight is part of the next map, so dividing by the length is all that is left of it
            self.cross(i, x, x / norm(extended, 2, -1, True))
            u = layer.up(x / norm(extended, 2, -1, True))
            if e.gated:
                gate, through = u.chunk(2, 1)
                u = e.act(gate).mul_(through)
            else:
                u = e.act(u)
            layer.down(x, u)
        hidden = x / norm(extended, 2, -1, True) * e.final
        self.t = t + 1
        return self.output(hidden) + self.head.bias, hidden

    def reorder(self, rows: Tensor) -> None:
        """Row i continues row ``rows[i]`` (beams of one prompt)."""
        cache = self.cache.view(len(self.layers), self.rows, -1, 2, self.steps, self.engine.head_width)
        used = cache[:, :, :, :, : self.t]
        used.copy_(used.index_select(1, rows))
