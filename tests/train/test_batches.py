"""Batches: windows on disk, rows made ahead, and shares of a step that add up to it."""

import os
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avatargpt.config import resolve
from avatargpt.lm.adapters import write_adapter
from avatargpt.lm.checkpoint import save_model
from avatargpt.train.checkpoints import write
from avatargpt.train.command import parse_options
from avatargpt.train.data.batches import Prefetch, share_of
from avatargpt.train.language import LanguageRecipe, LanguageStage, make_stage
from avatargpt.train.runtime import Runtime
from avatargpt.train.stage import StepContext
from avatargpt.train.tokenizer import BLOCK, ClipSampling, FeatureFile, Windows
from tests.train.conftest import Mini
from tests.train.launching import config
from vqvae.errors import UserError

DIVISIONS = [(2, 1), (4, 1), (1, 2), (2, 4), (8, 1)]  # processes, parts


def stage_of(mini: Mini, out: Path, **train: Any) -> LanguageStage:
    """A stage on the CPU in float32."""
    args = parse_options(config(mini, out, batch=8, label_smoothing=0.1, **train))
    recipe = LanguageRecipe.read(resolve(args.config), args.config)
    return make_stage(recipe, args, Runtime(0, 1, torch.device("cpu"), bf16=False))


@pytest.fixture(scope="module")
def stage(mini: Mini, tmp_path_factory: pytest.TempPathFactory) -> LanguageStage:
    return stage_of(mini, tmp_path_factory.mktemp("shares"))


def divided(stage: LanguageStage, step: int, world: int, parts: int) -> tuple[dict[str, float], list[torch.Tensor]]:
    """Figures and gradients of a step that is divided so: means over all shares."""
    figures: Counter[str] = Counter()
    weights = [p for p in stage.model.parameters() if p.requires_grad]
    gradients = [torch.zeros_like(p) for p in weights]
    stage.model.train()
    for rank in range(world):
        for part in range(parts):
            total, metrics = stage.losses(stage.module, StepContext(step, rank, world, 0, part, parts))
            share = torch.autograd.grad(total, weights, materialize_grads=True)
            gradients = [a + b / (world * parts) for a, b in zip(gradients, share, strict=True)]
            for name, value in {"total": total, **metrics}.items():
                figures[name] += float(value.detach()) / (world * parts)
    return dict(figures), gradients


def assert_divides(stage: LanguageStage, step: int, world: int, parts: int) -> tuple[dict[str, float], Any]:
    """The step that is divided so is the undivided one, whose figures and gradients are returned."""
    figures, gradients = divided(stage, step, 1, 1)
    others, summed = divided(stage, step, world, parts)
    assert others == pytest.approx(figures, abs=1e-5)
    for a, b in zip(gradients, summed, strict=True):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-4)
    return figures, gradients


@pytest.mark.parametrize(("world", "parts"), DIVISIONS)
def test_losses_and_gradients_are_those_of_one_process(stage: LanguageStage, world: int, parts: int) -> None:
    for step in range(3):
        assert_divides(stage, step, world, parts)


def telling(stage: LanguageStage) -> int:
    """A step that has bodies, and rows that deny another."""
    for number in range(stage.schedule.pool):
        rows, order = stage.pool.step(number)
        if (rows.head[order] > 0).sum() > 1 and np.isin(rows.positive, order).any():
            return number
    raise AssertionError("no such step")


def test_the_loss_is_that_of_rows_that_fit_and_of_the_contrast(stage: LanguageStage) -> None:
    number = telling(stage)
    rows, order = stage.pool.step(number)
    step = share_of(rows, order, stage.examples, StepContext(number, 0, 1, 0), ["body"], 0.5)
    figures, _ = divided(stage, number, 1, 1)
    cross_entropy = sum(figures[f"ce_{head}"] * n for head, n in step.tokens.items()) / sum(step.tokens.values())
    training = stage.schedule
    expected = cross_entropy + training.refiner_weight * figures["refiner"] * step.answers["body"] / step.motion
    assert step.denied and figures["contrast"] > 0
    assert figures["total"] == pytest.approx(expected + training.contrast_weight * figures["contrast"], abs=1e-5)


def test_the_residual_decoder_alone(mini: Mini, tmp_path: Path) -> None:
    stage = stage_of(mini, tmp_path, refiner_only=True, refiner_weight=1.0, refiner_rows=0.3)
    figures, gradients = assert_divides(stage, telling(stage), 8, 1)  # most processes have no row for it
    assert figures["total"] == pytest.approx(figures["refiner"])
    assert any(float(g.abs().max()) > 0 for g in gradients)


