"""One model for every task: configs/language/unified.yaml from a tiny T5, with codes of body, face and gesture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatargpt.config import resolve
from avatargpt.lm.checkpoint import load_model
from instruct_data.registry import list_tasks
from instruct_data.store import ClipCodes, Store
from tests.train.conftest import CONFIGS, CPU, Mini, Refused, write_t5
from vqvae.networks import TokenizerConfig
from vqvae.tokenizer import MotionTokenizer

UNIFIED = CONFIGS / "language" / "unified.yaml"
WORDS = {"body": "a person waves", "face": "a face smiles a little", "gesture": "both hands beat in front"}
SHAPE = {"codebook_size": 32, "levels": 2, "code_dim": 16}


def clips(modality: str) -> list[ClipCodes]:
    """Clips with everything that a task can ask for; of bodies some that are joined of two."""
    rng, words = np.random.default_rng(len(modality)), WORDS[modality]
    extra: dict[str, Any] = {"speech": {"text": "and then I said"}} if modality == "gesture" else {}
    if modality == "face":
        extra = {"emotion": {"text": "happy", "alone": True, "name": "happy", "intensity": 0.5}, "prompts": [words]}

    def clip(i: int, **more: Any) -> ClipCodes:
        codes, split = rng.integers(0, 32, (int(rng.integers(8, 20)), 2)), "val" if i >= 10 else "train"
        return ClipCodes(f"{modality}{i}", codes, [words], split, **{
            "source": "made", "licence": "ours", "action": "wave", "modality": modality, "extra": extra, **more,
        })  # fmt: skip

    single = [clip(i) for i in range(12)]
    parts = {"parts": ["body1", "body2"]}
    return single + [clip(i, source="composed", extra=parts) for i in range(4)] if modality == "body" else single


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Options of the language stage: a T5, and tokenizers and codes of three modalities."""
    root = tmp_path_factory.mktemp("unified")
    write_t5(root / "t5", [*WORDS.values(), "walk to the door; open it; leave"] * 5)
    for name in WORDS:
        tokenizer = MotionTokenizer(TokenizerConfig(modality=name, width=16, fine_width=8, **SHAPE))
        tokenizer.save(root / f"{name}_tokenizer")
        Store.write_codes(clips(name), root / f"{name}_codes", tokenizer.fingerprint)
    return {
        "start": str(root / "t5"), "tokenizer": ",".join(str(root / f"{name}_tokenizer") for name in WORDS),
        "codes": ",".join(str(root / f"{name}_codes") for name in WORDS),
    }  # fmt: skip


def command(folders: dict[str, str], out: Path) -> list[object]:
    small = [f"train.{k}" for k in ("steps=6", "batch=48", "pool=2", "warmup=1", "log_every=3", "val_every=6")]
    entry = "{codebook_size: 32, levels: 2, code_dim: 16, refiner_dim: 16, refiner_layers: 1, refiner_heads: 2}"
    settings = [*small, *(f"model.modalities.{name}={entry}" for name in WORDS)]
    return [
        "language", "--config", str(UNIFIED), *(w for s in settings for w in ("--set", s)), "--texts", "package:text",
        "--planning", "package:planning", "--chat", "package:chat", *CPU,
        *(w for k, v in folders.items() for w in (f"--{k}", v)), "-o", out,
    ]  # fmt: skip


def test_every_task_has_a_share() -> None:
    train = resolve(UNIFIED)["train"]
    assert set(train["options"]["weights"]) == set(list_tasks())
    assert sum(train["options"]["weights"].values()) == pytest.approx(1)
    assert sum(resolve(f"{UNIFIED}:residual_decoder")["train"]["options"]["weights"].values()) == pytest.approx(1)


def test_one_model_learns_all_tasks(folders: dict[str, str], tmp_path: Path) -> None:
    Mini.run(*command(folders, tmp_path))
    modalities = load_model(tmp_path).config.modalities
    assert modalities is not None and set(modalities) == set(WORDS)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    large = [name for name, share in resolve(UNIFIED)["train"]["options"]["weights"].items() if share >= 0.02]
    for task in large:  # the loss of every task stands in the log, those of small shares when they come up
        losses = [row[f"task_{task}"] for row in lines if f"task_{task}" in row]
        assert losses and np.isfinite(losses).all(), task
    for head in ("text", *WORDS):
        assert sum(f"ce_{head}" in row for row in lines) == 2
    validated = ("text_to_motion", "motion_to_text", "text_to_face", "face_to_emotion", "speech_to_gesture")
    assert all(f"val_{task}" in lines[-1] for task in validated)
    assert lines[1]["ce_text"] < lines[0]["ce_text"]


def test_a_task_without_data_is_named(folders: dict[str, str], tmp_path: Path, refused: Refused) -> None:
    body = {k: v.partition(",")[0] for k, v in folders.items()}
    assert "text_to_face: nothing to draw from" in refused(*command(body, tmp_path / "run"))
    assert not (tmp_path / "run").exists()
