"""Weights in files: safetensors and torch files, storage in 8 or 6 bits, and networks built to receive them.

What a file's shape asks for is bounded by the weights that the file contains, and every number is finite.
"""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from vqvae.errors import UserError
from vqvae.io.files import parsing, regular_file

SPARE_NUMBERS = 4_000_000  # of a network beyond those of its file: tables that are computed
SPARE_TENSORS = 10_000
SCALE = ".scale"  # behind the name of a matrix: (rows, 1, ...) float32
MIN_QUANTISED = 1024  # entries of a matrix that is worth a scale for each row
_FACTORIES = {torch.empty, torch.zeros, torch.ones, torch.full, torch.randn, torch.rand, torch.arange, torch.eye,
              torch.linspace, torch.randint, torch.randperm}  # fmt: skip


def load_tensors(path: str | os.PathLike[str], what: str = "a safetensors file") -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file. Raises UserError: not such a file, NaN or infinity in a tensor."""
    from safetensors.torch import load_file

    with parsing(path, what):
        out: dict[str, torch.Tensor] = load_file(regular_file(path))
    check_finite(path, out)
    return out


def load_arrays(path: str | os.PathLike[str], what: str = "a safetensors file") -> dict[str, np.ndarray]:
    """As `load_tensors`, as NumPy's arrays, which know no bfloat16."""
    from safetensors.numpy import load_file

    with parsing(path, what):
        out: dict[str, np.ndarray] = load_file(regular_file(path))
    check_finite(path, out)
    return out


def check_finite(path: str | os.PathLike[str], state: Mapping[Any, Any], place: str = "") -> None:
    """Raises UserError that names the file and the first tensor or array with NaN or infinity, in tables within tables.

    A network answers NaN with a result all the same, and a ranking by NaN is any.
    """
    for key, value in state.items():
        name = f"{place}{key}"
        if isinstance(value, Mapping):
            check_finite(path, value, f"{name}.")
        elif isinstance(value, torch.Tensor) and value.is_floating_point() and value.numel():
            # the least and the largest are NaN where one number is; a tenth of the time of `isfinite`
            low, high = (float(v) for v in torch.aminmax(value.float() if value.dtype.itemsize == 1 else value))
            _check_range(path, name, low, high)
        elif isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.size:
            _check_range(path, name, float(value.min()), float(value.max()))


def _check_range(path: str | os.PathLike[str], name: str, low: float, high: float) -> None:
    if not math.isfinite(low) or not math.isfinite(high):
        what = "NaN" if math.isnan(low) or math.isnan(high) else "infinity"
        raise UserError(f"{path}: {what} in {name}; accepted: finite weights")


def load_checkpoint_file(path: str | os.PathLike[str], device: torch.device) -> dict[str, Any]:
    """What `torch.save` wrote: tensors and plain containers alone, nothing in it is called (``weights_only``).

    A damaged file raises anything that torch's unpickler or zip reader does.
    """
    size = os.path.getsize(regular_file(path))
    with zipfile.ZipFile(path) as archive:
        inside = sum(i.file_size for i in archive.infolist())  # torch does not compress its archives
    if inside > size:
        raise ValueError(f"{inside} bytes in a file of {size}")
    out = torch.load(path, map_location=device, weights_only=True)
    if not isinstance(out, dict):
        raise ValueError(f"a {type(out).__name__}")
    check_finite(path, out)
    return out


class _Bounded(TorchFunctionMode):
    """Counts tensors and their numbers before they are allocated, and refuses more than so many."""

    def __init__(self, numbers: int, tensors: int) -> None:
        super().__init__()
        self.numbers, self.tensors = numbers, tensors

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _FACTORIES:
            self.tensors -= 1
            options = {k: v for k, v in kwargs.items() if k not in ("generator", "out", "pin_memory")}
            self.numbers -= func(*args, **{**options, "device": "meta"}).numel()
            if self.numbers < 0 or self.tensors < 0:
                raise ValueError("the shape is that of a larger network than the weights are of")
        return func(*args, **kwargs)


