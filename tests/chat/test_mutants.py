"""What mutants of the chat have outlived."""

from dataclasses import replace

import numpy as np

from avatargpt.chat.keying import _local
from avatargpt.chat.timeline import FPS, Timeline, segment_of
from instruct_data.requests.spec import Pin
from tests.clips import gliding
from vqvae import rotations as rot


def test_a_place_of_the_timeline_is_found_in_a_segment_that_is_played_turned() -> None:
    turned = gliding(30)
    yaw = rot.about_y(np.linspace(0, 1.2, 30).clip(0, 0.7))
    turned = replace(turned, rotations=np.concatenate([yaw[:, None], turned.rotations[:, 1:]], 1))
    rows = [segment_of("a person turns", turned, 0, True), segment_of("a person walks", gliding(40), 0, True)]
    state = Timeline().replace_segments(rows)
    at = state.spans[1][0] + 20  # behind the seam
    key = Pin(limb="left_hand", second=at / FPS, place=tuple(state.motion.joints[at, 20].tolist()))
    found = _local(state, 1, key)
    assert round(found.second * FPS) == 20
    assert np.allclose(found.place, state.segments[1].motion.joints[20, 20], atol=1e-4)
