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
from functools import cache, partial
from itertools import chain, islice
from typing import Protocol

import numpy as np

from avatargpt import planning
from avatargpt.body.judge import Judgement, unseen
from avatargpt.body.tasks import BodyTasks
from avatargpt.lm.loaded import CHUNK, CONTEXT
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.long.outcome import Try, Verifier, best_of_tries
from avatargpt.long.pipeline import MIN_TOKENS, TRANSITIONS, Candidate, ClauseCodes, StepClause, StepPipeline
from avatargpt.long.spans import Span
from avatargpt.long.stream import BodyFrames, MotionStream
from avatargpt.options import GenerationConfig, check_text, frames_of, mix, then
from avatargpt.planning.compose import KNEEL, LIE, SIT, STAND
from avatargpt.planning.consequences import Consequences
from avatargpt.planning.events import MIN_EVENTS, EventReader
from avatargpt.planning.language_planner import CheckedPlanner
from avatargpt.planning.situation import POSES
from avatargpt.planning.types import Activity, Planner, plan_activities, plan_script
from avatargpt.reading.reader import MIN_KNOWN
from avatargpt.requests.english import lemmas
from avatargpt.requests.phrase_index import PhraseIndex
from instruct_data.attributes import Measures
from vqvae.errors import UserError
from vqvae.motion import Motion

MAX_PLANNED_SECONDS = 600.0  # that the events of a scene fill
# activities that the planner gets and repetition is measured against
MEMORY = 24
# answers of the planner before the least repetitive one is taken
MAX_TRIES = 4
# share of common words, from which two activities are the same
MAX_LIKENESS = 0.6
TEMPERATURE_STEP, MAX_TEMPERATURE = 0.15, 1.5  # added with every further try, and at most
# of each step that answers what was seen in a plan with times, and the least share of its time that what follows keeps
ANSWER_SECONDS, MIN_SHARE = 2.5, 0.5


