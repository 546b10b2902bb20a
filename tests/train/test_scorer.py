"""Scorers of text and motion: the one of answers and the one of evaluation."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from avatargpt.config import resolve
from avatargpt.kinematics.measures import POSE_SIZE, SIZE, motion_signature
from avatargpt.lm.scorer import FILE, ScorerNetwork, TextMotionScorer
from avatargpt.metrics.checks import ClipJudge
from avatargpt.metrics.evaluator import EvaluatorNetwork, MotionEvaluator, joint_features, sides_of
from avatargpt.train.data.exchange import Exchange, number_rows
from avatargpt.train.data.judged_answers import Judged, measure_picked
from avatargpt.train.loop import fit, run
from avatargpt.train.phrase_index import shorten_lengths
from avatargpt.train.runtime import Runtime
from avatargpt.train.scorer import (
    CaptionPairs,
    ClassDraws,
    Contrasts,
    ScorerRecipe,
    ScorerStage,
    Texts,
    measure_clips,
    measure_told_apart,
    no_counterexamples,
    pairs_of,
    rank_one,
)
from avatargpt.train.stage import StepContext
from avatargpt.train.text_motion import (
    CaptionedClips,
    EvaluatorRecipe,
    EvaluatorStage,
    Twin,
    find_captioned,
    make_twins,
)
from avatargpt.train.text_motion import (
    no_counterexamples as unlike_captions,
)
from instruct_data.clip import Clip
from instruct_data.factory.text.everyday import usual_seconds
from instruct_data.store import ClipCodes, Store
from tests.train.conftest import CONFIGS, CPU, Mini, Refused
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion

CONFIG = {
    "model": {"width": 32, "dim": 16, "dropout": 0.0},
    "train": {"steps": 300, "batch": 32, "families": 4, "each": 4, "lr": 5e-3, "warmup": 5, "log_every": 100},
}
RECIPE = ScorerRecipe.read(CONFIG, "test")
RUNTIME = Runtime(0, 1, torch.device("cpu"), bf16=False)


def pairs(kinds: int = 8, each: int = 10, seed: int = 0) -> CaptionPairs:
    """Clips of a class share a signature but for noise, and have two sentences of their own each; their hand and
    their count show in numbers of their own.
    """
    rng = np.random.default_rng(seed)
    base = np.random.default_rng(1).standard_normal((kinds, SIZE))
    vectors = np.random.default_rng(2).standard_normal((2 * kinds, 384))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    classes = np.repeat(np.arange(kinds), each)
    signatures = base[classes] + 0.1 * rng.standard_normal((len(classes), SIZE))
    captions = [[2 * c, 2 * c + 1] for c in classes.tolist()]
    recorded = np.zeros(len(classes), bool)
    hand, times = rng.integers(2, size=len(classes)), rng.integers(1, 4, size=len(classes))
    signatures[:, :60], signatures[:, 60:120] = 2.0 * hand[:, None], times[:, None]
    typed = [
        {"action": f"a{c}", "hand": ("left", "right")[h], "times": str(n)}
        for c, h, n in zip(classes, hand, times, strict=True)
    ]
    texts = Texts()
    names = [f"caption {k}" for k in range(len(vectors))]
    texts.numbers(names)
    clips = [
        ClipCodes(str(n), np.zeros((1, 1), int), [names[k] for k in row], "train", "synthetic", "ours")
        for n, row in enumerate(captions)
    ]
    attributes = number_rows(typed, texts)
    contrasts = Contrasts.of(Exchange(clips, typed, attributes, texts), texts)
    vectors = np.concatenate([vectors, np.zeros((len(texts.texts) - len(vectors), 384))]).astype(np.float32)
    return CaptionPairs(signatures.astype(np.float32), captions, classes, recorded, vectors, attributes, contrasts)


def train(
    recipe: ScorerRecipe, train: CaptionPairs, val: CaptionPairs, out: Path, until: int | None = None
) -> TextMotionScorer:
    stage = ScorerStage(recipe, train, val, RUNTIME)
    run(stage, out, RUNTIME, until)
    return stage.copy_network()


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
    log = (tmp_path / "log.jsonl").read_text()
    assert '"rank_one"' in log and '"told_apart_hand"' in log


def test_it_learns_which_attribute_was_exchanged(tmp_path: Path) -> None:
    motion_scorer, val = train(RECIPE, pairs(each=40), pairs(seed=5), tmp_path), pairs(seed=6)
    right = measure_told_apart(motion_scorer.network, val, True)
    assert min(right["hand"], right["times"]) > 0.95 and set(right) == {"", "hand", "times"}
    torch.manual_seed(0)
    assert measure_told_apart(ScorerNetwork(SIZE, 32, 16).eval(), val, True)[""] < 0.7

    class Vectors:
        def sentence(self, texts: list[str]) -> np.ndarray:
            return val.vectors[: len(texts)]

    plain, typed, other = motion_scorer.texts(
        ["", "", ""], Vectors(), [{}, {"hand": "left"}, {"hand": "right"}]  # type: ignore[arg-type]
    )  # fmt: skip
    shown = motion_scorer.network.embed_motion(torch.from_numpy(val.signatures)).detach().numpy()
    left = val.signatures[:, 0] == 0
    assert ((shown @ typed > shown @ other) == left).mean() > 0.8  # whatever the words
    assert np.abs(shown @ plain).max() <= 1 + 1e-5


def test_what_is_true_is_no_counter_example() -> None:
    data = pairs(4, 6)

    def draw() -> tuple[np.ndarray, np.ndarray]:
        return ClassDraws(data.classes, data.captions, 16, 2, 4, 0.5).draw([0, 1])

    rows, captions = draw()
    assert all(np.array_equal(a, b) for a, b in zip((rows, captions), draw(), strict=True))
    nothing, worded = np.full((len(rows), data.attributes.shape[1]), -1), np.zeros(len(rows), bool)
    free = no_counterexamples(data, rows, captions, nothing, worded)
    for i, row in enumerate(rows):
        for j, caption in enumerate(captions):
            assert bool(free[i, j]) == (i != j and caption in data.captions[row])
    # attributes that a clip does not show are true contrasts, whatever the words
    shown = data.attributes[rows]
    for free_words in (worded, ~worded):
        typed = no_counterexamples(data, rows, captions, np.where(np.arange(shown.shape[1]) > 0, shown, -1), free_words)
        same = (shown[:, None, 1:] == shown[None, :, 1:]).all(-1) & (free | free_words)
        assert np.array_equal(typed, same & ~np.eye(len(rows), dtype=bool)) and typed.sum() < (free | free_words).sum()
    data.recorded[:] = True
    data.captions = [[2 * c] for c in data.classes]  # other words that may be true of the class
    rows, captions = draw()
    same = data.classes[rows][:, None] == data.classes[rows][None]
    free = no_counterexamples(data, rows, captions, nothing, worded)
    assert np.array_equal(free | np.eye(len(rows), dtype=bool), same)


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
    untrained = measure_picked(ScorerNetwork(SIZE, 32, 16).eval(), judged(9))
    recipe = RECIPE.replace_fields(train={**CONFIG["train"], "judged": 32, "held": 6})
    stage = ScorerStage(recipe, pairs(), pairs(seed=5), RUNTIME, judged=judged(1))
    run(stage, tmp_path, RUNTIME)
    motion_scorer = stage.copy_network()
    trained = measure_picked(motion_scorer.network, judged(9))
    assert trained["picked"] > max(0.9, untrained["picked"] + 0.1) and trained["picked"] <= trained["oracle"]
    assert trained["single"] == untrained["single"]
    assert '"picked"' in (tmp_path / "log.jsonl").read_text()
    few, many = judged(1).split(6)
    assert not set(few.caption) & set(many.caption) and len(few.caption) + len(many.caption) == len(judged(1).caption)
    for good, bad in few.groups():
        assert few.passed[good].all() and not few.passed[bad].any()
        assert len({*few.caption[good], *few.caption[bad]}) == 1


def test_eight_bits_rank_alike(tmp_path: Path) -> None:
    torch.manual_seed(0)
    scorer = TextMotionScorer(ScorerNetwork(SIZE, 64, 32))
    size = scorer.save(tmp_path / "whole").stat().st_size
    assert scorer.save(tmp_path / "packed", torch.int8).stat().st_size < size / 3
    packed = TextMotionScorer.load(tmp_path / "packed")
    assert packed is not None and torch.equal(packed.network.std, scorer.network.std)
    joints = [np.cumsum(np.random.default_rng(i).normal(size=(30, 22, 3)), 0) * 0.01 for i in range(4)]
    a, b = scorer.motions(joints), packed.motions(joints)
    cosines = (a * b)[:, :32].sum(1)
    assert 0.999 < cosines.min() < cosines.max() <= 1.00001
    np.testing.assert_allclose(a[:, 32:], b[:, 32:], atol=0.01)


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least two"):
        train(RECIPE, pairs(1, 1), pairs(), tmp_path)
    with pytest.raises(UserError, match="widht"):
        ScorerRecipe.read({"model": {"widht": 1}}, "test")
    with pytest.raises(UserError, match="0 clips"):
        train(RECIPE, pairs_of([], [], None, None)[0], pairs(), tmp_path)
    assert np.isnan(rank_one(ScorerNetwork(SIZE, 8, 4), pairs(1, 4)))  # no other words to rank among
    assert TextMotionScorer.load(tmp_path) is None
    TextMotionScorer(ScorerNetwork(20, 8, 4)).save(tmp_path)
    with pytest.raises(UserError, match="20 numbers"):
        TextMotionScorer.load(tmp_path)
    (tmp_path / FILE).write_bytes(b"x" * 50)
    with pytest.raises(UserError, match="not a readable matcher"):
        TextMotionScorer.load(tmp_path)


def test_a_scorer_of_before_attributes_is_still_read(tmp_path: Path) -> None:
    TextMotionScorer(ScorerNetwork(POSE_SIZE, 8, 4, attributes=0)).save(tmp_path)
    scorer = TextMotionScorer.load(tmp_path)
    assert scorer is not None and scorer.motions([moving(0, 0).joints]).shape == (1, 4)
    assert scorer.texts(["kicks"], Words(), [{"side": "left"}]).shape == (1, 4)  # type: ignore[arg-type]


def test_clips_are_measured_alike_in_one_process_and_in_several(monkeypatch: pytest.MonkeyPatch) -> None:
    class Decoder:
        spec = SimpleNamespace(fps=20.0)

        def decode_each(self, codes: list[np.ndarray]) -> list[Motion]:
            return [moving(int(c[0, 0]), len(c)) for c in codes]

    clips = [ClipCodes(str(i), np.full((9 - i, 1), i % 4), [], "train", "made", "ours") for i in range(6)]
    here, figures = measure_clips(clips, Decoder(), 1)
    monkeypatch.setattr("avatargpt.train.scorer.DECODED", 1)
    there, same = measure_clips(clips, Decoder(), 2)
    assert np.array_equal(here, there) and figures == same
    for i in (0, 5):
        assert np.array_equal(here[i], motion_signature(moving(i % 4, 9 - i).joints))


EVALUATOR_CONFIG = CONFIGS / "text_motion.yaml"
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


def train_evaluator(stage: EvaluatorStage, steps: int) -> None:
    stage.network.train()
    fit((stage.losses(stage.network, StepContext(k, 0, 1, 0))[0] for k in range(steps)), stage.optimizer)


def test_what_belongs_together_comes_together() -> None:
    stage = stage_of(find_captioned(clips(32), Words()))
    before = stage.validate()["val_mm_dist"]
    train_evaluator(stage, 150)
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
    free = unlike_captions(data, rows, captions)
    for i, a in enumerate(rows):
        for j, b in enumerate(rows):
            assert free[i, j] == (i != j and (a == b or {a, b} in ({0, 1}, {2, 3})))


def test_what_no_longer_shows_its_caption_counts_against_it() -> None:
    data = find_captioned(clips(8), Words())
    still = replace(data, twins=[[Twin(np.repeat(f[:1], len(f), 0), False)] for f in data.frames])
    scores = []
    for training in (data, still):
        stage = stage_of(training, stand_in=1.0)
        train_evaluator(stage, 60)
        judge = stage.copy_network()
        texts = judge.sentences(data.vectors[[c[0] for c in data.captions]])
        scores.append(float((texts * judge.frames([t[0].frames for t in still.twins])).sum(1).mean()))
    assert scores[1] < scores[0] - 0.3


def test_geometry_says_which_clips_made_worse_are_still_right() -> None:
    from avatargpt.evaluation import corpus

    keyframed = [c for c in corpus.make_keyframed_clips(2) if c.captions]
    judge = ClipJudge()
    twins = [t for number, clip in enumerate(keyframed[:60]) for t in make_twins(clip, clip.load(), number, 7, judge)]
    right = sum(t.right for t in twins)
    assert right > 40 and len(twins) - right > 40
    sided = next(c for c in keyframed if sides_of(c.captions[:1])[0] and len(c.load()) >= 4)
    assert not make_twins(sided, sided.load(), 0, 1, judge)[0].right
    assert make_twins(sided, sided.load(), 0, 0, judge) == []


def test_stage_trains_resumes_and_refuses(tmp_path: Path, refused: Refused) -> None:
    Store.write([*clips(16), *clips(8, "val")], tmp_path / "store")
    argv = ["text-motion", "--config", f"{EVALUATOR_CONFIG}:debug", *CPU]
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
    shape = EvaluatorRecipe.read(resolve(str(EVALUATOR_CONFIG)), "test").model
    network = EvaluatorNetwork(shape.width, shape.hidden, shape.dim, shape.blocks, shape.dropout)
    assert MotionEvaluator(network).save(tmp_path).stat().st_size <= 600_000


def test_lengths_are_those_of_one_performance() -> None:
    lengths = {"a person bows": [20, 20, 30], "a person bows twice": [40, 40, 40], "a person hops": [10, 10, 10],
               "a person digs": [80, 80, 80]}  # fmt: skip
    meant = [(("a person bows",), "bow"), (("a person bows twice",), "bow"), (("a person hops",), "hop"),
             (("a person digs",), "dig")]  # fmt: skip
    out = shorten_lengths(lengths, meant, {"bow": 5.6, "hop": 9.0, "dig": 4.0}, rate=5.0)
    # the median of the lengths for a bow is 35 tokens, 7 seconds: all are four fifths as long
    assert out["a person bows"] == [16, 16, 24] and out["a person bows twice"] == [32, 32, 32]
    assert out["a person hops"] == lengths["a person hops"]  # what is shorter stays
    assert out["a person digs"] == [52, 52, 52]  # no less than 65 % of the clips
    assert set(usual_seconds()) >= {"wave", "bow", "kick"} and all(1 <= s <= 12 for s in usual_seconds().values())
