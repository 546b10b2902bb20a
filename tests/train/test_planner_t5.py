"""The recipe of a pretrained planner, end to end on a stand-in: T5 folder -> LoRA on the planning tasks -> plans."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from avatargpt.lm.text_encoder import TextTokenizer
from avatargpt.planning import model_planner
from avatargpt.planning.model_planner import folder_planner
from avatargpt.train.command import main
from vqvae.errors import UserError

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "language"
SCENES = [
    {"scene": f"A {who} works {where}.", "activities": [
        {"task": f"The {who} gets ready.", "steps": [f"a {who} stretches both arms", "he rolls his shoulders"]},
        {"task": "Clean up", "steps": ["he bends down", "he sweeps with both hands", "he stands up"]},
        {"task": "He goes home", "steps": ["he waves with the right hand", "he walks away"]},
    ]} for who in ("cook", "guard", "boy") for where in ("at night", "in the rain", "in a hall")
]  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Planning texts, captions and a tiny random Flan-T5 as Hugging Face writes it."""
    from transformers import T5Config, T5ForConditionalGeneration

    root = tmp_path_factory.mktemp("planner")
    for name in ("texts", "planning", "t5"):
        (root / name).mkdir()
    (root / "planning" / "train.jsonl").write_text("\n".join(json.dumps(s) for s in SCENES))
    style = {"adverbs": ["calmly"], "phrases": ["at an even pace"], "person": ["a person"]}
    bank = {"actions": {"walk": ["{person} walks"]}, "styles": {"normal": style}, "compose": ["{a}, then {b}"]}
    (root / "texts" / "body_captions.json").write_text(json.dumps(bank))
    asked = {"prompt": "stroll", "plain": ["a person walks"], "actions": ["walk"], "styles": [None], "side": None}
    (root / "texts" / "rewrites_train.jsonl").write_text(json.dumps(asked))
    text = TextTokenizer.train([json.dumps(s) for s in SCENES] * 3, 400, root / "t5")
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=text.size + 5, d_model=32, d_kv=16, d_ff=48, num_layers=2, num_heads=2, dropout_rate=0.0,
        feed_forward_proj="gated-gelu", tie_word_embeddings=False, decoder_start_token_id=0,
    )  # fmt: skip
    model = T5ForConditionalGeneration(config)
    model.lm_head.weight.data.mul_(0.02)  # drawn at random it would say one word again and again
    model.save_pretrained(root / "t5")
    return root


def test_train_and_plan(folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_planner, "TOKENS", 12)  # an untrained model rambles
    out = tmp_path / "planner"
    arguments = [
        "language", "--config", f"{CONFIGS / 'debug.yaml'}:planner_t5", "--start", folders / "t5", "--texts",
        folders / "texts", "--planning", folders / "planning", "--threads", 1, "--device", "cpu", "-o", out,
    ]  # fmt: skip
    assert main([str(a) for a in arguments]) == 0
    before, after = folder_planner(folders / "t5"), folder_planner(out)
    assert after.name == "model planner" and before.name == "model t5"
    place = "encoder.block.0.layer.0.SelfAttention.q.weight"
    old, new = (p.model.model.state_dict()[place] for p in (before, after))
    assert not torch.equal(old, new)  # the adapters' updates are merged in
    for planner in (before, after):
        plan = planner.plan("A cook works in the rain.", 2, 0.9, 3)
        assert len(plan.activities) == 2 and all(len(a.steps) >= 2 for a in plan.activities)
        assert plan.planner == planner.name
    assert after.plan("A cook works in the rain.", 2, 0.9, 3) != before.plan("A cook works in the rain.", 2, 0.9, 3)


def test_the_recipe_names_the_tasks_of_its_small_version() -> None:
    from avatargpt.config import resolve
    from instruct_data.planning import PLANNING_TASKS

    for name in ("planner_t5.yaml", "debug.yaml:planner_t5"):
        data = resolve(f"{CONFIGS / name}")
        weights = data["train"]["options"]["weights"]
        assert set(weights) == set(PLANNING_TASKS) and sum(weights.values()) == pytest.approx(1)


def test_folders_that_are_no_planner(folders: Path, tmp_path: Path) -> None:
    def broken(**files: Any) -> Path:
        for name, value in files.items():
            (tmp_path / f"{name}.json").write_text(value if isinstance(value, str) else json.dumps(value))
        return tmp_path

    with pytest.raises(UserError, match="type 'bert'; accepted: t5"):
        folder_planner(broken(config={"model_type": "bert"}))
    with pytest.raises(UserError, match="not JSON"):
        folder_planner(broken(config="{"))
    with pytest.raises(UserError, match=r"spiece\.model"):
        folder_planner(broken(config=json.loads((folders / "t5" / "config.json").read_text())))
    (tmp_path / "spiece.model").write_bytes((folders / "t5" / "spiece.model").read_bytes())
    with pytest.raises(UserError, match="not a readable T5"):
        folder_planner(tmp_path)
