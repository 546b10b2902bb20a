"""docs/modality.md, up to a language model: stored, tokenised, and learnt by a task of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from avatargpt.lm.checkpoint import load_model
from avatargpt.train import tokenizer as tokenizer_stage
from instruct_data import registry
from instruct_data.clip import Clip
from instruct_data.store import Store
from tests.train.conftest import Mini, movement
from tests.walks.conftest import Section, Walk
from vqvae import modalities
from vqvae.errors import UserError
from vqvae.motion import Motion
from vqvae.tokenizer import MotionTokenizer

STEPS = Section("Add a modality", "docs/modality.md")


@pytest.fixture
def grip(walk: Walk, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The modality of the page in the registries for one test, and its class of motions."""
    monkeypatch.setattr(modalities, "_REGISTRY", dict(modalities._REGISTRY))
    monkeypatch.setattr(tokenizer_stage, "OBJECTIVES", dict(tokenizer_stage.OBJECTIVES))
    motions = walk.module(STEPS, "vqvae/grip.py")
    walk.module(STEPS, "vqvae/grip_features.py")
    walk.append(STEPS, "vqvae/modalities.py")
    walk.append(STEPS, "avatargpt/train/tokenizer.py")
    return motions.Grip


def clips(motions: Any) -> list[Clip]:
    """Hands that close and open, at several speeds."""
    out = []
    for i in range(12):
        t = np.arange(30 + i)[:, None] / 10
        bends = 0.5 + 0.5 * np.sin((1 + i % 3) * t + np.arange(5) * (i % 2)).astype(np.float32)
        words = ["the hand closes and opens", f"a fist in way {i % 3}"] if i else []
        split = "val" if i > 9 else "train"
        out.append(Clip(f"g{i}", lambda bends=bends: motions(bends), words, "glove", "ours", split))
    return out


def test_its_store_names_it(grip: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store.write(clips(grip), tmp_path / "s")
    store = Store.open(tmp_path / "s")
    assert (store.kind, store.modality, store.manifest["modality"]) == ("features", "grip", "grip")
    for clip, back in zip(clips(grip), store.clips(), strict=True):
        assert (clip.id, clip.captions, clip.split) == (back.id, back.captions, back.split)
        assert isinstance(back.load(), grip) and np.array_equal(clip.load().bends, back.load().bends)
    Store.write(clips(grip)[:3], tmp_path / "s")  # another one of the kind takes its place
    bad = Clip("b", lambda: grip(np.full((4, 5), np.nan, np.float32)), [], "glove", "ours")
    for clip, words in ((bad, "clip b: features"), (replace(bad, motion=lambda: grip(np.zeros((4, 3)))), r"\(4, 3\)")):
        with pytest.raises(UserError, match=words):
            Store.write([clip], tmp_path / "t")
    monkeypatch.setattr(type(modalities.get("grip").features()), "dim", 6)
    with pytest.raises(UserError, match="clip g0: 5 features; modality grip has 6"):
        list(Store.open(tmp_path / "s").clips())
    modalities._REGISTRY.pop("grip")
    for use in (lambda: list(store.clips()), lambda: Store.write(clips(grip), tmp_path / "t")):
        with pytest.raises(UserError, match="unknown modality 'grip'; available: body, face"):
            use()


def test_one_store_holds_one_modality(grip: Any, tmp_path: Path) -> None:
    bodies = [Clip("b", Motion(*movement("walk", 30, 1.0)), ["a person walks"], "made", "ours")]
    with pytest.raises(UserError, match="grip in a store of body"):
        Store.write([*bodies, *clips(grip)], tmp_path / "s")
    Store.write(bodies, tmp_path / "s")
    assert Store.open(tmp_path / "s").modality == "body"
    with pytest.raises(UserError, match="a store of motion, not of grip"):
        Store.write(clips(grip), tmp_path / "s")


def test_its_tokens_are_trained_and_spoken(
    walk: Walk, grip: Any, small: Mini, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store.write(clips(grip), tmp_path / "store")
    config = tmp_path / "grip.yaml"
    config.write_text(STEPS.file("configs/tokenizer/grip.yaml"))
    places = {"STORE": tmp_path / "store", "TOKENIZER": tmp_path / "tok", "CODES": tmp_path / "codes"}
    words = STEPS.command("scripts/train.py tokenizer", **places)
    walk.train(["tokenizer", *(str(config) if w.startswith("configs/") else w for w in words)])
    loss = small.rows(tmp_path / "tok", "features")
    assert loss[-1] < 0.9 * loss[0] and small.rows(tmp_path / "tok", "val_error")
    clip = clips(grip)[0].load()
    again = MotionTokenizer.load(tmp_path / "tok").reconstruct(clip)
    assert len(again) == len(clip) and np.abs(again.bends - clip.bends).mean() < 0.3
    walk.train(["codes", *STEPS.command("scripts/train.py codes", **places)])
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

    change = {"model.modalities": {"grip": {"codebook_size": 32, "levels": 2, "code_dim": 16}}}
    weights = {"weights": {"text_to_grip": 1.0}}
    config = small.config("language", change, steps=2, log_every=1, options=weights)
    options = ["--tokenizer", str(tmp_path / "tok"), "--codes", str(tmp_path / "codes"), "--texts", str(small.texts)]
    walk.train(["language", "--config", str(config), *options, "-o", str(tmp_path / "lm")])
    assert load_model(tmp_path / "lm").config.heads == ("text", "grip") and small.rows(tmp_path / "lm", "ce_grip")
