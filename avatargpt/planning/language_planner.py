"""`LanguagePlanner`, a planner by a language model (`avatargpt.llm`), its answers, and `Fallback` to another one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import numpy as np
from pydantic import BaseModel, Field, create_model

from avatargpt.llm.model import CheckedAnswer, Failures, LanguageModel, LlmFailed, Malformed, prompt
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.planning import types
from avatargpt.planning.events import SceneEvent, SceneText
from avatargpt.planning.library import actor_of, gender_of, normalize_text, word_for_encoder
from avatargpt.planning.retriever import recall
from avatargpt.planning.scorer import GOOD_PLAN, Ranker, actor_in
from avatargpt.planning.types import Activity, Plan, Planner, plan_activities, plan_script
from avatargpt.requests.english import PRONOUNS, caption_about, subject_of
from avatargpt.requests.fidelity import HIGHEST, MIN_FIDELITY, fidelities
from avatargpt.requests.phrase_index import OVERLAP_WEIGHT, TOKENS_PER_SECOND, PhraseIndex
from avatargpt.requests.vector_index import rank_scores, unit
from instruct_data.planning import STEP_TASKS
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.planning.library import PlanLibrary
    from avatargpt.planning.retrieval_planner import RetrievalPlanner
    from avatargpt.planning.situation import Situations

MAX_STEP_WORDS = 30
MAX_SENTENCE_WORDS = 60
# words of a stretch that repeats a phrase of 1, 2, ... 6 words
_LOOP_WORDS = (4, 6, 8, 8, 10, 12)


def check_sentence(value: Any, what: str = "task") -> str:
    """One tidy sentence without a final full stop; raises Malformed where `value` is none."""
    if not isinstance(value, str):
        raise Malformed(f"{what}: {type(value).__name__}; a sentence is needed")
    sentence = _clean(value, what)
    if len(sentence.split()) > MAX_SENTENCE_WORDS:
        raise Malformed(f"{what}: {len(sentence.split())} words; at most {MAX_SENTENCE_WORDS}")
    if what != "scene" and ";" in sentence:  # scenes may be long-winded
        raise Malformed(f"{what}: a list where one sentence is needed")
    _no_loop(sentence, what)
    return sentence


def check_steps(steps: Sequence[str]) -> tuple[str, ...]:
    """Tidy steps without final full stops; raises Malformed for impossible numbers, repetitions and loops."""
    if not steps:
        raise Malformed("no steps")
    if len(steps) > types.MAX_STEPS:
        raise Malformed(f"{len(steps)} steps; at most {types.MAX_STEPS}")
    out: list[str] = []
    numbers: dict[str, int] = {}
    for n, step in enumerate(steps, 1):
        sentence = _clean(step, f"step {n}")
        words = len(sentence.split())
        if words > MAX_STEP_WORDS:
            raise Malformed(f"step {n}: {words} words; at most {MAX_STEP_WORDS}")
        _no_loop(sentence, f"step {n}")
        first = numbers.setdefault(normalize_text(sentence), n)
        if first != n:
            raise Malformed(f"step {n} is step {first} again: {sentence[:60]!r}")
        out.append(sentence)
    return tuple(out)


def loops(text: str) -> bool:
    """Whether words repeat in a loop: one three times in a row, a longer phrase as `_LOOP_WORDS` says."""
    words = normalize_text(text).split()
    for size, enough in enumerate(_LOOP_WORDS, 1):
        run = size
        for i in range(size, len(words)):
            run = run + 1 if words[i] == words[i - size] else size
            if run >= enough:
                return True
    grams = [tuple(words[i : i + 3]) for i in range(len(words) - 2)]
    return any(grams.count(g) >= 3 for g in set(grams))


def _no_loop(text: str, what: str) -> None:
    if loops(text):
        raise Malformed(f"{what}: the same words over and over: {text[:60]!r}")


def _clean(text: str, what: str) -> str:
    if any(ord(c) < 32 and c not in "\t\n\r" for c in text) or "\ufffd" in text or "\x7f" in text:
        raise Malformed(f"{what}: control characters in it")
    line = " ".join(text.split()).strip("\"'“”*_` ").rstrip(".;, ")
    if not any(c.isalpha() for c in line):
        raise Malformed(f"{what}: empty")
    return line


MIN_STEPS, MAX_ACTIVITY_STEPS = 2, 6  # steps of an activity
MAX_BRIEF_STEPS = 3  # of one that a small model writes
MIN_STEP_SECONDS = 0.5  # s of a step that a planner may ask for


class ActivityAnswer(BaseModel):
    """One activity; `seconds` of each step, where given."""

    task: str
    steps: list[str] = Field(min_length=MIN_STEPS, max_length=MAX_ACTIVITY_STEPS)
    seconds: list[float] = []

    def activity(self) -> Activity:
        """Tidied; raises Malformed for no sentence, no steps, or the same step twice."""
        task, steps = check_sentence(self.task), check_steps(self.steps)
        complete = len(self.seconds) == len(steps)
        complete = complete and all(MIN_STEP_SECONDS <= s <= types.MAX_STEP_SECONDS for s in self.seconds)
        return Activity(task, steps, tuple(round(s, 2) for s in self.seconds) if complete else ())


class BriefActivity(BaseModel):
    """One activity of few short steps, within the abilities of a small model and a few seconds of this machine."""

    task: str = Field(max_length=60)
    steps: list[Annotated[str, Field(max_length=80)]] = Field(min_length=MIN_STEPS, max_length=MAX_BRIEF_STEPS)

    def activity(self) -> Activity:
        """See `ActivityAnswer.activity`."""
        return Activity(check_sentence(self.task), check_steps(self.steps))


class StepsAnswer(BaseModel):
    """Steps alone."""

    steps: list[str] = Field(min_length=1, max_length=MAX_ACTIVITY_STEPS)


class SentenceAnswer(BaseModel):
    """One sentence."""

    answer: str


class PlanAnswer(BaseModel):
    """Activities in order."""

    activities: Sequence[ActivityAnswer | BriefActivity]

    def plan(self) -> tuple[Activity, ...]:
        """Tidied; raises Malformed as `ActivityAnswer.activity`, or for a repeated activity."""
        out: list[Activity] = []
        for row in self.activities:
            out.append(check_new(row.activity(), out))
        return tuple(out)


def plan_of(count: int, brief: bool = False) -> type[PlanAnswer]:
    """A plan of so many activities."""
    activity: Any = BriefActivity if brief else ActivityAnswer
    field: Any = Annotated[list[activity], Field(min_length=count, max_length=count)]
    return create_model(f"PlanOf{count}", __base__=PlanAnswer, activities=(field, ...))


def check_new(activity: Activity, past: Sequence[Activity]) -> Activity:
    """The activity; raises Malformed where it was done before."""
    for earlier in past:
        if normalize_text(earlier.task) == normalize_text(activity.task) or earlier.steps == activity.steps:
            raise Malformed(f"that was done before: {activity.task!r}")
    return activity


# written scenes whose steps are looked up, and how many steps of them
WRITTEN_SCENES, MAX_WRITTEN_STEPS = 4, 40


class SceneMovements:
    """Movements of the phrase index that suit a scene."""
    # The nearest to the scene itself, to the last activity, and to the steps of the nearest written scenes: a scene
    # says where somebody is, its written neighbours what a body does there.

    def __init__(
        self, phrase_index: PhraseIndex, grounder: SentenceGrounder, library: PlanLibrary | None = None
    ) -> None:
        self.phrase_index, self.grounder, self.library = phrase_index, grounder, library

    def movements(self, texts: Sequence[str], count: int) -> list[str]:
        """At most `count` movements, one per action: the nearest to each text, then the second nearest, and so on."""
        queries = list(dict.fromkeys(t for t in texts if t.strip()))
        queries += [t for t in self._list_written(queries[0]) if t not in queries] if queries else []
        return list(self.phrase_index.movements(queries, self.grounder, count))

    def _list_written(self, scene: str) -> list[str]:
        """Steps of the nearest written scenes, spread over them."""
        lib = self.library
        if lib is None:
            return []
        vector = lib.basis.reduce(self.grounder.sentence([scene]), lib.scene_vectors.shape[1])[0]
        rows = [int(s) for s in rank_scores(lib.scene_vectors @ vector, WRITTEN_SCENES)]
        steps = [word_for_encoder(lib.steps[i]) for s in rows for t in lib.tasks_of(s) for i in lib.steps_of(t)]
        at = np.linspace(0, len(steps) - 1, min(MAX_WRITTEN_STEPS, len(steps))).astype(int)
        return [" ".join(steps[i].split()) for i in at]


MIN_EVENT_COSINE = 0.45  # of an event and the activity that shows it
MEMORY = 8  # activities that a question repeats
# movements that a question names; a small model would copy them one after another
MOVEMENTS = 60
# answers to choose from, and where writing one takes this machine ten seconds
SAMPLES, LOCAL_SAMPLES = 3, 1
ACTIVITY_TOKENS = 120  # of an activity that a small model writes
MAX_DESCRIPTION = 500  # characters of the description of the last motion


class LanguagePlanner:
    """Plans of a language model; see `Planner`. Of several answers the one of the highest `Worth` is taken.

    Args:
        llm: the model with its limits. showable: movements that a question names; None = none.
        ranker: judges samples; None = the first acceptable one is taken.
        written: the library, which reads the scene's events, too; for a model on this machine: its plan where it has
            one about such a scene, else the plan of higher worth (plans of 1.5 billion weights read worse,
            docs/planning.md).
    """

    def __init__(
        self, llm: LanguageModel, showable: SceneMovements | None = None, ranker: Ranker | None = None,
        written: RetrievalPlanner | None = None,
    ) -> None:  # fmt: skip
        self.llm, self.showable, self.ranker, self.written = llm, showable, ranker, written
        self.name, self.brief = llm.name, llm.backend.local

    def plan(
        self, scene: str, activities: int | None = None, temperature: float = 0.7, seed: int = 0,
        seconds: float | None = None,
    ) -> Plan:  # fmt: skip
        """See `avatargpt.planning.types.Planner.plan`.

        Raises:
            UserError: a bad scene. LlmFailed: no answer, or no well-formed plan with every event of the scene.
        """
        line = types.check_plan(scene, activities, seconds)
        text = SceneText() if self.written is None else self.written.read(line)
        count = len(text.events) or activities or types.DEFAULT_ACTIVITIES
        plan = self._plan_scene(line, text, count, temperature, seed)
        seconds = seconds or text.seconds
        if seconds is None or self.written is None:
            return plan
        return replace(
            plan, activities=tuple(self.written.time_activities(line, plan.activities, seconds, temperature, seed))
        )

    def _plan_scene(self, scene: str, text: SceneText, count: int, temperature: float, seed: int) -> Plan:
        """A plan, of whatever length."""
        written = self._write_plan(scene, count, temperature, seed)
        if written is not None and self.written is not None and self.written.knows(scene):
            return replace(written, notes=(f"A written plan is about such a scene; {self.name} was not asked.",))
        values = self._about(scene, ()) | {"count": count, "events": [e.words for e in text.events]}

        def check(answer: PlanAnswer) -> None:
            self._check_events(answer.plan(), text.events)

        answers = self.llm.ask(
            prompt("plan_brief" if self.brief else "plan"), values, plan_of(count, self.brief), seed,
            self._samples, temperature, check,
            lambda v: self._worth(scene, v.plan()) >= GOOD_PLAN, ACTIVITY_TOKENS * count if self.brief else None,
        )  # fmt: skip
        best = self._best(answers, lambda v: self._worth(scene, v.plan()))
        plan = Plan(scene, best.value.plan(), self.name, (best.note,) if best.note else ())
        if written is None or self._worth(scene, written.activities) <= self._worth(scene, plan.activities):
            return plan
        return replace(written, notes=(f"A written plan is worth more than that of {self.name}.",))

    def _check_events(self, activities: Sequence[Activity], events: Sequence[SceneEvent]) -> None:
        """Raises Malformed where an activity is not about the event in its place."""
        if self.ranker is None or not events:
            return
        texts = [f"a person {e.words}" for e in events] + [word_for_encoder(a.task) for a in activities]
        if len(activities) != len(events):
            raise Malformed(f"{len(activities)} activities; one for each of the {len(events)} events, in order")
        vectors = unit(self.ranker.grounder.sentence(texts))
        for event, a, b in zip(events, vectors[: len(events)], vectors[len(events) :], strict=True):
            if float(a @ b) < MIN_EVENT_COSINE:
                raise Malformed(f"the event {event.words!r} is missing; one activity for each event, in order")

    def _write_plan(self, scene: str, activities: int, temperature: float, seed: int) -> Plan | None:
        """The whole plan of the library, for a small model; None where there is none of so many activities."""
        if not self.brief or self.written is None or self.ranker is None:
            return None
        plan = self.written.plan(scene, activities, temperature, seed)
        return plan if len(plan.activities) == activities else None

    def next_activity(
        self, scene: str, past: Sequence[Activity], described: str = "", temperature: float = 0.7, seed: int = 0,
        posture: str = "",
    ) -> Activity:  # fmt: skip
        """See `avatargpt.planning.types.Planner.next_activity`; raises as `plan`."""
        scene, last = types.check_scene(scene), list(past)[-MEMORY:]
        rows = [{"task": a.task, "steps": list(a.steps)} for a in last]
        ends = f"; it ends {posture.replace('_', ' ')}" if posture else ""
        values = self._about(scene, last) | {"done": rows, "seen": described[:MAX_DESCRIPTION] + ends}

        def check(answer: ActivityAnswer | BriefActivity) -> None:
            check_new(answer.activity(), last)

        def worth(answer: ActivityAnswer | BriefActivity) -> float:
            return self._worth(scene, [answer.activity()], last)

        form: type[ActivityAnswer | BriefActivity] = BriefActivity if self.brief else ActivityAnswer
        answers = self.llm.ask(
            prompt("next_brief" if self.brief else "next_activity"), values, form, seed, self._samples, temperature,
            check, lambda v: worth(v) >= GOOD_PLAN, ACTIVITY_TOKENS if self.brief else None,
        )  # fmt: skip
        return self._best(answers, worth).value.activity()

    def answer(self, task: str, slots: dict[str, str], temperature: float = 0.7, seed: int = 0) -> list[str]:
        """See `avatargpt.planning.types.Planner.answer`; raises as `plan`."""
        texts = types.check_slots(task, slots)
        values: dict[str, Any] = {"given": texts, "task": types.get_planning_task(task).description}
        if task in STEP_TASKS:
            values["known"] = self._movements(list(texts.values()))
            steps = self.llm.ask(
                prompt("steps"), values, StepsAnswer, seed, 1, temperature, lambda v: check_steps(v.steps)
            )
            return list(check_steps(steps[0].value.steps))
        kind = "scene" if task.endswith("_scene") else "task"
        answers = self.llm.ask(
            prompt("sentence"), values, SentenceAnswer, seed, 1, temperature,
            lambda v: check_sentence(v.answer, kind),
        )  # fmt: skip
        return [check_sentence(answers[0].value.answer, kind)]

    @property
    def _samples(self) -> int:
        if self.ranker is None:
            return 1
        return self.llm.limits.samples or (LOCAL_SAMPLES if self.brief else SAMPLES)

    def _about(self, scene: str, past: Sequence[Activity]) -> dict[str, Any]:
        """The values of every question about a scene."""
        person = actor_in(scene) or actor_of([s for a in past for s in a.steps]) or "as the scene says"
        movements = self._movements([scene, *(a.task for a in past[-1:])])
        return {"scene": scene, "person": person, "known": movements}

    def _movements(self, texts: Sequence[str]) -> list[str]:
        return [] if self.showable is None or self.brief else self.showable.movements(texts, MOVEMENTS)

    def _worth(self, scene: str, activities: Sequence[Activity], past: Sequence[Activity] = ()) -> float:
        return GOOD_PLAN if self.ranker is None else self.ranker.worth(scene, activities, past).sum

    @staticmethod
    def _best(answers: Sequence[CheckedAnswer[Any]], worth: Callable[[Any], float]) -> CheckedAnswer[Any]:
        return answers[0] if len(answers) == 1 else max(answers, key=lambda a: worth(a.value))


T = TypeVar("T")
Tell = Callable[[str], None]
"""Takes one line for the user."""


class Fallback:
    """A language model's planner, with another planner where it gives no answer."""

    def __init__(self, first: Planner, second: Callable[[], Planner], tell: Tell) -> None:
        self.first, self._second = first, second
        self.name = first.name
        self._failures = Failures(tell)

    @cached_property
    def second(self) -> Planner:
        """The other planner."""
        return self._second()

    def plan(self, scene: str, *options: Any, **named: Any) -> Plan:
        """See `avatargpt.planning.types.Planner.plan`; `Plan.planner` and a note say which one answered."""
        why: list[str] = []
        plan = self._either(lambda p: p.plan(scene, *options, **named), why)
        return replace(plan, notes=(*plan.notes, *why))

    def next_activity(self, scene: str, past: Sequence[Activity], *options: Any, **named: Any) -> Activity:
        """See `avatargpt.planning.types.Planner.next_activity`."""
        return self._either(lambda p: p.next_activity(scene, past, *options, **named), [])

    def answer(self, task: str, slots: dict[str, str], *options: Any, **named: Any) -> list[str]:
        """See `avatargpt.planning.types.Planner.answer`."""
        return self._either(lambda p: p.answer(task, slots, *options, **named), [])

    def _either(self, ask: Callable[[Planner], T], why: list[str]) -> T:
        try:
            value = ask(self.first)
        except LlmFailed as e:
            self._failures.tell(f"{e}; {self.second.name} plans instead")
        else:
            self.name = self.first.name
            self._failures.end()
            return value
        self.name = self.second.name
        why.append(f"{self.first.name} gave no answer; {self.second.name} planned.")
        return ask(self.second)


