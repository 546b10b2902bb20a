"""The stages `movements` and `evaluator` on a tiny corpus: from HumanML3D to figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from avatargpt.metrics.humanml3d import load_evaluator, read_vocabulary
from avatargpt.metrics.humanml3d_networks import MovementEncoder
from avatargpt.train.command import main
from avatargpt.train.humanml3d_evaluator import (
    EvaluatorRecipe,
    EvaluatorStage,
    MatchingShape,
    MatchingTraining,
    Movements,
    contrast,
    load_movements,
    statistics,
    window_of,
)
from avatargpt.train.loop import fit
from avatargpt.train.runtime import Runtime
from avatargpt.train.stage import StepContext
from instruct_data.sources.humanml3d import read_pairs
from tests.metrics import humanml3d_made as made
from vqvae.errors import UserError

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def run(stage: str, out: Path, *more: object) -> int:
    common = ["--config", f"{CONFIGS / stage}.yaml:debug", "--threads", "1", "--device", "cpu", "-o", str(out)]
    return main([stage, *map(str, more), *common])


def test_from_the_corpus_to_an_evaluator(tmp_path: Path) -> None:
    corpus, words = made.write_corpus(tmp_path / "corpus"), made.write_words(tmp_path / "words", 300)
    assert run("movements", tmp_path / "movements", "--data", corpus) == 0
    found = load_movements(tmp_path / "movements")
    assert found.encoder.width == 16 and found.encoder.out == 8
    np.testing.assert_allclose(found.std[[0, 3, 4, 258, 259]], [0.2, 0.2, 1, 1, 0.2])
    given = ["--data", corpus, "--movements", tmp_path / "movements", "--words", words]
    assert run("evaluator", tmp_path / "judge", *given) == 0
    judge = load_evaluator(tmp_path / "judge")
    state = judge.network.movement_encoder.state_dict()
    assert all(torch.equal(v, found.encoder.state_dict()[k]) for k, v in state.items())  # stays as it was
    assert judge.embed_motions([made.motion(0, 40)]).shape == (1, 8) and judge.vocabulary.vectors.shape[1] == 300
    log = (tmp_path / "judge/log.jsonl").read_text()
    assert "val_total" in log and "own" in log and (tmp_path / "judge/best/evaluator.safetensors").is_file()
    # A run that was stopped goes on to the same weights.
    assert run("evaluator", tmp_path / "halves", *given, "--until", 2) == 0
    assert run("evaluator", tmp_path / "halves", *given) == 0
    assert load_evaluator(tmp_path / "halves").fingerprint == judge.fingerprint


def test_matching_learns_what_goes_together(tmp_path: Path) -> None:
    """Walks drift one way and jumps the other: their texts end up nearer to their own motions than to the others'."""
    corpus, words = made.write_corpus(tmp_path / "corpus", 12), made.write_words(tmp_path / "words", 12)
    for path in sorted((corpus / "new_joint_vecs").glob("*.npy")):
        sign = 1 if int(path.stem) % 2 else -1
        np.save(path, (np.load(path) * 0.1 + sign).astype(np.float32))
    zeros, ones, alone = np.zeros(263, np.float32), np.ones(263, np.float32), Runtime(0, 1, torch.device("cpu"))
    movements = Movements(MovementEncoder(16, 8), zeros, ones)
    shape, schedule = MatchingShape(text=16, motion=16, joint=8), MatchingTraining(batch=12, lr=0.01)
    recipe = EvaluatorRecipe(model=shape, train=schedule)
    stage = EvaluatorStage(recipe, read_pairs(corpus, "train"), [], movements, read_vocabulary(words), alone)
    fit((stage.losses(stage.module, StepContext(k, 0, 1, 0))[0] for k in range(60)), stage.optimizer)
    judge, pairs = stage.finished(), read_pairs(corpus, "test")
    texts = judge.embed_texts([p.captions[0].tokens for p in pairs])
    motions = judge.embed_motions([p.features(0, len(p) // 4 * 4) for p in pairs])
    apart = np.linalg.norm(texts[:, None] - motions[None], axis=-1)
    same = np.arange(12)[:, None] % 2 == np.arange(12)[None] % 2
    assert apart[same].mean() + 2 < apart[~same].mean()


def test_the_loss_by_hand() -> None:
    texts, motions = torch.tensor([[0.0, 0.0], [0.0, 0.0]]), torch.tensor([[3.0, 4.0], [12.0, 0.0]])
    parts = contrast(texts, motions, 10.0, 1)
    assert float(parts["own"]) == pytest.approx((25 + 144) / 2, rel=1e-5)
    assert float(parts["other"]) == pytest.approx((0 + 25) / 2, rel=1e-4)  # 12 away costs nothing, 5 away (10 - 5)^2
    assert float(contrast(texts, motions, 10.0, 0)["other"]) == pytest.approx((25 + 0) / 2, rel=1e-4)


def test_every_window_is_drawn(tmp_path: Path) -> None:
    pairs = read_pairs(made.write_corpus(tmp_path / "corpus", 3), "train")  # 40, 47 and 54 frames
    rng = np.random.default_rng(0)
    heads = {float(window_of(pairs, 40, rng)[0, 0]) for _ in range(600)}
    assert heads == {float(p.features()[i, 0]) for p in pairs for i in range(len(p) - 39)}
    with pytest.raises(ValueError, match="no clip of 100"):
        window_of(pairs, 100, rng)


def test_mistakes_end_before_anything_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus, out = made.write_corpus(tmp_path / "corpus", 3), tmp_path / "out"
    for setting, said in (("window=42", "a multiple of 4"), ("window=80", "longest clip"), ("bias=0", "above 0")):
        assert run("movements", out, "--data", corpus, "--set", f"train.{setting}") == 2
        assert said in capsys.readouterr().err
    words = made.write_words(tmp_path / "words")
    assert run("evaluator", out, "--data", corpus, "--movements", tmp_path, "--words", words) == 2
    assert "movements.safetensors" in capsys.readouterr().err and not out.exists()
    np.save(corpus / "Std.npy", np.zeros(263))
    with pytest.raises(UserError, match="Std above zero"):
        statistics(corpus, 5.0)
