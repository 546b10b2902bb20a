"""Predicates on whole motions made by hand (rotations and root), and the language of checks.

True for the right motion, false for a wrong one; bodies whose joints are placed directly: `test_predicates_on_joints`.
"""

from collections.abc import Callable

import numpy as np
import pytest

from avatargpt.metrics.geometry import predicates
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22

T = 60
PELVIS = 0.96


def body(frames: int = T) -> tuple[np.ndarray, np.ndarray]:
    """A person standing with hanging arms."""
    q = rot.identity((frames, 22))
    q[:, SMPL22.index("l_shoulder")] = rot.from_axis_angle(np.array([0, 0, -1.4]))
    q[:, SMPL22.index("r_shoulder")] = rot.from_axis_angle(np.array([0, 0, 1.4]))
    root = np.tile([0.0, PELVIS, 0.0], (frames, 1))
    return q, root


def standing() -> Motion:
    return Motion(*body())


def moving(left: float = 0.0, forward: float = 0.0, yaw: float = 0.0, run: bool = False) -> Motion:
    """Goes `left`, `forward` metres in its own facing while it turns by `yaw` degrees; legs swing in step."""
    q, root = body()
    angle = np.deg2rad(np.linspace(0, yaw, T))
    q[:, 0] = rot.about_y(angle)
    step = rot.rotate(rot.about_y(angle), np.tile([left / T, 0.0, forward / T], (T, 1)))
    root = root + np.cumsum(step, 0) - step[0]
    phase = 2 * np.pi * np.arange(T) / 12
    for name, sign in (("l_hip", 1), ("r_hip", -1)):
        q[:, SMPL22.index(name)] = rot.from_axis_angle(np.outer(0.4 * sign * np.sin(phase), [1.0, 0, 0]))
    # Feet are furthest apart where |sin| is 1: a runner is high then, a walker low.
    root[:, 1] += (0.04 if run else -0.03) * np.abs(np.sin(phase))
    return Motion(q, root)


def arms(left: bool = False, right: bool = False, wave: bool = False) -> Motion:
    q, root = body()
    lift = np.clip(np.minimum(np.arange(T), np.arange(T)[::-1]) / 12, 0, 1)
    for on, name, sign in ((left, "l", 1), (right, "r", -1)):
        if on:
            up = -1.4 + 2.6 * lift + (0.25 * np.sin(np.arange(T) * 1.2) if wave else 0)
            q[:, SMPL22.index(f"{name}_shoulder")] = rot.from_axis_angle(np.outer(sign * up, [0, 0, 1.0]))
    return Motion(q, root)


def bowing() -> Motion:
    q, root = body()
    bend = 0.7 * np.sin(np.pi * np.arange(T) / (T - 1))
    q[:, SMPL22.index("spine1")] = rot.from_axis_angle(np.outer(bend, [1.0, 0, 0]))
    return Motion(q, root)


def jumping(times: int) -> Motion:
    q, root = body()
    for start in range(4, 4 + 18 * times, 18):
        root[start : start + 12, 1] += 0.35 * np.sin(np.pi * np.arange(12) / 11)  # 0.6 s in the air
    return Motion(q, root)


def upside() -> Motion:
    """Turns over sideways about the pelvis, feet above."""
    q, root = body()
    q[:, 0] = rot.from_axis_angle(np.outer(np.linspace(0, 2 * np.pi, T), [0, 0, 1.0]))
    return Motion(q, root)


def squatting() -> Motion:
    q, root = body()
    bend = 1.2 * np.sin(np.pi * np.arange(T) / (T - 1))
    for side in "lr":
        q[:, SMPL22.index(f"{side}_hip")] = rot.from_axis_angle(np.outer(-bend, [1.0, 0, 0]))
        q[:, SMPL22.index(f"{side}_knee")] = rot.from_axis_angle(np.outer(2 * bend, [1.0, 0, 0]))
    root[:, 1] -= 0.82 * (1 - np.cos(bend))
    return Motion(q, root)


def kicking(side: str) -> Motion:
    q, root = body()
    swing = 1.3 * np.exp(-(((np.arange(T) - 30) / 4.0) ** 2))
    q[:, SMPL22.index(f"{side}_hip")] = rot.from_axis_angle(np.outer(-swing, [1.0, 0, 0]))
    return Motion(q, root)


