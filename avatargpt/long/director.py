"""What is done next: asks the planner, remembers a little, refuses to go round in circles, keeps the scene's manner."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from avatargpt.options import mix
from avatargpt.planning.types import Activity, Planner
from avatargpt.requests.lexical import lemmas
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.requests.phrase_index import PhraseIndex

PLANNED = 3  # activities of the plan that a scene begins with, as many as `avatargpt plan` gives
MEMORY = 24  # activities the planner is told of and repetition is looked for in
TRIES = 4  # times the planner is asked before the least repetitive answer is taken
SAME = 0.6  # share of common words from which two activities are the same one
WARMER = 0.15  # temperature added with every further try


class Director:
    """Activities for a scene without end: first the whole plan that `avatargpt plan` gives, then what comes next.

    State: the last `MEMORY` activities and a counter.

    Args:
        planner: see `avatargpt.planning`.
        scene: in words.
        seed: same seed, same activities.
        first: activities to be done before the planner is asked, in place of its plan.
        manner: word put behind steps that name no manner; see `manner_of`.
        wording: the book that knows manners; None = none is known.
        temperature: of the planner.
    """

    def __init__(
        self, planner: Planner, scene: str, seed: int = 0, first: Sequence[Activity] = (), manner: str = "",
        phrase_index: PhraseIndex | None = None, temperature: float = 0.7,
    ) -> None:
        self.planner, self.scene, self.seed, self.temperature = planner, scene, seed, temperature
        self.first: deque[Activity] | None = deque(first) if first else None
        self.manner, self.phrase_index = manner, phrase_index
        self.done: deque[Activity] = deque(maxlen=MEMORY)
        self.count = 0
        self.asked_again = 0  # answers refused because they repeated something

    def next(self, described: str = "") -> Activity:
        """The next activity; `described` is what the motion made last looks like.

        Raises:
            UserError: the planner has no answer.
        """
        if self.first is None:
            self.first = deque(self.planner.plan(self.scene, PLANNED, self.temperature, self.seed).activities)
        activity = self.first.popleft() if self.first else self._asked(described)
        self.count += 1
        self.done.append(activity)
        return activity

    def in_manner(self, step: str) -> str:
        """The step, with the scene's manner where it has none of its own."""
        if not self.manner or (self.phrase_index is not None and self.phrase_index.style(step)):
            return step
        return f"{step.rstrip(' .')} {self.manner}"

    def _asked(self, described: str) -> Activity:
        best: tuple[float, Activity] | None = None
        for attempt in range(TRIES):
            activity = self._one(described, attempt)
            same = max((likeness(activity, other) for other in self.done), default=0.0)
            if best is None or same < best[0]:
                best = same, activity
            if same < SAME:
                break
            self.asked_again += 1
        assert best is not None
        return best[1]

    def _one(self, described: str, attempt: int) -> Activity:
        """One answer; a planner that has nothing new left for the scene is told of half as much, and so on."""
        told, warm = list(self.done), min(self.temperature + attempt * WARMER, 1.5)
        while True:
            try:
                return self.planner.next_activity(
                    self.scene, told, described, warm, mix(self.seed, 10 * self.count + attempt)
                )
            except UserError:
                if not told:
                    raise
                told = told[len(told) // 2 + len(told) % 2 :]


def likeness(a: Activity, b: Activity) -> float:
    """How much of two activities is the same, 0..1: common words of tasks or of steps, whichever is more."""
    tasks = _overlap(lemmas(a.task), lemmas(b.task))
    steps = _overlap([w for s in a.steps for w in lemmas(s)], [w for s in b.steps for w in lemmas(s)])
    return max(tasks, steps)


def _overlap(a: list[str], b: list[str]) -> float:
    x, y = set(a), set(b)
    return len(x & y) / max(len(x | y), 1)


def manner_of(scene: str, phrase_index: PhraseIndex | None) -> str:
    """One word for the manner that a scene names ("a tired gardener" -> "tiredly"), or empty."""
    style = phrase_index.style(scene) if phrase_index is not None else ""
    if not style or phrase_index is None:
        return ""
    return next((p for p, s in phrase_index.styles.items() if s == style and " " not in p), "")
