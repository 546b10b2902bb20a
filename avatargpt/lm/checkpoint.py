"""Saving and loading language models; strict: a damaged or incomplete folder is refused, never half-loaded."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatargpt.lm.folder import SMALL
from vqvae.errors import UserError
from vqvae.io.guard import understanding
from vqvae.io.json_file import read_object
from vqvae.io.scratch import scratch

if TYPE_CHECKING:
    import torch

    from avatargpt.lm.model import AvatarGPTModel
    from avatargpt.lm.network import LanguageNetwork


CODES = ".codebooks"  # the tokenizer's own vectors, which its codes were made with
WHAT = "a language model of this version"
_NOT_FIELDS = ("model_type", "architectures", "transformers_version", "dtype")


@contextmanager
def no_bars() -> Iterator[None]:
    """Inside, transformers shows no progress bars."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def save_model(
    model: AvatarGPTModel, folder: str | os.PathLike[str], max_shard_size: str = "2GB",
    state_dict: dict[str, torch.Tensor] | None = None,
) -> Path:  # fmt: skip
    """Write configuration and weights (safetensors), exact to the bit. Old files stay until the new are complete.

    Args:
        state_dict: other weights than the model's own, e.g. with LoRA's updates added in.

    Raises:
        UserError: the folder cannot be written, the disk is full, or a tensor is empty, as sharded ones are.
    """
    folder = Path(folder)
    if empty := [k for k, v in (state_dict or model.state_dict()).items() if not v.numel()]:
        raise UserError(f"{folder}: not saved: {empty[0]} is empty, its values lie elsewhere")
    with scratch(folder, "model") as temporary:
        with no_bars():
            model.save_pretrained(temporary, max_shard_size=max_shard_size, state_dict=state_dict)
        new = {f.name for f in temporary.iterdir()}
        for file in temporary.iterdir():
            os.replace(file, folder / file.name)
        _forget_others(folder, new)
    return folder


def _forget_others(folder: Path, new: set[str]) -> None:
    """Take away what an earlier model left in a folder whose `new` files are complete."""
    index, settings = folder / "model.safetensors.index.json", folder / "generation_config.json"
    for file in (*folder.glob("model*.safetensors"), index, settings):
        if file.name not in new:
            file.unlink(missing_ok=True)


def save_small(model: AvatarGPTModel, folder: str | os.PathLike[str]) -> Path:
    """Write configuration and weights in eight bits (`vqvae.precision`), code vectors in bfloat16: one file of ours.

    It takes half of what bfloat16 does. Old files stay until the new one is complete.

    Raises:
        UserError: the folder cannot be written.
    """
    import torch
    from safetensors.torch import save_file

    from vqvae.motion import atomic_write
    from vqvae.precision import lowered

    state: dict[str, torch.Tensor] = {}
    for name, value in model.state_dict().items():
        if name not in model._tied_weights_keys:
            kind = torch.bfloat16 if name.endswith(CODES) else torch.int8
            state |= lowered(name, value.detach().cpu().contiguous(), kind)
    fields = {k: v for k, v in model.config.to_dict().items() if k != "_name_or_path"}  # of this machine alone
    text = json.dumps(fields, indent=1, sort_keys=True, default=str) + "\n"
    folder = Path(folder)
    atomic_write(folder / SMALL, lambda p: save_file(state, p))
    atomic_write(folder / "config.json", lambda p: p.write_text(text, encoding="utf-8"))
    _forget_others(folder, {SMALL})
    return folder


def _fields(folder: Path) -> dict[str, Any]:
    return {k: v for k, v in read_object(folder / "config.json").items() if k not in _NOT_FIELDS}


def _fill(network: torch.nn.Module, state: dict[str, torch.Tensor], assign: bool) -> None:
    """Give a network its weights.

    Raises:
        ValueError: some are missing, or there are others. RuntimeError: they have other shapes.
    """
    from avatargpt.lm.network import TIED

    found = network.load_state_dict(state, strict=False, assign=assign)
    if wrong := {*found.missing_keys, *found.unexpected_keys} - {*TIED}:
        raise ValueError(f"weights do not fit config.json: {min(wrong)}")


def load_network(folder: str | os.PathLike[str], device: str = "cpu") -> LanguageNetwork:
    """The model of a folder for use, in float32 and evaluation mode; nothing of transformers is imported.

    Raises:
        UserError: as `load_model`.
    """
    from avatargpt.lm.network import LanguageNetwork
    from avatargpt.lm.shape import NetworkShape
    from vqvae.io.tensors import load_tensors, no_larger_than
    from vqvae.precision import raised
    from vqvae.unfilled import unfilled

    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; a folder written by save_model is needed")
    names = [SMALL] if (folder / SMALL).is_file() else _check_files(folder)
    fields = _fields(folder)
    state = {k: v for name in names for k, v in load_tensors(folder / name).items()}
    with understanding(folder, WHAT):
        with no_larger_than(state), unfilled():
            network = LanguageNetwork(NetworkShape.of(fields))
        _fill(network, raised(state), assign=True)
    return network.to(device).eval()


