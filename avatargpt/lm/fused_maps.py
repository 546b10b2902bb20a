"""Matrix maps of the decode loop: each weight is laid out once for the processor and the number of rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from avatargpt.lm.precision import packs_bfloat16
from avatargpt.lm.shape import Shape
from avatargpt.lm.t5 import plain_activation

PACKED_ROWS = 32  # number of rows that packing is tuned for
PAGE, LINE = 1024, 16  # float32 numbers of a memory page and of a cache line

Map = Callable[[Tensor], Tensor]
AddedMap = Callable[[Tensor, Tensor], Tensor]


def activation(config: Shape) -> Map:
    """Of the feed-forward layers; may write into what it is given."""
    return torch.relu_ if config.dense_act_fn == "relu" else plain_activation(config.dense_act_fn)


def effective_weight(linear: Any) -> Tensor:
    """The weight that a map really applies: a LoRA layer's updates added to its base."""
    if not hasattr(linear, "get_delta_weight"):
        return linear.weight.detach()
    weight = linear.get_base_layer().weight.detach()
    if linear.merged or linear.disable_adapters:
        return weight
    for adapter in linear.active_adapters:
        if adapter in linear.lora_A:
            weight = weight + linear.get_delta_weight(adapter).detach()
    return weight


def scaled_by(norm: Any, weight: Tensor) -> Tensor:
    """A map's weight (out, in) with the norm in front of it folded in: x / |x| then is all that is left to do."""
    return weight.float() * (norm.weight.detach().float() * weight.shape[1] ** 0.5)


def _turned(weight: Tensor) -> Tensor:
    """weight.T, row by row; rows of whole memory pages would fall into the same lines of the cache and get a gap."""
    turned = weight.float().t()
    gap = LINE if turned.shape[1] % PAGE == 0 else 0
    return F.pad(turned, (0, gap)).contiguous()[:, : turned.shape[1]]


def _packing(dtype: torch.dtype) -> Any:
    """oneDNN's linear map over a weight reordered once, where it is faster than `torch.mm` for `dtype`, else None.

    On processors without AVX-512 `torch.mm` is the faster one.
    """
    if not torch.backends.cpu.get_cpu_capability().startswith("AVX512"):
        return None
    op = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    if op is None or not hasattr(torch.ops.mkldnn, "_reorder_linear_weight"):
        return None
    return op if dtype == torch.float32 or packs_bfloat16() else None


def make_map(weight: Tensor, many: bool, dtype: torch.dtype) -> Map:
    """x (N, in) of any type -> x @ weight.T in `dtype`.

    Args:
        weight: (out, in). many: more than a few rows (another memory layout is faster then).
        dtype: bfloat16 multiplies in bfloat16 with float32 sums inside, as mixed-precision training does.
    """
    op = _packing(dtype) if many and weight.device.type == "cpu" else None
    if op is not None:
        packed = torch.ops.mkldnn._reorder_linear_weight(weight.to(dtype).contiguous(), PACKED_ROWS)
        return lambda x: op.default(x.to(dtype), packed, None, "none", [], "")
    return plain_map(weight, dtype, many)


def plain_map(weight: Tensor, dtype: torch.dtype, many: bool = True) -> Map:
    """`make_map` without packing: as fast from some hundred rows on, and for any number of them."""
    if dtype != torch.float32:
        half = weight.to(dtype)
        return lambda x: F.linear(x.to(dtype), half)
    flat = _turned(weight) if many or weight.shape[0] > weight.shape[1] else weight.float().contiguous().t()
    return lambda x: torch.mm(x, flat)


def make_added_map(weight: Tensor, many: bool, dtype: torch.dtype) -> AddedMap:
    """(x, y) -> x + y @ weight.T, the sum in float32, x may be overwritten; see `make_map`."""
    op = _packing(dtype) if many and weight.device.type == "cpu" else None
    if dtype != torch.float32:
        times = make_map(weight, many, dtype)
        return lambda x, y: x + times(y)
    if op is not None:
        packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), PACKED_ROWS)
        return lambda x, y: op.binary(y, x, packed, None, "add")
    return plain_added_map(weight, dtype, many)


def plain_added_map(weight: Tensor, dtype: torch.dtype, many: bool = True) -> AddedMap:
    """`make_added_map` without packing; see `plain_map`."""
    if dtype != torch.float32:
        times = plain_map(weight, dtype)
        return lambda x, y: x + times(y)
    flat = _turned(weight) if many else weight.float().contiguous().t()
    return lambda x, y: x.addmm_(y, flat)
