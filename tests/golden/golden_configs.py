"""Goldens of configurations: every file in configs/ as its stage resolves it, defaults filled in.

`SECTIONS` says which dataclass each part of a file becomes, stage by stage. Where files are renamed, rename the keys of
configs.json; where the configuration system changes, `resolved` is what has to build the same values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from golden_store import ROOT, Rows

from avatargpt.face.audio_model.network import DriverConfig
from avatargpt.face.instructions.network import ParserConfig
from avatargpt.model.config import AvatarGPTConfig
from avatargpt.train.audio_model import DriverTraining
from avatargpt.train.data.build import OURS, SHAPE, model_fields
from avatargpt.train.data.examples import ExampleOptions
from avatargpt.train.data.parser_material import Material, ParserTraining
from avatargpt.train.data.prepare import Preparation
from avatargpt.train.language import LanguageTraining
from avatargpt.train.objectives import objective
from avatargpt.train.planner import Making
from avatargpt.train.portrait import PortraitData, PortraitShape, PortraitTraining
from avatargpt.train.running.lora import LoraOptions
from avatargpt.train.running.runtime import from_mapping, load_json, load_yaml
from avatargpt.train.scorer import ScorerShape, ScorerTraining
from avatargpt.train.self_training import SelfTraining
from avatargpt.train.speech_data.batches import Sampling
from avatargpt.train.speech_data.losses import DriverLosses
from avatargpt.train.speech_data.synthetic import SpeechData
from avatargpt.train.tokenizer import TokenizerTraining
from vqvae.tokenizer import TokenizerConfig

CONFIGS = ROOT / "configs"
SECTIONS: dict[str, dict[str, type]] = {
    "prepare": {"prepare": Preparation}, "planner": {"planner": Making}, "practice": {"practice": SelfTraining},
    "tokenizer": {"model": TokenizerConfig},
    "driver": {"data": SpeechData, "model": DriverConfig, "train": DriverTraining},
    "reader": {"data": Material, "model": ParserConfig, "train": ParserTraining},
    "matcher": {"model": ScorerShape, "train": ScorerTraining},
    "portrait": {"data": PortraitData, "model": PortraitShape, "train": PortraitTraining},
    "language": {"train": LanguageTraining},
}  # fmt: skip


def stage_of(path: Path) -> str:
    """Which stage of `scripts/train.py` takes a file."""
    if path.parent.name == "driver":
        return "reader" if path.stem.startswith("reader") else "driver"
    if path.parent.name == "train":
        name = path.stem.removeprefix("debug-")
        return name if name in ("matcher", "portrait", "practice") else "language"
    return path.parent.name


def resolved(path: Path) -> dict[str, Any]:
    """A file's parts with all defaults; `train.options`, `losses` and `sampling` are parts of their own.

    What a language model's file says of the model is also told as it stands (``model_given``), since a run that begins
    with another's weights takes the rest from there.
    """
    if path.suffix == ".json":
        return {"stage": "deepspeed", **load_json(path)}
    given, stage, where = load_yaml(path), stage_of(path), path.name
    assert set(given) <= {*SECTIONS[stage], "model", "lora", "train"}, f"{path}: {sorted(given)}"
    out: dict[str, Any] = {"stage": stage}
    for name, cls in SECTIONS[stage].items():
        out[name] = asdict(from_mapping(cls, given.get(name), f"{where}: {name}"))
    if stage == "tokenizer":
        out["train"] = asdict(from_mapping(TokenizerTraining, given.get("train"), where))
        modality, step = out["model"]["modality"], out["model"]["downsample"]
        out["losses"] = asdict(objective(modality, out["train"].pop("losses"), where, step).weights)
    elif stage == "driver":
        out["losses"] = asdict(from_mapping(DriverLosses, out["train"].pop("losses"), where))
        out["sampling"] = asdict(from_mapping(Sampling, out["train"].pop("sampling"), where))
    elif stage == "language":
        out["options"] = asdict(from_mapping(ExampleOptions, out["train"].pop("options"), where))
        fields = model_fields(given.get("model"), where)
        model = AvatarGPTConfig(**fields)
        out["model"] = {k: getattr(model, k) for k in (*SHAPE, *OURS)}
        out["model_given"] = fields
        if given.get("lora") is not None:
            out["lora"] = asdict(from_mapping(LoraOptions, given["lora"], where))
    return out


def configs() -> Rows:
    """Every file of configs/ by its path there."""
    files = sorted(p for p in CONFIGS.rglob("*") if p.suffix in (".yaml", ".json"))
    rows: dict[str, Callable[[], Any]] = {p.relative_to(CONFIGS).as_posix(): partial(resolved, p) for p in files}
    return rows
