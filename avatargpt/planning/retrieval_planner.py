"""`RetrievalPlanner`, the default planner: the events of the scene, or a whole plan retold for it; it works offline."""
# Networks: the sentence encoder (frozen), and the learned projections where a direction has no scene. Rules: persons
# and moods (`persons`), physical order (`compose`), and the choice among the activities of a plan.

from __future__ import annotations

import os
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from avatargpt.planning import library as plans
from avatargpt.planning.compose import (
    ActivityChooser,
    PlanState,
    StepCheck,
    follow,
    plain_task,
    sentence,
    statement,
    tell,
)
from avatargpt.planning.consequences import Consequences
from avatargpt.planning.event_plans import STRETCH, EventPlanner
from avatargpt.planning.events import MIN_EVENTS, NOUNS, EventReader, SceneEvent, SceneText
from avatargpt.planning.kinds import KindReader
from avatargpt.planning.library import PlanLibrary, StoryPart
from avatargpt.planning.retriever import MIN_USABLE, Retriever, about
from avatargpt.planning.types import (
    DEFAULT_ACTIVITIES,
    Activity,
    Plan,
    StepScores,
    check_plan,
    check_scene,
    check_slots,
)
from avatargpt.requests.vector_index import unit
from instruct_data.planning import SEPARATOR, STEP_TASKS
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.lm.text_encoder import SentenceGrounder
    from avatargpt.planning.situation import Situations

MEMORY = 24  # activities looked back at
# a plan farther than the nearest one by more is not appended to it
MAX_DISTANCE = 0.4
# cosine of an activity and the one event of a scene, or of the scenes, from which on a plan shows the event
MIN_SHOWS, MIN_SAME_SCENE = 0.45, 0.6
MIN_SHOWN = 2  # steps that an activity keeps, if it has so many
NEARNESS_NOISE = 0.02  # of how near plans are, at temperature 1
# written scenes that are looked at for an endless scene
ENDLESS_SCENES = 60


