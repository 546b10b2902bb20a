"""Frozen models of Hugging Face, loaded whole or not at all."""

from __future__ import annotations

from typing import Any

from avatargpt.lm.checkpoint import no_bars
from vqvae.errors import UserError
from vqvae.io.guard import reason


def frozen(where: str, name: str, what: str, accepted: str, **more: Any) -> Any:
    """A model in evaluation mode, by folder or Hugging Face name.

    Args:
        name: what the user called it, what it should be, and what is accepted: for messages.
        more: for transformers' `from_pretrained`.

    Raises:
        UserError: no such model, or a file that lacks weights of its layers.
    """
    from transformers import AutoModel

    try:
        with no_bars():
            model, info = AutoModel.from_pretrained(where, output_loading_info=True, **more)
    except Exception as e:  # the library raises whatever the files make it raise
        raise UserError(f"{name}: no {what} ({reason(e)}); accepted: {accepted}") from None
    lacking = sorted(k for k in info["missing_keys"] if ".layer" in f".{k}")
    if lacking:  # transformers would go on with random ones
        raise UserError(f"{name}: no whole {what} ({lacking[0]} is missing); accepted: {accepted}")
    return model.eval()


def check_layer(model: Any, layer: int, name: str) -> None:
    """Raises UserError for a layer that a model lacks."""
    most = int(model.config.num_hidden_layers)
    if not -1 <= layer <= most:
        raise UserError(f"{name}: layer {layer}; accepted: -1, the last, or 0 to {most}")
