"""Attributes that clips measurably show, on keyframed clips that are made to show them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from instruct_data.attributes import (
    DISTANCES,
    SIDED,
    TURNS,
    VALUES,
    Measures,
    describe_figures,
    mirror_attributes,
    nearest,
    symbols,
    write_attributes,
)
from instruct_data.clip import Clip
from instruct_data.factory.synth.families import families, keyframed
from tests.instruct_data.synthetic import walking, waving
from vqvae.motion import Motion
from vqvae.smoothing import runs_of

Expected = Callable[[str, dict[str, Any]], dict[str, str | None]]
OTHER = {"left": "right", "right": "left"}


def shown(motion: Motion) -> dict[str, str]:
    return describe_figures(Measures.of(motion).figures())


def rise(side: str, params: dict[str, Any]) -> dict[str, str | None]:
    return {"rise": params["way"], "kneel": None, "through": None, "end": "standing"}


LYING = {"on the back": "lying_face_up", "on the belly": "lying_face_down", "on the side": "lying_on_side"}


SHOWN: dict[str, Expected] = {
    "climb_stairs": lambda side, p: {**rise(side, p), "direction": "forward"},
    "step_up_onto_box": rise,
    "step_down_from_box": rise,
    "kneel_on_one_knee": lambda side, p: {
        "kneel": side, "through": f"kneeling_{side}", "start": "standing", "rise": None, "turn": None,
        "end": "standing" if p["rises"] == "rising" else f"kneeling_{side}",
    },
    "kneel_on_both_knees": lambda side, p: {
        "kneel": "both", "through": "kneeling", "end": "standing" if p["rises"] == "rising" else "kneeling",
    },
    "balance_on_one_leg": lambda side, p: {"support": side, "rise": None, "start": "standing", "end": "standing"},
    "kick": lambda side, p: {"support": OTHER[side], "direction": None},
    "turn_half_with_steps": lambda side, p: {"turn": f"{side}_180", "direction": None, "support": None},
    "turn_quarter_with_steps": lambda side, p: {"turn": f"{side}_90"},
    "sidestep": lambda side, p: {"direction": side if p["reps"] > 1 else None, "turn": None},
    "lie_down": lambda side, p: {"through": LYING[p["kind"]], "end": LYING[p["kind"]], "start": "standing"},
    "sit_down": lambda side, p: {"through": "sitting", "end": "sitting", "kneel": None},
    "squat": lambda side, p: {"through": None if p["depth"] == "shallow" else "squatting", "end": "standing"},
    "wave": lambda side, p: {"hand": side if p["hands"] == "one" else "both", "support": None, "through": None},
    "jump": lambda side, p: {"rise": None, "kneel": None, "turn": None},
}  # fmt: skip


@pytest.mark.parametrize("name", SHOWN)
def test_clips_show_what_they_are_made_to_show(name: str) -> None:
    for clip in keyframed(families()[name], range(5)):
        attributes = shown(clip.load())
        expected = SHOWN[name](clip.extra.get("side", ""), clip.extra["params"])
        assert {k: attributes.get(k) for k in expected} == expected, clip.extra
        assert set(attributes) <= set(VALUES) and all(v in VALUES[k] for k, v in attributes.items())


def test_heights_are_above_the_step() -> None:
    for clip in keyframed(families()["climb_stairs"], range(4)):
        figures = Measures.of(clip.load()).figures()
        assert abs(figures["floor"]) < 0.005 and figures["sunk"] == 0 == figures["flights"]
        assert figures["extent"] < 0.6 and figures["skate"] < 0.02


@pytest.mark.parametrize("name", [*SHOWN, "turn_around", "walk_against_wind", "punch"])
def test_the_mirror_image_shows_the_mirrored_attributes(name: str) -> None:
    for clip in keyframed(families()[name], range(3)):
        attributes = shown(clip.load())
        assert shown(clip.load().mirrored()) == mirror_attributes(attributes)
        assert mirror_attributes(mirror_attributes(attributes)) == attributes


def test_mirrored_sides_of_every_kind() -> None:
    before = {"action": "wave_left_hand", "side": "both", "hand": "left", "direction": "backward_left", "rise": "up",
              "turn": "right_90", "through": "kneeling_left", "end": "standing", "times": "2"}  # fmt: skip
    after = {**before, "action": "wave_right_hand", "hand": "right", "direction": "backward_right", "turn": "left_90",
             "through": "kneeling_right"}  # fmt: skip
    assert mirror_attributes(before) == after
    for name, values in VALUES.items():
        assert {mirror_attributes({name: v})[name] for v in values} == set(values)
        assert (name in SIDED) == any(mirror_attributes({name: v}) != {name: v} for v in values)


def test_place_direction_and_frame_rate_make_no_difference() -> None:
    clips = [c for name in ("sidestep", "climb_stairs", "kneel_on_one_knee") for c in keyframed(families()[name], [1])]
    for motion in map(Clip.load, clips):
        elsewhere = motion.moved(2.0, np.array([3.0, 0, -1.0]))
        assert shown(elsewhere) == shown(motion) == shown(motion.resampled(60))


def test_walks_travel_and_waves_do_not() -> None:
    walk, wave = (Measures.of(m).figures() for m in (walking(120), waving()))
    assert walk["direction"] == "forward" and walk["distance"] == pytest.approx(7.1, abs=0.1)
    assert describe_figures(walk)["distance"] == "7" and describe_figures(walk)["rest"] == "moving"
    assert wave["direction"] == "" and "distance" not in describe_figures(wave)
    assert describe_figures(wave)["hand"] == "left" and wave["flights"] == 0
    assert walk["speed"] > 2 * wave["speed"]


def test_jumps_leave_the_ground_and_stillness_is_that_of_the_end() -> None:
    for clip in keyframed(families()["jump"], range(4)):
        assert Measures.of(clip.load()).figures()["flights"] == clip.extra["params"]["reps"]
    still = waving(100, quiet=40)
    assert Measures.of(still.slice(0, 30)).rest == pytest.approx(1.5)
    assert describe_figures(Measures.of(still.slice(0, 30)).figures())["rest"] == "still"


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_short_clips_are_measured(frames: int) -> None:
    assert shown(walking(frames))["start"] == "standing"


def test_numbers_go_to_the_nearest_symbol() -> None:
    assert [nearest("turn", d) for d in (170, -50, 1000)] == ["left_180", "right_45", "left_720"]
    assert [nearest("distance", d) for d in (0.0, 0.62, 2.4, 90)] == ["0.5", "0.5", "2", "7"]
    assert [nearest("times", n) for n in (0, 2.6, 40)] == ["1", "3", "8"]
    assert all(nearest("distance", d) == f"{d:g}" for d in DISTANCES)
    assert all(nearest("turn", d) == f"left_{d}" for d in TURNS)


def test_symbols_are_written_in_one_order() -> None:
    assert write_attributes({"end": "sitting", "side": "left", "action": "sit", "hand": ""}) == [
        "action=sit", "side=left", "end=sitting",
    ]  # fmt: skip
    every = symbols(["walk", "bow"])
    assert every[:2] == ["action=walk", "action=bow"] and len(set(every)) == len(every)
    assert "turn=right_720" in every and "kneel=both" in every


def test_runs_close_short_gaps() -> None:
    mask = np.array([0, 1, 1, 0, 1, 0, 0, 1], bool)
    assert runs_of(mask) == [(1, 3), (4, 5), (7, 8)] and runs_of(mask, 1) == [(1, 5), (7, 8)]
    assert runs_of(mask[:1]) == []
