"""LoRA adapters (arXiv 2106.09685): folders of updates of a language model, and models with one of them added.

A folder is in PEFT's layout: ``adapter_config.json`` and ``adapter_model.safetensors`` as PEFT writes them (rank and
alpha; ``lora_A``, ``lora_B`` of the T5 matrices, and complete tensors of parts that T5 lacks). ``avatargpt.json`` has
the tokenizers' fingerprints and the ``modalities`` that the adapter adds, whose tokenizers lie in folders of their
names. A model folder may have adapters by name in ``adapters``.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vqvae.errors import UserError
from vqvae.io.data_files import read_object
from vqvae.io.files import atomic_write, parsing

if TYPE_CHECKING:
    import torch

    from avatargpt.lm.network import LanguageNetwork, Network

FOLDER = "adapters"  # of a model folder
CONFIG, WEIGHTS, ABOUT = "adapter_config.json", "adapter_model.safetensors", "avatargpt.json"
PREFIX = "base_model.model."
DOWN, UP = ".lora_A.weight", ".lora_B.weight"


def adapter_names(source: str | os.PathLike[str]) -> list[str]:
    """Names of the adapters of a model folder; none of a model without a folder (``""``)."""
    return sorted(p.parent.name for p in Path(source).glob(f"{FOLDER}/*/{CONFIG}")) if source else []


def find_adapter(source: str | os.PathLike[str], name: str | os.PathLike[str]) -> Path:
    """The folder of an adapter: `name` is that of one of the model folder `source`, or a folder.

    Raises:
        UserError: neither.
    """
    names = adapter_names(source)
    if str(name) in names:
        return Path(source) / FOLDER / str(name)
    if (Path(name) / CONFIG).is_file():
        return Path(name)
    raise UserError(f"--adapter {name}: no {CONFIG} there; accepted: a folder that LoRA training wrote (adapter)"
                    + (f", or {', '.join(names)}" if names else ""))  # fmt: skip


def write_adapter(
    folder: Path, tensors: dict[str, torch.Tensor], config: dict[str, Any], about: dict[str, Any], small: bool = False
) -> Path:
    """Write an adapter's folder.

    Args:
        tensors: ``PLACE.lora_A.weight``, ``PLACE.lora_B.weight`` and complete ones, by the names of the model.
        config: of PEFT. about: ``fingerprints`` of the tokenizers that it was trained with, ``modalities`` it adds.
        small: matrices in 8 bits, code vectors in bfloat16, which PEFT does not read.

    Raises:
        UserError: an empty tensor, as sharded ones are.
    """
    import torch
    from safetensors.torch import save_file

    from avatargpt.lm.checkpoint import CODES, check_complete
    from vqvae.io.tensors import lower_weight

    check_complete(folder, tensors)
    folder.mkdir(parents=True, exist_ok=True)
    state: dict[str, Any] = {}
    for name, value in tensors.items():
        kind = torch.bfloat16 if name.endswith(CODES) else torch.int8
        state |= lower_weight(PREFIX + name, value.detach().cpu().contiguous(), kind if small else None)
    atomic_write(folder / WEIGHTS, lambda p: save_file(state, p, {"format": "pt"}))
    for file, record in ((CONFIG, config), (ABOUT, about)):
        text = json.dumps(record, indent=1, sort_keys=True) + "\n"
        atomic_write(folder / file, lambda p, text=text: p.write_text(text, encoding="utf-8"))  # type: ignore[misc]
    return folder


@dataclass(frozen=True)
class Adapter:
    """An adapter in memory: `scale` = alpha / rank, `modalities` that it adds, with their entries."""

    folder: Path
    scale: float
    tensors: dict[str, torch.Tensor]
    fingerprints: dict[str, str]
    modalities: dict[str, Any]
    config: dict[str, Any]

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Adapter:
        """Read the files of `write_adapter`, tensors in float32.

        Raises:
            UserError: missing or damaged files.
        """
        from vqvae.io.tensors import load_tensors, raise_weights

        folder = find_adapter("", folder)
        config = read_object(folder / CONFIG)
        about = read_object(folder / ABOUT) if (folder / ABOUT).is_file() else {}  # another tool's adapter has none
        rank, alpha = config.get("r"), config.get("lora_alpha")
        if not isinstance(rank, int) or rank < 1 or not isinstance(alpha, (int, float)):
            raise UserError(f"--adapter {folder}: {CONFIG}: r {rank}, lora_alpha {alpha}; accepted: numbers above 0")
        tensors = {k.removeprefix(PREFIX): v.float() for k, v in raise_weights(load_tensors(folder / WEIGHTS)).items()}
        with parsing(folder / ABOUT, "an adapter's record"):
            prints, entries = dict(about.get("fingerprints", {})), dict(about.get("modalities", {}))
        return cls(folder, float(alpha) / rank, tensors, prints, entries, config)

    def check(self, network: Network) -> None:
        """Raises UserError for a network of other tokenizers."""
        known = dict(network.config.fingerprints or {})
        if wrong := sorted(k for k, v in self.fingerprints.items() if k in known and known[k] != v):
            raise UserError(f"--adapter {self.folder}: of a model with another tokenizer of {wrong[0]!r}")

    def add(self, network: Network) -> None:
        """Add the updates to a network in place: a low-rank pair adds to a matrix, a complete tensor replaces one.

        Raises:
            UserError: an adapter of another network or of other tokenizers.
        """
        import torch

        self.check(network)
        weights = {**dict(network.named_parameters()), **dict(network.named_buffers())}
        with torch.no_grad():
            for name, tensor in self.tensors.items():
                if name.endswith(UP):
                    continue
                place = name.removesuffix(DOWN)
                low_rank = place != name
                target, update = f"{place}.weight" if low_rank else name, tensor
                if low_rank:
                    up = self.tensors.get(f"{place}{UP}")
                    if up is None or up.shape[1:] != tensor.shape[:1]:
                        raise UserError(f"--adapter {self.folder}: {place}: lora_A without its lora_B")
                    update = up @ tensor * self.scale
                if target not in weights or weights[target].shape != update.shape:
                    raise UserError(f"--adapter {self.folder}: {target} is not of this model; accepted: an adapter "
                                    "made on it")  # fmt: skip
                update = update.to(weights[target])
                if low_rank:
                    weights[target].add_(update)
                else:
                    weights[target].copy_(update)

    def on(self, network: LanguageNetwork) -> LanguageNetwork:
        """A copy of `network` with the adapter's modalities and updates, on the same device.

        Raises:
            UserError: as `add`.
        """
        from avatargpt.lm.checkpoint import fill
        from avatargpt.lm.network import LanguageNetwork
        from vqvae.io.tensors import build_unfilled, no_larger_than

        self.check(network)
        config = network.config
        modalities = {**(config.modalities or {}), **self.modalities}
        prints = {**(config.fingerprints or {}), **{k: v for k, v in self.fingerprints.items() if k in modalities}}
        state = {k: v.clone() for k, v in network.state_dict().items()}
        added = {k: v for k, v in self.tensors.items() if not k.endswith((DOWN, UP)) and k not in state}
        state |= {k: v.to(network.shared.weight) for k, v in added.items()}
        with parsing(self.folder, "an adapter of this model"):
            with no_larger_than(state), build_unfilled():
                copy = LanguageNetwork(replace(config, modalities=modalities, fingerprints=prints))
            fill(copy, state, assign=True)
        self.add(copy)
        return copy.eval()
