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

from avatargpt.checkpoint import load_model

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "train.py"


def start(command: list[str], argv: list[str]) -> str:
    """Run scripts/train.py by a launcher; returns stdout."""
    alone = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    env = {**alone, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, *command, str(SCRIPT), *argv], env=env, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def config(mini: Any, name: str) -> Path:
    """Four steps of the debug configuration without validation on the way."""

    def change(data: dict) -> None:
        mini.no_grounding(data)
        data["train"].update(steps=4, log_every=1, val_every=100, save_every=100)

    return mini.config("train", change, name)


@pytest.mark.slow
def test_torchrun(mini: Any, tmp_path: Path) -> None:
    out = tmp_path / "lm"
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    start(launcher, mini.language(config(mini, "torchrun"), out, "--until", 2))
    start(launcher, mini.language(config(mini, "torchrun"), out))
    steps = [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert sorted(set(steps)) == [1, 2, 3, 4] and len([s for s in steps if s < 4]) == 3  # one process reports
    assert all(torch.isfinite(v).all() for v in load_model(out).state_dict().values())


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("deepspeed") is None, reason="DeepSpeed is not installed")
def test_deepspeed_without_launcher_goes_on_exactly(mini: Any, tmp_path: Path) -> None:
    zero = ["--deepspeed_config", str(ROOT / "configs" / "deepspeed" / "zero2.json")]
    for out, more in (("whole", []), ("parts", ["--until", "2"]), ("parts", [])):
        start([], mini.language(config(mini, "deepspeed"), tmp_path / out, *zero, *more))
    models = [dict(load_model(tmp_path / f).state_dict()) for f in ("whole", "parts")]
    mini.assert_same(*models)
    assert len(mini.rows(tmp_path / "parts", "ce_body")) >= 1
