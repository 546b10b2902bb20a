"""Runs that are killed or stopped at any moment, a full disk, a lost process, files of another version."""

import json
import os
import random
import shutil
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from avatargpt.lm.checkpoint import load_model
from tests.train.conftest import CPU, Mini, Refused
from tests.train.interrupting import LONG, Moment, digest, finished, start, warm, writing
from tests.train.launching import config

STEPS, SAVES = 16, 8  # of each run; it saves every other step
MOMENTS = 5 if "PROCESSES_LONG" in os.environ else 2  # of each stage
OFTEN: dict[str, Any] = {"steps": STEPS, "save_every": STEPS // SAVES, "log_every": 1, "val_every": 8}


def tokenizer(mini: Mini, out: Path) -> list[str]:
    return mini.tokenizer_run(out, **OFTEN)


def language(mini: Mini, out: Path) -> list[str]:
    return mini.language(out, ema=0.9, keep=3, best="val_text_to_motion", **OFTEN)


def requests(mini: Mini, out: Path) -> list[str]:
    return mini.requests(out, **OFTEN)


def scorer(mini: Mini, out: Path) -> list[str]:
    settings = [w for k, v in OFTEN.items() if k != "log_every" for w in ("--set", f"train.{k}={v}")]
    places = ["--codes", mini.codes, "--tokenizer", mini.tokenizer, *CPU, "-o", out]
    return [str(a) for a in ("scorer", "--config", f"{mini.configs / 'scorer.yaml'}:debug", *places, *settings)]


@pytest.mark.slow
@pytest.mark.parametrize("make", [tokenizer, language, requests, scorer])
def test_disturbed_at_random_the_weights_are_the_same(
    mini: Mini, tmp_path: Path, make: Callable[[Mini, Path], list[str]]
) -> None:
    undisturbed = tmp_path / "undisturbed"
    warm()
    seconds = finished(make(mini, undisturbed), tmp_path / "undisturbed.txt")
    expected, weights = digest(undisturbed), mini.weights(undisturbed)
    rng = random.Random(make.__name__)
    in_time = 0
    for number in range(MOMENTS):
        out, output = tmp_path / str(number), tmp_path / f"{number}.txt"
        moment = Moment.drawn(rng, number, seconds, SAVES)
        run = start(make(mini, out), output)
        if going := moment.wait(run, out):
            for _ in range(2 if moment.signal == signal.SIGTERM else 1):  # a second SIGTERM changes nothing
                os.kill(run.process.pid, moment.signal)
        status = run.end()
        assert run.errors() == [] and (status in (0, -moment.signal) if going else status == 0), output.read_text()
        in_time += going
        finished(make(mini, out), tmp_path / f"{number}-on.txt")
        assert digest(out) == expected
        mini.assert_same(mini.weights(out), weights)
        steps = [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()]
        assert steps[-1] == STEPS and not writing(out)  # what was half-written is gone
    assert in_time >= MOMENTS // 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "place"), [(200_000, "run"), (800_000, "checkpoint.pt")], ids=["the usable files", "the checkpoint"]
)
def test_a_full_disk_ends_a_run_in_one_line_and_loses_nothing(
    mini: Mini, tmp_path: Path, limit: int, place: str
) -> None:
    out = tmp_path / "run"
    run = config(mini, out)
    finished([*run, "--until", "2"], tmp_path / "begun.txt")
    files = {f: f.read_bytes() for f in out.iterdir() if f.suffix in (".pt", ".safetensors", ".model")}
    sizes = {f.name: len(data) for f, data in files.items()}
    assert 200_000 < sizes["model.safetensors"] < 800_000 < sizes["checkpoint.pt"], sizes
    full = start([*run, "--until", "4"], tmp_path / "full.txt", limit)
    assert full.end() == 2
    (line,) = full.errors()
    assert line.startswith("error: cannot write ") and place in line and "File too large" in line
    assert (out / "checkpoint.pt").read_bytes() == files[out / "checkpoint.pt"] and not writing(out)
    load_model(out)
    finished(run, tmp_path / "on.txt")
    mini.run(*config(mini, tmp_path / "undisturbed"))
    assert digest(out) == digest(tmp_path / "undisturbed")


@pytest.mark.slow
@pytest.mark.parametrize("lost", [0, 1])
def test_when_one_process_is_lost_the_others_end_in_one_line(mini: Mini, tmp_path: Path, lost: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    out = tmp_path / "run"
    argv = config(mini, out, steps=100_000, save_every=2)
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    runs = [start(argv, tmp_path / f"{n}.txt", RANK=str(n), LOCAL_RANK=str(n), **group) for n in range(2)]
    begin = time.monotonic()
    while not (out / "checkpoint.pt").is_file():
        assert all(r.process.exitcode is None for r in runs) and time.monotonic() < begin + LONG
        time.sleep(0.02)
    os.kill(runs[lost].process.pid, signal.SIGKILL)
    killed = time.monotonic()
    assert runs[1 - lost].end() == 2, runs[1 - lost].output.read_text()[-2000:]
    assert time.monotonic() - killed < 60
    (line,) = runs[1 - lost].errors()
    assert line.startswith(f"error: {out}: another process of this run has ended")
    assert runs[lost].end() == -signal.SIGKILL
    step = int(torch.load(out / "checkpoint.pt", weights_only=True)["step"])
    mini.run(*argv, "--until", step + 1)


def test_a_checkpoint_that_lacks_something_is_refused(tmp_path: Path, refused: Refused) -> None:
    argv, path = Mini.requests(tmp_path / "run"), tmp_path / "run" / "checkpoint.pt"
    Mini.run(*argv, "--until", 1)
    saved = torch.load(path, weights_only=True)
    for lacking in ("mean", "model", "optimizer", "step"):
        torch.save({k: v for k, v in saved.items() if k != lacking}, path)
        before = path.read_bytes()
        line = refused(*argv)
        assert line.startswith(f"error: {path}: ") and f"no '{lacking}'" in line
        assert "choose a new folder" in line and path.read_bytes() == before


def test_a_missing_shard_is_named_before_anything_is_written(mini: Mini, tmp_path: Path, refused: Refused) -> None:
    out = tmp_path / "out"
    codes, store = (shutil.copytree(f, tmp_path / f.name) for f in (mini.codes, mini.store))
    for folder, argv in (
        (codes, mini.language(out, "--codes", codes)), (store, mini.tokenizer_run(out, "--store", store)),
    ):  # fmt: skip
        (shard,) = folder.glob("*.parquet")
        shard.unlink()
        assert refused(*argv) == f"error: {shard}: shard is missing" and not out.exists()


@pytest.mark.parametrize("stage", ["scorer", "fgd", "text-motion"])
def test_until_holds_for_every_stage(mini: Mini, tmp_path: Path, stage: str) -> None:
    config = f"{mini.configs / stage.replace('-', '_')}.yaml:debug"
    places = ["--store", mini.store]
    if stage == "scorer":
        places = ["--codes", mini.codes, "--tokenizer", mini.tokenizer]
    mini.run(stage, "--config", config, *places, *CPU, "-o", tmp_path, "--until", 2)
    assert int(torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"]) == 2
