"""Runs that are told to stop, and what their folders tell of how they were made."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from avatargpt.train.command import main
from avatargpt.train.provenance import RECORD, commit, differences, fingerprint
from vqvae.io.tensors import load_checkpoint_file

ROOT = Path(__file__).resolve().parents[2]
DEBUG = f"{ROOT / 'configs' / 'requests.yaml'}:debug"


def command(out: Path, *more: str) -> list[str]:
    settings = ["train.steps=5000", "train.log_every=1", "train.save_every=5000", "train.val_every=5000"]
    flat = [word for setting in settings for word in ("--set", setting)]
    return ["requests", "--config", DEBUG, "--threads", "1", "-o", str(out), *flat, *more]


def test_told_to_stop_a_run_ends_with_a_checkpoint_and_goes_on_exactly(tmp_path: Path) -> None:
    out = tmp_path / "told"
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
        _, told = run.communicate(timeout=300)
    assert run.returncode == 0 and "told to stop; the same command goes on from step" in told
    saved = load_checkpoint_file(out / "checkpoint.pt", torch.device("cpu"))
    step = int(saved["step"])
    whole = tmp_path / "whole"
    assert main(command(whole, "--until", str(step + 2))) == 0
    assert main(command(out, "--until", str(step + 2))) == 0
    a, b = (load_checkpoint_file(x / "checkpoint.pt", torch.device("cpu"))["model"] for x in (whole, out))
    assert all(torch.equal(a[k], b[k]) for k in a)
    starts = json.loads((out / RECORD).read_text())["starts"]
    assert len(starts) == 2 and starts[1]["command"][-1] == str(step + 2)
    assert starts[0]["inputs"]["config"]["path"] == DEBUG and starts[0]["versions"]["torch"]


def test_what_differs_between_two_starts_is_told() -> None:
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


def test_a_damaged_record_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / RECORD).write_text("[1")
    assert main(command(tmp_path)) == 2
    assert RECORD in capsys.readouterr().err


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_who_watches_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    pytest.importorskip(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    out = tmp_path / "run"
    assert main(command(out, "--until", "2", "--set", f"train.watch=[{name}]")) == 0
    if name == "tensorboard":
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(out / "tensorboard"))
        events.Reload()
        assert [e.step for e in events.Scalars("loss")] == [1, 2] and "lr" in events.Tags()["scalars"]
        return
    first = (out / "wandb.id").read_text()
    assert list((out / "wandb").glob(f"offline-run-*-{first}"))
    assert main(command(out, "--until", "3", "--set", f"train.watch=[{name}]")) == 0
    assert (out / "wandb.id").read_text() == first


def test_a_table_of_figures_stands_beside_the_log(tmp_path: Path) -> None:
    assert main(command(tmp_path, "--until", "2")) == 0
    head, *rows = (tmp_path / "log.csv").read_text().splitlines()
    assert head.startswith("step,loss") and [r.split(",")[0] for r in rows] == ["1", "2"]
