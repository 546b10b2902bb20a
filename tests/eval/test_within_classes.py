"""Layered clips of one class, and the recordings set against them."""

from __future__ import annotations

import numpy as np
import pytest

from avatargpt import evaluation
from avatargpt.evaluation.body import discriminator, within_classes
from avatargpt.evaluation.body.discriminator import Settings, accuracy, content_of
from instruct_data.clip import Clip
from vqvae import rotations as rot
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22

J = SMPL22.index


def raising(seed: int, frames: int = 70, speed: float = 0.0) -> Motion:
    """Raises the left arm around the middle; with a speed, walks meanwhile."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames)
    up = np.exp(-(((t - frames / 2 - rng.normal()) / (8 + rng.random())) ** 2))
    vectors = np.zeros((frames, 22, 3))
    vectors[:, J("l_shoulder"), 2] = -1.3 + 2.2 * up
    vectors[:, J("r_shoulder"), 2] = 1.3
    swing = 0.5 * np.sin(2 * np.pi * t / 22 + seed) * (speed > 0)
    vectors[:, J("l_hip"), 0], vectors[:, J("r_hip"), 0] = -swing, swing
    return Motion(rot.from_axis_angle(vectors), np.stack([0 * t, 0 * t + 0.95, speed * t / 20], -1))


def clips(action: str, count: int, style: str = "normal", speed: float = 0.0, frames: int = 70) -> list[Clip]:
    return [Clip(f"{action}_{style}_{i}", raising(i, frames, speed), ["a person moves."], "made", "", "train", action,
                 style) for i in range(count)]  # fmt: skip


def test_every_recording_is_used_once_and_class_and_style_are_the_same() -> None:
    real = clips("raise-up-left-hand", 12) + clips("raise-up-left-hand", 8, "old") + clips("walk", 8, speed=1.2)
    made, rivals = within_classes.pairs([*real, *clips("bow", 8)], 100, seed=1)
    by = {c.id: c for c in real}
    assert len(made) == len(rivals) == 7 and {c.action for c in made} == {"raise_up_left_hand", "walk"}
    used = [p for c in made for p in c.extra["parts"]] + [c.id for c in rivals]
    assert len(used) == len(set(used)) == 21
    for c, other in zip(made, rivals, strict=True):
        parts = [by[p] for p in c.extra["parts"]]
        assert {p.style for p in parts} == {other.style} and {p.action for p in parts} == {other.action}
    again = within_classes.pairs(real, 100, seed=1)[0]
    assert all(np.array_equal(a.load().rotations, b.load().rotations) for a, b in zip(made, again, strict=True))
    assert len(within_classes.pairs(real, 3)[0]) == 3 and within_classes.pairs(real[:3], 9) == ([], [])


def test_two_walks_are_laid_on_one_another_in_step() -> None:
    one = raising(0, 90, 1.2)
    first, second, frames = within_classes.in_step(one, one.slice(7, 90))
    assert first == second + 7 and 60 <= frames <= 83
    made, rivals = within_classes.pairs(clips("walk", 4, speed=1.2, frames=90), 5)
    assert 60 <= len(made[0].load()) == len(made[0].load().root) <= 100 and len(rivals[0].load()) >= 60


def test_content_is_what_one_sees_from_afar() -> None:
    settings = Settings(window=16, windows=1)
    stands, walks = (content_of(Clip("a", raising(0, speed=s), [], "", ""), settings, np.random.default_rng(0))
                     for s in (0.0, 1.2))  # fmt: skip
    assert stands is not None and walks is not None and stands.shape == (1, 16, 6)
    assert stands[..., 0].max() < 0.01 and abs(walks[..., 0].mean() - 1.2) < 0.05
    assert np.allclose(stands[..., 4:], walks[..., 4:], atol=0.01)  # both raise the left hand alike
    assert content_of(Clip("a", raising(0, 16), [], "", ""), settings, np.random.default_rng(0)) is None


def test_pairs_share_a_fold() -> None:
    settings = Settings(window=16, windows=1, folds=4, epochs=1, width=4)
    real, made = clips("walk", 12), clips("walk", 12)
    seen: list[str] = []

    def look(clip: Clip, settings: Settings, rng: np.random.Generator) -> np.ndarray:
        seen.append(clip.id)
        return np.zeros((1, 16, 3), np.float32)

    hits = accuracy(real, made, settings, paired=True, look=look)
    assert seen[::2] == seen[1::2] and len(hits["clips"]) == 24
    assert np.mean(hits["clips"]) == pytest.approx(0.5)  # nothing to see: either side of every pair, never both


def test_the_suite_shows_content_and_clips_within_classes() -> None:
    suite = evaluation.load("discriminator")
    suite.options.update(clips=12, window=16, windows=1, folds=2, epochs=1, width=4)
    real = clips("raise-up-left-hand", 60)
    matched = {"layered within classes": within_classes.pairs(real, 12), "layered of nothing": ([], [])}
    made = [Clip(f"l{i}", c.load(), [], "layered", "", "train", "a+b", "", {"parts": [real[i].id]})
            for i, c in enumerate(matched["layered within classes"][0])]  # fmt: skip
    result = discriminator.score(suite, real, {"layered": made}, matched)
    assert result["kinds_without_clips"] == ["layered of nothing"]
    assert result["results"]["accuracy/layered within classes"]["n"] == 24
    assert {"content_accuracy/layered", "accuracy/layered"} <= set(result["results"])
    assert set(suite.targets) <= {f"accuracy/{k}" for k in (*result["clips"], "composed")}
