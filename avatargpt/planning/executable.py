"""Steps that a body can show: how well the motion side knows a step, and another wording where it does not.

The score is retrieval: the nearest phrasing of the phrase index, by sentence vector and word overlap, for the index
turns steps into the captions the motion network was trained on.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from avatargpt.language.clauses import clauses, verb_phrases
from avatargpt.language.plans.marks import gender_of
from avatargpt.language.plans.people import PRONOUNS
from avatargpt.language.plans.references import subject_of, told_of
from avatargpt.planning.parse import alike
from avatargpt.planning.types import Activity, Plan, Planner
from avatargpt.requests import mix
from avatargpt.retrieval.phrases import OVERLAP, PhraseIndex
from instruct_data.planning import STEP_TASKS

if TYPE_CHECKING:
    from avatargpt.model.text_encoder import SentenceGrounder

LEAST = 0.62  # three of a hundred written steps score lower (docs/planning.md); what they say cannot be made out
MEANS = 0.5  # below this a phrasing has nothing to do with the step, and is no paraphrase
REMEMBERED = 20_000  # scores kept
AGAIN = 2  # times that steps are asked for again

Ask = Callable[[int], Sequence[str]]
"""Number of the try -> other steps of the same activity."""


class Executable:
    """Scores steps and rewords those that score low.

    Args:
        wording: the book of phrasings. grounder: the sentence encoder of its vectors.
        least: steps below it are not known well enough.
    """

    def __init__(self, phrase_index: PhraseIndex, grounder: SentenceGrounder, least: float = LEAST) -> None:
        self.phrase_index, self.grounder, self.least = phrase_index, grounder, least
        self._known: OrderedDict[str, float] = OrderedDict()

    def ready(self) -> None:
        """Index the book now; else the first step waits for it."""
        _ = self.phrase_index.index.words

    def can_do(self, steps: Sequence[str]) -> list[float]:
        """A score for every step: cosine plus weighted word overlap with the nearest known phrasing, about 0 to 1.2.

        A step of several movements is as good as the weakest of them, unless a phrasing knows the whole.
        """
        missing = [s for s in dict.fromkeys(steps) if s not in self._known]
        if missing:
            parts = [_parts(s) for s in missing]
            texts = list(dict.fromkeys([*(s.lower() for s in missing), *(p for row in parts for p in row)]))
            nearest = dict(zip(texts, self._nearest(texts), strict=True))
            for step, row in zip(missing, parts, strict=True):
                self._known[step] = max(nearest[step.lower()], min(nearest[p] for p in row))
        found = [self._known[s] for s in steps]
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found

    def _nearest(self, texts: Sequence[str]) -> list[float]:
        out, index = [], self.phrase_index.index
        for start in range(0, len(texts), 64):  # bounded memory: 64 rows of the whole book
            some = texts[start : start + 64]
            cosines = index.cosines(self.grounder.sentence(some))
            out += [float(index.scores(row, OVERLAP, t).max()) for t, row in zip(some, cosines, strict=True)]
        return out

    def paraphrase(self, step: str) -> str:
        """The step in the book's words, with its own subject; empty where no phrasing is near enough."""
        found = self.phrase_index.plain(step, self.grounder, -1.0)
        if len(found) > 2 or min(p.similarity for p in found) < MEANS:
            return ""
        gender = gender_of(step)
        subject = subject_of(step) or PRONOUNS.get(gender, PRONOUNS["they"])[0]
        said = " and ".join(told_of(p.telling, subject if k == 0 else "", gender) for k, p in enumerate(found))
        return said if alike(said) != alike(step) else ""

    def repaired(self, activity: Activity, ask: Ask | None = None) -> tuple[Activity, tuple[str, ...]]:
        """The activity with steps that can be shown, and a sentence for every change.

        Weak steps are reworded; where one cannot be, other steps are asked for, and taken if they are better.

        Args:
            ask: gives other steps of the same activity; None = nobody to ask.
        """
        best = self._reworded(activity)
        if not best[2] or ask is None:
            return best[0], tuple(best[1] + best[2])
        for attempt in range(AGAIN):
            steps = tuple(ask(attempt))
            fresh = self._reworded(Activity(activity.task, steps))
            if len(fresh[2]) < len(best[2]):
                note = f"Other steps were asked for {activity.task!r}: the motion side does not know {best[2][0]}"
                best = fresh[0], [note.split(": nothing")[0] + ".", *fresh[1]], fresh[2]
            if not best[2]:
                break
        return best[0], tuple(best[1] + best[2])

    def _reworded(self, activity: Activity) -> tuple[Activity, list[str], list[str]]:
        """(activity, notes of what was reworded, notes of what stayed weak)."""
        steps, changed, weak = list(activity.steps), [], []
        for i, score in enumerate(self.can_do(steps)):
            if score >= self.least:
                continue
            said = self.paraphrase(steps[i])
            taken = {alike(s) for k, s in enumerate(steps) if k != i}
            if said and alike(said) not in taken:
                changed.append(f"{steps[i]!r} became {said!r} (the motion side's score was {score:.2f}).")
                steps[i] = said
            else:
                weak.append(f"{steps[i]!r}: nothing like it is known ({score:.2f}); it may not look as it reads.")
        return replace(activity, steps=tuple(steps)), changed, weak


class Checked:
    """A planner whose steps have been checked.

    Args:
        planner: who plans.
        executable: checks.

    Attributes:
        notes: what was changed in the last answer, a sentence each.
    """

    def __init__(self, planner: Planner, executable: Executable) -> None:
        self.planner, self.executable = planner, executable
        self.notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Of who plans."""
        return self.planner.name

    def plan(self, scene: str, activities: int = 3, temperature: float = 0.7, seed: int = 0) -> Plan:
        """See `avatargpt.planning.types.Planner.plan`."""
        found = self.planner.plan(scene, activities, temperature, seed)
        rows = [self._repaired(a, temperature, mix(seed, k)) for k, a in enumerate(found.activities)]
        self.notes = (*found.notes, *(note for _, notes in rows for note in notes))
        return Plan(found.scene, tuple(a for a, _ in rows), found.planner, self.notes)

    def next_activity(
        self, scene: str, done: Sequence[Activity], described: str = "", temperature: float = 0.7, seed: int = 0
    ) -> Activity:
        """See `avatargpt.planning.types.Planner.next_activity`."""
        found = self.planner.next_activity(scene, done, described, temperature, seed)
        activity, self.notes = self._repaired(found, temperature, seed)
        return activity

    def answer(self, task: str, slots: dict[str, str], temperature: float = 0.7, seed: int = 0) -> list[str]:
        """See `avatargpt.planning.types.Planner.answer`."""
        found = self.planner.answer(task, slots, temperature, seed)
        self.notes = ()
        if task not in STEP_TASKS:
            return found
        activity, self.notes = self.executable.repaired(
            Activity(slots.get("activity", ""), tuple(found)),
            lambda k: self.planner.answer(task, slots, temperature, mix(seed, 41 + k)),
        )
        return list(activity.steps)

    def _repaired(self, activity: Activity, temperature: float, seed: int) -> tuple[Activity, tuple[str, ...]]:
        def ask(attempt: int) -> list[str]:
            slots = {"activity": activity.task}
            return self.planner.answer("activity_to_steps", slots, temperature, mix(seed, 41 + attempt))

        return self.executable.repaired(activity, ask)


def _parts(step: str) -> list[str]:
    return [p for c in clauses(step) for p in verb_phrases(c)]
