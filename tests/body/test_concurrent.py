"""Two things at once: what goes together, and arms on other steps."""

import numpy as np

from avatargpt import AvatarGPT
from avatargpt.body.generate import at_rest, layered
from avatargpt.kinematics.measures import jerk
from avatargpt.requests.lookups import which_is_below


def test_arms_go_on_steps_and_nothing_else_does():
    assert which_is_below("walk", "clap") == 0
    assert which_is_below("nod", "run") == 1
    assert which_is_below("a person walks", "clap") == 0
    assert which_is_below("sit_down", "clap") is None
    assert which_is_below("walk", "carry_box") is None


def test_a_rest_comes_before_what_is_done_in_it():
    model = AvatarGPT.from_pretrained()
    drinks = "someone lifts a glass to the mouth and drinks"
    assert model.read_as("drink while sitting") == [["someone is sitting down", drinks]]
    for text in ("kneel down, wave, then get up", "sit down and get up"):
        assert model.read_as(text)[0][-1] == "a person stands up"
    assert model.read_as("lie down, then get up")[0][-1] == "a person gets up from the ground"


def test_who_sits_goes_on_sitting_while_the_hands_act():
    model = AvatarGPT.from_pretrained()
    motion, still = model.generate(["sit down, then drink from a cup", "sit down, then jump"], seed=3)
    waving = model.generate("sit down, wave", seed=0)[0]  # whose clip begins with a raised hand
    assert jerk(waving.joints, waving.fps).max() < 0.5
    height = motion.root[:, 1]
    assert height[0] > 0.85 and height[-40:].max() < 0.72
    assert jerk(motion.joints, motion.fps).max() < 0.3  # hands that leap at the seam have 1 and more
    head, wrists = motion.joints[-80:, 15], motion.joints[-80:, [20, 21]]
    assert np.linalg.norm(wrists - head[:, None], axis=-1).min() < 0.3
    assert still.root[-80:, 1].max() > 0.85
    assert at_rest(still, motion, 0) is None  # which stands at its end


def test_the_model_walks_while_it_waves():
    model = AvatarGPT.from_pretrained()
    assert model.read_as(["walk while waving with the right hand", "walk while carrying a box"]) == [
        ["a person walks, and at the same time the figure waves the right hand"],
        ["a person walks forward carrying a heavy box"],
    ]
    motion, steps = model.generate(["walk while waving with the right hand", "walk"], seconds=5.0, seed=1)
    joints = motion.joints
    assert np.linalg.norm((motion.root[-1] - motion.root[0])[[0, 2]]) > 2
    assert (joints[:, 21, 1] > joints[:, 17, 1]).mean() > 0.3  # the right wrist above its shoulder
    assert (joints[:, 20, 1] > joints[:, 16, 1]).mean() < 0.1
    assert len(layered(steps, motion)) == len(steps)
    np.testing.assert_array_equal(layered(steps, motion).root, steps.root)
