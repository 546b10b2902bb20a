"""Text to body motion: clause by clause, the best of several candidates, joined, on the floor."""

import itertools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import pairwise
from typing import Any

import numpy as np

from avatargpt.body.constraints import MotionSpec, constrain_motion, constraint_cost, motion_specs, unmet, violates
from avatargpt.body.contact import on_the_floor
from avatargpt.body.judge import MIN_JUDGED, Judgement, Shown, StepJudge, judge_of, judge_seen, unseen
from avatargpt.body.keys import pin_limbs, place_pelvis, pose_joints
from avatargpt.body.loops import loop_motion, on_treadmill
from avatargpt.body.model import REST, BodyModel, onward, pick, prolong_codes, sample_candidates, with_rests
from avatargpt.body.stitch import retime_motion
from avatargpt.lm.loaded import CHUNK
from avatargpt.options import GenerationConfig, UnheededText, check_seconds, check_seed, check_text, frames_of, mix
from avatargpt.reading.reader import MIN_KNOWN
from avatargpt.requests.clause_spec import AFTERWARDS, AT_REST, Route, goes
from avatargpt.requests.resolver import Request, ResolvedRequest, request_text
from instruct_data.attributes import POSTURES, Measures
from instruct_data.joining import BLEND_SECONDS, join_best, join_motions
from instruct_data.requests.spec import MotionRequest, Place
from instruct_data.resting import at_rest, hold_pose, lay_beside, layer_arms
from vqvae.errors import UserError
from vqvae.features import FeatureSpec
from vqvae.motion import Motion, concatenate
from vqvae.smoothing import gaussian

Progress = Callable[[int, int], object] | None
Draft = Callable[[Motion], object] | None
DEFAULT_CONFIG = GenerationConfig()
# of a motion to its words, less its costs; below it another round is sampled
MIN_FIT = 0.3
# of each metre between a motion's first pose and the last one of the motion before it
POSE_WEIGHT = 0.5
MIN_GAIN = 0.1  # by which another round must be better
TAKES = 3  # of a motion that the judge doubts, or that measurably lacks something, at most
DOUBT = {"shown": 0.0, "partly": 0.5, "not": 1.0}  # in lines on what a motion lacks
ONWARD_GUIDANCE = 1.0  # more than at the beginning
BEFORE = 8  # motion tokens that a clause goes on from; after more of them its words count for less
# seconds: what the heading does more slowly is its path, faster changes belong to the gait
PATH_TREND = 0.7
PATH_EASE = 0.3  # seconds in which a bend sets in
STRIDES = (0.7, 1.35)  # factors of the way
MIN_RADIUS = 0.6  # metres, of a path in the mean
POP = 0.4  # metres of the pelvis over a seam


@dataclass(frozen=True)
class GenerationResult:
    """The motion of one text."""

    motion: Motion  # all of it
    captions: tuple[str, ...]  # of its K parts
    # Frames [start, end) of each of the K parts; a seam is blended over the first frames of the later one
    spans: tuple[tuple[int, int], ...]
    notes: tuple[str, ...] = ()  # a line for each part of the request that is not shown
    measured: bool = False  # whether counts, turns or paths are requested
    request: ResolvedRequest | None = None
    missed: int = 0  # of the notes, those on what was measured and another take may show
    judged: tuple[tuple[str, Judgement], ...] = ()  # movements that nothing else is known about, as words

    @property
    def lacks(self) -> tuple[float, float]:
        """What a motion lacks, in lines, and how little sure it is; the smaller, the better."""
        worst = Judgement.of([judgement for _, judgement in self.judged])
        return self.missed + DOUBT[worst.verdict], -worst.score


@dataclass(frozen=True)
class _Job:
    """One motion to make."""

    request: ResolvedRequest
    seconds: float | None
    seed: int
    after: Motion | None = None  # that it goes on from