def getting_up(reverse: bool = False) -> Motion:
    q, root = body()
    up = np.clip(np.arange(T) / 40, 0, 1)
    up = up[::-1] if reverse else up
    q[:, 0] = rot.from_axis_angle(np.outer((1 - up) * np.pi / 2, [1.0, 0, 0]))
    root[:, 1] = 0.12 + (PELVIS - 0.12) * up
    return Motion(q, root)


def climbing() -> Motion:
    q, root = body()
    root[:, 1] += np.clip((np.arange(T) - 15) / 20, 0, 1) * 0.6
    return Motion(q, root)


def then(first: Motion, second: Motion) -> Motion:
    from avatargpt.evaluation.tokenizer import join

    return join([first.canonical(), second.canonical()])


CASES: list[tuple[object, Callable[[], Motion], Callable[[], Motion]]] = [
    ("walks_forward", lambda: moving(forward=3), lambda: moving(forward=-3)),
    ("walks_forward", lambda: moving(forward=3), lambda: moving(forward=12)),
    ("walks_backward", lambda: moving(forward=-2), lambda: moving(forward=2)),
    ({"goes_sideways": {"side": "left"}}, lambda: moving(left=2), lambda: moving(left=-2)),
    ({"goes_sideways": {"side": "right"}}, lambda: moving(left=-2, forward=3), lambda: moving(left=2, forward=3)),
    ({"turns": {"side": "left"}}, lambda: moving(forward=3, yaw=90), lambda: moving(forward=3, yaw=-90)),
    ({"turns": {"side": "right"}}, lambda: moving(forward=3, yaw=-90), lambda: moving(forward=3)),
    ({"veers": {"side": "left"}}, lambda: moving(forward=3, yaw=60), lambda: moving(forward=3, yaw=-60)),
    ("turns_around", lambda: moving(forward=2, yaw=180), lambda: moving(forward=2, yaw=60)),
    ("spins", lambda: moving(yaw=360), lambda: moving(yaw=120)),
    ("runs", lambda: moving(forward=5, run=True), lambda: moving(forward=4)),
    ("dashes", lambda: moving(forward=12, run=True), lambda: moving(forward=5, run=True)),
    ("walks", lambda: moving(left=2), standing),
    ("in_place", standing, lambda: moving(forward=2)),
    ({"raises_hand": {"side": "left"}}, lambda: arms(left=True), lambda: arms(right=True)),
    ({"raises_hand": {"side": "left"}}, lambda: arms(left=True), lambda: arms(left=True, right=True)),
    ({"raises_hand": {"side": "both"}}, lambda: arms(left=True, right=True), lambda: arms(right=True)),
    ({"hand_over_head": {"side": "both"}}, lambda: arms(left=True, right=True), lambda: arms(right=True)),
    ({"hand_over_head": {"side": "left"}}, lambda: arms(left=True), lambda: arms(right=True)),
    ("hand_over_head", lambda: arms(right=True), standing),
    ({"waves": {"side": "right"}}, lambda: arms(right=True, wave=True), lambda: arms(left=True, wave=True)),
    ({"waves": {"side": "both"}}, lambda: arms(True, True, True), lambda: arms(True, True)),
    ("waves", lambda: arms(left=True, wave=True), lambda: arms(left=True)),
    ("bows", bowing, standing),
    ("jumps", lambda: jumping(1), standing),
    ({"jumps": {"times": 3}}, lambda: jumping(3), lambda: jumping(2)),
    ("upside_down", upside, bowing),
    ("legs_over_head", upside, lambda: jumping(1)),
    ("crouches", squatting, bowing),
    ({"kicks": {"side": "left"}}, lambda: kicking("l"), lambda: kicking("r")),
    ("kicks", lambda: kicking("r"), lambda: moving(forward=4)),
    ("gets_up", getting_up, lambda: getting_up(reverse=True)),
    ("goes_down", lambda: getting_up(reverse=True), getting_up),
    ("climbs", climbing, lambda: jumping(1)),
    ({"then": ["walks_forward", "bows"]}, lambda: then(moving(forward=2), bowing()),
     lambda: then(bowing(), moving(forward=2))),
    ({"then": [{"waves": {"side": "left"}}, {"waves": {"side": "right"}}]},
     lambda: then(arms(left=True, wave=True), arms(right=True, wave=True)), lambda: arms(True, True, True)),
    ({"any": ["jumps", "bows"]}, bowing, standing),
    ({"not": "bows"}, standing, bowing),
]  # fmt: skip