# The check of steps: how well the motion side knows a step, and the nearest movement that it knows.

# The score is retrieval: the nearest phrasing of the phrase index, by sentence vector and word overlap, for the index
# turns steps into the captions that the motion network was trained on.


# three of a hundred written steps score lower (docs/planning.md); what they say cannot be made out
MIN_SCORE = 0.62
# below this a phrasing has nothing to do with the step, and is no paraphrase
MIN_RELATED = 0.5
MAX_REMEMBERED = 20_000  # scores kept
MAX_USUAL_SECONDS = 6.0  # of a step; the motion network makes eight at once


class StepChecker:
    """Scores steps, and names the nearest movement of those that score low."""

    def __init__(self, phrase_index: PhraseIndex, grounder: SentenceGrounder, min_score: float = MIN_SCORE) -> None:
        self.phrase_index, self.grounder, self.min_score = phrase_index, grounder, min_score
        self._scores: OrderedDict[str, float] = OrderedDict()
        self._seconds: OrderedDict[str, float] = OrderedDict()
        self._fidelity: OrderedDict[str, bool] = OrderedDict()

    def ready(self) -> None:
        """Index the phrasings now; else the first step waits for it."""
        _ = self.phrase_index.index.words

    def can_do(self, steps: Sequence[str]) -> list[float]:
        """A score for every step: cosine plus weighted word overlap with the nearest known phrasing, about 0 to 1.2."""

        def compute(missing: list[str]) -> list[float]:
            # a step of several movements is as good as the weakest of them, unless a phrasing covers the whole step
            parts = [[c.action.lower() for c in self.phrase_index.read(s).done] or [s.lower()] for s in missing]
            texts = list(dict.fromkeys([*(s.lower() for s in missing), *(p for row in parts for p in row)]))
            nearest = dict(zip(texts, self._nearest(texts), strict=True))
            weakest = [min(nearest[p] for p in row) for row in parts]
            return [max(nearest[s.lower()], least) for s, least in zip(missing, weakest, strict=True)]

        return recall(self._scores, steps, compute, MAX_REMEMBERED)

    def plain(self, texts: Sequence[str]) -> list[float]:
        """The scores of single movements, which are not read clause by clause."""
        return self._nearest([t.lower() for t in texts])

    def _nearest(self, texts: Sequence[str]) -> list[float]:
        out, index = [], self.phrase_index.index
        for start in range(0, len(texts), 64):  # bounded memory: 64 rows of the whole index
            batch = texts[start : start + 64]
            cosines = index.cosines(self.grounder.sentence(batch))
            out += [float(index.scores(row, OVERLAP_WEIGHT, t).max()) for t, row in zip(batch, cosines, strict=True)]
        return out

    def seconds(self, steps: Sequence[str]) -> list[float]:
        """The usual time of each step, the median of clips with the nearest caption; 0 where none is known."""
        index = self.phrase_index

        def compute(missing: list[str]) -> Iterator[float]:
            for start in range(0, len(missing), 64):
                for row in index.index.cosines(self.grounder.sentence(missing[start : start + 64])).argmax(1):
                    lengths = index.lengths.get(index.captions[row][""], ())
                    usual = float(np.median(lengths)) / TOKENS_PER_SECOND if lengths else 0.0
                    yield min(usual, MAX_USUAL_SECONDS)

        return recall(self._seconds, steps, compute, MAX_REMEMBERED)

    def showable(self, steps: Sequence[str]) -> list[bool]:
        """Whether each step is shown by captions that say what it does (`avatargpt.requests.fidelity`)."""

        def compute(missing: list[str]) -> Iterator[bool]:
            for step in missing:
                values = fidelities(self.phrase_index.clauses(step, self.grounder), self.grounder)
                yield float(values.min(initial=HIGHEST)) >= MIN_FIDELITY

        return recall(self._fidelity, steps, compute, MAX_REMEMBERED)

    def nearest_movement(self, step: str) -> str:
        """A step in the words of the index, with its own subject; empty where nothing is near."""
        clauses = self.phrase_index.clauses(step, self.grounder)
        if len(clauses) > 2 or min(p.similarity for p in clauses) < MIN_RELATED:
            return ""
        gender = gender_of(step)
        subject = subject_of(step) or PRONOUNS.get(gender, PRONOUNS["they"])[0]
        text = " and ".join(caption_about(p.request, subject if k == 0 else "", gender) for k, p in enumerate(clauses))
        return text if normalize_text(text) != normalize_text(step) else ""

    def notes(self, steps: Sequence[str]) -> tuple[str, ...]:
        """A sentence for every step that is not known well enough, with the nearest movement."""
        out = []
        for step, score in zip(steps, self.can_do(steps), strict=True):
            if score < self.min_score:
                movement = self.nearest_movement(step)
                reason = (
                    f"the nearest movement that is known is {movement!r}" if movement else "nothing like it is known"
                )
                out.append(f"{step!r} may not look as it reads: {reason} ({score:.2f}).")
        return tuple(out)


