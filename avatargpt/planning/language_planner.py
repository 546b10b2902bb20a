"""A planner that is a language model behind the door of `avatargpt.llm`: an endpoint, a file, a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from avatargpt.llm.model import Answer, LanguageModel
from avatargpt.llm.prompts import prompt
from avatargpt.planning.answers import ActivityAnswer, BriefActivity, SentenceAnswer, StepsAnswer, new, plan_of
from avatargpt.planning.marks import actor_of
from avatargpt.planning.parse import check_sentence, check_steps
from avatargpt.planning.ranking import GOOD, Ranker, actor
from avatargpt.planning.showable import Showable
from avatargpt.planning.types import Activity, Plan
from avatargpt.requests.english import check_plan, check_scene, check_slots, planning_task
from instruct_data.planning import STEP_TASKS

if TYPE_CHECKING:
    from avatargpt.planning.retrieval_planner import RetrievalPlanner

MEMORY = 8  # activities that a question repeats
SHOWN = 60  # movements that a question names; a small model would copy them one after another
SAMPLES, SAMPLES_HERE = 3, 1  # answers to choose from, and where writing one takes this machine ten seconds
TOKENS = 120  # of an activity that a small model writes
SEEN = 500  # characters of the description of the last motion


class LanguagePlanner:
    """Asks a language model; see `Planner`. Of several answers the one of the highest `Worth` is taken.

    Args:
        llm: who is asked, within its limits. showable: what a question says can be shown; None = nothing is said.
        ranker: judges samples; None = the first acceptable one is taken.
        written: the library. Where it has a plan about such a scene, a model on this machine is not asked: plans of 1.5
            billion weights read worse (docs/planning.md). Else the plan that is worth more is taken.
    """

    def __init__(
        self, llm: LanguageModel, showable: Showable | None = None, ranker: Ranker | None = None,
        written: RetrievalPlanner | None = None,
    ) -> None:  # fmt: skip
        self.llm, self.showable, self.ranker, self.written = llm, showable, ranker, written
        self.name, self.brief = llm.name, llm.backend.local

    def plan(self, scene: str, activities: int = 3, temperature: float = 0.7, seed: int = 0) -> Plan:
        """See `avatargpt.planning.types.Planner.plan`.

        Raises:
            UserError: a bad scene. LlmFailed: nobody answers, or no well-formed plan.
        """
        scene = check_plan(scene, activities)
        written = self._written(scene, activities, temperature, seed)
        if written is not None and self.written is not None and self.written.knows(scene):
            return replace(written, notes=(f"A written plan is about such a scene; {self.name} was not asked.",))
        values = self._about(scene, ()) | {"count": activities}
        found = self.llm.ask(
            prompt("plan_brief" if self.brief else "plan"), values, plan_of(activities, self.brief), seed,
            self._samples, temperature, lambda v: _tidy(type(v).plan, v),
            lambda v: self._worth(scene, v.plan()) >= GOOD, TOKENS * activities if self.brief else None,
        )  # fmt: skip
        best = self._best(found, lambda v: self._worth(scene, v.plan()))
        made = Plan(scene, best.value.plan(), self.name, (best.note,) if best.note else ())
        if written is None or self._worth(scene, written.activities) <= self._worth(scene, made.activities):
            return made
        return replace(written, notes=(f"A written plan is worth more than that of {self.name}.",))

    def _written(self, scene: str, activities: int, temperature: float, seed: int) -> Plan | None:
        """The whole plan of the library, for a small model; None where there is none of so many activities."""
        if not self.brief or self.written is None or self.ranker is None:
            return None
        found = self.written.plan(scene, activities, temperature, seed)
        return found if len(found.activities) == activities else None

    def next_activity(
        self, scene: str, done: Sequence[Activity], described: str = "", temperature: float = 0.7, seed: int = 0
    ) -> Activity:
        """See `avatargpt.planning.types.Planner.next_activity`.

        Raises:
            UserError, LlmFailed: as `plan`.
        """
        scene, last = check_scene(scene), list(done)[-MEMORY:]
        told = [{"task": a.task, "steps": list(a.steps)} for a in last]
        values = self._about(scene, last) | {"done": told, "seen": described[:SEEN]}

        def check(answer: ActivityAnswer | BriefActivity) -> None:
            new(answer.activity(), last)

        def worth(answer: ActivityAnswer | BriefActivity) -> float:
            return self._worth(scene, [answer.activity()], last)

        form: type[ActivityAnswer | BriefActivity] = BriefActivity if self.brief else ActivityAnswer
        found = self.llm.ask(
            prompt("next_brief" if self.brief else "next_activity"), values, form, seed, self._samples, temperature,
            check, lambda v: worth(v) >= GOOD, TOKENS if self.brief else None,
        )  # fmt: skip
        return self._best(found, worth).value.activity()

    def answer(self, task: str, slots: dict[str, str], temperature: float = 0.7, seed: int = 0) -> list[str]:
        """See `avatargpt.planning.types.Planner.answer`.

        Raises:
            UserError: an unknown task or bad slots. LlmFailed: as `plan`.
        """
        given = check_slots(task, slots)
        values: dict[str, Any] = {"given": given, "task": planning_task(task).description}
        if task in STEP_TASKS:
            values["known"] = self._known(list(given.values()))
            steps = self.llm.ask(
                prompt("steps"), values, StepsAnswer, seed, 1, temperature, lambda v: _tidy(check_steps, v.steps)
            )
            return list(check_steps(steps[0].value.steps))
        kind = "scene" if task.endswith("_scene") else "task"
        said = self.llm.ask(
            prompt("sentence"), values, SentenceAnswer, seed, 1, temperature,
            lambda v: _tidy(lambda text: check_sentence(text, kind), v.answer),
        )  # fmt: skip
        return [check_sentence(said[0].value.answer, kind)]

    @property
    def _samples(self) -> int:
        if self.ranker is None:
            return 1
        return self.llm.limits.samples or (SAMPLES_HERE if self.brief else SAMPLES)

    def _about(self, scene: str, done: Sequence[Activity]) -> dict[str, Any]:
        """What every question about a scene says of it."""
        person = actor(scene) or actor_of([s for a in done for s in a.steps]) or "as the scene says"
        known = self._known([scene, *(a.task for a in done[-1:])])
        return {"scene": scene, "person": person, "known": known}

    def _known(self, texts: Sequence[str]) -> list[str]:
        return [] if self.showable is None or self.brief else self.showable.near(texts, SHOWN)

    def _worth(self, scene: str, activities: Sequence[Activity], done: Sequence[Activity] = ()) -> float:
        return GOOD if self.ranker is None else self.ranker.worth(scene, activities, done).sum

    @staticmethod
    def _best(found: Sequence[Answer[Any]], worth: Callable[[Any], float]) -> Answer[Any]:
        return found[0] if len(found) == 1 else max(found, key=lambda a: worth(a.value))


def _tidy(check: Callable[[Any], object], value: Any) -> None:
    check(value)
