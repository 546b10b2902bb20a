"""English helpers: verb forms, clauses, mirroring, variation."""

from __future__ import annotations

import json

import numpy as np
import pytest

from instruct_data.text.captions import gerund, imperative, keywords, vary, with_subject
from instruct_data.text.english import (
    convert,
    finite_verbs,
    first_verb,
    gerund_of,
    mirror_action,
    mirror_text,
    side_of,
    split,
    third_of,
    tokens,
)


@pytest.mark.parametrize(
    ("third", "base", "ing"),
    [
        ("walks", "walk", "walking"), ("waves", "wave", "waving"), ("runs", "run", "running"),
        ("carries", "carry", "carrying"), ("punches", "punch", "punching"), ("goes", "go", "going"),
        ("does", "do", "doing"), ("lies", "lie", "lying"), ("ties", "tie", "tying"), ("is", "be", "being"),
        ("has", "have", "having"), ("stays", "stay", "staying"), ("begins", "begin", "beginning"),
        ("opens", "open", "opening"), ("tiptoes", "tiptoe", "tiptoeing"), ("sees", "see", "seeing"),
        ("squats", "squat", "squatting"), ("throws", "throw", "throwing"), ("boxes", "box", "boxing"),
        ("sidesteps", "sidestep", "sidestepping"), ("kneels", "kneel", "kneeling"), ("skips", "skip", "skipping"),
        ("dribbles", "dribble", "dribbling"), ("veers", "veer", "veering"), ("hits", "hit", "hitting"),
        ("practises", "practise", "practising"), ("presses", "press", "pressing"), ("signals", "signal", "signaling"),
        ("lowers", "lower", "lowering"), ("whips", "whip", "whipping"), ("tries", "try", "trying"),
    ],
)  # fmt: skip
def test_verb_forms(third, base, ing):
    assert third_of(base) == third
    assert gerund_of(base) == ing


@pytest.mark.parametrize(
    ("predicate", "base", "ing"),
    [
        ("walks forward and waves", "walk forward and wave", "walking forward and waving"),
        ("bends both knees and leaps", "bend both knees and leap", "bending both knees and leaping"),
        ("performs a kata with punches and blocks", "perform a kata with punches and blocks",
         "performing a kata with punches and blocks"),
        ("takes a few steps and makes a left turn", "take a few steps and make a left turn",
         "taking a few steps and making a left turn"),
        ("runs, jumps, stops and runs again", "run, jump, stop and run again",
         "running, jumping, stopping and running again"),
        ("is walking and makes a turn", "walk and make a turn", "walking and making a turn"),
        ("keeps walking", "keep walking", "walking"),
        ("slowly turns left", "slowly turn left", "slowly turning left"),
        ("lowers both arms with sharp, lively motions", "lower both arms with sharp, lively motions",
         "lowering both arms with sharp, lively motions"),
    ],
)  # fmt: skip
def test_predicates(predicate, base, ing):
    assert convert(predicate, "base") == base
    assert convert(predicate, "gerund") == ing


def test_progressive_and_third():
    assert convert("walks forward", "progressive") == "is walking forward"
    assert convert("is waving with the left hand", "third") == "waves with the left hand"
    assert convert("colourless green ideas", "base") is None
    assert finite_verbs("walks and turns") == [0, 4]


def test_split():
    clause = split("with feet planted, a young person raises both hands.")
    assert (clause.lead, clause.subject, clause.predicate) == (
        "with feet planted",
        "a young person",
        "raises both hands",
    )
    assert not clause.neutral and split("someone walks").neutral
    assert clause.verb_phrase("base") == "raise both hands with feet planted"
    assert split("the left arm rises while a person stands still") is None
    assert split("a slow walk forward.") is None
    assert (
        split("the figure raises the hand one time, then drops it").predicate
        == "raises the hand one time, then drops it"
    )
    assert "".join(tokens("a, b-c 'd'!")) == "a, b-c 'd'!"
    assert first_verb(["no verb here", "the person is dancing a salsa."]) == "dance"