class Director:
    """Activities of an endless scene: first the plan that `avatargpt plan` gives, then one at a time.

    State: the last `MEMORY` activities and a counter.

    Args:
        first: activities in place of the planner's plan.
        manner: word appended to steps that name no manner; see `manner_of`.
        phrase_index: finds manners in texts; None = it finds none.
        temperature: of the planner.
        seconds: that the plan is to last; None = as it takes.
        consequences: finds out what calls for an answer, with `grounder`; None = the plan goes on, whatever is seen.
    """

    def __init__(
        self, planner: Planner, scene: str, seed: int = 0, first: Sequence[Activity] = (), manner: str = "",
        phrase_index: PhraseIndex | None = None, temperature: float = 0.7, seconds: float | None = None,
        consequences: Consequences | None = None, grounder: SentenceGrounder | None = None,
    ) -> None:  # fmt: skip
        self.planner, self.scene, self.seed, self.temperature = planner, scene, seed, temperature
        self.seconds, self.consequences, self.grounder = seconds, consequences, grounder
        # what is done next; then what is still to come of the plan, which begins once it is asked for
        self.first = deque(first)
        self._coming: Iterator[Activity] | None = iter(()) if first else None
        self.manner, self.phrase_index = manner, phrase_index
        self.past: deque[Activity] = deque(maxlen=MEMORY)
        self.count = 0
        self.refused = 0  # answers that repeated something

    def next(self, described: str = "", posture: str = "") -> Activity:
        """The next activity.

        Args:
            described: what was seen of the last one, where a judge did not see it as it was said.
            posture: measured at its end.
        """
        if self.past and self.past[-1].reason:  # nothing is answered twice
            described = ""
        if self._coming is None:
            self._coming = self._plan()
        following = self.first.popleft() if self.first else next(self._coming, None)
        activity = self._new(described, posture) if following is None else following
        self.count += 1
        self.past.append(activity)
        return activity

    def _plan(self) -> Iterator[Activity]:
        if self.seconds is None:
            return plan_activities(self.planner, self.scene, self.temperature, self.seed)
        return iter(self.planner.plan(self.scene, None, self.temperature, self.seed, self.seconds).activities)

    def react(self, activity: Activity, span: Span, known: float = 1.0, reached: int = -1) -> bool:
        """Whether a step that is not shown changes the plan: the rest of `activity` is to end then.

        What was seen is answered before the rest, the step is done once more, or the answer takes the place of the rest
        (`avatargpt.planning.consequences`); what was made but once and is not shown is done again, too. Nothing is
        answered twice.

        Args:
            known: probability that the step's movements are known ones; others gain little by being made again.
            reached: the last step that is done; -1 = that of `span`.
        """
        # what is seen in part is often only described in other words
        if self.consequences is None or self.grounder is None or span.verdict != "not" or activity.reason:
            return False
        then = self.consequences.read([span.text], span.described, self.grounder).then
        if span.takes == 1 and known >= MIN_KNOWN and then == "go_on":
            then = "again"  # it was not made again yet
        if then == "go_on":
            return False
        at, times = span.step, activity.seconds
        left = max(at, reached) + 1
        rest = replace(activity, steps=activity.steps[left:], seconds=times[left:])
        if then == "again":
            answer = Activity(activity.task, (span.text,), times[at : at + 1], span.described)
        else:
            done = replace(activity, steps=activity.steps[: at + 1], seconds=())
            past, seed = [*list(self.past)[:-1], done], mix(self.seed, 10 * self.count + 9)
            try:
                answer = self.planner.next_activity(
                    self.scene, past, span.described, self.temperature, seed, span.posture
                )
            except UserError:  # nothing new is left
                return False
            answer = replace(answer, reason=span.described, seconds=(ANSWER_SECONDS,) * len(answer.steps))
        if times:  # all of them give time up
            self.first.extend(self._coming or ())
        following = [*([rest] if rest.steps and then != "instead" else []), *self.first]
        self.first = deque(make_room(answer, following) if times else [answer, *following])
        return True

    def in_manner(self, step: str) -> str:
        """The step, with the scene's manner unless it has its own, or would be read as another action with it."""
        index = self.phrase_index
        if not self.manner or (index is not None and index.style(step)):
            return step
        said = f"{step.rstrip(' .')} {self.manner}"
        if index is None:
            return said
        plain, styled = ([clause.name for clause in index.read(text).done] for text in (step, said))
        return said if plain == styled else step

    def _new(self, described: str, posture: str) -> Activity:
        best: tuple[float, Activity] | None = None
        for attempt in range(MAX_TRIES):
            activity = self._answer(described, posture, attempt)
            repetition = max((likeness(activity, earlier) for earlier in self.past), default=0.0)
            if best is None or repetition < best[0]:
                best = repetition, activity
            if repetition < MAX_LIKENESS:
                break
            self.refused += 1
        assert best is not None
        return best[1]

    def _answer(self, described: str, posture: str, attempt: int) -> Activity:
        # a planner with nothing new left for the scene gets half of the memory, and so on
        past = list(self.past)
        temperature = min(self.temperature + attempt * TEMPERATURE_STEP, MAX_TEMPERATURE)
        seed = mix(self.seed, 10 * self.count + attempt)
        while True:
            try:
                return self.planner.next_activity(self.scene, past, described, temperature, seed, posture)
            except UserError:
                if not past:
                    raise
                past = past[len(past) // 2 + len(past) % 2 :]


def make_room(answer: Activity, following: Sequence[Activity]) -> list[Activity]:
    """An answer and the activities that were to follow, whose steps are so much shorter."""
    left = sum(sum(a.seconds) for a in following)
    share = max(left - sum(answer.seconds), MIN_SHARE * left) / max(left, 1e-6)
    return [answer, *(replace(a, seconds=tuple(round(share * s, 2) for s in a.seconds)) for a in following)]


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
# metres of the ground below the body from which it comes down before it goes anywhere, and clauses that this may take
MIN_UP, MAX_DESCENTS = 0.3, 6
# what brings a body into a pose
TAKES = {STAND: "gets up", SIT: "sits down", KNEEL: "kneels down", LIE: "lies down"}
TAKING_TOKENS = 10  # two seconds, where times are set
# clauses whose candidates are generated side by side
GROUP_SIZE = 4
# a path beyond this share of the radius costs so much of the scorer's cosine for each radius beyond it
FREE_RADIUS_SHARE, STRAY_COST = 0.7, 1.3


class Embodied(Protocol):
    """Anything with a body to move, such as an `AvatarGPT`."""

    @property
    def body(self) -> BodyTasks: ...


@dataclass(frozen=True)
class Chunk:
    """Frames that are final."""

    start: int  # number of the first frame
    motion: Motion  # the frames at their place in the world; the first of all is above the origin and faces +Z
    spans: tuple[Span, ...]  # steps finished since the last chunk; their frames may come in later chunks

    @property
    def frames(self) -> BodyFrames:
        return BodyFrames(self.motion.rotations, self.motion.root)


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
    if isinstance(planner, CheckedPlanner):
        planner = planner.drop_notes()
    phrases = body.model.phrase_index
    # the events of a scene fill its time; of a situation there is always another activity
    reads = None if phrases is None else phrases.reads
    script = plan_script(scene)
    events = () if reads is None or script else EventReader(reads.reader).read(scene).events
    named = len(events) >= MIN_EVENTS
    manner = "" if script else manner_of(events[0].person.noun if named else scene, phrases)
    director = Director(
        planner, scene, seed, activities or (script.activities if script else ()), manner, phrases,
        seconds=min(seconds, MAX_PLANNED_SECONDS) if named else None,
        consequences=None if script else Consequences.load(body.model.loaded.source), grounder=body.model.grounder,
    )  # fmt: skip
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
        self.rose: StepClause | None = None  # what the body last went up by, unless it has come down
        self.out = 0  # frames handed out so far

    def chunks(self, seconds: float) -> Iterator[Chunk]:
        """As many activities as it takes, cut to the frame."""
        frames = frames_of(seconds, self.stream.spec.fps)
        tokens = -(-frames // self.stream.tokenizer.downsample)
        return self._run(lambda: self.tokens < tokens, tokens, frames)

    def act_out(self, activities: int) -> Iterator[Chunk]:
        """So many activities, however long they take."""
        return self._run(lambda: self.director.count < activities, sys.maxsize, sys.maxsize)

    def _run(self, unfinished: Callable[[], bool], tokens: int, frames: int) -> Iterator[Chunk]:
        described = posture = ""
        spans: list[Span] = []  # since the last chunk
        while unfinished():
            descriptions = []
            for item in self._activity(described, posture, tokens):
                if isinstance(item, Span):
                    spans.append(item)
                    if item.verdict != "shown" or not self.verifier.able:
                        descriptions.append(item.described)
                    posture = item.posture
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

    def _chunk(self, piece: BodyFrames, frames: int, spans: list[Span]) -> Chunk | None:
        piece = BodyFrames(piece.rotations[: frames - self.out], piece.root[: frames - self.out])
        if not len(piece):
            return None
        start, self.out = self.out, self.out + len(piece)
        return Chunk(start, piece.motion(self.stream.spec.fps, self.director.scene), tuple(spans))

    def _activity(self, described: str, posture: str, tokens: int) -> Iterator[BodyFrames | Span]:
        """The next activity: frames after each clause, and after each step its span with the description."""
        activity, number = self.director.next(described, posture), self.director.count - 1
        steps = [self.director.in_manner(s) for s in activity.steps]
        seed = mix(self.seed, 7000 + number)
        clauses = self.pipeline.clauses(steps, seed, tokens - self.tokens, activity.seconds)
        first: int = self.tokens
        parts: list[ClauseCodes] = []  # of one step
        unseen_yet: list[tuple[float, Callable[[], Span]]] = []  # steps that are done: how well known, and their spans
        for result in chain(self._results(clauses, tokens, bool(activity.seconds)), (None,)):
            if parts and (result is None or parts[-1].clause.step != result.clause.step):
                end, known = (self.tokens, self.stream.here()), min(p.clause.known for p in parts)
                unseen_yet.append((known, partial(self._span, activity, number, parts, first, *end)))
                if self.out or result is None:  # the first frames are not kept waiting for what they show
                    changed = False
                    for known, look in unseen_yet:
                        span = look()
                        yield span
                        changed = changed or self.director.react(activity, span, known, parts[0].clause.step)
                    if changed:
                        return
                    unseen_yet = []
                first, parts = self.tokens, []
            if result is None:
                return
            frames = self.stream.push(result.codes)
            self.tail = np.concatenate([self.tail, result.codes])[-CHUNK:]
            self.tokens += len(result.codes)
            parts.append(result)
            yield frames

    def _results(self, clauses: Iterable[StepClause], tokens: int, timed: bool) -> Iterator[ClauseCodes]:
        remaining, began = iter(clauses), self.tokens
        # one by one until the stream's first frames are out, so that these come early, and where each one has to make
        # up for what the one before took
        while group := list(islice(remaining, GROUP_SIZE if self.out and not timed else 1)):
            if timed:
                now = self.posture
                if self.pipeline.hold_posture(group[0], now) is None:
                    yield from self._take_posture(group[0], now, tokens)
                end = began + group[0].until
                # what is last is cut where all of it ends
                spare = -TRANSITIONS[-1] if end >= tokens else TRANSITIONS[1] if self.tokens else 0
                left = end - self.tokens - spare
                group = [replace(group[0], tokens=max(MIN_TOKENS, min(left, CHUNK)))]
            made: list[list[Candidate]] = []  # of the group, once one of its clauses is done as it is
            for row, clause in enumerate(group):
                yield from self._come_down(clause, tokens)
                now = self.posture
                held = self.pipeline.hold_posture(clause, now)
                if held is None and not timed:
                    yield from self._take_posture(clause, now, tokens)
                if self.tokens >= tokens:
                    return
                if held is None:
                    made = made or self.pipeline.candidates(group)
                chosen, motions = held or (clause, made[row])
                yield self._verify_clause(self.pipeline.choose(chosen, motions, self.tail, self._detour()))
                if clause.attributes.get("rise") == "up":
                    self.rose = clause

    @property
    def posture(self) -> str:
        """Of the body where it is, one of `instruct_data.attributes.POSTURES`."""
        if not len(self.tail):
            return "standing"
        seen = Measures.of(self.stream.tokenizer.decode(self.tail[-CONTEXT:]))
        return seen.posture(len(seen.joints) - 1)

    def _take_posture(self, clause: StepClause, now: str, tokens: int) -> Iterator[ClauseCodes]:
        """What brings the body from the posture `now` into that in which a clause's clips begin, where one is known."""
        wanted = clause.attributes.get("start", "")
        pose = POSES.get(wanted)
        if not len(self.tail) or pose is None or pose == POSES[now] or self.tokens >= tokens:
            return
        words, begun = TAKES[pose], "standing" if POSES[now] == STAND else now
        way = self.pipeline.find_bridge(f"a person {words}", clause, f"{words} first", start=begun, end=wanted)
        if way is not None:
            if clause.until:  # it takes its time from the clause
                way = replace(way, tokens=min(way.tokens, TAKING_TOKENS))
            made = self.pipeline.choose(way, self.pipeline.candidates([way])[0], self.tail, self._detour())
            yield replace(made, note=way.note)

    def _come_down(self, clause: StepClause, tokens: int) -> Iterator[ClauseCodes]:
        """The way down of who is up on something, before a clause that leads along the ground; ends at `tokens`."""
        travels = "direction" in clause.attributes and "rise" not in clause.attributes
        if self.rose is None or not travels or self.stream.here()[2] < MIN_UP:
            return
        way = self.pipeline.find_bridge(self.rose.caption, replace(self.rose, step=clause.step), "comes down first",
                                        rise="down")  # fmt: skip
        if way is None:
            return
        for attempt in range(MAX_DESCENTS):
            if self.tokens >= tokens or (attempt and self.stream.here()[2] < MIN_UP):
                break
            down = replace(way, seed=mix(clause.seed, 90 + attempt))
            made = self.pipeline.choose(down, self.pipeline.candidates([down])[0], self.tail, self._detour())
            yield replace(made, note=down.note)
        self.rose = None

    def _verify_clause(self, result: ClauseCodes) -> ClauseCodes:
        """A motion that shows its clause: made again, then in other words, then a near action that can be shown."""
        # what plays first is not made again: somebody waits for it; its note says how far it shows its words
        clauses = self.verifier.tries(result.clause) if self.out else ()

        def make(clause: StepClause) -> ClauseCodes:
            return self.pipeline.choose(clause, self.pipeline.candidates([clause])[0], self.tail, self._detour())

        tries = (Try(partial(make, clause), note, instead) for clause, note, instead in clauses)
        best = best_of_tries(result, self._judge_result, tries)
        return replace(best.result, note=best.note or result.clause.note, takes=best.takes)

    def _judge_result(self, result: ClauseCodes) -> Judgement:
        codes = result.codes[result.transition :]
        return self.verifier.judge_motion(self.stream.tokenizer.decode(codes), result.clause, codes)

    def _detour(self) -> Callable[[np.ndarray], float]:
        radius, stream = self.radius, self.stream
        if radius is None:
            return lambda codes: 0.0

        def cost(codes: np.ndarray) -> float:
            farthest = float(np.linalg.norm(stream.ahead(codes), axis=-1).max())
            return STRAY_COST * max(0.0, farthest / radius - FREE_RADIUS_SHARE)

        return cost

    def _span(
        self, activity: Activity, number: int, parts: list[ClauseCodes], first: int, end: int,
        here: tuple[np.ndarray, float, float],
    ) -> Span:  # fmt: skip
        """The span of one step with its outcome, described from its codes without transitions.

        Args:
            first, end: its tokens. here: place, facing and ground at its end, as `MotionStream.here`.
        """
        tokenizer, step = self.stream.tokenizer, parts[0].clause.step
        codes = np.concatenate([p.codes[p.transition :] for p in parts])
        motion = tokenizer.decode(codes)
        judged = self.verifier.judge_step(motion, activity.steps[step], [p.clause for p in parts], codes)
        notes = [p.note for p in parts if p.note] or [unseen(activity.steps[step], judged.verdict)]
        if activity.reason and not step:
            notes.insert(0, f"not as said: an answer to {activity.reason!r}")
        seen, (place, facing, _) = Measures.of(motion), here
        x, z = (round(float(v), 2) for v in place)
        per = tokenizer.downsample
        return Span(
            first * per, end * per, number, activity.task, step, activity.steps[step],
            then([p.clause.caption for p in parts]), parts[0].transition * per, self.pipeline.describe(codes),
            "; ".join(n for n in dict.fromkeys(notes) if n), judged.verdict, max(p.takes for p in parts),
            seen.posture(len(seen.joints) - 1), seen.hand, x, z, round(facing, 1),
        )  # fmt: skip


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    import ctypes

    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):  # no glibc
        return None
    return trim


def trim_heap() -> None:
    """Hand freed heap back to the system where the C library can (glibc)."""
    # tensors of ever new lengths leave holes in the heap that would otherwise stay resident
    if (trim := _malloc_trim()) is not None:
        trim(0)
