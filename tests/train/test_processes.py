"""Several processes: torchrun and DeepSpeed, as users start them, take the steps of one process."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from avatargpt.lm.checkpoint import load_model
from tests.train.conftest import Mini, Refused
from tests.train.launching import (
    EVERY_ZERO,
    LORA,
    ZERO,
    config,
    deepspeed,
    farthest,
    launch,
    needs_deepspeed,
    needs_peft,
    reports,
    torchrun,
    zero,
)  # fmt: skip

WORDS = {"weights": {"rewrite": 1.0}}


def far_weights(folder: Path, other: Path) -> float:
    """Largest difference between the weights of two usable models with the same tensors."""
    one, two = (load_model(f).state_dict() for f in (folder, other))
    assert one.keys() == two.keys() and all(v.numel() for v in one.values())
    return max(float((one[k] - two[k]).abs().max()) for k in two)


def assert_near(folder: Path, other: Path) -> None:
    """Figures and weights of two runs agree but for rounding."""
    assert farthest(folder, other) <= 1e-3
    assert far_weights(folder, other) < 1e-3


@pytest.fixture(scope="module")
def alone(mini: Mini, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs on one process, one with LoRA if there is peft."""
    out = tmp_path_factory.mktemp("alone")
    runs = [config(mini, out / "run")]
    if not needs_peft.args[0]:
        runs.append(config(mini, out / "lora", lora=LORA))
    launch(out, [], *runs)
    return out


