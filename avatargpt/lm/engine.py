"""One decoding step over static buffers: the decoder's weights fused once, keys and values written in place.

Rows N are whatever is decoded side by side: prompts, samples, beams, and the unconditional copies of guidance. Shapes:
P prompts of `repeat` neighbouring rows, H heads of D, d = d_model, L layers, S encoder states, T steps at most.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from avatargpt.lm.encoder import (
    AddedMap,
    Encoder,
    Map,
    activation,
    effective_weight,
    make_added_map,
    make_map,
    scaled_by,
)
from avatargpt.lm.shape import TEXT, Shape

Softmax = Callable[[Tensor], Tensor]
MANY = 2  # rows from which on the packed weights are faster
BLOCK = 8  # keys are looked at in prefixes of multiples of this many steps
SHARED_ROWS = 16  # rows from which on reading the states themselves is faster than reading keys and values


class CrossWeights:
    """Key and value maps of all layers, from each layer's weights of k and v, (H * D, d).

    `both` maps states (n, d) -> (n, L * H * 2 * D), keys and values of all layers and heads; `keys`, `values` are
    (L, H, D, d) float32.
    """

    def __init__(self, attentions: Sequence[tuple[Tensor, Tensor]], heads: int, dtype: torch.dtype) -> None:
        keys, values = (torch.stack([pair[i].float() for pair in attentions]) for i in (0, 1))
        self.keys, self.values = (w.unflatten(1, (heads, -1)).contiguous() for w in (keys, values))
        self.dtype = dtype
        self.both = make_map(torch.stack([self.keys, self.values], 2).flatten(0, 3), True, dtype)


class CrossHeads:
    """Keys and values of every layer and head: the least work, but every row reads 2 * S * H * D numbers per layer.

    `states` (P, S, d), `mask` (P, S); `repeat` samples of one prompt share its keys.
    """

    def __init__(self, weights: CrossWeights, softmax: Softmax, states: Tensor, mask: Tensor, repeat: int) -> None:
        layers, heads, width, _ = weights.keys.shape
        self.softmax, self.repeat, self.heads = softmax, repeat, heads
        cross = weights.both(states.flatten(0, 1)).view(*states.shape[:2], layers, heads, 2, width)
        cross = cross.permute(2, 4, 0, 3, 1, 5).flatten(2, 3).contiguous()
        self.keys = cross[:, 0].transpose(2, 3).unbind(0)
        self.values = cross[:, 1].unbind(0)
        self.bias = _blocked(mask, weights.dtype).repeat_interleave(heads, dim=0)

    def __call__(self, layer: int, q: Tensor) -> Tensor:
        """Queries (N, H * D) of a layer -> attended values (N, H * D)."""
        n, many, h = len(q), self.repeat, self.heads
        prompts = n // many
        if many == 1:
            q = q.view(n * h, 1, -1)
        else:
            q = q.view(prompts, many, h, -1).transpose(1, 2).reshape(prompts * h, many, -1)
        p = self.softmax(torch.baddbmm(self.bias, q, self.keys[layer]))
        y = torch.bmm(p, self.values[layer])
        if many > 1:
            y = y.view(prompts, h, many, -1).transpose(1, 2)
        return y.reshape(n, -1)


# All layers and heads then read the same S * d numbers of a row, which stay in a CPU's cache where the keys and values
# of many rows would not; in turn a query takes H * D * d more products on either side.
class CrossStates:
    """Queries are mapped to the states instead: ``(q W_k) . e = q . (W_k e)``, likewise for the values."""

    def __init__(self, weights: CrossWeights, softmax: Softmax, states: Tensor, mask: Tensor) -> None:
        self.softmax, self.heads, dtype = softmax, weights.keys.shape[1], weights.dtype
        self.to_states = weights.keys.to(dtype).unbind(0)  # (H, D, d)
        self.from_states = weights.values.to(dtype).transpose(2, 3).contiguous().unbind(0)  # (H, d, D)
        self.states = states.to(dtype).contiguous()
        self.turned = self.states.transpose(1, 2)
        self.bias = None if bool(mask.all()) else _blocked(mask, dtype)

    def __call__(self, layer: int, q: Tensor) -> Tensor:
        """Queries (N, H * D) of a layer -> attended values (N, H * D)."""
        n, h = len(q), self.heads
        q = torch.bmm(q.view(n, h, -1).transpose(0, 1), self.to_states[layer]).transpose(0, 1)
        scores = torch.bmm(q, self.turned) if self.bias is None else torch.baddbmm(self.bias, q, self.turned)
        attended = torch.bmm(self.softmax(scores), self.states)
        return torch.bmm(attended.transpose(0, 1), self.from_states[layer]).transpose(0, 1).reshape(n, -1)


Cross = CrossHeads | CrossStates


def cross_attention(weights: CrossWeights, softmax: Softmax, states: Tensor, mask: Tensor, repeat: int) -> Cross:
    """The faster of the two for so many rows; arguments as of `CrossHeads`."""
    if repeat == 1 and len(states) >= SHARED_ROWS and states.device.type == "cpu":
        return CrossStates(weights, softmax, states, mask)
    return CrossHeads(weights, softmax, states, mask, repeat)


def _blocked(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """(P, 1, S) bias of scores: 0, or -1e9 where there is no state."""
    return torch.zeros(mask.shape, device=mask.device, dtype=dtype).masked_fill(mask == 0, -1e9)[:, None]


def _softmax(scores: Tensor) -> Tensor:
    return scores.softmax(-1)


def _half_softmax(scores: Tensor, dtype: torch.dtype) -> Tensor:
    """Probabilities are computed in float32 and kept in `dtype`."""
    return scores.softmax(-1, torch.float32).to(dtype)


class Layer(NamedTuple):
    """Maps of one decoder layer; the norms' weights and sqrt(d) are folded into the maps after them."""

    qkv: Map  # d -> H * 3 * D, head by head
    out: AddedMap  # H * D -> d
    query: Map  # d -> H * D
    cross_out: AddedMap  # H * D -> d
    up: Map  # d -> d_ff
    gate: Map | None  # d -> d_ff, the gate of `up`, in a gated layer
    down: AddedMap  # d_ff -> d


