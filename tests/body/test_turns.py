"""Turns by a measure: what is asked for, where a motion is cut, and how far the packaged model turns."""

import numpy as np

from avatargpt import AvatarGPT
from avatargpt.body.candidates import cuts
from avatargpt.requests.clause_spec import Turn


def test_how_far_a_turn_misses():
    assert Turn(90, "left").missed(80.0) == 10 and Turn(90, "right").missed(-80.0) == 10
    assert Turn(90, "right").missed(90.0) == 180
    assert Turn(180).missed(-170.0) == Turn(180).missed(170.0) == 10


def test_a_motion_is_cut_near_its_goal():
    yaw = np.arange(40) * 10.0  # ten tokens of four frames; they end at 30, 70, 110, ... degrees
    assert cuts(yaw, Turn(90, "left"), 10) == [2, 3]
    assert cuts(-yaw, Turn(90, "right"), 10) == [2, 3]
    assert cuts(-yaw, Turn(90), 10) == [2, 3]
    assert cuts(-yaw, Turn(90, "left"), 10) == []
    assert cuts(yaw, Turn(720, "left"), 10) == []
    assert cuts(yaw / 4, Turn(20, "left"), 10) == [2, 3]  # not before anything has turned


def test_the_model_turns_as_far_as_it_is_asked():
    model = AvatarGPT.from_pretrained()
    asked = {"turn right 90 degrees": -90, "turn left 45 degrees": 45, "half turn to the left": 180}
    assert model.read_as("turn right 90 degrees") == [["a person turns around to the right, by 90 degrees"]]
    texts = [t for t in asked for _ in range(2)]
    motions = model.generate(texts, seeds=[0, 1] * len(asked))
    turned = [np.degrees(np.unwrap(m.heading)) for m in motions]
    missed = [abs(float(h[-1] - h[0]) - asked[t]) for h, t in zip(turned, texts, strict=True)]
    assert np.mean(missed) < 20 and max(missed) < 40


def test_a_turn_of_a_given_length_is_that_long_and_ends_at_rest():
    model = AvatarGPT.from_pretrained()
    motion = model.generate("turn left 90 degrees", seconds=4.0, seed=1)[0]
    yaw = np.degrees(np.unwrap(motion.heading))
    assert len(motion) == 80
    assert abs(yaw[-1] - yaw[0] - 90) < 40 and np.ptp(yaw[-10:]) < 15
