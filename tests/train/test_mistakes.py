"""What goes wrong is said in one line that names the place."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from avatargpt.train.checkpoints import load_checkpoint
from avatargpt.train.command import STAGES, main
from avatargpt.train.reporting import Log, plot_log, read_log
from avatargpt.train.runtime import Runtime, check_finite, cosine
from vqvae.errors import UserError


def said(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    """The one line of a command that fails."""
    assert main([str(a) for a in argv]) == 2
    line = capsys.readouterr().err.strip()
    assert line.startswith("error: ") and "\n" not in line
    return line


@pytest.mark.parametrize(
    ("section", "change", "expected"),
    [
        ("train", {"stepz": 3}, ["train: unknown key 'stepz'", "did you mean 'steps'?"]),
        ("train", {"steps": "many"}, ["train: steps: 'many'", "a valid integer"]),
        ("train", {"batch": 2.5}, ["train: batch: 2.5", "a valid integer"]),
        ("train", {"lr": float("inf")}, ["train: lr: inf", "a finite number"]),
        ("train", {"log_every": 0}, ["train: log_every: 0", "greater than or equal to 1"]),
        ("train", {"seed": -1}, ["train: seed: -1", "greater than or equal to 0"]),
        ("train", {"level_dropout": 7}, ["train: level_dropout: 7", "less than or equal to 1"]),
        ("train", {"window": 30}, ["train: window: 30", "whole tokens of 4 frames"]),
        ("train", {"losses": {"features": "a"}}, ["train: losses: features: 'a'", "a valid number"]),
        ("model", {"levels": 0}, ["model: levels: 0", "greater than or equal to 1"]),
        ("model", {"encoder_dilations": [0]}, ["encoder_dilations: item 1: 0", "greater than or equal to 1"]),
        ("model", {"modality": 5}, ["model: modality: 5", "a valid string"]),
        ("model", {"modality": "face"}, ["face: 55 channels", "the store has 269"]),
        ("train", {"decoder_only": "yes"}, ["train: decoder_only: 'yes'", "a valid boolean"]),
        ("train", {"decoder_only": True}, ["--start FOLDER"]),
        ("train", {"losses": {"feature": 1}}, ["train: losses: unknown key 'feature'", "did you mean 'features'?"]),
        ("model", {"levls": 2}, ["model: unknown key 'levls'", "did you mean 'levels'?"]),
    ],
)
def test_tokenizer_configuration(
    mini: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], section: str, change: dict, expected: list[str]
) -> None:
    config = mini.config("tokenizer", lambda d: d[section].update(change), "mistake")
    line = said(capsys, "tokenizer", "--config", config, "--store", mini.store, "-o", tmp_path, "--device", "cpu")
    assert str(config) in line and all(e in line for e in expected)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda d: d.update(training={}), ["unknown key 'training'", "did you mean 'train'?"]),
        (lambda d: d["model"].update(d_modle=3), ["model: unknown key 'd_modle'", "did you mean 'd_model'?"]),
        (lambda d: d["train"].update(lr="fast"), ["train: lr: 'fast'", "a valid number"]),
        (lambda d: d["train"]["options"].update(crops=1), ["options: unknown key 'crops'", "did you mean 'crop'?"]),
        (lambda d: d["train"]["options"]["weights"].update(dance=1), ["weights: unknown key 'dance'"]),
        (lambda d: d["train"]["options"].update(alpha={"dance": 1}), ["alpha: unknown key 'dance'"]),
        (lambda d: d["train"]["options"]["weights"].update(denoise=float("nan")), ["weights: denoise: nan"]),
        (lambda d: d["train"]["options"].update(crop=2), ["options: crop: 2", "less than or equal to 1"]),
        (lambda d: d["train"].update(label_smoothing=1), ["label_smoothing: 1", "less than 1"]),
        (lambda d: d["model"].update(d_model="wide"), ["model: d_model: 'wide'", "a valid integer"]),
        (lambda d: d["model"].update(dropout_rate=3), ["model: dropout_rate: 3", "less than 1"]),
        (lambda d: d["model"].update(feed_forward_proj="foo"), ["model: feed_forward_proj: 'foo'", "gated-gelu"]),
        (lambda d: d["model"].update(grounding_dim=7), ["model: grounding_dim: 7", "0 (off) or 384"]),
        (lambda d: d["model"].update(extra_inputs={"a": "b"}), ["model: extra_inputs: a: 'b'", "a valid integer"]),
        (lambda d: d["model"].update(modalities=[1]), ["model: modalities: [1]", "a valid dictionary"]),
        (lambda d: d["train"]["options"].update(weights={"rewrite": 0}), ["weights: no task has a weight"]),
        (lambda d: d.update(lora={"rank": 4}), ["lora: unknown key 'rank'"]),
    ],
)
def test_language_configuration(
    mini: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Any, expected: list[str]
) -> None:
    def changed(data: dict) -> None:
        mini.no_grounding(data)
        change(data)

    config = mini.config("language", changed, "mistake")
    line = said(capsys, *mini.language(config, tmp_path))
    assert str(config) in line and all(e in line for e in expected)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"model": {"vocab_size": 10}}, "vocab_size 10: no sentencepiece model"),
        ({"model": {"modalities": {"body": 3}}}, "modality 'body': 3; needs a mapping"),
        ({"options": {"only_ground": 0.9, "only_words": 0.9}}, "only_words, unconditional: together 1.9"),
    ],
)
def test_values_that_do_not_go_together(
    mini: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict, expected: str
) -> None:
    def changed(data: dict) -> None:
        mini.no_grounding(data)
        data["model"].update(change.get("model", {}))
        data["train"]["options"].update(change.get("options", {}))

    assert expected in said(capsys, *mini.language(mini.config("language", changed, "together"), tmp_path))


def test_loss_that_is_not_finite(mini: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = mini.config("tokenizer", lambda d: d["train"].update(lr=1e30, warmup=0, steps=20, save_every=20), "wild")
    line = said(capsys, "tokenizer", "--config", config, "--store", mini.store, "-o", tmp_path, "--device", "cpu")
    assert "became" in line and "not taken nor saved" in line
    assert not list(tmp_path.glob("*.pt")) and not list(tmp_path.glob("*.safetensors"))
    with pytest.raises(UserError, match="the loss became nan"):
        check_finite(torch.tensor(float("nan")), "loss")


def test_parts_that_the_model_has_not(mini: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def changed(data: dict) -> None:
        mini.no_grounding(data)
        data["train"]["faster"] = {"heads.gone": 2.0}

    line = said(capsys, *mini.language(mini.config("language", changed, "faster"), tmp_path))
    assert "faster" in line and "heads.gone" in line and "accepted" in line


def test_missing_files(mini: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gone = tmp_path / "gone"
    good, tokenizer = (mini.configs / name for name in ("language/debug.yaml", "tokenizer/1_body.yaml"))
    for argv in (
        ["tokenizer", "--config", gone, "--store", mini.store, "-o", tmp_path / "out"],
        ["tokenizer", "--config", f"{tokenizer}:debug", "--store", gone, "-o", tmp_path / "out"],
        ["codes", "--tokenizer", gone, "--store", mini.store, "-o", tmp_path / "out"],
        ["prepare", "--corpus", gone, "--texts", mini.texts, "-o", tmp_path / "out"],
        mini.language(good, tmp_path / "out", "--planning", gone),
        mini.language(good, tmp_path / "out", "--start", gone),
        mini.language(good, tmp_path / "out", "--grounding", gone),
        mini.language(good, tmp_path / "out", "--deepspeed_config", gone),
    ):
        assert str(gone) in said(capsys, *argv)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.options.weights.dance=1", "weights: unknown key 'dance'"),
        ("train.options.alpha.dance=1", "alpha: unknown key 'dance'"),
        ("model.grounding_dim=7", "grounding_dim: 7"),
        ("train.batch=7", "train: batch 7 over 2 processes"),
    ],
)
def test_configuration_before_data(
    mini: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    override: str, expected: str,
) -> None:  # fmt: skip
    two = Runtime(0, 2, torch.device("cpu"))
    monkeypatch.setattr(Runtime, "start", lambda threads, device: two)
    argv = mini.language(mini.configs / "language" / "debug.yaml", tmp_path / "out", "--codes", tmp_path / "gone")
    assert expected in said(capsys, *argv, "--set", override)


@pytest.mark.parametrize("stage", [name for name, entry in STAGES.items() if entry.recipe])
def test_every_recipe_is_read_first(tmp_path: Path, capsys: pytest.CaptureFixture[str], stage: str) -> None:
    needed = [w for name, o in STAGES[stage].options.items() if o.needed for w in (f"--{name}", tmp_path / "gone")]
    config = tmp_path / "config.yaml"
    config.write_text("{}")
    line = said(capsys, stage, "--config", config, "--set", "sections.one=1", *needed, "-o", tmp_path / "out")
    assert f"{config}: unknown key 'sections'" in line and not (tmp_path / "out").exists()


@pytest.mark.parametrize("stage", [name for name, entry in STAGES.items() if entry.recipe])
def test_a_configuration_is_printed_without_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], stage: str
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("{}")
    assert main([stage, "--config", str(config), "--print-config"]) == 0
    assert isinstance(yaml.safe_load(capsys.readouterr().out), dict)
    lacking = [f"--{name}" for name, option in STAGES[stage].options.items() if option.needed]
    assert f"{', '.join([*lacking, '-o FOLDER'])} needed" in said(capsys, stage, "--config", config)


def test_codes_of_another_tokenizer(mini: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = json.loads((mini.codes / "manifest.json").read_text())
    for name, fingerprint in (("other", "0" * 64), ("none", None)):
        folder = tmp_path / name
        folder.mkdir()
        for shard in mini.codes.glob("*.parquet"):
            (folder / shard.name).write_bytes(shard.read_bytes())
        (folder / "manifest.json").write_text(json.dumps({**manifest, "fingerprint": fingerprint}))
    config = mini.configs / "language" / "debug.yaml"
    argv = ["language", "--config", config, "--texts", mini.texts, "-o", tmp_path / "out", "--codes"]
    line = said(capsys, *argv, tmp_path / "other", "--tokenizer", mini.tokenizer)
    assert "codes of another tokenizer (000000000000" in line
    assert "--codes takes" in said(capsys, *argv, mini.store, "--tokenizer", mini.tokenizer)
    assert "--tokenizer FOLDER" in said(capsys, *argv, mini.codes)


def test_damaged_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match=r"checkpoint\.pt: not a whole checkpoint"):
        load_checkpoint(tmp_path / "checkpoint.pt", torch.device("cpu"))
    assert load_checkpoint(tmp_path / "nothing.pt", torch.device("cpu")) is None


def test_batch_over_processes() -> None:
    runtime = Runtime(0, 4, torch.device("cpu"))
    assert runtime.share(64, "x") == 16
    with pytest.raises(UserError, match="x: batch 6 over 4 processes"):
        runtime.share(6, "x")


def test_learning_rate() -> None:
    assert cosine(0, 100, 10, 1.0, 0.1) == pytest.approx(0.1)
    assert cosine(10, 100, 10, 1.0, 0.1) == pytest.approx(1.0)
    assert cosine(55, 100, 10, 1.0, 0.1) == pytest.approx(0.55)
    assert cosine(100, 100, 10, 1.0, 0.1) == pytest.approx(0.1)


def test_a_figure_of_nothing_is_not_logged(tmp_path: Path) -> None:
    Log(tmp_path / "log.jsonl", True)(step=1, loss=0.5, val=float("nan"), far=float("inf"))
    (row,) = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert (row.keys(), row["loss"]) == ({"step", "loss", "minutes"}, 0.5)


class Terminal(io.StringIO):
    """Text that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_progress_bar_on_a_terminal_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for kind, shown in ((Terminal, True), (io.StringIO, False)):
        monkeypatch.setattr(sys, "stderr", kind())
        monkeypatch.setattr(sys, "stdout", io.StringIO())
        log = Log(tmp_path / "log.jsonl", True, total=10, first=4)
        log.advance(torch.tensor(1.25))
        log(step=5, ce=1.25)
        log.close()
        assert ("5/10" in sys.stderr.getvalue() and "loss 1.2500" in sys.stderr.getvalue()) == shown  # type: ignore[attr-defined]
        assert json.loads(sys.stdout.getvalue())["ce"] == 1.25  # type: ignore[attr-defined]