class CheckedPlanner:
    """A planner whose steps are compared with the known movements; the words of a plan stay unchanged."""

    def __init__(self, planner: Planner, executable: StepChecker, situations: Situations | None = None) -> None:
        self.planner, self.executable, self.situations = planner, executable, situations
        self.notes: tuple[str, ...] = ()  # of the last answer, a sentence each
        self.noted = True  # whether answers get them

    @property
    def name(self) -> str:
        """Of the planner."""
        return self.planner.name

    def drop_notes(self) -> CheckedPlanner:
        """The same without notes, for who judges the motion itself."""
        other = CheckedPlanner(self.planner, self.executable, self.situations)
        other.noted = False
        return other

    def _notes(self, steps: Sequence[str]) -> tuple[str, ...]:
        return self.executable.notes(steps) if self.noted else ()

    def plan(
        self, scene: str, activities: int | None = None, temperature: float = 0.7, seed: int = 0,
        seconds: float | None = None,
    ) -> Plan:  # fmt: skip
        """See `avatargpt.planning.types.Planner.plan`; a script is a plan already."""
        plan = plan_script(scene)
        if plan is None:
            plan = self.planner.plan(scene, activities, temperature, seed, seconds)
        elif activities is not None or seconds is not None:
            raise UserError("a script has its own times; accepted: neither seconds nor a number of activities")
        self.notes = (*plan.notes, *self._notes([s for a in plan.activities for s in a.steps]))
        return replace(plan, notes=self.notes)

    def plan_lazily(self, scene: str, temperature: float = 0.7, seed: int = 0) -> Iterator[Activity]:
        """See `avatargpt.planning.types.LazyPlanner`; without notes."""
        if plan_script(scene) is not None:
            return iter(self.plan(scene, None, temperature, seed).activities)
        return plan_activities(self.planner, scene, temperature, seed)

    def next_activity(
        self, scene: str, past: Sequence[Activity], described: str = "", temperature: float = 0.7, seed: int = 0,
        posture: str = "",
    ) -> Activity:  # fmt: skip
        """See `avatargpt.planning.types.Planner.next_activity`."""
        activity = self.planner.next_activity(scene, past, described, temperature, seed, posture)
        if self.situations is not None:
            activity = self.situations.begin_activity(activity, self.situations.read(described, posture))
        self.notes = self._notes(activity.steps)
        return activity

    def answer(self, task: str, slots: dict[str, str], temperature: float = 0.7, seed: int = 0) -> list[str]:
        """See `avatargpt.planning.types.Planner.answer`."""
        texts = self.planner.answer(task, slots, temperature, seed)
        self.notes = self.executable.notes(texts) if task in STEP_TASKS else ()
        return texts
