"""Weights in files: safetensors and torch files, 8-bit storage, and networks built to receive them.

What a file's shape asks for is bounded by the weights that the file contains.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from vqvae.io.files import parsing, regular_file

SPARE_NUMBERS = 4_000_000  # of a network beyond those of its file: tables that are computed
SPARE_TENSORS = 10_000
SCALE = ".scale"  # behind the name of a matrix: (rows, 1, ...) float32
MIN_QUANTISED = 1024  # entries of a matrix that is worth a scale for each row
_FACTORIES = {torch.empty, torch.zeros, torch.ones, torch.full, torch.randn, torch.rand, torch.arange, torch.eye,
              torch.linspace, torch.randint, torch.randperm}  # fmt: skip


def load_tensors(path: str | os.PathLike[str], what: str = "a safetensors file") -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file."""
    from safetensors.torch import load_file

    with parsing(path, what):
        out: dict[str, torch.Tensor] = load_file(regular_file(path))
        return out


def load_arrays(path: str | os.PathLike[str], what: str = "a safetensors file") -> dict[str, np.ndarray]:
    """As `load_tensors`, as NumPy's arrays, which know no bfloat16."""
    from safetensors.numpy import load_file

    with parsing(path, what):
        out: dict[str, np.ndarray] = load_file(regular_file(path))
        return out


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
def unfilled() -> Iterator[None]:
    """Modules built inside have no memory; ``load_state_dict(state, assign=True)`` gives them the tensors of a file."""
    # Random initialisation takes longer than reading, and on the meta device it even loads torch's compiler.
    with torch.device("meta"), _NoInitialisation():
        yield


def quantised(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A matrix (rows, ...) as 8-bit integers, and the scale of each row, (rows, 1, ...) float32."""
    weight = matrix.float()
    scale = weight.abs().amax(tuple(range(1, weight.ndim)), keepdim=True).clamp(min=1e-12) / 127
    return torch.round(weight / scale).to(torch.int8), scale


def lowered(name: str, weight: torch.Tensor, dtype: torch.dtype | None) -> dict[str, torch.Tensor]:
    """The tensors that a file holds for one floating-point weight; `dtype` None = as it is.

    ``torch.int8`` = ``name`` (int8) and ``name.scale``, whose product is within half a step (a 254th of the row's
    largest entry) of the weight; vectors and small matrices in bfloat16.
    """
    if dtype != torch.int8:
        return {name: weight if dtype is None else weight.to(dtype)}
    if weight.ndim < 2 or weight.numel() < MIN_QUANTISED:
        return {name: weight.to(torch.bfloat16)}
    integers, scale = quantised(weight)
    return {name: integers, name + SCALE: scale}


def raised(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights of a file in float32 again; tensors that are not floating-point and have no scale stay."""
    out = {}
    for name, value in state.items():
        if name.endswith(SCALE) and state.get(name.removesuffix(SCALE), value).dtype == torch.int8:
            continue
        if value.dtype == torch.int8 and name + SCALE in state:
            out[name] = value.float() * state[name + SCALE]
        else:
            out[name] = value.float() if value.is_floating_point() else value
    return out
