"""Mistakes are reported in one line that names the place; logs, curves and progress."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from avatargpt.train.command import STAGES, main
from avatargpt.train.reporting import Log, plot_log, read_log
from avatargpt.train.runtime import Runtime, check_finite, cosine
from tests.train.conftest import Mini, Refused
from vqvae.errors import UserError

INTEGER, NUMBER, NATURAL = "a valid integer", "a valid number", "greater than or equal to 1"


Row = tuple[str, Any, list[str]]
TOKENIZER: list[Row] = [
    ("train.stepz", 3, ["train: unknown key 'stepz'", "did you mean 'steps'?"]),
    ("train.steps", "many", ["train: steps: 'many'", INTEGER]),
    ("train.batch", 2.5, ["train: batch: 2.5", INTEGER]),
    ("train.lr", float("inf"), ["train: lr: inf", "a finite number"]),
    ("train.log_every", 0, ["train: log_every: 0", NATURAL]),
    ("train.seed", -1, ["train: seed: -1", "greater than or equal to 0"]),
    ("train.level_dropout", 7, ["train: level_dropout: 7", "less than or equal to 1"]),
    ("train.window", 30, ["train: window: 30", "whole tokens of 4 frames"]),
    ("train.losses", {"features": "a"}, ["train: losses: features: 'a'", NUMBER]),
    ("train.losses", {"feature": 1}, ["train: losses: unknown key 'feature'", "did you mean 'features'?"]),
    ("model.levels", 0, ["model: levels: 0", NATURAL]),
    ("model.encoder_dilations", [0], ["encoder_dilations: item 1: 0", NATURAL]),
    ("model.modality", 5, ["model: modality: 5", "a valid string"]),
    ("model.modality", "face", ["face: 55 channels", "the store has 270"]),
    ("model.levls", 2, ["model: unknown key 'levls'", "did you mean 'levels'?"]),
]
LANGUAGE: list[Row] = [
    ("training", {}, ["unknown key 'training'", "did you mean 'train'?"]),
    ("model.d_modle", 3, ["model: unknown key 'd_modle'", "did you mean 'd_model'?"]),
    ("train.lr", "fast", ["train: lr: 'fast'", NUMBER]),
    ("train.options.crops", 1, ["options: unknown key 'crops'", "did you mean 'crop'?"]),
    ("train.options.weights.dance", 1, ["weights: unknown key 'dance'"]),
    ("train.options.alpha", {"dance": 1}, ["alpha: unknown key 'dance'"]),
    ("train.options.weights.rewrite", float("nan"), ["weights: rewrite: nan"]),
    ("train.options.weights", {"rewrite": 0}, ["weights: no task has a weight"]),
    ("train.options.crop", 2, ["options: crop: 2", "less than or equal to 1"]),
    ("train.label_smoothing", 1, ["label_smoothing: 1", "less than 1"]),
    ("model.d_model", "wide", ["model: d_model: 'wide'", INTEGER]),
    ("model.dropout_rate", 3, ["model: dropout_rate: 3", "less than 1"]),
    ("model.feed_forward_proj", "foo", ["model: feed_forward_proj: 'foo'", "gated-gelu"]),
    ("model.grounding_dim", 7, ["model: grounding_dim: 7", "0 (off) or 384"]),
    ("model.extra_inputs", {"a": "b"}, ["model: extra_inputs: a: 'b'", INTEGER]),
    ("model.modalities", [1], ["model: modalities: [1]", "a valid dictionary"]),
    ("lora", {"rank": 4}, ["lora: unknown key 'rank'"]),
]
MISTAKES = [("tokenizer", *row) for row in TOKENIZER] + [("language", *row) for row in LANGUAGE]


@pytest.mark.parametrize(("stage", "key", "value", "expected"), MISTAKES)
def test_configuration(
    mini: Mini, tmp_path: Path, refused: Refused, stage: str, key: str, value: Any, expected: list[str]
) -> None:
    argv = (mini.tokenizer_run if stage == "tokenizer" else mini.language)(tmp_path, change={key: value})
    line = refused(*argv)
    assert argv[2] in line and all(e in line for e in expected)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"model.vocab_size": 10}, ["vocab_size 10: no sentencepiece model"]),
        ({"model.modalities": {"body": 3}}, ["modality 'body': 3; needs a mapping"]),
        ({"train.options.only_ground": 0.9, "train.options.only_words": 0.9}, ["unconditional: together 2;"]),
        ({"train.faster": {"heads.gone": 2.0}}, ["faster", "heads.gone", "accepted"]),
    ],
)
def test_values_that_do_not_go_together(
    mini: Mini, tmp_path: Path, refused: Refused, change: dict, expected: list[str]
) -> None:
    line = refused(*mini.language(tmp_path, change=change))
    assert all(e in line for e in expected)


def test_loss_that_is_not_finite(mini: Mini, tmp_path: Path, refused: Refused) -> None:
    line = refused(*mini.tokenizer_run(tmp_path, lr=1e30, warmup=0, steps=20, save_every=20))
    assert "became" in line and "not taken nor saved" in line
    assert not list(tmp_path.glob("*.pt")) and not list(tmp_path.glob("*.safetensors"))
    with pytest.raises(UserError, match="the loss became nan"):
        check_finite(torch.tensor(float("nan")), "loss")


def test_missing_files(mini: Mini, tmp_path: Path, refused: Refused) -> None:
    gone, out = tmp_path / "gone", tmp_path / "out"
    for argv in (
        [*mini.tokenizer_run(out), "--config", gone],
        [*mini.tokenizer_run(out), "--store", gone],
        ["codes", "--tokenizer", gone, "--store", mini.store, "-o", out],
        ["prepare", "--corpus", gone, "--texts", mini.texts, "-o", out],
        *(mini.language(out, f"--{name}", gone) for name in ("planning", "start", "deepspeed_config")),
        mini.language(out, "--grounding", gone, change={"model.grounding_dim": 384}),
    ):
        assert str(gone) in refused(*argv)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.options.weights.dance=1", "weights: unknown key 'dance'"),
        ("train.batch=7", "train: batch 7 over 2 processes"),
    ],
)
def test_configuration_before_data(
    mini: Mini, tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch, override: str, expected: str
) -> None:
    two = Runtime(0, 2, torch.device("cpu"))
    monkeypatch.setattr(Runtime, "start", lambda threads, device: two)
    assert expected in refused(*mini.language(tmp_path / "out", "--codes", tmp_path / "gone", "--set", override))


@pytest.mark.parametrize("stage", [name for name, entry in STAGES.items() if entry.recipe])
def test_recipes_are_read_first_and_printed_without_data(
    tmp_path: Path, refused: Refused, capsys: pytest.CaptureFixture[str], stage: str
) -> None:
    config, out = tmp_path / "config.yaml", tmp_path / "out"
    config.write_text("{}")
    needed = [f"--{name}" for name, option in STAGES[stage].options.items() if option.needed]
    gone = [w for name in needed for w in (name, tmp_path / "gone")]
    line = refused(stage, "--config", config, "--set", "sections.one=1", *gone, "-o", out)
    assert f"{config}: unknown key 'sections'" in line and not out.exists()
    assert main([stage, "--config", str(config), "--print-config"]) == 0
    assert isinstance(yaml.safe_load(capsys.readouterr().out), dict)
    assert f"{', '.join([*needed, '-o FOLDER'])} needed" in refused(stage, "--config", config)


def test_codes_of_another_tokenizer(mini: Mini, tmp_path: Path, refused: Refused) -> None:
    other = shutil.copytree(mini.codes, tmp_path / "other")
    manifest = json.loads((mini.codes / "manifest.json").read_text())
    (other / "manifest.json").write_text(json.dumps({**manifest, "fingerprint": "0" * 64}))
    argv = ["language", "--config", mini.config("language"), "--texts", mini.texts, "-o", tmp_path / "out", "--codes"]
    assert "codes of another tokenizer (000000000000" in refused(*argv, other, "--tokenizer", mini.tokenizer)
    assert "--codes takes" in refused(*argv, mini.store, "--tokenizer", mini.tokenizer)
    assert "--tokenizer FOLDER" in refused(*argv, mini.codes)


def test_batch_over_processes() -> None:
    runtime = Runtime(0, 4, torch.device("cpu"))
    assert runtime.share(64, "x") == 16
    with pytest.raises(UserError, match="x: batch 6 over 4 processes"):
        runtime.share(6, "x")


def test_learning_rate() -> None:
    rates = [cosine(step, 100, 10, 1.0, 0.1) for step in (0, 10, 55, 100)]
    assert rates == pytest.approx([0.1, 1.0, 0.55, 0.1])


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
    for kind, visible in ((Terminal, True), (io.StringIO, False)):
        monkeypatch.setattr(sys, "stderr", kind())
        monkeypatch.setattr(sys, "stdout", io.StringIO())
        log = Log(tmp_path / "log.jsonl", True, total=10, first=4)
        log.advance(torch.tensor(1.25))
        log(step=5, ce=1.25)
        log.close()
        assert ("5/10" in sys.stderr.getvalue() and "loss 1.2500" in sys.stderr.getvalue()) == visible  # type: ignore[attr-defined]
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


def test_interrupted_in_a_stage(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object) -> None:
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
    ended = subprocess.run([sys.executable, *program], cwd=root, capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"})  # fmt: skip
    assert (ended.returncode, ended.stderr) == (130, "error: interrupted\n")
