"""Weights in files: as they are, in bfloat16, or matrices as 8-bit integers with a scale for each row."""

from __future__ import annotations

from collections.abc import Mapping

import torch

SCALE = ".scale"  # behind the name of a matrix: (rows, 1, ...) float32
LEAST = 1024  # entries of a matrix that is worth rows of its own


def rounded(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A matrix (rows, ...) as 8-bit integers, and the scale of each row, (rows, 1, ...) float32."""
    weight = matrix.float()
    scale = weight.abs().amax(tuple(range(1, weight.ndim)), keepdim=True).clamp(min=1e-12) / 127
    return torch.round(weight / scale).to(torch.int8), scale


def lowered(name: str, weight: torch.Tensor, dtype: torch.dtype | None) -> dict[str, torch.Tensor]:
    """What a file holds of one floating-point weight.

    Args:
        dtype: None = as it is; ``torch.int8`` = ``name`` (int8) and ``name.scale``, so that their product is within
            half a step (a 254th of the row's largest entry) of the weight; vectors and small matrices in bfloat16.
    """
    if dtype != torch.int8:
        return {name: weight if dtype is None else weight.to(dtype)}
    if weight.ndim < 2 or weight.numel() < LEAST:
        return {name: weight.to(torch.bfloat16)}
    whole, scale = rounded(weight)
    return {name: whole, name + SCALE: scale}


def raised(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights of a file in float32 again; what is no floating-point number and has no scale stays."""
    out = {}
    for name, value in state.items():
        if name.endswith(SCALE) and state.get(name.removesuffix(SCALE), value).dtype == torch.int8:
            continue
        if value.dtype == torch.int8 and name + SCALE in state:
            out[name] = value.float() * state[name + SCALE]
        else:
            out[name] = value.float() if value.is_floating_point() else value
    return out
