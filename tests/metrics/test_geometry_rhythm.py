"""Predicates of tools, instruments, sport and steps on bodies made by hand: true for the right one, false else."""

import numpy as np
import pytest
from bodies import T, blended, bump, hand, lowered, moved, pitched, standing, walking, wave
from moves import (
    BACK,
    FRONT,
    SAT,
    UP,
    Make,
    body,
    both_shaken,
    gripped,
    hands,
    jumping,
    knees_up,
    pedalling,
    shaken,
    stairs,
    swung,
)

from avatargpt.metrics.geometry import predicates

CASES: list[tuple[object, Make, Make]] = [
    ("wipes", body(shaken("l", [0, -0.4, 0.25], 0, 0.12, 3)), body(shaken("l", [0, -0.4, 0.25], 1, 0.12, 3))),
    ("wipes_wall", body(shaken("l", [0, 0.1, 0.35], 0, 0.12, 3)), body(shaken("l", [0, 0.1, 0.35], 0, 0.02, 3))),
    ("sweeps", body(both_shaken([-0.1, -0.4, 0.2], 0, 0.15, 3)), body(hands([-0.1, -0.4, 0.2]))),
    ("saws", body(shaken("r", [0, -0.35, 0.2], 2, 0.12, 4)), body(shaken("r", [0, -0.35, 0.2], 0, 0.12, 4))),
    ({"chops": {"times": 2, "most": 2}}, body(gripped(np.stack([0 * UP, 0.4 * wave(2), 0.3 + 0 * UP], -1))),
     body(gripped(np.stack([0 * UP, 0.4 * wave(5), 0.3 + 0 * UP], -1)))),
    ("digs", body(pitched(gripped(np.stack([0 * UP, -0.5 + 0.25 * wave(2), 0.35 + 0 * UP], -1)), 35)),
     body(standing())),
    ("rows", body(both_shaken([-0.05, -0.25, 0.2], 2, 0.2, 3)), body(both_shaken([0, -0.25, 0.2], 2, 0.2, 3, False))),
    ("strums", body(hand(shaken("r", [0.1, -0.35, 0.15], 1, 0.06, 5), "l", [0.2, -0.1, 0.25])),
     body(shaken("r", [0.1, -0.35, 0.15], 1, 0.06, 5))),
    ("drums", body(both_shaken([0, -0.3, 0.3], 1, 0.1, 4, False)), body(shaken("r", [0, -0.3, 0.3], 1, 0.1, 4))),
    ("plays_keys", body(both_shaken([0, -0.35, 0.3], 0, 0.05, 3)), body(hands([0, 0.1, 0.3]))),
    ("bows_violin", body(hand(shaken("r", [0.1, -0.1, 0.2], 0, 0.12, 3), "l", [0.05, -0.05, 0.3])),
     body(shaken("r", [0.1, -0.1, 0.2], 0, 0.12, 3))),
    ("conducts", body(shaken("r", [0, -0.1, 0.3], 1, 0.12, 3)), body(hand(standing(), "r", [0, -0.1, 0.3]))),
    ("swims", body(both_shaken([0, 0, 0.05], 1, 0.45, 2, False)), body(both_shaken([0, 0, 0.05], 1, 0.1, 2))),
    ("swings_arms", body(both_shaken([0.05, -0.45, 0], 2, 0.25, 3)), body(standing())),
    ("swings_bat", body(gripped(np.stack([0.45 * wave(4), 0 * UP - 0.1, 0.3 + 0 * UP], -1))),
     body(gripped(np.stack([0.1 * wave(1), 0 * UP - 0.1, 0.3 + 0 * UP], -1)))),
    ("swings_club", body(gripped(np.stack([0.6 * BACK, 0.5 * np.abs(BACK) - 0.6, 0.2 + 0 * UP], -1))),
     body(gripped(np.stack([0.6 * wave(1.5), 0 * UP - 0.1, 0.2 + 0 * UP], -1)))),
    ({"swings_racket": {"side": "right"}}, body(shaken("r", [0, -0.1, 0.25], 0, 0.45, 4)),
     body(shaken("l", [0, -0.1, 0.25], 0, 0.45, 4))),
    ({"bowls": {"side": "right"}}, body(swung("r", 0.0, 0.12)), body(standing())),
    ({"dribbles": {"side": "left", "times": 3}}, body(shaken("l", [0.05, -0.35, 0.2], 1, 0.1, 4)),
     body(shaken("l", [0.05, -0.35, 0.2], 1, 0.1, 1))),
    ("shoots_hoop", body(blended(hands([-0.1, -0.1, 0.25]), hand(hands([-0.1, 0.35, 0.2]), "r", [0, 0.5, 0.15]), UP)),
     body(hands([-0.1, -0.1, 0.25]))),
    ("boxes", body(blended(hands([-0.1, 0, 0.2]), hand(hands([-0.1, 0, 0.2]), "r", [0, 0, 0.5]), wave(3) ** 16)),
     body(hands([-0.1, 0, 0.2]))),
    ("strikes", body(shaken("r", [0, 0, 0.3], 2, 0.25, 6)), body(shaken("r", [0, 0, 0.3], 2, 0.05, 2))),
    ("guards", body(hands([-0.05, 0.05, 0.25])), body(hands([0, -0.35, 0.25]))),
    ("skis", body(lowered(both_shaken([0, -0.3, 0.1], 2, 0.35, 3), 0.2)), body(lowered(standing(), 0.2))),
    ("slaloms", body(moved(lowered(standing(), 0.25), left=0.15 * wave(3))), body(lowered(standing(), 0.25))),
    ("skates", body(moved(lowered(knees_up(0.0), 0.2), left=0.12 * wave(3))), body(lowered(standing(), 0.2))),
    ("cycles", body(pedalling()), body(SAT)),
    ("marches", body(knees_up(0.25)), body(knees_up(0.03))),
    ("knee_lifts", body(knees_up(0.25)), body(knees_up(0.05))),
    ("skips_along", body(moved(jumping(3), forward=np.linspace(0, 2, T))), body(jumping(3))),
    ({"flies": {"times": 3, "most": 3}}, body(jumping(3)), body(jumping(2))),
    ("on_tiptoe", body(moved(walking(1.0), up=0.0) + np.where(np.isin(np.arange(22), [10, 11]), 0.0, 0.06)[:, None]
                       * np.array([0, 1, 0])), body(walking(1.0))),
    ("sneaks", body(lowered(walking(1.5), 0.12)), body(walking(1.5))),
    ("steps_over", body(walking(1.5, lift=0.35)), body(walking(1.5))),
    ({"climbs_stairs": {"way": "up"}}, body(stairs(0.6)), body(stairs(-0.6))),
    ({"climbs_stairs": {"way": "down"}}, body(stairs(-0.6)), body(stairs(0.6))),
    ("climbs_ladder", body(moved(both_shaken([0, 0.1, 0.3], 1, 0.2, 3, False), up=0.6 * UP)), body(stairs(0.6))),
    ({"sidesteps": {"side": "right"}}, body(moved(standing(), left=-UP)), body(moved(standing(), left=UP))),
    ("steps_side_to_side", body(moved(knees_up(0.06), left=0.15 * wave(3))), body(knees_up(0.06))),
    ({"cadence": {"most": 0.5}}, body(standing()), body(walking(2.0) + np.where(
        np.isin(np.arange(22), [7, 10]), 1.0, 0.0)[:, None] * 0.3 * wave(6)[:, None, None] * np.array([0, 0, 1]))),
    ({"hand_below": {"height": 0.5}}, body(lowered(standing(), 0.45 * bump())), body(standing())),
    ("hand_fast", body(shaken("l", FRONT, 0, 0.3, 5)), body(hand(standing(), "l", FRONT))),
    ("hand_before", body(hand(standing(), "l", [0, -0.2, 0.25])), body(standing())),
    ("hand_at_table", body(hand(standing(), "l", [0, -0.4, 0.38], bump())), body(standing())),
    ("club_held", body(pitched(gripped(np.tile([0.0, -0.5, 0.2], (T, 1))), 25 * UP)), body(standing())),
    ("hand_low_guard", body(shaken("l", [0, -0.4, 0.25], 0, 0.2, 4)), body(hand(standing(), "l", FRONT))),
    ("hand_rounds", body(hand(standing(), "l", np.stack([0.1 + 0 * UP, 0.4 * wave(2), 0.4 * np.cos(
        4 * np.pi * np.arange(T) / T)], -1))), body(shaken("l", FRONT, 1, 0.3, 3))),
    ("arm_across", body(hand(standing(), "l", [-0.4, -0.1, 0.2])), body(standing())),
    ("stands", body(standing()), body(lowered(standing(), 0.4 * bump()))),
    ({"hops_on_one_leg": {"side": "right", "times": 2}},
     body(jumping(2) + np.where(np.isin(np.arange(22), [7, 10]), 0.2, 0.0)[:, None] * np.array([0, 1, 0])),
     body(jumping(2))),
]  # fmt: skip


@pytest.mark.parametrize(("check", "right", "wrong"), CASES, ids=[f"{i}-{c[0]}" for i, c in enumerate(CASES)])
def test_true_for_the_right_motion_and_false_for_the_wrong_one(check: object, right: Make, wrong: Make) -> None:
    predicates.validate(check)
    good, bad = predicates.judge(check, right()), predicates.judge(check, wrong())
    assert good.passed, good.values
    assert not bad.passed, bad.values
