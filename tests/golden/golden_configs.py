"""Goldens of configurations: every file in configs/ and every variant, as its stage resolves it, defaults filled in."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from golden_store import ROOT, Rows

from avatargpt.config import VARIANTS, resolve
from avatargpt.curate.recipe import Curation
from avatargpt.train.command import STAGES, resolve_place
from avatargpt.train.tokenizer import objective
from vqvae.io.data_files import read_yaml

CONFIGS = ROOT / "configs"
ELSEWHERE = {
    "self_training": "self-training", "gesture/corpus": "gesture-corpus", "text_motion": "text-motion",
    "upper_face": "upper-face", "film_bodies": "film-bodies", "film_words": "film-words",
}  # fmt: skip
"""Files whose folder, or name, is not that of their stage."""


def stage_of(path: Path) -> str:
    """Which stage of `scripts/train.py` takes a file."""
    name = path.relative_to(CONFIGS).with_suffix("").as_posix()
    return ELSEWHERE.get(name) or name.split("/")[0]


def resolved(path: Path, variant: str = "") -> dict[str, Any]:
    """A configuration with all defaults; a tokenizer's losses with those of its modality."""
    if path.suffix == ".json":
        return {"stage": "deepspeed", **json.loads(path.read_text(encoding="utf-8"))}
    stage = stage_of(path)
    address = f"{path}:{variant}" if variant else str(path)
    form = Curation if stage == "curate" else resolve_place(STAGES[stage].recipe)
    recipe = form.read(resolve(address), path.name)
    out: dict[str, Any] = {"stage": stage, **recipe.model_dump(mode="json")}
    if stage == "tokenizer":
        aim = objective(recipe.model.modality, recipe.train.losses, path.name, recipe.model.downsample)
        out["train"]["losses"] = aim.weights.model_dump(mode="json")  # type: ignore[attr-defined]
    return out


def configs() -> Rows:
    """Every file of configs/, and every variant as ``FILE:VARIANT``, but the recipe, which is a list of commands."""
    rows: dict[str, Callable[[], Any]] = {}
    for path in sorted(p for p in CONFIGS.rglob("*") if p.suffix in (".yaml", ".json") and p.name != "recipe.yaml"):
        key = path.relative_to(CONFIGS).as_posix()
        rows[key] = partial(resolved, path)
        if path.suffix == ".yaml":
            for variant in read_yaml(path).get(VARIANTS) or {}:
                rows[f"{key}:{variant}"] = partial(resolved, path, variant)
    return rows
