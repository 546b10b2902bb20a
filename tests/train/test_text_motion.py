"""The text-motion stage on a handful of clips."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from avatargpt.config import resolve
from avatargpt.metrics.evaluator import EvaluatorNetwork, MotionEvaluator, joint_features
from avatargpt.metrics.retrieval import sides_of
from avatargpt.train.loop import fit
from avatargpt.train.runtime import Runtime
from avatargpt.train.scorer import ClassDraws
from avatargpt.train.stage import StepContext
from avatargpt.train.text_motion import (
    CaptionedClips,
    EvaluatorRecipe,
    EvaluatorStage,
    Twin,
    Twins,
    captioned,
    no_counterexamples,
)
from instruct_data.clip import Clip
from instruct_data.store import Store
from tests.train.conftest import CONFIGS, CPU, Mini, Refused
from vqvae import rotations as rot
from vqvae.motion import Motion

CONFIG = CONFIGS / "text_motion.yaml"
SMALL = {"model": {"width": 16, "hidden": 16, "dim": 16, "blocks": 1}, "train": {"batch": 16, "each": 2, "lr": 5e-3}}


def moving(kind: int, seed: int) -> Motion:
    """One of four movements, each of another joint, at a speed of its own."""
    rng = np.random.default_rng([kind, seed])
    t = np.arange(int(rng.integers(30, 50))) / 20
    q = np.array(rot.identity((len(t), 22)), np.float64)
    swing = 0.8 * np.sin(2 * np.pi * rng.uniform(0.8, 1.2) * t)
    q[:, (1, 3, 17, 16)[kind]] = rot.from_axis_angle(np.outer(swing, [1.0, 0, 0]))
    return Motion(q, np.stack([0 * t, 0 * t + 0.95, 0 * t], -1), 20.0)


class Words:
    """A sentence encoder that knows each word by a vector of its own."""

    def sentence(self, texts: list[str]) -> np.ndarray:
        out = np.zeros((len(texts), 384), np.float32)
        for i, text in enumerate(texts):
            for word in text.split():
                out[i] += np.random.default_rng(sum(map(ord, word))).normal(size=384)
        return out / np.linalg.norm(out, axis=1, keepdims=True)


def clips(count: int, split: str = "train") -> list[Clip]:
    names = ["kicks", "bows", "waves", "lifts"]
    return [
        Clip(f"{split}{i}", moving(i % 4, i), [name, f"{name} now"], "made", "ours", split, name)
        for i in range(count)
        for name in [names[i % 4]]
    ]


def stage_of(data: CaptionedClips, **settings: float) -> EvaluatorStage:
    recipe = EvaluatorRecipe.read({**SMALL, "train": {**SMALL["train"], **settings}}, "test")
    return EvaluatorStage(recipe, data, data, Runtime.start(1, "cpu"), "test")


def train(stage: EvaluatorStage, steps: int) -> None:
    stage.network.train()
    fit((stage.losses(stage.network, StepContext(k, 0, 1, 0))[0] for k in range(steps)), stage.optimizer)


def test_what_belongs_together_comes_together() -> None:
    stage = stage_of(captioned(clips(32), Words()))
    before = stage.validate()["val_mm_dist"]
    train(stage, 150)
    after = stage.validate()
    assert after["val_top1"] > 0.95 and after["val_mm_dist"] < 0.6 * before


def test_near_captions_and_clips_of_one_class_do_not_count_against_one_another() -> None:
    vectors = np.eye(4, 384, dtype=np.float32)
    vectors[1] = 0.9 * vectors[0] + np.sqrt(1 - 0.81) * vectors[1]
    frames = [joint_features(moving(i, 0).joints) for i in range(4)]
    data = CaptionedClips(
        frames, [[0], [1], [2], [3]], np.array([0, 1, 2, 2]), np.array([True] * 4), vectors, np.zeros(4, int)
    )
    rows, captions = ClassDraws(data.classes, data.captions, 64, 0, 1, 0.0).draw([0])
    free = no_counterexamples(data, rows, captions)
    for i, a in enumerate(rows):
        for j, b in enumerate(rows):
            assert free[i, j] == (i != j and (a == b or {a, b} in ({0, 1}, {2, 3})))


def test_what_no_longer_shows_its_caption_counts_against_it() -> None:
    data = captioned(clips(8), Words())
    still = replace(data, twins=[[Twin(np.repeat(f[:1], len(f), 0), False)] for f in data.frames])
    scores = []
    for training in (data, still):
        stage = stage_of(training, stand_in=1.0)
        train(stage, 60)
        judge = stage.finished()
        texts = judge.sentences(data.vectors[[c[0] for c in data.captions]])
        scores.append(float((texts * judge.frames([t[0].frames for t in still.twins])).sum(1).mean()))
    assert scores[1] < scores[0] - 0.3


def test_geometry_says_which_clips_made_worse_are_still_right() -> None:
    from avatargpt.evaluation import corpus

    keyframed = [c for c in corpus.keyframed_clips(2) if c.captions]
    maker = Twins(7)
    twins = [t for number, clip in enumerate(keyframed[:60]) for t in maker.of(clip, clip.load(), number)]
    right = sum(t.right for t in twins)
    assert right > 40 and len(twins) - right > 40
    sided = next(c for c in keyframed if sides_of(c.captions[:1])[0] and len(c.load()) >= 4)
    assert not Twins(1).of(sided, sided.load(), 0)[0].right
    assert Twins(0).of(sided, sided.load(), 0) == []


def test_stage_trains_resumes_and_refuses(tmp_path: Path, refused: Refused) -> None:
    Store.write([*clips(16), *clips(8, "val")], tmp_path / "store")
    argv = ["text-motion", "--config", f"{CONFIG}:debug", *CPU]
    run = [*argv, "--store", tmp_path / "store", "-o", tmp_path / "run"]
    Mini.run(*run, "--until", 2)
    Mini.run(*run)
    assert Mini.rows(tmp_path / "run", "val_top3")
    assert MotionEvaluator.load(tmp_path / "run").motions([moving(0, 99)]).shape == (1, 8)
    Store.write([c for c in clips(8) if c.id == "train0"], tmp_path / "one")
    assert "at least two" in refused(*argv, "--store", tmp_path / "one", "-o", tmp_path / "none")
    assert not (tmp_path / "none" / "evaluator.safetensors").exists()


def test_shape_of_the_shipped_recipe_fits_its_size(tmp_path: Path) -> None:
    torch.manual_seed(0)
    shape = EvaluatorRecipe.read(resolve(str(CONFIG)), "test").model
    network = EvaluatorNetwork(shape.width, shape.hidden, shape.dim, shape.blocks, shape.dropout)
    assert MotionEvaluator(network).save(tmp_path).stat().st_size <= 600_000