@contextmanager
def no_larger_than(state: dict[str, torch.Tensor]) -> Iterator[None]:
    """Bound the networks built inside by these weights; a larger one is a `ValueError`."""
    # A few damaged digits of a stored shape would ask for gigabytes, or for years of layers.
    numbers = sum(t.numel() for t in state.values())
    with _Bounded(4 * numbers + SPARE_NUMBERS, 20 * len(state) + SPARE_TENSORS):
        yield


class _NoInitialisation(TorchFunctionMode):
    """Leaves parameters as they are where `torch.nn.init` would fill them."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


@contextmanager
def build_unfilled() -> Iterator[None]:
    """Modules built inside have no memory; ``load_state_dict(state, assign=True)`` gives them the tensors of a file."""
    # Random initialisation takes longer than reading, and on the meta device it even loads torch's compiler.
    with torch.device("meta"), _NoInitialisation():
        yield


def quantise(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A matrix (rows, ...) as 8-bit integers, and the scale of each row, (rows, 1, ...) float32."""
    weight = matrix.float()
    scale = weight.abs().amax(tuple(range(1, weight.ndim)), keepdim=True).clamp(min=1e-12) / 127
    return torch.round(weight / scale).to(torch.int8), scale


def packed6(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A matrix (rows, 4 n) in 6 bits a weight: (rows, 3 n) uint8, and the scale of each row, (rows, 1) float32.

    Of some scales the one with the smallest squared error is taken: a largest entry may be cut for the others.
    """
    weight = matrix.float()
    top = weight.abs().amax(1, keepdim=True).clamp(min=1e-12) / 31
    best, error = top, torch.full_like(top, torch.inf)
    for share in (0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0):
        scale = share * top
        loss = ((torch.round(weight / scale).clamp(-31, 31) * scale - weight) ** 2).sum(1, keepdim=True)
        best, error = torch.where(loss < error, scale, best), torch.minimum(loss, error)
    values = (torch.round(weight / best).clamp(-31, 31) + 32).to(torch.uint8).chunk(4, 1)
    # the fourth quarter lies in the two free bits of the other three
    parts = [values[k] | ((values[3] >> 2 * k & 3) << 6) for k in range(3)]
    return torch.cat(parts, 1), best


def unpacked6(packed: torch.Tensor) -> torch.Tensor:
    """(rows, 3 n) uint8 of `packed6` -> (rows, 4 n) float32, without the scale."""
    parts = packed.chunk(3, 1)
    last = (parts[0] >> 6) | ((parts[1] >> 6) << 2) | ((parts[2] >> 6) << 4)
    return torch.cat([*(p & 63 for p in parts), last], 1).float() - 32


def lower_weight(name: str, weight: torch.Tensor, dtype: torch.dtype | None, bits: int = 8) -> dict[str, torch.Tensor]:
    """The tensors that a file holds for one floating-point weight; `dtype` None = as it is.

    ``torch.int8`` = ``name`` (int8) and ``name.scale``, whose product is within half a step (a 254th of the row's
    largest entry) of the weight; vectors and small matrices in bfloat16. With 6 `bits`, matrices whose rows can be
    divided by four are packed (`packed6`).
    """
    if dtype != torch.int8:
        return {name: weight if dtype is None else weight.to(dtype)}
    if weight.ndim < 2 or weight.numel() < MIN_QUANTISED:
        return {name: weight.to(torch.bfloat16)}
    six = bits == 6 and weight.ndim == 2 and weight.shape[1] % 4 == 0
    integers, scale = packed6(weight) if six else quantise(weight)
    return {name: integers, name + SCALE: scale}


def raise_weights(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights of a file in float32 again; tensors that are not floating-point and have no scale stay."""
    kinds, out = (torch.int8, torch.uint8), {}
    for name, value in state.items():
        if name.endswith(SCALE) and state.get(name.removesuffix(SCALE), value).dtype in kinds:
            continue
        if value.dtype in kinds and name + SCALE in state:
            numbers = value.float() if value.dtype == torch.int8 else unpacked6(value)
            out[name] = numbers * state[name + SCALE]
        else:
            out[name] = value.float() if value.is_floating_point() else value
    return out
