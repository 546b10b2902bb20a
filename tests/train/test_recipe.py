"""The whole chain: its steps, and its smallest form from nothing to a clip."""

from __future__ import annotations

from pathlib import Path

import pytest

from avatargpt import export
from avatargpt.config import resolve
from avatargpt.resources import configs
from avatargpt.train.command import STAGES, main
from avatargpt.train.recipe import DONE, read_recipe, steps
from instruct_data.text import everyday
from tests.train.conftest import Refused


def test_every_step_is_a_stage_with_its_options_and_a_configuration_that_resolves(tmp_path: Path) -> None:
    recipe = read_recipe()
    used = set()
    for debug in (False, True):
        for step in steps(recipe, tmp_path, Path("data"), debug):
            if step.stage == "generate":
                continue
            accepted = {*STAGES[step.stage].options, "config", "set", "threads", "device"}
            present = {w[2:] for w in step.argv if w.startswith("--")}
            needed = {k for k, o in STAGES[step.stage].options.items() if o.needed}
            assert needed <= present <= accepted, step
            if "--config" in step.argv:
                address = step.argv[step.argv.index("--config") + 1]
                assert isinstance(resolve(address), dict)
                used.add(Path(address.partition(".yaml")[0]).resolve())
    no_steps = {"portrait", "recipe", "fgd", "unified", "debug"}
    files = {p.with_suffix("") for p in configs().resolve().rglob("*.yaml") if p.stem not in no_steps}
    assert files - used == set()


def test_the_chain_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "--print", "--data", "DATA", "-o", "runs"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("#")]
    assert len(lines) == len(read_recipe().steps)
    assert lines[-1].startswith("python scripts/train.py pack --language runs/refined4")
    assert "--corpus DATA/body" in lines[0]


def test_mistakes_are_one_line(tmp_path: Path, refused: Refused) -> None:
    tokenizer, places = configs() / "tokenizer" / "1_body.yaml", ("--store", "x", "-o", "y")
    assert "--data FOLDER is needed" in refused("recipe", "-o", tmp_path)
    assert "no step 'stor'" in refused("recipe", "--debug", "-o", tmp_path, "--only", "stor")
    assert "did you mean 'debug'?" in refused("tokenizer", "--config", f"{tokenizer}:debg", *places)
    line = refused("tokenizer", "--config", f"{tokenizer}:debug", *places, "--set", "train.stepz=3")
    assert "did you mean 'steps'?" in line


def test_a_configuration_is_printed_with_its_defaults_and_overrides(capsys: pytest.CaptureFixture[str]) -> None:
    config = str(configs() / "tokenizer" / "2_decoder.yaml") + ":even"
    assert main(["tokenizer", "--config", config, "--set", "train.lr=1e-3", "--store", "-", "--print-config"]) == 0
    out = capsys.readouterr().out
    assert "lr: 0.001" in out and "decoder_only: true" in out and "level_dropout:" in out


def test_from_nothing_to_a_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest form; requests of three actions instead of all, since encoding them takes most of the time."""
    every = everyday.Everyday.classes
    few = ("wave", "bow", "squat")
    monkeypatch.setattr(everyday.Everyday, "classes", lambda self: [c for c in every(self) if c in few])
    argv = ["recipe", "--debug", "-o", str(tmp_path), "--threads", "1", "--device", "cpu"]
    assert main(argv) == 0
    clip = export.load(tmp_path / "clip.glb")
    assert len(clip) == 40 and (tmp_path / "model" / DONE).is_file()
    before = (tmp_path / "model" / "config.json").stat().st_mtime_ns
    assert main([*argv, "--only", "store,model"]) == 0  # done: nothing is made again
    assert (tmp_path / "model" / "config.json").stat().st_mtime_ns == before
    assert main([*argv[:-1], "cpu", "--only", "store", "--threads", "2"]) == 2  # another command
