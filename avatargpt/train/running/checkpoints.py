"""Where an unfinished run stands: saved whole, and gone on from exactly."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from vqvae.errors import UserError
from vqvae.motion import atomic_write
from vqvae.strict import Strict

INSTEAD = "resume with that run's configuration, or choose a new folder"


def save_checkpoint(path: Path, state: dict[str, Any], shape: Any = None) -> None:
    """Write where a run stands; with the network's configuration (a dataclass or a dict), `load_checkpoint` can
    compare it."""
    whole = state if shape is None else {**state, "shape": _fields(shape)}
    atomic_write(path, lambda p: torch.save(whole, p))


def _fields(shape: Any) -> dict[str, Any]:
    if isinstance(shape, Strict):
        return shape.model_dump()
    return dict(shape) if isinstance(shape, dict) else asdict(shape)


def check_shape(path: Path, before: dict[str, Any], shape: Any) -> None:
    """Refuse to go on with another network than that of the checkpoint.

    Args:
        before: the configuration in the checkpoint; what it lacks is not compared.
        shape: that of the network that goes on.

    Raises:
        UserError: names the first field that differs.
    """
    now = _fields(shape)
    other = [f"{k}: {before[k]}, now {now.get(k)}" for k in before if before[k] != now.get(k)]
    if other:
        raise UserError(f"{path}: of another shape ({other[0]}); {INSTEAD}")


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
        check_shape(path, saved.get("shape", {}), shape)
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


def check_identity(path: Path, saved: dict[str, Any], identity: dict[str, Any]) -> None:
    """Refuse to go on with another network than that of a checkpoint; what either does not say is not compared.

    Args:
        identity: what the stage is made with: ``shape`` of the network, ``fingerprints`` of tokenizers, ...

    Raises:
        UserError: names the first thing that differs.
    """
    for key, now in identity.items():
        if key not in saved:
            continue
        if key == "fingerprints":
            for name in sorted(saved[key].keys() | now.keys()):
                a, b = (str(x.get(name, "none"))[:12] for x in (saved[key], now))
                if a != b:
                    raise UserError(f"{path}: of a run with another tokenizer of '{name}' ({a}, now {b}); {INSTEAD}")
        elif isinstance(now, dict):
            check_shape(path, saved[key], now)
        elif saved[key] != now:
            raise UserError(f"{path}: of a run with another {key} ({saved[key]}, now {now}); {INSTEAD}")
