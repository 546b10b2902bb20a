"""Parts of a model folder: a small network as a JSON file of its shape and a file of weights; others as one file."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vqvae.errors import UserError
from vqvae.io.atomic import atomic_write
from vqvae.io.guard import regular, understanding

if TYPE_CHECKING:
    import torch
    from torch import nn

Network = TypeVar("Network", bound="nn.Module")
Part = TypeVar("Part")
SMALL = "model.int8.safetensors"  # a language model in eight bits
MOST_SHAPE = 1 << 20  # bytes of JSON
PRECISE = ("mean", "std")  # feature statistics stay float32


def check_model(folder: Path | None) -> None:
    """Raises UserError for a ``--model`` that is no folder; None = the packaged weights."""
    if folder is not None and not folder.is_dir():
        raise UserError(f"--model {folder}: no such folder; accepted a folder of weights")


def packaged() -> Path:
    """Where the driver and the reader of the package lie."""
    from avatargpt.resources import PACKAGE

    return PACKAGE / "weights" / "driver"


def fingerprint(weights: nn.Module) -> str:
    """SHA-256 over names, shapes and values of a torch module's state: equal on every device and in every file."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(weights.state_dict().items()):
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def stored(network: Any, dtype: torch.dtype | None) -> dict[str, torch.Tensor]:
    """A network's tensors as a file holds them; `dtype`: `vqvae.precision`, not of those in `PRECISE`."""
    from vqvae.precision import lowered

    state: dict[str, torch.Tensor] = {}
    for k, v in network.state_dict().items():
        state |= lowered(k, v.detach().cpu().contiguous(), None if k in PRECISE else dtype)
    return state


def save_network(
    network: Any, folder: str | os.PathLike[str], name: str, version: int, dtype: torch.dtype | None = None
) -> Path:
    """Write ``NAME.json`` (version and `network.config`) and ``NAME.safetensors``; `dtype`: `vqvae.precision`."""
    from safetensors.torch import save_file

    folder, state = Path(folder), stored(network, dtype)
    text = json.dumps({"version": version, **network.config.model_dump()}, indent=1) + "\n"
    atomic_write(folder / f"{name}.safetensors", lambda p: save_file(state, p))
    return atomic_write(folder / f"{name}.json", lambda p: p.write_text(text, encoding="utf-8")).parent


def remove_network(folder: str | os.PathLike[str], name: str) -> bool:
    """Take away what an earlier `save_network` wrote under this name; whether there was something."""
    files = [Path(folder) / f"{name}.json", Path(folder) / f"{name}.safetensors"]
    there = any(f.exists() for f in files)
    for file in files:
        file.unlink(missing_ok=True)
    return there


def load_network(
    folder: str | os.PathLike[str], name: str, version: int, make: Callable[[dict[str, Any]], Network]
) -> Network:
    """Read what `save_network` wrote, in float32.

    Args:
        make: the network of a shape, from the fields of its configuration.

    Raises:
        UserError: missing, damaged, or of another version.
    """
    from vqvae.io.json_file import read_object
    from vqvae.io.tensors import load_tensors, no_larger_than
    from vqvae.precision import raised

    folder = Path(folder)
    for file in (f"{name}.json", f"{name}.safetensors"):
        if not (folder / file).is_file():
            raise UserError(f"{folder}: no {file} in it; a folder of the {name} stage is needed")
    about = read_object(folder / f"{name}.json", MOST_SHAPE)
    what = f"a {name} of this version"
    state = load_tensors(folder / f"{name}.safetensors", what)
    with understanding(folder, what):
        if about.pop("version") != version:
            raise ValueError("another version")
        with no_larger_than(state):
            network = make(about)
        network.load_state_dict(raised(state))
        return network.float()


def in_eight_bits(folder: str | os.PathLike[str], name: str) -> bool:
    """Whether the matrices of a folder that was read lie there as 8-bit integers."""
    from safetensors import safe_open

    from vqvae.precision import SCALE

    with safe_open(Path(folder) / f"{name}.safetensors", "pt") as file:
        return any(key.endswith(SCALE) for key in file.keys())  # noqa: SIM118  it is no mapping


def read_part(
    path: Path, what: str, load: Callable[[Path], dict[str, Any]], make: Callable[[dict[str, Any]], Part]
) -> Part | None:
    """A file that a model folder may have beside its weights, or None where it has none.

    Args:
        what: it is, for the message. load: safetensors' `load_file` of numpy or torch. make: the part of its tensors.

    Raises:
        UserError: a damaged file.
    """
    if not path.exists():
        return None
    with understanding(path, f"a readable {what}"):
        return make(load(regular(path)))
