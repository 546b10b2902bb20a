"""Text to body motion: clause by clause, the best of several candidates, joined, on the floor."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from avatargpt.body.constraints import MotionSpec, constrained, constraint_cost, finished, motion_specs, violates
from avatargpt.body.model import REST, BodyModel, pick, prolonged, sample_candidates, with_rests
from avatargpt.lm.loaded import CHUNK, CONTEXT, ROWS
from avatargpt.options import GenerationConfig, UnheededText, check_seconds, check_seed, check_text, frames_of, mix
from avatargpt.requests.clause_spec import Route
from avatargpt.requests.resolver import Request, ResolvedRequest, request_text
from instruct_data.joining import join_best, join_motions
from instruct_data.requests.spec import MotionRequest
from instruct_data.synth.resting import at_rest, layered
from vqvae.errors import UserError
from vqvae.features import FeatureSpec
from vqvae.ground import without_penetration
from vqvae.motion import Motion, concatenate
from vqvae.smoothing import gaussian

Progress = Callable[[int, int], object] | None
DEFAULT_CONFIG = GenerationConfig()
# of a motion to its words, less its costs; below it another round is sampled
MIN_FIT = 0.3
# of each metre between a motion's first pose and the last one of the motion before it
POSE_WEIGHT = 0.5
MIN_GAIN = 0.1  # by which another round must be better
# seconds: what the heading does more slowly is its path, faster changes belong to the gait
PATH_TREND = 0.7
PATH_EASE = 0.3  # seconds in which a bend sets in
STRIDES = (0.7, 1.35)  # factors of the way
MIN_RADIUS = 0.6  # metres, of a path in the mean


@dataclass(frozen=True)
class GenerationResult:
    """The motion of one text."""

    motion: Motion  # all of it
    captions: tuple[str, ...]  # of its K parts
    # Frames [start, end) of each of the K parts; a seam is blended over the first frames of the later one
    spans: tuple[tuple[int, int], ...]
    notes: tuple[str, ...] = ()  # a line for each part of the request that is not shown
    measured: bool = False  # whether counts, turns or paths are requested


@dataclass(frozen=True)
class _Job:
    """One motion to make."""

    request: ResolvedRequest
    seconds: float | None
    seed: int


@dataclass(frozen=True)
class _Part:
    """One action of a job, sampled by itself; `context`: codes (N, R) that it continues, None = it begins."""

    spec: MotionSpec
    seed: int
    context: np.ndarray | None = None


@dataclass
class _Take:
    """The motion of a job as far as it has come."""

    job: _Job
    plan: Sequence[MotionSpec]
    motion: Motion | None = None
    starts: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    last: Motion | None = None  # what was sampled last, before its constraints


class MotionGeneration:
    """Text to motion."""

    def __init__(self, model: BodyModel) -> None:
        self.model = model

    def generate(
        self, texts: Request | Sequence[Request], seconds: float | Sequence[float | None] | None = None,
        config: GenerationConfig = DEFAULT_CONFIG, seeds: Sequence[int] | None = None, progress: Progress = None,
    ) -> list[Motion]:  # fmt: skip
        """The motions of `results`; their notes become warnings, too."""
        results = self.results(texts, seconds, config, seeds, progress)
        for note in dict.fromkeys(note for r in results for note in r.notes):
            warnings.warn(note, UnheededText, stacklevel=3)
        return [r.motion for r in results]

    def results(
        self, texts: Request | Sequence[Request], seconds: float | Sequence[float | None] | None = None,
        config: GenerationConfig = DEFAULT_CONFIG, seeds: Sequence[int] | None = None, progress: Progress = None,
    ) -> list[GenerationResult]:  # fmt: skip
        """A result per text and number, see `AvatarGPT.generate`."""
        jobs = []
        for request, length, seed in _rows(texts, seconds, config.seed if seeds is None else seeds):
            resolved = self.model.resolve(request, config.literal)
            if length is None and resolved.typed is not None:
                length = resolved.typed.seconds
            jobs += [_Job(resolved, length, mix(seed, 1000 + k) if k else seed) for k in range(config.num)]
        out: list[GenerationResult] = []
        step = max(1, ROWS // config.best_of)
        for i in range(0, len(jobs), step):
            out += self._generate(jobs[i : i + step], config)
            if progress:
                progress(len(out), len(jobs))
        return out

    def resolve(
        self, texts: Request | Sequence[Request], seconds: float | Sequence[float | None] | None = None,
        literal: bool = False,
    ) -> list[ResolvedRequest]:  # fmt: skip
        """Texts with their clauses and captions, which `generate` takes in place of the texts; raises as it does."""
        rate = self.model.tokenizer.tokens_per_second
        out = []
        for request, length, _ in _rows(texts, seconds, 0):
            resolved = self.model.resolve(request, literal)
            captions = tuple(s.description for s in motion_specs(resolved, length, 0, rate))
            out.append(replace(resolved, captions=captions))
        return out

    def read_as(
        self, texts: Request | Sequence[Request], seconds: float | Sequence[float | None] | None = None,
        literal: bool = False,
    ) -> list[list[str]]:
        """The captions that `generate` shows for each text, in order; raises as `generate`."""
        return [list(r.captions) for r in self.resolve(texts, seconds, literal)]

    def rewrite(self, text: str) -> str:
        """A request in any words -> plain captions, in order, separated by semicolons."""
        check_text(text)
        loaded = self.model.loaded
        prompt = loaded.encode([loaded.prompt("rewrite", {"request": text})])
        decoded = loaded.generator.decode(prompt, "text", max_tokens=64, beams=4, no_repeat=4, min_tokens=3)
        return loaded.text.decode(decoded.codes[0].tolist())

    def _generate(self, jobs: Sequence[_Job], config: GenerationConfig) -> list[GenerationResult]:
        rate = self.model.tokenizer.tokens_per_second
        takes = [_Take(j, motion_specs(j.request, j.seconds, j.seed, rate)) for j in jobs]
        for place in range(max(len(t.plan) for t in takes)):
            # clause by clause, since each continues the motion of those before it
            present = [t for t in takes if place < len(t.plan)]
            parts = [part for take in present for part in self._parts(take, place)]
            before = [None if i else t.last for t in present for i in range(len(t.plan[place].actions))]
            rows = zip(parts, self._best_codes(parts, before, config), strict=True)
            for take in present:
                self._append(take, [next(rows) for _ in take.plan[place].actions], config)
        return [self._result(take) for take in takes]

    def _parts(self, take: _Take, place: int) -> list[_Part]:
        """The actions of a clause, each with a seed of its own; the first continues what is there."""
        parts, seed = [], take.job.seed
        for i, action in enumerate(take.plan[place].actions):
            flows = self.model.continues_clauses and take.motion is not None and not i
            context = self._tail(take.motion) if flows and take.motion is not None else None
            parts.append(_Part(action, mix(seed, 300 * (2 * i + 1) + place) if place or i else seed, context))
        return parts

    def _tail(self, motion: Motion) -> np.ndarray:
        """Codes (N, R) of the end of a motion."""
        frames = CONTEXT * self.model.tokenizer.downsample
        return self.model.tokenizer.encode(motion.slice(max(0, len(motion) - frames), len(motion)).canonical())

    def _best_codes(
        self, parts: Sequence[_Part], before: Sequence[Motion | None], config: GenerationConfig
    ) -> list[np.ndarray]:
        """The best candidate of every part, at most `CHUNK` tokens of it; `before`: what a part without a context
        follows."""
        captions, seeds = [p.spec.caption for p in parts], [p.seed for p in parts]
        lengths = [min(p.spec.tokens, CHUNK) for p in parts]
        attributes, contexts = [p.spec.attributes for p in parts], [p.context for p in parts]
        candidates = sample_candidates(self.model, captions, lengths, seeds, config, attributes, contexts)
        turns = [p.spec.turn for p in parts]
        candidates = with_rests(self.model.loaded, candidates, turns, lengths, seeds, config)
        costs = [partial(_cost, spec=p.spec, before=b) for p, b in zip(parts, before, strict=True)]
        return pick(self.model, candidates, captions, costs)

    def _append(self, take: _Take, parts: Sequence[tuple[_Part, np.ndarray]], config: GenerationConfig) -> None:
        """Put the motion of a clause behind what is there."""
        spec, motion = parts[0][0].spec, take.motion
        take.notes += [note for part, _ in parts for note in part.spec.notes]
        take.last = self.model.tokenizer.decode(parts[0][1])
        clip, *overlays = [self._clip(part, codes, config, take.notes) for part, codes in parts]
        if overlays:
            clip = layered(clip, overlays[0])
        fixed = take.job.seconds is not None or spec.frames is not None
        take.starts.append(0 if motion is None else len(motion))
        if motion is None:
            take.motion = clip
        elif spec.upper_body and (resting := self._at_rest(take, motion, clip, not fixed)) is not None:
            take.motion = concatenate([motion, resting])
        elif fixed or parts[0][0].context is not None:
            take.motion = join_motions(motion, clip)
        else:
            take.motion, take.starts[-1] = join_best(motion, clip)

    @staticmethod
    def _at_rest(take: _Take, motion: Motion, clip: Motion, longer: bool) -> Motion | None:
        return at_rest(motion, clip, np.random.default_rng([take.job.seed % 2**32, 5]), longer)

    def _result(self, take: _Take) -> GenerationResult:
        """The motion of a job on the floor and as its request asks."""
        job, motion, notes = take.job, take.motion, [*take.job.request.warnings, *take.notes]
        assert motion is not None
        motion = without_penetration(motion.canonical().with_caption(job.request.text))
        if job.seconds is not None:
            motion = motion.slice(0, frames_of(job.seconds, motion.fps))
        if job.request.typed is not None:
            motion, missed = finished(motion, job.request.typed, cut=job.seconds is None and len(take.plan) == 1)
            notes += missed
        spans = tuple(pairwise([min(n, len(motion)) for n in [*take.starts, len(motion)]]))
        captions = tuple(spec.description for spec in take.plan)
        lines = tuple(dict.fromkeys(notes))
        motion = replace(motion, notes=lines)
        return GenerationResult(motion, captions, spans, lines, any(spec.measured for spec in take.plan))

    def _clip(self, part: _Part, codes: np.ndarray, config: GenerationConfig, notes: list[str]) -> Motion:
        """The motion of a part's codes (N, R), with its length, path and constraints."""
        spec, tokenizer = part.spec, self.model.tokenizer
        onward = spec.caption if spec.turn is None else REST
        before = part.context if part.context is not None else codes[:0]
        tokens = spec.tokens if spec.tokens < 0 else len(before) + spec.tokens
        codes = prolonged(self.model, np.concatenate([before, codes]), tokens, onward, part.seed, config)
        features = tokenizer.decode_features(codes)[len(before) * tokenizer.downsample :]
        motion = tokenizer.spec.decode(features) if spec.route is None else along(features, spec.route, tokenizer.spec)
        for k, alternative in enumerate((spec, *spec.alternatives) if spec.alternatives else ()):
            # another action takes the place of this one where it cannot do what was asked, but not for looking better
            unlike = alternative.action == spec.action and self._value(motion, spec) < MIN_FIT
            if unlike or violates(motion, spec):
                motion, spec = self._another(motion, spec, alternative, mix(part.seed, 900 + k), config)
        motion, missed = constrained(motion, spec)
        notes += missed
        return motion

    def _another(
        self, motion: Motion, spec: MotionSpec, alternative: MotionSpec, seed: int, config: GenerationConfig
    ) -> tuple[Motion, MotionSpec]:
        """A further round with the same or an alternative caption, taken where it is clearly better."""
        caption, tokens = alternative.caption, alternative.tokens
        candidates = sample_candidates(
            self.model, [caption], [min(tokens, CHUNK)], [seed], config, [alternative.attributes]
        )
        (codes,) = pick(self.model, candidates, [caption], [partial(constraint_cost, spec=alternative)])
        codes = prolonged(self.model, codes, tokens, caption, seed, config)
        again = self.model.tokenizer.decode(codes)
        better = self._value(again, alternative) > self._value(motion, spec) + MIN_GAIN
        return (again, alternative) if better else (motion, spec)

    def _value(self, motion: Motion, spec: MotionSpec) -> float:
        """Fit of a motion to its caption, less its costs, in the scorer's cosine."""
        return self.model.motion_fit([motion], [spec.caption])[0] - constraint_cost(motion, spec)


