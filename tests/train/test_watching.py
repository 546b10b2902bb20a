"""Figures of speed, samples with pictures, averaged weights, recomputed activations of a language run."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers.models.t5.modeling_t5 import T5LayerFF

from avatargpt.lm.checkpoint import load_model
from avatargpt.lm.shape import NetworkShape, forward_flops
from avatargpt.train.optimizers import MovingAverage
from avatargpt.train.runtime import Runtime
from avatargpt.train.throughput import Throughput, Work, peak_of
from tests.model.conftest import make_model
from tests.train.conftest import Mini, Refused

CPU = Runtime(0, 1, torch.device("cpu"), False)


WEIGHTS = {"text_to_motion": 0.5, "motion_to_text": 0.3, "rewrite": 0.2}


def quick(mini: Mini, out: Path, *more: object, change: dict[str, Any] | None = None, **train: Any) -> list[str]:
    """A run of four steps."""
    often = {"steps": 4, "log_every": 1, "save_every": 4, "val_every": 4, **train}
    return mini.language(out, *more, change={"train.options.weights": WEIGHTS, **(change or {})}, **often)


def test_operations_of_known_shapes() -> None:
    """By hand: one layer each, d 4, one head of 2, relu with d_ff 8, one row of 3 states and 2 written tokens."""
    tiny_shape = NetworkShape(10, 4, 2, 8, 1, 1, 1, feed_forward_proj="relu")
    flops = forward_flops(tiny_shape, np.array([3]), np.array([2]), ["text"])
    encoder = 3 * (4 * 4 * 2 + 2 * 4 * 8) + 2 * 2 * 3 * 3
    decoder = 2 * (4 * 4 * 2 + 2 * 4 * 2 + 2 * 4 * 8) + 3 * 2 * 4 * 2 + 2 * 2 * (2 * 2 + 2 * 3)
    assert flops == 2 * (encoder + decoder + 2 * 4 * 10)
    longer = forward_flops(tiny_shape, np.array([3, 5]), np.array([2, 1]), ["text", "text"])
    assert longer == flops + forward_flops(tiny_shape, np.array([5]), np.array([1]), ["text"])


@pytest.mark.parametrize("kind", ["relu", "gated-relu"])
def test_operations_are_those_that_torch_counts(kind: str) -> None:
    ids, labels = torch.randint(2, 60, (3, 11)), torch.randint(2, 60, (3, 7))
    model = make_model(grounding_dim=0, feed_forward_proj=kind)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels)
    assert counter.get_total_flops() == forward_flops(model.config, np.full(3, 11), np.full(3, 7), ["text"] * 3)


def test_throughput_of_a_run() -> None:
    speed = Throughput(Runtime(0, 2, torch.device("cpu"), False), 1e-6)
    for _ in range(4):
        speed.add_step(Work(100, 1e5), 0.5)
    figures = speed.figures(8)
    assert figures["tokens_s"] == pytest.approx(400) and figures["mfu"] == pytest.approx(0.2)
    assert 0 <= figures["eta_minutes"] < 1
    assert speed.figures(8).keys() == {"eta_minutes"}  # nothing new was done
    blank = Throughput(CPU)
    blank.add_step(Work(100, 1e5), 0.5)
    assert peak_of(CPU) is None and "mfu" not in blank.figures(1)


@pytest.mark.parametrize(
    ("name", "peak"),
    [("NVIDIA H100 80GB HBM3", 989.5), ("NVIDIA H100 PCIe", 756.5), ("NVIDIA A100-SXM4-80GB", 312.0), ("Other", None)],
)
def test_peaks_of_devices(monkeypatch: pytest.MonkeyPatch, name: str, peak: float | None) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    assert peak_of(SimpleNamespace(device=torch.device("cuda"), bf16=True)) == peak  # type: ignore[arg-type]
    assert peak_of(SimpleNamespace(device=torch.device("cuda"), bf16=False)) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["wandb", "tensorboard"])
def test_what_is_not_installed_is_refused_before_there_is_a_folder(
    mini: Mini, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Refused, name: str
) -> None:
    monkeypatch.setattr("avatargpt.train.reporting.find_spec", lambda wanted: None)
    line = refused(*quick(mini, tmp_path / "run", watch=[name]))
    assert f"watch: {name}: not installed; install it: pip install" in line
    assert not (tmp_path / "run").exists()


def test_a_run_logs_its_speed_and_draws_samples(mini: Mini, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")

    out = tmp_path / "run"
    mini.run(*quick(mini, out, samples_every=2, watch=["tensorboard", "wandb"], peak_tflops=1.0))
    for name in ("tokens_s", "mfu", "eta_minutes", "grad"):
        values = mini.rows(out, name)
        assert len(values) == 4 and all(v >= 0 for v in values)
        assert name in (out / "log.csv").read_text().splitlines()[0].split(",")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(out / "tensorboard"))
    events.Reload()
    assert {"tokens_s", "mfu", "grad"} <= set(events.Tags()["scalars"])
    assert "text_to_motion" in events.Tags()["images"]
    assert [e.step for e in events.Images("text_to_motion")] == [2, 4]
    (run,) = (out / "wandb").glob("offline-run-*")
    assert list(run.glob("files/media/images/text_to_motion*.png")) and list(run.glob("*.wandb"))
    lines = [json.loads(line) for line in (out / "samples" / "4" / "answers.jsonl").read_text().splitlines()]
    assert {"text_to_motion", "motion_to_text", "rewrite"} == {line["task"] for line in lines}
    assert all(line["wanted"] for line in lines)
    assert (out / "samples" / "4" / "text_to_motion.png").stat().st_size > 1000


def test_samples_change_nothing(mini: Mini, tmp_path: Path) -> None:
    for name, every in (("with", 1), ("without", 0)):
        mini.run(*quick(mini, tmp_path / name, samples_every=every, steps=2))
    mini.assert_same(mini.weights(tmp_path / "with"), mini.weights(tmp_path / "without"))


def test_averaged_weights_are_what_is_saved(mini: Mini, tmp_path: Path) -> None:
    saved_weights = []
    for until in (1, 2, 3):  # a run that is stopped and resumed keeps its average
        mini.run(*quick(mini, tmp_path / "run", "--until", until, ema=0.9, save_every=1))
        saved_weights.append({k: v.clone() for k, v in mini.weights(tmp_path / "run").items()})
    saved = load_model(tmp_path / "run").state_dict()
    begin = tmp_path / "begin"
    mini.run(*quick(mini, begin, "--until", 1, ema=0.9, lr=0, lr_floor=0))
    name = "heads.body.weight"
    mean = mini.weights(begin)[name].clone()
    for n, weights in enumerate(saved_weights, 1):
        mean.lerp_(weights[name], 1 - min(0.9, (1 + n) / (10 + n)))
    assert torch.allclose(saved[name], mean, atol=1e-6)
    assert not torch.allclose(saved[name], saved_weights[-1][name], atol=1e-6)


def test_averages_leave_the_network_as_it_was() -> None:
    torch.manual_seed(0)
    network = torch.nn.Linear(3, 2)
    average = MovingAverage(network, 0.5)
    before = network.weight.detach().clone()
    with torch.no_grad():
        network.weight.add_(1)
    average.update()
    current = network.weight.detach().clone()
    with average.in_place():
        assert torch.allclose(network.weight, before + (1 - 2 / 11))
    assert torch.equal(network.weight, current)
    other = MovingAverage(network, 0.5)
    other.restore(average.state())
    assert other.steps == 1 and torch.equal(other.mean["weight"], average.mean["weight"])
    off = MovingAverage(network, 0.0)
    off.update()
    with off.in_place():
        assert torch.equal(network.weight, current)
    assert off.state() == {}


def test_recomputed_activations_give_equal_losses(mini: Mini, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: dict[str, int] = {}
    forward = T5LayerFF.forward
    for name, on in (("kept", False), ("again", True)):

        def counting(*given: Any, name: str = name) -> Any:
            counted[name] = counted.get(name, 0) + torch.is_grad_enabled()
            return forward(*given)

        monkeypatch.setattr(T5LayerFF, "forward", counting)
        dropout = {"model.dropout_rate": 0.1}  # its random numbers are those of the first time
        # the same layers in both: on a CPU those without padding would be run where nothing is computed again
        monkeypatch.setattr("avatargpt.train.language.runs_flat", lambda *_: False)
        mini.run(*quick(mini, tmp_path / name, change=dropout, checkpointing=on))
    assert counted["again"] == 2 * counted["kept"] > 0
    for figure, most in (("ce_body", 0), ("ce_text", 0), ("val_text_to_motion", 0), ("grad", 1e-4)):
        assert mini.rows(tmp_path / "kept", figure) == pytest.approx(mini.rows(tmp_path / "again", figure), rel=most)
    kept, again = mini.weights(tmp_path / "kept"), mini.weights(tmp_path / "again")
    assert all(torch.allclose(kept[k], again[k], atol=1e-5) for k in kept)


@pytest.mark.parametrize("setting", ["ema=1.0", "samples_every=-1", "checkpointing=2", "peak_tflops=0"])
def test_settings_out_of_bounds(mini: Mini, tmp_path: Path, refused: Refused, setting: str) -> None:
    line = refused(*mini.language(tmp_path / "run", "--set", f"train.{setting}"))
    assert setting.partition("=")[0] in line and not (tmp_path / "run").exists()
