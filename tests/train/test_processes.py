"""Several processes: torchrun and DeepSpeed, as users start them."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from avatargpt.config import resolve
from avatargpt.model.checkpoint import load_model, save_model
from avatargpt.train.command import main
from avatargpt.train.running.pace import TIMED
from vqvae.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
ZERO = {n: ROOT / "configs" / "deepspeed" / f"zero{n}.json" for n in (1, 2)}
needs_deepspeed = pytest.mark.skipif(
    importlib.util.find_spec("deepspeed") is None, reason="DeepSpeed is not installed"
)
# Several runs of `scripts/train.py` one after another, with whatever the launcher puts first. In float32: bfloat16
# makes differences in the last bit, as between two ways of adding up, large within a few steps.
WORKER = """
import json, sys
from pathlib import Path
from avatargpt.train.command import main
from avatargpt.train.running import runtime

runtime.fast_bfloat16 = lambda device: False
*launched, runs = sys.argv[1:]
for run in json.loads(Path(runs).read_text()):
    assert main([*launched, *run]) == 0, run
"""


def launch(folder: Path, launcher: list[object], *runs: list[str]) -> None:
    """Start processes for runs, outside any process group, without a GPU and without a compiler."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "worker.py").write_text(WORKER)
    (folder / "runs.json").write_text(json.dumps(runs))
    alone = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    env = {**alone, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", "CXX": "false",
           "TORCH_EXTENSIONS_DIR": str(folder / "compiled")}  # fmt: skip
    argv = [sys.executable, *(str(c) for c in launcher), str(folder / "worker.py"), str(folder / "runs.json")]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    assert not list((folder / "compiled").rglob("*.so"))


def torchrun(processes: int) -> list[object]:
    return ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", processes]


def deepspeed(processes: int) -> list[object]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return ["-m", "deepspeed.launcher.runner", "--num_accelerators", processes, "--master_port", port]


def config(mini: Any, name: str, **train: Any) -> Path:
    """The debug configuration with one row for each of two processes: one of them always lacks a head."""

    def change(data: dict) -> None:
        mini.no_grounding(data)
        options = train.pop("options", {})
        data["train"].update({"steps": 6, "batch": 2, "log_every": 1, "val_every": 100, "save_every": 100, **train})
        data["train"]["options"].update(options)

    return mini.config("language", change, name)


def reports(folder: Path) -> list[dict[str, float]]:
    """What a run has logged."""
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def farthest(folder: Path, other: Path) -> float:
    """Largest difference between figures of two runs, step by step."""
    pairs = list(zip(reports(folder), reports(other), strict=True))
    assert all(a["step"] == b["step"] and len((a.keys() ^ b.keys()) - {"grad"}) <= 1 for a, b in pairs)
    return max(abs(a[k] - b[k]) for a, b in pairs for k in (a.keys() & b.keys()) - {"minutes", "grad", *TIMED})