@pytest.mark.parametrize(
    ("text", "mirrored"),
    [
        ("a person waves the left hand", "a person waves the right hand"),
        ("turns Left, then RIGHT", "turns Right, then LEFT"),
        ("from left to right", "from right to left"),
        ("walks clockwise", "walks counterclockwise"),
        ("turn anti-clockwise", "turn clockwise"),
        ("a left-handed, rightward throw", "a right-handed, leftward throw"),
        ("he left the room", "he left the room"),
        ("she has left.", "she has left."),
        ("with no strength left", "with no strength left"),
        ("with no strength left in the left arm", "with no strength left in the right arm"),
        ("all right, stand upright right away", "all right, stand upright right away"),
        ("turns right after a few steps", "turns left after a few steps"),
        ("walks, and right after that turns right", "walks, and right after that turns left"),
        ("right in front of the door", "right in front of the door"),
        ("a right angle", "a right angle"),
        ("goes to the left for a while", "goes to the right for a while"),
        ("punches left then right", "punches right then left"),
        ("jump left, right, left", "jump right, left, right"),
        ("he is left-handed", "he is right-handed"),
        ("right hand up", "left hand up"),
        ("raises the left", "raises the right"),
        ("lefty", "righty"),
    ],
)  # fmt: skip
def test_mirror(text, mirrored):
    assert mirror_text(text) == mirrored


def test_mirror_actions_and_sides():
    assert mirror_action("walk-turn-left") == "walk-turn-right"
    assert mirror_action("raise_up_right_hand") == "raise_up_left_hand"
    assert mirror_action("bow") == "bow"
    assert side_of("waves the left hand") == "left"
    assert side_of("left hand, then right hand") == "both"
    assert side_of("he left, all right") is None
    assert side_of("upright") is None


def test_forms():
    assert imperative("a person waves the left hand.") == "wave the left hand"
    assert imperative("an old man walks forward slowly.") == "walk forward slowly like an old man"
    assert gerund("someone walks forward", "a man") == "a man walking forward"
    assert keywords("a person waves the left hand happily") == "wave left hand happily"
    assert with_subject("the figure runs", "he") == "he runs"
    assert with_subject("an old man runs", "she") is None
    assert imperative("the left arm rises while a person stands still") is None


def test_vary_keeps_sides_and_is_deterministic():
    caption = "someone keeps the right arm down and lifts the left one tiredly."
    one = [vary(caption, np.random.default_rng(s)) for s in range(200)]
    assert one == [vary(caption, np.random.default_rng(s)) for s in range(200)]
    assert len(set(one)) > 30
    for text in one:
        low = text.lower()
        assert "right arm" in low and "left" in low and low.index("right") < low.index("left") and "tired" in low


def test_vary_never_swaps_a_telling_subject():
    for s in range(300):
        assert "old man" in vary("an old man walks forward", np.random.default_rng(s)).lower()


def test_vary_leaves_unknown_sentences_whole():
    text = "Zorp blarg the frobnitz"
    for s in range(50):
        assert vary(text, np.random.default_rng(s)).rstrip(".").lower() == text.lower()


def test_real_captions_can_be_taken_apart(shared):
    rows = [json.loads(line) for line in (shared / "data/body/captions.jsonl").open(encoding="utf-8")]
    captions = sorted({c for r in rows if r["split"] == "train" for c in r["captions"]})
    phrases = [imperative(c) for c in captions]
    assert sum(p is not None for p in phrases) > 0.93 * len(captions)
    swapped = [mirror_text(c) for c in captions]
    assert [mirror_text(c) for c in swapped] == captions
    for caption, phrase in zip(captions, phrases, strict=True):
        if phrase is not None and split(caption).neutral:
            assert side_of(phrase) == side_of(caption), caption