def _cost(motion: Motion, spec: MotionSpec, before: Motion | None) -> float:
    """Cost of a candidate: of its constraints, and of beginning in another pose than the motion before it ends in."""
    away = 0.0 if before is None else float(np.linalg.norm(_pose(motion, 0) - _pose(before, -1), axis=-1).mean())
    return constraint_cost(motion, spec) + POSE_WEIGHT * away


def _pose(motion: Motion, frame: int) -> np.ndarray:
    """(J, 3) places of the joints in a frame, above the floor, about the root and in its heading, metres."""
    still = motion.slice(frame % len(motion), frame % len(motion) + 1)
    joints = still.moved(-float(still.heading[0]), np.zeros(3)).joints[0].astype(np.float64)
    return joints - joints[0] * np.array([1, 0, 1])


def _rows(texts: Any, seconds: Any, seeds: Any) -> Iterator[tuple[Request, float | None, int]]:
    """Request, length and seed of each, checked."""
    single = isinstance(texts, (str, MotionRequest, ResolvedRequest))
    if not single and not hasattr(texts, "__iter__"):
        check_text(texts)
    requests = [texts] if single else list(texts)
    rows = list(zip(requests, _each(seconds, len(requests)), _each(seeds, len(requests)), strict=True))
    for request, length, seed in rows:
        typed = isinstance(request, (MotionRequest, ResolvedRequest))
        check_text(request_text(request) if typed else request)
        if length is not None:
            check_seconds(length)
        check_seed(seed)
    return iter(rows)


