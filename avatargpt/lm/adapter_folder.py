"""A LoRA adapter beside a model: a folder in PEFT's layout whose updates are added to the model's weights.

``adapter_config.json`` and ``adapter_model.safetensors`` as PEFT writes them (rank and alpha; ``lora_A``, ``lora_B`` of
the T5 matrices, and whole tensors of what T5 did not bring), ``avatargpt.json`` with the tokenizers' fingerprints.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vqvae.errors import UserError
from vqvae.io.atomic import atomic_write
from vqvae.io.json_file import read_object

if TYPE_CHECKING:
    import torch

CONFIG, WEIGHTS, ABOUT = "adapter_config.json", "adapter_model.safetensors", "avatargpt.json"
PREFIX = "base_model.model."
Loaded = TypeVar("Loaded")


def write_adapter(
    folder: Path, tensors: dict[str, torch.Tensor], config: dict[str, Any], fingerprints: dict[str, str]
) -> Path:
    """Write an adapter's folder.

    Args:
        tensors: ``PLACE.lora_A.weight``, ``PLACE.lora_B.weight`` and whole ones, by the names of the model.
        config: of PEFT. fingerprints: of the tokenizers that the model was trained with.

    Raises:
        UserError: a tensor is empty, as sharded ones are.
    """
    from safetensors.torch import save_file

    if empty := [k for k, v in tensors.items() if not v.numel()]:
        raise UserError(f"{folder}: not saved: {empty[0]} is empty, its values lie elsewhere")
    folder.mkdir(parents=True, exist_ok=True)
    state = {PREFIX + k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    atomic_write(folder / WEIGHTS, lambda p: save_file(state, p, {"format": "pt"}))
    for name, held in ((CONFIG, config), (ABOUT, {"fingerprints": fingerprints})):
        text = json.dumps(held, indent=1, sort_keys=True)
        atomic_write(folder / name, lambda p, text=text: p.write_text(text, encoding="utf-8"))  # type: ignore[misc]
    return folder


def add_adapter(network: Any, folder: str | os.PathLike[str]) -> None:
    """Add an adapter's updates to a loaded network, in place.

    Raises:
        UserError: missing or damaged files, an adapter of another network or of other tokenizers.
    """
    import torch

    from vqvae.io.tensors import load_tensors

    folder = Path(folder)
    if not (folder / CONFIG).is_file():
        raise UserError(f"--adapter {folder}: no {CONFIG} there; accepted: a folder that LoRA training wrote (adapter)")
    config = read_object(folder / CONFIG)
    fingerprints = dict(network.config.fingerprints or {})
    theirs = read_object(folder / ABOUT).get("fingerprints", {}) if (folder / ABOUT).is_file() else {}
    if wrong := sorted(k for k in theirs.keys() & fingerprints.keys() if theirs[k] != fingerprints[k]):
        raise UserError(f"--adapter {folder}: of a model with another tokenizer of {wrong[0]!r}")
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if not isinstance(rank, int) or rank < 1 or not isinstance(alpha, (int, float)):
        raise UserError(f"--adapter {folder}: {CONFIG}: r {rank}, lora_alpha {alpha}; accepted: numbers above 0")
    found = {k.removeprefix(PREFIX): v for k, v in load_tensors(folder / WEIGHTS).items()}
    known = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    with torch.no_grad():
        for name, tensor in found.items():
            if name.endswith(".lora_B.weight"):
                continue
            place = name.removesuffix(".lora_A.weight")
            target = f"{place}.weight" if name.endswith(".lora_A.weight") else name
            update = tensor
            if target != name:
                other = found.get(f"{place}.lora_B.weight")
                if other is None or other.shape[1:] != tensor.shape[:1]:
                    raise UserError(f"--adapter {folder}: {place}: lora_A without its lora_B")
                update = other.float() @ tensor.float() * (float(alpha) / rank)
            if target not in known or known[target].shape != update.shape:
                raise UserError(f"--adapter {folder}: {target} is not of this model; accepted: an adapter made on it")
            if target == name:
                known[target].copy_(update.to(known[target].dtype))
            else:
                known[target].add_(update.to(known[target].dtype))


def adapted(loaded: Loaded, folder: str | os.PathLike[str] | None) -> Loaded:
    """A loaded model with an adapter's updates in its network; None = as it is.

    Raises:
        UserError: see `add_adapter`.
    """
    if folder is not None:
        add_adapter(loaded.model, folder)  # type: ignore[attr-defined]
    return loaded
