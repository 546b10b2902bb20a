"""The encoder of the decode loop, its inputs, and the matrix maps it shares with the decoder.

Each weight is laid out once for the processor and the number of rows. Shapes: B prompts, S inputs, H heads of D, d =
d_model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from avatargpt.lm.devices import packs_bfloat16
from avatargpt.lm.shape import Shape
from avatargpt.lm.t5 import plain_activation
from instruct_data.registry import AttributesSegment, CodesSegment, Prompt
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.lm.text_encoder import SentenceGrounder, TextTokenizer

ROWS = 512  # inputs at once on a CPU: intermediate results then stay in its caches
PACKED_ROWS = 32  # number of rows that packing is tuned for
PAGE, LINE = 1024, 16  # float32 numbers of a memory page and of a cache line

Map = Callable[[Tensor], Tensor]
AddedMap = Callable[[Tensor, Tensor], Tensor]


def activation(config: Shape) -> Map:
    """Activation of the feed-forward layers; may write into its argument."""
    return torch.relu_ if config.dense_act_fn == "relu" else plain_activation(config.dense_act_fn)


def effective_weight(linear: Any) -> Tensor:
    """The weight of a map, with a LoRA layer's updates added to its base."""
    if not hasattr(linear, "get_delta_weight"):
        return linear.weight.detach()
    weight = linear.get_base_layer().weight.detach()
    if linear.merged or linear.disable_adapters:
        return weight
    for adapter in linear.active_adapters:
        if adapter in linear.lora_A:
            weight = weight + linear.get_delta_weight(adapter).detach()
    return weight


def fold_norm(norm: Any, weight: Tensor) -> Tensor:
    """A map's weight (out, in) with the norm before it folded in, so that only x / |x| remains to be computed."""
    return weight.float() * (norm.weight.detach().float() * weight.shape[1] ** 0.5)


def _transpose_weight(weight: Tensor) -> Tensor:
    """weight.T, row by row, with a gap behind rows of full memory pages, which would share lines of the cache."""
    turned = weight.float().t()
    gap = LINE if turned.shape[1] % PAGE == 0 else 0
    return F.pad(turned, (0, gap)).contiguous()[:, : turned.shape[1]]


def make_map(weight: Tensor, many: bool, dtype: torch.dtype) -> Map:
    """x (N, in) of any type -> x @ weight.T in `dtype`, for `weight` (out, in); `many`: N is more than a few.

    bfloat16 multiplies in bfloat16 with float32 sums inside, as mixed-precision training does.
    """
    # float32 is faster unpacked
    if many and weight.device.type == "cpu" and dtype == torch.bfloat16 and packs_bfloat16():
        op = torch.ops.mkldnn._linear_pointwise
        packed = torch.ops.mkldnn._reorder_linear_weight(weight.to(dtype).contiguous(), PACKED_ROWS)
        return lambda x: op.default(x.to(dtype), packed, None, "none", [], "")
    return plain_map(weight, dtype)


def plain_map(weight: Tensor, dtype: torch.dtype) -> Map:
    """`make_map` without packing: as fast from some hundred rows on, and for any number of them."""
    if dtype != torch.float32:
        half = weight.to(dtype)
        return lambda x: F.linear(x.to(dtype), half)
    flat = _transpose_weight(weight)
    return lambda x: torch.mm(x, flat)


def make_added_map(weight: Tensor, many: bool, dtype: torch.dtype) -> AddedMap:
    """(x, y) -> x, to which y @ weight.T is added; see `make_map`."""
    if dtype != torch.float32:
        times = make_map(weight, many, dtype)
        return lambda x, y: x.add_(times(y))
    return plain_added_map(weight, dtype)


def plain_added_map(weight: Tensor, dtype: torch.dtype) -> AddedMap:
    """`make_added_map` without packing; see `plain_map`."""
    if dtype != torch.float32:
        times = plain_map(weight, dtype)
        return lambda x, y: x.add_(times(y))
    flat = _transpose_weight(weight)
    return lambda x, y: x.addmm_(y, flat)


class _LayerMaps(NamedTuple):
    """Maps of one layer; the norms' weights and sqrt(d) are folded into those behind them."""

    qkv: Map  # d -> 3 * H * D
    out: AddedMap
    gates: tuple[Map, ...]  # d -> d_ff each: one, or the gate and what it lets through
    down: AddedMap


