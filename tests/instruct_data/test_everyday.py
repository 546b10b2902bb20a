"""Requests in users' words: what the packaged file covers and what a file must look like."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest

from avatargpt.requests.phrase_scoring import first_side
from instruct_data.text.english import side_of
from instruct_data.text.everyday import MOST_WORDS, everyday_requests, plain_form, read
from vqvae.errors import UserError

requests, style_words = everyday_requests().requests, everyday_requests().style_words
FAMILIES = """
sit_and_turn get_up crouch touch_toes jumping_jack fall_and_get_up duck dodge cross_arms hands_on_hips lean push_up
sit_up nod shake_head salute raise_knees put_down eat knock open_door reach beckon wave pray type phone dig chop saw
circle_arms raise_hand climb_stairs climb_ladder sidestep tiptoe walk_on_the_spot jog_on_the_spot swing_bat golf
tennis bowl dribble
shoot boxing block play_drums play_piano play_violin row ski skate_glide dance_step cycle
""".split()
BROAD = """
walk run jog dash walk_back walk_turn_left walk_turn_right wave_left_hand wave_right_hand wave_both_hands
raise_up_left_hand raise_up_right_hand raise_up_both_hands bow jump punch kick dance_short sit_down
""".split()
STYLES = """
elderly exhausted happy sad proud angry giant not-confident childlike feminine masculine active youthful chimpira zombie
drunk sneaky robotic elegant fearful
""".split()


@pytest.fixture(scope="module")
def file():
    return everyday_requests()


def test_every_class_of_the_bank_has_requests(shared):
    bank = json.loads((shared / "data" / "text" / "body_captions.json").read_text())
    assert len(bank["actions"]) == 86
    assert min(len(requests(key)) for key in bank["actions"]) >= 40
    for style in set(bank["styles"]) - {"normal"}:
        assert len(style_words(style)) >= 30, style


@pytest.mark.parametrize("key", FAMILIES)
def test_families_beside_the_bank_have_requests(key):
    assert len(requests(key)) >= 40


@pytest.mark.parametrize("key", BROAD)
def test_the_commonest_classes_are_broader(key):
    assert len(requests(key)) >= 80


@pytest.mark.parametrize("style", STYLES)
def test_styles_are_broad_and_name_persons(style):
    assert len(style_words(style)) >= 30
    assert len(style_words(style, "who")) >= 3
    assert set(style_words(style)) == {*style_words(style, "manner"), *style_words(style, "who")}


def test_no_text_stands_for_two_classes(file):
    where: dict[str, set[str]] = {}
    for key in file.classes():
        if key not in file.aliases:
            for text in requests(key):
                where.setdefault(plain_form(text), set()).add(key)
    assert {t: k for t, k in where.items() if len(k) > 1} == {}


def test_no_class_says_the_same_twice(file):
    for key in file.classes():
        assert [t for t, n in Counter(map(plain_form, requests(key))).items() if n > 1] == [], key


def test_requests_are_short_and_filled_in(file):
    for key in file.classes():
        for text in requests(key):
            assert "SIDE" not in text and text == text.lower() and text.isascii()
            assert 1 <= len(text.split()) <= MOST_WORDS
        assert side_of(key.replace("_", " ")) or any(len(t.split()) <= 3 for t in requests(key)), key
        assert any(t.endswith("?") for t in requests(key)), key


def test_a_request_is_one_clause(file):
    several = [t for k in file.actions for t in file.actions[k] if re.search(r"\bthen (?!SIDE)|;", t)]
    assert len(several) <= 3, several


@pytest.mark.parametrize("key", ["walk_SIDE", "walk_turn_SIDE", "raise_up_SIDE_hand", "wave_SIDE_hand"])
def test_sided_classes_speak_of_their_side_alone(file, key):
    for side, other in (("left", "right"), ("right", "left")):
        texts = file.requests(key, side)
        assert texts == requests(key.replace("SIDE", side)) == requests(key.replace("_", "-").replace("SIDE", side))
        assert all(first_side(t) != other for t in texts)
        common = [t for t in texts if side in t]
        assert len(common) >= 75
        assert {t.replace(side, other) for t in common} <= set(file.requests(key, other))


def test_only_one_side_knows_its_idioms():
    left, right = set(requests("walk_turn_left")), set(requests("walk_turn_right"))
    assert {"turn to port", "go anticlockwise"} <= left - right
    assert {"turn to starboard", "go clockwise"} <= right - left


def test_a_side_leaves_out_requests_for_the_other():
    every, right = requests("lunge"), requests("lunge", "right")
    gone = set(every) - set(right)
    assert gone and all(side_of(t) == "left" for t in gone)
    assert [t for t in every if t in right] == right


def test_aliases_are_their_class():
    assert requests("dribble") == requests("basketball_dribble")
    assert requests("beckon") == requests("call")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: requests("wlak"), "did you mean walk"),
        (lambda: requests("sit_left"), "no action 'sit_left'"),
        (lambda: requests("walk_turn_SIDE"), "needs a side"),
        (lambda: requests("walk", "up"), "accepted: left, right"),
        (lambda: style_words("sleepless"), "available: elderly"),
    ],
)
def test_unknown_names_are_told(call, said):
    with pytest.raises(UserError, match=re.escape(said)):
        call()


GOOD = """
actions:
  walk: [walk, take a stroll]
  turn_SIDE: [turn SIDE]
