"""The planner that is built in: the planning library looked up, judged, combined and retold. It works offline.

What is a network here: the sentence encoder (frozen), the learned projections and the scorer. What is a rule: persons
and moods (`persons`), the words of the scene (`setting`), foreign things (`props`), physical order (`posture`), and the
search (`order`, `compose`).
"""

from __future__ import annotations

import os
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from avatargpt.language.plans.events import events
from avatargpt.language.plans.marks import actor_of, gender_of, neutral
from avatargpt.language.plans.persons import Person, role_names, who
from avatargpt.language.plans.posture import START, follow
from avatargpt.language.plans.requests import check_plan, check_scene, check_slots
from avatargpt.language.plans.setting import origins
from avatargpt.language.plans.telling import plain_task, sentence, statement
from avatargpt.planning.compose import CanDo, Composer, State
from avatargpt.planning.matching import Matcher
from avatargpt.planning.order import Memory, ordered
from avatargpt.planning.retrieve import Asked, Candidate, Retriever
from avatargpt.planning.store import PlanLibrary
from avatargpt.planning.types import Activity, Plan
from avatargpt.retrieval.index import ranked, unit
from instruct_data.planning import SEPARATOR, STEP_TASKS
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.model.text_encoder import SentenceGrounder

Propose = Callable[[str, Sequence[Activity]], Sequence[Activity]]
"""Scene and what was done -> activities that might come next, for instance a model's samples."""
MEMORY = 24  # activities looked back at
SPREAD = 0.1  # of the fits of candidates, at temperature 1
WIDEST = 300  # more candidates where the near ones are used up


_NOUNS = {"he": "a man", "she": "a woman", "it": "a creature", "they": "a person"}


def _nothing(library: PlanLibrary) -> tuple[np.ndarray, np.ndarray]:
    empty = np.zeros((0, library.task_vectors.shape[1]), np.float32)
    return empty, empty