@dataclass(frozen=True)
class _ClausePart:
    """One action of a job, sampled by itself.

    Attributes:
        context: codes (N, R) that it continues, None = it begins. posture: in which these end.
    """

    spec: MotionSpec
    seed: int
    context: np.ndarray | None = None
    posture: str = ""

    @property
    def attributes(self) -> dict[str, str]:
        """Typed attributes of its action in this place, for the network and the scorer."""
        typed = dict(self.spec.attributes)
        return typed if self.context is None else onward(typed, self.posture, self.spec.upper_body)

    def guidance(self, config: GenerationConfig) -> float:
        """More where motion goes before, which otherwise outweighs the words; not for rest, which it already implies.
        """
        if self.context is None or self.spec.rests or config.guidance <= 1:
            return config.guidance
        return config.guidance + ONWARD_GUIDANCE


@dataclass
class _Take:
    """The motion of a job as far as it has come."""

    job: _Job
    plan: list[MotionSpec]
    motion: Motion | None = None
    starts: list[int] = field(default_factory=list)
    shown: list[list[MotionSpec]] = field(default_factory=list)  # in place of the actions of each clause
    notes: list[str] = field(default_factory=list)
    last: np.ndarray | None = None  # (J, 3) pose in which what was sampled last ends, before its constraints


@dataclass
class _SampledClip:
    """The motion of a part before its constraints, what it is to show, and its value, NaN = not known."""

    motion: Motion
    spec: MotionSpec
    attributes: Mapping[str, str]
    value: float = float("nan")


