"""`RetrievalPlanner`, the default planner: the events of the scene, or a whole plan retold for it; it works offline."""
# Networks: the sentence encoder (frozen), and the learned projections where a direction has no scene. Rules: persons
# and moods (`persons`), physical order (`compose`), and the choice among the activities of a plan.

from __future__ import annotations

import math
import os
import zlib
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from avatargpt.planning import library as plans
from avatargpt.planning.compose import ActivityChooser, State, Weak, follow, plain_task, sentence, statement, tell
from avatargpt.planning.event_plans import STRETCH, EventPlanner
from avatargpt.planning.events import Event, SceneText, read_scene
from avatargpt.planning.library import Part, PlanLibrary
from avatargpt.planning.types import DEFAULT_ACTIVITIES, Activity, Plan, check_plan, check_scene, check_slots
from avatargpt.requests.english import lemmas, strange_names
from avatargpt.requests.vector_index import ranked, unit
from instruct_data.planning import SEPARATOR, STEP_TASKS
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.lm.text_encoder import SentenceGrounder
    from avatargpt.planning.language_planner import StepChecker
    from avatargpt.requests.reader import RequestReader

MIN_LETTERS = 3  # letters of a word that counts


def bag(texts: Iterable[str]) -> frozenset[str]:
    """Lemmas of content words of all texts."""
    return frozenset(w for t in texts for w in lemmas(plans.embedded(t)) if len(w) >= MIN_LETTERS)


class CommonWords:
    """Shares of common words, weighted by inverse document frequency."""

    def __init__(self, documents: Sequence[frozenset[str]], persons: frozenset[str]) -> None:
        self.documents, self.persons = documents, persons
        counts = Counter(w for d in documents for w in d)
        self._rarest = math.log(max(len(documents), 2))
        self._weight = {w: math.log(len(documents) / n) for w, n in counts.items()}

    def weights(self, text: str) -> dict[str, float]:
        """Weights of the words of a text, together 1; empty where none counts."""
        words = {w: self._weight.get(w, self._rarest) for w in sorted(bag([text]) - self.persons)}
        total = sum(words.values())
        return {w: v / total for w, v in words.items()} if total > 0 else {}

    def shares(self, text: str) -> np.ndarray:
        """(N,) of each document, 0 to 1."""
        weights = self.weights(text)
        return np.array([sum(v for w, v in weights.items() if w in d) for d in self.documents], np.float64)


# written scenes nearest by the stored components, and of these by all
NEAREST_SCENES, COMPARED_SCENES = 30, 8
BEST_KEYS, BEST_PARTS = 2, 3  # nearest wordings and activities that count
# of the likeness of the activities, beside that of the scene
ACTIVITY_WEIGHT = 0.5
# of the share of common words; wordings that were held out with a foreign person find the right kind in 24 of 100 cases
# without it and in 47 with it, wordings with their usual person in 63 and 74
WORD_WEIGHT = 0.3
# by which a written scene must be nearer than a kind, whose plans are tidier
KIND_BONUS = 0.08
MIN_ABOUT = (
    0.8  # from here on a plan is about such a scene; of sixty scenes seventeen are below, half of them read badly
)
MIN_USABLE = 0.62  # from here on a plan may follow a nearer one
# less for each name of a person that the scene does not know
NAME_COST = 0.2
MAX_REMEMBERED = 10_000  # sentence vectors that are kept, 15 MB


def _best(values: np.ndarray, count: int) -> float:
    return float(np.sort(values)[-count:].mean())