class RetrievalPlanner:
    """Plans from the library; the same question and seed give the same answer.

    Args:
        library: with projections and scorer. grounder: the sentence encoder.
        can_do: the motion side's score of steps; it then takes part in the choice of steps.
        propose: more candidates, ranked with the library's.
    """

    name = "retrieval"

    def __init__(
        self, library: PlanLibrary, grounder: SentenceGrounder, can_do: CanDo | None = None,
        propose: Propose | None = None,
    ) -> None:  # fmt: skip
        self.library, self.propose = library, propose
        self.retriever = Retriever(library, grounder)
        self.matcher, self.composer = Matcher(self.retriever), Composer(self.retriever, can_do)
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for scene, gender in zip(library.scenes, library.genders, strict=True):
            for name in role_names(scene):
                counts[name][gender] += 1
        self.known = {n: c.most_common(1)[0][0] for n, c in counts.items() if c.most_common(1)[0][1] > 0.6 * c.total()}
        self.known = {n: g for n, g in self.known.items() if g in ("he", "she")}

    @classmethod
    def from_folder(
        cls, folder: str | os.PathLike[str], grounder: SentenceGrounder, can_do: CanDo | None = None,
        propose: Propose | None = None,
    ) -> RetrievalPlanner:  # fmt: skip
        """The planner of a folder with ``planning.safetensors``.

        Raises:
            UserError: no library there, or a damaged one.
        """
        return cls(PlanLibrary.load(folder), grounder, can_do, propose)

    @property
    def fingerprint(self) -> str:
        """Of the library."""
        return self.library.fingerprint

    def plan(self, scene: str, activities: int = 3, temperature: float = 0.7, seed: int = 0) -> Plan:
        """Scene -> activities with their steps.

        Raises:
            UserError: a scene or number that is not accepted, or no library activity suits.
        """
        said = check_plan(scene, activities)
        asked, person = self._asked(said)
        state, memory = State(START, set(), set()), Memory(*_nothing(self.library))
        made = self._made(asked, person, state, memory, (), activities, temperature, seed, True)
        if len(made) < activities:
            raise UserError(f"activities: {activities}; for this scene the planning library has {len(made)}")
        return Plan(scene, tuple(made), self.name)

    def next_activity(
        self, scene: str, done: Sequence[Activity], described: str = "", temperature: float = 0.7, seed: int = 0
    ) -> Activity:
        """What comes after `done`; of it the last 24 are looked at. Nothing among them is told again.

        Raises:
            UserError: a scene that is not accepted, or nothing new is left.
        """
        return self._next(check_scene(scene), done, described, temperature, seed)

    def _next(
        self, scene: str, done: Sequence[Activity], described: str, temperature: float, seed: int, actor: str = ""
    ) -> Activity:
        asked, person = self._asked(scene, actor)
        last = list(done)[-MEMORY:]
        state, memory = self._remember(last, described, person)
        seed += zlib.crc32(" ".join(s for a in last[-2:] for s in a.steps).encode()) if last else 0
        made = self._made(asked, person, state, memory, last, 1, temperature, seed, False)
        if not made:
            raise UserError("planner: nothing new is left for this scene; accepted: a shorter list of what was done")
        return made[0]

    def answer(self, task: str, slots: dict[str, str], temperature: float = 0.7, seed: int = 0) -> list[str]:
        """Any planning direction: a list of steps, or one sentence in a list.

        Args:
            task: one of ``instruct_data.planning.PLANNING_TASKS``. slots: its texts; steps joined by semicolons.

        Raises:
            UserError: unknown task, slots that are not accepted.
        """
        given = check_slots(task, slots)
        steps = tuple(s.strip() for s in given.get("steps", "").split(SEPARATOR.strip()) if s.strip())
        about = given.get("activity", "")
        if task.endswith("_to_scene"):
            return [self._scene_of(about, steps)]
        if task in ("activity_to_steps", "steps_to_activity"):
            return self._turned(about, steps, temperature, seed)
        done = [Activity(about or steps[0], steps or (about,))] if about or steps else []
        if "scene" in given:
            one = self._next(check_scene(given["scene"]), done, "", temperature, seed, actor_of([about, *steps]))
        else:
            one = self._after(done[0], temperature, seed)
        return list(one.steps) if task in STEP_TASKS else [one.task]

    def _asked(self, scene: str, actor: str = "") -> tuple[Asked, Person]:
        """The scene and who acts in it: `actor` where it is told, else whom the scene names."""
        asked = self.retriever.ask(scene)
        near = ranked(asked.nearness, 9)
        votes: Counter[str] = Counter()
        for i in near:
            votes[self.library.genders[int(i)]] += float(asked.nearness[i])  # type: ignore[assignment]
        likely = max(("he", "she"), key=lambda g: (votes[g], g))
        person = who(scene, self.known, likely)
        return asked, person if actor in ("", person.gender) else replace(person, gender=actor, noun=_NOUNS[actor])

    def _proposed(self, scene: str, done: Sequence[Activity]) -> list[Candidate]:
        if self.propose is None:
            return []
        found = []
        for activity in self.propose(scene, done):
            actor = gender_of(" ".join([activity.task, *activity.steps])) or "they"
            steps = [neutral(s, actor) for s in activity.steps]
            if len(set(steps)) == len(steps) and all(s.startswith("{he} ") for s in steps):
                found.append(self.retriever.outside(neutral(activity.task, actor, False), steps))
        return found

    def _remember(self, done: Sequence[Activity], described: str, person: Person) -> tuple[State, Memory]:
        """Pose, words and vectors of what was done; its library rows where tasks are the library's own."""
        state = State(START, set(), set(), begun=bool(done))
        if not done:
            return state, Memory(*_nothing(self.library))
        actor = gender_of(" ".join(s for a in done for s in a.steps)) or "they"
        tasks = [neutral(a.task, actor, False) for a in done]
        manner = f"{{he}} {person.mood} "  # as this planner says it
        steps = [[neutral(s, actor).replace(manner, "{he} ") if person.mood else neutral(s, actor) for s in a.steps]
                 for a in done]  # fmt: skip
        for text in [s for one in steps for s in one]:
            state.pose = follow(state.pose, text)[0]
        if described:
            state.pose = follow(state.pose, described)[0]
        vectors = self.retriever.embed([*tasks, *(s for one in steps for s in one)])
        lengths = np.cumsum([len(one) for one in steps])[:-1]
        means = np.stack([v.mean(0) for v in np.split(vectors[len(tasks) :], lengths)])
        state.said, state.told = {s for one in steps for s in one}, {plain_task(t) for t in tasks}
        state.before = (steps[-1][-1], vectors[-1])
        state.turns = state.count = len(done)
        rows = tuple(self._row(t, person.mood) for t in tasks)
        state.told |= {plain_task(self.library.tasks[r]) for r in rows if r >= 0}
        return state, Memory(vectors[: len(tasks)], unit(means), rows)

    def _row(self, task: str, mood: str) -> int:
        """The library's row of an activity that this planner told, or -2."""
        found = (self._rows.get(plain_task(t)) for t in origins(task, mood))
        return next((row for row in found if row is not None), -2)

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {plain_task(t): i for i, t in enumerate(self.library.tasks)}

    def _made(
        self, asked: Asked, person: Person, state: State, memory: Memory, done: Sequence[Activity], count: int,
        temperature: float, seed: int, whole: bool,
    ) -> list[Activity]:  # fmt: skip
        """`_grow` from the nearest candidates, and where these do not suffice from many more."""
        more = self._proposed(asked.text, done) + self.matcher.shown(asked, events(asked.text, person))
        for widen in (3 * count + 4 * len(done), WIDEST):
            found = self.retriever.candidates(asked, more, widen)
            made = self._grow(found, asked, person, state, memory, count, temperature, seed, whole)
            if made:
                return made
        return []

    def _grow(
        self, found: Sequence[Candidate], asked: Asked, person: Person, state: State, memory: Memory, count: int,
        temperature: float, seed: int, whole: bool,
    ) -> list[Activity]:  # fmt: skip
        """Order and finish; a candidate of which nothing is left is dropped and the rest ordered anew."""
        rng = np.random.default_rng([zlib.crc32(asked.text.encode()), seed & 0xFFFFFFFF if temperature > 0 else 0])
        noise = rng.gumbel(0, SPREAD * max(temperature, 0.0), len(found)) if len(found) else np.zeros(0)
        left = list(range(len(found)))
        while left:
            chosen = ordered(self.library, [found[i] for i in left], count, memory, noise[left], whole)
            if len(chosen) < count:
                return []
            trial = state.copy()
            made = []
            for one in chosen:
                activity = self.composer.finish(one, asked, person, trial, rng, temperature)
                if activity is None:
                    left = [i for i in left if found[i] is not one]
                    break
                made.append(activity)
            else:
                return made
        return []

    def _turned(self, about: str, steps: tuple[str, ...], temperature: float, seed: int) -> list[str]:
        """Activity -> steps, or steps -> activity: the nearest of the library under the learned projection."""
        lib = self.library
        actor = actor_of([about, *steps]) or "they"
        person = Person(actor, _NOUNS[actor])
        texts = [neutral(about, actor, False)] if about else [neutral(s, actor) for s in steps]
        own = unit(self.retriever.embed(texts).mean(0, keepdims=True))
        side, other = ("from", "to") if about else ("to", "from")
        given, sought = (lib.task_vectors, lib.means) if about else (lib.means, lib.task_vectors)
        scores = lib.projected("task_steps", other, sought) @ lib.projected("task_steps", side, own)[0]
        scores += given @ own[0]  # what is near the question itself
        scores += np.random.default_rng(seed).gumbel(0, 0.02 * max(temperature, 0.0), len(scores))
        best = self.retriever.candidate(int(scores.argmax()))
        if not about:
            return [sentence(person.says(statement(best.task)))]
        asked = self.retriever.ask(about)
        state = State(START, set(), set())
        made = self.composer.finish(best, asked, person, state, np.random.default_rng(seed), temperature)
        return list(made.steps) if made is not None else [person.says(s, i == 0) for i, s in enumerate(best.steps)]

    def _after(self, done: Activity, temperature: float, seed: int) -> Activity:
        """What comes next where no scene is told: what follows similar activities in the library."""
        actor = actor_of([done.task, *done.steps])
        return self._next(self._scene_of(done.task, done.steps), [done], "", temperature, seed, actor)

    def _scene_of(self, about: str, steps: Sequence[str]) -> str:
        """The library's scene in which something like this is done."""
        lib = self.library
        actor = actor_of([about, *steps]) or "they"
        parts = []
        if about:
            own = self.retriever.embed([neutral(about, actor, False)])
            parts.append((lib.task_index.cosines(own[0]), "scene_task", own))
        if steps:
            own = unit(self.retriever.embed([neutral(s, actor) for s in steps]).mean(0, keepdims=True))
            parts.append((lib.means @ own[0], "scene_steps", own))
        score = np.zeros(len(lib.scenes), np.float32)
        for near, relation, own in parts:
            best = np.full(len(lib.scenes), -1, np.float32)
            np.maximum.at(best, lib.task_scene, near)
            asked = lib.projected(relation, "to", own)[0]
            score += best + 0.5 * (lib.projected(relation, "from", lib.scene_vectors) @ asked)
        return lib.scenes[int(score.argmax())]
