"""Clips whose floor is not y = 0: a pelvis at the origin, an actor on a stage."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from avatargpt.api import AvatarGPT
from tests.body.test_pipeline import gpt, parts, walk  # noqa: F401  (fixtures)
from vqvae.ground import floor_of, grounded, raised
from vqvae.motion import Motion

HEIGHTS = [-0.95, 2.5]


@pytest.fixture
def low() -> Motion:
    """A clip on y = 0."""
    clip = walk(48)
    return raised(clip, -float(np.percentile(clip.joints[..., 1].min(1), 2)))


def test_floor_of_a_clip(low: Motion) -> None:
    for height in (-0.09, 0.0, 0.19):
        clip = raised(low, height)
        assert floor_of(clip) == 0 and grounded(clip) is clip
    for height in HEIGHTS:
        assert floor_of(raised(low, height)) == pytest.approx(height, abs=1e-4)
        assert np.abs(grounded(raised(low, height)).joints - low.joints).max() < 1e-4
    jump = replace(low, root=low.root + np.outer(np.sin(np.linspace(0, np.pi, 48)), [0, 0.6, 0]))
    assert floor_of(jump) == 0


@pytest.mark.parametrize("height", HEIGHTS)
def test_what_is_made_of_a_clip_keeps_its_floor(gpt: AvatarGPT, low: Motion, height: float) -> None:  # noqa: F811
    high, up = raised(low, height), np.array([0, height, 0])
    assert gpt.describe(high, best_of=1) == gpt.describe(low, best_of=1)
    longer, usual = gpt.extend(high, 1.0, best_of=1), gpt.extend(low, 1.0, best_of=1)
    np.testing.assert_allclose(longer.joints - up, usual.joints, atol=1e-3)
    np.testing.assert_array_equal(longer.root[:48], high.root)
    between = gpt.in_between(high, low, 1.0, best_of=1)
    np.testing.assert_allclose(between.joints - up, gpt.in_between(low, low, 1.0, best_of=1).joints, atol=1e-3)
    kept = gpt.in_between(high, high, 1.0, best_of=1, keep_place=True)
    np.testing.assert_allclose(kept.joints[-1], high.joints[-1], atol=1e-3)
    rebuilt, figures = gpt.reconstruct(high)
    truth, told = gpt.reconstruct(low)
    np.testing.assert_allclose(rebuilt.joints - up, truth.joints, atol=2e-2)
    assert figures["mpjpe_mm"] == pytest.approx(told["mpjpe_mm"], rel=0.05)