@pytest.fixture(scope="module")
def plain(mini: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on two processes under torchrun."""
    out = tmp_path_factory.mktemp("torchrun")
    launch(out, torchrun(2), mini.language(config(mini, "heads"), out / "run"))
    return out / "run"


@pytest.fixture(scope="module")
def sharded(mini: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs on two processes under DeepSpeed: of all heads, whole and in parts, and one of words alone."""
    out = tmp_path_factory.mktemp("deepspeed")
    heads, words = config(mini, "heads"), config(mini, "words", steps=2, options={"weights": {"denoise": 1.0}})
    zero = {n: ["--deepspeed_config", path] for n, path in ZERO.items()}
    launch(
        out, deepspeed(2), mini.language(heads, out / "zero1", *zero[1]),
        mini.language(heads, out / "zero2", *zero[2], "--until", 3), mini.language(heads, out / "zero2", *zero[2]),
        mini.language(words, out / "words", *zero[2]),
    )  # fmt: skip
    return out


@pytest.mark.slow
def test_torchrun(plain: Path) -> None:
    assert [r["step"] for r in reports(plain)] == [1, 2, 3, 4, 5, 6, 6]  # one process reports; the last: validation
    assert all(torch.isfinite(v).all() for v in load_model(plain).state_dict().values())


@pytest.mark.slow
@needs_deepspeed
@pytest.mark.parametrize("name", ["zero1", "zero2"])
def test_deepspeed_steps_as_torchrun_does(sharded: Path, plain: Path, name: str) -> None:
    assert farthest(sharded / name, plain) <= 1e-3
    one, other = (load_model(f).state_dict() for f in (sharded / name, plain))
    assert max(float((one[k] - other[k]).abs().max()) for k in other) < 1e-3
    assert len(list((sharded / name / "deepspeed").glob("global_step6/*optim_states.pt"))) == 2


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
@needs_deepspeed
def test_deepspeed_without_a_launcher(mini: Any, tmp_path: Path) -> None:
    run = mini.language(config(mini, "alone", steps=2), tmp_path / "run", "--deepspeed_config", ZERO[2])
    launch(tmp_path, [], [*run, "--until", "1"], run)
    assert [r["step"] for r in reports(tmp_path / "run")] == [1, 2, 2]
    assert len(list((tmp_path / "run" / "deepspeed").glob("global_step2/*optim_states.pt"))) == 1


def refused(capsys: pytest.CaptureFixture[str], run: list[str], out: Path) -> str:
    """The line that a run is refused with; nothing in its folder may change."""
    before = {f: f.read_bytes() for f in out.rglob("*") if f.is_file()}
    assert main(run) == 2
    assert {f: f.read_bytes() for f in out.rglob("*") if f.is_file()} == before
    line = capsys.readouterr().err.strip()
    assert line.startswith("error: ") and "\n" not in line
    return line


@pytest.mark.slow
@needs_deepspeed
def test_another_engine_does_not_go_on(
    mini: Any, plain: Path, sharded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    heads, zero = config(mini, "heads"), ["--deepspeed_config", ZERO[2]]
    line = refused(capsys, mini.language(heads, plain, *zero), plain)
    assert "checkpoint.pt: of a run without --deepspeed_config; resume with that run's configuration" in line
    line = refused(capsys, mini.language(heads, sharded / "zero2"), sharded)
    assert "of a run with --deepspeed_config; resume with that run's configuration" in line
    line = refused(capsys, mini.language(heads, sharded / "zero2", *zero), sharded)
    assert "of a run on 2 processes, now 1" in line


@needs_deepspeed
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"zero_optimization": {"stage": 3}}, "zero_optimization: stage: 3; accepted: 1 or 2"),
        ({"zero_optimization": 2}, "zero_optimization: stage: None; accepted: 1 or 2"),
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


def test_a_model_with_an_empty_tensor_is_not_saved(plain: Path, tmp_path: Path) -> None:
    model = load_model(plain)
    model.lm_head.weight.data = torch.empty(0)
    with pytest.raises(UserError, match=r"not saved: lm_head\.weight is empty"):
        save_model(model, tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.slow
@needs_deepspeed
@pytest.mark.skipif("PROCESSES_LONG" not in os.environ, reason="minutes; PROCESSES_LONG=1 asks for it")
@pytest.mark.parametrize("processes", [2, 4])
def test_a_hundred_steps_of_the_shipped_mixture(mini: Any, tmp_path: Path, processes: int) -> None:
    shipped = resolve(ROOT / "configs" / "language" / "2_motion.yaml")["train"]["options"]
    mixture = config(mini, f"mixture{processes}", steps=100, batch=8, options=shipped)
    cases = {f"zero{n}": mini.language(mixture, tmp_path / f"zero{n}", "--deepspeed_config", ZERO[n]) for n in ZERO}
    launch(tmp_path / "plain", torchrun(processes), mini.language(mixture, tmp_path / "torchrun"))
    launch(tmp_path / "sharded", deepspeed(processes), *cases.values())
    for name in cases:
        saved = load_model(tmp_path / name).state_dict()
        far = farthest(tmp_path / name, tmp_path / "torchrun")
        print(f"{processes} processes, {name}: losses within {far:.1e} of torchrun's, {len(saved)} tensors, "
              f"{sum(not v.numel() for v in saved.values())} empty")  # fmt: skip
        assert far <= 1e-3 and all(v.numel() for v in saved.values())
