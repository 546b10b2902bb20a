"""The shares of a step add up to the step, however many processes and parts take it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avatargpt.config import resolve
from avatargpt.lm.checkpoint import write_adapter
from avatargpt.train.checkpoints import write
from avatargpt.train.command import parsed
from avatargpt.train.data.batches import share_of
from avatargpt.train.language import LanguageRecipe, LanguageStage
from avatargpt.train.language_run import make_stage
from avatargpt.train.runtime import Runtime
from avatargpt.train.stage import StepContext
from tests.train.launching import config
from vqvae.errors import UserError

DIVISIONS = [(2, 1), (4, 1), (1, 2), (2, 4), (8, 1)]  # processes, parts


def stage_of(mini: Any, out: Path, name: str, **train: Any) -> LanguageStage:
    """A stage on the CPU in float32."""
    path = config(mini, name, batch=8, label_smoothing=0.1, **train)
    args = parsed(mini.language(path, out))
    recipe = LanguageRecipe.read(resolve(path), str(path))
    return make_stage(recipe, args, Runtime(0, 1, torch.device("cpu"), bf16=False))


@pytest.fixture(scope="module")
def stage(mini: Any, tmp_path_factory: pytest.TempPathFactory) -> LanguageStage:
    return stage_of(mini, tmp_path_factory.mktemp("shares"), "shares")


def taken(stage: LanguageStage, step: int, world: int, parts: int) -> tuple[dict[str, float], list[torch.Tensor]]:
    """Figures and gradients of a step that is divided so: means over all shares."""
    figures: Counter[str] = Counter()
    learnt = [p for p in stage.model.parameters() if p.requires_grad]
    gradients = [torch.zeros_like(p) for p in learnt]
    stage.model.train()
    for rank in range(world):
        for part in range(parts):
            total, rest = stage.losses(stage.module, StepContext(step, rank, world, 0, part, parts))
            some = torch.autograd.grad(total, learnt, materialize_grads=True)
            gradients = [a + b / (world * parts) for a, b in zip(gradients, some, strict=True)]
            for name, value in {"total": total, **rest}.items():
                figures[name] += float(value.detach()) / (world * parts)
    return dict(figures), gradients


@pytest.mark.parametrize(("world", "parts"), DIVISIONS)
def test_losses_and_gradients_are_those_of_one_process(stage: LanguageStage, world: int, parts: int) -> None:
    for step in range(3):
        whole, gradients = taken(stage, step, 1, 1)
        figures, others = taken(stage, step, world, parts)
        assert figures == pytest.approx(whole, abs=1e-5)
        for a, b in zip(gradients, others, strict=True):
            torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-4)


def test_the_residual_decoder_alone(mini: Any, tmp_path: Path) -> None:
    stage = stage_of(mini, tmp_path, "refiner", refiner_only=True, refiner_weight=1.0, refiner_rows=0.3)
    whole, gradients = taken(stage, 0, 1, 1)
    figures, others = taken(stage, 0, 8, 1)  # most processes have no row for it
    assert figures == pytest.approx(whole, abs=1e-5) and whole["total"] == pytest.approx(whole["refiner"])
    assert any(float(g.abs().max()) > 0 for g in gradients)
    for a, b in zip(gradients, others, strict=True):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-4)


def test_every_row_is_in_one_share(stage: LanguageStage) -> None:
    rows = stage.pool.step(0)
    whole = share_of(rows, StepContext(0, 0, 1, 0), ["body"], 0.5)
    assert list(whole.rows) == rows and whole.refined["body"] > 0
    for world, parts in DIVISIONS:
        contexts = [StepContext(0, r, world, 0, p, parts) for r in range(world) for p in range(parts)]
        shares = [share_of(rows, context, ["body"], 0.5) for context in contexts]
        assert Counter(id(r) for s in shares for r in s.rows) == Counter(map(id, rows))
        assert sum(int(s.chosen.sum()) for s in shares) == int(whole.chosen.sum()) == round(whole.answers["body"] / 2)
        places = {id(r): (c, f) for s in shares for r, c, f in zip(s.rows, s.chosen, s.forgotten, strict=True)}
        for row, chosen, forgotten in zip(rows, whole.chosen, whole.forgotten, strict=True):
            assert places[id(row)][0] == chosen and np.array_equal(places[id(row)][1], forgotten)
        assert all(s.tokens == whole.tokens and s.refined == whole.refined for s in shares)


def test_what_lies_with_another_process_is_not_saved(
    stage: LanguageStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage.model.lm_head.weight, "data", torch.empty(0))
    with pytest.raises(UserError, match=r"not saved: lm_head\.weight is empty"):
        write(tmp_path / "checkpoint.pt", stage, {}, 1)
    with pytest.raises(UserError, match=r"not saved: q\.lora_A\.weight is empty"):
        write_adapter(tmp_path / "adapter", {"q.lora_A.weight": torch.empty(0)}, {}, {})
    assert not list(tmp_path.iterdir())
