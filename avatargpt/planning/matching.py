"""Activities of the library whose steps show an event of the scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from avatargpt.language.lemmas import lemma
from avatargpt.language.lexical import lemmas
from avatargpt.language.plans.marks import embedded, unmarked
from avatargpt.language.plans.telling import statement
from avatargpt.planning.retrieve import Asked, Candidate, Retriever
from avatargpt.retrieval.index import ranked
from instruct_data.text.english import THIRD

NEAREST, WORDED = 28, 8  # activities looked at for an event: by meaning, by words
BEST = 4  # candidates of an event
SAME = 0.74  # cosine of event and activity from which they surely are the same doing
ALIKE = (0.48, 0.56)  # and with one verb: where they are done with one thing, and with another
SHOWN, TRUE = 0.15, 0.6  # learned likeness of event and steps, and the scorer's probability of both, at least
VERBS = 0.55  # cosine of two verbs from which they tell of one doing
_LIGHT = frozenset("go get take make try start have do let come put give carry keep refuse learn begin want be".split())


class Matcher:
    """Finds what a scene itself tells.

    Args:
        retriever: the library's.
    """

    def __init__(self, retriever: Retriever) -> None:
        self.retriever = retriever

    def shown(self, asked: Asked, events: Sequence[str]) -> list[Candidate]:
        """Candidates told as the scene tells them, with the steps of an activity that is the same doing.

        Args:
            events: statements of the scene (`avatargpt.language.plans.events`), in its order.
        """
        out = []
        for at, event in enumerate(events):
            found = self._of(asked, event)
            place = at / (len(events) - 1) if len(events) > 1 else None
            out += [replace(c, event=at, place=c.place if place is None else place) for c in found]
        return out

    def _of(self, asked: Asked, event: str) -> list[Candidate]:
        lib = self.retriever.library
        full = self.retriever.grounder.sentence([embedded(event)])
        own = lib.basis.reduce(full, self.retriever.width)
        rows = {int(r) for r in ranked(lib.task_index.cosines(own[0]), NEAREST)}
        worded = self.retriever.overlap.index.scores(event)[: len(lib.tasks)]
        rows |= {int(r) for r in ranked(worded, WORDED)}
        looked = sorted(rows)
        cosine = self.retriever.full(looked) @ full[0]
        steps = lib.projected("task_steps", "to", lib.means[looked]) @ lib.projected("task_steps", "from", own)[0]
        made = [replace(self.retriever.candidate(r), task=event, task_vector=own[0]) for r in looked]
        true = self.retriever.judge(asked, made)
        found = []
        for one, row, c, s, p in zip(made, looked, cosine, steps, true, strict=True):
            alike = c >= ALIKE[not _shared(event, lib.tasks[row])] and self._same_act(event, lib.tasks[row])
            if (alike or c >= SAME) and s >= SHOWN and p >= TRUE and self._known(one.steps, asked.text):
                found.append(replace(one, match=float(c + 0.3 * s + 0.3 * p)))
        return sorted(found, key=lambda c: -c.match)[:BEST]

    def _known(self, steps: Sequence[str], scene: str) -> bool:
        """Whether every step is done with things of the scene."""
        return not any(self.retriever.props.foreign(s, scene) for s in steps)

    def _same_act(self, event: str, task: str) -> bool:
        """Whether two statements begin with one verb or with two near ones; of verbs that say little, not at all."""
        first, second = act(event), act(statement(task))
        if not first or not second or first in _LIGHT or second in _LIGHT:
            return False
        if first == second:
            return True
        a, b = self.retriever.grounder.sentence([first, second])
        return float(a @ b) >= VERBS


def _shared(event: str, task: str) -> bool:
    """Whether two statements have more in common than their verb."""
    words = [set(lemmas(unmarked(t))) - {act(statement(t))} for t in (event, task)]
    return bool(words[0] & words[1])


def act(told: str) -> str:
    """The verb of a statement with marks, as a lemma; empty where it is none."""
    words = told.rstrip(".").split()
    if len(words) < 2 or words[0] != "{^he}":
        return ""
    return THIRD.get(words[1], lemma(words[1]))
