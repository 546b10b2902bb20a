"""Activities for the events of a scene: each event as the step that it is, or as what a stored activity tells of it."""
# A stored activity elaborates an event only if the whole sentence and the verb alone are alike (sentence encoder).
# Where none is, the event itself is the step, and the check of steps says what is shown in its place.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, cycle

import numpy as np

from avatargpt.planning.compose import PlanState, bridge, follow, statement, tell
from avatargpt.planning.consequences import Consequences
from avatargpt.planning.events import SceneEvent, third_person
from avatargpt.planning.library import PlanLibrary, StoryPart, normalize_text, word_for_encoder
from avatargpt.planning.retriever import Retriever
from avatargpt.planning.types import MAX_STEP_SECONDS, Activity, StepScores
from avatargpt.requests.vector_index import rank_scores

# Of forty events read beside their nearest stored activities: from here on the activity tells of the same; "a person
# jogs" and "a person runs" have 0.74, lifts and pulls 0.66
MIN_ALIKE, MIN_VERB_ALIKE = 0.77, 0.72
MAX_REDUCTION = 0.1  # by which the cosine of reduced vectors may be lower
MIN_OBJECT_ALIKE = 0.5  # of what follows the verb, where both have something
# of how near the stored activity's scene is: patients are checked in hospitals; and that of what happens anywhere
SCENE_WEIGHT, EVENT_NEAR = 0.3, 0.4
MIN_PLAIN = 0.95  # score of a step from which on a body shows the event itself
MIN_SAME = 0.9  # likeness from which a stored activity is the event, whether or not a body shows all of its steps
NEAREST, TRIED = 16, 6  # stored activities that are compared, and that may fill time
MAX_EVENT_STEPS = 3  # of an event whose time is not told
USUAL_SECONDS = 4.0  # of a step without a known caption
MIN_STEP_SECONDS = 1.0
REPEATED = 0.5  # of its time that an event gets beside, that no stored activity is like
STRETCH = 2.0  # of usual lengths, those of one performance, before steps are added


@dataclass(frozen=True)
class _StoredActivity:
    """A stored activity that is like an event."""

    part: StoryPart
    whole: float  # how like it is
    worth: float  # that, and how near its scene


@dataclass(frozen=True)
class _EventDraft:
    """The steps of an event, and more of them where there is time."""

    steps: tuple[str, ...]
    further: tuple[str, ...] = ()
    task: str = ""  # empty = that of the event
    reason: str = ""  # what others do, which the steps answer


