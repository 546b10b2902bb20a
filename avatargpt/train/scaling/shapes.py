"""The shape of the network that a configuration trains, and the sizes of published T5s."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatargpt.config import resolve
from avatargpt.lm.shape import NetworkShape
from avatargpt.train.language import LanguageRecipe
from vqvae.errors import UserError
from vqvae.io.data_files import read_object


def _t5(d_model: int, d_ff: int, layers: int, heads: int, d_kv: int = 64, gated: bool = False) -> dict[str, Any]:
    return {
        "d_model": d_model, "d_ff": d_ff, "num_layers": layers, "num_decoder_layers": layers, "num_heads": heads,
        "d_kv": d_kv, "vocab_size": 32128, "feed_forward_proj": "gated-gelu" if gated else "relu",
        "dropout_rate": 0.1,
    }  # fmt: skip


BASES: Mapping[str, dict[str, Any]] = {
    "t5-small": _t5(512, 2048, 6, 8),
    "t5-base": _t5(768, 3072, 12, 12),
    "t5-large": _t5(1024, 4096, 24, 16),
    "flan-t5-base": _t5(768, 2048, 12, 12, gated=True),
}
"""config.json of the checkpoints of these names: T5 1.0 (arXiv 1910.10683, section 3.7), Flan-T5 (arXiv 2210.11416)."""
USUAL = "flan-t5-base"


@dataclass(frozen=True)
class Planned:
    """What is to be trained.

    Attributes:
        recipe: the configuration, checked.
        shape: of the network. dropout: share, of the stacks.
        base: where the shape is from: a name of `BASES`, a folder, or the configuration itself.
    """

    recipe: LanguageRecipe
    shape: NetworkShape
    dropout: float
    base: str


def planned(address: str, base: str | None = None) -> Planned:
    """Read a configuration of the language stage, ``FILE`` or ``FILE:VARIANT``.

    Args:
        base: the checkpoint to begin from: a name of `BASES`, or a folder with a config.json; None = the shape is the
            configuration's own, or `USUAL` where it names none.

    Raises:
        UserError: no such configuration, one of another stage, or no such base.
    """
    recipe = LanguageRecipe.read(resolve(address), address)
    own = recipe.model.model_dump(exclude_none=True)
    if base is None and "d_model" in own:
        return _with(recipe, own, {}, address)
    base = base or USUAL
    if base in BASES:
        return _with(recipe, own, BASES[base], base)
    if not (Path(base) / "config.json").is_file():
        raise UserError(f"--base {base}: accepted: {', '.join(BASES)}, or a folder with a config.json")
    return _with(recipe, own, read_object(Path(base) / "config.json"), base)


def _with(recipe: LanguageRecipe, own: dict[str, Any], given: Mapping[str, Any], base: str) -> Planned:
    fields = {**given, **own, "modalities": {**(given.get("modalities") or {}), **(own.get("modalities") or {})}}
    return Planned(recipe, NetworkShape.of(fields), float(fields.get("dropout_rate") or 0.0), base)
