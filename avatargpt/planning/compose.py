"""From an activity of a whole plan to one of the asked scene: person, mood and hand, in physical order.

Rules, not a network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from avatargpt.planning.kinds import Part
from avatargpt.planning.persons import Person
from avatargpt.planning.posture import START, Pose, bridge, follow
from avatargpt.planning.telling import of_others, plain_task, retold, sentence, statement
from avatargpt.planning.types import Activity


@dataclass
class State:
    """What a plan must not contradict while it grows.

    Attributes:
        pose: after the last step. said: steps so far, with marks. told: tasks so far, as `plain_task` has them.
        begun: the actor was named. turns: bridges so far. count: activities so far.
    """

    pose: Pose
    said: set[str]
    told: set[str]
    begun: bool = False
    turns: int = 0
    count: int = 0

    @classmethod
    def fresh(cls) -> State:
        """Before anything is told."""
        return cls(START, set(), set())

    def copy(self) -> State:
        """One to try things on."""
        return replace(self, said=set(self.said), told=set(self.told))

    def knows(self, part: Part) -> bool:
        """Whether an activity was told, or most of its steps were."""
        again = sum(s in self.said for s in part.steps)
        return plain_task(part.task) in self.told or 2 * again > len(part.steps)


def tell(part: Part, person: Person, state: State) -> Activity | None:
    """An activity in the words for a person, and `state` after it; None where too few of its steps can follow.

    A step that the pose forbids comes after one that makes it possible, or is left out where none is known.
    """
    pose, done, kept, turns = state.pose, [], 0, state.turns
    for step in map(of_others, part.steps):
        if step in state.said:
            continue
        if follow(pose, step)[1]:
            between = bridge(pose, step, turns)
            if between is None:
                continue
            turns += 1
            done.append(between)
            pose = follow(pose, between)[0]
        done.append(step)
        pose = follow(pose, step)[0]
        kept += 1
    if kept < min(2, len(part.steps)):
        return None
    state.said |= set(part.steps)
    state.told.add(plain_task(part.task))
    state.pose, state.turns = pose, turns
    state.count += 1
    told = retold(done, person, not state.begun, state.count % 2 == 1)
    state.begun = state.begun or done[0].startswith("{he} ")
    return Activity(sentence(person.says(statement(part.task))), tuple(told))


def stumbles(steps: Sequence[str], pose: Pose) -> int:
    """How many of the steps are impossible after the pose and one another."""
    count = 0
    for step in steps:
        pose, wrong = follow(pose, step)
        count += bool(wrong)
    return count
