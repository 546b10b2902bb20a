"""Motion of any length from one sentence: plan, act out, describe, plan again, as a stream in constant memory.

    for chunk in long(model, "a tired gardener finishes the day's work", 600):
        show(chunk.motion)

Each step of the plan becomes codes (`avatargpt.long.performer`), all codes are one stream through a streaming decoder
(`avatargpt.long.stream`), and what was made is described for the choice of the next activity
(`avatargpt.long.director`).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Protocol

import numpy as np

from avatargpt import planning
from avatargpt.body.tasks import Body
from avatargpt.lm.loaded import CHUNK
from avatargpt.long.director import Director, manner_of
from avatargpt.long.memory import give_back
from avatargpt.long.performer import Beat, Made, Performer
from avatargpt.long.stream import Frames, MotionStream
from avatargpt.long.timeline import Span
from avatargpt.long.verify import BETTER, Verifier
from avatargpt.options import GenerationConfig, check_text, frames_of, mix, then
from avatargpt.planning.types import Activity, Planner
from vqvae.errors import UserError

if TYPE_CHECKING:
    from vqvae.motion import Motion

MIN_SECONDS, MAX_SECONDS = 1.0, 14_400.0
MIN_RADIUS, MAX_RADIUS = 2.0, 1000.0
AGAIN = 2  # times that a motion is made again which does not show its caption
GROUP = 4  # clauses whose candidates are made side by side
FAR, STRAY = 0.7, 4.0  # a path beyond this share of the radius costs so many nats for each radius beyond it


class Embodied(Protocol):
    """Anything with a body to move, such as an `AvatarGPT`."""

    @property
    def body(self) -> Body: ...


@dataclass(frozen=True)
class Chunk:
    """Frames that are final.

    Attributes:
        start: number of the first frame.
        motion: the frames where they stand in the world; the first of all is above the origin and faces +Z.
        spans: steps finished since the last chunk; their frames may come in later chunks.
    """

    start: int
    motion: Motion
    spans: tuple[Span, ...]

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
    radius: float | None = None, activities: Sequence[Activity] = (), best_of: int = 4, guidance: float = 1.5,
    temperature: float = 0.8,
) -> Iterator[Chunk]:
    """The closed loop, as chunks of frames while it runs.

    Args:
        model: whose body moves.
        scene: what it is about, in words.
        seconds: of all; kept to the frame.
        planner: says what is done next; by name as for `avatargpt.planning.load_planner`, None = the default one.
        seed: the same seed gives the same motion.
        radius: metres around the start that the path is kept within (a rule, `avatargpt.long.path`).
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
    performer = Performer(body, GenerationConfig(seed, guidance, temperature, best_of))
    return Loop(director, performer, MotionStream(body.model.tokenizer, radius), seed, radius).chunks(seconds)


