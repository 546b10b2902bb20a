"""Several processes: torchrun and DeepSpeed, as users start them."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from avatargpt.model.checkpoint import load_model

ROOT = Path(__file__).resolve().parents[2]


def start(*command: object) -> None:
    """Run Python with these arguments, outside any process group and without a GPU."""
    alone = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    env = {**alone, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    argv = [sys.executable, *(str(c) for c in command)]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]


def config(mini: Any, name: str) -> Path:
    """Four steps of the debug configuration without validation on the way."""

    def change(data: dict) -> None:
        mini.no_grounding(data)
        data["train"].update(steps=4, log_every=1, val_every=100, save_every=100)

    return mini.config("language", change, name)


@pytest.mark.slow
def test_torchrun(mini: Any, tmp_path: Path) -> None:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", 2, ROOT / "scripts" / "train.py"]
    start(*launcher, *mini.language(config(mini, "torchrun"), tmp_path))
    reports = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [r["step"] for r in reports] == [1, 2, 3, 4, 4]  # one process reports; the last line is the validation
    assert all(torch.isfinite(v).all() for v in load_model(tmp_path).state_dict().values())


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("deepspeed") is None, reason="DeepSpeed is not installed")
def test_deepspeed_without_launcher_goes_on_exactly(mini: Any, tmp_path: Path) -> None:
    zero = ["--deepspeed_config", ROOT / "configs" / "deepspeed" / "zero2.json"]
    runs = [
        mini.language(config(mini, "deepspeed"), tmp_path / out, *zero, *more)
        for out, more in (("whole", []), ("parts", ["--until", 2]), ("parts", []))
    ]
    start("-c", f"from avatargpt.train.command import main\nfor run in {runs!r}:\n    assert main(run) == 0")
    mini.assert_same(*(dict(load_model(tmp_path / f).state_dict()) for f in ("whole", "parts")))
    assert (tmp_path / "parts" / "deepspeed" / "latest").is_file() and not (tmp_path / "parts/checkpoint.pt").exists()


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("deepspeed") is None, reason="DeepSpeed is not installed")
def test_deepspeed_with_two_processes(mini: Any, tmp_path: Path) -> None:
    zero = ["--deepspeed_config", ROOT / "configs" / "deepspeed" / "zero2.json"]
    launcher = ["-m", "deepspeed.launcher.runner", "--num_accelerators", 2]
    start(*launcher, ROOT / "scripts" / "train.py", *mini.language(config(mini, "two"), tmp_path, *zero))
    reports = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [r["step"] for r in reports] == [1, 2, 3, 4, 4]  # one process reports; the last line is the validation
    assert all(torch.isfinite(v).all() for v in load_model(tmp_path).state_dict().values())
    assert len(list((tmp_path / "deepspeed").glob("global_step4/*optim_states.pt"))) == 2