sides:
  turn_SIDE: {left: [turn to port], right: [turn to starboard]}
aliases: {stroll: walk}
styles:
  happy: {manner: [happily], who: [a lottery winner]}
"""


def test_a_small_file(tmp_path):
    path = tmp_path / "e.yaml"
    path.write_text(GOOD)
    small = read(path)
    assert small.requests("turn_left") == ["turn left", "turn to port"]
    assert small.requests("stroll") == ["walk", "take a stroll"]
    assert small.classes() == ["walk", "turn_left", "turn_right", "stroll"]
    assert small.style_words("happy", "who") == ["a lottery winner"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("aliases: {stroll: walk}", "", "needs exactly actions, sides, aliases, styles"),
        ("[walk, take a stroll]", "walk", "actions: walk: must be a list of texts"),
        ("[walk, take a stroll]", "[]", "actions: walk: must be a list of texts"),
        ("[walk, take a stroll]", "[walk, on]", "quote yes, no, on"),
        ("[walk, take a stroll]", "[Walk]", "'Walk': texts are lower-case"),
        ("[walk, take a stroll]", "[walk, Walk  on]", "lower-case"),
        ("[walk, take a stroll]", '[walk, "walk  on"]', "lower-case"),
        ("[walk, take a stroll]", f"[{'a ' * 14}b]", "longer than 12 words"),
        ("[walk, take a stroll]", "[walk SIDE]", "all and only there"),
        ("[turn SIDE]", "[turn SIDE, turn]", "all and only there"),
        ("[walk, take a stroll]", "[walk, 'walk!?']", "lower-case"),
        ("[walk, take a stroll]", "[walk, 'walk?']", "'walk?' is there twice, under walk and walk"),
        ("[turn to port]", "[walk]", "'walk' is there twice, under walk and turn_left"),
        ("a lottery winner", "happily", "twice, under happy and happy"),
        ("  turn_SIDE: {left: [turn to port], right: [turn to starboard]}", "  walk: {left: [a], right: [b]}",
         "not a key with SIDE"),
        (", right: [turn to starboard]", "", "needs exactly left, right"),
        ("{stroll: walk}", "{stroll: saunter}", "must be a new name"),
        ("{stroll: walk}", "{walk: walk}", "must be a new name"),
        (", who: [a lottery winner]", "", "needs exactly manner, who"),
        ("  walk:", "  Walk:", "not a name: 'Walk'"),
        ("actions:", "actions: [", "not YAML"),
    ],
)  # fmt: skip
def test_damage_is_told(tmp_path, old, new, said):
    assert old in GOOD
    path = tmp_path / "e.yaml"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(UserError, match=re.escape(said)):
        read(path)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read(tmp_path / "none.yaml")
