"""A hand that is pulled to a place of the timeline is there at its second, and nowhere else is anything changed."""

from dataclasses import replace

import numpy as np
import pytest

from avatargpt.body.keys import EASE
from avatargpt.chat.timeline import FPS
from tests.chat.stand_ins import say
from vqvae.skeleton import SMPL22


def test_a_hand_is_where_it_was_pulled_to(talk):
    say(talk, "make: a person walks", "then: a person waves", "total 6s")
    talk.memory.now = talk.timeline.replace_segments([replace(s, fixed=False) for s in talk.timeline.segments])
    before = talk.motion.joints
    frame, wrist = 90, SMPL22.index("l_wrist")
    goal = before[frame, wrist] + [-0.2, 0.1, 0.1]
    reply = talk.do(f"pull: left_hand {frame / FPS} {' '.join(f'{v:.3f}' for v in goal)}")
    assert reply.ok and reply.text == "1 key is held, in segment 2."
    after = talk.motion.joints
    assert len(after) == len(before) and np.linalg.norm(after[frame, wrist] - goal) < 0.01
    away = np.abs(after - before).max((1, 2))
    assert away[: frame - round(EASE * FPS) - 1].max() < 1e-3 and away[-4:].max() < 1e-3
    assert talk.say("undo").ok
    np.testing.assert_array_equal(talk.motion.joints, before)


@pytest.mark.parametrize(("pin", "message"), [
    ("left_ear 1 0 0 0", "accepted left_hand"), ("left_hand 1 0 0", "a second and x y z"),
    ("left_hand 9 0 0 0", "accepted 0 to 3"), ("left_hand nan 0 0 0", "numbers up to"),
])  # fmt: skip
def test_what_cannot_be_pulled(talk, pin, message):
    talk.say("make 3s: a person walks")
    reply = talk.do(f"pull: {pin}")
    assert not reply.ok and message in reply.text


def test_out_of_reach_is_told(talk):
    talk.say("make 3s: a person walks")
    assert "out of reach" in talk.do("pull: right_hand 1 0 3 0").text
