"""Strokes, how they follow one another, and what plans ask of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from instruct_data.gesture.bank import Bank, build, keyed_strokes
from instruct_data.gesture.classes import read_classes, sentences, word_classes
from instruct_data.gesture.performing import BEFORE, Segment, join_segments, perform
from instruct_data.gesture.plan import MIN_DISTANCE, Beat, Nod, Placed, Plan, Style, without_overlaps
from instruct_data.gesture.strokes import ARM, FPS, TURNED, motion_of, soft, stroke_of, turns_of, within, wrists
from tests.gesture import made_up
from vqvae import rotations as rot
from vqvae.errors import UserError

STYLE = Style("one", ("keyed",), drift=0.0, head=0.0)


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    return made_up.bank(tmp_path_factory.mktemp("bank"))


def speeds(turns: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(np.gradient(wrists(turns), axis=0), axis=-1) * FPS)


def raised_arm(up: int, still: int) -> np.ndarray:
    """The right elbow bends for `up` frames from frame 10 on, rests there, and comes back."""
    share = np.interp(np.arange(80), [10, 10 + up, 10 + up + still, 60], [0, 1, 1, 0])
    share = share * share * (3 - 2 * share)
    turns = rot.identity((80, TURNED))
    turns[:, ARM["r"][2]] = rot.from_axis_angle(np.radians(70) * share[:, None] * np.array([0, 1.0, 0]))
    return turns


def test_emphasis_is_where_the_hand_arrives_whatever_the_file_says() -> None:
    motion = motion_of(raised_arm(16, 12))
    for told in (None, 0.1, 0.95):
        stroke = stroke_of(motion, "Lift", "made", "nobody", told)
        assert stroke.sides == ("r",)
        assert 25 <= stroke.emphasis <= 30 and 8 <= stroke.start <= 13
    with pytest.raises(UserError, match="hands that move by"):
        stroke_of(motion_of(rot.identity((40, TURNED))), "None", "made", "nobody")


def test_turns_go_through_a_motion_and_back() -> None:
    turns = raised_arm(16, 12)
    assert rot.angle_between(turns_of(motion_of(turns)), turns).max() < 1e-3


def test_mirrored_swaps_sides_and_names() -> None:
    stroke = replace(stroke_of(motion_of(raised_arm(16, 12)), "IndicateLeft", "made", "nobody"))
    other = stroke.mirrored()
    assert other.name == "IndicateRight" and other.sides == ("l",)
    assert np.allclose(speeds(other.turns)[:, 0], speeds(stroke.turns)[:, 1], atol=1e-3)


def test_joined_tracks_neither_jump_nor_miss_their_poses() -> None:
    a, b = np.radians([[10.0, 0, 0], [80.0, 20, 0]])
    swing = a + np.radians(15) * np.sin(np.arange(40) / 6)[:, None] * np.array([0, 1.0, 0])
    first = rot.from_axis_angle(swing)[:, None]
    second = np.repeat(rot.from_axis_angle(b)[None, None], 60 + BEFORE, 0)
    out = join_segments([Segment(0, np.concatenate([first[:BEFORE], first]), 1), Segment(40, second, 20)], 100)
    steps = rot.angle_between(out[1:], out[:-1])[:, 0]
    assert np.abs(np.diff(steps)).max() < np.radians(1.6)  # a jump would be 70 degrees in one step
    assert rot.angle_between(out[60:], second[:40]).max() < 1e-6


def test_strokes_arrive_on_their_frames_and_hands_rest_without(bank: Bank) -> None:
    plan = Plan(240, ((40, 130),), style=STYLE)
    for name, frame in (("big", 60), ("weigh", 100)):
        placed = Placed(next(iter(bank.strokes[name])), frame)
        plan = replace(plan, strokes=(*plan.strokes, placed))
    turns = perform(plan, bank, np.random.default_rng(1))
    fast = speeds(turns).max(1)
    for placed in plan.strokes:
        way = fast[placed.frame - 20 : placed.frame + 1]
        assert way[-1] < 0.2 * way.max(), placed.stroke.name  # they have arrived, and not before:
        assert way[-5] > 0.3 * way.max(), placed.stroke.name
    assert fast[:20].max() < 0.1 and fast[200:].max() < 0.1
    jerk = np.linalg.norm(np.diff(wrists(turns), n=3, axis=0), axis=-1).max() * FPS**3
    assert jerk < 1500


def test_a_plan_is_performed_alike_from_alike_numbers(bank: Bank) -> None:
    plan = Plan(120, ((10, 90),), beats=(Beat(50, 0.5, ("l", "r")),), nods=(Nod(60, 0.2),), style=Style("one", ()))
    one, two, other = (perform(plan, bank, np.random.default_rng(k)) for k in (1, 1, 2))
    assert np.array_equal(one, two) and not np.array_equal(one, other)


def test_a_beat_moves_raised_hands_and_leaves_resting_ones(bank: Bank) -> None:
    still = Plan(120, ((10, 110),), style=STYLE)
    beat = replace(still, beats=(Beat(60, 0.5, ("r",)),))
    rests = replace(beat, raised=())
    moved = [speeds(perform(p, bank, np.random.default_rng(1)))[42:60] for p in (still, beat, rests)]
    assert moved[1][:, 1].max() > moved[0][:, 1].max() + 0.2
    assert moved[2].max() < 0.1


def test_strokes_of_one_arm_keep_apart(bank: Bank) -> None:
    stroke = bank.strokes["weigh"][0]
    kept = without_overlaps([Placed(stroke, 50), Placed(stroke, 50 + MIN_DISTANCE - 1), Placed(stroke, 20)])
    assert [p.frame for p in kept] == [20, 50]


def test_limits_act_softly_and_hold() -> None:
    x = np.linspace(0, 300, 400)
    y = soft(x, 80, 100)
    assert (y[x <= 80] == x[x <= 80]).all() and y.max() <= 100 and (np.diff(y) >= 0).all()
    turns = rot.identity((2, TURNED))
    turns[:, ARM["l"][3]] = rot.from_axis_angle(np.radians([0.0, 0, 130]))
    turns[:, ARM["l"][2]] = rot.from_axis_angle(np.radians([0.0, 30, 0]))  # the wrong way
    angles = np.degrees(rot.to_axis_angle(within(turns)[0]))
    assert np.linalg.norm(angles[ARM["l"][3]]) <= 100 and angles[ARM["l"][2], 1] <= 7


def test_the_longest_run_of_words_counts(tmp_path: Path) -> None:
    classes = made_up.table(tmp_path)
    found = classes.find("No, not at all: the whole world is big!".split())
    assert [(f.first, f.stop, f.kind) for f in found] == [
        (0, 1, "negation"), (1, 4, "negation"), (4, 7, "size"), (8, 9, "size"),
    ]  # fmt: skip


def test_a_table_of_words_that_cannot_be_is_told(tmp_path: Path) -> None:
    path = tmp_path / "classes.yaml"
    path.write_text("beat: {words: [], gestures: {}}\n")
    with pytest.raises(UserError, match="beat: no gestures"):
        read_classes(path)
    path.write_text("size: {words: [big], gestures: {big: 1}}\n")
    with pytest.raises(UserError, match="beat among them"):
        read_classes(path)
    with pytest.raises(UserError, match="ask for BeatMid"):
        build([], made_up.table(tmp_path))


def test_what_ships_goes_together() -> None:
    table, texts = word_classes(), sentences()
    assert {s.name for s in keyed_strokes(0, 1)} <= table.gestures
    rng = np.random.default_rng(0)
    found = {f.kind for _ in range(1500) for f in table.find(texts.draw(rng).split())}
    assert set(table.classes) - {"beat"} <= found
    for stroke in keyed_strokes(0, 1):
        fast = speeds(stroke.turns).max(1)
        assert fast[stroke.emphasis] < 0.5 * fast[: stroke.emphasis].max(), stroke.source


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("big", [-0.44, -0.06, 0.24]), ("small", [-0.09, -0.15, 0.30]), ("here", [-0.20, -0.20, 0.34]),
        ("future", [-0.22, 0.06, 0.44]), ("weigh", [-0.34, -0.05, 0.28]),
    ],
)  # fmt: skip
def test_keyed_hands_are_where_their_table_says_on_the_emphasis(name: str, place: list[float]) -> None:
    for stroke in keyed_strokes(0, 4, [name]):
        at = wrists(stroke.turns)[stroke.emphasis, 1]
        assert np.linalg.norm(at - place) < 0.06 and stroke.end > stroke.emphasis  # the trunk turns with some
        assert speeds(stroke.turns)[stroke.emphasis, 1] < 0.4 * speeds(stroke.turns)[:, 1].max()