class MotionGeneration:
    """Text to motion."""

    def __init__(self, model: BodyModel) -> None:
        self.model = model

    def generate(
        self, texts: Request | Sequence[Request], seconds: float | Sequence[float | None] | None = None,
        config: GenerationConfig = DEFAULT_CONFIG, seeds: Sequence[int] | None = None, progress: Progress = None,
        after: Motion | None = None,
    ) -> list[Motion]:  # fmt: skip
        """The motions of `results`, with what a judge takes for not shown; notes become warnings, too."""
        motions = []
        for result in self.results(texts, seconds, config, seeds, progress, after):
            doubts = [unseen(words, judgement.verdict) for words, judgement in result.judged]
            lines = (*result.notes, *filter(None, doubts))
            motions.append(replace(result.motion, notes=lines))
        for note in dict.fromkeys(note for motion in motions for note in motion.notes):
            warnings.warn(note, UnheededText, stacklevel=3)
        return motions

    @cached_property
    def judge(self) -> StepJudge | None:
        """The model's judge, where it has one."""
        return judge_of(self.model)

    def _judge(self, result: GenerationResult) -> GenerationResult:
        """A result with how surely it shows each known movement that no note is about."""
        judge, clauses = self.judge, () if result.request is None else result.request.clauses
        if judge is None or len(clauses) != len(result.spans):
            return result
        judged = []
        for clause, (a, b) in zip(clauses, result.spans, strict=True):
            named = clause.clause.action if clause.clause is not None else clause.words
            told = any(repr(named) in note or repr(clause.words) in note for note in result.notes)
            free = clause.turn is None and clause.route is None and b - a >= MIN_JUDGED
            if free and not told and clause.known >= MIN_KNOWN:
                shown = Shown(clause.words or clause.caption, (clause.bent_caption,), (clause.action,), clause.known)
                judged.append((shown.words, judge_seen(self.model, judge, result.motion.slice(a, b), shown)))
        return replace(result, judged=tuple(judged))

    def results(
        self, texts: Request | Sequence[Request], seconds: float | Sequence[float | None] | None = None,
        config: GenerationConfig = DEFAULT_CONFIG, seeds: Sequence[int] | None = None, progress: Progress = None,
        after: Motion | None = None, draft: Draft = None,
    ) -> list[GenerationResult]:  # fmt: skip
        """A result per text and number, see `AvatarGPT.generate`.

        Args:
            draft: called with the motion of the clauses so far, each time that one more is there and others follow.
        """
        jobs = []
        for request, length, seed in _rows(texts, seconds, config.seed if seeds is None else seeds):
            resolved = self.model.resolve(request, config.literal)
            if length is None and resolved.typed is not None:
                length = resolved.typed.seconds
            jobs += [_Job(resolved, length, mix(seed, 1000 + k) if k else seed, after) for k in range(config.num)]
        out: list[GenerationResult] = []
        step = max(1, self.model.loaded.rows // config.best_of)
        for i in range(0, len(jobs), step):
            out += self._take(jobs[i : i + step], config, draft)
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

    def expected_seconds(self, requests: Sequence[ResolvedRequest], seconds: Sequence[float | None]) -> list[float]:
        """How long about the motion of each resolved request will be; what ends by itself counts as `CHUNK` tokens."""
        rate = self.model.tokenizer.tokens_per_second
        out = []
        for request, length in zip(requests, seconds, strict=True):
            if length is None and request.typed is not None:
                length = request.typed.seconds
            specs = motion_specs(request, length, 0, rate) if length is None else ()
            out.append(sum(s.tokens if s.tokens >= 0 else CHUNK for s in specs) / rate if length is None else length)
        return out

    def read_as(
        self, texts: Request | Sequence[Request], seconds: float | Sequence[float | None] | None = None,
        literal: bool = False,
    ) -> list[list[str]]:
        """The captions that `generate` shows for each text, in order; raises as `generate`."""
        return [list(r.captions) for r in self.resolve(texts, seconds, literal)]

    def _take(self, jobs: Sequence[_Job], config: GenerationConfig, draft: Draft) -> list[GenerationResult]:
        """The results of jobs, of several takes of those that lack something the one that lacks least."""
        best = [self._judge(r) for r in self._generate(jobs, config, draft)]
        again = list(range(len(jobs) if config.best_of > 1 else 0))
        for number in range(1, TAKES):
            # what a second take does not better, a third one hardly will
            again = [i for i in again if best[i].lacks[0]]
            if not again:
                break
            others = [replace(jobs[i], seed=mix(jobs[i].seed, 2000 + number)) for i in again]
            takes = map(self._judge, self._generate(others, config, None))
            better = {i: take for i, take in zip(again, takes, strict=True) if take.lacks < best[i].lacks}
            again = list(better)
            for i, take in better.items():
                best[i] = take
        return best

    def _generate(self, jobs: Sequence[_Job], config: GenerationConfig, draft: Draft) -> list[GenerationResult]:
        rate = self.model.tokenizer.tokens_per_second
        takes = [
            _Take(j, motion_specs(j.request, j.seconds, j.seed, rate), last=_pose(j.after, -1) if j.after else None)
            for j in jobs
        ]
        for place in range(max(len(t.plan) for t in takes)):
            # clause by clause, since each continues the motion of those before it
            present = [t for t in takes if place < len(t.plan)]
            parts = [part for take in present for part in self._parts(take, place)]
            before = [None if i else t.last for t in present for i in range(len(t.plan[place].actions))]
            codes = self._best_codes(parts, before, config)
            rows = zip(parts, self._clips(parts, codes, config), strict=True)
            firsts = itertools.accumulate((len(t.plan[place].actions) for t in present[:-1]), initial=0)
            for take, first in zip(present, firsts, strict=True):
                self._append(take, [next(rows) for _ in take.plan[place].actions])
                if place + 1 < len(take.plan):
                    take.last = _pose(self.model.tokenizer.decode(codes[first]), -1)
                    if draft and take.motion is not None:
                        draft(on_the_floor(take.motion.canonical().with_caption(take.job.request.text)))
        return [self._result(take) for take in takes]

    def _parts(self, take: _Take, place: int) -> list[_ClausePart]:
        """The actions of a clause, each with a seed of its own; the first continues what is there."""
        parts, seed, motion = [], take.job.seed, take.motion or take.job.after
        context, posture = None, ""
        if motion is not None and self.model.continues_clauses:
            tokenizer = self.model.tokenizer
            end = motion.slice(max(0, len(motion) - BEFORE * tokenizer.downsample), len(motion))
            context = tokenizer.encode(end.canonical())
            posture = Measures(motion.joints).posture(max(len(motion) - 2, 0))
            take.plan[place] = _from_posture(take.plan[place], posture)
        first, *others = take.plan[place].actions
        parts.append(_ClausePart(first, mix(seed, 300 + place) if place else seed, context, posture))
        for i, action in enumerate(others, 1):
            parts.append(_ClausePart(action, mix(seed, 300 * (2 * i + 1) + place)))
        return parts

    def _best_codes(
        self, parts: Sequence[_ClausePart], before: Sequence[np.ndarray | None], config: GenerationConfig
    ) -> list[np.ndarray]:
        """The best candidate of every part, at most `CHUNK` tokens of it; `before`: poses (J, 3) that parts without a
        context follow."""
        captions, seeds = [p.spec.caption for p in parts], [p.seed for p in parts]
        lengths = [min(p.spec.tokens, CHUNK) for p in parts]
        attributes, contexts = [p.attributes for p in parts], [p.context for p in parts]
        guidance = [p.guidance(config) for p in parts]
        candidates = sample_candidates(self.model, captions, lengths, seeds, config, attributes, contexts, guidance)
        turns = [p.spec.turn for p in parts]
        candidates = with_rests(self.model, candidates, turns, lengths, seeds, config)
        costs = [partial(_cost, spec=p.spec, before=b) for p, b in zip(parts, before, strict=True)]
        return pick(self.model, candidates, captions, costs, attributes)

    def _append(self, take: _Take, parts: Sequence[tuple[_ClausePart, _SampledClip]]) -> None:
        """Put the motion of a clause behind what is there."""
        spec, motion, before = parts[0][0].spec, take.motion, take.motion or take.job.after
        take.notes += [note for part, _ in parts for note in part.spec.notes]
        take.shown.append([clip.spec for _, clip in parts])
        clip, *overlays = [clip.motion for _, clip in parts]
        if overlays:
            other = parts[1][0].spec
            both = lay_beside(clip, overlays[0]) if other.tentative else layer_arms(clip, overlays[0])
            if both is None and other.clause is not None:
                take.notes.append(f"{other.clause.action!r}: {AFTERWARDS}")
            clip = _do_in_turn(clip, overlays[0], spec.frames) if both is None else both
        fixed = take.job.seconds is not None or spec.frames is not None
        take.starts.append(0 if motion is None else len(motion))
        resting = None
        if before is not None and spec.action == AT_REST and parts[0][0].posture not in ("", POSTURES[0]):
            # in whatever posture the body is, also in one that no clip holds
            resting = hold_pose(before, len(clip), np.random.default_rng([take.job.seed % 2**32, 6]))
        elif before is not None and spec.upper_body:
            resting = at_rest(before, clip, np.random.default_rng([take.job.seed % 2**32, 5]), not fixed)
        if motion is None:
            take.motion = clip if resting is None else resting.canonical()
        elif resting is not None:
            take.motion = concatenate([motion, resting])
        elif fixed or parts[0][0].context is not None:
            take.motion = join_motions(motion, clip)
        else:
            take.motion, take.starts[-1] = join_best(motion, clip)

    def _result(self, take: _Take) -> GenerationResult:
        """The motion of a job on the floor and as its request asks."""
        job, motion, notes = take.job, take.motion, [*take.job.request.warnings, *take.notes]
        assert motion is not None
        motion = on_the_floor(motion.canonical().with_caption(job.request.text))
        if job.seconds is not None:
            motion = motion.slice(0, frames_of(job.seconds, motion.fps))
        spans = _spans(take, len(motion))
        missed = 0
        if job.request.typed is not None:
            motion, more, missed = _finish_motion(motion, job.request.typed, take, spans)
            spans, notes = _spans(take, len(motion)), [*notes, *more]
        captions = tuple(spec.description for spec in take.plan)
        lines = tuple(dict.fromkeys(notes))
        motion = replace(motion, notes=lines)
        measured = any(spec.measured for spec in take.plan)
        return GenerationResult(motion, captions, spans, lines, measured, job.request, missed)

    def _clips(
        self, parts: Sequence[_ClausePart], codes: Sequence[np.ndarray], config: GenerationConfig
    ) -> list[_SampledClip]:
        """The motions of parts' codes (N, R) with their lengths, paths and constraints."""
        clips = self._make_motions(parts, codes, config)
        self._retry(parts, clips, config)
        return [replace(clip, motion=constrain_motion(clip.motion, clip.spec)) for clip in clips]

    def _make_motions(
        self, parts: Sequence[_ClausePart], codes: Sequence[np.ndarray], config: GenerationConfig
    ) -> list[_SampledClip]:
        """The motions of parts' codes (N, R), with their lengths and paths, as they continue their contexts."""
        streams, out, decode, step = [], [], self.model.tokenizer.spec, self.model.tokenizer.downsample
        contexts = [c[:0] if p.context is None else p.context for p, c in zip(parts, codes, strict=True)]
        for before, own, part in zip(contexts, codes, parts, strict=True):
            spec = part.spec
            tokens = spec.tokens + len(before) if spec.tokens >= 0 and not spec.settles else -1
            text = spec.caption if spec.turn is None else REST
            streams.append(prolong_codes(self.model, np.concatenate([before, own]), tokens, text, part.seed, config))
        for whole, before, part in zip(self.model.features(streams), contexts, parts, strict=True):
            features, spec = whole[len(before) * step :], part.spec
            motion = decode.decode(features) if spec.route is None else along(features, spec.route, decode)
            if spec.settles and (left := spec.tokens * step - len(motion)) > 0:
                motion = concatenate([motion, hold_pose(motion, left, np.random.default_rng([part.seed % 2**32, 6]))])
            out.append(_SampledClip(motion, spec, part.attributes))
        return out

    def _retry(self, parts: Sequence[_ClausePart], clips: Sequence[_SampledClip], config: GenerationConfig) -> None:
        """Further rounds of the clips that do not show their action, with the same or an alternative caption."""
        trials = [(p.spec, *p.spec.alternatives) if p.spec.alternatives else () for p in parts]
        for k in range(max(map(len, trials))):
            present = [(p, c, t[k]) for p, c, t in zip(parts, clips, trials, strict=True) if k < len(t)]
            # another action takes the place of this one where it cannot do what was asked, but not for looking better
            self._evaluate([clip for _, clip, trial in present if trial.action == clip.spec.action])
            again = [
                (part, clip, trial) for part, clip, trial in present
                if (trial.action == clip.spec.action and clip.value < MIN_FIT) or violates(clip.motion, clip.spec)
            ]  # fmt: skip
            if not again:
                continue
            others = [replace(part, spec=trial, seed=mix(part.seed, 900 + k)) for part, _, trial in again]
            trials_made = self._make_motions(others, self._best_codes(others, [None] * len(others), config), config)
            self._evaluate([*trials_made, *(clip for _, clip, _ in again)])
            for (_, clip, _), trial in zip(again, trials_made, strict=True):
                if trial.value > clip.value + MIN_GAIN:
                    clip.motion, clip.spec, clip.value = trial.motion, trial.spec, trial.value

    def _evaluate(self, clips: Sequence[_SampledClip]) -> None:
        """Give clips their values where they have none: the fit to caption and attributes, less costs, in the scorer's
        cosine.
        """
        new = [c for c in clips if np.isnan(c.value)]
        if not new:
            return
        captions, attributes = [c.spec.caption for c in new], [c.attributes for c in new]
        fits = self.model.motion_fit([c.motion for c in new], captions, attributes)
        for clip, fit in zip(new, fits, strict=True):
            clip.value = fit - constraint_cost(clip.motion, clip.spec)


def _spans(take: _Take, frames: int) -> tuple[tuple[int, int], ...]:
    """Frames [start, end) of each part of so many frames."""
    return tuple(pairwise([min(n, frames) for n in [*take.starts, frames]]))


def _finish_motion(
    motion: Motion, request: MotionRequest, take: _Take, spans: Sequence[tuple[int, int]]
) -> tuple[Motion, list[str], int]:
    """A whole motion with its keys, looped and in place, as requested, lines about it, and how many of them are on what
    another take may show: turns and paths are the rules' (`with_rests`, `along`)."""
    motion, notes = place_pelvis(motion, request.places)
    motion, missed = pin_limbs(pose_joints(motion, request.poses), request.pins)
    notes += missed
    way, first = None, take.plan[0]
    if request.loop:
        counted = first.clause is not None and first.clause.times
        whole = bool(len(take.plan) > 1 or request.pins or request.poses or counted)
        seconds = None if take.job.seconds is None and first.frames is None else motion.seconds
        motion, way = loop_motion(motion, seconds, whole, gait=any(goes(spec.action) for spec in take.plan))
        spans = _spans(take, len(motion))
    places = zip(take.plan, spans, strict=True)
    lacking = [
        (spec, line) for specs, span in zip(take.shown, spans, strict=True) if span[1] > span[0]
        for spec in specs for line in unmet(motion.slice(*span), spec)
    ]  # fmt: skip
    notes += [line for _, line in lacking]
    notes += [_pops(motion, take.plan[i], spans[i][0]) for i in range(1, len(spans))]
    moving = [x for spec, x in places if request.treadmill or (spec.clause is not None and spec.clause.in_place)]
    motion, speeds = on_treadmill(motion, moving, way)
    notes += speeds
    notes += [f"{name} {pose!r}: not shown" for name in ("start", "end") if (pose := getattr(request, name))]
    return motion, list(filter(None, notes)), sum(spec.turn is None and spec.route is None for spec, _ in lacking)


def _pops(motion: Motion, spec: MotionSpec, seam: int) -> str:
    """A note where a motion goes from one height to another over a seam as nobody gets up or lies down, or empty."""
    last = min(seam + round(BLEND_SECONDS * motion.fps), len(motion) - 1)
    if seam < 1 or abs(float(motion.root[last, 1] - motion.root[seam - 1, 1])) < POP:
        return ""
    measures = Measures.of(motion)
    before, after = (measures.posture(frame).replace("_", " ") for frame in (seam - 1, last))
    return f"{spec.caption!r}: from {before} to {after} within {BLEND_SECONDS:g} s, for nothing leads there"


def _from_posture(spec: MotionSpec, posture: str) -> MotionSpec:
    """Of the readings of an action that begins lying, sitting or kneeling ("get up") that which begins in a posture; of
    those of a rest that which rests in it."""
    begins, ends = (spec.attributes.get(name) for name in ("start", "end"))
    wanted = posture, posture if spec.rests else ends
    others = (s for s in spec.alternatives if (s.attributes.get("start"), s.attributes.get("end")) == wanted)
    if spec.rests:  # in one posture only: the other readings are rests in others
        chosen = spec if begins == posture else next(others, spec)
        return replace(chosen, tokens=spec.tokens, frames=spec.frames, alternatives=())
    if begins in (None, POSTURES[0], posture) or (other := next(others, None)) is None:
        return spec
    return replace(other, concurrent=spec.concurrent, alternatives=(replace(spec, concurrent=None, alternatives=()),))


def _do_in_turn(first: Motion, second: Motion, frames: int | None) -> Motion:
    """One motion after the other; `frames`: of both together, None = as long as they are."""
    joined, _ = join_best(first, second)
    return joined if frames is None else retime_motion(joined, frames)


def _cost(motion: Motion, spec: MotionSpec, before: np.ndarray | None) -> float:
    """Cost of a candidate: of its constraints, and of beginning in another pose than the motion before it ends in."""
    away = 0.0 if before is None else float(np.linalg.norm(_pose(motion, 0) - before, axis=-1).mean())
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
        if metres * STRIDES[0] > route.metres:  # it is there before its end
            out = out[: int(np.searchsorted(speed.cumsum(), route.metres)) + 1]
            speed = np.hypot(out[:, 1], out[:, 2])
        size = float(np.clip(route.metres / speed.sum(), *STRIDES))
        out[:, 1:3] *= size
        speed, metres = speed * size, float(speed.sum()) * size
    shape = np.radians(route.heading(np.cumsum(speed) / metres))
    turned = float(np.abs(np.diff(shape)).sum())
    if turned:
        shape *= min(1.0, metres / (MIN_RADIUS * turned))  # too short a way makes a part of the shape
    heading = np.cumsum(out[:, 3])
    gait = heading - gaussian(heading, PATH_TREND * spec.fps)
    bent = gaussian(shape, PATH_EASE * spec.fps) + gait
    out[:, 3] = np.diff(bent, prepend=bent[:1])
    motion = spec.decode(out, caption)
    if not route.places:
        return motion
    ways = np.linalg.norm(np.diff(route.places, axis=0, prepend=0), axis=1).cumsum() / route.metres
    seconds = np.searchsorted(np.cumsum(speed) / metres, ways.clip(max=1 - 1e-6)) / spec.fps
    places = [Place(second=float(t), place=place) for t, place in zip(seconds, route.places, strict=True)]
    return place_pelvis(motion.canonical(), places)[0]
