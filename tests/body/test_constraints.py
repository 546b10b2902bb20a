"""What a request fixes (counts, sides, places, lengths) and the paths, turns and rests of its movements."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from avatargpt import AvatarGPT
from avatargpt.body.constraints import (
    ATTRIBUTE_COST,
    VERIFIED,
    MotionSpec,
    constrain_motion,
    constraint_cost,
    find_acting_side,
    in_tempo,
    motion_specs,
    other_attributes,
    resize_movement,
    reverse_steps,
    unmet,
    violates,
    wrong_actions,
)
from avatargpt.body.generate import along, at_rest, layer_arms
from avatargpt.body.model import cuts
from avatargpt.body.repetition import counter, repeat_action
from avatargpt.evaluation.corpus import make_keyframed_clips
from avatargpt.kinematics.joints import Signals
from avatargpt.kinematics.measures import jerk
from avatargpt.metrics.checks import CaptionChecks
from avatargpt.metrics.geometry.counts import COUNTERS
from avatargpt.metrics.geometry.measures import MEASURES, off_course
from avatargpt.options import GenerationConfig, UnheededText, share_tokens
from avatargpt.requests.clause_spec import SHAPES, TURN, ClauseSpec, Route, Turn, which_is_below
from avatargpt.requests.resolver import ResolvedRequest
from instruct_data.attributes import Measures, describe_figures, mirror_attributes
from instruct_data.requests.spec import Clause, MotionRequest
from vqvae.errors import UserError
from vqvae.features import BodyFeatures
from vqvae.motion import Motion


def clip(family: str) -> Motion:
    return next(iter(make_keyframed_clips(1, only=[family]))).load()


@pytest.mark.parametrize("family", ["jump", "squat", "clap", "nod", "kick"])
@pytest.mark.parametrize("times", [1, 3, 6])
def test_a_cycle_is_repeated_or_left_out(family: str, times: int) -> None:
    count = counter(family)
    again = repeat_action(clip(family), times, count)
    assert again is not None and count(Signals(again)) == times


def test_faster_is_shorter_and_larger_goes_further() -> None:
    motion = clip("kick")
    assert len(in_tempo(motion, Clause(action="kick", factor=2.0))) == round(len(motion) / 2)
    assert len(in_tempo(motion, Clause(action="kick", tempo="speeding_up"))) == len(motion)
    small, large = (MEASURES["foot_height"](Signals(resize_movement(motion, f))) for f in (0.6, 1.4))
    assert small < 0.9 * MEASURES["foot_height"](Signals(motion)) < large


def test_one_side_acts_and_the_mirror_image_has_the_other() -> None:
    motion = clip("raise_hand")
    side = find_acting_side(Signals(motion))
    assert {side, find_acting_side(Signals(motion.mirrored()))} == {"left", "right"}


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
    motion = next(iter(make_keyframed_clips(1, only=["march"]))).load()
    ahead = MotionSpec("someone marches", 20, action="march", clause=Clause(action="march", direction="forward"))
    back = replace(ahead, clause=Clause(action="march", direction="backward"))
    assert reverse_steps(motion, ahead) is motion
    assert off_course(Signals(reverse_steps(motion, back)), "back") < 25 < 150 < off_course(Signals(motion), "back")


def test_seconds_that_are_given_are_kept_where_there_is_room() -> None:
    assert share_tokens(60, [20, 20, 20], [None, 2.0, None], 5.0, 5) == [25, 10, 25]
    assert sum(share_tokens(30, [20, 20], [None, 6.0], 5.0, 5)) == 30
    assert share_tokens(30, [20, 20], [2.0, 2.0], 5.0, 5) == [15, 15]


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


def test_a_posture_is_kept(model: AvatarGPT) -> None:
    stay = Clause(action="stay there", hold=True, seconds=3)
    requests = [MotionRequest(clauses=[Clause(action=action), stay]) for action in ("sit down", "lie down")]
    for result, posture in zip(model.body.generation.results(requests), ("sitting", "lying"), strict=True):
        (_, start), (_, end) = result.spans
        measures = Measures.of(result.motion)
        assert end - start == 60
        assert np.mean([posture in measures.posture(i) for i in range(start, end, 4)]) > 0.8
    moving = MotionSpec("", 20, clause=stay)
    assert constraint_cost(clip("jump"), moving) > constraint_cost(clip("nod"), moving) > 0


def test_what_is_not_shown_is_said(model: AvatarGPT) -> None:
    request = MotionRequest(clauses=[Clause(action="walk", path="spiral")])
    with pytest.warns(UnheededText, match="path 'spiral' not shown"):
        model.generate(request, seconds=2.0)
    with pytest.warns(UnheededText, match="not known: 'explode into confetti'; near: "):
        (motion,) = model.generate("explode into confetti", seconds=2.0, best_of=1)
    assert [note[:9] for note in motion.notes] == ["not known"]
    with pytest.warns(UnheededText, match="1 s: too short for 3 actions"):
        model.generate("walk, then jump, then bow", seconds=1.0, best_of=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (motion,) = model.generate("walk", seconds=2.0)
    assert motion.notes == ()


def test_the_other_hand_of_two_requests_acts(model: AvatarGPT) -> None:
    requests = [MotionRequest(clauses=[Clause(action="raise arm", side=side)]) for side in ("left", "right")]
    assert [find_acting_side(Signals(m)) for m in model.generate(requests)] == ["left", "right"]


@pytest.fixture
def straight() -> np.ndarray:
    """Eight seconds (160, 269) straight ahead at 1.2 m/s, that sway and drift to the right."""
    spec = BodyFeatures()
    features = np.zeros((160, spec.dim), np.float32)
    features[:, 0], features[:, 2] = 0.95, 0.06
    features[:, 3] = 0.02 * np.cos(np.arange(160) * 2 * np.pi / 20) - 0.004
    for at in range(4, 4 + 22 * 6, 6):  # joints as they are at rest: the two first columns of the unit matrix
        features[:, at], features[:, at + 4] = 1, 1
    return features


def test_a_path_gets_its_shape(straight):
    spec = BodyFeatures()

    def path(shape, side="left"):
        return along(straight, Route(shape, side, 1, 1.0, "walk"), spec).root[:, [0, 2]]

    circle = path("circle")
    assert np.linalg.norm(circle[-1] - circle[0]) < 0.5
    middle = circle.mean(0)
    assert np.ptp(np.linalg.norm(circle - middle, axis=1)) < 0.5 and middle[0] > 1  # to the left, which is +X
    assert path("circle", "right").mean(0)[0] < -1
    line = path("straight line")
    assert np.abs(line[:, 0]).max() < 0.3 and line[-1, 1] > 9
    eight = path("figure eight")
    assert np.linalg.norm(eight[-1] - eight[0]) < 0.8 and eight[:, 0].min() < -0.7 and eight[:, 0].max() > 0.7


def test_sizes_and_speeds_take_their_time():
    run, walk = (Route("circle", "left", 1, 1.0, words) for words in ("run", "walk"))
    assert Route("circle", "left", 1, 0.7, "run").tokens < run.tokens < walk.tokens == SHAPES["circle"][1]
    assert Route("straight line", "left", 1, 1.0, "walk").tokens == 0


def test_what_a_motion_lacks_of_its_request_is_told(straight):
    spec = BodyFeatures()
    line = spec.decode(straight)
    gone = float(np.linalg.norm((line.root[-1] - line.root[0])[[0, 2]]))

    def told(motion, **asked):
        clause = Clause(action="walk", **{k: v for k, v in asked.items() if k not in ("turn", "route")})
        extra = {k: v for k, v in asked.items() if k in ("turn", "route")}
        return unmet(motion, MotionSpec("no such caption", 20, clause=clause, **extra))

    assert told(line) == told(line, distance=gone) == told(line, seconds=line.seconds) == []
    assert told(line, distance=2 * gone) == [f"'walk': {2 * gone:g} m asked for, {gone:.1f} gone"]
    assert told(line, seconds=2 * line.seconds) == [
        f"'walk': {2 * line.seconds:g} s asked for, {line.seconds:.1f} taken"
    ]
    assert told(line, turn=Turn(180))[0].startswith("'walk': misses a turn of 180 degrees by 1")
    bow = MotionSpec("no such caption", 20, clause=Clause(action="bow", turn=90.0, side="left"))  # by --turn
    assert unmet(line, bow)[0].startswith("'bow': misses a turn of 90 degrees by ")
    circle, corner = Route("circle", "left", 1, 1.0, "walk"), Route.through([(0.0, 4.0), (4.0, 4.0)], "walk")
    glides = ["'walk': glides along its way, without steps"]  # as this body does, which has none
    ways = [told(along(straight, way, spec), route=way) for way in (circle, corner)]
    assert ways == [glides, glides]
    assert told(line, route=circle)[0].startswith("'walk': misses a turn of 360 degrees by 3")
    assert told(line, route=corner)[0].startswith("'walk': passes waypoint 2 at 4")


def test_who_is_there_early_stops_there_and_does_not_take_smaller_steps(straight):
    route = Route("straight line", "left", 1, 1.0, "walk", metres=3.0)
    short = along(straight, route, BodyFeatures())
    assert abs(np.linalg.norm((short.root[-1] - short.root[0])[[0, 2]]) - 3) < 0.2 and len(short) < len(straight) / 2
    assert Route("straight line", "left", 1, 1.0, "run", metres=12.0).tokens < 28  # faster than 2.1 m/s


@pytest.mark.parametrize(("start", "end", "settles"), [
    ("standing", "sitting", True), ("standing", "standing", False), ("sitting", "sitting", False),
    ("lying_face_up", "standing", False),
])  # fmt: skip
def test_what_has_come_to_a_posture_stays_in_it(start: str, end: str, settles: bool) -> None:
    assert MotionSpec("x", 200, attributes={"start": start, "end": end}).settles is settles


def test_a_short_turn_is_made_whole_and_then_faster() -> None:
    spec = ClauseSpec("turn", 1.0, turn=Turn(180), clause=Clause(action="turn"))
    (short,), (long,) = (motion_specs(ResolvedRequest("turn", None, (spec,)), s, 0, 5.0) for s in (1.0, 6.0))
    assert (short.tokens, short.frames, long.tokens, long.frames) == (-1, 20, 30, 120)
    assert len(constrain_motion(clip("jump"), short)) == 20


def test_what_is_done_on_the_spot_does_not_go(straight) -> None:
    line = BodyFeatures().decode(straight)
    there, here = (MotionSpec("x", 20, clause=Clause(action="x", in_place=p)) for p in (False, True))
    assert violates(line, here) and not violates(line, there)
    assert constraint_cost(line, here) > constraint_cost(line, there) + 1


def test_waypoints_are_met(straight):
    points = [(0.0, 3.0), (2.0, 3.0), (2.0, 6.0)]
    route = Route.through(points, "walk")
    root = along(straight, route, BodyFeatures()).root[:, [0, 2]] - 0.0
    missed = np.linalg.norm(root[:, None] - root[0] - np.array(points), axis=-1).min(0)
    assert missed.max() < 0.4 and route.metres == 8
    assert Route.through([(0.0, 0.0), *points], "walk") == route
    for bad in ([(0.0, 0.1)], [(0.0, 0.0)], [(np.nan, 1.0)], [(0.0, np.inf)], [(0.0, 1e6)], [(0.0, 700.0), (0.0, 1.0)]):
        with pytest.raises(UserError, match="waypoints"):
            Route.through(bad, "walk")


def test_too_short_a_way_makes_a_part_of_the_shape(straight):
    yaw = np.degrees(np.unwrap(along(straight[:20], Route("circle", "left", 1, 1.0, "walk"), BodyFeatures()).heading))
    assert 60 < yaw[-1] - yaw[0] < 130  # 1.2 m at a radius of 0.6 m is two radians


def test_a_turn_in_the_midst_of_a_walk(straight):
    route = Route(TURN, "right", 1, 1.0, "walk", 60.0)
    yaw = np.degrees(np.unwrap(along(straight, route, BodyFeatures()).heading))
    assert abs(yaw[-1] - yaw[0] + 60) < 6 and abs(yaw[50] - yaw[0]) < 12


def test_the_model_walks_in_a_circle_and_around_a_corner(model):
    (walks,) = model.read_as("walk to the table")[0]
    asked = [
        MotionRequest(clauses=[Clause(action="walk", path=path, side=side)])
        for path, side in (("circle", "right"), ("curve", "left"))
    ]
    assert "walks" in walks and model.read_as(asked) == [
        [f"{walks}, in a circle to the right"], [f"{walks}, in a quarter circle to the left"],
    ]  # fmt: skip
    circle, corner = model.generate(asked, seed=2)
    way = np.linalg.norm(np.diff(circle.root[:, [0, 2]], axis=0), axis=1).sum()
    assert np.linalg.norm((circle.root[-1] - circle.root[0])[[0, 2]]) < 0.15 * way
    turned = [float(np.degrees(np.unwrap(m.heading))[-1]) for m in (circle, corner)]
    assert abs(turned[0] + 360) < 45 and abs(turned[1] - 90) < 25


def test_how_far_a_turn_misses():
    assert Turn(90, "left").measure_miss(80.0) == 10 and Turn(90, "right").measure_miss(-80.0) == 10
    assert Turn(90, "right").measure_miss(90.0) == 180
    assert Turn(180).measure_miss(-170.0) == Turn(180).measure_miss(170.0) == 10


def test_a_motion_is_cut_near_its_goal():
    yaw = np.arange(40) * 10.0  # ten tokens of four frames; they end at 30, 70, 110, ... degrees
    assert cuts(yaw, Turn(90, "left"), 10) == [2, 3]
    assert cuts(-yaw, Turn(90, "right"), 10) == [2, 3]
    assert cuts(-yaw, Turn(90), 10) == [2, 3]
    assert cuts(-yaw, Turn(90, "left"), 10) == []
    assert cuts(yaw, Turn(720, "left"), 10) == []
    assert cuts(yaw / 4, Turn(20, "left"), 10) == [2, 3]  # not before anything has turned


def test_the_model_turns_as_far_as_it_is_asked(model):
    asked = {"turn right 90 degrees": -90, "turn left 45 degrees": 45, "half turn to the left": 180}
    assert model.read_as("turn right 90 degrees") == [["a person turns around to the right, by 90 degrees"]]
    texts = [t for t in asked for _ in range(2)]
    motions = model.generate(texts, seeds=[0, 1] * len(asked))
    turned = [np.degrees(np.unwrap(m.heading)) for m in motions]
    missed = [abs(float(h[-1] - h[0]) - asked[t]) for h, t in zip(turned, texts, strict=True)]
    assert np.mean(missed) < 20 and max(missed) < 40


def test_a_turn_of_a_given_length_is_that_long_and_ends_at_rest(model):
    motion = model.generate("turn left 90 degrees", seconds=4.0, seed=1)[0]
    yaw = np.degrees(np.unwrap(motion.heading))
    assert len(motion) == 80
    assert abs(yaw[-1] - yaw[0] - 90) < 40 and np.ptp(yaw[-10:]) < 15


def test_arms_go_on_steps_and_nothing_else_does():
    assert which_is_below("walk", "clap") == 0
    assert which_is_below("nod", "run") == 1
    assert which_is_below("a person walks", "clap") == 0
    assert which_is_below("sit_down", "clap") is None
    assert which_is_below("walk", "carry_box") is None


def test_a_rest_comes_before_what_is_done_in_it(model):
    clauses = [Clause(action="drink"), Clause(action="sit down and stay seated", together=True)]
    sits, drinks = model.read_as(MotionRequest(clauses=clauses))[0]
    assert "sit" in sits and "drink" in drinks
    for text in ("kneel down, wave, then get up", "sit down and get up"):
        assert model.read_as(text)[0][-1] in (
            "a person stands up", "a person gets up calmly from sitting", "a person gets up from a chair",
        )
    results = model.body.generation.results(["lie down, then get up"] * 4, seeds=range(4))
    assert all(r.motion.root[-1, 1] > 0.7 for r in results)


def test_who_sits_goes_on_sitting_while_the_hands_act(model):
    motion, still = model.generate(["sit down, then drink from a cup", "sit down, then jump"], seed=3)
    waving = model.generate("sit down, wave", seed=0)[0]  # whose clip begins with a raised hand
    assert jerk(waving.joints, waving.fps).max() < 0.5
    height = motion.root[:, 1]
    assert height[0] > 0.85 and height[-40:].max() < 0.72
    assert jerk(motion.joints, motion.fps).max() < 0.3  # hands that leap at the seam have 1 and more
    head, wrists = motion.joints[-80:, 15], motion.joints[-80:, [20, 21]]
    assert np.linalg.norm(wrists - head[:, None], axis=-1).min() < 0.3
    assert still.root[-80:, 1].max() > 0.85
    assert at_rest(still, motion, np.random.default_rng(0)) is None  # which stands at its end


def test_the_model_walks_while_it_waves(model):
    (both,), (carries,) = model.read_as(["walk while waving with the right hand", "walk while carrying a box"])
    walks, waves = both.split(", and at the same time ")
    assert "walks" in walks and waves.endswith("waves the right hand") and "carrying a" in carries
    motion, steps = model.generate(["walk while waving with the right hand", "walk"], seconds=5.0, seed=1)
    joints = motion.joints
    assert np.linalg.norm((motion.root[-1] - motion.root[0])[[0, 2]]) > 2
    assert (joints[:, 21, 1] > joints[:, 17, 1]).mean() > 0.3  # the right wrist above its shoulder
    assert (joints[:, 20, 1] > joints[:, 16, 1]).mean() < 0.1
    assert len(layer_arms(steps, motion)) == len(steps)
    np.testing.assert_array_equal(layer_arms(steps, motion).root, steps.root)


@pytest.mark.parametrize("family", ["kick", "kneel_on_one_knee", "climb_stairs", "turn_half_with_steps", "sidestep"])
def test_a_candidate_pays_for_attributes_that_it_does_not_show(family: str) -> None:
    motion = clip(family)
    shown = describe_figures(Measures.of(motion).figures())
    spec = MotionSpec("a clip", 4, attributes={**shown, "tempo": "fast", "quality": "good", "action": family})
    assert other_attributes(motion, spec.attributes) == [] and constraint_cost(motion, spec) == 0
    changed = {k: v for k, v in mirror_attributes(shown).items() if v != shown[k]}
    if "rise" in shown:
        changed["rise"] = {"up": "down", "down": "up"}[shown["rise"]]
    wrong = replace(spec, attributes={**shown, **changed})
    names = set(changed) & set(VERIFIED)
    assert names and set(other_attributes(motion, wrong.attributes)) == names
    assert constraint_cost(motion, wrong) == pytest.approx(ATTRIBUTE_COST * len(names))
    assert other_attributes(motion, {}) == []
