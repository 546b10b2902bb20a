"""When a foot stands."""

import numpy as np
import pytest

from vqvae.contact import GAP, HEIGHT, SHORTEST, SPEED, standing
from vqvae.skeleton import SMPL22, TOES


def toes(height: np.ndarray, way: np.ndarray) -> np.ndarray:
    """Joints (T, 22, 3) at rest but for the left toe, at this height and way ahead (T,)."""
    joints = np.repeat(SMPL22.rest_joints[None].astype(np.float64), len(height), 0) + [0, 2, 0]
    joints[:, TOES[0], 1:] = np.stack([height, way], 1)
    return joints


@pytest.mark.parametrize("fps", [20.0, 30.0, 60.0])
def test_a_toe_that_is_low_and_slow_stands_at_any_rate(fps: float) -> None:
    t = np.arange(round(2 * fps)) / fps
    for height, speed, stands in ((0.9 * HEIGHT, 0.9 * SPEED, 1), (1.1 * HEIGHT, 0, 0), (0, 1.1 * SPEED, 0)):
        on = standing(toes(np.full(len(t), height), speed * t), fps)
        assert (on == [stands, False]).all()


def test_short_interruptions_count_and_short_contacts_do_not() -> None:
    fps, low, high = 60.0, HEIGHT - 0.001, HEIGHT + 0.001
    for before, during, frames, stands in (
        (low, high, round(GAP * fps), True), (low, high, round(GAP * fps) + 1, False),
        (high, low, round(SHORTEST * fps), True), (high, low, round(SHORTEST * fps) - 1, False),
    ):  # fmt: skip
        height = np.full(60, before)
        height[20 : 20 + frames] = during
        on = standing(toes(height, np.zeros(60)), fps)[20 : 20 + frames, 0]
        assert (on == stands).all()


def test_a_foot_stands_on_the_next_step_before_the_body_does() -> None:
    level = np.repeat([0.0, 0.2], 20)
    on = standing(toes(np.full(40, 0.2), np.zeros(40)), 20.0, level)[:, 0]
    assert not on[0] and on[15:].all()
