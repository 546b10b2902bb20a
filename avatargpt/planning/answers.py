"""What language models are asked for when they plan, and which of it is a plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, Field, create_model

from avatargpt.llm.failures import Malformed
from avatargpt.planning.parse import alike, check_sentence, check_steps
from avatargpt.planning.types import LONGEST, Activity

FEWEST, MOST = 2, 6  # steps of an activity
BRIEF = 3  # of one that a small model writes
SHORTEST = 0.5  # s of a step that a planner may ask for


class ActivityAnswer(BaseModel):
    """One activity; `seconds` of each step, where they are told."""

    task: str
    steps: list[str] = Field(min_length=FEWEST, max_length=MOST)
    seconds: list[float] = []

    def activity(self) -> Activity:
        """Tidied.

        Raises:
            Malformed: no sentence, no steps, or the same step twice.
        """
        task, steps = check_sentence(self.task), check_steps(self.steps)
        told = len(self.seconds) == len(steps) and all(SHORTEST <= s <= LONGEST for s in self.seconds)
        return Activity(task, steps, tuple(round(s, 2) for s in self.seconds) if told else ())


class BriefActivity(BaseModel):
    """One activity of few short steps: what a small model can hold, and this machine writes in a few seconds."""

    task: str = Field(max_length=60)
    steps: list[Annotated[str, Field(max_length=80)]] = Field(min_length=FEWEST, max_length=BRIEF)

    def activity(self) -> Activity:
        """See `ActivityAnswer.activity`."""
        return Activity(check_sentence(self.task), check_steps(self.steps))


class StepsAnswer(BaseModel):
    """Steps alone."""

    steps: list[str] = Field(min_length=1, max_length=MOST)


class SentenceAnswer(BaseModel):
    """One sentence."""

    answer: str


class PlanAnswer(BaseModel):
    """Activities in order."""

    activities: Sequence[ActivityAnswer | BriefActivity]

    def plan(self) -> tuple[Activity, ...]:
        """Tidied.

        Raises:
            Malformed: as `ActivityAnswer.activity`, or an activity that is there twice.
        """
        out: list[Activity] = []
        for row in self.activities:
            out.append(new(row.activity(), out))
        return tuple(out)


def plan_of(count: int, brief: bool = False) -> type[PlanAnswer]:
    """A plan of so many activities."""
    one: Any = BriefActivity if brief else ActivityAnswer
    field: Any = Annotated[list[one], Field(min_length=count, max_length=count)]
    return create_model(f"PlanOf{count}", __base__=PlanAnswer, activities=(field, ...))


def new(activity: Activity, done: Sequence[Activity]) -> Activity:
    """The activity, if it is none of those.

    Raises:
        Malformed: it was done before.
    """
    for other in done:
        if alike(other.task) == alike(activity.task) or other.steps == activity.steps:
            raise Malformed(f"that was done before: {activity.task!r}")
    return activity
