"""The upper-face stage: takes with gaps and blinks, a run that resumes to the byte, a linear answer that is found."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from avatargpt.export.face_files import write_livelink
from avatargpt.face.audio_model.upper import COLUMNS, load_upper
from avatargpt.train.loop import run
from avatargpt.train.runtime import Runtime
from avatargpt.train.upper_face import UpperRecipe, UpperStage, read_take, read_takes
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion

pytestmark = pytest.mark.usefixtures("no_pictures")
CPU = Runtime(0, 1, torch.device("cpu"), bf16=False)
MOUTH = np.zeros(5, np.float32), np.full(5, 0.5, np.float32)
TRAIN = {"steps": 4, "batch": 4, "window": 20, "save_every": 2, "val_every": 4, "log_every": 2, "held_out": "2"}


def face(seed: int, frames: int = 600) -> np.ndarray:
    """(T, 52): a jaw that opens in the first half, brows that follow how widely it lately did, and a blink."""
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0, 0.01, (frames, arkit.COUNT))
    k = np.arange(frames)
    wide = (0.2 + 0.6 * np.sin(k / 30) ** 2) * (k < frames // 2)
    weights[:, arkit.INDEX["jawOpen"]] += wide * np.sin(k / 3) ** 2
    for name in ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"):
        weights[:, arkit.INDEX[name]] += 0.5 * wide
    weights[400:405, [arkit.INDEX["eyeBlinkLeft"], arkit.INDEX["eyeBlinkRight"]]] = 1
    weights[398:408, arkit.INDEX["browInnerUp"]] = 0.4  # as if brows blinked, too
    return weights


def stage(**changes: object) -> UpperStage:
    recipe = UpperRecipe.read({"model": {"hidden": 8, "mixtures": 2, "latent": 3}, "train": TRAIN | changes}, "x")
    return UpperStage(recipe, [read_take(str(k), face(k), 30.0) for k in range(3)], MOUTH)


def test_takes_without_blinks_and_missing_rows(tmp_path: Path) -> None:
    weights = face(1)
    weights[500:550] = np.linspace(weights[500], weights[549], 50)  # as the reader fills missing rows
    take = read_take("a", weights, 30.0)
    assert take.pose[398:408, COLUMNS.index(arkit.INDEX["browInnerUp"])].max() < 0.05
    assert take.speaks[30:270].all() and not take.speaks[350:].any()
    assert not take.present[505:545].any() and take.present[:490].all()
    left, right = (COLUMNS.index(arkit.INDEX[f"browDown{side}"]) for side in ("Left", "Right"))
    assert np.array_equal(take.mirrored().pose[:, left], take.pose[:, right])
    recorded = FaceMotion(face(2).astype(np.float32), np.zeros((600, 3), np.float32), 30.0)
    plain = write_livelink(recorded, tmp_path / "t.csv")
    (tmp_path / "u.csv.gz").write_bytes(gzip.compress(plain.read_bytes()))
    assert [t.name for t in read_takes(str(tmp_path))] == ["t", "u"]
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="no takes in it"):
        read_takes(str(tmp_path / "none"))


def test_what_follows_the_mouth_is_found() -> None:
    """Brows that follow the mouth: most of their variance is the answer."""
    data = stage().data
    brow = data.basis[:, COLUMNS.index(arkit.INDEX["browInnerUp"])]
    rests = np.concatenate([(s.latent[2:] @ brow)[s.speaks] for s in data.steps])
    take = read_take("0", face(0), 30.0)
    assert rests.std() < 0.7 * take.pose[take.speaks, COLUMNS.index(arkit.INDEX["browInnerUp"])].std()


def test_a_run_resumes_to_the_byte(tmp_path: Path) -> None:
    for name, stops in (("whole", [None]), ("parts", [2, None])):
        for until in stops:
            run(stage(), tmp_path / name, CPU, until)
    files = [(tmp_path / name / "upper.safetensors").read_bytes() for name in ("whole", "parts")]
    assert files[0] == files[1]
    network = load_upper(tmp_path / "whole")
    assert np.array_equal(network.high.numpy(), MOUTH[1]) and network.basis.any() and network.answer.any()
    assert "val_loss" in (tmp_path / "whole" / "log.jsonl").read_text()
    with pytest.raises(UserError, match="held_out: 'x'"):
        stage(held_out="x")