def _each(value: Any, count: int) -> list[Any]:
    """One value for all of `count` texts, or as many as there are texts."""
    value = value.tolist() if isinstance(value, np.ndarray) else value
    several = isinstance(value, Sequence) and not isinstance(value, str)
    values = list(value) if several else [value] * count
    if len(values) != count:
        raise UserError(f"{count} texts need as many seconds and seeds")
    return values


def along(features: np.ndarray, route: Route, spec: FeatureSpec, caption: str = "") -> Motion:
    """Body features (T, 270) as a motion whose path has the route's shape."""
    # The slow part of the heading is replaced by the shape; the changes with each step stay. Yaw changes in proportion
    # to speed, positions are never shifted.
    out = features.copy()
    speed = np.hypot(out[:, 1], out[:, 2])
    metres = max(float(speed.sum()), 1e-6)
    # as far as was asked for, by somewhat longer or shorter steps
    if route.metres:
        size = float(np.clip(route.metres / metres, *STRIDES))
        out[:, 1:3] *= size
        speed, metres = speed * size, metres * size
    shape = np.radians(route.heading(np.cumsum(speed) / metres))
    turned = float(np.abs(np.diff(shape)).sum())
    if turned:
        shape *= min(1.0, metres / (MIN_RADIUS * turned))  # too short a way makes a part of the shape
    heading = np.cumsum(out[:, 3])
    gait = heading - gaussian(heading, PATH_TREND * spec.fps)
    bent = gaussian(shape, PATH_EASE * spec.fps) + gait
    out[:, 3] = np.diff(bent, prepend=bent[:1])
    return spec.decode(out, caption)
