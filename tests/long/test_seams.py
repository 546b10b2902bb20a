"""Figures of seams: definitions on motions whose jerk is known, and the suite on the small model."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from avatargpt import evaluation
from avatargpt.api import AvatarGPT
from avatargpt.evaluation import seams
from avatargpt.evaluation import seams as suite_seams


def jump(frames: int, at: int, size: float) -> np.ndarray:
    """Joints at rest 1 m up, joint 20 moved by `size` metres along x from frame `at` on."""
    joints = np.ones((frames, 22, 3))
    joints[at:, 20, 0] += size
    return joints


def test_peak_and_area_of_one_jump() -> None:
    """A step of size s has third differences s, -2s, s: PJ = 2s, AUJ = 4s against real motion without jerk."""
    figures = seams.seam_figures([jump(60, 30, 0.1)], real=0.0)
    assert figures["peak_jerk"] == pytest.approx(0.2) and figures["area_under_jerk"] == pytest.approx(0.4)
    assert figures["area_above"] == pytest.approx(0.4) and figures["area_below"] == 0


def test_motion_smoother_than_real_has_area_too() -> None:
    figures = seams.seam_figures([np.ones((60, 22, 3))], real=0.01)
    assert figures["area_under_jerk"] == pytest.approx(57 * 0.01) == figures["area_below"]
    assert figures["peak_jerk"] == 0 and figures["area_above"] == 0


def test_the_mean_is_taken_over_sequences_before_the_maximum() -> None:
    figures = seams.seam_figures([jump(60, 20, 0.1), jump(60, 40, 0.1)], real=0.0)
    assert figures["peak_jerk"] == pytest.approx(0.1) and figures["area_under_jerk"] == pytest.approx(0.4)


def test_windows_lie_inside() -> None:
    joints = np.arange(200)[:, None, None] * np.ones((1, 22, 3))
    cut = seams.seam_windows(joints, [10, 30, 100.5, 170, 171])
    assert [int(w[0, 0, 0]) for w in cut] == [0, 70, 140] and {len(w) for w in cut} == {60}


def test_mean_jerk_weighs_frames() -> None:
    assert seams.mean_jerk([jump(60, 30, 0.1), np.ones((3, 22, 3)), np.ones((60, 22, 3))]) == pytest.approx(0.4 / 114)


def test_the_suite_measures_every_way(gpt: AvatarGPT) -> None:
    suite = evaluation.load("seams")
    suite = dataclasses.replace(suite, options={**suite.options, "transitions": 6, "best_of": 1, "told": 3})
    rng = np.random.default_rng(0)
    real = [np.cumsum(rng.normal(size=(90, 22, 3)) * 0.01, 0) + 1 for _ in range(3)]
    plans = [[["he walks", "he waves", "he sits"], ["he jumps", "he turns"]], [["he eats", "he runs", "he bows"]]] * 2
    made = suite_seams.score(suite, real, plans, gpt, [("a person walks", 40), ("a person waves", 61)])
    assert made["transitions"] == {"loop": 6, "concatenation": 6, "interpolation": 6, "real": 6, "same actions": 3}
    for name in ("peak_jerk", "area_under_jerk", "foot_skate", "contact_slide"):
        for other in ("", "/concatenation", "/interpolation", "/real", "/same actions"):
            assert np.isfinite(made["results"][name + other]["mean"])
    got = made["results"]
    assert set(n.split("/")[0] for n in got) <= set(suite.metrics)
    ratio = got["peak_jerk"]["mean"] / got["peak_jerk/real"]["mean"]
    assert got["peak_jerk_ratio"]["mean"] == pytest.approx(ratio, rel=1e-3)


def test_captions_are_acted_as_they_stand_for_as_long_as_their_recordings(gpt: AvatarGPT) -> None:
    per = gpt.tokenizers["body"].downsample
    captions = ["a person walks elderly", "a person waves, then bows"]
    _, made = suite_seams.closed_loop(gpt, [[c] for c in captions], 0, 1, [10 * per, 7 * per + 1])
    assert [(m.clause.caption, m.clause.tokens) for m in made] == list(zip(captions, (10, 7), strict=True))


def test_told_scenes_bring_every_caption_before_one_comes_again() -> None:
    told = [(str(i), 20 + i) for i in range(17)]
    drawn = [c for scene in suite_seams.caption_scenes(told, 28, 3) for c in scene]
    assert len(drawn) == 36 and set(drawn[:17]) == set(drawn[17:34]) == set(told)
    assert drawn != [c for scene in suite_seams.caption_scenes(told, 28, 4) for c in scene]


def test_the_chain_is_the_same_clips_without_transitions(gpt: AvatarGPT) -> None:
    motion, made = suite_seams.closed_loop(gpt, [["he walks", "he waves"], ["he sits"]], 0, 1)
    per = gpt.tokenizers["body"].downsample
    assert len(motion) == per * sum(len(m.codes) for m in made) and len(made) == 3
    plain, centres = suite_seams.chained(gpt, made, 0)
    longer, middles = suite_seams.chained(gpt, made, 12)
    assert len(plain) == per * sum(len(m.codes) - m.transition for m in made) and len(longer) == len(plain) + 24
    assert [m - c for m, c in zip(middles, centres, strict=True)] == [6, 18]
