"""Predicates of postures, hands and objects on bodies made by hand: true for the right one, false for a near miss."""

import numpy as np
import pytest
from bodies import REST, Body, T, blended, bump, hand, lowered, lying, moved, pitched, standing, walking, wave
from moves import (
    FRONT,
    SAT,
    UP,
    Make,
    akimbo,
    body,
    both_shaken,
    gripped,
    hands,
    head,
    hugging,
    kneeling,
    lunging,
    shaken,
    shoulders_up,
    swung,
    turned,
    twisted,
)

from avatargpt.metrics.geometry import predicates
from vqvae.errors import UserError

CASES: list[tuple[object, Make, Make]] = [
    ("sits", body(SAT), body(lowered(standing(), 0.42))),
    ("sits_down", body(blended(standing(), SAT, UP)), body(blended(SAT, standing(), UP))),
    ("stands_up", body(blended(SAT, standing(), UP)), body(blended(standing(), SAT, UP))),
    ("sits_and_turns", body(twisted(SAT, 45)), body(twisted(standing(), 45))),
    ("kneels", body(kneeling()), body(lowered(standing(), 0.42))),
    ({"kneels": {"side": "right"}}, body(kneeling()), body(SAT)),
    ({"squats": {"times": 2, "most": 2}}, body(lowered(standing(), 0.4 * np.abs(wave(1)))),
     body(lowered(standing(), 0.4 * np.abs(wave(1.5))))),
    ("squats", body(lowered(standing(), 0.4 * bump())), body(blended(standing(), SAT, bump()))),
    ({"lunges": {"side": "left"}}, body(lunging()), body(lowered(standing(), 0.25 * bump()))),
    ("lies_down", body(blended(standing(), lying(standing()), UP)), body(blended(standing(), SAT, UP))),
    ("lies", body(lying(standing())), body(SAT)),
    ("falls_and_gets_up", body(blended(standing(), lying(standing()), np.clip(2 * bump() - 1, 0, 1))),
     body(blended(standing(), lying(standing()), UP))),
    ({"leans": {"side": "forward"}}, body(pitched(standing(), 25 * bump())), body(pitched(standing(), 4 * bump()))),
    ("tilts", body(pitched(standing(), 30 * bump())), body(standing())),
    ("ducks", body(lowered(standing(), 0.3 * bump() ** 2)), body(lowered(standing(), 0.3 * UP))),
    ({"dodges": {"side": "left"}}, body(moved(standing(), left=0.3 * wave(1) ** 2)),
     body(moved(standing(), left=-0.3 * wave(1) ** 2))),
    ("stumbles", body(pitched(walking(1.5), 25 * np.abs(wave(1.5)))), body(walking(1.5))),
    ("turns_in_place", body(turned(170)), body(turned(30))),
    ("stretches", body(hands([0.05, 0.5, 0.0], bump())), body(standing())),
    ({"nods": {"times": 3, "most": 3}}, head(pitch=12 * (1 - np.cos(2 * np.pi * 3 * np.arange(T) / T))),
     head(pitch=12 * (1 - np.cos(2 * np.pi * 5 * np.arange(T) / T)))),
    ("nods", head(pitch=15 * np.abs(wave(1))), head(yaw=15 * wave(2))),
    ({"shakes_head": {"times": 2}}, head(yaw=20 * wave(3)), head(pitch=20 * wave(3))),
    ("looks_around", head(yaw=50 * wave(1)), head(yaw=50 * bump())),
    ({"looks": {"side": "left"}}, head(yaw=40 * bump()), head(yaw=-40 * bump())),
    ("faces_up", head(pitch=-30 * bump()), head(pitch=30 * bump())),
    ({"shrugs": {"times": 2, "most": 2}}, body(shoulders_up(0.05, 2)), body(shoulders_up(0.05, 4))),
    ("shrugs_any", body(shoulders_up(0.05, 1)), body(shoulders_up(0.005, 1))),
    ({"hand_to_mouth": {"side": "left", "times": 1}}, body(hand(standing(), "l", [-0.12, 0.08, 0.2], bump())),
     body(hand(standing(), "r", [0.12, 0.08, 0.2], bump()))),
    ({"hand_at_ear": {"side": "right"}}, body(hand(standing(), "r", [0.05, 0.13, 0.12])),
     body(hand(standing(), "r", FRONT))),
    ({"salutes": {"side": "right"}}, body(hand(standing(), "r", [0.0, 0.24, 0.2])), body(standing())),
    ({"claps": {"times": 3, "most": 3}}, body(both_shaken([-0.05, -0.15, 0.3], 0, 0.12, 3, same=False)),
     body(both_shaken([-0.05, -0.15, 0.3], 0, 0.12, 5, same=False))),
    ("palms_together", body(hands([-0.16, -0.15, 0.25])), body(hands([0.1, -0.15, 0.25]))),
    ("arms_crossed", body(hands([-0.3, -0.2, 0.15])), body(hands([-0.1, -0.2, 0.25]))),
    ("hands_on_hips", body(akimbo()), body(standing())),
    ({"points": {"side": "left", "to": "forward"}}, body(hand(standing(), "l", [0, 0, 0.5], bump())),
     body(hand(standing(), "l", [0.5, 0, 0.0], bump()))),
    ({"points": {"side": "right", "to": "up left"}}, body(hand(standing(), "r", [0.35, 0.35, 0.05], bump())),
     body(hand(standing(), "r", [-0.35, 0.35, 0.05], bump()))),
    ("points_anywhere", body(hand(standing(), "l", [0.3, 0.1, 0.35])), body(standing())),
    ({"reaches": {"to": "high"}}, body(hand(standing(), "l", [0, 0.48, 0.1], bump())),
     body(hand(standing(), "l", [0, 0.0, 0.45], bump()))),
    ({"reaches": {"to": "low"}}, body(lowered(standing(), 0.4 * bump())), body(standing())),
    ({"beckons": {"side": "right"}}, body(shaken("r", [0, -0.05, 0.3], 2, 0.09, 3)),
     body(shaken("l", [0, -0.05, 0.3], 2, 0.09, 3))),
    ("hugs", body(hugging()), body(hands([-0.1, -0.05, 0.3]))),
    ({"shakes_hands": {"side": "right"}}, body(shaken("r", [0, -0.25, 0.38], 1, 0.05, 3)),
     body(shaken("r", [0, -0.25, 0.38], 1, 0.0, 3))),
    ({"picks_up": {"low": 0.55}}, body(pitched(lowered(standing(), 0.45 * bump()), 75 * bump())),
     body(lowered(standing(), 0.1 * bump()))),
    ("lifts", body(gripped(np.stack([0 * UP, -1.0 + 0.7 * UP, 0.3 + 0 * UP], -1))),
     body(gripped(np.tile([0.0, -1.0, 0.3], (T, 1))))),
    ("carries", body(moved(hands([-0.05, -0.3, 0.3]), forward=np.linspace(0, 2, T))),
     body(hands([-0.05, -0.3, 0.3]))),
    ("pushes", body(blended(hands([0, -0.1, 0.2]), hands([0, -0.1, 0.48]), UP)),
     body(blended(hands([0, -0.1, 0.48]), hands([0, -0.1, 0.2]), UP))),
    ("pulls", body(blended(hands([0, -0.1, 0.48]), hands([0, -0.1, 0.15]), UP)),
     body(blended(hands([0, -0.1, 0.15]), hands([0, -0.1, 0.48]), UP))),
    ({"throws": {"side": "right"}}, body(blended(hand(standing(), "r", [0, 0.2, -0.3]),
                                                 hand(standing(), "r", [0, 0.0, 0.5]), np.clip(UP * 5 - 2, 0, 1))),
     body(blended(hand(standing(), "r", [0, 0.2, -0.3]), hand(standing(), "r", [0, 0.0, 0.5]), UP))),
    ("hand_thrown", body(swung("r", 0.0, 0.12)), body(swung("r", 0.0, 0.015))),
    ("catches", body(blended(hands([-0.1, -0.1, 0.45]), hands([-0.1, -0.2, 0.25]), UP)),
     body(hands([-0.1, -0.1, 0.45]))),
    ("hand_drawn_in", body(blended(hands([0, -0.1, 0.45]), hands([0, -0.1, 0.2]), UP)), body(standing())),
    ({"knocks": {"times": 3, "most": 3}}, body(shaken("r", [0, 0.05, 0.25], 2, 0.06, 3)),
     body(shaken("r", [0, 0.05, 0.25], 2, 0.06, 7))),
    ("opens_door", body(blended(hand(standing(), "r", FRONT), hand(standing(), "r", [-0.3, -0.2, 0.25]),
                                np.clip(2 * UP - 1, 0, 1))), body(hand(standing(), "r", FRONT))),
    ("types", body(hands([0, -0.35, 0.3])), body(both_shaken([0, -0.35, 0.3], 0, 0.2, 6))),
]  # fmt: skip


