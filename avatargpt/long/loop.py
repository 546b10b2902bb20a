"""Motion of any length from one sentence: plan, act, describe, plan again, as a stream in constant memory.

    for chunk in long(model, "a tired gardener finishes the day's work", 600):
        show(chunk.motion)

Each step of the plan becomes codes (`avatargpt.long.pipeline`), all codes are one stream through a streaming decoder
(`avatargpt.long.stream`), and the description of the motion goes into the choice of the next activity
(`avatargpt.long.loop`).
"""

import math
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import islice
from typing import Protocol

import numpy as np

from avatargpt import planning
from avatargpt.body.model import BodyModel
from avatargpt.body.tasks import Body
from avatargpt.lm.loaded import CHUNK
from avatargpt.long.pipeline import ClauseCodes, StepClause, StepPipeline
from avatargpt.long.stream import Frames, MotionStream, Span
from avatargpt.options import GenerationConfig, check_text, frames_of, mix, then
from avatargpt.planning.types import Activity, Planner
from avatargpt.requests.english import lemmas
from avatargpt.requests.phrase_index import PhraseIndex
from avatargpt.requests.phrase_scoring import OVERLAP_WEIGHT
from avatargpt.requests.vector_index import ranked
from vqvae.errors import UserError
from vqvae.motion import Motion

# of the plan that a scene begins with, as of `avatargpt plan`
PLAN_ACTIVITIES = 3
# activities that the planner gets and repetition is measured against
MEMORY = 24
# answers of the planner before the least repetitive one is taken
MAX_TRIES = 4
# share of common words, from which two activities are the same
MAX_LIKENESS = 0.6
TEMPERATURE_STEP, MAX_TEMPERATURE = 0.15, 1.5  # added with every further try, and at most


