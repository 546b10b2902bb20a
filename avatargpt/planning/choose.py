"""Which activities of a whole plan are told, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from avatargpt.planning.compose import State, stumbles, tell
from avatargpt.planning.kinds import FIRST, LAST, MIDDLE
from avatargpt.planning.persons import Person
from avatargpt.planning.retrieve import Story
from avatargpt.planning.types import Activity

Weak = Callable[[Sequence[str]], int]
LOOKED_AT = 4  # activities among which one is looked for whose steps can all be shown
VARIED = 0.04  # of the fits of activities, at temperature 1
STUMBLES, REFUSED = 0.1, 0.2  # less for each step that the pose forbids, and that the mood does
ALIKE, SAME = 0.72, 0.62  # cosine from which two activities of a plan are too like, and from which one was done before


class Chooser:
    """Takes activities from one plan; it never mixes their steps.

    Args:
        story: the plan. person: who acts. rng, temperature: vary which of its activities are taken.
        weak: counts steps that the body cannot show well; None = it can show all.
    """

    def __init__(
        self, story: Story, person: Person, rng: np.random.Generator, temperature: float, weak: Weak | None = None
    ) -> None:
        self.story, self.person, self.weak = story, person, weak
        noise = rng.gumbel(0, VARIED * temperature, len(story.parts)) if temperature > 0 else 0.0
        refused = [sum(person.refuses(s) for s in p.steps) for p in story.parts]
        self.worth = story.fits + noise - REFUSED * np.array(refused)
        self.chosen: list[int] = []

    def whole(self, count: int, state: State) -> list[Activity]:
        """At most `count` activities: a beginning, what may stand between, an end; of a written scene in its order."""
        if self.story.ordered:
            rows = self._of_written(count, state)
            told = [tell(self.story.parts[i], self.person, state) for i in rows]
            return [a for a in told if a is not None]
        places = [{FIRST, MIDDLE}] if count == 1 else [{FIRST}, *({MIDDLE} for _ in range(count - 2)), {LAST}]
        made = []
        for places_here in places:
            one = self._told(places_here, state)
            made += [one] if one is not None else []
        return made

    def next(self, state: State, done: np.ndarray) -> Activity | None:
        """What comes next in this plan: its beginning, what may stand between, its end; None after its end.

        Args:
            done: (n, 384) activities before.
        """
        parts = self.story.parts
        if self.story.ordered:
            at = self._reached(state, done)
            return next((a for a in (self._try(i, state) for i in range(at, len(parts))) if a is not None), None)
        known = [p for p in parts if state.knows(p)]
        if any(p.at == {LAST} for p in known):
            return None
        for places in [{FIRST, MIDDLE}] if not known else [{MIDDLE}, {LAST}]:
            if (one := self._told(places, state, done)) is not None:
                return one
        return None

    def left(self, state: State, done: np.ndarray) -> Activity | None:
        """Whatever of this plan was not told."""
        return self._told({FIRST, MIDDLE, LAST}, state, done)

    def _try(self, i: int, state: State) -> Activity | None:
        return None if state.knows(self.story.parts[i]) else tell(self.story.parts[i], self.person, state)

    def _told(self, places: set[int], state: State, done: np.ndarray | None = None) -> Activity | None:
        """The activity that suits best of those that may stand there; of the best few one that can be shown."""
        possible: list[tuple[int, int]] = []  # steps that cannot be shown, row
        for i in self._ranked(places, state, done):
            trial = state.copy()
            if (one := self._try(i, trial)) is not None:
                possible.append((0 if self.weak is None else self.weak(one.steps), i))
                if not possible[-1][0] or len(possible) == LOOKED_AT:
                    break
        if not possible:
            return None
        chosen = min(possible, key=lambda p: p[0])[1]
        self.chosen.append(chosen)
        return self._try(chosen, state)

    def _ranked(self, places: set[int], state: State, done: np.ndarray | None) -> Sequence[int]:
        parts, vectors = self.story.parts, self.story.vectors
        rows = [i for i, p in enumerate(parts) if p.at & places and i not in self.chosen]
        rows = [i for i in rows if not any(vectors[i] @ vectors[k] > ALIKE for k in self.chosen)]
        if done is not None and len(done):
            rows = [i for i in rows if float((done @ vectors[i]).max()) < SAME or self.story.ordered]
        worth = {i: self.worth[i] - STUMBLES * stumbles(parts[i].steps, state.pose) for i in rows}
        return sorted(rows, key=lambda i: -worth[i])

    def _of_written(self, count: int, state: State) -> list[int]:
        """Rows to tell, in order: the first and the last, and between them what suits best."""
        rows = [i for i, p in enumerate(self.story.parts) if not state.knows(p)]
        if len(rows) <= count:
            return rows
        if count == 1:
            return [max(rows[:-1], key=lambda i: self.worth[i])]
        inner = sorted(rows[1:-1], key=lambda i: -self.worth[i])[: count - 2]
        return sorted([rows[0], *inner, rows[-1]])

    def _reached(self, state: State, done: np.ndarray) -> int:
        """Row after the last activity of this plan that was told, or is like one that was done."""
        told = [i for i, p in enumerate(self.story.parts) if state.knows(p)]
        if not told and len(done):
            cosine = self.story.vectors @ done[-1]
            told = [int(cosine.argmax())] if cosine.max() >= SAME else []
        return max(told) + 1 if told else 0