@pytest.fixture(scope="module")
def sharded(mini: Mini, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same under DeepSpeed on two processes, at every stage of ZeRO (2 with a stop), and a run of words alone."""
    out = tmp_path_factory.mktemp("deepspeed")
    split = {name: zero(out, name, **options) for name, options in EVERY_ZERO.items()}
    runs = [config(mini, out / "zero2", *split["zero2"], "--until", 3)]
    runs += [config(mini, out / name, *option) for name, option in split.items()]
    if not needs_peft.args[0]:
        runs.append(config(mini, out / "lora", *split["zero3_nothing_kept"], lora=LORA))
    launch(out, deepspeed(2), *runs, config(mini, out / "words", *split["zero2"], steps=2, options=WORDS))
    return out


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "parts"), [(2, 2), (4, 1)])
def test_several_processes_and_parts_step_as_one_does(
    mini: Mini, alone: Path, tmp_path: Path, processes: int, parts: int
) -> None:
    launch(tmp_path, torchrun(processes), config(mini, tmp_path / "run", accumulate=parts))
    assert [r["step"] for r in reports(tmp_path / "run")] == [1, 2, 3, 4, 5, 6, 6]  # the last: validation
    assert_near(tmp_path / "run", alone / "run")


@pytest.mark.slow
@needs_deepspeed
@pytest.mark.parametrize("name", EVERY_ZERO)
def test_deepspeed_steps_as_one_process_does(sharded: Path, alone: Path, name: str) -> None:
    assert_near(sharded / name, alone / "run")
    one, two = (torch.load(f / "checkpoint.pt", weights_only=True) for f in (sharded / name, alone / "run"))
    assert one.keys() == two.keys() and one["optimizer"]["state"].keys() == two["optimizer"]["state"].keys()
    groups = [[g["params"] for g in c["optimizer"]["param_groups"]] for c in (one, two)]
    assert groups[0] == groups[1]
    for number, state in two["optimizer"]["state"].items():
        assert all(torch.allclose(one["optimizer"]["state"][number][k], v, atol=1e-4) for k, v in state.items())


@pytest.mark.slow
@needs_deepspeed
@needs_peft
def test_lora_under_stage_3(sharded: Path, alone: Path) -> None:
    assert_near(sharded / "lora", alone / "lora")
    assert (sharded / "lora" / "adapter" / "adapter_model.safetensors").is_file()


@pytest.mark.slow
@needs_deepspeed
def test_tied_weights_are_saved_once(sharded: Path) -> None:
    names = set(load_file(sharded / "zero3_nothing_kept" / "model.safetensors"))
    assert "shared.weight" in names and "encoder.embed_tokens.weight" not in names
    model = load_model(sharded / "zero3_nothing_kept")
    assert model.encoder.embed_tokens.weight is model.shared.weight


@pytest.mark.slow
@needs_deepspeed
def test_what_no_row_reaches_keeps_its_weights(mini: Mini, sharded: Path, tmp_path: Path) -> None:
    mini.run(*config(mini, tmp_path, steps=1, options=WORDS))
    before, after = load_model(tmp_path).state_dict(), load_model(sharded / "words").state_dict()
    frozen = [k for k in before if k.startswith(("heads.", "codes.", "refiners."))]
    assert frozen and all(torch.equal(before[k], after[k]) for k in frozen)
    assert not torch.equal(before["lm_head.weight"], after["lm_head.weight"])


@pytest.mark.slow
def test_other_numbers_of_processes_go_on(mini: Mini, alone: Path, tmp_path: Path) -> None:
    run = config(mini, tmp_path / "run")
    launch(tmp_path, [], [*run, "--until", "2"])
    launch(tmp_path, torchrun(2), [*run, "--until", "4"])
    launch(tmp_path, [], run)
    assert_near(tmp_path / "run", alone / "run")


@pytest.mark.slow
@needs_deepspeed
def test_other_launchers_go_on(mini: Mini, alone: Path, tmp_path: Path) -> None:
    run = config(mini, tmp_path / "run")
    split = zero(tmp_path, "zero3", stage=3, stage3_param_persistence_threshold=0)
    launch(tmp_path, torchrun(2), [*run, "--until", "1"])
    launch(tmp_path, deepspeed(2), [*run, *map(str, split), "--until", "3"])
    launch(tmp_path, [], [*run, "--deepspeed_config", str(ZERO[2]), "--until", "5"], run)
    assert_near(tmp_path / "run", alone / "run")


def test_a_checkpoint_of_deepspeeds_own_is_refused(mini: Mini, tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "deepspeed").mkdir()
    (tmp_path / "deepspeed" / "latest").write_text("global_step6")
    line = refused(*config(mini, tmp_path))
    assert [f.name for f in tmp_path.rglob("*") if f.is_file()] == ["latest"]
    assert "in DeepSpeed's own format, which is not read any more; accepted: a new folder" in line


@needs_deepspeed
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"zero_optimization": {"stage": 4}}, "zero_optimization: stage: 4; accepted: 1, 2 or 3"),
        ({"zero_optimization": 2}, "zero_optimization: stage: None; accepted: 1, 2 or 3"),
        ({"zero_optimization": {"stage": 3, "offload_param": {"device": "nvme"}}}, "nvme; accepted: cpu or none"),
        ({"zero_optimisation": {"stage": 2}}, "unknown key 'zero_optimisation'; did you mean 'zero_optimization'?"),
        ({"zero_optimization": {"stage": 2, "reduce_scatter": False}}, "reduce_scatter: False; accepted: true"),
        ({"zero_optimization": {"stage": 2, "overlap": True}}, "zero_optimization: overlap: True"),
        ({"zero_optimization": {"stage": 2, "reduce_bucket_size": "x"}}, "zero_optimization: reduce_bucket_size: 'x'"),
        ({"zero_optimization": {"stage": 2}, "bf16": {"enabled": True}}, "unknown key 'bf16'"),
    ],
)
def test_deepspeed_configuration_is_checked_before_data(
    mini: Mini, tmp_path: Path, refused: Refused, options: dict, expected: str
) -> None:
    path, gone = tmp_path / "zero.json", tmp_path / "gone"
    path.write_text(json.dumps(options))
    line = refused(*config(mini, tmp_path / "out", "--deepspeed_config", path, "--codes", gone))
    assert str(path) in line and expected in line and not (tmp_path / "out").exists()
