"""Sampling and batching."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from instruct_data.clip import Clip
from instruct_data.mixture import Mixture, Stream, balanced_weights, clip_class, like_lengths, pad
from vqvae.errors import UserError


def clip(action: str, captions: tuple[str, ...] = ()) -> Clip:
    return Clip("x", lambda: None, list(captions), "lab", "MIT", action=action)


def test_weights():
    classes = ["a"] * 90 + ["b"] * 10
    assert balanced_weights(classes, 0)[:90].sum() == pytest.approx(0.9)
    assert balanced_weights(classes, 1)[:90].sum() == pytest.approx(0.5)
    assert balanced_weights(classes, 0.5)[:90].sum() == pytest.approx(np.sqrt(90) / (np.sqrt(90) + np.sqrt(10)))
    with pytest.raises(UserError, match="alpha 2"):
        balanced_weights(classes, 2)
    with pytest.raises(UserError, match="no clips"):
        balanced_weights([], 0.5)


def test_shares_are_met():
    items = [clip("walk")] * 80 + [clip("bow")] * 20
    classes = [clip_class(item) for item in items]
    mixture = Mixture([Stream("text_to_motion", 3, classes, 1.0), Stream("motion_to_text", 1, classes, 0.0)])
    draws = [d for step in range(40) for d in mixture.batch(step, 250)]
    tasks = Counter(d.task for d in draws)
    assert tasks["text_to_motion"] / len(draws) == pytest.approx(0.75, abs=0.02)
    bows = {t: np.mean([d.index >= 80 for d in draws if d.task == t]) for t in tasks}
    assert bows["text_to_motion"] == pytest.approx(0.5, abs=0.03)
    assert bows["motion_to_text"] == pytest.approx(0.2, abs=0.03)
    assert len({d.seed for d in draws}) == len(draws)


def test_a_step_depends_on_nothing_but_its_number():
    streams = [Stream("a", 1, ["x"] * 50), Stream("b", 2, ["x", "y"] * 20)]
    straight = [Mixture(streams, 7).batch(s, 16) for s in range(6)]
    resumed = Mixture(streams, 7)
    assert [resumed.batch(s, 16) for s in (4, 5)] == straight[4:]
    assert Mixture(streams, 8).batch(0, 16) != straight[0]
    assert resumed.batch(0, 16, rank=1) != straight[0]
    first = straight[0][0]
    assert first.rng().random() == first.rng().random()


def test_bad_mixtures():
    stream = Stream("a", 1, ["x"])
    for streams, message in (([], "no tasks"), ([Stream("a", 0, ["x"])], "weight 0"), ([stream, stream], "twice")):
        with pytest.raises(UserError, match=message):
            Mixture(streams)


def test_classes():
    assert clip_class(clip("walk-turn-left")) == "walk_turn_left"
    assert clip_class(clip("", ("a person dances salsa.",))) == "salsa_dance"
    assert clip_class(clip("", ("a person twists the upper body.",))) == "twist"
    assert clip_class(clip("")) == "lab"


def test_buckets():
    source, target = np.random.default_rng(0).integers(1, 200, (2, 512))

    def useful(batches: np.ndarray) -> float:
        """Share of a batch that is not padding."""
        return (source + target).sum() / sum(len(b) * (source[b].max() + target[b].max()) for b in batches)

    batches = like_lengths(source, target, 8)
    assert batches.shape == (64, 8) and sorted(batches.reshape(-1)) == list(range(512))
    assert useful(batches) > 0.85 > 0.75 > useful(np.argsort(source + 2 * target).reshape(64, 8))
    assert np.array_equal(batches, like_lengths(source, target, 8))
    assert like_lengths([5, 1], [1, 1], 2).tolist() == [[1, 0]]
    for few in ([], [3]):
        with pytest.raises(UserError, match="in batches of 2"):
            like_lengths(few, few, 2)


def test_pad():
    out, mask = pad([np.array([1, 2, 3]), np.array([4])], 0, multiple=4)
    assert out.tolist() == [[1, 2, 3, 0], [4, 0, 0, 0]] and mask.sum(1).tolist() == [3, 1]
    out, mask = pad([np.ones((2, 3), int), np.ones((1, 3), int)], -1)
    assert out.shape == (2, 2, 3) and out[1, 1].tolist() == [-1] * 3
    with pytest.raises(UserError, match="empty"):
        pad([], 0)
