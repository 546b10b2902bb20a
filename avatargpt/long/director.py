"""`Director`: the next activity of a scene, by a planner with a short memory, without repetition."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from avatargpt.options import mix
from avatargpt.planning.types import Activity, Planner
from avatargpt.requests.english import lemmas
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.requests.phrase_index import PhraseIndex

# of the plan that a scene begins with, as of `avatargpt plan`
PLAN_ACTIVITIES = 3
# activities that the planner gets and repetition is measured against
MEMORY = 24
# answers of the planner before the least repetitive one is taken
MAX_TRIES = 4
# share of common words, from which two activities are the same
MAX_LIKENESS = 0.6
TEMPERATURE_STEP, MAX_TEMPERATURE = 0.15, 1.5  # added with every further try, and at most


class Director:
    """Activities of an endless scene: first the plan that `avatargpt plan` gives, then one at a time.

    State: the last `MEMORY` activities and a counter.

    Args:
        planner: see `avatargpt.planning`.
        scene: in words.
        seed: same seed, same activities.
        first: activities in place of the planner's plan.
        manner: word appended to steps that name no manner; see `manner_of`.
        phrase_index: finds manners in texts; None = it finds none.
        temperature: of the planner.
    """

    def __init__(
        self, planner: Planner, scene: str, seed: int = 0, first: Sequence[Activity] = (), manner: str = "",
        phrase_index: PhraseIndex | None = None, temperature: float = 0.7,
    ) -> None:
        self.planner, self.scene, self.seed, self.temperature = planner, scene, seed, temperature
        self.first: deque[Activity] | None = deque(first) if first else None
        self.manner, self.phrase_index = manner, phrase_index
        self.past: deque[Activity] = deque(maxlen=MEMORY)
        self.count = 0
        self.refused = 0  # answers that repeated something

    def next(self, described: str = "") -> Activity:
        """The next activity; `described` is the description of the last motion.

        Raises:
            UserError: the planner has no answer.
        """
        if self.first is None:
            self.first = deque(self.planner.plan(self.scene, PLAN_ACTIVITIES, self.temperature, self.seed).activities)
        activity = self.first.popleft() if self.first else self._new(described)
        self.count += 1
        self.past.append(activity)
        return activity

    def in_manner(self, step: str) -> str:
        """The step, with the scene's manner unless it has its own."""
        if not self.manner or (self.phrase_index is not None and self.phrase_index.style(step)):
            return step
        return f"{step.rstrip(' .')} {self.manner}"

    def _new(self, described: str) -> Activity:
        best: tuple[float, Activity] | None = None
        for attempt in range(MAX_TRIES):
            activity = self._answer(described, attempt)
            repetition = max((likeness(activity, earlier) for earlier in self.past), default=0.0)
            if best is None or repetition < best[0]:
                best = repetition, activity
            if repetition < MAX_LIKENESS:
                break
            self.refused += 1
        assert best is not None
        return best[1]

    def _answer(self, described: str, attempt: int) -> Activity:
        # a planner with nothing new left for the scene gets half of the memory, and so on
        past = list(self.past)
        temperature = min(self.temperature + attempt * TEMPERATURE_STEP, MAX_TEMPERATURE)
        seed = mix(self.seed, 10 * self.count + attempt)
        while True:
            try:
                return self.planner.next_activity(self.scene, past, described, temperature, seed)
            except UserError:
                if not past:
                    raise
                past = past[len(past) // 2 + len(past) % 2 :]


def likeness(a: Activity, b: Activity) -> float:
    """Likeness of two activities, 0..1: common words of tasks or of steps, whichever is higher."""
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
