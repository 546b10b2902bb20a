"""What mutants of the chat have outlived."""

import numpy as np

from avatargpt.chat.pulling import _within
from tests.clips import gliding
from vqvae import rotations as rot


def test_a_place_of_the_timeline_is_found_in_a_segment_that_is_played_turned() -> None:
    segment, yaw, offset, place = gliding(40), 0.7, np.array([1.0, 0, 2]), np.array([0.2, 1.1, 0.3])
    there = rot.rotate(rot.about_y(yaw), place) + offset
    frame, found = _within(segment.moved(yaw, offset), 0, 10, segment, there)
    assert np.allclose(found, place + segment.root[frame] - segment.root[10], atol=1e-5)
