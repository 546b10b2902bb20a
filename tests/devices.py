"""A second device: a GPU, or one in name only, whose tensors compute on the CPU but refuse to meet those of the CPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

SECOND = torch.device("cuda", 0)
KINDS = ("cuda", "meta")
# operations that torch allows across devices
CROSSING = ("aten::copy_", "aten::_to_copy", "aten::to")
INDEXING = ("aten::index", "aten::index_put", "aten::index_put_")  # by indices of the CPU


class SecondTensor(torch.Tensor):
    """A tensor of `SECOND`, kept in `inner` on the CPU."""

    inner: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> SecondTensor:
        # torch itself takes it for a tensor of the device "meta", which needs no driver
        with torch.inference_mode(False):  # else views of it could not be taken everywhere
            shape = torch.empty_strided(inner.shape, inner.stride(), dtype=inner.dtype, device="meta")
            out = torch.Tensor._make_subclass(cls, shape, inner.requires_grad)
        out.inner = inner
        return out

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return SECOND

    def tolist(self) -> Any:
        return self.inner.tolist()

    def __repr__(self, **_: Any) -> str:
        return f"SecondTensor({self.inner!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


@contextmanager
def second_device() -> Iterator[None]:
    """`SECOND` can be used, by `check_device` too."""
    if torch.cuda.is_available():
        yield
        return
    with pytest.MonkeyPatch.context() as patched, _Dispatch():
        patched.setattr("torch.cuda._lazy_init", lambda: None)
        patched.setattr("avatargpt.lm.loaded.check_device", lambda device: device)
        torch._C._set_only_lift_cpu_tensors(True)  # `torch.tensor` moves what it makes by a dispatched operation
        try:
            yield
        finally:
            torch._C._set_only_lift_cpu_tensors(False)


class _Dispatch(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    leaves = tree_leaves((args, kwargs))
    there = [x for x in leaves if isinstance(x, SecondTensor)]
    here = [x for x in leaves if isinstance(x, torch.Tensor) and not isinstance(x, SecondTensor)]
    name = func._schema.name
    bound = tree_leaves((args[0], args[2:])) if name in INDEXING and isinstance(args[0], SecondTensor) else here
    if there and name not in CROSSING and any(x.dim() for x in bound if any(x is y for y in here)):
        raise RuntimeError(f"{name}: tensors of two devices")
    if name == "aten::_fused_sdp_choice":
        return 0  # the kernels of this device are not there
    device = next((x for x in leaves if isinstance(x, torch.device)), None)
    result = func(*tree_map(_plain, args), **tree_map(_plain, kwargs))
    if name == "aten::copy_":
        return args[0]
    second = bool(there) if device is None else device.type in KINDS
    wrappers = {id(x.inner): x for x in there}
    known = {id(x) for x in here}

    def back(x: Any) -> Any:
        if not isinstance(x, torch.Tensor) or not second:
            return x
        if id(x) in wrappers:
            return wrappers[id(x)]
        return SecondTensor(x.clone() if id(x) in known else x)

    return tree_map(back, result)


def _plain(x: Any) -> Any:
    if isinstance(x, SecondTensor):
        return x.inner
    return torch.device("cpu") if isinstance(x, torch.device) and x.type in KINDS else x
