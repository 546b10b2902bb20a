"""What a typed request asks for beyond its words is shown: on keyframed clips, and by the packaged model."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

from avatargpt import AvatarGPT
from avatargpt.body.adjustments import in_tempo, looped, pinned, sized
from avatargpt.body.constraints import MotionSpec, acting_side, on_the_spot, reversed_steps, violates, wrong_actions
from avatargpt.body.repetition import counter, repeated
from avatargpt.evaluation.corpus import keyframed_clips
from avatargpt.kinematics.joints import Signals
from avatargpt.metrics.checks import CaptionChecks
from avatargpt.metrics.geometry.counts import COUNTERS
from avatargpt.metrics.geometry.measures import MEASURES, off_course
from avatargpt.options import GenerationConfig, UnheededText, timed
from instruct_data.requests.spec import Clause, MotionRequest, Pin
from vqvae.errors import UserError
from vqvae.motion import Motion


def clip(family: str) -> Motion:
    return next(iter(keyframed_clips(1, only=[family]))).load()


@pytest.mark.parametrize("family", ["jump", "squat", "clap", "nod", "kick"])
@pytest.mark.parametrize("times", [1, 3, 6])
def test_a_cycle_is_repeated_or_left_out(family: str, times: int) -> None:
    count = counter(family)
    again = repeated(clip(family), times, count)
    assert again is not None and count(Signals(again)) == times


def test_faster_is_shorter_and_larger_goes_further() -> None:
    motion = clip("kick")
    assert len(in_tempo(motion, Clause(action="kick", factor=2.0))) == round(len(motion) / 2)
    assert len(in_tempo(motion, Clause(action="kick", tempo="speeding_up"))) == len(motion)
    small, large = (MEASURES["foot_height"](Signals(sized(motion, f))) for f in (0.6, 1.4))
    assert small < 0.9 * MEASURES["foot_height"](Signals(motion)) < large


def test_one_side_acts_and_the_mirror_image_has_the_other() -> None:
    motion = clip("raise_hand")
    side = acting_side(Signals(motion))
    assert {side, acting_side(Signals(motion.mirrored()))} == {"left", "right"}


@pytest.mark.parametrize(("family", "caption", "seen"), [
    ("nod", "a person nods", True), ("walk_on_the_spot", "a person nods", False), ("nod", "", True),
])  # fmt: skip
def test_a_known_action_is_seen_or_missed(family: str, caption: str, seen: bool) -> None:
    spec = MotionSpec(caption, 20, action="nod" if caption else "no such action", clause=Clause(action="nod"))
    s = Signals(clip(family))
    assert (wrong_actions(s, spec) == 0) is seen and violates(clip(family), spec) is not seen
    denied = replace(spec, action="bow", caption="", avoid=(("nod", "a person nods"),))
    assert wrong_actions(s, denied) - wrong_actions(s, replace(denied, avoid=())) == (family == "nod")


def test_a_side_that_a_caption_names_must_be_the_one_that_is_seen() -> None:
    left = CaptionChecks().of_action("look_around", "a person looks to the left")
    assert {"any": [{"looks": {"side": "left"}}]} in left
    assert len(CaptionChecks().of_action("look_around", "a person looks around")[0]["any"]) > 1
    lunge = CaptionChecks().of_action("lunge", "a person lunges forward with the right leg")
    assert {"lunges": {"side": "right"}} in lunge
    assert "walks_backward" in CaptionChecks().of_action("walk_back", "a person walks backward")


def test_steps_forward_are_played_backwards_where_they_are_to_go_back() -> None:
    motion = next(iter(keyframed_clips(1, only=["march"]))).load()
    ahead = MotionSpec("someone marches", 20, action="march", clause=Clause(action="march", direction="forward"))
    back = replace(ahead, clause=Clause(action="march", direction="backward"))
    assert reversed_steps(motion, ahead) is motion
    assert off_course(Signals(reversed_steps(motion, back)), "back") < 25 < 150 < off_course(Signals(motion), "back")


def test_a_way_is_taken_out() -> None:
    motion = next(iter(keyframed_clips(1, only=["march"]))).load()
    there = on_the_spot(motion)
    assert np.abs(there.root[:, [0, 2]] - there.root[0, [0, 2]]).max() < 0.5


def test_a_loop_ends_where_it_begins() -> None:
    motion = looped(clip("clap"))
    assert np.abs(motion.joints[-1] - motion.joints[0]).max() < 0.01


def test_hands_and_feet_are_led_to_places() -> None:
    motion = clip("nod")
    hand = Pin(limb="right_hand", second=1.0, place=(-0.3, 1.3, 0.35))
    pins = [hand, Pin(limb="left_foot", second=1.5, place=(0.15, 0.4, 0.3))]
    led, notes = pinned(motion, pins)
    assert not notes
    for pin, joint in zip(pins, (21, 7), strict=True):
        at = led.joints[round(pin.second * led.fps), joint]
        assert np.linalg.norm(at - np.array(pin.place)) < 0.02
    assert "out of reach" in pinned(motion, [Pin(limb="left_hand", second=1.0, place=(3, 1, 0))])[1][0]
    with pytest.raises(UserError, match="at 99 s"):
        pinned(motion, [Pin(limb="left_hand", second=99, place=(0, 1, 0))])


def test_seconds_that_are_given_are_kept_where_there_is_room() -> None:
    assert timed(60, [20, 20, 20], [None, 2.0, None], 5.0, 5) == [25, 10, 25]
    assert sum(timed(30, [20, 20], [None, 6.0], 5.0, 5)) == 30
    assert timed(30, [20, 20], [2.0, 2.0], 5.0, 5) == [15, 15]


@pytest.fixture(scope="module")
def model() -> AvatarGPT:
    return AvatarGPT.from_pretrained()


def test_a_typed_request_is_made(model: AvatarGPT) -> None:
    request = MotionRequest(clauses=[Clause(action="jump", times=3), Clause(action="stand still", seconds=1.5)])
    assert MotionRequest.model_validate_json(request.model_dump_json()) == request
    (result,) = model.body.generation.results(request, config=GenerationConfig(seed=1))
    (start, end), (_, last) = result.spans
    assert last - end == 30 and COUNTERS["jumps"](Signals(result.motion.slice(0, end - 4))) == 3 and start == 0
    assert result.motion.caption == request.compact


def test_lengths_of_clauses_are_exact(model: AvatarGPT) -> None:
    (result,) = model.body.generation.results("walk for 3 seconds, then run for 2 seconds, then stop for 1 second")
    assert result.spans == ((0, 60), (60, 100), (100, 120))


def test_what_is_not_shown_is_said(model: AvatarGPT) -> None:
    request = MotionRequest(clauses=[Clause(action="walk", path="spiral")])
    with pytest.warns(UnheededText, match="path 'spiral' not shown"):
        model.generate(request, seconds=2.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.generate("walk", seconds=2.0)


def test_the_other_hand_of_two_requests_acts(model: AvatarGPT) -> None:
    requests = [MotionRequest(clauses=[Clause(action="raise arm", side=side)]) for side in ("left", "right")]
    assert [acting_side(Signals(m)) for m in model.generate(requests)] == ["left", "right"]
