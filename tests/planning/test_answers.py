"""Answers of language models: what is a plan, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from avatargpt.planning.answers import MAX_STEP_WORDS, Malformed, check_sentence, check_steps, loops
from avatargpt.planning.types import MAX_STEPS
from instruct_data.planning import read_scenes, tidy


def test_steps_are_tidied() -> None:
    for texts in (["he kneels", "he digs with both hands."], [' "he kneels" ', "**he digs   with both hands**"]):
        assert check_steps(texts) == ("he kneels", "he digs with both hands")


@pytest.mark.parametrize(("steps", "reason"), [
    ([], "no steps"), (["he kneels", " ", "he digs"], "step 2: empty"), (["..."], "empty"),
    (["he kneels", "He kneels."], "step 2 is step 1 again"), (["he goes on and on and on and on"], "over and over"),
    (["he digs digs digs digs"], "over and over"),
    (["he turns around and turns around and turns around"], "over and over"),
    ([f"he lifts finger {i}" for i in range(MAX_STEPS + 1)], f"at most {MAX_STEPS}"),
    (["he sees " + " ".join(f"thing{i}" for i in range(MAX_STEP_WORDS))], f"at most {MAX_STEP_WORDS}"),
    (["he kneels", "he \x1b[2J digs"], "control characters"), (["he kneels", "he d\ufffdgs"], "control characters"),
])  # fmt: skip
def test_refused_steps(steps: list[str], reason: str) -> None:
    with pytest.raises(Malformed, match=reason):
        check_steps(steps)


def test_sentences() -> None:
    assert check_sentence(' "He waits." ') == "He waits"
    for bad, reason in ((None, "NoneType"), ("a " * 61, "words"), ("he waits; he goes", "list"), ("?", "empty")):
        with pytest.raises(Malformed, match=reason):
            check_sentence(bad)


@pytest.mark.parametrize("text", [
    "Chop chop chop all day", "left, right, left, right", "New year's swim, new year's run, new year's regrets",
    "he points to the left, to the right and to the front",
])  # fmt: skip
def test_natural_repetition_is_no_loop(text: str) -> None:
    assert not loops(text)


def test_real_plans_are_accepted(shared: Path) -> None:
    activities = [a for s in read_scenes(shared / "data" / "planning" / "val.jsonl") for a in s.activities]
    assert len(activities) > 500
    for a in activities:
        assert check_steps(a.steps) == tuple(tidy(s) for s in a.steps)
