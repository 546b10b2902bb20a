"""Answers of language models that plan: their forms and checks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, Field, create_model

from avatargpt.llm.model import Malformed
from avatargpt.planning.types import MAX_STEP_SECONDS, MAX_STEPS, Activity

MAX_STEP_WORDS = 30
MAX_SENTENCE_WORDS = 60
# words of a stretch that repeats a phrase of 1, 2, ... 6 words
_LOOP_WORDS = (4, 6, 8, 8, 10, 12)
_NOT_WORDS = re.compile(r"[^\w']+|_")


def check_sentence(value: Any, what: str = "task") -> str:
    """One tidy sentence without a final full stop; raises Malformed where `value` is none."""
    if not isinstance(value, str):
        raise Malformed(f"{what}: {type(value).__name__}; a sentence is needed")
    sentence = _clean(value, what)
    if len(sentence.split()) > MAX_SENTENCE_WORDS:
        raise Malformed(f"{what}: {len(sentence.split())} words; at most {MAX_SENTENCE_WORDS}")
    if what != "scene" and ";" in sentence:  # scenes may be long-winded
        raise Malformed(f"{what}: a list where one sentence is needed")
    _no_loop(sentence, what)
    return sentence


def check_steps(steps: Sequence[str]) -> tuple[str, ...]:
    """Tidy steps without final full stops; raises Malformed for impossible numbers, repetitions and loops."""
    if not steps:
        raise Malformed("no steps")
    if len(steps) > MAX_STEPS:
        raise Malformed(f"{len(steps)} steps; at most {MAX_STEPS}")
    out: list[str] = []
    numbers: dict[str, int] = {}
    for n, step in enumerate(steps, 1):
        sentence = _clean(step, f"step {n}")
        words = len(sentence.split())
        if words > MAX_STEP_WORDS:
            raise Malformed(f"step {n}: {words} words; at most {MAX_STEP_WORDS}")
        _no_loop(sentence, f"step {n}")
        first = numbers.setdefault(normalized(sentence), n)
        if first != n:
            raise Malformed(f"step {n} is step {first} again: {sentence[:60]!r}")
        out.append(sentence)
    return tuple(out)


def normalized(text: str) -> str:
    """A text without case and punctuation."""
    return _NOT_WORDS.sub(" ", text.lower()).strip()


def loops(text: str) -> bool:
    """Whether words repeat in a loop: one three times in a row, a longer phrase as `_LOOP_WORDS` says."""
    words = normalized(text).split()
    for size, enough in enumerate(_LOOP_WORDS, 1):
        run = size
        for i in range(size, len(words)):
            run = run + 1 if words[i] == words[i - size] else size
            if run >= enough:
                return True
    grams = [tuple(words[i : i + 3]) for i in range(len(words) - 2)]
    return any(grams.count(g) >= 3 for g in set(grams))


def _no_loop(text: str, what: str) -> None:
    if loops(text):
        raise Malformed(f"{what}: the same words over and over: {text[:60]!r}")


def _clean(text: str, what: str) -> str:
    if any(ord(c) < 32 and c not in "\t\n\r" for c in text) or "\ufffd" in text or "\x7f" in text:
        raise Malformed(f"{what}: control characters in it")
    line = " ".join(text.split()).strip("\"'“”*_` ").rstrip(".;, ")
    if not any(c.isalpha() for c in line):
        raise Malformed(f"{what}: empty")
    return line


MIN_STEPS, MAX_ACTIVITY_STEPS = 2, 6  # steps of an activity
MAX_BRIEF_STEPS = 3  # of one that a small model writes
MIN_STEP_SECONDS = 0.5  # s of a step that a planner may ask for


class ActivityAnswer(BaseModel):
    """One activity; `seconds` of each step, where given."""

    task: str
    steps: list[str] = Field(min_length=MIN_STEPS, max_length=MAX_ACTIVITY_STEPS)
    seconds: list[float] = []

    def activity(self) -> Activity:
        """Tidied; raises Malformed for no sentence, no steps, or the same step twice."""
        task, steps = check_sentence(self.task), check_steps(self.steps)
        complete = len(self.seconds) == len(steps)
        complete = complete and all(MIN_STEP_SECONDS <= s <= MAX_STEP_SECONDS for s in self.seconds)
        return Activity(task, steps, tuple(round(s, 2) for s in self.seconds) if complete else ())


class BriefActivity(BaseModel):
    """One activity of few short steps, within the abilities of a small model and a few seconds of this machine."""

    task: str = Field(max_length=60)
    steps: list[Annotated[str, Field(max_length=80)]] = Field(min_length=MIN_STEPS, max_length=MAX_BRIEF_STEPS)

    def activity(self) -> Activity:
        """See `ActivityAnswer.activity`."""
        return Activity(check_sentence(self.task), check_steps(self.steps))


class StepsAnswer(BaseModel):
    """Steps alone."""

    steps: list[str] = Field(min_length=1, max_length=MAX_ACTIVITY_STEPS)


class SentenceAnswer(BaseModel):
    """One sentence."""

    answer: str


class PlanAnswer(BaseModel):
    """Activities in order."""

    activities: Sequence[ActivityAnswer | BriefActivity]

    def plan(self) -> tuple[Activity, ...]:
        """Tidied; raises Malformed as `ActivityAnswer.activity`, or for a repeated activity."""
        out: list[Activity] = []
        for row in self.activities:
            out.append(check_new(row.activity(), out))
        return tuple(out)


def plan_of(count: int, brief: bool = False) -> type[PlanAnswer]:
    """A plan of so many activities."""
    activity: Any = BriefActivity if brief else ActivityAnswer
    field: Any = Annotated[list[activity], Field(min_length=count, max_length=count)]
    return create_model(f"PlanOf{count}", __base__=PlanAnswer, activities=(field, ...))


def check_new(activity: Activity, past: Sequence[Activity]) -> Activity:
    """The activity; raises Malformed where it was done before."""
    for earlier in past:
        if normalized(earlier.task) == normalized(activity.task) or earlier.steps == activity.steps:
            raise Malformed(f"that was done before: {activity.task!r}")
    return activity
