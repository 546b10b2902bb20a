"""A request cut into what is done one after the other."""

import pytest

from avatargpt.language.clauses import clauses, completed, verb_phrases


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("A person walks forward. He sits down. He waves.", ["a person walks forward", "he sits down", "he waves"]),
        ("walk forward; turn left; sit", ["walk forward", "turn left", "sit"]),
        ("Walk. Then she waves! The man bows?", ["walk", "she waves", "the man bows"]),
        ("A man walks. The left arm hangs down.", ["a man walks, the left arm hangs down"]),  # says more of the first
        ("He bends at 2.5 degrees", ["he bends at 2.5 degrees"]),
    ],
)
def test_sentences(text: str, parts: list[str]) -> None:
    assert clauses(text) == parts


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a person walks, runs, jumps and kicks", ["a person walks", "runs", "jumps", "kicks"]),
        ("walks forward, swinging the arms", ["walks forward, swinging the arms"]),
        ("like a gymnast, tumble over", ["like a gymnast, tumble over"]),
        ("raise one hand and let the other hang", ["raise one hand and let the other hang"]),
        ("after he sits down he waves", ["he sits down", "he waves"]),
        ("after walking on, turn left", ["walking on", "turn left"]),
        ("he waves after sitting down", ["sitting down", "he waves"]),
        ("sits down before waving", ["sits down", "waving"]),
        ("before sitting down, wave", ["wave", "sitting down"]),
        ("get up after lying on the ground", ["get up after lying on the ground"]),
        ("walk home after a double shift", ["walk home after a double shift"]),
    ],
)
def test_lists_of_verbs_and_what_comes_before(text: str, parts: list[str]) -> None:
    assert verb_phrases(text) == parts


@pytest.mark.parametrize(("parts", "whole"), [
    (["kicks with the left leg", "the right leg"], ["kicks with the left leg", "kicks with the right leg"]),
    (["wave the left hand", "the right one"], ["wave the left hand", "wave the right hand"]),
    (["turns around", "walks back"], ["turns around", "walks"]),
    (["turns left", "walks back"], ["turns left", "walks back"]),
    (["walk back and forth"], ["walk", "turns around", "walk"]),
    (["sit down", "right"], ["sit down", "right"]),
])  # fmt: skip
def test_clauses_that_lean_on_the_one_before(parts: list[str], whole: list[str]) -> None:
    assert completed(parts) == whole