class Director:
    """Activities of an endless scene: first the plan that `avatargpt plan` gives, then one at a time.

    State: the last `MEMORY` activities and a counter.

    Args:
        first: activities in place of the planner's plan.
        manner: word appended to steps that name no manner; see `manner_of`.
        phrase_index: finds manners in texts; None = it finds none.
        temperature: of the planner.
    """

    def __init__(
        self, planner: Planner, scene: str, seed: int = 0, first: Sequence[Activity] = (), manner: str = "",
        phrase_index: PhraseIndex | None = None, temperature: float = 0.7,
    ) -> None:
        self.planner, self.scene, self.seed, self.temperature = planner, scene, seed, temperature
        self.first: deque[Activity] | None = deque(first) if first else None
        self.manner, self.phrase_index = manner, phrase_index
        self.past: deque[Activity] = deque(maxlen=MEMORY)
        self.count = 0
        self.refused = 0  # answers that repeated something

    def next(self, described: str = "") -> Activity:
        """The next activity; `described` is the description of the last motion."""
        if self.first is None:
            self.first = deque(self.planner.plan(self.scene, PLAN_ACTIVITIES, self.temperature, self.seed).activities)
        activity = self.first.popleft() if self.first else self._new(described)
        self.count += 1
        self.past.append(activity)
        return activity

    def in_manner(self, step: str) -> str:
        """The step, with the scene's manner unless it has its own."""
        if not self.manner or (self.phrase_index is not None and self.phrase_index.style(step)):
            return step
        return f"{step.rstrip(' .')} {self.manner}"

    def _new(self, described: str) -> Activity:
        best: tuple[float, Activity] | None = None
        for attempt in range(MAX_TRIES):
            activity = self._answer(described, attempt)
            repetition = max((likeness(activity, earlier) for earlier in self.past), default=0.0)
            if best is None or repetition < best[0]:
                best = repetition, activity
            if repetition < MAX_LIKENESS:
                break
            self.refused += 1
        assert best is not None
        return best[1]

    def _answer(self, described: str, attempt: int) -> Activity:
        # a planner with nothing new left for the scene gets half of the memory, and so on
        past = list(self.past)
        temperature = min(self.temperature + attempt * TEMPERATURE_STEP, MAX_TEMPERATURE)
        seed = mix(self.seed, 10 * self.count + attempt)
        while True:
            try:
                return self.planner.next_activity(self.scene, past, described, temperature, seed)
            except UserError:
                if not past:
                    raise
                past = past[len(past) // 2 + len(past) % 2 :]


def likeness(a: Activity, b: Activity) -> float:
    """Likeness of two activities, 0..1: common words of tasks or of steps, whichever is higher."""
    tasks = _overlap(lemmas(a.task), lemmas(b.task))
    steps = _overlap([w for s in a.steps for w in lemmas(s)], [w for s in b.steps for w in lemmas(s)])
    return max(tasks, steps)


def _overlap(a: list[str], b: list[str]) -> float:
    x, y = set(a), set(b)
    return len(x & y) / max(len(x | y), 1)


def manner_of(scene: str, phrase_index: PhraseIndex | None) -> str:
    """One word for the manner that a scene names ("a tired gardener" -> "tiredly"), or empty."""
    style = phrase_index.style(scene) if phrase_index is not None else ""
    if not style or phrase_index is None:
        return ""
    return next((p for p, s in phrase_index.styles.items() if s == style and " " not in p), "")


MIN_SECONDS, MAX_SECONDS = 1.0, 14_400.0
MIN_RADIUS, MAX_RADIUS = 2.0, 1000.0
MAX_RETRIES = 2  # of a motion that does not show its caption
# clauses whose candidates are generated side by side
GROUP_SIZE = 4
# a path beyond this share of the radius costs nats for each radius beyond it
FREE_RADIUS_SHARE, STRAY_COST = 0.7, 4.0

# of the verification that a motion shows its caption
# captions of other actions that a motion is compared with
COMPARED_ACTIONS = 96
MAX_BETTER = 4  # of them may fit better
MAX_CAPTION_COSINE = 0.7  # of captions that count as different
# phrasings searched for another action, and actions of them that are tried
NEAR_PHRASINGS, MAX_REPLACEMENTS = 200, 2
# cosine (with word overlap) of such an action to the caption
MIN_REPLACEMENT_SCORE = 0.6


class Embodied(Protocol):
    """Anything with a body to move, such as an `AvatarGPT`."""

    @property
    def body(self) -> Body: ...


@dataclass(frozen=True)
class Chunk:
    """Frames that are final."""

    start: int  # number of the first frame
    motion: Motion  # the frames at their place in the world; the first of all is above the origin and faces +Z
    spans: tuple[Span, ...]  # steps finished since the last chunk; their frames may come in later chunks

    @property
    def frames(self) -> Frames:
        return Frames(self.motion.rotations, self.motion.root)


def check_long(scene: str, seconds: float, radius: float | None) -> None:
    """Raises UserError for a scene, length or radius that is not accepted."""
    check_text(scene)
    if not (math.isfinite(seconds) and MIN_SECONDS <= seconds <= MAX_SECONDS):
        raise UserError(f"seconds: {seconds:g}; accepted {MIN_SECONDS:g} to {MAX_SECONDS:g}")
    if radius is not None and not (math.isfinite(radius) and MIN_RADIUS <= radius <= MAX_RADIUS):
        raise UserError(f"radius: {radius:g}; accepted {MIN_RADIUS:g} to {MAX_RADIUS:g} metres")


def long(
    model: Embodied, scene: str, seconds: float, planner: Planner | str | None = None, seed: int = 0,
    radius: float | None = None, activities: Sequence[Activity] = (), best_of: int = 4,
    guidance: float = GenerationConfig.guidance, temperature: float = 0.8,
) -> Iterator[Chunk]:
    """The closed loop, as chunks of frames while it runs.

    Args:
        seconds: of all; exact to the frame.
        planner: chooses activities; by name as for `avatargpt.planning.load_planner`, None = the default one.
        radius: metres around the start that the path stays within (a rule, `avatargpt.long.stream.PathKeeper`).
        activities: done first, in place of the plan that `planner` gives for the scene and the seed.
        best_of: candidates for each clause.
        guidance, temperature: of the candidates, as in `AvatarGPT.generate`.

    Raises:
        UserError: at the call, not at the first chunk: a scene, length, radius or planner that is not accepted.
    """
    check_long(scene, seconds, radius)
    body = model.body
    if planner is None or isinstance(planner, str):
        planner = planning.load_planner(planner, body.model)
    phrases = body.model.phrase_index
    director = Director(planner, scene, seed, activities, manner_of(scene, phrases), phrases)
    pipeline = StepPipeline(body, GenerationConfig(seed, guidance, temperature, best_of))
    return Loop(director, pipeline, MotionStream(body.model.tokenizer, radius), seed, radius).chunks(seconds)


class Loop:
    """One run. State: the last tokens, the streams' states and the director's memory."""

    def __init__(
        self, director: Director, pipeline: StepPipeline, stream: MotionStream, seed: int, radius: float | None = None
    ) -> None:
        self.director, self.pipeline, self.stream, self.seed, self.radius = director, pipeline, stream, seed, radius
        self.verifier = Verifier(pipeline.body.model)
        self.tail = np.zeros((0, stream.tokenizer.config.levels), np.int64)
        self.tokens = 0  # generated so far
        self.out = 0  # frames handed out so far

    def chunks(self, seconds: float) -> Iterator[Chunk]:
        """As many activities as it takes, cut to the frame."""
        frames = frames_of(seconds, self.stream.spec.fps)
        tokens = -(-frames // self.stream.tokenizer.downsample)
        return self._run(lambda: self.tokens < tokens, tokens, frames)

    def acted(self, activities: int) -> Iterator[Chunk]:
        """So many activities, however long they take."""
        return self._run(lambda: self.director.count < activities, sys.maxsize, sys.maxsize)

    def _run(self, unfinished: Callable[[], bool], tokens: int, frames: int) -> Iterator[Chunk]:
        described = ""
        spans: list[Span] = []  # since the last chunk
        while unfinished():
            descriptions = []
            for item in self._activity(described, tokens):
                if isinstance(item, Span):
                    spans.append(item)
                    descriptions.append(item.described)
                    continue
                chunk = self._chunk(item, frames, spans)
                if chunk is not None:
                    spans = []
                    yield chunk
            described = then(descriptions)
            trim_heap()
        chunk = self._chunk(self.stream.finish(), frames, spans)
        if chunk is not None:
            yield chunk

    def _chunk(self, piece: Frames, frames: int, spans: list[Span]) -> Chunk | None:
        piece = Frames(piece.rotations[: frames - self.out], piece.root[: frames - self.out])
        if not len(piece):
            return None
        start, self.out = self.out, self.out + len(piece)
        return Chunk(start, piece.motion(self.stream.spec.fps, self.director.scene), tuple(spans))

    def _activity(self, described: str, tokens: int) -> Iterator[Frames | Span]:
        """The next activity: frames after each clause, and after each step its span with the description."""
        activity, number = self.director.next(described), self.director.count - 1
        steps = [self.director.in_manner(s) for s in activity.steps]
        seed = mix(self.seed, 7000 + number)
        clauses = self.pipeline.clauses(steps, seed, tokens - self.tokens, activity.seconds)
        first: int = self.tokens
        parts: list[ClauseCodes] = []  # of one step
        for result in self._results(clauses):
            if parts and parts[-1].clause.step != result.clause.step:
                yield self._span(activity, number, parts, first)
                first, parts = self.tokens, []
            frames = self.stream.push(result.codes)
            self.tail = np.concatenate([self.tail, result.codes])[-CHUNK:]
            self.tokens += len(result.codes)
            parts.append(result)
            yield frames
        if parts:
            yield self._span(activity, number, parts, first)

    def _results(self, clauses: Iterable[StepClause]) -> Iterator[ClauseCodes]:
        remaining = iter(clauses)
        # one by one until the stream's first frames are out, so that these come early
        while group := list(islice(remaining, GROUP_SIZE if self.out else 1)):
            for clause, candidates in zip(group, self.pipeline.candidates(group), strict=True):
                yield self._verified(self.pipeline.choose(clause, candidates, self.tail, self._detour()))

    def _verified(self, result: ClauseCodes) -> ClauseCodes:
        """A motion that shows its caption: the same clause again, at most twice, else a similar action."""
        if result.clause.turn is not None:  # verified by its degrees already
            return result
        best, fewest = result, self._better(result)
        for attempt in range(MAX_RETRIES):
            if fewest <= MAX_BETTER:
                return best
            retry = self._generated(replace(result.clause, seed=mix(result.clause.seed, 60 + attempt)))
            best, fewest = min([(best, fewest), (retry, self._better(retry))], key=lambda pair: pair[1])
        if fewest <= MAX_BETTER:
            return best
        for caption in self.verifier.similar(result.clause.caption):
            similar = self._generated(replace(result.clause, caption=caption))
            if self._better(similar) <= MAX_BETTER:
                note = f"{result.clause.caption!r} could not be shown; shown instead: {caption!r}"
                return replace(similar, note=note)
        return replace(best, note=f"{result.clause.caption!r} may not look as it reads")

    def _generated(self, clause: StepClause) -> ClauseCodes:
        return self.pipeline.choose(clause, self.pipeline.candidates([clause])[0], self.tail, self._detour())

    def _better(self, result: ClauseCodes) -> int:
        return int(self.verifier.better([result.codes[result.transition :]], result.clause.caption)[0])

    def _detour(self) -> Callable[[np.ndarray], float]:
        radius, stream = self.radius, self.stream
        if radius is None:
            return lambda codes: 0.0

        def cost(codes: np.ndarray) -> float:
            farthest = float(np.linalg.norm(stream.ahead(codes), axis=-1).max())
            return STRAY_COST * max(0.0, farthest / radius - FREE_RADIUS_SHARE)

        return cost

    def _span(self, activity: Activity, number: int, parts: list[ClauseCodes], first: int) -> Span:
        """The span of one step, described from its codes without transitions."""
        per, step = self.stream.tokenizer.downsample, parts[0].clause.step
        described = self.pipeline.describe(np.concatenate([p.codes[p.transition :] for p in parts]))
        return Span(
            first * per, self.tokens * per, number, activity.task, step, activity.steps[step],
            then([p.clause.caption for p in parts]), parts[0].transition * per, described,
            "; ".join(p.note for p in parts if p.note),
        )  # fmt: skip


class Verifier:
    """Tests whether a motion shows its caption, by the text-motion scorer (`avatargpt.lm.scorer`)."""

    def __init__(self, model: BodyModel) -> None:
        self.model = model
        self.able = model.motion_scorer is not None and model.grounder is not None and model.phrase_index is not None

    @cached_property
    def _actions(self) -> tuple[np.ndarray, np.ndarray]:
        """Captions of other actions, as vectors of the scorer (n, dim) and of the sentence encoder (n, 384)."""
        index, scorer, grounder = self.model.phrase_index, self.model.motion_scorer, self.model.grounder
        assert index is not None and scorer is not None and grounder is not None
        first: dict[str, str] = {}
        for action, caption in zip(index.classes, index.captions, strict=True):
            first.setdefault(action, caption[""])
        names = sorted(first)
        rows = np.linspace(0, len(names) - 1, min(COMPARED_ACTIONS, len(names))).astype(int)
        captions = [first[names[i]] for i in rows]
        return scorer.texts(captions, grounder), grounder.sentence(captions)

    def better(self, codes: Sequence[np.ndarray], caption: str) -> np.ndarray:
        """Number of captions of other actions that fit each motion better than its caption, (B,).

        Captions that mean nearly the same do not count.
        """
        if not self.able:
            return np.zeros(len(codes), int)
        scorer, grounder = self.model.motion_scorer, self.model.grounder
        assert scorer is not None and grounder is not None
        vectors, sentences = self._actions
        motions = self.model.motion_vectors(codes)
        fit = motions @ scorer.texts([caption], grounder)[0]
        different = sentences @ grounder.sentence([caption])[0] < MAX_CAPTION_COSINE
        return np.asarray((motions @ vectors[different].T > fit[:, None]).sum(1))

    def similar(self, caption: str) -> list[str]:
        """Captions of the nearest other actions, at most `MAX_REPLACEMENTS`, the nearest first."""
        index, grounder = self.model.phrase_index, self.model.grounder
        if index is None or grounder is None:
            return []
        scores = index.index.scores(index.index.cosines(grounder.sentence([caption]))[0], OVERLAP_WEIGHT, caption)
        same = {index.classes[i] for i in np.flatnonzero(scores >= scores.max() - 1e-6)}
        captions: dict[str, str] = {}
        for row in ranked(scores, NEAR_PHRASINGS):
            if index.classes[row] not in same and scores[row] >= MIN_REPLACEMENT_SCORE:
                captions.setdefault(index.classes[row], index.captions[row][""])
        return list(captions.values())[:MAX_REPLACEMENTS]


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    import ctypes

    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):  # no glibc
        return None
    return trim


def trim_heap() -> bool:
    """Hand freed heap back to the system where the C library can (glibc); says whether it could."""
    # tensors of ever new lengths leave holes in the heap that would otherwise stay resident
    trim = _malloc_trim()
    if trim is None:
        return False
    trim(0)
    return True


def collect(chunks: Iterator[Chunk]) -> tuple[Motion, list[Span]]:
    """A complete run in memory: the motion and its spans."""
    parts = list(chunks)
    rotations = np.concatenate([c.motion.rotations for c in parts])
    motion = replace(parts[0].motion, rotations=rotations, root=np.concatenate([c.motion.root for c in parts]))
    return motion, [s for c in parts for s in c.spans]