@pytest.mark.parametrize(("check", "right", "wrong"), CASES, ids=[f"{i}-{c[0]}" for i, c in enumerate(CASES)])
def test_predicate_separates(check: object, right: Callable[[], Motion], wrong: Callable[[], Motion]) -> None:
    predicates.validate(check)
    yes, no = predicates.judge(check, right()), predicates.judge(check, wrong())
    assert yes.passed, yes.values
    assert not no.passed, no.values


@pytest.mark.parametrize("check", [{"turns": {"side": "left"}}, "walks_forward", {"goes_sideways": {"side": "left"}}])
def test_placement_and_rate_do_not_matter(check: object) -> None:
    source = moving(forward=4, left=2 if "goes_sideways" in str(check) else 0, yaw=90 if "turns" in str(check) else 0)
    for motion in (source.moved(2.0, np.array([5.0, 0, -3.0])), source.resampled(30.0)):
        assert predicates.judge(check, motion).passed


def test_mirror_swaps_sides() -> None:
    motion = arms(left=True, wave=True).mirrored()
    assert predicates.judge({"waves": {"side": "right"}}, motion).passed
    assert not predicates.judge({"waves": {"side": "left"}}, motion).passed


def test_style_compares_with_neutral() -> None:
    slow, normal = moving(forward=2), moving(forward=4)
    assert predicates.judge("slower", slow, normal).passed
    assert not predicates.judge("slower", normal, slow).passed
    assert predicates.judge("faster", normal, slow).passed
    assert not predicates.judge("faster", slow, normal).passed
    q, root = body()
    q[:, SMPL22.index("spine1")] = rot.from_axis_angle(np.array([0.4, 0, 0]))
    assert predicates.judge("stooped", Motion(q, root), standing()).passed
    assert predicates.judge("erect", standing(), Motion(q, root)).passed
    assert not predicates.judge("stooped", standing(), Motion(q, root)).passed
    with pytest.raises(UserError, match="neutral"):
        predicates.judge("slower", slow)
    both = {"then": ["slower", "slower"]}
    assert predicates.judge(both, slow, normal).passed and not predicates.judge(both, normal, slow).passed


def test_unknown_checks_are_named() -> None:
    with pytest.raises(UserError, match="walks_forward"):
        predicates.validate("walk_forward")
    with pytest.raises(UserError, match="accepted side"):
        predicates.validate({"turns": {"sid": "left"}})
    with pytest.raises(UserError, match="two or more"):
        predicates.validate({"then": ["walks"]})


@pytest.mark.parametrize(
    ("check", "message"),
    [
        ({"hand_over_head": {"side": "upper"}}, "hand_over_head: side 'upper'; accepted left, right, both, any"),
        ({"then": ["walks", {"turns": {"side": "both"}}]}, "turns: side 'both'; accepted left, right"),
        ({"climbs_stairs": {"way": "north"}}, "way 'north'; accepted up, down, any"),
        ({"jumps": {"times": 1.5}}, "times 1.5; accepted a whole number"),
        ({"jumps": {"times": True}}, "times True; accepted a whole number"),
        ({"jumps": {"height": "high"}}, "height 'high'; accepted a number"),
        ({"jumps": {"height": float("nan")}}, "height nan; accepted a finite number"),
        ({"points": {"to": 3}}, "to 3; accepted a word"),
        ({"points": {"to": "up north"}}, "direction 'up north'; accepted words"),
        ({"counted": {"what": "sneezes", "times": 2}}, "nothing counts 'sneezes'; accepted"),
        ({"compared": {"what": "mood", "factor": 2}}, "nothing measures 'mood'; accepted"),
        ({"turns": {"degrees": 60}}, "side needed"),
    ],
)
def test_wrong_values_of_parameters_are_refused(check: object, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        predicates.validate(check)
    assert "\n" not in str(error.value)


def test_parameters_of_a_clip_stand_for_any_value() -> None:
    predicates.validate({"knocks": {"side": "$side", "times": "$reps", "amplitude": 1}})


def test_an_unknown_side_is_not_any_side() -> None:
    with pytest.raises(UserError, match="side 'upper'; accepted left, right, both, any"):
        predicates.judge({"hand_over_head": {"side": "upper"}}, arms(left=True))