class EventPlanner:
    """Plans the events of a scene with the activities of the library.

    Args:
        checker: scores steps, and knows their usual lengths; None = all steps count as shown and last `USUAL_SECONDS`.
        consequences: says what a person does about what others do; None = that is told as if the person did it.
    """

    def __init__(
        self, library: PlanLibrary, retriever: Retriever, checker: StepScores | None = None,
        consequences: Consequences | None = None,
    ) -> None:  # fmt: skip
        self.library, self.retriever, self.checker, self.consequences = library, retriever, checker, consequences
        self._stored = [*(p for parts in library.kinds.parts for p in parts), *library.events.parts]
        tasks = [*library.tasks, *(p.task for p in self._stored)]
        self._verbs = frozenset(t.split()[1] for t in tasks if t.startswith("{^he} "))

    def activities(self, scene: str, events: Sequence[SceneEvent], seconds: float | None = None) -> list[Activity]:
        """One activity for each event, in order; with `seconds` their steps last so long together, within a tenth.

        Events whose time the scene tells keep it, and the others share what remains.
        """
        state, drafts, near = PlanState.fresh(), [], self._near(scene)
        events = [self._with_verb(e) for e in events]
        for number, event in enumerate(events):
            answer = self._answer_others(event, events[number - 1].marked if number else scene, state)
            if answer is not None:
                drafts.append(_EventDraft(answer.steps, task=answer.task, reason=event.said))
                continue
            steps, state = self._steps(event, state, near)
            timed = seconds is not None or event.seconds is not None
            drafts.append(_EventDraft(tuple(steps), self._further(event, steps, near) if timed else ()))
        times = self._times(events, drafts, seconds)
        out = []
        for event, draft, time in zip(events, drafts, times, strict=True):
            texts = draft.steps if time is None else self._fill_seconds(event, draft, time)
            lengths = () if time is None else self._lengths(texts, time)
            out.append(Activity(draft.task or event.task, tuple(texts), lengths, draft.reason))
        return out

    def usual(self, activities: Sequence[Activity]) -> float:
        """Seconds that activities usually take."""
        return self._sum([s for a in activities for s in a.steps])

    def time_activity(self, activity: Activity, seconds: float) -> Activity:
        """An activity whose steps last so long together."""
        return replace(activity, seconds=self._lengths(activity.steps, seconds))

    def _near(self, scene: str) -> np.ndarray:
        """(A,) how near the scene of each stored activity is: of the written scenes, of the kinds, and events."""
        lib, table = self.library, self.library.kinds
        written = (lib.scene_vectors @ self.retriever.scene(scene))[lib.task_scene]
        keys = table.keys @ self.retriever.full([scene])[0]
        best = np.full(len(table.names), -1.0)
        np.maximum.at(best, table.key_kind, keys)
        anywhere = np.full(len(lib.events.parts), EVENT_NEAR)
        return np.concatenate([written, np.repeat(best, np.diff(table.starts)), anywhere])

    def alike(self, event: SceneEvent, near: np.ndarray) -> list[_StoredActivity]:
        """Stored activities that tell of the same as an event, the likest first, and of those the nearest scene's."""
        lib, words = self.library, f"a person {event.words}"
        vector = self.retriever.full([words])[0]
        reduced = self.retriever.embed([words])[0]
        rough = np.concatenate([lib.task_vectors @ reduced, lib.kinds.vectors @ vector, lib.events.vectors @ vector])
        which = rank_scores(rough, NEAREST)
        which = which[rough[which] >= MIN_ALIKE - MAX_REDUCTION]
        if not len(which):
            return []
        parts = [self._part(int(i)) for i in which]
        whole = self.retriever.full([p.task for p in parts]) @ vector
        kept = np.flatnonzero(whole >= MIN_ALIKE)
        parts, whole, which = [parts[i] for i in kept], whole[kept], which[kept]
        if not parts:
            return []
        texts = [_halves(words), *(_halves(p.task) for p in parts)]
        verbs, objects = (self.retriever.full([t[k] or t[0] for t in texts]) for k in (0, 1))
        both = np.array([bool(texts[0][1] and t[1]) for t in texts[1:]])
        fits = verbs[1:] @ verbs[0] >= MIN_VERB_ALIKE
        fits &= ~both | (objects[1:] @ objects[0] >= MIN_OBJECT_ALIKE)
        worth = whole + SCENE_WEIGHT * near[which]
        rows = zip(parts, whole, worth, fits, strict=True)
        found = [_StoredActivity(part, float(a), float(w)) for part, a, w, fit in rows if fit]
        return sorted(found, key=lambda r: -r.worth)

    def _part(self, row: int) -> StoryPart:
        lib = self.library
        if row >= len(lib.tasks):
            return self._stored[row - len(lib.tasks)]
        return StoryPart(lib.tasks[row], self.retriever.steps(row), frozenset())

    def _steps(self, event: SceneEvent, state: PlanState, near: np.ndarray) -> tuple[list[str], PlanState]:
        """The steps of an event where its time does not matter, and the state after them."""
        words = f"a person {event.words}"
        plain = self.checker is not None and self.checker.plain([words])[0] >= MIN_PLAIN
        if plain and all(self._showable_steps([words])):
            return self._plain(event, state), state
        for row in self.alike(event, near):
            after = state.copy()
            activity = tell(row.part, event.person, after)
            if activity is not None and (row.whole >= MIN_SAME or all(self._showable_steps(activity.steps))):
                return list(activity.steps[:MAX_EVENT_STEPS]), after
        return self._plain(event, state), state

    def _is_verb(self, word: str) -> bool:
        """Whether a stored task begins with this verb, in whatever form."""
        return third_person(word) in self._verbs

    def _with_verb(self, event: SceneEvent) -> SceneEvent:
        """The event as the network writes it, where the words of the scene that it points at have no verb."""
        if not event.written or any(map(self._is_verb, event.said.lower().split())):
            return event
        return replace(event, words=event.written, said=event.written)

    def _answer_others(self, event: SceneEvent, before: str, state: PlanState) -> Activity | None:
        """What the person does about an event in which others act ("the soup boils over"); None where nobody else does.

        Args:
            before: what the person did last, or the scene.
        """
        first, *rest = event.said.lower().split() or [""]
        if event.person.noun.split()[-1] in (first, *rest):  # it is the person who acts
            return None
        if self.consequences is None or self._is_verb(first) or not any(map(self._is_verb, rest)):
            return None
        read = self.consequences.read([word_for_encoder(before)], event.said, self.retriever.grounder)
        told = (tell(part, event.person, state) for part in read.answers)
        return next((a for a in told if a is not None), None)

    def _showable_steps(self, steps: Sequence[str]) -> list[bool]:
        return [True] * len(steps) if self.checker is None else self.checker.showable(steps)

    def _plain(self, event: SceneEvent, state: PlanState) -> list[str]:
        """The event itself, after what makes it possible."""
        steps = [event.marked]
        if follow(state.pose, event.marked)[1] and (between := bridge(state.pose, event.marked, state.turns)):
            steps.insert(0, between)
            state.turns += 1
        for step in steps:
            state.pose = follow(state.pose, step)[0]
        texts = [event.person.says(s, not state.begun and i == 0) for i, s in enumerate(steps)]
        state.begun = True
        return texts

    def _times(
        self, events: Sequence[SceneEvent], drafts: Sequence[_EventDraft], seconds: float | None
    ) -> list[float | None]:
        """Seconds of each event; None = as its steps take."""
        stated = [e.seconds for e in events]
        if seconds is None:
            return stated
        self._usual([s for d in drafts for s in (*d.steps, *d.further)])  # at once: that is faster
        usual = np.array([self._sum(d.steps) for d in drafts])
        more = np.array([self._sum(d.further) or REPEATED * u for d, u in zip(drafts, usual, strict=True)])
        free = np.array([s is None for s in stated])
        fixed = sum(s for s in stated if s)
        rest = seconds - fixed
        if not free.any() or rest < MIN_STEP_SECONDS * free.sum():  # what is told does not fit: all are scaled
            times = np.array([s or u for s, u in zip(stated, usual, strict=True)])
            return list(times * (seconds / times.sum()))
        # as the steps take; with more time, what is told at length gets the most of it
        base, wide = usual[free], more[free]
        share = rest / base.sum() if rest < base.sum() else 1.0
        times = base * share
        times += wide * ((rest - times.sum()) / wide.sum())
        shares = iter(times)
        return [s or float(next(shares)) for s in stated]

    def _usual(self, steps: Sequence[str]) -> list[float]:
        known = [0.0] * len(steps) if self.checker is None else self.checker.seconds(steps)
        return [s or USUAL_SECONDS for s in known]

    def _sum(self, steps: Sequence[str]) -> float:
        return sum(self._usual(steps))

    def _fill_seconds(self, event: SceneEvent, draft: _EventDraft, seconds: float) -> list[str]:
        """Steps for so many seconds: fewer, or more of the same event, which are done again at last."""
        out = list(draft.steps)
        while len(out) > 1 and seconds < MIN_STEP_SECONDS * len(out):
            out.pop()
        for step in chain(draft.further, cycle((*_again(event, draft.steps), *draft.further))):
            if self._sum(out) * STRETCH >= seconds:
                break
            out.append(step)
        return out

    def _further(self, event: SceneEvent, steps: Sequence[str], near: np.ndarray) -> tuple[str, ...]:
        """More steps of an event, of other stored activities that are like it, which a body shows."""
        state, used = PlanState.fresh(), {normalize_text(s) for s in _again(event, steps)}
        state.begun = True
        for text in steps:
            state.pose = follow(state.pose, text)[0]
        out = []
        for row in self.alike(event, near)[:TRIED]:
            activity = tell(row.part, event.person, state)
            for step in () if activity is None else activity.steps:
                if normalize_text(step) not in used:
                    used.add(normalize_text(step))
                    out.append(step)
        return tuple(s for s, showable in zip(out, self._showable_steps(out), strict=True) if showable)

    def _lengths(self, steps: Sequence[str], seconds: float) -> tuple[float, ...]:
        """Seconds of each step, in proportion to the usual ones."""
        usual = np.array(self._usual(steps))
        lengths = usual * (seconds / usual.sum())
        return tuple(round(float(s), 2) for s in lengths.clip(0.5, MAX_STEP_SECONDS))


def _again(event: SceneEvent, steps: Sequence[str]) -> list[str]:
    """Steps as they read later: without the noun for who acts."""
    pronoun, noun = event.person.says("{he}"), event.person.noun
    return [pronoun + s.removeprefix(noun) if s.startswith(noun) else s for s in steps]


def _halves(task: str) -> tuple[str, str]:
    """Who acts and the verb ("a person checks"), and what follows ("the list")."""
    words = word_for_encoder(statement(task)).rstrip(".").split()
    return " ".join(words[:3]), " ".join(words[3:])
