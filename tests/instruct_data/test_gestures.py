"""Strokes, their packing, classes of words and the performing of plans."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from instruct_data.factory.gesture.bank import Bank, build, make_keyed_strokes
from instruct_data.factory.gesture.performing import PoseSegment, join_segments, perform
from instruct_data.factory.gesture.trunk import hand_depth, outside
from instruct_data.gesture.performing import BEFORE
from instruct_data.gesture.plan import (
    MIN_DISTANCE,
    Beat,
    Nod,
    Placed,
    Plan,
    Raised,
    Style,
    read_classes,
    sentences,
    without_overlaps,
    word_classes,
)
from instruct_data.gesture.strokes import (
    ARM,
    FPS,
    HAND,
    SIDES,
    TURNED,
    Stroke,
    count_packed_frames,
    hinge_elbows,
    motion_of,
    pack,
    soft,
    stroke_of,
    turns_of,
    unpack,
    within,
    wrists,
)
from tests.gesture import made_up
from vqvae import rotations as rot
from vqvae.errors import UserError

STYLE = Style("one", ("keyed",), drift=0.0, head=0.0)


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    return made_up.bank(tmp_path_factory.mktemp("bank"))


def speeds(turns: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(np.gradient(wrists(turns), axis=0), axis=-1) * FPS)


def lifted_arm() -> np.ndarray:
    """The right elbow bends in frames 10 to 26, stays bent until 38, and straightens until 60."""
    share = np.interp(np.arange(80), [10, 26, 38, 60], [0, 1, 1, 0])
    share = share * share * (3 - 2 * share)
    turns = rot.identity((80, TURNED))
    turns[:, ARM["r"][2]] = rot.from_axis_angle(np.radians(70) * share[:, None] * np.array([0, 1.0, 0]))
    return turns


def through_bytes(stroke: Stroke) -> Stroke:
    return unpack(pack(stroke), replace(stroke, turns=np.zeros((0, 43, 4))), stroke.rest_pose)


def test_the_emphasis_is_the_arrival_of_the_hand_whatever_the_annotation() -> None:
    motion = motion_of(lifted_arm())
    assert rot.angle_between(turns_of(motion), lifted_arm()).max() < 1e-3
    for annotated in (None, 0.1, 0.95):
        stroke = stroke_of(motion, "Lift", "made", "nobody", annotated)
        assert stroke.sides == ("r",)
        assert 25 <= stroke.emphasis <= 30 and 8 <= stroke.start <= 13
    with pytest.raises(UserError, match="hands that move by"):
        stroke_of(motion_of(rot.identity((40, TURNED))), "None", "made", "nobody")


def test_mirrored_swaps_sides_and_names() -> None:
    stroke = stroke_of(motion_of(lifted_arm()), "IndicateLeft", "made", "nobody")
    mirrored = stroke.mirror()
    assert mirrored.name == "IndicateRight" and mirrored.sides == ("l",)
    assert np.allclose(speeds(mirrored.turns)[:, 0], speeds(stroke.turns)[:, 1], atol=1e-3)


@pytest.mark.parametrize("name", ["count_two", "wave", "weigh", "big"])
@pytest.mark.parametrize("cut", [0, 1])
def test_a_packed_stroke_is_exact_to_the_millimetre_in_few_bytes(name: str, cut: int) -> None:
    stroke = make_keyed_strokes(0, 1, [name])[0]
    stroke = replace(stroke, turns=stroke.turns[cut:], start=stroke.start - cut, emphasis=stroke.emphasis - cut,
                     end=stroke.end - cut)  # fmt: skip
    packed, unpacked, frames = pack(stroke), through_bytes(stroke), count_packed_frames(stroke)
    assert frames <= len(unpacked.turns) <= frames + 1 and unpacked.emphasis == stroke.emphasis
    assert packed.keys.nbytes + packed.base.nbytes + packed.scale.nbytes < len(stroke.turns) * 43 * 4
    before, after = stroke.turns[:frames], unpacked.turns[:frames]
    acting = [SIDES.index(s) for s in stroke.sides]
    errors = np.linalg.norm(wrists(before) - wrists(after), axis=-1)[:, acting]
    assert errors[stroke.emphasis].max() < 0.004 and errors.max() < 0.02
    for side in stroke.sides:
        fingers = np.degrees(rot.angle_between(before[:, HAND[side]], after[:, HAND[side]]))
        assert fingers[stroke.emphasis].max() < 0.6
    assert np.degrees(rot.angle_between(unpacked.rest_pose, stroke.rest_pose)).max() < 0.05
    for idle in {*SIDES} - {*stroke.sides}:
        joints = [*ARM[idle], *HAND[idle]]
        assert (unpack(packed, stroke, rot.identity((43,))).turns[:, joints] == rot.identity((43,))[joints]).all()


def test_a_joint_that_passes_half_a_turn_is_not_packed() -> None:
    stroke = make_keyed_strokes(0, 1, ["wave"])[0]
    angles = np.linspace(0, 1.2 * np.pi, len(stroke.turns))[:, None] * np.array([0.0, 0.0, 1.0])
    turns, shoulder = stroke.turns.copy(), ARM["r"][1]
    turns[:, shoulder] = rot.multiply(stroke.rest_pose[shoulder], rot.from_axis_angle(angles))
    through_bytes(replace(stroke, turns=turns[: stroke.emphasis + 1], end=stroke.emphasis))
    with pytest.raises(UserError, match="keyed/wave/0: a joint passes half a turn"):
        pack(replace(stroke, turns=turns, end=len(turns) - 1))


def test_joined_segments_neither_jump_nor_miss_their_poses() -> None:
    a, b = np.radians([[10.0, 0, 0], [80.0, 20, 0]])
    swing = a + np.radians(15) * np.sin(np.arange(40) / 6)[:, None] * np.array([0, 1.0, 0])
    first = rot.from_axis_angle(swing)[:, None]
    second = np.repeat(rot.from_axis_angle(b)[None, None], 60 + BEFORE, 0)
    out = join_segments([PoseSegment(0, np.concatenate([first[:BEFORE], first]), 1), PoseSegment(40, second, 20)], 100)
    steps = rot.angle_between(out[1:], out[:-1])[:, 0]
    assert np.abs(np.diff(steps)).max() < np.radians(1.6)  # a jump would be 70 degrees in one step
    assert rot.angle_between(out[60:], second[:40]).max() < 1e-6


def test_strokes_arrive_on_their_frames_and_hands_rest_outside(bank: Bank) -> None:
    strokes = tuple(Placed(next(iter(bank.strokes[name])), frame) for name, frame in (("big", 60), ("weigh", 100)))
    plan = Plan(240, raised=(Raised(40, 130, 0, 22),), strokes=strokes, style=STYLE)
    turns = perform(plan, bank, np.random.default_rng(1))
    speed = speeds(turns).max(1)
    for placed in plan.strokes:
        approach = speed[placed.frame - 20 : placed.frame + 1]
        assert approach[-1] < 0.2 * approach.max(), placed.stroke.name  # they have arrived, and not before:
        assert approach[-5] > 0.3 * approach.max(), placed.stroke.name
    assert speed[:20].max() < 0.1 and speed[200:].max() < 0.1
    jerk = np.linalg.norm(np.diff(wrists(turns), n=3, axis=0), axis=-1).max() * FPS**3
    assert jerk < 1500


def test_a_plan_and_a_seed_decide_a_performance(bank: Bank) -> None:
    raised, beats = (Raised(10, 90, 0, 22),), (Beat(50, 0.5, ("l", "r")),)
    plan = Plan(120, ((10, 90),), raised=raised, beats=beats, nods=(Nod(60, 0.2),), style=Style("one", ()))
    a, b, c = (perform(plan, bank, np.random.default_rng(k)) for k in (1, 1, 2))
    assert np.array_equal(a, b) and not np.array_equal(a, c)


def test_a_beat_moves_raised_hands_and_leaves_resting_ones(bank: Bank) -> None:
    still = Plan(120, raised=(Raised(10, 110, 0, 22),), style=STYLE)
    beat = replace(still, beats=(Beat(60, 0.5, ("r",)),))
    resting = replace(beat, raised=())
    moved = [speeds(perform(p, bank, np.random.default_rng(1)))[42:60] for p in (still, beat, resting)]
    assert moved[1][:, 1].max() > moved[0][:, 1].max() + 0.2
    assert moved[2].max() < 0.1


def test_strokes_of_one_arm_have_a_minimal_distance(bank: Bank) -> None:
    stroke = bank.strokes["weigh"][0]
    remaining = without_overlaps([Placed(stroke, 50), Placed(stroke, 50 + MIN_DISTANCE - 1), Placed(stroke, 20)])
    assert [p.frame for p in remaining] == [20, 50]


def test_limits_act_softly() -> None:
    x = np.linspace(0, 300, 400)
    y = soft(x, 80, 100)
    assert (y[x <= 80] == x[x <= 80]).all() and y.max() <= 100 and (np.diff(y) >= 0).all()
    turns = rot.identity((2, TURNED))
    turns[:, ARM["l"][3]] = rot.from_axis_angle(np.radians([0.0, 0, 130]))
    turns[:, ARM["l"][2]] = rot.from_axis_angle(np.radians([0.0, 30, 0]))  # against the elbow
    angles = np.degrees(rot.to_axis_angle(within(turns)[0]))
    assert np.linalg.norm(angles[ARM["l"][3]]) <= 100 and angles[ARM["l"][2], 1] <= 7


def test_the_longest_run_of_words_counts(tmp_path: Path) -> None:
    matches = made_up.table(tmp_path).find("No, not at all: the whole world is big!".split())
    assert [(m.first, m.stop, m.kind) for m in matches] == [
        (0, 1, "negation"), (1, 4, "negation"), (4, 7, "size"), (8, 9, "size"),
    ]  # fmt: skip


def test_impossible_tables_of_words_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "classes.yaml"
    for text, message in (
        ("beat: {words: [], gestures: {}}\n", "beat: no gestures"),
        ("size: {words: [big], gestures: {big: 1}}\n", "beat among them"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=message):
            read_classes(path)
    with pytest.raises(UserError, match="ask for BeatMid"):
        build([], made_up.table(tmp_path))


def test_packaged_classes_sentences_and_strokes_match() -> None:
    table, texts, strokes = word_classes(), sentences(), make_keyed_strokes(0, 1)
    assert {s.name for s in strokes} <= table.gestures
    rng = np.random.default_rng(0)
    kinds = {m.kind for _ in range(1500) for m in table.find(texts.draw(rng).split())}
    assert set(table.classes) - {"beat"} <= kinds
    for stroke in strokes:
        speed = speeds(stroke.turns).max(1)
        assert speed[stroke.emphasis] < 0.5 * speed[: stroke.emphasis].max(), stroke.source


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("big", [-0.44, -0.06, 0.24]), ("small", [-0.09, -0.15, 0.30]), ("here", [-0.20, -0.20, 0.34]),
        ("future", [-0.22, 0.06, 0.44]), ("weigh", [-0.34, -0.05, 0.28]),
    ],
)  # fmt: skip
def test_keyed_hands_are_at_their_places_on_the_emphasis(name: str, place: list[float]) -> None:
    for stroke in make_keyed_strokes(0, 4, [name]):
        hand = wrists(stroke.turns)[stroke.emphasis, 1]
        assert np.linalg.norm(hand - place) < 0.06 and stroke.end > stroke.emphasis  # the trunk may turn
        assert speeds(stroke.turns)[stroke.emphasis, 1] < 0.4 * speeds(stroke.turns)[:, 1].max()


def test_hands_are_pushed_out_of_the_trunk() -> None:
    stroke = make_keyed_strokes(0, 1, ["heart"])[0]
    turns = np.repeat(stroke.turns[stroke.emphasis][None], 60, 0)
    turned = rot.from_axis_angle(np.radians(35) * np.array([0.0, 1.0, 0.0]))
    turns[20:40, ARM["r"][1]] = rot.multiply(turned, turns[20:40, ARM["r"][1]])  # the hand goes into the chest
    before, after = (hand_depth(motion_of(t).rotations.astype(float)) for t in (turns, outside(turns)))
    assert before[:, 1].max() > 0.03 and after.max() < 0.005 and (before[:, 0] < 0).all()
    free = np.repeat(rot.identity((1, TURNED)), 5, 0)
    assert np.allclose(outside(free), free)


def test_a_hinge_leaves_all_joints_where_they_are() -> None:
    stroke = make_keyed_strokes(0, 1, ["big"])[0]
    motion = motion_of(stroke.turns)
    out = replace(motion, rotations=hinge_elbows(motion.rotations))
    assert np.abs(out.joints - motion.joints).max() < 1e-5
    again = hinge_elbows(out.rotations)
    assert np.abs(rot.angle_between(again, out.rotations.astype(float))).max() < np.radians(1.0)
    elbow = out.rotations[stroke.emphasis, 18]  # bent: its forearm leaves the upper arm in one plane
    along = rot.to_matrix(elbow.astype(float))[:, 0]
    assert abs(np.degrees(np.arctan2(along[1], along[2]))) == pytest.approx(12.0, abs=0.5)