# Nearness is by the frozen sentence encoder and by rare words in common: a sentence vector is mostly about the actor.
# All numbers were chosen by reading the first plans for the sixty scenes of `eval/suites/plans.yaml`.
class Retriever:
    """Looks scenes up in the library. `library`: with its kinds. `grounder`: the sentence encoder of its vectors."""

    def __init__(self, library: PlanLibrary, grounder: SentenceGrounder) -> None:
        self.library, self.grounder = library, grounder
        self.width = library.task_vectors.shape[1]
        self._vectors: OrderedDict[str, np.ndarray] = OrderedDict()
        table = library.kinds
        persons = bag(name for name, _ in table.persons)
        documents = [bag([w, *(t for p in parts for t in (p.task, *p.steps))])
                for w, parts in zip(table.words, table.parts, strict=True)]  # fmt: skip
        self.common = CommonWords(documents, persons)

    def ready(self) -> None:
        """Load the encoder now: a first answer need not wait for it."""
        self.grounder.load()

    def full(self, texts: Sequence[str]) -> np.ndarray:
        """Texts with or without marks -> (n, 384) unit vectors; the latest are remembered."""
        missing = [t for t in dict.fromkeys(texts) if t not in self._vectors]
        if missing:
            vectors = self.grounder.sentence([plans.embedded(t) for t in missing])
            self._vectors.update(zip(missing, vectors, strict=True))
        out = np.stack([self._vectors[t] for t in texts]) if texts else np.zeros((0, 384), np.float32)
        while len(self._vectors) > MAX_REMEMBERED:
            self._vectors.popitem(last=False)
        return out

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Texts with or without marks -> (n, K)."""
        return self.library.basis.reduce(self.full(texts), self.width)

    def scene(self, text: str) -> np.ndarray:
        """(W,) components of a scene."""
        lib = self.library
        reduced: np.ndarray = lib.basis.reduce(self.full([text]), lib.scene_vectors.shape[1])[0]
        return reduced

    def nearest(self, scene: str, count: int = NEAREST_SCENES) -> list[int]:
        """Rows of the written scenes nearest by the components that the library keeps."""
        return [int(i) for i in ranked(self.library.scene_vectors @ self.scene(scene), count)]

    def stories(self, scene: str, count: int = NEAREST_SCENES) -> list[plans.Story]:
        """All kinds and the nearest written scenes, the nearest first."""
        # Nearness: cosine of the scenes (of a kind the mean of its `BEST_KEYS` wordings), plus `ACTIVITY_WEIGHT` times
        # the mean cosine of the scene and the `BEST_PARTS` activities, plus `WORD_WEIGHT` times the share of common
        # words; of kinds `KIND_BONUS` more.
        vector = self.full([scene])[0]
        stories = [*self._kinds(scene, vector), *self._written(scene, vector, self.nearest(scene, count))]
        return sorted(stories, key=lambda s: -s.nearness)

    def _kinds(self, scene: str, vector: np.ndarray) -> list[plans.Story]:
        table, shares = self.library.kinds, self.common.shares(scene)
        keys, fits, starts = table.keys @ vector, table.vectors @ vector, table.starts
        out = []
        for k, (name, parts) in enumerate(zip(table.names, table.parts, strict=True)):
            rows = slice(int(starts[k]), int(starts[k + 1]))
            nearness = _best(keys[table.key_kind == k], BEST_KEYS) + ACTIVITY_WEIGHT * _best(fits[rows], BEST_PARTS)
            nearness = nearness + KIND_BONUS + WORD_WEIGHT * float(shares[k])
            out.append(plans.Story(name, -1, parts, table.vectors[rows], nearness, fits[rows]))
        return out

    def _written(self, scene: str, vector: np.ndarray, rows: Sequence[int]) -> list[plans.Story]:
        lib = self.library
        like = dict(zip(rows, self.full([lib.scenes[r] for r in rows]) @ vector, strict=True))
        nearest = sorted(rows, key=lambda r: -like[r])[: max(COMPARED_SCENES, len(rows) - NEAREST_SCENES)]
        self.full([lib.tasks[i] for row in nearest for i in lib.tasks_of(row)])  # at once: that is faster
        out, weights = [], self.common.weights(scene)
        for row in nearest:
            parts = self.parts(row)
            vectors = self.full([p.task for p in parts])
            fits = vectors @ vector
            texts = [t for p in parts for t in (p.task, *p.steps)]
            words = bag([lib.scenes[row], *texts])
            nearness = float(like[row]) + ACTIVITY_WEIGHT * _best(fits, BEST_PARTS)
            nearness -= NAME_COST * strange_names(texts, scene)
            nearness += WORD_WEIGHT * sum(v for w, v in weights.items() if w in words)
            out.append(plans.Story(lib.scenes[row], row, parts, vectors, nearness, fits))
        return out

    def parts(self, row: int) -> tuple[Part, ...]:
        """The activities of a written scene."""
        lib, rows = self.library, self.library.tasks_of(row)
        out = []
        for i in rows:
            at = plans.FIRST if i == rows.start else plans.LAST if i == rows.stop - 1 else plans.MIDDLE
            out.append(Part(lib.tasks[i], tuple(lib.steps[k] for k in lib.steps_of(i)), frozenset((at,))))
        return tuple(out)


MIN_EVENTS = 2  # that a scene names, from which on they are its plan
MEMORY = 24  # activities looked back at
# a plan farther than the nearest one by more is not appended to it
MAX_DISTANCE = 0.25
NEARNESS_NOISE = 0.02  # of how near plans are, at temperature 1
# written scenes that are looked at for an endless scene
ENDLESS_SCENES = 60


_NOUNS = {"he": "a man", "she": "a woman", "it": "a creature", "they": "a person"}


class RetrievalPlanner:
    """Plans from the library; the same question and seed give the same answer."""

    name = "retrieval"

    def __init__(
        self, library: PlanLibrary, grounder: SentenceGrounder, checker: StepChecker | None = None,
        reader: RequestReader | None = None,
    ) -> None:  # fmt: skip
        self.library, self.reader = library, reader
        self.weak: Weak | None = None if checker is None else checker.weak
        self.retriever = Retriever(library, grounder)
        self.events = EventPlanner(library, self.retriever, checker)
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        persons = [*zip(library.scenes, library.genders, strict=True), *library.kinds.persons]
        for text, gender in persons:
            for name in plans.role_names(text):
                counts[name][gender] += 1
        common = {n: c.most_common(1)[0][0] for n, c in counts.items() if c.most_common(1)[0][1] > 0.6 * c.total()}
        self.genders = {n: g for n, g in common.items() if g in ("he", "she")}

    @classmethod
    def from_folder(
        cls, folder: str | os.PathLike[str], grounder: SentenceGrounder, checker: StepChecker | None = None,
        reader: RequestReader | None = None,
    ) -> RetrievalPlanner:  # fmt: skip
        """The planner of a folder with ``planning.safetensors``; raises UserError where it is missing or damaged."""
        return cls(PlanLibrary.load(folder), grounder, checker, reader)

    @property
    def fingerprint(self) -> str:
        """Of the library."""
        return self.library.fingerprint

    def read(self, scene: str) -> SceneText:
        """The events that a scene names, none without a reader."""
        return SceneText() if self.reader is None else read_scene(self.reader, scene, self._person(scene))

    def knows(self, scene: str) -> bool:
        """Whether a stored plan is about such a scene."""
        return self.retriever.stories(check_scene(scene))[0].nearness >= MIN_ABOUT

    def plan(
        self, scene: str, activities: int | None = None, temperature: float = 0.7, seed: int = 0,
        seconds: float | None = None,
    ) -> Plan:  # fmt: skip
        """Scene -> activities with their steps; see `avatargpt.planning.types.Planner.plan`.

        The events that the scene names, each an activity; else of the nearest whole plan, then of others about as near.
        A note of the plan says where these have too few activities, or nothing is near.
        """
        line = check_plan(scene, activities, seconds)
        person = self._person(line)
        text = self.read(line)
        seconds = seconds or text.seconds
        if len(text.events) >= MIN_EVENTS:
            named = self.events.activities(line, text.events, seconds)
            more = (activities or 0) > len(named)
            note = f"{len(named)} activities instead of {activities}: the scene names so many events."
            return Plan(scene, tuple(named), self.name, (note,) if more else ())
        chosen, notes = self._of_library(line, person, activities or DEFAULT_ACTIVITIES, temperature, seed, text.events)
        if seconds is not None:
            chosen = self.lasting(line, chosen, seconds, temperature, seed)
        return Plan(scene, tuple(chosen), self.name, tuple(notes))

    def _of_library(
        self, scene: str, person: plans.Person, activities: int, temperature: float, seed: int, events: Sequence[Event]
    ) -> tuple[list[Activity], list[str]]:  # fmt: skip
        """Activities of whole plans, the one event of the scene among them, and notes."""
        state, rng = State.fresh(), self._rng(scene, temperature, seed)
        stories = self._drawn(self.retriever.stories(scene), rng, temperature)
        chosen: list[Activity] = []
        for story in stories:
            if len(chosen) == activities or (
                chosen and story.nearness < max(stories[0].nearness - MAX_DISTANCE, MIN_USABLE)
            ):
                break
            chooser = ActivityChooser(story, person, rng, temperature, self.weak)
            chosen += chooser.activities_of(activities - len(chosen), state)
        notes = []
        if (first := stories[0]).nearness < MIN_ABOUT:
            notes.append(f"No stored plan is about such a scene; the nearest one is of {_quoted(first)}.")
        if len(chosen) < activities:
            notes.append(f"{len(chosen)} activities instead of {activities}: the stored plans have no more that fit.")
        return chosen, notes

    def lasting(
        self, scene: str, chosen: Sequence[Activity], seconds: float, temperature: float, seed: int
    ) -> list[Activity]:  # fmt: skip
        """As many activities as so many seconds take, with the lengths of their steps."""
        out = list(chosen)
        while out and self.events.usual(out) * STRETCH < seconds:
            out.append(self._next(scene, out, "", temperature, seed + len(out)))
        while len(out) > 1 and self.events.usual(out[:-1]) > seconds:
            out.pop()
        share = seconds / self.events.usual(out)
        return [self.events.timed(a, share * self.events.usual([a])) for a in out]

    def next_activity(
        self, scene: str, past: Sequence[Activity], described: str = "", temperature: float = 0.7, seed: int = 0
    ) -> Activity:
        """The activity after `past`, of which the last 24 count; none of them is repeated."""
        return self._next(check_scene(scene), past, described, temperature, seed)

    def _next(
        self, scene: str, past: Sequence[Activity], described: str, temperature: float, seed: int, actor: str = ""
    ) -> Activity:
        """The next activity: of the nearest plan, then of other near plans, their leftovers, and farther plans."""
        person, last = self._person(scene, actor), list(past)[-MEMORY:]
        state, vectors = self._remember(last, described, person)
        seed += zlib.crc32(" ".join(s for a in last[-2:] for s in a.steps).encode()) if last else 0
        rng = self._rng(scene, temperature, seed)
        for story, leftover in self._ways(self.retriever.stories(scene, ENDLESS_SCENES)):
            chooser = ActivityChooser(story, person, rng, temperature, self.weak)
            activity = chooser.left(state, vectors) if leftover else chooser.next(state, vectors)
            if activity is not None:
                return activity
        raise UserError("planner: nothing new is left for this scene; accepted: a shorter list of what was done")

    @staticmethod
    def _ways(stories: Sequence[plans.Story]) -> Iterator[tuple[plans.Story, bool]]:
        """(plan, whether its leftovers may be used) in the order in which they are tried."""
        limit = min(MIN_USABLE, stories[0].nearness)
        close = [s for s in stories if s.nearness >= limit]
        for leftover in (False, True):
            yield from ((s, leftover) for s in close)
        for story in stories[len(close) :]:
            yield story, False
            yield story, True

    @staticmethod
    def _rng(scene: str, temperature: float, seed: int) -> np.random.Generator:
        return np.random.default_rng([zlib.crc32(scene.encode()), seed & 0xFFFFFFFF if temperature > 0 else 0])

    @staticmethod
    def _drawn(stories: Sequence[plans.Story], rng: np.random.Generator, temperature: float) -> list[plans.Story]:
        """The nearest first, of about equally near ones any; where none is near, the nearest."""
        if stories[0].nearness < MIN_USABLE:
            return list(stories)
        noise = rng.gumbel(0, NEARNESS_NOISE * temperature, len(stories)) if temperature > 0 else 0.0
        order = np.argsort(-(np.array([s.nearness for s in stories]) + noise), kind="stable")
        return [stories[int(i)] for i in order]

    def answer(self, task: str, slots: dict[str, str], temperature: float = 0.7, seed: int = 0) -> list[str]:
        """Any planning direction: a list of steps, or one sentence in a list."""
        texts = check_slots(task, slots)
        steps = tuple(s.strip() for s in texts.get("steps", "").split(SEPARATOR.strip()) if s.strip())
        about = texts.get("activity", "")
        if task.endswith("_to_scene"):
            return [self._scene_of(about, steps)]
        if task in ("activity_to_steps", "steps_to_activity"):
            return self._turned(about, steps, temperature, seed)
        past = [Activity(about or steps[0], steps or (about,))] if about or steps else []
        if "scene" in texts:
            actor = plans.actor_of([about, *steps])
            activity = self._next(check_scene(texts["scene"]), past, "", temperature, seed, actor)
        else:
            activity = self._after(past[0], temperature, seed)
        return list(activity.steps) if task in STEP_TASKS else [activity.task]

    def _person(self, scene: str, actor: str = "") -> plans.Person:
        """The actor: of gender `actor` where it is given, else as the scene names it."""
        rows = self.retriever.nearest(scene, 9)
        votes = Counter(self.library.genders[i] for i in rows)
        person = plans.who(scene, self.genders, max(("he", "she"), key=lambda g: (votes[g], g)))
        return person if actor in ("", person.gender) else replace(person, gender=actor, noun=_NOUNS[actor])

    def _remember(self, past: Sequence[Activity], described: str, person: plans.Person) -> tuple[State, np.ndarray]:
        """The state after past activities, and their (n, 384) vectors."""
        state = State.fresh()
        state.begun, state.turns, state.count = bool(past), len(past), len(past)
        actor = plans.gender_of(" ".join(s for a in past for s in a.steps)) or "they"
        tasks = [plans.neutral(a.task, actor, False) for a in past]
        manner = f"{{he}} {person.mood} "  # as this planner says it
        for text in (plans.neutral(s, actor) for a in past for s in a.steps):
            state.pose = follow(state.pose, text)[0]
            state.steps.add(text.replace(manner, "{he} ") if person.mood else text)
        if described:
            state.pose = follow(state.pose, described)[0]
        state.tasks = {plain_task(t) for t in tasks}
        return state, self.retriever.full(tasks)

    def _turned(self, about: str, steps: tuple[str, ...], temperature: float, seed: int) -> list[str]:
        """Activity -> steps, or steps -> activity: the nearest of the library under the learned projection."""
        lib = self.library
        actor = plans.actor_of([about, *steps]) or "they"
        person = plans.Person(actor, _NOUNS[actor])
        texts = [plans.neutral(about, actor, False)] if about else [plans.neutral(s, actor) for s in steps]
        query = unit(self.retriever.embed(texts).mean(0, keepdims=True))
        side, target = ("from", "to") if about else ("to", "from")
        query_side, target_vectors = (lib.task_vectors, lib.means) if about else (lib.means, lib.task_vectors)
        scores = lib.projected("task_steps", target, target_vectors) @ lib.projected("task_steps", side, query)[0]
        scores += query_side @ query[0]  # what is near the question itself
        scores += np.random.default_rng(seed).gumbel(0, 0.02 * max(temperature, 0.0), len(scores))
        best = int(scores.argmax())
        if not about:
            return [sentence(person.says(statement(lib.tasks[best])))]
        steps = tuple(lib.steps[i] for i in lib.steps_of(best))
        activity = tell(Part(lib.tasks[best], steps, frozenset()), person, State.fresh())
        return list(activity.steps) if activity is not None else [person.says(s, i == 0) for i, s in enumerate(steps)]

    def _after(self, past: Activity, temperature: float, seed: int) -> Activity:
        """The next activity without a scene: after similar activities in the library."""
        actor = plans.actor_of([past.task, *past.steps])
        return self._next(self._scene_of(past.task, past.steps), [past], "", temperature, seed, actor)

    def _scene_of(self, about: str, steps: Sequence[str]) -> str:
        """The library's scene in which something like this is done."""
        lib = self.library
        actor = plans.actor_of([about, *steps]) or "they"
        parts = []
        if about:
            vector = self.retriever.embed([plans.neutral(about, actor, False)])
            parts.append((lib.task_index.cosines(vector[0]), "scene_task", vector))
        if steps:
            vector = unit(self.retriever.embed([plans.neutral(s, actor) for s in steps]).mean(0, keepdims=True))
            parts.append((lib.means @ vector[0], "scene_steps", vector))
        score = np.zeros(len(lib.scenes), np.float32)
        for cosines, relation, vector in parts:
            best = np.full(len(lib.scenes), -1, np.float32)
            np.maximum.at(best, lib.task_scene, cosines)
            query = lib.projected(relation, "to", vector)[0]
            score += best + 0.5 * (lib.projected(relation, "from", lib.scene_vectors) @ query)
        return lib.scenes[int(score.argmax())]


def _quoted(story: plans.Story) -> str:
    return repr(story.name if story.ordered else story.name.replace("_", " "))