class RetrievalPlanner:
    """Plans from the library; the same question and seed give the same answer."""

    name = "retrieval"

    def __init__(
        self, library: PlanLibrary, grounder: SentenceGrounder, checker: StepScores | None = None,
        reader: EventReader | None = None, situations: Situations | None = None,
        consequences: Consequences | None = None, kinds: KindReader | None = None,
    ) -> None:  # fmt: skip
        self.library, self.reader, self.situations, self.consequences = library, reader, situations, consequences
        self.showable: StepCheck | None = None if checker is None else checker.showable
        self.retriever = Retriever(library, grounder, kinds)
        self.events = EventPlanner(library, self.retriever, checker, consequences)
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        persons = [*zip(library.scenes, library.genders, strict=True), *library.kinds.persons]
        for text, gender in persons:
            for name in plans.role_names(text):
                counts[name][gender] += 1
        common = {n: c.most_common(1)[0][0] for n, c in counts.items() if c.most_common(1)[0][1] > 0.6 * c.total()}
        self.genders = {n: g for n, g in common.items() if g in ("he", "she")}

    @classmethod
    def from_folder(
        cls, folder: str | os.PathLike[str], grounder: SentenceGrounder, checker: StepScores | None = None,
        reader: EventReader | None = None, situations: Situations | None = None,
    ) -> RetrievalPlanner:  # fmt: skip
        """The planner of a folder with ``planning.safetensors``; raises UserError where it is missing or damaged."""
        parts = Consequences.load(folder), KindReader.load(folder)
        return cls(PlanLibrary.load(folder), grounder, checker, reader, situations, *parts)

    @property
    def fingerprint(self) -> str:
        """Of the library."""
        return self.library.fingerprint

    def read(self, scene: str) -> SceneText:
        """The events that a scene names, none without a reader."""
        return SceneText() if self.reader is None else self.reader.read(scene, self._person)

    def knows(self, scene: str) -> bool:
        """Whether a stored plan is about such a scene, with every event that the scene names."""
        line = check_scene(scene)
        story = self.retriever.stories(line)[0]
        return about(story) and all(self._shows(story, event) for event in self.read(line).events)

    def plan(
        self, scene: str, activities: int | None = None, temperature: float = 0.7, seed: int = 0,
        seconds: float | None = None,
    ) -> Plan:  # fmt: skip
        """Scene -> activities with their steps; see `avatargpt.planning.types.Planner.plan`.

        The events that the scene names, each an activity; else of the nearest whole plan, then of others about as near.
        A note of the plan says where these have too few activities, or nothing is near.
        """
        line = check_plan(scene, activities, seconds)
        text = self.read(line)
        seconds = seconds or text.seconds
        if len(text.events) >= MIN_EVENTS:
            named = self.events.activities(line, text.events, seconds)
            more = (activities or 0) > len(named)
            note = f"{len(named)} activities instead of {activities}: the scene names so many events."
            return Plan(scene, tuple(named), self.name, (note,) if more else ())
        notes: list[str] = []
        chosen = [*self._of_library(line, activities or DEFAULT_ACTIVITIES, temperature, seed, text.events, notes)]
        if seconds is not None:
            chosen = self.time_activities(line, chosen, seconds, temperature, seed)
        return Plan(scene, tuple(chosen), self.name, tuple(notes))

    def plan_lazily(self, scene: str, temperature: float = 0.7, seed: int = 0) -> Iterator[Activity]:
        """See `avatargpt.planning.types.LazyPlanner`."""
        line = check_scene(scene)
        text = self.read(line)
        if len(text.events) >= MIN_EVENTS or text.seconds:
            return iter(self.plan(scene, None, temperature, seed).activities)
        return self._of_library(line, DEFAULT_ACTIVITIES, temperature, seed, text.events, [])

    def _of_library(
        self, scene: str, activities: int, temperature: float, seed: int, events: Sequence[SceneEvent],
        notes: list[str],
    ) -> Iterator[Activity]:  # fmt: skip
        """Activities of whole plans, the one event of the scene among them; adds to `notes`."""
        person, state, rng = self._person(scene), PlanState.fresh(), self._rng(scene, temperature, seed)
        stories = self._draw_stories(self.retriever.stories(scene), rng, temperature)
        count = 0
        if events and not self._shows(stories[0], events[0]):
            # the event itself, then what all plans have near it
            chosen = self.events.activities(scene, events)
            yield from chosen
            count, state = len(chosen), self._remember(chosen, "", person)[0]
            stories = [self.retriever.loose(f"a person {events[0].words}")]
            notes.append(f"No stored plan is about {events[0].words!r}; it is shown with activities that are near it.")
        elif not about(stories[0]):
            notes.append("No stored plan is about such a scene; activities that are near its words are taken.")
            stories = [self.retriever.loose(scene)]
        for story in stories:
            if count >= activities or (
                count and story.nearness and story.nearness < max(stories[0].nearness - MAX_DISTANCE, MIN_USABLE)
            ):
                break
            chooser = ActivityChooser(story, person, rng, temperature, self.showable)
            for activity in chooser.activities_of(activities - count, state):
                yield self._showable(activity)
                count += 1
        if count < activities:
            notes.append(f"{count} activities instead of {activities}: the stored plans have no more that fit.")

    def _shows(self, story: plans.Story, event: SceneEvent) -> bool:
        """Whether an activity of a plan is about an event, in whatever words."""
        vector = self.retriever.full([f"a person {event.words}"])[0]
        return story.likeness >= MIN_SAME_SCENE or float((story.vectors @ vector).max()) >= MIN_SHOWS

    def time_activities(
        self, scene: str, chosen: Sequence[Activity], seconds: float, temperature: float, seed: int
    ) -> list[Activity]:  # fmt: skip
        """As many activities as so many seconds take, with the lengths of their steps."""
        out = list(chosen)
        while out and self.events.usual(out) * STRETCH < seconds:
            out.append(self._next(scene, out, "", temperature, seed + len(out)))
        while len(out) > 1 and self.events.usual(out[:-1]) > seconds:
            out.pop()
        share = seconds / self.events.usual(out)
        return [self.events.time_activity(a, share * self.events.usual([a])) for a in out]

    def next_activity(
        self, scene: str, past: Sequence[Activity], described: str = "", temperature: float = 0.7, seed: int = 0,
        posture: str = "",
    ) -> Activity:  # fmt: skip
        """The activity after `past`, of which the last 24 count; none of them, nor what is described, is repeated.

        What happened instead of the last steps is dealt with first.
        """
        line = check_scene(scene)
        actor = plans.actor_of([s for a in past for s in (a.task, *a.steps)])
        if (answer := self._answer_consequence(line, past, described, actor)) is not None:
            return answer
        pose = self.situations.read(described, posture).pose if self.situations else ""
        return self._next(line, past, described, temperature, seed, actor, pose)

    def _answer_consequence(
        self, scene: str, past: Sequence[Activity], described: str, actor: str
    ) -> Activity | None:  # fmt: skip
        """What deals with what was seen instead of the last steps; None where the scene goes on."""
        if self.consequences is None or not described or not past:
            return None
        consequence = self.consequences.read(past[-1].steps, described, self.retriever.grounder)
        if consequence.then == "go_on":
            return None
        person, first = self._person(scene, actor), None
        state = self._remember(list(past)[-MEMORY:], described, person)[0]
        for part in consequence.answers:
            activity = tell(part, person, state.copy())
            if activity is None:
                continue
            first = first or activity
            if self.showable is None or all(self.showable(activity.steps)):
                first = activity
                break
        return None if first is None else replace(first, reason=described)

    def _next(
        self, scene: str, past: Sequence[Activity], described: str, temperature: float, seed: int, actor: str = "",
        pose: str = "",
    ) -> Activity:  # fmt: skip
        """The next activity: of the nearest plan, then of other near plans, their leftovers, and farther plans."""
        person, last = self._person(scene, actor), list(past)[-MEMORY:]
        state, vectors = self._remember(last, described, person)
        state.pose = replace(state.pose, base=pose or state.pose.base)
        seed += zlib.crc32(" ".join(s for a in last[-2:] for s in a.steps).encode()) if last else 0
        rng = self._rng(scene, temperature, seed)
        for story, leftover in self._ways(self.retriever.stories(scene, ENDLESS_SCENES)):
            chooser = ActivityChooser(story, person, rng, temperature, self.showable)
            activity = chooser.left(state, vectors) if leftover else chooser.next(state, vectors)
            if activity is not None:
                return self._showable(activity)
        raise UserError("planner: nothing new is left for this scene; accepted: a shorter list of what was done")

    def _showable(self, activity: Activity) -> Activity:
        """The activity without the steps that a body does not show as they read, unless hardly any are left."""
        if self.showable is None:
            return activity
        steps = tuple(s for s, showable in zip(activity.steps, self.showable(activity.steps), strict=True) if showable)
        return replace(activity, steps=steps) if len(steps) >= min(MIN_SHOWN, len(activity.steps)) else activity

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
    def _draw_stories(
        stories: Sequence[plans.Story], rng: np.random.Generator, temperature: float
    ) -> list[plans.Story]:
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
            return self._answer_nearest(about, steps, temperature, seed)
        past = [Activity(about or steps[0], steps or (about,))] if about or steps else []
        if "scene" in texts:
            actor = plans.actor_of([about, *steps])
            activity = self._next(check_scene(texts["scene"]), past, "", temperature, seed, actor)
        else:
            # after similar activities in the library
            last = past[0]
            actor = plans.actor_of([last.task, *last.steps])
            activity = self._next(self._scene_of(last.task, last.steps), past, "", temperature, seed, actor)
        return list(activity.steps) if task in STEP_TASKS else [activity.task]

    def _person(self, scene: str, actor: str = "") -> plans.ScenePerson:
        """The actor: of gender `actor` where it is given, else as the scene names it."""
        rows = self.retriever.nearest(scene, 9)
        votes = Counter(self.library.genders[i] for i in rows)
        person = plans.who(scene, self.genders, max(("he", "she"), key=lambda g: (votes[g], g)))
        return person if actor in ("", person.gender) else replace(person, gender=actor, noun=NOUNS[actor])

    def _remember(
        self, past: Sequence[Activity], described: str, person: plans.ScenePerson
    ) -> tuple[PlanState, np.ndarray]:
        """The state after past activities, and their (n, 384) vectors."""
        state = PlanState.fresh()
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
        return state, self.retriever.full([*tasks, described] if described else tasks)

    def _answer_nearest(self, about: str, steps: tuple[str, ...], temperature: float, seed: int) -> list[str]:
        """Activity -> steps, or steps -> activity: the nearest of the library under the learned projection."""
        lib = self.library
        actor = plans.actor_of([about, *steps]) or "they"
        person = plans.ScenePerson(actor, NOUNS[actor])
        texts = [plans.neutral(about, actor, False)] if about else [plans.neutral(s, actor) for s in steps]
        query = unit(self.retriever.embed(texts).mean(0, keepdims=True))
        side, target = ("from", "to") if about else ("to", "from")
        query_side, target_vectors = (lib.task_vectors, lib.means) if about else (lib.means, lib.task_vectors)
        scores = lib.project("task_steps", target, target_vectors) @ lib.project("task_steps", side, query)[0]
        scores += query_side @ query[0]  # what is near the question itself
        scores += np.random.default_rng(seed).gumbel(0, 0.02 * max(temperature, 0.0), len(scores))
        best = int(scores.argmax())
        if not about:
            return [sentence(person.says(statement(lib.tasks[best])))]
        steps = self.retriever.steps(best)
        activity = tell(StoryPart(lib.tasks[best], steps, frozenset()), person, PlanState.fresh())
        return list(activity.steps) if activity is not None else [person.says(s, i == 0) for i, s in enumerate(steps)]

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
            query = lib.project(relation, "to", vector)[0]
            score += best + 0.5 * (lib.project(relation, "from", lib.scene_vectors) @ query)
        return lib.scenes[int(score.argmax())]
