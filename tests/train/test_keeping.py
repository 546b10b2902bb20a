"""Steps in parts, and checkpoints that stay."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from avatargpt.config import Schedule
from avatargpt.train.checkpoints import retain_best, retain_last
from avatargpt.train.command import main
from avatargpt.train.engines import Plain
from avatargpt.train.runtime import Runtime
from vqvae.errors import UserError

DEBUG = f"{Path(__file__).resolve().parents[2] / 'configs' / 'requests.yaml'}:debug"


def stage(**schedule: Any) -> Any:
    torch.manual_seed(0)
    network = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    return SimpleNamespace(network=network, module=network, optimizer=optimizer, schedule=Schedule(**schedule),
                           together=False)  # fmt: skip


def test_a_step_in_parts_is_the_step_of_their_mean() -> None:
    rows = torch.arange(12.0).reshape(4, 3)
    found = []
    for parts in (1, 2, 4):
        one = stage()
        engine = Plain(one, Runtime(0, 1, torch.device("cpu"), False))
        losses = (one.network(rows[k::parts]).square().mean() for k in range(parts))
        engine.optimizer_step(losses, parts, 0.1)
        found.append(one.network.weight.detach().clone())
    assert all(torch.allclose(found[0], other, atol=1e-6) for other in found[1:])


def test_a_stage_that_cannot_be_taken_in_parts_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["requests", "--config", DEBUG, "-o", str(tmp_path / "run"), "--set", "train.accumulate=2"]) == 2
    assert "train: accumulate: 2; accepted: 1" in capsys.readouterr().err


def test_the_last_checkpoints_stay(tmp_path: Path) -> None:
    for step in (10, 20, 30, 100):
        (tmp_path / "checkpoint.pt").unlink(missing_ok=True)
        (tmp_path / "checkpoint.pt").write_text(str(step))
        retain_last(tmp_path, step, 2)
    kept = {p.name: p.read_text() for p in (tmp_path / "checkpoints").iterdir()}
    assert kept == {"30.pt": "30", "100.pt": "100"}


def test_the_best_files_stay(tmp_path: Path) -> None:
    one = stage(best="val_x")
    for value, name in ((2.0, "first"), (3.0, "worse"), (1.0, "better"), (1.0, "same")):
        one.save = lambda out, said=name: (out.mkdir(parents=True, exist_ok=True), (out / "model").write_text(said))
        retain_best(one, tmp_path, {"val_x": value})
    assert (tmp_path / "best" / "model").read_text() == "better"
    one.schedule = Schedule(best="-val_x")
    with pytest.raises(UserError, match="best: val_y; accepted: val_x"):
        one.schedule = Schedule(best="val_y")
        retain_best(one, tmp_path, {"val_x": 1.0})