def test_curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"step": 1, "ce": 3.0, "minutes": 0}\n{"step": 2, "ce": 2.5}\n{"step": 2, "ce": 2.0, "val_x": 1}\n')
    assert read_log(log) == {"ce": {1: 3.0, 2: 2.0}, "val_x": {2: 1.0}}
    picture = plot_log(tmp_path)
    assert picture is not None and picture.read_bytes().startswith(b"\x89PNG")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert plot_log(tmp_path) is None
    assert "matplotlib is not installed" in capsys.readouterr().err
    log.write_text('{"step": 1}\nbroken\n')
    with pytest.raises(UserError, match="line 2"):
        read_log(log)


def test_interrupted_it_says_so_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("avatargpt.train.tokenizer.codes_stage", interrupted)
    assert main(["codes", "--tokenizer", "t", "--store", "s", "-o", "o"]) == 130
    assert capsys.readouterr().err == "error: interrupted\n"


@pytest.mark.parametrize(("program", "module"), [
    (["scripts/train.py", "codes"], "avatargpt.train.command"), (["-m", "avatargpt", "info"], "avatargpt.cli.app"),
])  # fmt: skip
def test_interrupted_while_it_starts(tmp_path: Path, program: list[str], module: str) -> None:
    """A Ctrl-C during the imports: `sitecustomize` raises it when `module` is looked for."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, *more):\n"
        f"        if name == {module!r}:\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, *program], cwd=root, capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"})  # fmt: skip
    assert (done.returncode, done.stderr) == (130, "error: interrupted\n")
