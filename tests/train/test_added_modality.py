"""A third modality from its entry to a language model: stored, tokenised, trained, and learnt by a task of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from avatargpt.model.checkpoint import load_model
from avatargpt.train.objectives import OBJECTIVES, Losses
from instruct_data import registry
from instruct_data.clip import Clip
from instruct_data.store import Store
from vqvae import modalities
from vqvae.errors import UserError
from vqvae.features.base import FeatureSpec
from vqvae.tokenizer import MotionTokenizer


@dataclass(frozen=True)
class Grip:
    """How far five fingers are bent, (T, 5), 0 to 1."""

    bends: np.ndarray
    fps: float = 10.0
    caption: str = ""
    modality = "grip"

    def __len__(self) -> int:
        return len(self.bends)

    def resampled(self, fps: float) -> Grip:
        assert fps == self.fps
        return self

    def slice(self, start: int, stop: int) -> Grip:
        return replace(self, bends=self.bends[start:stop])


class GripFeatures(FeatureSpec):
    """The bends as they are."""

    name, fps, dim = "grip", 10.0, 5

    def encode(self, motion: Any) -> np.ndarray:
        return np.asarray(motion.bends, np.float32)

    def decode(self, features: np.ndarray, caption: str = "") -> Any:
        return Grip(features, self.fps, caption)

    def slices(self) -> dict[str, slice]:
        return {"bends": slice(0, self.dim)}


class GripObjective:
    """Mean squared error."""

    def __init__(self, losses: Mapping[str, float], where: str, downsample: int) -> None:
        assert not losses

    def losses(self, predicted: torch.Tensor, target: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> Losses:
        return {"features": torch.nn.functional.mse_loss(predicted, target)}, {}

    def validate(self, model: MotionTokenizer, clips: list[np.ndarray], rare: np.ndarray) -> dict[str, float]:
        assert not rare.any()
        errors = [np.abs(model.decode_features(model.encode_features(c))[: len(c)] - c).mean() for c in clips]
        return {"val_error": float(np.mean(errors))}


@pytest.fixture
def grip(monkeypatch: pytest.MonkeyPatch) -> None:
    """The modality in the registries for one test."""
    monkeypatch.setattr(modalities, "_REGISTRY", dict(modalities._REGISTRY))
    monkeypatch.setitem(OBJECTIVES, "grip", GripObjective)
    modalities.register(modalities.Modality("grip", 10.0, GripFeatures, "five fingers"))


def clips() -> list[Clip]:
    """Hands that close and open, at several speeds."""
    out = []
    for i in range(12):
        t = np.arange(30 + i)[:, None] / 10
        bends = 0.5 + 0.5 * np.sin((1 + i % 3) * t + np.arange(5) * (i % 2)).astype(np.float32)
        words = ["the hand closes and opens", f"a fist in way {i % 3}"] if i else []
        out.append(Clip(f"g{i}", lambda bends=bends: Grip(bends), words, "glove", "ours", "val" if i > 9 else "train"))
    return out


def test_its_store_names_it(grip: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store.write(clips(), tmp_path / "s")
    store = Store.open(tmp_path / "s")
    assert (store.kind, store.modality, store.manifest["modality"]) == ("features", "grip", "grip")
    for made, back in zip(clips(), store.clips(), strict=True):
        assert (made.id, made.captions, made.split) == (back.id, back.captions, back.split)
        assert isinstance(back.load(), Grip) and np.array_equal(made.load().bends, back.load().bends)
    Store.write(clips()[:3], tmp_path / "s")  # another one of the kind takes its place
    bad = Clip("b", lambda: Grip(np.full((4, 5), np.nan, np.float32)), [], "glove", "ours")
    for clip, said in ((bad, "clip b: features"), (replace(bad, motion=lambda: Grip(np.zeros((4, 3)))), r"\(4, 3\)")):
        with pytest.raises(UserError, match=said):
            Store.write([clip], tmp_path / "t")
    monkeypatch.setattr(GripFeatures, "dim", 6)
    with pytest.raises(UserError, match="clip g0: 5 features; modality grip has 6"):
        list(Store.open(tmp_path / "s").clips())
    modalities._REGISTRY.pop("grip")
    for use in (lambda: list(store.clips()), lambda: Store.write(clips(), tmp_path / "t")):
        with pytest.raises(UserError, match="unknown modality 'grip'; available: body, face"):
            use()


def test_one_store_holds_one_modality(grip: None, mini: Any, tmp_path: Path) -> None:
    bodies = list(Store.open(mini.store).clips("val"))
    assert Store.open(mini.store).modality == "body"
    with pytest.raises(UserError, match="grip in a store of body"):
        Store.write([*bodies, *clips()], tmp_path / "s")
    Store.write(bodies, tmp_path / "s")
    with pytest.raises(UserError, match="holds a store of motion, which grip would replace"):
        Store.write(clips(), tmp_path / "s")


def test_its_tokens_are_trained_and_spoken(
    grip: None, mini: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store.write(clips(), tmp_path / "store")
    quick = ["--threads", "1", "--device", "cpu"]

    def tokens(data: dict[str, Any]) -> None:
        data["model"]["modality"] = "grip"
        data["train"] |= {"steps": 80, "lr": 6e-3, "log_every": 20, "val_every": 80, "losses": {}}

    config = mini.config("tokenizer", tokens, "grip")
    mini.run("tokenizer", "--config", config, "--store", tmp_path / "store", "-o", tmp_path / "tok", *quick)
    loss = mini.rows(tmp_path / "tok", "features")
    assert loss[-1] < 0.9 * loss[0] and mini.rows(tmp_path / "tok", "val_error")
    mini.run("codes", "--tokenizer", tmp_path / "tok", "--store", tmp_path / "store", "-o", tmp_path / "codes", *quick)
    assert {c.modality for c in Store.open(tmp_path / "codes").codes()} == {"grip"}

    monkeypatch.setattr(registry, "_tasks", {})
    monkeypatch.setattr(registry, "_folders", [])
    task = {
        "name": "text_to_grip", "version": 1, "description": "words to fingers", "output": "grip",
        "inputs": [{"name": "said", "kind": "text"}], "examples": "text_to_motion",
        "templates": [f"Bend the fingers, way {i}." for i in range(20)], "decoding": {},
        "metrics": [{"name": "any", "higher_is_better": True}],
    }  # fmt: skip
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "text_to_grip.yaml").write_text(yaml.safe_dump(task))
    registry.add_folder(tmp_path / "tasks")

    def language(data: dict[str, Any]) -> None:
        mini.no_grounding(data)
        data["model"]["modalities"] = {"grip": {"codebook_size": 32, "levels": 2, "code_dim": 16}}
        data["train"] |= {"steps": 2, "log_every": 1, "options": {"weights": {"text_to_grip": 1.0}}}

    config = mini.config("language", language, "grip")
    mini.run("language", "--config", config, "--tokenizer", tmp_path / "tok", "--codes",
             tmp_path / "codes", "--texts", mini.texts, "-o", tmp_path / "lm", *quick)  # fmt: skip
    assert load_model(tmp_path / "lm").config.heads == ("text", "grip") and mini.rows(tmp_path / "lm", "ce_grip")
