"""`info --plan`: parameters, arithmetic and memory against what PyTorch counts and keeps."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from avatargpt.cli.app import run
from avatargpt.lm.model import AvatarGPTConfig, AvatarGPTModel
from avatargpt.lm.shape import NetworkShape
from avatargpt.train import estimate
from avatargpt.train.language import LanguageRecipe
from tests.train.conftest import CONFIGS

UNIFIED = str(CONFIGS / "language" / "unified.yaml")
SMALL: dict[str, Any] = {
    "vocab_size": 64, "d_model": 48, "d_kv": 16, "d_ff": 96, "num_layers": 2, "num_decoder_layers": 3, "num_heads": 2,
    "countdown_buckets": 0, "modalities": {"body": {"codebook_size": 30, "levels": 3, "code_dim": 16}},
    "refiner_dim": 32, "refiner_layers": 1, "refiner_heads": 2, "feed_forward_proj": "gated-gelu",
}  # fmt: skip


def saved_bytes(layers: int) -> int:
    """What autograd saves of a step of two rows beside the weights."""
    model = AvatarGPTModel(AvatarGPTConfig(**{**SMALL, "num_layers": layers, "dropout_rate": 0.1})).train()
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    saved: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if (place := tensor.untyped_storage().data_ptr()) not in weights:
            saved[place] = tensor.untyped_storage().nbytes()
        return tensor

    ids, labels = (torch.randint(2, 64, (2, n)) for n in (estimate.SOURCE, estimate.TARGET))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t), torch.autocast("cpu", torch.bfloat16):
        model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels)
    return sum(saved.values())


def test_parameters_and_activations_are_those_of_the_model() -> None:
    model = AvatarGPTModel(AvatarGPTConfig(**SMALL))
    refiners = sum(p.numel() for p in model.refiners.parameters())
    recipes = ({}, {"refiner_weight": 0.0}, {"refiner_only": True}, {"optimizer": "muon"})
    counts = [estimate.count_parameters(LanguageRecipe.read({"train": train}, "test"), NetworkShape.of(SMALL))
              for train in recipes]  # fmt: skip
    assert counts[0]["total"] == sum(p.numel() for p in model.parameters()) and counts[0]["muon"] == 0
    assert [c["trained"] for c in counts[:3]] == [counts[0]["total"], counts[0]["total"] - refiners, refiners]
    assert counts[3]["muon"] == counts[0]["matrices"] > 0
    lora = LanguageRecipe.read({"lora": {"r": 2}}, "test")
    assert estimate.count_parameters(lora, NetworkShape.of(SMALL))["lora"] > 0
    few, many = (NetworkShape.of({**SMALL, "num_layers": n}) for n in (2, 4))
    planned = [estimate.activation_bytes(shape, True, 2, False) for shape in (few, many)]
    copies = 2 * 2 * (4 * 48 * 32 + 3 * 48 * 96)  # of the matrices of two layers, in bfloat16
    assert saved_bytes(4) - saved_bytes(2) - copies == pytest.approx(planned[1] - planned[0], rel=0.006)


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", "--plan", UNIFIED, "--base", "t5-small", "--gpus", "8", "--gpu", "h100", "--json"]) == 0
    eight = json.loads(capsys.readouterr().out)
    one = estimate.estimate(UNIFIED, "t5-small", 1, "h100")
    assert eight["rows"] == 16 and one["hours"] == pytest.approx(8 * eight["hours"])
    totals = [sum(m[k] for k in ("weights", "gradients", "optimizer")) for m in eight["memory"]]
    assert totals[1] > totals[2] > totals[3] and totals[3] < totals[0]
    assert one["parameters"] / 1e6 == pytest.approx(81.9, 0.01)
    for words, message in (
        ("--plan nowhere.yaml", "nowhere.yaml"), (f"--plan {UNIFIED} --base t6", "accepted: t5-small"),
        (f"--plan {UNIFIED} --gpu abacus", "accepted: t4"), ("--gpus 2", "goes with --plan"),
        (f"--plan {UNIFIED} --gpus 7", "what divides the batch"),
    ):  # fmt: skip
        assert run(["info", *words.split()]) == 2 and message in capsys.readouterr().err
