"""The check of steps: how well the motion side knows a step, and the nearest movement that it knows."""
# The score is retrieval: the nearest phrasing of the phrase index, by sentence vector and word overlap, for the index
# turns steps into the captions that the motion network was trained on.

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.planning.library import gender_of, normalized
from avatargpt.planning.types import Activity, Plan, Planner
from avatargpt.requests.english import PRONOUNS, caption_about, subject_of
from avatargpt.requests.phrase_index import PhraseIndex
from avatargpt.requests.phrase_scoring import OVERLAP_WEIGHT
from instruct_data.planning import STEP_TASKS

# three of a hundred written steps score lower (docs/planning.md); what they say cannot be made out
MIN_SCORE = 0.62
# below this a phrasing has nothing to do with the step, and is no paraphrase
MIN_RELATED = 0.5
MAX_REMEMBERED = 20_000  # scores kept


class StepChecker:
    """Scores steps, and names the nearest movement of those that score low."""

    def __init__(self, phrase_index: PhraseIndex, grounder: SentenceGrounder, min_score: float = MIN_SCORE) -> None:
        self.phrase_index, self.grounder, self.min_score = phrase_index, grounder, min_score
        self._scores: OrderedDict[str, float] = OrderedDict()

    def ready(self) -> None:
        """Index the phrasings now; else the first step waits for it."""
        _ = self.phrase_index.index.words

    def can_do(self, steps: Sequence[str]) -> list[float]:
        """A score for every step: cosine plus weighted word overlap with the nearest known phrasing, about 0 to 1.2."""
        # a step of several movements is as good as the weakest of them, unless a phrasing covers the whole step
        missing = [s for s in dict.fromkeys(steps) if s not in self._scores]
        if missing:
            parts = [[c.action.lower() for c in self.phrase_index.read(s).done] or [s.lower()] for s in missing]
            texts = list(dict.fromkeys([*(s.lower() for s in missing), *(p for row in parts for p in row)]))
            nearest = dict(zip(texts, self._nearest(texts), strict=True))
            for step, row in zip(missing, parts, strict=True):
                self._scores[step] = max(nearest[step.lower()], min(nearest[p] for p in row))
        scores = [self._scores[s] for s in steps]
        while len(self._scores) > MAX_REMEMBERED:
            self._scores.popitem(last=False)
        return scores

    def _nearest(self, texts: Sequence[str]) -> list[float]:
        out, index = [], self.phrase_index.index
        for start in range(0, len(texts), 64):  # bounded memory: 64 rows of the whole index
            batch = texts[start : start + 64]
            cosines = index.cosines(self.grounder.sentence(batch))
            out += [float(index.scores(row, OVERLAP_WEIGHT, t).max()) for t, row in zip(batch, cosines, strict=True)]
        return out

    def weak(self, steps: Sequence[str]) -> int:
        """Number of steps that are not known well enough."""
        return sum(score < self.min_score for score in self.can_do(steps))

    def nearest_movement(self, step: str) -> str:
        """A step in the words of the index, with its own subject; empty where nothing is near."""
        clauses = self.phrase_index.clauses(step, self.grounder, -1.0)
        if len(clauses) > 2 or min(p.similarity for p in clauses) < MIN_RELATED:
            return ""
        gender = gender_of(step)
        subject = subject_of(step) or PRONOUNS.get(gender, PRONOUNS["they"])[0]
        text = " and ".join(caption_about(p.request, subject if k == 0 else "", gender) for k, p in enumerate(clauses))
        return text if normalized(text) != normalized(step) else ""

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

    def __init__(self, planner: Planner, executable: StepChecker) -> None:
        self.planner, self.executable = planner, executable
        self.notes: tuple[str, ...] = ()  # of the last answer, a sentence each

    @property
    def name(self) -> str:
        """Of the planner."""
        return self.planner.name

    def plan(self, scene: str, activities: int = 3, temperature: float = 0.7, seed: int = 0) -> Plan:
        """See `avatargpt.planning.types.Planner.plan`."""
        plan = self.planner.plan(scene, activities, temperature, seed)
        self.notes = (*plan.notes, *self.executable.notes([s for a in plan.activities for s in a.steps]))
        return replace(plan, notes=self.notes)

    def next_activity(
        self, scene: str, past: Sequence[Activity], described: str = "", temperature: float = 0.7, seed: int = 0
    ) -> Activity:
        """See `avatargpt.planning.types.Planner.next_activity`."""
        activity = self.planner.next_activity(scene, past, described, temperature, seed)
        self.notes = self.executable.notes(activity.steps)
        return activity

    def answer(self, task: str, slots: dict[str, str], temperature: float = 0.7, seed: int = 0) -> list[str]:
        """See `avatargpt.planning.types.Planner.answer`."""
        texts = self.planner.answer(task, slots, temperature, seed)
        self.notes = self.executable.notes(texts) if task in STEP_TASKS else ()
        return texts
