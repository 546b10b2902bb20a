"""Runs that are killed or told to stop at any moment end with the weights of undisturbed ones, to the bit."""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train.disturbed.interrupting import Moment, digest, finished, start, warm, writing
from vqvae.io.tensors import load_checkpoint_file

STEPS, SAVES = 24, 12  # of each run; it saves every other step
MOMENTS = 5 if "PROCESSES_LONG" in os.environ else 2  # of each stage


def debug(mini: Any, kind: str, **train: Any) -> Path:
    """The debug configuration of a kind, with many saves."""
    often = {"steps": STEPS, "save_every": STEPS // SAVES, "log_every": 1, "val_every": 8, **train}

    def change(data: dict) -> None:
        if kind == "language":
            mini.no_grounding(data)
        data["train"].update(often)

    return mini.config(kind, change, "interrupted")


def tokenizer(mini: Any, out: Path) -> list[str]:
    return ["tokenizer", "--config", str(debug(mini, "tokenizer")), "--store", str(mini.store), "-o", str(out)]


def language(mini: Any, out: Path) -> list[str]:
    return mini.language(debug(mini, "language", ema=0.9, keep=3, best="val_text_to_motion"), out)


def requests(mini: Any, out: Path) -> list[str]:
    return ["requests", "--config", str(debug(mini, "requests")), "-o", str(out)]


def scorer(mini: Any, out: Path) -> list[str]:
    words = [f"train.{k}={v}" for k, v in {"steps": STEPS, "save_every": STEPS // SAVES, "val_every": 8}.items()]
    flat = [word for setting in words for word in ("--set", setting)]
    config = f"{mini.configs / 'scorer.yaml'}:debug"
    places = ["--codes", str(mini.codes), "--tokenizer", str(mini.tokenizer), "-o", str(out)]
    return ["scorer", "--config", config, *places, *flat]


def command(make: Callable[[Any, Path], list[str]], mini: Any, out: Path) -> list[str]:
    given = make(mini, out)
    return given if "--threads" in given else [*given, "--threads", "1", "--device", "cpu"]


@pytest.mark.slow
@pytest.mark.parametrize("make", [tokenizer, language, requests, scorer])
def test_disturbed_at_random_the_weights_are_the_same(
    mini: Any, tmp_path: Path, make: Callable[[Any, Path], list[str]]
) -> None:
    whole, cpu = tmp_path / "whole", torch.device("cpu")
    warm()
    seconds = finished(command(make, mini, whole), tmp_path / "whole.txt")
    expected = digest(whole)
    kept = load_checkpoint_file(whole / "checkpoint.pt", cpu)["model"]
    rng = random.Random(make.__name__)
    met = 0
    for number in range(MOMENTS):
        out, said = tmp_path / str(number), tmp_path / f"{number}.txt"
        moment = Moment.drawn(rng, number, seconds, SAVES)
        run = start(command(make, mini, out), said)
        if going := moment.wait(run, out):
            os.kill(run.process.pid, moment.signal)
        status, left = run.end(), writing(out)
        assert run.errors() == [] and (status in (0, -moment.signal) if going else status == 0), said.read_text()
        saved = out / "checkpoint.pt"
        step = int(load_checkpoint_file(saved, cpu)["step"]) if saved.is_file() else 0
        met += going
        when = f"in write {moment.save}" if moment.save else f"after {moment.seconds:.2f} of {seconds:.2f} s"
        ended = f"status {status}" if going else "over before"
        print(f"{make.__name__}: {moment.signal.name} {when}: {ended}, step {step} saved, half-written: {left}")
        finished(command(make, mini, out), tmp_path / f"{number}-on.txt")
        assert digest(out) == expected
        mini.assert_same(load_checkpoint_file(saved, cpu)["model"], kept)
        steps = [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()]
        assert steps[-1] == STEPS and not writing(out)  # what was half-written is gone
    assert met >= MOMENTS // 2


def test_told_to_stop_twice_it_stops_once(mini: Any, tmp_path: Path) -> None:
    """SIGTERM twice, as soon as the run has begun."""
    out = tmp_path / "run"
    run = start(command(tokenizer, mini, out), tmp_path / "said.txt")
    while not (out / "run.json").is_file():
        assert run.process.exitcode is None
    for _ in range(2):
        os.kill(run.process.pid, signal.SIGTERM)
    status = run.end()
    assert run.errors() == [] and status in (0, -signal.SIGTERM)
    assert not writing(out)
    finished([*command(tokenizer, mini, out), "--until", "2"], tmp_path / "on.txt")
