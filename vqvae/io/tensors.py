"""The one reader of safetensors and of torch's files: what they are to become is bounded by what is in them."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from vqvae.io.guard import regular, understanding

SPARE_NUMBERS = 4_000_000  # of a network beyond those of its file: tables that are computed
SPARE_TENSORS = 10_000
_MAKERS = {torch.empty, torch.zeros, torch.ones, torch.full, torch.randn, torch.rand, torch.arange, torch.eye,
           torch.linspace, torch.randint, torch.randperm}  # fmt: skip


def load_tensors(path: str | os.PathLike[str], what: str = "a safetensors file") -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file; they take as much memory as the file, which is read as far as it says itself.

    Raises:
        UserError: no regular file, cut short or damaged.
    """
    from safetensors.torch import load_file

    with understanding(path, what):
        out: dict[str, torch.Tensor] = load_file(regular(path))
        return out


def load_arrays(path: str | os.PathLike[str], what: str = "a safetensors file") -> dict[str, np.ndarray]:
    """As `load_tensors`, as NumPy's arrays, which know no bfloat16."""
    from safetensors.numpy import load_file

    with understanding(path, what):
        out: dict[str, np.ndarray] = load_file(regular(path))
        return out


def load_checkpoint_file(path: str | os.PathLike[str], device: torch.device) -> dict[str, Any]:
    """What `torch.save` wrote, tensors and plain containers alone: nothing in it is called (``weights_only``).

    Raises:
        Exception: whatever torch's unpickler or zip reader meets in a damaged file.
    """
    size = os.path.getsize(regular(path))
    with zipfile.ZipFile(path) as archive:
        inside = sum(i.file_size for i in archive.infolist())  # torch does not compress its archives
    if inside > size:
        raise ValueError(f"{inside} bytes in a file of {size}")
    out = torch.load(path, map_location=device, weights_only=True)
    if not isinstance(out, dict):
        raise ValueError(f"a {type(out).__name__}")
    return out


class _Bounded(TorchFunctionMode):
    """Counts what is made, and refuses it before it takes its memory."""

    def __init__(self, numbers: int, tensors: int) -> None:
        super().__init__()
        self.numbers, self.tensors = numbers, tensors

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _MAKERS:
            self.tensors -= 1
            rest = {k: v for k, v in kwargs.items() if k not in ("generator", "out", "pin_memory")}
            self.numbers -= func(*args, **{**rest, "device": "meta"}).numel()
            if self.numbers < 0 or self.tensors < 0:
                raise ValueError("the shape is that of a larger network than the weights are of")
        return func(*args, **kwargs)


@contextmanager
def no_larger_than(state: dict[str, torch.Tensor]) -> Iterator[None]:
    """Inside, a network is made from a shape that a file says, for weights that another holds.

    A few damaged digits of a shape ask for gigabytes, or for years of small layers: what is made is counted, and
    refused where it goes beyond the weights.

    Raises:
        ValueError: the network is larger than these weights are.
    """
    numbers = sum(t.numel() for t in state.values())
    with _Bounded(4 * numbers + SPARE_NUMBERS, 20 * len(state) + SPARE_TENSORS):
        yield