@pytest.mark.parametrize(("check", "right", "wrong"), CASES, ids=[f"{i}-{c[0]}" for i, c in enumerate(CASES)])
def test_true_for_the_right_motion_and_false_for_the_wrong_one(check: object, right: Make, wrong: Make) -> None:
    predicates.validate(check)
    good, bad = predicates.judge(check, right()), predicates.judge(check, wrong())
    assert good.passed, good.values
    assert not bad.passed, bad.values


def test_head_tilts_need_a_bent_neck() -> None:
    bent = standing()
    bent[:, 15, 0] += 0.06 * bump()
    assert predicates.judge("head_tilts", Body(bent)).passed
    assert not predicates.judge("head_tilts", Body(standing())).passed


def test_unknown_sides_and_directions_are_refused() -> None:
    with pytest.raises(UserError, match="accepted left, right, both, any"):
        predicates.judge({"salutes": {"side": "upper"}}, Body(standing()))
    with pytest.raises(UserError, match="accepted words"):
        predicates.judge({"points": {"to": "north"}}, Body(standing()))


def test_the_rest_pose_does_nothing() -> None:
    """A body that stands still does none of the actions (static postures and open questions apart)."""
    still = Body(np.tile(REST, (T, 1, 1)))
    for name in ("sits_down", "kneels", "squats", "claps", "nods", "shrugs", "knocks", "digs", "flies", "limps"):
        assert not predicates.judge(name, still).passed, name
