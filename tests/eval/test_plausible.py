"""A folder whose frame is wrong is told; recorded and keyframed clips are not."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from avatargpt import evaluation
from avatargpt.cli.app import app
from avatargpt.evaluation import corpus, output_files, outputs
from avatargpt.evaluation.outputs import Outputs
from avatargpt.evaluation.suites import Suite
from vqvae.errors import UserError
from vqvae.skeleton import SMPL22

Joints = np.ndarray
FAMILIES = ["clap", "kick", "squat", "jump", "wave", "sit_down"]


@pytest.fixture(scope="module")
def clips() -> list[Joints]:
    return [c.load().joints.astype(np.float64) for c in corpus.keyframed_clips(1, only=FAMILIES)]


def moved(up: float) -> Callable[[Joints], Joints]:
    return lambda x: x + np.array([0, up, 0])


WRONG: dict[str, tuple[Callable[[Joints], Joints], str]] = {
    "Z up": (lambda x: np.stack([x[..., 0], -x[..., 2], x[..., 1]], -1), "along +Z in"),
    "upside down": (lambda x: x * np.array([-1, -1, 1]), "along -Y in"),
    "left and right joints exchanged": (lambda x: x[:, SMPL22.mirror], "toes point backwards"),
    "x flipped": (lambda x: x * np.array([-1, 1, 1]), "toes point backwards"),
    "floating": (moved(1.0), "1 m above height 0"),
    "sunk": (moved(-2.0), "2 m below height 0"),
    "centred": (lambda x: x - x[:, :1], "the pelvis is at height 0"),
    "never moving": (lambda x: x - (x[:, :1] - x[:1, :1]) * np.array([1, 0, 1]), "never leaves its place"),
    "small": (lambda x: x * 0.75, "0.75 times as long"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_frame_is_told(name: str, clips: list[Joints]) -> None:
    change, said = WRONG[name]
    found = output_files.frame_warnings([output_files.clip_signs(change(x)) for x in clips])
    assert any(said in line for line in found), found
    assert all("; accepted " in line for line in found)
    if name not in ("centred", "upside down", "Z up"):  # one fault each
        assert len(found) == 1, found


def test_sound_clips_give_none(clips: list[Joints]) -> None:
    good = [output_files.clip_signs(x) for x in clips]
    assert output_files.frame_warnings(good) == []
    odd = [output_files.clip_signs(change(clips[0])) for change in (WRONG["upside down"][0], WRONG["x flipped"][0])]
    assert output_files.frame_warnings(good[:3] + odd) == []  # most stand
    assert output_files.frame_warnings(odd) == []  # too few to tell
    in_place = [output_files.clip_signs(x - x[:1, :1] * np.array([1, 0, 1])) for x in clips]
    assert output_files.frame_warnings(in_place) == []


@pytest.mark.parametrize("times", [0.5, 1.9])
def test_bones_of_another_size_are_refused(times: float, clips: list[Joints], tmp_path: Path) -> None:
    np.save(tmp_path / "001.npy", clips[0] * times)
    with pytest.raises(UserError, match="accepted metres, 0.7 to 1.4 times"):
        output_files.read_body(tmp_path / "001.npy")
    for fine in (0.75, 1.35):
        np.save(tmp_path / "001.npy", clips[0] * fine)
        assert output_files.read_body(tmp_path / "001.npy").joints.shape[1:] == (22, 3)


def test_the_command_warns_and_the_scores_stay(
    clips: list[Joints], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from avatargpt.evaluation.suites import Entry

    asked = tuple(Entry(f"item {n}", "single", ["claps"]) for n in range(len(clips)))
    metrics = {"pass_rate": {"higher_is_better": True, "unit": "share"}}
    suite = Suite("few", 1, "prompts", "a few", metrics, entries=asked)
    for n, item in enumerate(outputs.items(suite)):
        np.save(tmp_path / f"{item.id}.npy", clips[n])
    assert "warnings" not in outputs.score(suite, Outputs(tmp_path))
    for path in tmp_path.glob("*.npy"):
        np.save(path, WRONG["floating"][0](np.load(path)))
    monkeypatch.setattr(evaluation, "load", lambda name: suite)
    done = CliRunner().invoke(app, ["eval", "run", "few", "--outputs", str(tmp_path)])
    assert done.exit_code == 0 and "warning: the lowest joint is 1 m above height 0 in 6 of 6 clips" in done.stderr
    result = json.loads(done.stdout)
    assert len(result["warnings"]) == 1 and result["results"]["pass_rate"]["n"] == len(clips)
