"""Requests in users' words: what the packaged file covers, and its form."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest

from avatargpt.requests.phrase_scoring import first_side
from instruct_data.text.english import side_of
from instruct_data.text.everyday import Everyday, everyday_requests
from vqvae.errors import UserError

MAX_WORDS = 12
TEXT = re.compile(r"(?:SIDE|[a-z0-9])(?:SIDE|[a-z0-9 ,.'?-])*")
FILE = everyday_requests()
requests, style_words = FILE.requests, FILE.style_words
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


def plain_form(text: str) -> str:
    """Letters and digits alone: two texts must not share them."""
    return " ".join(re.findall(r"[a-z0-9]+|SIDE", text))


def test_every_class_of_the_bank_has_requests(shared):
    bank = json.loads((shared / "data" / "text" / "body_captions.json").read_text())
    assert len(bank["actions"]) == 86
    assert min(len(requests(key)) for key in bank["actions"]) >= 40
    for style in set(bank["styles"]) - {"normal"}:
        assert len(style_words(style)) >= 30, style


def test_families_beside_the_bank_and_the_commonest_classes_have_many_requests():
    assert {k: n for k in FAMILIES if (n := len(requests(k))) < 40} == {}
    assert {k: n for k in BROAD if (n := len(requests(k))) < 80} == {}


@pytest.mark.parametrize("style", STYLES)
def test_styles_are_broad_and_name_persons(style):
    assert len(style_words(style)) >= 30 and len(style_words(style, "who")) >= 3
    assert set(style_words(style)) == {*style_words(style, "manner"), *style_words(style, "who")}


def test_no_text_stands_for_two_classes_or_twice_in_one():
    classes: dict[str, set[str]] = {}
    for key in set(FILE.classes()) - set(FILE.aliases):
        assert [t for t, n in Counter(map(plain_form, requests(key))).items() if n > 1] == [], key
        for text in requests(key):
            classes.setdefault(plain_form(text), set()).add(key)
    assert {t: k for t, k in classes.items() if len(k) > 1} == {}
    for style, kinds in FILE.styles.items():
        texts = Counter(plain_form(t) for k in kinds.values() for t in k)
        assert max(texts.values()) == 1, style


def test_the_texts_have_one_form():
    sided = [(k, t, "SIDE" in k) for k, texts in FILE.actions.items() for t in texts]
    sided += [(k, t, False) for k, sides in FILE.sides.items() for texts in sides.values() for t in texts]
    sided += [(k, t, False) for k, kinds in FILE.styles.items() for texts in kinds.values() for t in texts]
    for key, text, side in sided:
        assert TEXT.fullmatch(text) and text == " ".join(text.split()) and len(text.split()) <= MAX_WORDS, (key, text)
        assert ("SIDE" in text) == side, (key, text)
    assert all(re.fullmatch(r"[a-z]+(?:_(?:[a-z]+|SIDE))*", k) for k in (*FILE.actions, *FILE.aliases))
    assert all("SIDE" in k and k in FILE.actions and set(s) == {"left", "right"} for k, s in FILE.sides.items())
    assert all(n not in FILE.actions and t in FILE.actions and "SIDE" not in t for n, t in FILE.aliases.items())
    assert all(set(kinds) == {"manner", "who"} for kinds in FILE.styles.values())


def test_requests_are_short_and_filled_in():
    for key in FILE.classes():
        assert all("SIDE" not in t and t == t.lower() and t.isascii() for t in requests(key))
        assert side_of(key.replace("_", " ")) or any(len(t.split()) <= 3 for t in requests(key)), key
        assert any(t.endswith("?") for t in requests(key)), key
    several = [t for texts in FILE.actions.values() for t in texts if re.search(r"\bthen (?!SIDE)|;", t)]
    assert len(several) <= 3, "a request is one clause"


@pytest.mark.parametrize("key", ["walk_SIDE", "walk_turn_SIDE", "raise_up_SIDE_hand", "wave_SIDE_hand"])
def test_sided_classes_speak_of_their_side_alone(key):
    for side, opposite in (("left", "right"), ("right", "left")):
        texts = requests(key, side)
        assert texts == requests(key.replace("SIDE", side)) == requests(key.replace("_", "-").replace("SIDE", side))
        assert all(first_side(t) != opposite for t in texts)
        common = [t for t in texts if side in t]
        assert len(common) >= 75
        assert {t.replace(side, opposite) for t in common} <= set(requests(key, opposite))


def test_idioms_sides_and_aliases():
    left, right = set(requests("walk_turn_left")), set(requests("walk_turn_right"))
    assert {"turn to port", "go anticlockwise"} <= left - right
    assert {"turn to starboard", "go clockwise"} <= right - left
    every, right_ones = requests("lunge"), requests("lunge", "right")
    dropped = set(every) - set(right_ones)
    assert dropped and all(side_of(t) == "left" for t in dropped)
    assert [t for t in every if t in right_ones] == right_ones
    assert requests("dribble") == requests("basketball_dribble") and requests("beckon") == requests("call")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: requests("wlak"), "did you mean walk"),
        (lambda: requests("sit_left"), "no action 'sit_left'"),
        (lambda: requests("walk_turn_SIDE"), "needs a side"),
        (lambda: requests("walk", "up"), "accepted: left, right"),
        (lambda: style_words("sleepless"), "available: elderly"),
    ],
)
def test_unknown_names_are_errors(call, message):
    with pytest.raises(UserError, match=re.escape(message)):
        call()


def test_words_that_yaml_takes_for_booleans_are_refused():
    with pytest.raises(UserError, match="e.yaml: actions: walk: item 2: True"):
        Everyday.read({"actions": {"walk": ["walk", True]}, "sides": {}, "aliases": {}, "styles": {}}, "e.yaml")
