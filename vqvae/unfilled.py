"""Networks that are about to be given their weights, made without drawing any."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class _NoDrawing(TorchFunctionMode):
    """Leaves parameters as they are where `torch.nn.init` would fill them."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # fmt: skip
        given = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else given["tensor"]
        return func(*args, **given)


@contextmanager
def unfilled() -> Iterator[None]:
    """Modules made inside have no memory; ``load_state_dict(state, assign=True)`` gives them the tensors of a file.

    Drawing takes longer than reading, and on torch's device without memory it even loads torch's compiler.
    """
    with torch.device("meta"), _NoDrawing():
        yield
