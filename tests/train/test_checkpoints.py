"""Runs that are stopped, the checkpoints that stay, steps in parts, and the record in a run's folder."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from avatargpt.config import Schedule
from avatargpt.train.checkpoints import retain_best, retain_last
from avatargpt.train.engines import TrainEngine
from avatargpt.train.reporting import RECORD, Log, commit, differences, fingerprint, read_log
from avatargpt.train.runtime import Runtime
from tests.train.conftest import CONFIGS, DEBUG, Mini, Refused
from vqvae.errors import UserError
from vqvae.io.files import scratch_folder

ROOT = CONFIGS.parent


def command(out: Path, *more: object) -> list[str]:
    """A run that would take long."""
    return Mini.requests(out, *more, steps=5000, log_every=1, save_every=5000, val_every=5000)


def test_a_signal_ends_a_run_with_a_checkpoint_and_it_goes_on_exactly(tmp_path: Path) -> None:
    out = tmp_path / "stopped"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, str(ROOT / "scripts" / "train.py"), *command(out)], env=env, stderr=subprocess.PIPE, text=True
    ) as run:
        log = out / "log.jsonl"
        until = time.monotonic() + 300
        while not (log.is_file() and log.read_text().count("\n") >= 2):
            assert run.poll() is None and time.monotonic() < until
            time.sleep(0.05)
        run.send_signal(signal.SIGTERM)
        _, errors = run.communicate(timeout=300)
    assert run.returncode == 0 and "told to stop; the same command goes on from step" in errors
    step = int(torch.load(out / "checkpoint.pt", weights_only=True)["step"])
    for folder in (tmp_path / "undisturbed", out):
        Mini.run(*command(folder, "--until", step + 2))
    Mini.assert_same(Mini.weights(tmp_path / "undisturbed"), Mini.weights(out))
    starts = json.loads((out / RECORD).read_text())["starts"]
    assert len(starts) == 2 and starts[1]["command"][-1] == str(step + 2)
    assert starts[0]["inputs"]["config"]["path"] == str(CONFIGS / DEBUG["requests"]) and starts[0]["versions"]["torch"]


def test_differences_between_two_starts_are_reported() -> None:
    one = {"commit": "a", "processes": 1, "launcher": "python", "versions": {"torch": "2"},
           "inputs": {"store": {"path": "x", "sha256": "1" * 64}}}  # fmt: skip
    other = {**one, "processes": 2, "inputs": {"store": {"path": "x", "sha256": "2" * 64}}}
    assert differences(one, one) == []
    assert differences(one, other) == ["processes: 1, now 2", f"input store: x ({'1' * 12}), now x ({'2' * 12})"]


def test_commit_is_that_of_a_checkout_of_ours(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        return subprocess.run(["git", *who, *words], cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    inside = tmp_path / "installed"
    inside.mkdir()
    assert commit(tmp_path) == ""
    git("init", "-q")
    (tmp_path / "a.py").write_text("1")
    git("add", "a.py")
    git("commit", "-q", "-m", "one")
    head = git("rev-parse", "HEAD").strip()
    assert commit(tmp_path) == head and commit(inside) == ""
    results = tmp_path / "eval" / "results" / "a.json"
    results.parent.mkdir(parents=True)
    results.write_text("1")
    git("add", "eval")
    git("commit", "-q", "-m", "two")
    head = git("rev-parse", "HEAD").strip()
    results.write_text("2")  # what evaluation itself writes
    assert commit(tmp_path) == head
    (tmp_path / "a.py").write_text("2")
    assert commit(tmp_path) == f"{head}-dirty"


def test_fingerprints_of_folders(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one")
    before = fingerprint(tmp_path)
    (tmp_path / "a.txt").write_text("three")
    assert fingerprint(tmp_path) != before
    (tmp_path / "manifest.json").write_text("{}")
    assert fingerprint(tmp_path) == fingerprint(tmp_path / "manifest.json")


def test_a_damaged_record_is_named(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / RECORD).write_text("[1")
    assert RECORD in refused(*command(tmp_path))


def test_trackers_and_the_table_get_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    identities = set()
    for until in (2, 3):
        Mini.run(*command(tmp_path, "--until", until, "--set", "train.watch=[tensorboard, wandb]"))
        identities.add((tmp_path / "wandb.id").read_text())
    (identity,) = identities
    assert list((tmp_path / "wandb").glob(f"offline-run-*-{identity}"))
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [e.step for e in events.Scalars("loss")] == [1, 2, 3] and "lr" in events.Tags()["scalars"]
    head, *rows = (tmp_path / "log.csv").read_text().splitlines()
    assert head.startswith("step,loss") and [r.split(",")[0] for r in rows] == ["1", "2", "3"]


def stage(**schedule: Any) -> Any:
    torch.manual_seed(0)
    network = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    return SimpleNamespace(network=network, module=network, optimizer=optimizer, schedule=Schedule(**schedule),
                           recipe=Schedule(), together=False)  # fmt: skip


def test_a_step_in_parts_is_the_step_of_their_mean() -> None:
    rows = torch.arange(12.0).reshape(4, 3)
    weights = []
    for parts in (1, 2, 4):
        tiny = stage()
        engine = TrainEngine(tiny, Runtime(0, 1, torch.device("cpu"), False))
        losses = (tiny.network(rows[k::parts]).square().mean() for k in range(parts))
        engine.optimizer_step(losses, parts, 0.1)
        weights.append(tiny.network.weight.detach().clone())
    assert all(torch.allclose(weights[0], w, atol=1e-6) for w in weights[1:])


def test_stages_that_cannot_be_taken_in_parts(tmp_path: Path, refused: Refused) -> None:
    assert "train: accumulate: 2; accepted: 1" in refused(*Mini.requests(tmp_path / "run", accumulate=2))


def test_the_last_checkpoints_stay(tmp_path: Path) -> None:
    for step in (10, 20, 30, 100):
        (tmp_path / "checkpoint.pt").unlink(missing_ok=True)
        (tmp_path / "checkpoint.pt").write_text(str(step))
        retain_last(tmp_path, step, 2)
    files = {p.name: p.read_text() for p in (tmp_path / "checkpoints").iterdir()}
    assert files == {"30.pt": "30", "100.pt": "100"}


def test_the_best_files_stay(tmp_path: Path) -> None:
    tiny = stage(best="val_x")
    for value, name in ((2.0, "first"), (3.0, "worse"), (1.0, "better"), (1.0, "same")):
        tiny.save = lambda out, text=name: (out.mkdir(parents=True, exist_ok=True), (out / "model").write_text(text))
        retain_best(tiny, tmp_path, {"val_x": value})
    assert (tmp_path / "best" / "model").read_text() == "better"
    tiny.schedule = Schedule(best="val_y")
    with pytest.raises(UserError, match="best: val_y; accepted: val_x"):
        retain_best(tiny, tmp_path, {"val_x": 1.0})


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "lo')
    Log(log, True)(step=2, loss=1.0)
    assert "its last line was cut off" in capsys.readouterr().err
    assert read_log(log) == {"loss": {1: 2.0, 2: 1.0}}


def test_folders_of_dead_processes_go(tmp_path: Path) -> None:
    with scratch_folder(tmp_path, "model") as mine:
        dead = mine.with_name(f"{mine.name[:-8]}x{mine.name[-7:]}")
        dead.mkdir()
        (dead / "half").write_text("written")
        with scratch_folder(tmp_path, "model") as other:
            assert mine.is_dir() and other.is_dir() and not dead.exists()
    assert not list(tmp_path.iterdir())
