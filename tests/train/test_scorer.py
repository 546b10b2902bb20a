"""The scorer of text and motion: learning, counter-examples, judged answers, saving and loading."""

from pathlib import Path

import numpy as np
import pytest
import torch

from avatargpt.kinematics.measures import SIZE
from avatargpt.lm.scorer import FILE, ScorerNetwork, TextMotionScorer
from avatargpt.train.data.judged_answers import Judged, picked
from avatargpt.train.loop import run
from avatargpt.train.runtime import Runtime
from avatargpt.train.scorer import ClassDraws, Pairs, ScorerRecipe, ScorerStage, no_counterexamples, pairs_of, rank_one
from vqvae.errors import UserError

CONFIG = {
    "model": {"width": 32, "dim": 16, "dropout": 0.0},
    "train": {"steps": 300, "batch": 32, "families": 4, "each": 4, "lr": 5e-3, "warmup": 5, "log_every": 100},
}
RECIPE = ScorerRecipe.read(CONFIG, "test")
RUNTIME = Runtime(0, 1, torch.device("cpu"), bf16=False)


def pairs(kinds: int = 8, each: int = 10, seed: int = 0) -> Pairs:
    """Clips of a class share a signature but for noise, and have two sentences of their own each."""
    rng = np.random.default_rng(seed)
    base = np.random.default_rng(1).standard_normal((kinds, SIZE))
    vectors = np.random.default_rng(2).standard_normal((2 * kinds, 384))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    classes = np.repeat(np.arange(kinds), each)
    signatures = base[classes] + 0.1 * rng.standard_normal((len(classes), SIZE))
    captions = [[2 * c, 2 * c + 1] for c in classes.tolist()]
    recorded = np.zeros(len(classes), bool)
    return Pairs(signatures.astype(np.float32), captions, classes, recorded, vectors.astype(np.float32))


def train(recipe: ScorerRecipe, train: Pairs, val: Pairs, out: Path, until: int | None = None) -> TextMotionScorer:
    stage = ScorerStage(recipe, train, val, RUNTIME)
    run(stage, out, RUNTIME, until)
    return stage.finished()


def test_it_learns_which_sentence_belongs_to_which_motion(tmp_path: Path) -> None:
    motion_scorer = train(RECIPE, pairs(), pairs(seed=5), tmp_path)
    val, network = pairs(seed=6), motion_scorer.network
    texts = network.embed_text(torch.from_numpy(val.vectors)).detach().numpy()
    motions = network.embed_motion(torch.from_numpy(val.signatures)).detach().numpy()
    assert ((motions @ texts.T).argmax(1) // 2 == val.classes).mean() > 0.95
    assert rank_one(network, val, among=8) > 0.9
    torch.manual_seed(0)
    untrained = ScorerNetwork(SIZE, 32, 16)
    assert rank_one(untrained.eval(), val, among=8) < 0.5
    again = TextMotionScorer.load(tmp_path)
    assert again is not None
    ones = torch.ones(1, SIZE)
    assert torch.equal(again.network.embed_motion(ones), network.embed_motion(ones))
    assert '"rank_one"' in (tmp_path / "log.jsonl").read_text()


def test_what_is_true_is_no_counter_example() -> None:
    data = pairs(4, 6)

    def draw() -> tuple[np.ndarray, np.ndarray]:
        return ClassDraws(data.classes, data.captions, 16, 2, 4, 0.5).draw([0, 1])

    rows, captions = draw()
    assert all(np.array_equal(a, b) for a, b in zip((rows, captions), draw(), strict=True))
    free = no_counterexamples(data, rows, captions)
    for i, row in enumerate(rows):
        for j, caption in enumerate(captions):
            assert bool(free[i, j]) == (i != j and caption in data.captions[row])
    data.recorded[:] = True
    data.captions = [[2 * c] for c in data.classes]  # other words that may be true of the class
    rows, captions = draw()
    same = data.classes[rows][:, None] == data.classes[rows][None]
    assert np.array_equal(no_counterexamples(data, rows, captions) | np.eye(len(rows), dtype=bool), same)


def judged(seed: int, captions: int = 24, each: int = 8) -> Judged:
    """Right answers to a caption lie in a direction that depends on its words."""
    rng, direction = np.random.default_rng(seed), np.random.default_rng(3).standard_normal((4, SIZE))
    words = np.random.default_rng(4).standard_normal((4, 384))
    kind = np.arange(captions) % 4
    caption = np.repeat(np.arange(captions), each)
    passed = rng.random(len(caption)) < 0.4
    signatures = rng.standard_normal((len(caption), SIZE)) + np.where(passed, 1, -1)[:, None] * direction[kind[caption]]
    vectors = words[kind] / np.linalg.norm(words[kind], axis=1, keepdims=True)
    return Judged(signatures.astype(np.float32), caption, passed, vectors.astype(np.float32))


def test_it_learns_which_answers_pass(tmp_path: Path) -> None:
    torch.manual_seed(0)
    untrained = picked(ScorerNetwork(SIZE, 32, 16).eval(), judged(9))
    recipe = RECIPE.changed(train={**CONFIG["train"], "judged": 32, "held": 6})
    stage = ScorerStage(recipe, pairs(), pairs(seed=5), RUNTIME, judged=judged(1))
    run(stage, tmp_path, RUNTIME)
    motion_scorer = stage.finished()
    trained = picked(motion_scorer.network, judged(9))
    assert trained["picked"] > max(0.9, untrained["picked"] + 0.1) and trained["picked"] <= trained["oracle"]
    assert trained["single"] == untrained["single"]
    assert '"picked"' in (tmp_path / "log.jsonl").read_text()
    few, many = judged(1).split(6)
    assert not set(few.caption) & set(many.caption) and len(few.caption) + len(many.caption) == len(judged(1).caption)
    for good, bad in few.groups():
        assert few.passed[good].all() and not few.passed[bad].any()
        assert len({*few.caption[good], *few.caption[bad]}) == 1


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least two"):
        train(RECIPE, pairs(1, 1), pairs(), tmp_path)
    with pytest.raises(UserError, match="widht"):
        ScorerRecipe.read({"model": {"widht": 1}}, "test")
    with pytest.raises(UserError, match="0 clips"):
        train(RECIPE, pairs_of([], None, None), pairs(), tmp_path)
    assert np.isnan(rank_one(ScorerNetwork(SIZE, 8, 4), pairs(1, 4)))  # no other words to rank among
    assert TextMotionScorer.load(tmp_path) is None
    TextMotionScorer(ScorerNetwork(20, 8, 4)).save(tmp_path)
    with pytest.raises(UserError, match="20 numbers"):
        TextMotionScorer.load(tmp_path)
    (tmp_path / FILE).write_bytes(b"x" * 50)
    with pytest.raises(UserError, match="not a readable matcher"):
        TextMotionScorer.load(tmp_path)