class Head(NamedTuple):
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
        self.eps = torch.tensor((c.d_model * c.layer_norm_epsilon) ** 0.5, device=self.device)
        self.gated = c.is_gated_act
        self.softmax = _softmax if dtype == torch.float32 else partial(_half_softmax, dtype=dtype)
        self.act = activation(c)
        with torch.no_grad():
            cross = [block.layer[1].EncDecAttention for block in self.model.decoder.block]
            pairs = [(effective_weight(a.k), effective_weight(a.v)) for a in cross]
            self.cross = CrossWeights(pairs, self.heads_count, dtype)
            self.final = (self.model.decoder.final_layer_norm.weight * self.width**0.5).float()
        # made on first use: many decodes need one layout of the weights alone
        self._layers: dict[bool, list[Layer]] = {}
        self._heads: dict[str, Head] = {}
        self._first: dict[str | None, Tensor] = {}
        self._head_maps: dict[tuple[str, bool], Map] = {}
        self._bias: Tensor | None = None
        self._encoder: Encoder | None = None

    def encode(self, vectors: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs of `AvatarGPTModel.inputs` -> encoder states (P, S, d) float32 and their mask (P, S)."""
        if self._encoder is None:
            self._encoder = Encoder(self.model, self.dtype)
        return self._encoder(vectors, mask), mask

    def _qkv(self, attention: Any) -> Tensor:
        """(H * 3 * D, d) weight of queries, keys and values, rows ordered head by head."""
        parts = [effective_weight(m) for m in (attention.q, attention.k, attention.v)]
        by_head = [w.view(self.heads_count, self.head_width, self.width) for w in parts]
        return torch.stack(by_head, 1).reshape(-1, self.width)

    def layers(self, rows: int) -> list[Layer]:
        """The layers' maps for a number of rows, made on first use."""
        many = rows >= MANY
        if many not in self._layers:
            with torch.no_grad():
                self._layers[many] = [self._layer(block, many) for block in self.model.decoder.block]
        return self._layers[many]

    @torch.no_grad()
    def first(self, name: str | None) -> Tensor:
        """(n, .) the first layer's qkv map of a head's table (None: of length conditioning's), before the norm."""
        if name not in self._first:
            table = self.model.countdown.rows.weight.detach().float() if name is None else self.head(name).table
            layer = self.model.decoder.block[0].layer[0]
            self._first[name] = table @ scaled_by(layer.layer_norm, self._qkv(layer.SelfAttention)).t()
        return self._first[name]

    def _layer(self, block: Any, many: bool) -> Layer:
        self_layer, cross, forward = block.layer
        a, x, f = self_layer.SelfAttention, cross.EncDecAttention, forward.DenseReluDense
        up, gate = (f.wi_0, f.wi_1) if self.gated else (f.wi, None)

        def plain(norm: Any, weight: Tensor) -> Map:
            return make_map(scaled_by(norm, weight), many, self.dtype)

        def added(linear: Any) -> AddedMap:
            return make_added_map(effective_weight(linear).float(), many, self.dtype)

        return Layer(
            plain(self_layer.layer_norm, self._qkv(a)), added(a.o),
            plain(cross.layer_norm, effective_weight(x.q)), added(x.o),
            plain(forward.layer_norm, effective_weight(up)),
            None if gate is None else plain(forward.layer_norm, effective_weight(gate)), added(f.wo),
        )  # fmt: skip

    def head_map(self, name: str, rows: int) -> Map:
        """States (N, d) -> logits (N, n) of a head, its bias not yet added."""
        key = (name, rows >= MANY)
        if key not in self._head_maps:
            self._head_maps[key] = make_map(self.head(name).weight, key[1], self.dtype)
        return self._head_maps[key]

    @torch.no_grad()
    def head(self, name: str) -> Head:
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
            self._heads[name] = Head(table.detach().float(), weight.float(), bias.detach().float(), start, end)
        return self._heads[name]

    @torch.no_grad()
    def bias_strip(self, steps: int) -> Tensor:
        """(H, 2 * steps) strip: the self-attention bias of step t over keys 0.. is its slice from steps - 1 - t on."""
        if self._bias is None or self._bias.shape[1] != 2 * steps:
            attention = self.model.decoder.block[0].layer[0].SelfAttention
            last = attention.compute_bias(1, steps, device=self.device, past_seen_tokens=steps - 1)[0, :, 0]
            self._bias = torch.cat([last, torch.full_like(last, float("-inf"))], 1).to(self.dtype)
        return self._bias


class Session:
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
        self.cross = cross_attention(e.cross, e.softmax, states, mask, repeat)
        self.table = self.head.table
        self.first: Tensor | None = None
        if self.rows >= MANY and head != TEXT:  # the text table is longer than what is decoded
            self.first = e.first(head)
        counter = e.model.countdown
        self.counts: Tensor | None = None  # (steps, N) rows of the table of length conditioning
        if counter is not None:
            if remaining is None:
                remaining = torch.full((1, 1), -1, device=e.device).expand(self.rows, self.steps)
            self.counts = counter.bucket(remaining.t())
            self.count_rows, self.count_first = counter.rows.weight.detach().float(), e.first(None)
        self._views()

    def _views(self) -> None:
        # attention reads a prefix of the cache in blocks: slicing anew for every step costs more
        self.visible = min(self.t // BLOCK * BLOCK + BLOCK, self.steps)
        self.keys = self.cache[:, :, 0, : self.visible].transpose(2, 3).unbind(0)
        self.values = self.cache[:, :, 1, : self.visible].unbind(0)

    def step(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Feed one token per row (N,), head-local; returns its successors' logits (N, n) float32, states (N, d)."""
        e, t, n = self.engine, self.t, self.rows
        if t >= self.visible:
            self._views()
        h, d, eps = e.heads_count, e.head_width, e.eps
        inner, wide = h * d, n * h
        start = self.steps - 1 - t
        # the bias of keys that do not exist yet is -inf
        bias = self.strip[:, start : start + self.visible].expand(n, h, -1).reshape(wide, 1, -1)
        norm, hypot, bmm, baddbmm, softmax = torch.linalg.vector_norm, torch.hypot, torch.bmm, torch.baddbmm, e.softmax
        now = self.cache[:, :, :, t].unbind(0)
        x = self.table.index_select(0, tokens)
        first = None if self.first is None else self.first.index_select(0, tokens)
        if self.counts is not None:
            x = x + self.count_rows.index_select(0, self.counts[t])
            if first is not None:
                first = first + self.count_first.index_select(0, self.counts[t])
        for i, (layer, new, keys, values) in enumerate(zip(self.layers, now, self.keys, self.values, strict=True)):
            scale = hypot(norm(x, 2, -1, True), eps)
            # the first layer's map is looked up: its inputs are sums of table rows
            y = (first / scale).to(e.dtype) if i == 0 and first is not None else layer.qkv(x / scale)
            y = y.view(wide, 3, d)
            # keys and values of this step go into their place in the cache
            new.copy_(y[:, 1:])
            p = softmax(baddbmm(bias, y[:, :1], keys))
            x = layer.out(x, bmm(p, values).view(n, inner))
            # the norm's weight is part of the next map, so dividing by the length is all that is left of it
            x = layer.cross_out(x, self.cross(i, layer.query(x / hypot(norm(x, 2, -1, True), eps))))
            y = x / hypot(norm(x, 2, -1, True), eps)
            u = e.act(layer.up(y))
            if layer.gate is not None:
                u = u.mul_(layer.gate(y))
            x = layer.down(x, u)
        hidden = x / hypot(norm(x, 2, -1, True), eps) * e.final
        self.t = t + 1
        return self.output(hidden) + self.head.bias, hidden

    def reorder(self, rows: Tensor) -> None:
        """Row i continues row ``rows[i]`` (beams of one prompt)."""
        cache = self.cache.view(len(self.layers), self.rows, -1, 2, self.steps, self.engine.head_width)
        used = cache[:, :, :, :, : self.t]
        used.copy_(used.index_select(1, rows))
