"""The plan of a training: its formulas against what PyTorch counts and keeps, its tables against the page."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from avatargpt.cli.app import run
from avatargpt.lm.model import AvatarGPTConfig, AvatarGPTModel
from avatargpt.lm.shape import NetworkShape
from avatargpt.train.language import LanguageRecipe
from avatargpt.train.scaling.compute import Lengths, example, training_token
from avatargpt.train.scaling.memory import activations, decoder_layer, encoder_layer, states
from avatargpt.train.scaling.parameters import count
from avatargpt.train.scaling.report import document, filled
from avatargpt.train.scaling.shapes import BASES, Planned, planned
from vqvae.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
UNIFIED = str(ROOT / "configs" / "language" / "unified.yaml")
SMALL: dict[str, Any] = {
    "vocab_size": 64, "d_model": 48, "d_kv": 16, "d_ff": 96, "num_layers": 2, "num_decoder_layers": 3, "num_heads": 2,
    "countdown_buckets": 0, "modalities": {"body": {"codebook_size": 30, "levels": 3, "code_dim": 16}},
    "refiner_dim": 32, "refiner_layers": 1, "refiner_heads": 2,
}  # fmt: skip
LENGTHS, ROWS = Lengths(24, 17), 4


def small(dropout: float = 0.0, recipe: dict[str, Any] | None = None, **shape: Any) -> tuple[Planned, AvatarGPTModel]:
    """A plan and the very model; gated unless `shape` says otherwise."""
    fields = {**SMALL, "feed_forward_proj": "gated-gelu", **shape}
    model = AvatarGPTModel(AvatarGPTConfig(**{**fields, "dropout_rate": dropout}))
    read = LanguageRecipe.read(recipe or {}, "test")
    return Planned(read, NetworkShape.of(fields), dropout, "test"), model.train()


def step(model: AvatarGPTModel) -> torch.Tensor:
    ids, labels = (torch.randint(2, 64, (ROWS, n)) for n in (LENGTHS.source, LENGTHS.target))
    loss = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels).loss
    assert loss is not None
    return loss


def test_parameters_are_those_of_the_model() -> None:
    plan, model = small()
    found = count(plan)
    assert found.total == found.trained == sum(p.numel() for p in model.parameters())
    linear = [m for s in (model.encoder, model.decoder) for m in s.modules() if isinstance(m, torch.nn.Linear)]
    assert found.matrices == sum(m.weight.numel() for m in linear) and found.muon == 0
    assert count(small(recipe={"train": {"refiner_weight": 0.0}})[0]).trained == found.total - found.parts["refiners"]
    assert count(small(recipe={"train": {"refiner_only": True}})[0]).trained == found.parts["refiners"]
    assert count(small(recipe={"train": {"optimizer": "muon"}})[0]).muon == found.matrices


def test_published_sizes() -> None:
    """Millions of parameters: arXiv 1910.10683 gives about 60, 220 and 770; Flan-T5's base has a head of its own."""
    for name, millions in {"t5-small": 60.5, "t5-base": 222.9, "t5-large": 737.7, "flan-t5-base": 247.6}.items():
        parts = count(planned(UNIFIED, name)).parts
        whole = parts["shared"] + parts["encoder"] + parts["decoder"] + (name.startswith("flan") and parts["lm_head"])
        assert whole / 1e6 == pytest.approx(millions, abs=0.1)


@pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="needs peft, of the extra train")
def test_lora_counts() -> None:
    from avatargpt.train.lora import add_lora

    plan, model = small(recipe={"lora": {"r": 3, "targets": ["q", "wo"]}, "train": {"refiner_weight": 0.0}})
    assert plan.recipe.lora is not None
    add_lora(model, plan.recipe.lora)
    model.refiners.requires_grad_(False)
    assert count(plan).trained == sum(p.numel() for p in model.parameters() if p.requires_grad)


def test_arithmetic_is_what_pytorch_counts() -> None:
    plan, model = small()
    with FlopCounterMode(display=False) as forward:
        loss = step(model)
    assert forward.get_total_flops() == pytest.approx(ROWS * example(plan.shape, LENGTHS), rel=0.005)
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    both = forward.get_total_flops() + backward.get_total_flops()
    assert both == pytest.approx(3 * ROWS * example(plan.shape, LENGTHS), rel=0.005)


