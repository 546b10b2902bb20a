"""The training cache, batches, losses and training of the gesture network."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avatargpt.gesture.features import SLOTS
from avatargpt.gesture.network import ENDLESS, UNKNOWN, GestureConfig, GestureDriver, RowContents
from avatargpt.train.gesture import training
from avatargpt.train.gesture.data import (
    FILE,
    GestureBatches,
    GestureCorpus,
    GestureSampling,
    Take,
    load_corpus,
    save_corpus,
)
from avatargpt.train.gesture.training import GestureLosses, GestureRecipe, geodesic, gesture_losses
from avatargpt.train.loop import run
from avatargpt.train.runtime import Runtime
from tests.gesture.conftest import MATERIAL, SHAPE
from vqvae.errors import UserError
from vqvae.rotations import from_axis_angle, to_6d

MODEL = {"width": 32, "heads": 2, "hidden": 48, "layers": 1, "joint": 1, "reach": 16}
TRAIN = {"steps": 6, "batch": 4, "segments": 2, "warmup": 2, "log_every": 2, "save_every": 3, "val_every": 6}
CPU = Runtime(0, 1, torch.device("cpu"), bf16=False)


STRESS = np.array([1.0, 1.9, 2.7, 3.6, 4.4])  # s


pytestmark = pytest.mark.usefixtures("no_pictures")


def take(seed: int, split: str = "train", other: bool = True, frames: int = 150) -> Take:
    """Motion that follows the first channel of the sound, and codes that follow the motion."""
    rng = np.random.default_rng(seed)
    swing = np.sin(np.arange(frames) * 0.15 + rng.uniform(0, 6)).astype(np.float32)
    audio = 0.3 * rng.standard_normal((frames, 12))
    audio[:, 0] = swing
    turn = np.stack([0.8 * swing, 0 * swing, 0 * swing], 1)
    six = to_6d(from_axis_angle(turn))
    features = np.concatenate([six, six, np.stack([0.2 * swing] * 3, 1)], 1)
    level = np.clip(((swing + 1) * 8).astype(int), 0, 15)[::4]
    arrays = {
        "audio": audio, "features": features, "codes": np.stack([level, 15 - level], 1),
        "word_states": rng.standard_normal((5, 8)), "word_at": np.repeat([-1, 0, 1, 2, 3, 4], frames // 6),
        "word_stress": STRESS, "strokes": np.where(np.arange(-(-frames // 4)) % 8 < 3, 1, -1),
    }  # fmt: skip
    if other:
        arrays |= {"other_audio": 0 * audio, "other_word_states": np.zeros((0, 8)),
                   "other_word_at": np.full(frames, -1), "other_word_stress": np.zeros(0)}  # fmt: skip
    return Take(f"made/{seed}", "anna" if seed % 2 else "bert", split, arrays)


@pytest.fixture
def corpus(tmp_path: Path) -> GestureCorpus:
    takes = [take(1), take(2, other=False), take(3), take(4, "val"), take(5, "val", other=False)]
    save_corpus(takes, RowContents(**MATERIAL), tmp_path / "cache")
    return load_corpus(tmp_path / "cache")


def train(
    corpus: GestureCorpus, out: Path, changes: dict[str, Any] | None = None, start: GestureDriver | None = None,
    until: int | None = None,
) -> GestureDriver:  # fmt: skip
    config = {"model": MODEL, "train": {**TRAIN, **(changes or {})}}
    stage = training.GestureStage(GestureRecipe.read(config, "configuration"), corpus, CPU, start)
    run(stage, out, CPU, until)
    return GestureDriver(stage.network.to("cpu"))


def test_a_resumed_run_equals_an_uninterrupted_one(corpus: GestureCorpus, tmp_path: Path) -> None:
    uninterrupted = train(corpus, tmp_path / "one")
    train(corpus, tmp_path / "parts", until=3)
    parts = train(corpus, tmp_path / "parts")
    assert uninterrupted.fingerprint == parts.fingerprint == GestureDriver.load(tmp_path / "parts").fingerprint
    log = (tmp_path / "parts" / "log.jsonl").read_text()
    assert '"val_degrees_mean"' in log and '"val_nats"' in log
    assert parts.network.config == GestureConfig(**MODEL, **MATERIAL)
    assert train(corpus, tmp_path / "further", {"steps": 3}, start=parts).fingerprint != uninterrupted.fingerprint


def test_a_network_goes_on_with_the_codes_of_another_tokenizer(corpus: GestureCorpus, tmp_path: Path) -> None:
    start = train(corpus, tmp_path / "start", {"steps": 1})
    before = {name: value.clone() for name, value in start.network.state_dict().items()}
    corpus.material = corpus.material.model_copy(update={"tokenizer": "another"})
    recipe = GestureRecipe.read({"model": MODEL, "train": TRAIN}, "recipe")
    stage = training.GestureStage(recipe, corpus, CPU, start, "recipe")
    assert stage.network.config.tokenizer == "another" != start.network.config.tokenizer
    after = stage.network.state_dict()
    changed = {name.split(".")[0] for name, value in after.items() if (value != before[name]).any()}
    assert changed == set(training.CODE_LAYERS)
    corpus.material = corpus.material.model_copy(update={"words": "another"})
    with pytest.raises(UserError, match="words another, but"):
        train(corpus, tmp_path / "refused", start=start)


def test_training_reduces_the_losses(corpus: GestureCorpus, tmp_path: Path) -> None:
    train(corpus, tmp_path, {"steps": 120, "log_every": 20, "lr": 4e-3, "val_every": 120, "save_every": 120})
    log = [json.loads(r) for r in (tmp_path / "log.jsonl").read_text().splitlines()]
    steps = [r for r in log if "features" in r]
    # a pose that does not move has hardly any acceleration to miss
    for name in set(GestureLosses.model_fields) - {"acceleration", "strokes", "kinds", "finer"}:
        assert steps[-1][name] < 0.75 * steps[0][name], name
    last = next(r for r in log if "val_degrees" in r)
    assert last["val_degrees"] < 12 and last["val_hit"] > 0.25  # of a swing of 46 degrees; chance is 1 / 16


def test_caches_are_read_in_parts(corpus: GestureCorpus) -> None:
    arrays = take(1).arrays
    part = corpus.part(corpus.takes[0], 20, 61)
    assert np.allclose(part["audio"], arrays["audio"][20:61], atol=1e-2)
    assert np.array_equal(part["codes"], arrays["codes"][5:16]) and part["features"].shape == (41, 15)
    assert np.array_equal(part["strokes"], arrays["strokes"][5:16])
    assert np.allclose(part["word_stress"], STRESS[:3])  # those about frames 20 to 61
    assert np.allclose(part["word_states"], arrays["word_states"][:3], atol=1e-2)
    assert "other_word_states" in part and "other_word_states" not in corpus.part(corpus.takes[1], 0, 8)


def test_targets_are_of_the_predicted_frames(corpus: GestureCorpus) -> None:
    batches = GestureBatches(corpus, GestureConfig(**SHAPE), GestureSampling(), CPU.device)
    first, middle, last = (batches.stretch(corpus.takes[0], start, 32) for start in (0, 40, 140))
    arrays = corpus.part(corpus.takes[0], 0, 150)
    assert np.array_equal(middle["audio"], arrays["audio"][40:72])
    assert np.array_equal(middle["motion"], arrays["features"][36:68]) and middle["mask"].all()
    assert np.array_equal(middle["codes"], arrays["codes"][9:17])
    assert first["mask"][:4].sum() == 0 and first["mask"][4:].all() and (first["codes"][0] == UNKNOWN).all()
    assert last["mask"].sum() == 14 and np.array_equal(last["audio"][10:], np.repeat(arrays["audio"][-1:], 22, 0))
    assert np.array_equal(last["codes"][:4], arrays["codes"][34:38]) and (last["codes"][4:] == UNKNOWN).all()
    assert (last["strokes"][4:] == -1).all() and np.array_equal(last["strokes"][:4], arrays["strokes"][34:38])
    assert np.allclose(last["left"], (150 - np.arange(136, 168)) / 30)
    assert np.array_equal(first["first"], arrays["codes"][0]) and np.array_equal(middle["first"], arrays["codes"][8])
    slots = middle["words"].reshape(32, SLOTS, 9)
    seconds = np.arange(36, 68) / 30
    nearest = slots[:, 0, 8] + seconds  # stresses of the words in the first slots
    assert np.abs(nearest[:, None] - STRESS).min(1).max() < 1e-5


def test_batches_are_repeatable_and_turn_things_off(corpus: GestureCorpus) -> None:
    def draw(seed: int, **shares: float) -> Any:
        return GestureBatches(corpus, GestureConfig(**SHAPE), GestureSampling(**shares), CPU.device).draw(
            16, 64, [seed]
        )

    a, b, c = draw(1), draw(1), draw(2)
    assert torch.equal(a.inputs.audio, b.inputs.audio) and torch.equal(a.before, b.before)
    assert not torch.equal(a.inputs.audio, c.inputs.audio)
    off = draw(1, wordless=1, alone=1, anonymous=1, tokenless=1)
    assert not off.inputs.words.any() and off.inputs.other_audio is None and (off.speaker == -1).all()
    assert (off.before == UNKNOWN).all() and (off.conditions == UNKNOWN).all() and (off.codes >= 0).any()
    assert (draw(1, endless=1).inputs.left == ENDLESS).all() and (draw(1, endless=0).inputs.left < 6).all()
    late, known = (draw(1, late=share, wordless=0).inputs.words.unflatten(-1, (SLOTS, 9))[..., 8] for share in (1, 0))
    assert late.max() < 0.8 < known.max()
    on = draw(1, wordless=0, alone=0, anonymous=0, tokenless=0, forgotten=0, wrong=0)
    known_before = on.codes[:, :-1] != UNKNOWN
    assert torch.equal(on.before[:, 1:][known_before], on.codes[:, :-1][known_before]) and (on.before >= 0).all()
    assert (on.speaker >= 0).all() and on.inputs.present.any()


def test_losses_are_zero_for_the_target_and_rise_with_each_error() -> None:
    truth = torch.from_numpy(take(1).arrays["features"]).float()[None]
    codes = torch.from_numpy(take(1).arrays["codes"])[None]
    right = torch.nn.functional.one_hot(codes, 16).float() * 50
    mask, std = torch.ones(1, 150), torch.ones(15)

    def run(motion: torch.Tensor, logits: torch.Tensor = right) -> dict[str, float]:
        terms = gesture_losses(motion, logits, truth, codes, mask, std, [[0, 12]], [[12, 15]], GestureLosses())
        return {k: float(v) for k, v in terms.items()}

    assert max(run(truth).values()) < 6e-3
    strokes, sure = torch.full((1, 38), -1), torch.tensor([-9.0, -9.0, 9.0]).expand(1, 38, 3)
    strokes[0, :4] = 1
    terms = gesture_losses(truth, right, truth, codes, mask, std, [], [], GestureLosses(), sure, strokes)
    assert float(terms["kinds"]) == pytest.approx(0.3 * 18 * 4 / 38, rel=1e-2)
    wrong_there = right.clone()
    wrong_there[0, :4] *= -1
    def missed(weight: float) -> float:
        weights = GestureLosses(strokes=weight)
        terms = gesture_losses(truth, wrong_there, truth, codes, mask, std, [], [], weights, None, strokes)
        return float(terms["tokens"])

    assert missed(1.0) / missed(0.0) == pytest.approx(2 * 38 / 42, rel=1e-3)
    # a wrong code of the first of two levels costs more than one of the second where finer ones count less
    pair = torch.stack((codes[..., 0], codes[..., 0]), -1)
    both = torch.nn.functional.one_hot(pair, 16).float() * 50
    def cost(level: int) -> float:
        wrong = both.clone()
        wrong[..., level, :] *= -1
        weights = GestureLosses(finer=0.25)
        return float(gesture_losses(truth, wrong, truth, pair, mask, std, [], [], weights)["tokens"])

    assert cost(0) / cost(1) == pytest.approx(4, rel=1e-3)
    moved, shaken = truth.clone(), truth.clone()
    moved[..., 12:] += 0.1
    shaken[:, ::2] += 0.1
    assert run(moved)["position"] == pytest.approx(5 * 0.1 * 3**0.5, rel=1e-3) and run(moved)["velocity"] < 1e-6
    assert run(shaken)["velocity"] > 0.09 and run(shaken)["acceleration"] > 0.09
    assert run(truth, -right)["tokens"] > 1
    turned = torch.from_numpy(to_6d(from_axis_angle(np.array([[0.0, 0.7, 0.0]]))))
    still = torch.from_numpy(to_6d(from_axis_angle(np.zeros((1, 3)))))
    assert float(geodesic(turned, still)) == pytest.approx(0.7, abs=1e-3)
    same = still.clone().requires_grad_()
    geodesic(same, still).sum().backward()
    assert same.grad is not None and torch.isfinite(same.grad).all()


def test_mistakes_are_refused(corpus: GestureCorpus, tmp_path: Path) -> None:
    short, index, first = take(1), corpus.folder / FILE, corpus.folder / corpus.takes[0].file
    short.arrays["codes"] = short.arrays["codes"][:-1]
    material = RowContents(**MATERIAL)
    save_corpus([take(1)], material, tmp_path / "alone")
    first.write_bytes(b"x" * 100)
    for call, message in (
        (lambda: GestureRecipe.read({"train": {"stepz": 3}}, "configuration"), "stepz"),
        (lambda: GestureRecipe.read({"model": {"widht": 3}}, "configuration"), "widht"),
        (lambda: GestureRecipe.read({"model": {"width": 33}}, "configuration"), "width"),
        (lambda: load_corpus(tmp_path), "no gesture"),
        (lambda: save_corpus([], material, tmp_path / "none"), "no takes"),
        (lambda: save_corpus([short], material, tmp_path / "short"), "codes of shape"),
        (lambda: save_corpus([take(2)], RowContents(**{**MATERIAL, "speakers": ["anna"]}), tmp_path / "who"),
         "speaker 'bert'"),
        (lambda: train(load_corpus(tmp_path / "alone"), tmp_path / "out"), "no takes of the split 'val'"),
        (lambda: corpus.part(corpus.takes[0], 0, 8), "not a take of this cache"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=message) as e:
            call()
        assert "\n" not in str(e.value)
    index.write_text(index.read_text().replace('"file": "000001', '"file": "../000001'))
    with pytest.raises(UserError, match="names of files"):
        load_corpus(corpus.folder)
