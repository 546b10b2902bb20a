"""What befalls a run from outside: a full disk, a process of several that is lost, a checkpoint of another version."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from avatargpt.lm.checkpoint import load_model
from avatargpt.train.command import main
from avatargpt.train.reporting import Log, read_log
from tests.train.disturbed.interrupting import LONG, digest, finished, start, writing
from tests.train.launching import config
from vqvae.io.files import scratch_folder

DEBUG = f"{Path(__file__).resolve().parents[3] / 'configs' / 'requests.yaml'}:debug"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("most", "place"), [(200_000, "run"), (800_000, "checkpoint.pt")], ids=["the usable files", "the checkpoint"]
)
def test_a_full_disk_ends_a_run_in_one_line_and_loses_nothing(mini: Any, tmp_path: Path, most: int, place: str) -> None:
    out = tmp_path / "run"
    run = mini.language(config(mini, "disk"), out)
    finished([*run, "--until", "2"], tmp_path / "begun.txt")
    files = {f: f.read_bytes() for f in out.iterdir() if f.suffix in (".pt", ".safetensors", ".model")}
    sizes = {f.name: len(data) for f, data in files.items()}
    assert 200_000 < sizes["model.safetensors"] < 800_000 < sizes["checkpoint.pt"], sizes
    full = start([*run, "--until", "4"], tmp_path / "full.txt", most)
    assert full.end() == 2
    (line,) = full.errors()
    assert line.startswith("error: cannot write ") and place in line and "File too large" in line
    assert (out / "checkpoint.pt").read_bytes() == files[out / "checkpoint.pt"] and not writing(out)
    load_model(out)
    finished(run, tmp_path / "on.txt")
    mini.run(*mini.language(config(mini, "disk"), tmp_path / "whole"))
    assert digest(out) == digest(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("lost", [0, 1])
def test_when_one_process_is_lost_the_others_end_in_one_line(mini: Any, tmp_path: Path, lost: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    out = tmp_path / "run"
    given = mini.language(config(mini, "lost", steps=100_000, save_every=2), out)
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    runs = [start(given, tmp_path / f"{n}.txt", RANK=str(n), LOCAL_RANK=str(n), **group) for n in range(2)]
    begin = time.monotonic()
    while not (out / "checkpoint.pt").is_file():
        assert all(r.process.exitcode is None for r in runs) and time.monotonic() < begin + LONG
        time.sleep(0.02)
    os.kill(runs[lost].process.pid, signal.SIGKILL)
    killed = time.monotonic()
    assert runs[1 - lost].end() == 2, runs[1 - lost].said.read_text()[-2000:]
    assert time.monotonic() - killed < 60
    (line,) = runs[1 - lost].errors()
    assert line.startswith(f"error: {out}: another process of this run has ended")
    assert runs[lost].end() == -signal.SIGKILL
    step = int(torch.load(out / "checkpoint.pt", weights_only=True)["step"])
    mini.run(*given, "--until", step + 1)


def test_a_checkpoint_that_lacks_something_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["requests", "--config", DEBUG, "--threads", "1", "--device", "cpu", "-o", str(tmp_path / "run")]
    assert main([*argv, "--until", "1"]) == 0
    path = tmp_path / "run" / "checkpoint.pt"
    saved = torch.load(path, weights_only=True)
    for lacking in ("mean", "model", "optimizer", "step"):
        torch.save({k: v for k, v in saved.items() if k != lacking}, path)
        before = path.read_bytes()
        capsys.readouterr()
        assert main(argv) == 2
        line = capsys.readouterr().err.strip()
        assert line.startswith(f"error: {path}: ") and f"no '{lacking}'" in line and "\n" not in line
        assert "choose a new folder" in line and path.read_bytes() == before


def test_a_missing_shard_is_named_before_anything_is_written(
    mini: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    codes, store = (shutil.copytree(f, tmp_path / f.name) for f in (mini.codes, mini.store))
    tokenizer = ["tokenizer", "--config", f"{mini.configs / 'tokenizer' / '1_body.yaml'}:debug", "--store", str(store)]
    for folder, argv in (
        (codes, mini.language(config(mini, "shard"), tmp_path / "out", "--codes", codes)),
        (store, [*tokenizer, "--device", "cpu", "-o", str(tmp_path / "out")]),
    ):
        (shard,) = folder.glob("*.parquet")
        shard.unlink()
        assert main(argv) == 2
        assert capsys.readouterr().err.strip() == f"error: {shard}: shard is missing"
        assert not (tmp_path / "out").exists()


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


@pytest.mark.parametrize("stage", ["scorer", "fgd"])
def test_until_holds_for_every_stage(mini: Any, tmp_path: Path, stage: str) -> None:
    if stage == "scorer":
        places = ["--config", f"{mini.configs / 'scorer.yaml'}:debug", "--codes", mini.codes]
        places += ["--tokenizer", mini.tokenizer]
    else:
        places = ["--config", f"{mini.configs / 'fgd.yaml'}:debug", "--store", mini.store]
    mini.run(stage, *places, "--threads", 1, "--device", "cpu", "-o", tmp_path, "--until", 2)
    assert int(torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"]) == 2