class Loop:
    """One run. What it keeps: the last tokens, the streams' states and the director's memory."""

    def __init__(
        self, director: Director, performer: Performer, stream: MotionStream, seed: int, radius: float | None = None
    ) -> None:
        self.director, self.performer, self.stream, self.seed, self.radius = director, performer, stream, seed, radius
        self.verifier = Verifier(performer.body.model)
        self.tail = np.zeros((0, stream.tokenizer.config.levels), np.int64)
        self.tokens = 0  # made so far
        self.out = 0  # frames handed out so far

    def chunks(self, seconds: float) -> Iterator[Chunk]:
        """As many activities as it takes, cut to the frame."""
        frames = frames_of(seconds, self.stream.spec.fps)
        tokens = -(-frames // self.stream.tokenizer.downsample)
        return self._run(lambda: self.tokens < tokens, tokens, frames)

    def acted(self, activities: int) -> Iterator[Chunk]:
        """So many activities, however long they take."""
        return self._run(lambda: self.director.count < activities, sys.maxsize, sys.maxsize)

    def _run(self, goes_on: Callable[[], bool], tokens: int, frames: int) -> Iterator[Chunk]:
        described = ""
        waiting: list[Span] = []
        while goes_on():
            said = []
            for made in self._activity(described, tokens):
                if isinstance(made, Span):
                    waiting.append(made)
                    said.append(made.described)
                    continue
                chunk = self._chunk(made, frames, waiting)
                if chunk is not None:
                    waiting = []
                    yield chunk
            described = then(said)
            give_back()
        chunk = self._chunk(self.stream.finish(), frames, waiting)
        if chunk is not None:
            yield chunk

    def _chunk(self, piece: Frames, frames: int, spans: list[Span]) -> Chunk | None:
        piece = Frames(piece.rotations[: frames - self.out], piece.root[: frames - self.out])
        if not len(piece):
            return None
        start, self.out = self.out, self.out + len(piece)
        return Chunk(start, piece.motion(self.stream.spec.fps, self.director.scene), tuple(spans))

    def _activity(self, described: str, tokens: int) -> Iterator[Frames | Span]:
        """Act the next activity out: frames after each beat, and after each step its span (described meanwhile)."""
        activity, number = self.director.next(described), self.director.count - 1
        steps = [self.director.in_manner(s) for s in activity.steps]
        seed = mix(self.seed, 7000 + number)
        beats = self.performer.beats(steps, seed, tokens - self.tokens, activity.seconds)
        first: int = self.tokens
        parts: list[Made] = []  # of one step
        for made in self._made(beats):
            if parts and parts[-1].beat.step != made.beat.step:
                yield self._span(activity, number, parts, first)
                first, parts = self.tokens, []
            frames = self.stream.push(made.codes)
            self.tail = np.concatenate([self.tail, made.codes])[-CHUNK:]
            self.tokens += len(made.codes)
            parts.append(made)
            yield frames
        if parts:
            yield self._span(activity, number, parts, first)

    def _made(self, beats: Iterable[Beat]) -> Iterator[Made]:
        """Candidates in groups, until the stream's first frames are out one by one, so that they come early."""
        left = iter(beats)
        while group := list(islice(left, GROUP if self.out else 1)):
            for beat, found in zip(group, self.performer.candidates(group), strict=True):
                yield self._verified(self.performer.choose(beat, found, self.tail, self._detour()))

    def _verified(self, made: Made) -> Made:
        """What shows its caption: made again, at most twice, where it does not; else something near that does.

        A turn by a measure is verified by its degrees already.
        """
        if made.beat.turn is not None:
            return made
        best, worst = made, self._better(made)
        for attempt in range(AGAIN):
            if worst <= BETTER:
                return best
            other = self._again(replace(made.beat, seed=mix(made.beat.seed, 60 + attempt)))
            best, worst = min([(best, worst), (other, self._better(other))], key=lambda pair: pair[1])
        if worst <= BETTER:
            return best
        for caption in self.verifier.near(made.beat.caption):
            other = self._again(replace(made.beat, caption=caption))
            if self._better(other) <= BETTER:
                return replace(other, note=f"{made.beat.caption!r} could not be shown; shown instead: {caption!r}")
        return replace(best, note=f"{made.beat.caption!r} may not look as it reads")

    def _again(self, beat: Beat) -> Made:
        return self.performer.choose(beat, self.performer.candidates([beat])[0], self.tail, self._detour())

    def _better(self, made: Made) -> int:
        return int(self.verifier.better([made.codes[made.transition :]], made.beat.caption)[0])

    def _detour(self) -> Callable[[np.ndarray], float]:
        radius, stream = self.radius, self.stream
        if radius is None:
            return lambda codes: 0.0

        def cost(codes: np.ndarray) -> float:
            farthest = float(np.linalg.norm(stream.ahead(codes), axis=-1).max())
            return STRAY * max(0.0, farthest / radius - FAR)

        return cost

    def _span(self, activity: Activity, number: int, mine: list[Made], first: int) -> Span:
        """What one step became, described from its own codes (the transition left out)."""
        per, step = self.stream.tokenizer.downsample, mine[0].beat.step
        said = self.performer.describe(np.concatenate([m.codes[m.transition :] for m in mine]))
        return Span(
            first * per, self.tokens * per, number, activity.task, step, activity.steps[step],
            then([m.beat.caption for m in mine]), mine[0].transition * per, said,
            "; ".join(m.note for m in mine if m.note),
        )  # fmt: skip


def collect(chunks: Iterator[Chunk]) -> tuple[Motion, list[Span]]:
    """A whole run in memory: the motion and its spans."""
    made = list(chunks)
    rotations = np.concatenate([c.motion.rotations for c in made])
    motion = replace(made[0].motion, rotations=rotations, root=np.concatenate([c.motion.root for c in made]))
    return motion, [s for c in made for s in c.spans]
