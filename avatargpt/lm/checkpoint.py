"""Saving and loading, which is strict: language models, and the small networks beside them in a model folder."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from avatargpt.lm.shape import SMALL, SMALL_NEXT, NetworkShape, read_small
from avatargpt.resources import PACKAGE
from vqvae.errors import UserError
from vqvae.io.data_files import read_object
from vqvae.io.files import atomic_write, parsing, scratch_folder

if TYPE_CHECKING:
    import torch
    from torch import nn

    from avatargpt.lm.model import AvatarGPTModel
    from avatargpt.lm.network import LanguageNetwork

Network = TypeVar("Network", bound="nn.Module")
Part = TypeVar("Part")
CODES = ".codebooks"  # end of the names of the tokenizer's code vectors
WHAT = "a language model of this version"
NEEDED = "a folder written by save_model is needed"
MAX_SHAPE_BYTES = 1 << 20  # of JSON
MAX_SMALL_BYTES = 16_000_000  # of tensors in a file: some hosts take files below 16 MiB only
PRECISE = ("mean", "std", "rest")  # feature statistics stay float32
_NOT_FIELDS = ("model_type", "architectures", "transformers_version", "dtype")


def check_model(folder: Path | None) -> None:
    """Raises UserError for a ``--model`` that is no folder; None = the packaged weights."""
    if folder is not None and not folder.is_dir():
        raise UserError(f"--model {folder}: no such folder; accepted a folder of weights")


def find_part(folder: str | os.PathLike[str] | None, name: str) -> Path | None:
    """The folder called `name` in a model folder, or that itself, by its ``NAME.json``; None = the packaged weights."""
    root = PACKAGE / "weights" if folder is None else Path(folder)
    return next((place for place in (root / name, root) if (place / f"{name}.json").is_file()), None)


def driver_folder() -> Path:
    """The packaged folder of the speech driver and the instruction parser."""
    return PACKAGE / "weights" / "driver"


def check_complete(folder: Path, state: dict[str, torch.Tensor]) -> None:
    """Raises UserError for an empty tensor."""
    if empty := [k for k, v in state.items() if not v.numel()]:
        raise UserError(f"{folder}: not saved: {empty[0]} is empty, its values lie elsewhere")  # sharded tensors are


@contextmanager
def no_bars() -> Iterator[None]:
    """Inside, transformers shows no progress bars, and DeepSpeed, which it imports to save, does not warn of CPUs."""
    from transformers.utils import logging as bars

    def is_loud(record: logging.LogRecord) -> bool:
        return record.levelno > logging.WARNING

    enabled, of_deepspeed = bars.is_progress_bar_enabled(), logging.getLogger("DeepSpeed")
    bars.disable_progress_bar()
    of_deepspeed.addFilter(is_loud)
    try:
        yield
    finally:
        of_deepspeed.removeFilter(is_loud)
        if enabled:
            bars.enable_progress_bar()


def save_model(
    model: AvatarGPTModel, folder: str | os.PathLike[str], max_shard_size: str = "2GB",
    state_dict: dict[str, torch.Tensor] | None = None,
) -> Path:  # fmt: skip
    """Write configuration and weights (safetensors), exact to the bit. Old files stay until the new are complete.

    `state_dict`: other weights than the model's own, e.g. with LoRA's updates added in.

    Raises:
        UserError: the folder cannot be written, the disk is full, or a tensor is empty, as sharded ones are.
    """
    folder = Path(folder)
    check_complete(folder, state_dict or model.state_dict())
    with scratch_folder(folder, "model") as temporary:
        with no_bars():
            model.save_pretrained(temporary, max_shard_size=max_shard_size, state_dict=state_dict)
        # files move one by one into the folder, the old ones go last
        new = {f.name for f in temporary.iterdir()}
        for file in temporary.iterdir():
            os.replace(file, folder / file.name)
        _remove_old_weights(folder, new)
    return folder


def save_small(
    model: AvatarGPTModel, folder: str | os.PathLike[str], bits: int = 8, max_bytes: int = MAX_SMALL_BYTES
) -> Path:
    """Write configuration and weights in 8 or 6 `bits` (`vqvae.io.tensors`), code vectors in bfloat16.

    `max_bytes` of tensors in each file; the first file's metadata say how many ``files`` there are.
    """
    import torch
    from safetensors.torch import save_file

    from vqvae.io.tensors import lower_weight

    folder = Path(folder)
    shards: list[dict[str, torch.Tensor]] = [{}]
    size = 0
    for name, value in model.state_dict().items():
        if name not in model._tied_weights_keys:
            kind = torch.bfloat16 if name.endswith(CODES) else torch.int8
            state = lower_weight(name, value.detach().cpu().contiguous(), kind, bits)
            added = sum(t.nbytes for t in state.values())
            if shards[-1] and size + added > max_bytes:
                shards.append({})
                size = 0
            shards[-1] |= state
            size += added
    fields = {k: v for k, v in model.config.to_dict().items() if k != "_name_or_path"}  # of this machine alone
    text = json.dumps(fields, indent=1, sort_keys=True, default=str) + "\n"
    about = {"files": str(len(shards))}
    names = [SMALL, *(SMALL_NEXT.format(n) for n in range(2, len(shards) + 1))]
    for file, tensors in zip(names, shards, strict=True):
        atomic_write(folder / file, lambda p, tensors=tensors: save_file(tensors, p, about))  # type: ignore[misc]
    atomic_write(folder / "config.json", lambda p: p.write_text(text, encoding="utf-8"))
    _remove_old_weights(folder, {*names})
    return folder


def _remove_old_weights(folder: Path, new: set[str]) -> None:
    index, settings = folder / "model.safetensors.index.json", folder / "generation_config.json"
    for file in (*folder.glob("model*.safetensors"), index, settings):
        if file.name not in new:
            file.unlink(missing_ok=True)


def fill(network: torch.nn.Module, state: dict[str, torch.Tensor], assign: bool) -> None:
    """Load weights; ValueError or RuntimeError unless names and shapes fit."""
    from avatargpt.lm.network import TIED

    keys = network.load_state_dict(state, strict=False, assign=assign)
    if wrong := {*keys.missing_keys, *keys.unexpected_keys} - {*TIED}:
        raise ValueError(f"weights do not fit config.json: {min(wrong)}")


def _check_files(folder: Path) -> list[str]:
    """Names of the checkpoint's files of weights; every one exists and is complete."""
    from safetensors import safe_open

    if not (folder / "config.json").is_file():
        raise UserError(f"{folder}: no config.json; {NEEDED}")
    # a folder of several shards has an index that names them all
    index = folder / "model.safetensors.index.json"
    read_object(folder / "config.json")
    names = {"model.safetensors"}
    if index.is_file():
        entries = read_object(index)
        with parsing(index, "the index of the weights"):
            names = {str(name) for name in entries["weight_map"].values()}
    for name in sorted(names):
        if not (folder / name).is_file():
            raise UserError(f"{folder}: {name} is missing; all files of the checkpoint are needed")
        with parsing(folder / name, "whole weights", "copy the file again"), safe_open(folder / name, "pt"):
            pass
    return sorted(names)


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Fields of the configuration and weights as stored, of a folder of either kind."""
    from vqvae.io.tensors import load_tensors

    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; {NEEDED}")
    state = read_small(lambda name: path if (path := folder / name).is_file() else None)
    if state is None:
        state = {k: v for name in _check_files(folder) for k, v in load_tensors(folder / name).items()}
    return {k: v for k, v in read_object(folder / "config.json").items() if k not in _NOT_FIELDS}, state


def load_network(folder: str | os.PathLike[str], device: str = "cpu") -> LanguageNetwork:
    """The model of a folder for use, in float32 and evaluation mode; transformers is not imported."""
    from avatargpt.lm.network import LanguageNetwork
    from vqvae.io.tensors import build_unfilled, no_larger_than, raise_weights

    fields, state = _read(Path(folder))
    with parsing(folder, WHAT):
        with no_larger_than(state), build_unfilled():
            network = LanguageNetwork(NetworkShape.of(fields))
        fill(network, raise_weights(state), assign=True)
    return network.to(device).eval()


def load_model(
    folder: str | os.PathLike[str], device: str = "cpu", dtype: torch.dtype | None = None, dropout: float | None = None
) -> AvatarGPTModel:
    """A model for training, in evaluation mode, from a folder of `save_model`, `save_small` or `save_pretrained`.

    `dropout`: another rate than that of the folder.

    Raises:
        UserError: no such folder, a missing, truncated or damaged file, or weights that do not fit the configuration.
    """
    import torch

    from avatargpt.lm.model import AvatarGPTConfig, AvatarGPTModel
    from vqvae.io.tensors import no_larger_than, raise_weights

    fields, state = _read(Path(folder))
    if dropout is not None:
        fields["dropout_rate"] = dropout
    with parsing(folder, WHAT):
        with no_larger_than(state):
            model = AvatarGPTModel(AvatarGPTConfig(**fields))
        fill(model, raise_weights(state), assign=False)
    torch.nn.Module.to(model, device, dtype)
    return model.eval()


def with_modalities(model: AvatarGPTModel, entries: dict[str, Any]) -> AvatarGPTModel:
    """The same model with further modalities (`entries` as in `AvatarGPTConfig.modalities`), initialised at random."""
    from avatargpt.lm.model import AvatarGPTConfig, AvatarGPTModel

    modalities = model.config.modalities or {}
    if set(entries) <= set(modalities):
        return model
    fields = {k: v for k, v in model.config.to_dict().items() if k not in _NOT_FIELDS}
    wider = AvatarGPTModel(AvatarGPTConfig(**{**fields, "modalities": {**entries, **modalities}}))
    wider.load_state_dict(model.state_dict(), strict=False)
    return wider.eval()


def start_from_t5(folder: str | os.PathLike[str], **config: Any) -> AvatarGPTModel:
    """A new model whose stacks, text table and text head come from a T5 or Flan-T5 folder or hub name.

    `config`: fields of `AvatarGPTConfig` beyond the checkpoint's own (modalities, grounding_dim, ...).
    """
    from transformers import T5ForConditionalGeneration

    from avatargpt.lm.model import AvatarGPTConfig, AvatarGPTModel
    from vqvae.io.tensors import check_finite

    with no_bars():
        source = T5ForConditionalGeneration.from_pretrained(folder)
    fields = {k: v for k, v in source.config.to_dict().items() if k not in _NOT_FIELDS}
    model = AvatarGPTModel(AvatarGPTConfig(**{**fields, **config}))
    weights = {k: v.clone() for k, v in source.state_dict().items()}
    check_finite(folder, weights)
    if source.config.scale_decoder_outputs:
        # T5 1.0 ties its head to the table and scales the states; here the scale is part of the untied head
        weights["lm_head.weight"] = weights["lm_head.weight"] * source.config.d_model**-0.5
    model.load_state_dict(weights, strict=False)
    return model


def fingerprint(weights: nn.Module) -> str:
    """SHA-256 over names, shapes and values of a torch module's state: equal on every device and in every file."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(weights.state_dict().items()):
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        # bytes, not numbers: NaN and -0 count as well
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def store_tensors(network: Any, dtype: torch.dtype | None) -> dict[str, torch.Tensor]:
    """A network's tensors as a file holds them: in `dtype` (`vqvae.io.tensors.lower_weight`) but for `PRECISE` ones."""
    from vqvae.io.tensors import lower_weight

    state: dict[str, torch.Tensor] = {}
    for k, v in network.state_dict().items():
        state |= lower_weight(k, v.detach().cpu().contiguous(), None if k in PRECISE else dtype)
    return state


