"""Low-rank adapters (LoRA, arXiv 2106.09685) on the T5 stacks; parts that are new against T5 are trained in full."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from avatargpt.lm.adapters import write_adapter
from avatargpt.lm.model import AvatarGPTModel
from vqvae.errors import UserError
from vqvae.strict import Dropout, Number, PositiveInt, Strict

Part = Literal["codes", "heads", "refiners", "extra", "countdown", "lm_head"]
PARTS: tuple[Part, ...] = get_args(Part)


class LoraOptions(Strict):
    """The adapters."""

    r: PositiveInt = 16  # rank of the update of every matrix
    alpha: Number = 32.0  # the update counts alpha / r times
    dropout: Dropout = 0.0  # on the update's input
    targets: list[str] = ["q", "v"]  # names of the matrices in T5's layers (q, k, v, o, wi, wi_0, wi_1, wo)
    full: list[Part] = list(PARTS)  # parts outside T5's layers that are trained in full, not frozen


def add_lora(model: AvatarGPTModel, options: LoraOptions) -> None:
    """Freeze the T5 of `model` and put adapters beside its matrices, in place.

    Codebooks are buffers and stay as they are. Code adapters, heads, refiners, count-down and foreign inputs are new
    against T5, so they are trained in full unless `options.full` says otherwise.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise UserError("lora: needs peft; install it: pip install peft") from None
    config = LoraConfig(
        r=options.r, lora_alpha=options.alpha, lora_dropout=options.dropout,  # type: ignore[arg-type]
        target_modules=_target_pattern(options),
    )  # fmt: skip
    try:
        inject_adapter_in_model(config, model)
    except ValueError as e:
        raise UserError(f"lora: {str(e).splitlines()[0]}") from None
    # peft freezes everything that has no adapter, the new parts too.
    for name, parameter in model.named_parameters():
        if name.partition(".")[0] in options.full:
            parameter.requires_grad_(True)


def _target_pattern(options: LoraOptions) -> str:
    # inside the T5 stacks alone: refiners have such names, too, and are trained in full
    return r"(encoder|decoder)\.block\..*\.(" + "|".join(options.targets) + ")"


def save_adapter(model: AvatarGPTModel, options: LoraOptions, folder: Path, added: Sequence[str] = ()) -> Path:
    """Write the adapters, and the parts trained in full beside them, as `avatargpt.lm.adapters` reads them.

    `added`: modalities that the model to begin from lacked; all their parts are written.
    """
    state = model.state_dict()
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    # "default" is the adapter's name in memory; files of PEFT have none.
    tensors = {k.replace(".default.", "."): v for k, v in state.items() if ".lora_" in k}
    new = tuple(f"{part}.{name}." for part in ("codes", "heads", "refiners") for name in added)
    saved = [n for n in state if ".lora_" not in n and (n in trained or n.startswith(new))]
    # PEFT wants the modules of these, a container's members one by one.
    members = [(top, getattr(model, top)) for top in sorted({name.partition(".")[0] for name in saved})]
    modules = [
        f"{top}.{name}" if name else top for top, module in members
        for name in (module if isinstance(module, torch.nn.ModuleDict) else ("",))
        if any(key.startswith(f"{top}.{name}.".replace("..", ".")) for key in saved)
    ]  # fmt: skip
    full = {k: v for k, v in state.items() if k.startswith(tuple(f"{m}." for m in modules))}  # PEFT wants buffers, too
    config = {
        "peft_type": "LORA", "r": options.r, "lora_alpha": options.alpha, "lora_dropout": options.dropout,
        "target_modules": _target_pattern(options), "modules_to_save": modules, "bias": "none",
        "inference_mode": True,
    }  # fmt: skip
    modalities = {name: model.config.modality(name) for name in added}
    about = {"fingerprints": dict(model.config.fingerprints or {}), "modalities": modalities}
    return write_adapter(folder, {**tensors, **full}, config, about)


@torch.no_grad()
def merge_state(model: AvatarGPTModel) -> dict[str, torch.Tensor]:
    """Weights as of a model without adapters, their updates added in. `model` itself stays as it is."""
    from peft.tuners.lora import LoraLayer

    state = {k: v for k, v in model.state_dict().items() if ".lora_" not in k}
    for name, layer in model.named_modules():
        if isinstance(layer, LoraLayer):
            linear: Any = layer
            # peft wraps a layer: its own weight has another name inside.
            weight = state.pop(f"{name}.base_layer.weight")
            state[f"{name}.weight"] = weight + linear.get_delta_weight("default").to(weight.dtype)
            if f"{name}.base_layer.bias" in state:
                state[f"{name}.bias"] = state.pop(f"{name}.base_layer.bias")
    return state
