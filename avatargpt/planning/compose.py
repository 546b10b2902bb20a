"""From a candidate to an activity of the asked scene: steps combined, generalised, put in physical order, retold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from avatargpt.language.lexical import lemmas
from avatargpt.language.plans.persons import Person
from avatargpt.language.plans.posture import Pose, bridge, follow
from avatargpt.language.plans.props import generalise
from avatargpt.language.plans.references import dangles, looks_back
from avatargpt.language.plans.setting import Setting, in_its_words
from avatargpt.language.plans.telling import of_others, plain_task, retold, sentence, statement
from avatargpt.planning.retrieve import Asked, Candidate, Retriever, Step
from avatargpt.planning.types import Activity
from avatargpt.retrieval.index import ranked, unit

CanDo = Callable[[list[str]], Sequence[float]]
"""Steps -> how well the motion side does each, higher is better."""
NEIGHBOURS = 128  # activities whose steps may take the place of one
COMMON = 0.004  # share of all steps that begin with a verb which fits everywhere
ALIKE = 0.54  # cosine from which one step may stand in for another
TWICE = 0.8  # cosine from which a step says again what another says
RELATED = 0.4  # cosine to a step of an activity from which one more is of the same doing
FEWEST, FULL, MOST = 2, 4, 5  # steps of an activity: at least, as far as steps are added, at most
WIDE = (0.5, 0.38)  # both, where nothing else can be changed
HERE = 0.5  # weight of the asked scene beside the activity, where steps are looked for and versions compared
MIX = 0.03  # a combined activity may be judged so much worse than the original
SLACK = 0.03  # by which a borrowed step may suit the activity less than its own one
NOISE = 0.08  # of the worth of versions, at temperature 1
LONGER = 0.03  # worth of one step more


@dataclass(frozen=True, eq=False)
class Borrowed:
    """A step of a similar activity.

    Attributes:
        place: 0 = first of its own activity .. 1 = last. text: with marks. vector: (K,).
        suits: learned similarity to the activity that it is to stand in.
    """

    place: float
    text: str
    vector: np.ndarray
    suits: float


@dataclass
class State:
    """What a plan must not contradict while it grows.

    Attributes:
        pose: after the last step. said: steps so far, with marks. told: tasks so far. begun: the actor was named.
        before: the last step, or None. turns: bridges so far. count: activities so far.
        used: phrases of the scene told so far.
    """

    pose: Pose
    said: set[str]
    told: set[str]
    begun: bool = False
    before: Step | None = None
    turns: int = 0
    count: int = 0
    used: set[str] = field(default_factory=set)

    def copy(self) -> State:
        """One to try things on."""
        return replace(self, said=set(self.said), told=set(self.told), used=set(self.used))


class Composer:
    """Makes activities.

    Args:
        retriever: the library's. can_do: the motion side's own score of steps, or None.
    """

    def __init__(self, retriever: Retriever, can_do: CanDo | None = None) -> None:
        self.retriever, self.can_do = retriever, can_do

    def finish(
        self, one: Candidate, asked: Asked, person: Person, state: State, rng: np.random.Generator, temperature: float
    ) -> Activity | None:
        """The candidate as an activity, and `state` after it; None where nothing sensible is left.

        Args:
            rng: draws among versions that suit about equally well, the wider the higher the temperature.
        """
        chosen, pool = one, self._pool(one, asked, state)
        for add in (False, False, True):
            chosen = self._best(one, self._variants(chosen, pool, add), asked, person, state, rng, temperature)
        if chosen is one:  # as it stands it would be the same in every scene
            wide = [*self._variants(one, pool, False, *WIDE), *self._variants(one, pool, True, *WIDE)[1:]]
            chosen = self._best(one, wide, asked, person, state, rng, temperature)
        steps, vectors = self._suited(chosen, asked, state)
        if len(steps) < FEWEST or plain_task(one.task) in state.told:
            return None
        pose, done, turns = state.pose, [], state.turns
        for step in steps:
            after, wrong = follow(pose, step)
            if wrong:
                between = bridge(pose, step, turns)
                if between is None:
                    continue
                turns += 1
                done.append(between)
                pose = follow(pose, between)[0]
                after, wrong = follow(pose, step)
            done.append(step)
            pose = after
        if sum(s in steps for s in done) < FEWEST:
            return None
        state.said |= set(steps)
        state.told.add(plain_task(one.task))
        state.pose, state.before, state.turns = pose, (steps[-1], vectors[-1]), turns
        state.count += 1
        told = retold(done, person, not state.begun, state.count % 2 == 1)
        state.begun = True
        setting = Setting.of(asked.text, person)
        task, draw = statement(one.task), float(rng.random())
        if one.event < 0:  # else it is in the words of the scene
            usual = (*one.steps, *(s for s in done if s not in steps))
            task, added = in_its_words(task, done, setting, person, state.used, draw, usual)
            state.used.add(added)
        return Activity(sentence(person.says(task)), tuple(told))

    def _suited(self, one: Candidate, asked: Asked, state: State) -> tuple[list[str], np.ndarray]:
        """Steps without foreign things, without what was said before, at most `MOST`."""
        kept, rows = [], []
        for i, step in enumerate(one.steps):
            plain = generalise(of_others(step), self.retriever.props.foreign(step, asked.text))
            if plain is None or plain in state.said or plain in kept or plain.count("some") > 1:
                continue
            kept.append(plain)
            rows.append(i)
        rows = rows[:MOST]
        return kept[:MOST], one.step_vectors[rows] if rows else one.step_vectors

    def _best(
        self, origin: Candidate, variants: Sequence[Candidate], asked: Asked, person: Person, state: State,
        rng: np.random.Generator, temperature: float,
    ) -> Candidate:  # fmt: skip
        """Of versions of an activity, the first as it was, the one that suits best, or about as well."""
        judged = self.retriever.judge(asked, variants, state.before)
        lib = self.retriever.library
        about = lib.projected("task_steps", "from", origin.task_vector[None])[0]
        means = unit(np.stack([v.step_vectors.mean(0) for v in variants]))
        worth = judged + 0.5 * (lib.projected("task_steps", "to", means) @ about)
        own = lib.projected("scene_steps", "from", asked.vector[None])[0]
        worth += HERE * (lib.projected("scene_steps", "to", means) @ own)
        worth -= np.array([0.3 * sum(person.refuses(s) for s in v.steps) for v in variants])
        worth -= np.array([0.5 * sum(s in state.said for s in v.steps) for v in variants])
        worth -= np.array([0.2 * _stumbles(v.steps, state.pose) for v in variants])
        if self.can_do is not None:
            told = [person.says(s) for v in variants for s in v.steps]
            unique = list(dict.fromkeys(told))
            score = dict(zip(unique, self.can_do(unique), strict=True))
            worth += 0.3 * np.array([np.mean([score[person.says(s)] for s in v.steps]) for v in variants])
        worth[1:] += MIX
        worth += LONGER * np.array([min(len(v.steps), FULL) for v in variants])
        worth += rng.gumbel(0, NOISE * max(temperature, 0.0), len(variants)) if temperature > 0 else 0.0
        return variants[int(worth.argmax())]

    def _pool(self, one: Candidate, asked: Asked, state: State) -> list[Borrowed]:
        """Steps of similar activities that may stand in this one, in this scene."""
        lib, props = self.retriever.library, self.retriever.props
        alike = lib.task_index.cosines(one.task_vector) + HERE * asked.nearness[lib.task_scene]
        near = ranked(alike, 3 * NEIGHBOURS)
        rows = [int(r) for r in near if lib.task_scene[r] != one.scene][:NEIGHBOURS]
        pool = []
        for row in rows:
            theirs = lib.steps_of(row)
            for k, i in enumerate(theirs):
                text = lib.steps[i]
                if not dangles(text) and text.startswith("{he} ") and text not in state.said:
                    pool.append((k / max(len(theirs) - 1, 1), text, lib.step_vectors[i]))
        pool = [b for b in pool if self._belongs(b[1], one, asked.text)]
        props.home([w for _, t, _ in pool for w in props.named(t)], asked.text)
        about = lib.projected("task_steps", "from", one.task_vector[None])[0]
        own = lib.projected("task_steps", "to", one.step_vectors) @ about
        out = []
        for place, text, vector in pool:
            suits = float(lib.projected("task_steps", "to", vector[None])[0] @ about)
            if suits >= own.min() - SLACK and not any(props.strangeness(text, asked.text)):
                out.append(Borrowed(place, text, vector, suits))
        return out

    def _belongs(self, step: str, one: Candidate, scene: str) -> bool:
        """Whether a step is done with what the activity or the scene has, and in a way that is common or theirs."""
        props = self.retriever.props
        told = (one.task, *one.steps)
        things = set().union(*(props.things(t) for t in told)) | set(lemmas(scene)) | set(lemmas(" ".join(told)))
        verb = step.split()[1]
        return props.things(step) <= things and (verb in self.common or any(verb in t.split() for t in told))

    @cached_property
    def common(self) -> frozenset[str]:
        """Verbs that steps of many kinds begin with."""
        steps = self.retriever.library.steps
        counts = Counter(s.split()[1] for s in steps if s.startswith("{he} ") and len(s.split()) > 1)
        return frozenset(v for v, n in counts.items() if n >= COMMON * len(steps))

    def _variants(
        self, one: Candidate, pool: Sequence[Borrowed], add: bool, alike: float = ALIKE, related: float = RELATED
    ) -> list[Candidate]:
        """The candidate, and it with one step replaced by a like one, or (`add`), where it is short, with one more."""
        lib = self.retriever.library
        about = lib.projected("task_steps", "from", one.task_vector[None])[0]
        own = lib.projected("task_steps", "to", one.step_vectors) @ about
        count, out = len(one.steps), [one]
        for step in pool:
            if step.text in one.steps:
                continue
            like = one.step_vectors @ step.vector
            k = round(step.place * (count - 1))
            looked_at = k + 1 < count and looks_back(one.steps[k + 1])
            if not add and like[k] >= alike and step.suits >= own[k] - SLACK and not looked_at:
                steps, vectors = list(one.steps), one.step_vectors.copy()
                steps[k], vectors[k] = step.text, step.vector
                out.append(replace(one, steps=tuple(steps), step_vectors=vectors))
            k = round(step.place * count)
            looked_at = k < count and looks_back(one.steps[k])
            near = related <= like.max() < TWICE
            if add and 0 < k < count < FULL and near and step.suits >= own.mean() - SLACK and not looked_at:
                steps = [*one.steps[:k], step.text, *one.steps[k:]]
                vectors = np.concatenate([one.step_vectors[:k], step.vector[None], one.step_vectors[k:]])
                out.append(replace(one, steps=tuple(steps), step_vectors=vectors))
        return out


def _stumbles(steps: Sequence[str], pose: Pose) -> int:
    count = 0
    for step in steps:
        pose, wrong = follow(pose, step)
        count += bool(wrong)
    return count
