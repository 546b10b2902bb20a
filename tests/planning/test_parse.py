"""Answers of language models: what is read, and what is refused."""

from __future__ import annotations

import pytest

from avatargpt.planning.parse import (
    MAX_STEP_WORDS,
    Malformed,
    check_sentence,
    loops,
    parse_steps,
)
from avatargpt.requests.english import MAX_STEPS

TWO = ("he kneels", "he digs with both hands")


@pytest.mark.parametrize(
    "text",
    [
        "he kneels; he digs with both hands",
        "he kneels; he digs with both hands;",
        "1. he kneels\n2. he digs with both hands.",
        "1) he kneels\n\n2) he digs with both hands",
        "1. he kneels 2. he digs with both hands",
        "Step 1: he kneels\nStep 2: he digs with both hands",
        "- he kneels\n- he digs with both hands",
        "• he kneels\n• he digs with both hands",
        "Here are the steps:\n1. he kneels\n2. he digs with both hands",
        "he kneels\nhe digs with both hands",
        '["he kneels", "he digs with both hands"]',
        '{"steps": ["he kneels", "he digs with both hands"]}',
        '```json\n["he kneels", "he digs with both hands"]\n```',
        '1. "he kneels"\n2. **he digs   with both hands**',
    ],
)
def test_every_form_of_a_list(text: str) -> None:
    assert parse_steps(text) == TWO


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        (" \n ", "empty"),
        ("; ;", "empty"),
        ("he kneels;; he digs", "step 2: empty"),
        ("...", "empty"),
        ("1. he kneels\n3. he digs", "step number 3 where 2 is due"),
        ("2. he kneels\n3. he digs", "step number 2 where 1 is due"),
        ("1. he kneels\nwell\n2. he digs", "no step: 'well'"),
        ("He is busy\n1. he kneels", "no step stands before"),
        ("he kneels; He kneels.", "step 2 is step 1 again"),
        ("he goes on and on and on and on", "over and over"),
        ("he digs digs digs digs", "over and over"),
        ("he turns around and turns around and turns around", "over and over"),
        ("; ".join(f"he lifts finger {i}" for i in range(MAX_STEPS + 1)), f"at most {MAX_STEPS}"),
        ("he sees " + " ".join(f"thing{i}" for i in range(MAX_STEP_WORDS)), f"at most {MAX_STEP_WORDS}"),
        ("he kneels; he \x1b[2J digs", "control characters"),
        ("he kneels; he d\ufffdgs", "control characters"),
        ('["he kneels", 3]', "list of strings"),
        ('{"steps": "he kneels"}', "list of strings"),
        ('{"task": "he kneels"}', "list of strings"),
        ('["he kneels"', "not JSON"),
        ("[" * 5000, "not JSON"),
        ("he walks " * 9000, "characters"),
    ],
)
def test_what_is_refused(text: str, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        parse_steps(text)


def test_sentences() -> None:
    assert check_sentence(' "He waits." ') == "He waits"
    for bad, why in ((None, "NoneType"), ("a " * 61, "words"), ("he waits; he goes", "list"), ("?", "empty")):
        with pytest.raises(Malformed, match=why):
            check_sentence(bad)


def test_natural_repetition_is_no_loop() -> None:
    assert not loops("Chop chop chop all day")
    assert not loops("left, right, left, right")
    assert not loops("New year's swim, new year's run, new year's regrets")
    assert not loops("he points to the left, to the right and to the front")


def test_real_plans_are_read_back(shared) -> None:  # type: ignore[no-untyped-def]
    from instruct_data.planning import read_scenes, tidy

    activities = [a for s in read_scenes(shared / "data" / "planning" / "val.jsonl") for a in s.activities]
    assert len(activities) > 500
    for a in activities:
        assert parse_steps(a.joined) == tuple(tidy(s) for s in a.steps)