def _load_small(folder: Path, device: str, dtype: torch.dtype | None) -> AvatarGPTModel:
    import torch

    from avatargpt.lm.config import AvatarGPTConfig
    from avatargpt.lm.model import AvatarGPTModel
    from vqvae.io.tensors import load_tensors, no_larger_than
    from vqvae.precision import raised

    fields, state = _fields(folder), load_tensors(folder / SMALL)
    with understanding(folder, WHAT):
        with no_larger_than(state):
            model = AvatarGPTModel(AvatarGPTConfig(**fields))
        _fill(model, raised(state), assign=False)
    torch.nn.Module.to(model, device, dtype)
    return model.eval()


def _check_files(folder: Path) -> list[str]:
    """The checkpoint's files of weights; every one is there and whole."""
    from safetensors import safe_open

    if not (folder / "config.json").is_file():
        raise UserError(f"{folder}: no config.json; a folder written by save_model is needed")
    index = folder / "model.safetensors.index.json"
    read_object(folder / "config.json")
    names = {"model.safetensors"}
    if index.is_file():
        about = read_object(index)
        with understanding(index, "the index of the weights"):
            names = {str(name) for name in about["weight_map"].values()}
    for name in sorted(names):
        if not (folder / name).is_file():
            raise UserError(f"{folder}: {name} is missing; all files of the checkpoint are needed")
        with understanding(folder / name, "whole weights", "copy the file again"), safe_open(folder / name, "pt"):
            pass
    return sorted(names)


def load_model(
    folder: str | os.PathLike[str], device: str = "cpu", dtype: torch.dtype | None = None
) -> AvatarGPTModel:
    """A model for training, in evaluation mode, from a folder of `save_model` (or `save_pretrained`).

    Raises:
        UserError: no such folder, a missing, truncated or damaged file, or weights that do not fit the configuration.
    """
    from avatargpt.lm.model import AvatarGPTModel

    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; a folder written by save_model is needed")
    if (folder / SMALL).is_file():
        return _load_small(folder, device, dtype)
    _check_files(folder)
    options: dict[str, Any] = {} if dtype is None else {"dtype": dtype}
    with no_bars(), understanding(folder, WHAT):
        loaded: Any = AvatarGPTModel.from_pretrained(folder, output_loading_info=True, local_files_only=True, **options)
        model, info = loaded
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if info[kind]:
            some = ", ".join(sorted(str(k) for k in info[kind])[:3])
            raise UserError(f"{folder}: weights do not fit config.json ({kind.replace('_', ' ')}: {some}, ...)")
    return model.to(device).eval()


def with_modalities(model: AvatarGPTModel, entries: dict[str, Any]) -> AvatarGPTModel:
    """The same model with further modalities, their parts drawn at random; itself where it knows them all.

    Args:
        entries: as in `AvatarGPTConfig.modalities`; those that the model knows are not read.
    """
    from avatargpt.lm.config import AvatarGPTConfig
    from avatargpt.lm.model import AvatarGPTModel

    known = model.config.modalities or {}
    if set(entries) <= set(known):
        return model
    fields = {k: v for k, v in model.config.to_dict().items() if k not in _NOT_FIELDS}
    wider = AvatarGPTModel(AvatarGPTConfig(**{**fields, "modalities": {**entries, **known}}))
    wider.load_state_dict(model.state_dict(), strict=False)
    return wider.eval()


def start_from_t5(folder: str | os.PathLike[str], **config: Any) -> AvatarGPTModel:
    """A new model whose stacks, text table and text head come from a T5 or Flan-T5 checkpoint.

    Args:
        folder: local folder or hub name of the checkpoint.
        config: fields of `AvatarGPTConfig` beyond the checkpoint's own (modalities, grounding_dim, ...).
    """
    from transformers import T5ForConditionalGeneration

    from avatargpt.lm.config import AvatarGPTConfig
    from avatargpt.lm.model import AvatarGPTModel

    with no_bars():
        source = T5ForConditionalGeneration.from_pretrained(folder)
    fields = {k: v for k, v in source.config.to_dict().items() if k not in _NOT_FIELDS}
    model = AvatarGPTModel(AvatarGPTConfig(**{**fields, **config}))
    weights = {k: v.clone() for k, v in source.state_dict().items()}
    if source.config.scale_decoder_outputs:
        # T5 1.0 ties its head to the table and scales the states; here the scale lives in the untied head.
        weights["lm_head.weight"] = weights["lm_head.weight"] * source.config.d_model**-0.5
    model.load_state_dict(weights, strict=False)
    return model