def save_part(
    network: Any, folder: str | os.PathLike[str], name: str, version: int, dtype: torch.dtype | None = None
) -> Path:
    """Write ``NAME.json`` (version and `network.config`) and ``NAME.safetensors`` (see `store_tensors`)."""
    from safetensors.torch import save_file

    folder, state = Path(folder), store_tensors(network, dtype)
    text = json.dumps({"version": version, **network.config.model_dump()}, indent=1) + "\n"
    atomic_write(folder / f"{name}.safetensors", lambda p: save_file(state, p))
    return atomic_write(folder / f"{name}.json", lambda p: p.write_text(text, encoding="utf-8")).parent


def remove_part(folder: str | os.PathLike[str], name: str) -> bool:
    """Remove the files of `save_part`; whether there were any."""
    files = [Path(folder) / f"{name}.json", Path(folder) / f"{name}.safetensors"]
    there = any(f.exists() for f in files)
    for file in files:
        file.unlink(missing_ok=True)
    return there


def load_part(
    folder: str | os.PathLike[str], name: str, version: int, make: Callable[[dict[str, Any]], Network]
) -> Network:
    """Read the files of `save_part`, in float32; `make`: fields of a configuration -> the network."""
    from vqvae.io.tensors import load_tensors, no_larger_than, raise_weights

    folder = Path(folder)
    for file in (f"{name}.json", f"{name}.safetensors"):
        if not (folder / file).is_file():
            raise UserError(f"{folder}: no {file} in it; a folder of the {name} stage is needed")
    fields = read_object(folder / f"{name}.json", MAX_SHAPE_BYTES)
    what = f"a {name} of this version"
    state = load_tensors(folder / f"{name}.safetensors", what)
    with parsing(folder, what):
        if fields.pop("version") != version:
            raise ValueError("another version")
        with no_larger_than(state):
            network = make(fields)
        network.load_state_dict(raise_weights(state))
        return network.float()


def in_eight_bits(folder: str | os.PathLike[str], name: str) -> bool:
    """Whether `save_part` stored the matrices as 8-bit integers."""
    from safetensors import safe_open

    from vqvae.io.tensors import SCALE

    with safe_open(Path(folder) / f"{name}.safetensors", "pt") as file:
        return any(key.endswith(SCALE) for key in file.keys())  # noqa: SIM118  it is no mapping


def read_optional(
    path: Path, what: str, load: Callable[[Path, str], dict[str, Any]], make: Callable[[dict[str, Any]], Part]
) -> Part | None:
    """A file that a model folder may have beside its weights, or None; `what` names it in messages.

    `load` is `load_tensors` or `load_arrays` of `vqvae.io.tensors`, `make` builds the part from its tensors.
    """
    if not path.exists():
        return None
    tensors = load(path, f"a readable {what}")
    with parsing(path, f"a readable {what}"):
        return make(tensors)
