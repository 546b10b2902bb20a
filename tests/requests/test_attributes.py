"""Typed attributes for the network: those of training clips with the caption, and over them what a request says."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatargpt import AvatarGPT
from avatargpt.requests.clause_spec import ClauseSpec, Turn
from avatargpt.requests.phrase_index import PhraseIndex
from avatargpt.train.phrase_index import measure_attributes
from instruct_data.requests.spec import Clause
from instruct_data.store import ClipCodes
from tests.factories import CountingGrounder, standing_figures


@pytest.fixture(scope="module")
def packaged() -> AvatarGPT:
    return AvatarGPT.from_pretrained()


GROUNDER: Any = CountingGrounder("walk wave kick left right", 1e-3)
KICK = {"action": "kick", "side": "left", "support": "right", "end": "standing"}
WALK = {"action": "walk", "direction": "forward", "distance": "3", "end": "standing"}


def spec(caption: str, measured: dict[str, str], action: str = "kick", **clause: Any) -> ClauseSpec:
    typed = Clause(action=clause.pop("words", action), **clause) if clause else None
    return ClauseSpec(caption, 1.0, action=action, clause=typed, measured=measured)


def test_without_measurements_there_are_none() -> None:
    assert spec("a person kicks", {}, side="left").attributes == {}


def test_a_caption_alone_has_those_of_its_clips() -> None:
    assert spec("a left kick", KICK).attributes == {**KICK, "quality": "good"}
    plain = spec("a left kick", KICK, times=20)
    assert plain.attributes == {**KICK, "quality": "good", "times": "8"} and plain.measured is KICK


@pytest.mark.parametrize("caption", ["a left kick", "a kick"])  # that names the side, or whose clips have one
def test_the_side_of_the_request_mirrors_what_was_measured(caption: str) -> None:
    wanted = {"action": "kick", "side": "right", "support": "left", "end": "standing", "quality": "good"}
    assert spec(caption, KICK, side="right").attributes == wanted
    assert spec(caption, KICK, side="left").attributes == {**KICK, "quality": "good"}
    assert spec(caption, KICK, side="both").attributes == {**KICK, "side": "both", "quality": "good"}


def test_an_action_named_after_a_side_is_mirrored_too() -> None:
    measured = {"action": "wave_left_hand", "hand": "left"}
    mirror = spec("a person waves the left hand", measured, side="right").attributes
    assert mirror == {"action": "wave_right_hand", "hand": "right", "side": "right", "quality": "good"}


@pytest.mark.parametrize(
    ("clause", "changes"),
    [
        ({"direction": "backward_left"}, {"direction": "backward_left"}),
        ({"direction": "up"}, {}),
        ({"distance": 6.8}, {"distance": "7"}),
        ({"in_place": True, "distance": 4.0}, {"direction": None, "distance": None}),
        ({"times": 3}, {"times": "3"}),
        ({"tempo": "very_slow"}, {"tempo": "slow"}),
        ({"tempo": "speeding_up"}, {}),
        ({"size": "large", "tempo": "fast"}, {"size": "large", "tempo": "fast"}),
    ],
)
def test_what_a_request_says_comes_first(clause: dict[str, Any], changes: dict[str, str | None]) -> None:
    attributes = spec("a person walks", WALK, "walk", **clause).attributes
    assert attributes == {k: v for k, v in {**WALK, "quality": "good", **changes}.items() if v is not None}


def test_stairs_and_turns() -> None:
    stairs = {"action": "climb_stairs", "rise": "up", "direction": "forward"}
    assert spec("climbs", stairs, "climb_stairs", direction="down").attributes["rise"] == "down"
    for side, expected in (("right", "right_90"), ("left", "left_90"), ("", "left_90")):
        turn = replace(spec("a person turns", {"action": "turn"}, times=1), turn=Turn(80.0, side))
        assert turn.attributes["turn"] == expected


def test_the_direction_of_a_limb_is_none_of_travel() -> None:
    punch = {"action": "punch", "hand": "right"}
    assert "direction" not in spec("a person punches", punch, "punch", direction="forward").attributes
    step = spec("a person steps", {"action": "step"}, "step", direction="left")
    assert step.attributes["direction"] == "left"


def index() -> PhraseIndex:
    keys = ["kick left", "kick right", "walk"]
    captions, sides = [{"": f"a person {k}s"} for k in keys], ["left", "right", ""]
    out = PhraseIndex(keys, captions, ["kick", "kick", "walk"], sides, {}, {}, GROUNDER.sentence(keys))
    out.measured = {"a person kick lefts": KICK, "a person walks": WALK}
    return out


def test_an_index_hands_out_what_was_measured_and_keeps_it(tmp_path: Path) -> None:
    index().save(tmp_path)
    for phrase_index in (index(), PhraseIndex.load(tmp_path)):
        assert phrase_index is not None and phrase_index.measured == index().measured
        (walk,) = phrase_index.clauses("walk", GROUNDER)
        (kick,) = phrase_index.clauses("kick right", GROUNDER)
        assert walk.measured == WALK and kick.measured == {}
        assert walk.attributes == {**WALK, "quality": "good"}


def clip(captions: list[str], source: str = "ours", **changes: Any) -> ClipCodes:
    return ClipCodes("x", np.zeros((4, 1), int), captions, "train", source, "", "kick",
                     extra={"figures": standing_figures(**changes), "quality": "fair"})  # fmt: skip


def test_measured_are_attributes_that_nearly_all_clips_with_a_caption_share() -> None:
    clips = [clip(["A person kicks.", "a kick"], support="left") for _ in range(4)]
    clips += [clip(["a person kicks"], support="right")]  # one of five
    clips += [clip(["a kick"], support="right") for _ in range(2)]  # two of six
    clips += [clip(["a kick"], "composed", support="left") for _ in range(9)]  # shows more than its words
    clips += [ClipCodes("y", np.zeros((4, 1), int), ["a wave"], "train", "ours", "", "wave")]
    common = {"action": "kick", "start": "standing", "end": "standing"}
    assert measure_attributes(clips) == {"a person kicks": {**common, "support": "left"}, "a kick": common}


@pytest.mark.parametrize(("text", "hand"), [
    ("salutes", "right"), ("salutes with the left hand", "left"), ("knocks on a door", "right"), ("claps", "both"),
])  # fmt: skip
def test_the_right_hand_acts_where_none_is_said(packaged: AvatarGPT, text: str, hand: str) -> None:
    (request,) = packaged.body.generation.resolve([text])
    assert request.clauses[0].attributes.get("hand", "both") == hand
