"""The matcher: what it learns, what is no counter-example, saving and loading."""

from pathlib import Path

import numpy as np
import pytest
import torch

from avatargpt.kinematics.measures import SIZE
from avatargpt.lm.scorer import FILE, ScorerNetwork, TextMotionScorer
from avatargpt.train.data.class_draws import ClassDraws
from avatargpt.train.loop import run
from avatargpt.train.runtime import Runtime
from avatargpt.train.scorer import Pairs, ScorerRecipe, ScorerStage, no_counterexamples, pairs_of, rank_one
from vqvae.errors import UserError

CONFIG = {
    "model": {"width": 32, "dim": 16, "dropout": 0.0},
    "train": {"steps": 300, "batch": 32, "families": 4, "each": 4, "lr": 5e-3, "warmup": 5, "log_every": 100},
}
RECIPE = ScorerRecipe.read(CONFIG, "test")
RUNTIME = Runtime(0, 1, torch.device("cpu"), bf16=False)


def made(kinds: int = 8, each: int = 10, seed: int = 0) -> Pairs:
    """Clips of a class share a signature but for noise, and have two sentences of their own each."""
    rng = np.random.default_rng(seed)
    base = np.random.default_rng(1).standard_normal((kinds, SIZE))
    vectors = np.random.default_rng(2).standard_normal((2 * kinds, 384))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    classes = np.repeat(np.arange(kinds), each)
    signatures = base[classes] + 0.1 * rng.standard_normal((len(classes), SIZE))
    captions = [[2 * c, 2 * c + 1] for c in classes.tolist()]
    return Pairs(
        signatures.astype(np.float32), captions, classes, np.zeros(len(classes), bool), vectors.astype(np.float32)
    )  # fmt: skip


def train(recipe: ScorerRecipe, pairs: Pairs, val: Pairs, out: Path, until: int | None = None) -> TextMotionScorer:
    stage = ScorerStage(recipe, pairs, val, RUNTIME)
    run(stage, out, RUNTIME, until)
    return stage.finished()


def test_it_learns_which_sentence_belongs_to_which_motion(tmp_path: Path) -> None:
    motion_scorer = train(RECIPE, made(), made(seed=5), tmp_path)
    held = made(seed=6)
    told = motion_scorer.network.embed_text(torch.from_numpy(held.vectors)).detach().numpy()
    seen = motion_scorer.network.embed_motion(torch.from_numpy(held.signatures)).detach().numpy()
    assert ((seen @ told.T).argmax(1) // 2 == held.classes).mean() > 0.95
    assert rank_one(motion_scorer.network, held, among=8) > 0.9
    torch.manual_seed(0)
    untrained = ScorerNetwork(SIZE, 32, 16)
    assert rank_one(untrained.eval(), held, among=8) < 0.5
    again = TextMotionScorer.load(tmp_path)
    assert again is not None
    ones = torch.ones(1, SIZE)
    assert torch.equal(again.network.embed_motion(ones), motion_scorer.network.embed_motion(ones))
    assert '"rank_one"' in (tmp_path / "log.jsonl").read_text()


def test_what_is_true_is_no_counter_example() -> None:
    pairs = made(4, 6)
    rows, told = ClassDraws(pairs.classes, pairs.captions, 16, 2, 4, 0.5).draw([0, 1])
    again = ClassDraws(pairs.classes, pairs.captions, 16, 2, 4, 0.5).draw([0, 1])
    assert np.array_equal(rows, again[0]) and np.array_equal(told, again[1])
    free = no_counterexamples(pairs, rows, told)
    for i, row in enumerate(rows):
        for j, word in enumerate(told):
            assert bool(free[i, j]) == (i != j and word in pairs.captions[row])
    pairs.recorded[:] = True
    pairs.captions = [[2 * c] for c in pairs.classes]  # other words that may be true of the class
    rows, told = ClassDraws(pairs.classes, pairs.captions, 16, 2, 4, 0.5).draw([0, 1])
    same = pairs.classes[rows][:, None] == pairs.classes[rows][None]
    assert np.array_equal(no_counterexamples(pairs, rows, told) | np.eye(len(rows), dtype=bool), same)


def test_it_resumes_exactly(tmp_path: Path) -> None:
    recipe = ScorerRecipe.read({"model": {"width": 16, "dim": 8}, "train": {"steps": 6, "batch": 16}}, "test")
    train(recipe, made(), made(seed=5), tmp_path / "whole")
    train(recipe, made(), made(seed=5), tmp_path / "parts", until=3)
    train(recipe, made(), made(seed=5), tmp_path / "parts")
    assert (tmp_path / "whole" / FILE).read_bytes() == (tmp_path / "parts" / FILE).read_bytes()


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least two"):
        train(RECIPE, made(1, 1), made(), tmp_path)
    with pytest.raises(UserError, match="widht"):
        ScorerRecipe.read({"model": {"widht": 1}}, "test")
    nothing = pairs_of([], None, None)
    with pytest.raises(UserError, match="0 clips"):
        train(RECIPE, nothing, made(), tmp_path)
    alike = made(1, 4)
    assert np.isnan(rank_one(ScorerNetwork(SIZE, 8, 4), alike))  # no other words to tell apart from
    assert TextMotionScorer.load(tmp_path) is None
    TextMotionScorer(ScorerNetwork(20, 8, 4)).save(tmp_path)
    with pytest.raises(UserError, match="20 numbers"):
        TextMotionScorer.load(tmp_path)
    (tmp_path / FILE).write_bytes(b"x" * 50)
    with pytest.raises(UserError, match="not a readable matcher"):
        TextMotionScorer.load(tmp_path)
