"""Several processes: torchrun and DeepSpeed, as users start them, take the steps of one process."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from avatargpt.config import resolve
from avatargpt.lm.checkpoint import load_model, save_model
from avatargpt.train.command import main
from tests.train.launching import (
    EVERY_ZERO,
    LORA,
    ROOT,
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
from vqvae.errors import UserError


def far_weights(folder: Path, other: Path) -> float:
    """Largest difference between weights of two usable models; both are whole, and have the same tensors."""
    one, two = (load_model(f).state_dict() for f in (folder, other))
    assert one.keys() == two.keys() and all(v.numel() for v in one.values())
    return max(float((one[k] - two[k]).abs().max()) for k in two)


@pytest.fixture(scope="module")
def alone(mini: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs on one process: whole, in parts, and with LoRA if there is peft."""
    out = tmp_path_factory.mktemp("alone")
    runs = [mini.language(config(mini, "heads"), out / "run"),
            mini.language(config(mini, "parts", accumulate=2), out / "parts")]  # fmt: skip
    if not needs_peft.args[0]:
        runs.append(mini.language(config(mini, "lora", lora=LORA), out / "lora"))
    launch(out, [], *runs)
    return out


@pytest.fixture(scope="module")
def together(mini: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same under torchrun: on two processes, and in parts."""
    out = tmp_path_factory.mktemp("torchrun")
    heads, parts = config(mini, "heads"), config(mini, "parts", accumulate=2)
    launch(out, torchrun(2), mini.language(heads, out / "run"), mini.language(parts, out / "parts"))
    return out


@pytest.fixture(scope="module")
def sharded(mini: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same under DeepSpeed on two processes, at every stage of ZeRO (2 with a stop), and a run of words alone."""
    out = tmp_path_factory.mktemp("deepspeed")
    heads, words = config(mini, "heads"), config(mini, "words", steps=2, options={"weights": {"denoise": 1.0}})
    options = {name: zero(out, name, **given) for name, given in EVERY_ZERO.items()}
    runs = [mini.language(heads, out / "zero2", *options["zero2"], "--until", 3)]
    runs += [mini.language(heads, out / name, *given) for name, given in options.items()]
    if not needs_peft.args[0]:
        lora = config(mini, "lora", lora=LORA)
        runs.append(mini.language(lora, out / "lora", *options["zero3_nothing_kept"]))
    launch(out, deepspeed(2), *runs, mini.language(words, out / "words", *options["zero2"]))
    return out


@pytest.mark.slow
@pytest.mark.parametrize("name", ["run", "parts"])
def test_two_processes_step_as_one_does(alone: Path, together: Path, name: str) -> None:
    assert [r["step"] for r in reports(together / name)] == [1, 2, 3, 4, 5, 6, 6]  # the last: validation
    assert farthest(together / name, alone / "run") <= 1e-3
    assert far_weights(together / name, alone / "run") < 1e-3


@pytest.mark.slow
def test_parts_make_no_difference(alone: Path) -> None:
    assert farthest(alone / "parts", alone / "run") <= 1e-3


@pytest.mark.slow
def test_four_processes_step_as_one_does(mini: Any, alone: Path, tmp_path: Path) -> None:
    launch(tmp_path, torchrun(4), mini.language(config(mini, "heads"), tmp_path / "run"))
    assert farthest(tmp_path / "run", alone / "run") <= 1e-3
    assert far_weights(tmp_path / "run", alone / "run") < 1e-3


@pytest.mark.slow
@needs_deepspeed
@pytest.mark.parametrize("name", EVERY_ZERO)
def test_deepspeed_steps_as_one_process_does(sharded: Path, alone: Path, name: str) -> None:
    assert farthest(sharded / name, alone / "run") <= 1e-3
    assert far_weights(sharded / name, alone / "run") < 1e-3
    one, two = (torch.load(f / "checkpoint.pt", weights_only=True) for f in (sharded / name, alone / "run"))
    assert one.keys() == two.keys() and one["optimizer"]["state"].keys() == two["optimizer"]["state"].keys()
    assert [g["params"] for g in one["optimizer"]["param_groups"]] == [
        g["params"] for g in two["optimizer"]["param_groups"]
    ]
    for number, state in two["optimizer"]["state"].items():
        assert all(torch.allclose(one["optimizer"]["state"][number][k], v, atol=1e-4) for k, v in state.items())


@pytest.mark.slow
@needs_deepspeed
@needs_peft
def test_lora_under_stage_3(sharded: Path, alone: Path) -> None:
    assert farthest(sharded / "lora", alone / "lora") <= 1e-3
    assert far_weights(sharded / "lora", alone / "lora") < 1e-3
    assert (sharded / "lora" / "adapter" / "adapter_model.safetensors").is_file()


@pytest.mark.slow
@needs_deepspeed
def test_tied_weights_are_saved_once(sharded: Path) -> None:
    from safetensors import safe_open

    with safe_open(sharded / "zero3_nothing_kept" / "model.safetensors", "pt") as file:
        names = set(file.keys())
    assert "shared.weight" in names and "encoder.embed_tokens.weight" not in names
    model = load_model(sharded / "zero3_nothing_kept")
    assert model.encoder.embed_tokens.weight is model.shared.weight


@pytest.mark.slow
@needs_deepspeed
def test_what_no_row_reaches_keeps_its_weights(mini: Any, sharded: Path, tmp_path: Path) -> None:
    words = config(mini, "words", steps=1, options={"weights": {"denoise": 1.0}})
    mini.run(*mini.language(words, tmp_path))
    before, after = load_model(tmp_path).state_dict(), load_model(sharded / "words").state_dict()
    kept = [k for k in before if k.startswith(("heads.", "codes.", "refiners."))]
    assert kept and all(torch.equal(before[k], after[k]) for k in kept)
    assert not torch.equal(before["lm_head.weight"], after["lm_head.weight"])


@pytest.mark.slow
def test_other_numbers_of_processes_go_on(mini: Any, alone: Path, tmp_path: Path) -> None:
    run = mini.language(config(mini, "heads"), tmp_path / "run")
    launch(tmp_path, [], [*run, "--until", "2"])
    launch(tmp_path, torchrun(2), [*run, "--until", "4"])
    launch(tmp_path, [], run)
    assert farthest(tmp_path / "run", alone / "run") <= 1e-3
    assert far_weights(tmp_path / "run", alone / "run") < 1e-3


@pytest.mark.slow
@needs_deepspeed
def test_other_launchers_go_on(mini: Any, alone: Path, tmp_path: Path) -> None:
    run = mini.language(config(mini, "heads"), tmp_path / "run")
    split = zero(tmp_path, "zero3", stage=3, stage3_param_persistence_threshold=0)
    launch(tmp_path, torchrun(2), [*run, "--until", "1"])
    launch(tmp_path, deepspeed(2), [*run, *map(str, split), "--until", "3"])
    launch(
        tmp_path, [], [*run, "--deepspeed_config", str(ZERO[2]), "--until", "5"], run
    )  # on one process, then plainly
    assert farthest(tmp_path / "run", alone / "run") <= 1e-3
    assert far_weights(tmp_path / "run", alone / "run") < 1e-3


def refused(capsys: pytest.CaptureFixture[str], run: list[str], out: Path) -> str:
    """The line that a run is refused with; nothing in its folder may change."""
    before = {f: f.read_bytes() for f in out.rglob("*") if f.is_file()}
    assert main(run) == 2
    assert {f: f.read_bytes() for f in out.rglob("*") if f.is_file()} == before
    line = capsys.readouterr().err.strip()
    assert line.startswith("error: ") and "\n" not in line
    return line


def test_a_checkpoint_of_deepspeeds_own_is_refused(
    mini: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "deepspeed").mkdir()
    (tmp_path / "deepspeed" / "latest").write_text("global_step6")
    line = refused(capsys, mini.language(config(mini, "heads"), tmp_path), tmp_path)
    assert "in DeepSpeed's own format, which is not read any more; accepted: a new folder" in line


@needs_deepspeed
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"zero_optimization": {"stage": 4}}, "zero_optimization: stage: 4; accepted: 1, 2 or 3"),
        ({"zero_optimization": 2}, "zero_optimization: stage: None; accepted: 1, 2 or 3"),
        (
            {"zero_optimization": {"stage": 3, "offload_param": {"device": "nvme"}}},
            "device: nvme; accepted: cpu or none",
        ),
        ({"zero_optimisation": {"stage": 2}}, "unknown key 'zero_optimisation'; did you mean 'zero_optimization'?"),
        ({"zero_optimization": {"stage": 2, "reduce_scatter": False}}, "reduce_scatter: False; accepted: true"),
        ({"zero_optimization": {"stage": 2, "overlap": True}}, "zero_optimization: overlap: True"),
        ({"zero_optimization": {"stage": 2, "reduce_bucket_size": "x"}}, "zero_optimization: reduce_bucket_size: 'x'"),
        ({"zero_optimization": {"stage": 2}, "bf16": {"enabled": True}}, "unknown key 'bf16'"),
    ],
)
def test_deepspeed_configuration_is_checked_before_data(
    mini: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], given: dict, expected: str
) -> None:
    path, gone = tmp_path / "zero.json", tmp_path / "gone"
    path.write_text(json.dumps(given))
    run = mini.language(config(mini, "heads"), tmp_path / "out", "--deepspeed_config", path, "--codes", gone)
    line = refused(capsys, run, tmp_path)
    assert str(path) in line and expected in line and not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_model_with_an_empty_tensor_is_not_saved(alone: Path, tmp_path: Path) -> None:
    model = load_model(alone / "run")
    model.lm_head.weight.data = torch.empty(0)
    with pytest.raises(UserError, match=r"not saved: lm_head\.weight is empty"):
        save_model(model, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def mixture(mini: Any, lora: bool) -> Path:
    """200 steps of the mixture of `2_motion.yaml`, with every head and code adapter in it.

    At the debug configuration's rate of 0.003 a last bit grows a hundredfold in 25 steps from the 80th on,
    on one process that takes its steps in parts as well.
    """
    shipped = resolve(ROOT / "configs" / "language" / "2_motion.yaml")["train"]["options"]
    given = {"steps": 200, "batch": 8, "lr": 0.0005, "options": shipped, "lora": LORA if lora else None}
    return config(mini, f"mixture{'-lora' * lora}", **given)


@pytest.fixture(scope="module")
def mixture_alone(mini: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That mixture on one process: all weights, and LoRA if there is peft."""
    out = tmp_path_factory.mktemp("mixture")
    runs = [mini.language(mixture(mini, False), out / "full")]
    if not needs_peft.args[0]:
        runs.append(mini.language(mixture(mini, True), out / "lora"))
    launch(out, [], *runs)
    return out


@pytest.mark.slow
@needs_deepspeed
@pytest.mark.skipif("PROCESSES_LONG" not in os.environ, reason="minutes; PROCESSES_LONG=1 asks for it")
@pytest.mark.parametrize("processes", [2, 4])
@pytest.mark.parametrize("lora", ["full", pytest.param("lora", marks=needs_peft)])
@pytest.mark.parametrize("case", ["torchrun", *EVERY_ZERO])
def test_200_steps_of_the_shipped_mixture(
    mini: Any, mixture_alone: Path, tmp_path: Path, processes: int, lora: str, case: str
) -> None:
    split = zero(tmp_path, case, **EVERY_ZERO[case]) if case in EVERY_ZERO else []
    run = mini.language(mixture(mini, lora == "lora"), tmp_path / "run", *split)
    launch(tmp_path, deepspeed(processes) if split else torchrun(processes), run)
    far = farthest(tmp_path / "run", mixture_alone / lora)
    print(f"{processes} processes, {case}, {lora}: losses within {far:.1e} of one process's")
    assert far <= 1e-3
    assert all(v.numel() for v in load_model(tmp_path / "run").state_dict().values())
