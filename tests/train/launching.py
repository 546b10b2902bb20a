"""Starts training on several processes, as users do, and compares what the runs have logged."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from avatargpt.train.throughput import SPEED_FIGURES
from tests.train.conftest import Mini

ROOT = Path(__file__).resolve().parents[2]
ZERO = {n: ROOT / "configs" / "deepspeed" / f"zero{n}.json" for n in (1, 2, 3)}
LORA = {"r": 2, "alpha": 4, "targets": ["q", "v"]}
needs_deepspeed = pytest.mark.skipif(importlib.util.find_spec("deepspeed") is None, reason="DeepSpeed is not installed")
needs_peft = pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="peft is not installed")
# Several runs of `scripts/train.py` one after another, with whatever the launcher puts first. In float32: bfloat16
# makes differences in the last bit, as between two ways of adding up, large within a few steps.
WORKER = """
import json, sys
from pathlib import Path
from avatargpt.train.command import main
from avatargpt.train import runtime

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
    environment = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    env = {**environment, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", "CXX": "false",
           "TORCH_EXTENSIONS_DIR": str(folder / "compiled")}  # fmt: skip
    argv = [sys.executable, *(str(c) for c in launcher), str(folder / "worker.py"), str(folder / "runs.json")]
    ended = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=900)
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert not list((folder / "compiled").rglob("*.so"))


def torchrun(processes: int) -> list[object]:
    return ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", processes]


def deepspeed(processes: int) -> list[object]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return ["-m", "deepspeed.launcher.runner", "--num_accelerators", processes, "--master_port", port]


def config(mini: Mini, out: Path, *more: object, lora: Any = None, options: Any = None, **train: Any) -> list[str]:
    """A language run with one row for each of four processes: most of them always lack a head."""
    change = {f"train.options.{k}": v for k, v in (options or {}).items()} | ({"lora": lora} if lora else {})
    short = {"steps": 6, "batch": 4, "log_every": 1, "val_every": 100, "save_every": 100, **train}
    return mini.language(out, *more, change=change, **short)


def zero(folder: Path, name: str, **options: object) -> list[object]:
    """The option that names a DeepSpeed configuration with these options of ZeRO, as a file."""
    path = folder / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"zero_optimization": options, "steps_per_print": 1000000}))
    return ["--deepspeed_config", path]


EVERY_ZERO: dict[str, dict[str, object]] = {
    "zero1": {"stage": 1},
    "zero2": {"stage": 2},
    "zero3": {"stage": 3},
    "zero3_nothing_kept": {"stage": 3, "stage3_param_persistence_threshold": 0},
    "zero2_offloaded": {"stage": 2, "offload_optimizer": {"device": "cpu"}},
    "zero3_offloaded": {"stage": 3, "stage3_param_persistence_threshold": 0, "offload_optimizer": {"device": "cpu"},
                        "offload_param": {"device": "cpu"}},
}  # fmt: skip


def reports(folder: Path) -> list[dict[str, float]]:
    """What a run has logged."""
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def farthest(folder: Path, other: Path) -> float:
    """Largest difference between figures of two runs, step by step."""
    pairs = list(zip(reports(folder), reports(other), strict=True))
    assert all(a["step"] == b["step"] and (a.keys() ^ b.keys()) - {*SPEED_FIGURES} <= {"grad"} for a, b in pairs)
    return max(abs(a[k] - b[k]) for a, b in pairs for k in (a.keys() & b.keys()) - {"minutes", "grad", *SPEED_FIGURES})