def kept_bytes(model: AvatarGPTModel) -> int:
    """What autograd keeps of a step beside the weights."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if (at := tensor.untyped_storage().data_ptr()) not in weights:
            kept[at] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t), torch.autocast("cpu", torch.bfloat16):
        step(model)
    return sum(t.untyped_storage().nbytes() for t in kept.values())


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("gated", [True, False])
def test_activations_are_what_autograd_keeps(dropout: float, gated: bool) -> None:
    """Of two more layers; what stacks and head keep besides is the same in both networks."""
    form = {"feed_forward_proj": "gated-gelu" if gated else "relu"}
    few, many = (small(dropout, **form, num_layers=n, num_decoder_layers=n + 1) for n in (2, 4))
    grown = kept_bytes(many[1]) - kept_bytes(few[1])
    copies = 2 * (count(many[0]).matrices - count(few[0]).matrices)
    planned_bytes = [activations(plan, ROWS, LENGTHS) for plan, _ in (few, many)]
    assert grown - copies == pytest.approx(
        planned_bytes[1] - planned_bytes[0], rel=0.006
    )  # norms keep a number per token
    assert activations(many[0], ROWS, LENGTHS, checkpointing=True) < 0.6 * planned_bytes[1]
    assert 0 < encoder_layer(few[0].shape, 24, dropout > 0) < decoder_layer(few[0].shape, LENGTHS, dropout > 0)


def test_memory_is_shared_as_zero_says() -> None:
    plan, _ = small()
    found = count(plan)
    n = found.total
    plain = states(plan, found, 0, 8)
    assert plain.accelerator == 16 * n + 2 * found.matrices and plain.host == 0
    one, two, three = (states(plan, found, stage, 8).accelerator for stage in (1, 2, 3))
    assert one == 12 * n + 2 * found.matrices + 12 * n / 8
    assert one > two > three == 20 * n / 8 + 2 * found.matrices
    for stage in (1, 2, 3):
        moved, whole = states(plan, found, stage, 8, True), states(plan, found, stage, 8)
        assert moved.accelerator + moved.host == pytest.approx(whole.accelerator) and moved.host > 0
    lora = small(recipe={"lora": {"r": 2}})[0]
    assert states(lora, count(lora), 0, 1).accelerator < plain.accelerator
    assert training_token(lora) == pytest.approx(training_token(plan) * 2 / 3)


def test_the_pages_have_these_tables() -> None:
    """Where results or formulas have changed: python scripts/scaling.py"""
    spec = importlib.util.spec_from_file_location("scaling_script", ROOT / "scripts" / "scaling.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    for path, text in script.pages().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run python scripts/scaling.py"
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    assert all(f"<!-- table {name} -->" in page for name in document())
    with pytest.raises(UserError, match="table 'weather'"):
        filled("<!-- table weather -->\n<!-- end -->\n", {})


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", "--plan", UNIFIED, "--base", "t5-small", "--gpus", "8", "--gpu", "h100", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["shape"] == "t5-small" and found["rows"] == 16 and len(found["memory"]) == 6
    hours = {t["gpus"]: t["hours"] for t in found["time"] if t["data"] == "HumanML3D"}
    assert hours[1] == pytest.approx(8 * hours[8])
    assert run(["info", "--plan", UNIFIED, "--tokens", "1000000"]) == 0
    out = capsys.readouterr().out
    assert "Shape of flan-t5-base" in out and "| --tokens | 1 |" in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--plan", "nowhere.yaml"], "nowhere.yaml"),
        (["--plan", str(ROOT / "configs" / "scorer.yaml")], "scorer.yaml"),
        (["--plan", UNIFIED, "--base", "t6"], ", ".join(BASES)),
        (["--plan", UNIFIED, "--gpu", "abacus"], "accepted: t4"),
        (["--plan", UNIFIED, "--gpus", "7"], "what divides the batch"),
        (["--gpus", "2"], "goes with --plan"),
    ],
)
def test_mistakes_are_told_in_a_line(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and told in error and error.count("\n") == 1