class T5Encoder:
    """T5's encoder, ready to run. Weights are copied: make a new one after training steps.

    `dtype` is that of the matrix products; norms and sums are float32 either way.
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

    def _layer(self, block: Any) -> _LayerMaps:
        attention, forward = block.layer
        a, f = attention.SelfAttention, forward.DenseReluDense
        qkv = torch.cat([effective_weight(m) for m in (a.q, a.k, a.v)])
        gates = (f.wi_0, f.wi_1) if hasattr(f, "wi_0") else (f.wi,)
        return _LayerMaps(
            plain_map(fold_norm(attention.layer_norm, qkv), self.dtype),
            plain_added_map(effective_weight(a.o), self.dtype),
            tuple(plain_map(fold_norm(forward.layer_norm, effective_weight(g)), self.dtype) for g in gates),
            plain_added_map(effective_weight(f.wo), self.dtype),
        )

    def _norm(self, x: Tensor) -> Tensor:
        return x / torch.linalg.vector_norm(x, 2, -1, True).hypot_(self.eps)

    def __call__(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """Vectors (B, S, d) and their mask (B, S), 1 = input -> states (B, S, d) float32, undefined where it is 0."""
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
            for gate in layer.gates[1:]:
                u = u.mul_(gate(y))
            x = layer.down(x, u)
        return (self._norm(x) * self.final).view(batch, length, -1)


@dataclass(frozen=True, eq=False)
class EncodedPrompt:
    """One prompt as `ids` (L,) int64 in the one id space and `residual` (L, R) codes of motion tokens, -1 elsewhere.

    `grounded`: the user's words, for the sentence encoder; None = none.
    """

    ids: np.ndarray
    residual: np.ndarray
    grounded: str | None


def symbol_ids(text: TextTokenizer, symbols: Sequence[str]) -> list[int]:
    """Ids of typed attributes, of those that the vocabulary has as symbols."""
    return [n for s in symbols if (n := text.symbol(s)) is not None]


def encode_prompt(
    prompt: Prompt, text: TextTokenizer, config: Shape, words: bool = True, ground: bool = True
) -> EncodedPrompt:
    """Turn a task's segments into ids.

    `words` keeps the word pieces of the user's own text (instruction wording always stays), `ground` hands that text
    to the sentence encoder; neither gives the unconditional prompt of classifier-free guidance.
    """
    ids: list[int] = []
    rows: list[np.ndarray] = []
    words_to_ground: list[str] = []
    depth = max((m["levels"] for m in (config.modalities or {}).values()), default=1)
    for segment in prompt.segments:
        if isinstance(segment, CodesSegment):
            # all levels beside the ids of level 0; start and end have none
            first = config.first_id(segment.modality)
            codes = np.full((len(segment.codes) + 2, depth), -1, np.int64)
            codes[1:-1, : segment.codes.shape[1]] = segment.codes
            ids += [config.start_id(segment.modality), *(segment.codes[:, 0] + first), config.end_id(segment.modality)]
            rows.append(codes)
            continue
        if isinstance(segment, AttributesSegment):
            pieces = symbol_ids(text, segment.symbols) if words or ground else []
            ids += pieces
            rows.append(np.full((len(pieces), depth), -1, np.int64))
            continue
        # the user's words go to the sentence encoder too
        if segment.ground:
            words_to_ground.append(segment.text)
            if not words:
                continue
        pieces = text.encode(segment.text)
        ids += pieces
        rows.append(np.full((len(pieces), depth), -1, np.int64))
    residual = np.concatenate(rows) if rows else np.zeros((0, depth), np.int64)
    grounded = " ".join(words_to_ground) if words_to_ground and ground else None
    return EncodedPrompt(np.array(ids, np.int64), residual, grounded)


def encoder_inputs(
    prompts: Sequence[EncodedPrompt], grounder: SentenceGrounder | None, pad_id: int,
    device: torch.device | str = "cpu", multiple: int = 1,
) -> dict[str, Any]:
    """Keyword arguments of `AvatarGPTModel.encode` for a batch; lengths are padded up to a multiple."""
    ids, mask = pad([p.ids for p in prompts], pad_id, multiple)
    out: dict[str, Any] = {
        "input_ids": torch.from_numpy(ids).to(device), "attention_mask": torch.from_numpy(mask).long().to(device),
    }  # fmt: skip
    if any((p.residual >= 0).any() for p in prompts):
        out["residual_codes"] = torch.from_numpy(pad([p.residual for p in prompts], -1, multiple)[0]).to(device)
    if grounder is not None and any(p.grounded for p in prompts):
        out["extra_embeddings"] = [(*_states([p.grounded for p in prompts], grounder, device, multiple), "grounding")]
    return out


def _states(
    texts: Sequence[str | None], grounder: SentenceGrounder, device: torch.device | str, multiple: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token states of the given texts: (B, G, width) and mask (B, G); rows without text are all padding."""
    states = iter(grounder.states([t for t in texts if t]))
    rows = [next(states) if t else None for t in texts]
    longest = -(-max(len(r) for r in rows if r is not None) // multiple) * multiple
    width = next(r.shape[-1] for r in rows if r is not None)
    out, mask = torch.zeros(len(rows), longest, width), torch.zeros(len(rows), longest, dtype=torch.long)
    for b, r in enumerate(rows):
        if r is not None:
            out[b, : len(r)] = torch.as_tensor(np.asarray(r, np.float32))
            mask[b, : len(r)] = 1
    return out.to(device), mask.to(device)


def pad(rows: Sequence[np.ndarray], value: int, multiple: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Pad integer sequences at the right.

    Args:
        rows: B arrays of shape (L_b,) or (L_b, R).
        value: padding.
        multiple: the common length is a multiple of this.

    Returns:
        (B, L) or (B, L, R) int64 and a (B, L) bool mask that is True where there is data.
    """
    if not rows:
        raise UserError("collate: an empty batch")
    longest = max(len(r) for r in rows)
    longest = -(-max(longest, 1) // multiple) * multiple
    out = np.full((len(rows), longest, *rows[0].shape[1:]), value, np.int64)
    mask = np.zeros((len(rows), longest), bool)
    for b, r in enumerate(rows):
        out[b, : len(r)] = r
        mask[b, : len(r)] = True
    return out, mask