def test_every_row_is_in_one_share(stage: LanguageStage) -> None:
    number = telling(stage)
    rows, order = stage.pool.step(number)
    step = share_of(rows, order, stage.examples, StepContext(number, 0, 1, 0), ["body"], 0.5)
    drawn, denying = np.split(step.chosen, [len(order)])
    assert drawn.tolist() == order.tolist() and step.refined["body"] > 0
    assert sum(step.tokens.values()) == rows.targets[order].sum()
    assert set(denying) == set(np.flatnonzero(np.isin(rows.positive, order))) and len(denying) == step.denied > 0
    for world, parts in DIVISIONS:
        contexts = [StepContext(number, r, world, 0, p, parts) for r in range(world) for p in range(parts)]
        shares = [share_of(rows, order, stage.examples, context, ["body"], 0.5) for context in contexts]
        assert Counter(n for s in shares for n in s.chosen.tolist()) == Counter(step.chosen.tolist())
        for share in shares:  # a prompt and the one that denies it are compared on one process
            assert set(rows.positive[share.chosen]) - {-1} <= set(share.chosen.tolist())
        count = sum(int(s.refining.sum()) for s in shares)
        assert count == int(step.refining.sum()) == round(step.answers["body"] / 2)
        places = {n: (c, f) for s in shares for n, c, f in zip(s.chosen, s.refining, s.forgotten, strict=True)}
        for row, refining, forgotten in zip(step.chosen, step.refining, step.forgotten, strict=True):
            assert places[row][0] == refining and np.array_equal(places[row][1], forgotten)
        for name in ("tokens", "by_task", "refined", "answers", "denied", "motion"):
            assert {str(getattr(s, name)) for s in shares} == {str(getattr(step, name))}


