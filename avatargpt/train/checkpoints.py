"""Where an unfinished run stands: saved whole, and gone on from exactly."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from vqvae.errors import UserError
from vqvae.motion import atomic_write

INSTEAD = "resume with that run's configuration, or choose a new folder"


def save_checkpoint(path: Path, state: dict[str, Any], shape: Any = None) -> None:
    """Write where a run stands; with the network's configuration (a dataclass), `load_checkpoint` can compare it."""
    whole = state if shape is None else {**state, "shape": asdict(shape)}
    atomic_write(path, lambda p: torch.save(whole, p))


def load_checkpoint(path: Path, device: torch.device, shape: Any = None) -> dict[str, Any] | None:
    """The last checkpoint, or None. Only tensors and plain containers are read (weights_only).

    Args:
        shape: the configuration of the network that goes on, some of which does not show in the sizes of tensors; a
            checkpoint that was saved without one is not compared.

    Raises:
        UserError: damaged, or of another shape.
    """
    if not path.is_file():
        return None
    try:
        saved: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as e:  # torch raises whatever its unpickler or zip reader meets
        raise UserError(f"{path}: damaged checkpoint ({str(e).splitlines()[0]}); move it away to begin anew") from None
    if shape is not None:
        before, now = saved.get("shape", {}), asdict(shape)
        other = [f"{k}: {before[k]}, now {now.get(k)}" for k in before if before[k] != now.get(k)]
        if other:
            raise UserError(f"{path}: of another shape ({other[0]}); {INSTEAD}")
    return saved


def go_on(path: Path, saved: dict[str, Any], network: torch.nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Take over what a checkpoint holds; the step it is of.

    Raises:
        UserError: of another network or other groups of parameters.
    """
    try:
        network.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        return int(saved["step"])
    except (KeyError, RuntimeError, TypeError, ValueError) as e:
        said = (str(e) or type(e).__name__).splitlines()[0]
        raise UserError(f"{path}: of a run with another model ({said}); {INSTEAD}") from None
