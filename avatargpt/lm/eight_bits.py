"""Weights in eight bits (`vqvae.precision`), which transformers cannot read by itself, for its `from_pretrained`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from avatargpt.lm.config import AvatarGPTConfig
from avatargpt.lm.folder import SMALL

if TYPE_CHECKING:
    import torch

WHERE = ("cache_dir", "force_download", "local_files_only", "token", "revision", "subfolder")
"""Of `from_pretrained`'s arguments, those that say where a file is looked for."""


def eight_bits(
    name: str | os.PathLike[str] | None, options: Mapping[str, Any]
) -> tuple[dict[str, torch.Tensor], AvatarGPTConfig] | None:
    """Weights (float32) and configuration of a folder or a repository on the Hub; None where they are of another kind.

    Args:
        options: of `from_pretrained`.

    Raises:
        UserError: a damaged file.
    """
    if name is None or options.get("state_dict") is not None:
        return None
    from transformers.utils import cached_file

    from vqvae.io.tensors import load_tensors
    from vqvae.precision import raised

    places = {k: options[k] for k in WHERE if options.get(k) is not None}
    optional = {"_raise_exceptions_for_missing_entries": False, "_raise_exceptions_for_connection_errors": False}
    found = cached_file(name, SMALL, **places, **optional)
    if found is None:
        return None
    config = options.get("config")
    if not isinstance(config, AvatarGPTConfig):
        config = AvatarGPTConfig.from_pretrained(name if config is None else config, **places)
    return raised(load_tensors(found)), config