def test_what_lies_with_another_process_is_not_saved(
    stage: LanguageStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage.model.lm_head.weight, "data", torch.empty(0))
    with pytest.raises(UserError, match=r"not saved: lm_head\.weight is empty"):
        write(tmp_path / "checkpoint.pt", stage, {}, 1)
    with pytest.raises(UserError, match=r"not saved: q\.lora_A\.weight is empty"):
        write_adapter(tmp_path / "adapter", {"q.lora_A.weight": torch.empty(0)}, {}, {})
    with pytest.raises(UserError, match=r"not saved: lm_head\.weight is empty"):
        save_model(stage.model, tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_the_next_is_made_while_this_one_is_in_use() -> None:
    begun, calls = {n: threading.Event() for n in range(5)}, []

    def make(n: int) -> int:
        calls.append((n, threading.current_thread().name))
        begun[n].set()
        return n * n

    ahead = Prefetch(make)
    assert ahead.get(0, 1) == 0
    assert begun[1].wait(5)  # not requested yet
    assert ahead.get(1, 2) == 1
    assert ahead.get(4) == 16  # another than foreseen: the foreseen one is dropped
    assert ahead.get(2) == 4
    assert [n for n, _ in calls] == [0, 1, 2, 4, 2]
    assert len({name for _, name in calls}) == 1 and calls[0][1] != threading.current_thread().name


def test_errors_are_raised_by_the_request() -> None:
    ahead = Prefetch(lambda n: 1 // n)
    assert ahead.get(1, 0) == 1
    with pytest.raises(ZeroDivisionError):
        ahead.get(0)
    assert ahead.get(1) == 1


WIDTH = 37


def windows_of(folder: Path, hold: list[slice]) -> tuple[Windows, list[np.ndarray]]:
    rng = np.random.default_rng(3)
    clips = [rng.normal(size=(n, WIDTH)).astype(np.float32) * 3 + 1 for n in (BLOCK + 5, 20, 300, 1, BLOCK, 77)]
    file = FeatureFile(folder)
    for clip in clips:
        file.add(clip)
    return Windows(file, ["walk", "bow", "walk", "bow", "run", "run"], np.zeros(6, bool), hold), clips


def test_clips_come_back(tmp_path: Path) -> None:
    windows, clips = windows_of(tmp_path / "not" / "there yet", [])
    assert windows.clips.lengths.tolist() == [len(c) for c in clips]
    for stored, clip in zip(windows.clips, clips, strict=True):
        np.testing.assert_array_equal(stored, clip)
    np.testing.assert_array_equal(windows.clips[-1], clips[-1])
    np.testing.assert_array_equal(windows.clips.frames(2, 10, 50), clips[2][10:50])
    with pytest.raises(IndexError):
        windows.clips[6]
    assert os.listdir(tmp_path) == []  # the file has no name


def test_statistics_are_numpys_to_the_bit(tmp_path: Path) -> None:
    windows, clips = windows_of(tmp_path, [])
    everything = np.concatenate(clips).astype(np.float64)
    mean, std = windows.statistics()
    np.testing.assert_array_equal(mean, everything.mean(0).astype(np.float32))
    np.testing.assert_array_equal(std, everything.std(0).astype(np.float32))


@pytest.mark.parametrize("hold", [[], [slice(0, 2), slice(5, 9)]])
def test_batches_are_cut_from_the_clips(tmp_path: Path, hold: list[slice]) -> None:
    windows, clips = windows_of(tmp_path, hold)
    batch = windows.batch(40, 64, [1, 2], ClipSampling(0.5, 0.5))
    np.testing.assert_array_equal(batch, windows.batch(40, 64, [1, 2], ClipSampling(0.5, 0.5)))
    starts = {clip[i].tobytes(): (n, i) for n, clip in enumerate(clips) for i in range(len(clip))}
    for row in batch:
        n, at = starts[row[0].tobytes()]
        real = clips[n][at : at + 64]
        np.testing.assert_array_equal(row[: len(real)], real)
        padding = np.delete(row[len(real) :], np.r_[tuple(hold)] if hold else [], axis=1)
        np.testing.assert_array_equal(padding, np.broadcast_to(np.delete(real[-1], np.r_[tuple(hold)] if hold else []),
                                                            padding.shape))  # fmt: skip
        assert not any(row[len(real) :, channels].any() for channels in hold)


@pytest.mark.parametrize("hold", [[], [slice(0, 2), slice(5, 9)]])
def test_batches_gathered_on_a_device_are_the_same(tmp_path: Path, hold: list[slice]) -> None:
    windows, _ = windows_of(tmp_path, hold)
    resident = windows.on(torch.device("cpu"))
    for seed in ([1, 2], [5, 0]):
        draw = 40, 64, seed, ClipSampling(0.5, 0.5)
        np.testing.assert_array_equal(resident.batch(*draw).numpy(), windows.batch(*draw))


def test_clips_on_rising_ground_are_drawn_more_often(tmp_path: Path) -> None:
    windows = Windows(FeatureFile(tmp_path), ["a", "a"], np.zeros(2, bool), [], slice(8, 9))
    moving = np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32)
    for rise in (0.0, 0.1):
        windows.clips.add(np.concatenate([moving, np.full((20, 1), rise, np.float32)], 1))
    np.testing.assert_allclose(windows.probabilities(ClipSampling(0.5, 0.0, 3.0)), [0.2, 0.8])
    np.testing.assert_allclose(windows.probabilities(ClipSampling(0.5)), [0.5, 0.5])


def test_clips_that_a_tokenizer_decodes_badly_are_drawn_more_often(tmp_path: Path) -> None:
    class Halves:  # what it decodes is off by half
        mean, std = torch.zeros(WIDTH), torch.ones(WIDTH)

        def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor]:
            return (x / 2,)

    windows = Windows(FeatureFile(tmp_path), ["a"] * 3, np.zeros(3, bool), [])
    moving = np.random.default_rng(0).normal(size=(20, WIDTH)).astype(np.float32)
    for size in (1, 1, 3):
        windows.clips.add(moving * size)
    draw = ClipSampling(0.5, error=2.0)
    np.testing.assert_allclose(windows.probabilities(draw), np.full(3, 1 / 3))  # not measured
    windows = Windows(windows.clips, windows.labels, windows.rare, [])
    windows.measure(Halves(), 8, 2, torch.device("cpu"))  # type: ignore[arg-type]
    assert windows.errors is not None
    np.testing.assert_allclose(windows.errors, np.abs(moving[:8]).mean() * np.array([0.5, 0.5, 1.5]), rtol=1e-5)
    np.testing.assert_allclose(windows.probabilities(draw), [1 / 11, 1 / 11, 9 / 11], rtol=1e-5)


def test_clips_of_other_widths_are_refused(tmp_path: Path) -> None:
    windows, _ = windows_of(tmp_path, [])
    with pytest.raises(UserError, match="5 channels among such of 37"):
        windows.clips.add(np.zeros((3, 5), np.float32))
