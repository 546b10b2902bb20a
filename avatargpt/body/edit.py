"""Motion to motion: in-between, continuation, and motions that begin or end in a given pose."""

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from avatargpt import options
from avatargpt.body import stitch
from avatargpt.body.constraints import motion_specs, unmet
from avatargpt.body.contact import on_the_floor
from avatargpt.body.generate import MotionGeneration
from avatargpt.body.judge import MIN_JUDGED, Shown, StepJudge, judge_seen, unseen
from avatargpt.body.model import BodyModel, pick, prolong_codes
from avatargpt.kinematics.measures import acceleration, foot_skate, jerk
from avatargpt.lm.loaded import CHUNK, CONTEXT
from avatargpt.options import UnheededText
from avatargpt.reading.reader import MIN_KNOWN
from avatargpt.requests.english import unreadable
from avatargpt.requests.resolver import ResolvedRequest
from instruct_data.joining import join_motions, suits
from vqvae.errors import UserError
from vqvae.ground import floor_of, raise_motion
from vqvae.motion import Motion, concatenate
from vqvae.skeleton import TOES

ROUNDS = 3  # of candidates of a middle, where all of them pop
TEXT_CANDIDATES, FREE_CANDIDATES = 16, 4  # of a continuation with a text, and without
# of each metre between two poses, in the scorer's cosine
POSE_WEIGHT = 0.7
# metres of distance to the other candidates that feet weigh that slide all the time
SKATE_WEIGHT = 0.1
POP_COST = 1e3  # above every merit
TEMPERATURE, TOP_K = 0.7, 30  # of tokens beside given motion
FREE = options.GenerationConfig(guidance=1.0, temperature=TEMPERATURE, best_of=1)
GUIDED = replace(FREE, guidance=options.GenerationConfig.guidance)

# s that getting from a pose to the motion takes, and back
POSE_LEAD = 0.8
POSE_FRAMES = 8  # of a pose that the network gets
Between = Callable[[Motion, Motion, float], Motion]

MAX_JERK = 3 * 0.166
"""Metres per frame^3 at 20 fps (`kinematics.measures.jerk`): three times the 95th percentile of all frames of the
corpus' 3,144 training clips, whose 99.9th is 0.47."""
MAX_STEP = 0.59
"""Metres per frame at 20 fps: the toes' 99.99th percentile over the same frames."""
SEAM_FRAMES, SEAM_SHARE, MIN_ACCELERATION = 5, 1.5, 0.0125
"""Frames beside a seam whose joints may accelerate as much as this share of the given clips' 99th percentile, or, where
these hardly move, so many metres per frame^2 at 20 fps (5 m/s^2; a third of the corpus stays below)."""
NEIGHBOURS = 40  # frames of the given clips that are looked at
JERK_FRAMES = 3  # that a third difference across the seam reaches
MAX_SPEED = 4.9
"""Metres a second in the plane over `SPEED_SECONDS`: the most in these clips (the 99.99th percentile is 4.4)."""
SPEED_SECONDS = 0.5


@dataclass(frozen=True)
class _Gap:
    """A gap of `frames`: the clips on both sides, and the codes (N, R) of their ends."""

    start: Motion
    end: Motion
    before: np.ndarray
    after: np.ndarray
    frames: int
    keep_place: bool


class MotionEditing:
    """Continues motions and fills gaps; `generation` makes the motion of a text that a continuation does not show."""

    def __init__(self, model: BodyModel, generation: MotionGeneration) -> None:
        self.model, self.generation = model, generation

    def in_between(
        self, start: Motion, end: Motion, seconds: float, text: str = "", seed: int = 0, best_of: int = 16,
        keep_place: bool = False,
    ) -> Motion:
        """Motion between the end of START and the start of END.

        Args:
            seconds: of the middle; exact to the frame.
            text: one movement in between, or empty. The network gets the words unchanged.
            best_of: candidates; without text the one nearest to all others on feet that stand wins, with text the one
                that fits it. Candidates that pop (`roughness`) do not count; where all do, more are made, twice.
            keep_place: END keeps its place in the world and the middle leads there; else END is moved to the middle.

        Returns:
            START, the middle, END in one Motion; START is unchanged, END's poses are. END is brought to START's floor
            (`vqvae.ground`), with `keep_place` its height stays. `notes` says where the middle is interpolated or pops,
            where END cannot be reached in time, and where the text may not show; each is a warning, too.
        """
        self._check(seconds, text, seed, best_of)
        tokenizer = self.model.tokenizer
        fps = tokenizer.spec.fps
        source = start.resampled(fps)
        floor = floor_of(start)
        start = raise_motion(source, -floor)
        end = raise_motion(end.resampled(fps), -floor if keep_place else -floor_of(end))
        frames = options.frames_of(seconds, fps)
        count = min(CONTEXT * tokenizer.downsample, len(end) // tokenizer.downsample * tokenizer.downsample)
        head = end.slice(0, count) if count else stitch.hold(end, tokenizer.downsample, before=False)
        ends = tokenizer.encode(self._tail(start)), tokenizer.encode(head)
        gap = _Gap(start, end, *ends, frames, keep_place)
        request = self.model.resolve(text) if text else None
        caption = self._caption(request) if request else ""
        rough, bridge = np.inf, None
        for attempt in range(ROUNDS):
            middles = self._middles(gap, text, caption, options.mix(seed, attempt) if attempt else seed, best_of)
            bridges = [self._bridge(gap, m) for m in middles]
            roughs = np.array([roughness(start, *b) for b in bridges])
            if text and best_of > 1:
                merit = self.model.fit(middles, [text] * len(middles))
            else:
                slides = [foot_skate(m.joints, m.fps) if len(m) > 1 else 0.0 for m, _ in bridges]
                merit = -stitch.distances([m for m, _ in bridges]) - SKATE_WEIGHT * np.array(slides)
            merit = np.where(roughs <= 1, merit, -POP_COST - roughs)  # the smoothest where all of them pop
            best = int(merit.argmax())
            if roughs[best] < rough:
                rough, bridge = float(roughs[best]), bridges[best]
            if rough <= 1:
                break
        assert bridge is not None
        middle, last = bridge
        notes = out_of_reach(start, end, frames) if keep_place else ()
        if rough > 1:
            straight = stitch.interpolate_motion(start, last, frames)
            straight = on_the_floor(straight, start, last)
            reason = f"none of {ROUNDS * best_of} candidates is as smooth as recordings"
            if (straight_rough := roughness(start, straight, last)) < rough:
                rough, middle = straight_rough, straight
                notes = (*notes, f"in-between: {reason}; the middle is interpolated")
            if rough > 1:
                notes = (*notes, f"in-between: {reason}; the middle has {rough:.1f} times the allowed jerk or step")
        if request:
            notes = (*notes, note_unseen(self.model, self.generation.judge, middle, request))
        result = concatenate([source, *(raise_motion(m, floor) for m in (middle, last))])
        return tell(result.with_caption(text or start.caption), notes)

    @staticmethod
    def _check(seconds: float, text: str, seed: int, best_of: int) -> None:
        options.check_seconds(seconds)
        options.check_count("best_of", best_of)
        options.check_seed(seed)
        if text:
            options.check_text(text)

    def pose_ends(
        self, motion: Motion, start: Motion | None = None, end: Motion | None = None, seed: int = 0, best_of: int = 16
    ) -> Motion:  # fmt: skip
        """A motion of the same length that begins in the first frame of START and ends in that of END.

        Raises:
            UserError: a motion too short for the way from or to the pose.
        """

        def between(a: Motion, b: Motion, seconds: float) -> Motion:
            return self.in_between(a, b, seconds, "", seed, best_of, keep_place=True)

        return set_end_pose(motion, between, start, end)

    def _middles(self, gap: _Gap, text: str, caption: str, seed: int, best_of: int) -> list[np.ndarray]:
        """`best_of` candidates: codes (N, R) of the middle."""
        a, rate = gap.before, self.model.tokenizer.tokens_per_second
        tokens = max(1, -(-gap.frames // self.model.tokenizer.downsample))
        count, before = min(tokens, CHUNK), a
        if tokens > CHUNK:
            before = prolong_codes(self.model, a, len(a) + tokens - CHUNK, text, seed, FREE)
        slots: dict[str, Any] = {"start": before[-CONTEXT:], "end": gap.after, "seconds": count / rate}
        if text:
            slots["caption"] = caption
        prompt = self.model.loaded.prompt("in_between", slots)
        (candidates,) = self.model.loaded.sample(
            [prompt], [count], [seed], best_of, 1.0, TEMPERATURE, TOP_K, settled=not text
        )
        return [np.concatenate([before[len(a):], c]) for c in candidates]

    def _bridge(self, gap: _Gap, codes: np.ndarray) -> tuple[Motion, Motion]:
        """Decode start, middle and end in one stream and fit the middle to the real frames: (middle, END placed)."""
        tokenizer, start, end = self.model.tokenizer, gap.start, gap.end
        step = tokenizer.downsample
        stream = tokenizer.decode(np.concatenate([gap.before, codes, gap.after]))
        s, e = len(gap.before) * step, (len(gap.before) + len(codes)) * step
        stream = stitch.place(stream, s - 1, start, len(start) - 1)
        stretch, after = stitch.retime_motion(stream.slice(s, e), gap.frames), stream.slice(e, e + 1)
        if gap.keep_place:
            stretch = stitch.lead_to_target(stretch, stream.slice(s - 1, s), after, end)
        else:
            end = stitch.place(end, 0, after, 0)
        stretch = stitch.fade_in(stretch, start.slice(max(0, len(start) - 2), len(start)))
        stretch = stitch.fade_out(stretch, end.slice(0, 2))
        return on_the_floor(stretch, start, end), end

    def extend(
        self, motion: Motion, seconds: float, text: str = "", seed: int = 0, best_of: int | None = None
    ) -> Motion:  # fmt: skip
        """Continue a motion.

        Args:
            seconds: of the new part; exact to the frame.
            text: of the new part, as for `generate`; generated on its own and joined with its momentum where no
                continuation shows it as well.
            best_of: candidates; None = 16 with a text, of whose new parts the text-motion scorer picks one, else 4.

        Returns:
            The given frames (at 20 per second) and the continuation, on the same floor (`vqvae.ground`).
        """
        if best_of is None:
            best_of = TEXT_CANDIDATES if text else FREE_CANDIDATES
        self._check(seconds, text, seed, best_of)
        tokenizer = self.model.tokenizer
        source = motion.resampled(tokenizer.spec.fps)
        floor = floor_of(motion)
        motion = raise_motion(source, -floor)
        frames = options.frames_of(seconds, motion.fps)
        tokens = max(1, -(-frames // tokenizer.downsample))
        tail = tokenizer.encode(self._tail(motion))
        count = min(tokens, CHUNK)
        slots: dict[str, Any] = {"motion": tail, "seconds": count / tokenizer.tokens_per_second}
        request = self.model.resolve(text) if text else None
        caption = self._caption(request) if request else ""
        if text:
            slots["caption"] = caption
        config = GUIDED if text else FREE
        prompt = self.model.loaded.prompt("continuation", slots)
        (candidates,) = self.model.loaded.sample(
            [prompt], [count], [seed], best_of, config.guidance, config.temperature, TOP_K, settled=not text
        )
        if text:
            candidates = pick(self.model, [candidates], [caption])
        stretches = []
        for codes in candidates:
            longer = np.concatenate([tail, codes])
            longer = prolong_codes(self.model, longer, len(tail) + tokens, caption, seed, config)
            first = len(tail) * tokenizer.downsample
            stream = stitch.place(tokenizer.decode(longer), first - 1, motion, len(motion) - 1)
            last = motion.slice(max(0, len(motion) - 2), len(motion))
            stretches.append(stitch.fade_in(stream.slice(first, first + frames), last))
        notes: tuple[str, ...] = ()
        if request:  # then there is one
            again = options.GenerationConfig(seed=seed, best_of=best_of)
            best, notes = self._continuation(motion, stretches[0], request, caption, seconds, again)
        else:
            best = stretches[int(stitch.distances(stretches).argmin())] if len(stretches) > 2 else stretches[0]
        best = on_the_floor(best, before=motion)
        return tell(concatenate([source, raise_motion(best, floor)]).with_caption(text or motion.caption), notes)

    @staticmethod
    def _caption(request: ResolvedRequest) -> str:
        """The caption of a text of one known movement, another text as it is."""
        clauses = request.clauses
        return clauses[0].caption if len(clauses) == 1 and clauses[0].known >= MIN_KNOWN else request.text

    def _continuation(
        self, before: Motion, continued: Motion, request: ResolvedRequest, caption: str, seconds: float,
        config: options.GenerationConfig,
    ) -> tuple[Motion, tuple[str, ...]]:  # fmt: skip
        """The continuation, or what `generate` makes where that shows more and begins near enough; its notes."""
        frames = len(continued)
        result = self.generation.results(request, max(seconds, options.MIN_SECONDS), config)[0]
        longer = join_motions(before, result.motion.slice(0, frames))
        generated = longer.slice(len(before), len(before) + frames)
        if len(generated) < frames:
            generated = stitch.hold(generated, frames, before=False)
        captions = ", then ".join(result.captions)
        fit, generated_fit = self.model.motion_fit([continued, generated], [caption, captions])
        distance = suits(before, result.motion, 0.0).cost
        notes: tuple[str, ...] = ()
        if len(result.captions) > 1 or result.measured or generated_fit - POSE_WEIGHT * distance > fit:
            continued, notes = generated, result.notes
        return continued, notes or (note_unseen(self.model, self.generation.judge, continued, request),)

    def _tail(self, motion: Motion) -> Motion:
        """The last whole tokens' worth of frames, at most CONTEXT tokens; short clips hold their first pose."""
        step = self.model.tokenizer.downsample
        count = min(CONTEXT * step, len(motion) // step * step)
        return motion.slice(len(motion) - count, len(motion)) if count else stitch.hold(motion, step, before=True)


def set_end_pose(motion: Motion, between: Between, start: Motion | None, end: Motion | None) -> Motion:
    """The motion, as long as before, whose first or last frame is a pose.

    Args:
        between: START, END, seconds of the middle -> START, the middle and END as one motion.
        start, end: one frame each; place and heading are the motion's own.
    """
    lead = round(POSE_LEAD * motion.fps)
    ends = (start is not None) + (end is not None)
    if len(motion) < ends * lead + POSE_FRAMES:
        minimum = (ends * lead + POSE_FRAMES) / motion.fps
        raise UserError(f"{motion.seconds:.1f} s with a pose to begin or end in; accepted: {minimum:.1f} s or more")
    if start is not None:
        still = stitch.place(_still(start, motion), POSE_FRAMES - 1, motion, 0)
        longer = between(still, motion.slice(lead, len(motion)), (lead - 1) / motion.fps)
        motion = longer.slice(POSE_FRAMES - 1, len(longer)).with_caption(motion.caption)
    if end is not None:
        still = stitch.place(_still(end, motion), 0, motion, len(motion) - 1)
        longer = between(motion.slice(0, len(motion) - lead), still, (lead - 1) / motion.fps)
        motion = longer.slice(0, len(longer) - POSE_FRAMES + 1).with_caption(motion.caption)
    return motion


def _still(pose: Motion, like: Motion) -> Motion:
    """`POSE_FRAMES` frames of a pose, at another motion's rate and bones."""
    return concatenate([pose.resampled(like.fps).slice(0, 1)] * POSE_FRAMES)


def frame_of(motion: Motion, second: float | None, where: str) -> Motion:
    """One frame of a motion: at a second, or the first; raises UserError, with `where`, beyond its end."""
    if second is not None and not 0 <= second <= motion.seconds:
        raise UserError(f"{where}: second {second:g}; accepted 0 to {motion.seconds:g}")
    frame = int(min(np.floor((second or 0.0) * motion.fps), len(motion) - 1))
    return motion.slice(frame, frame + 1)


def roughness(start: Motion, middle: Motion, end: Motion) -> float:
    """Share of the allowed jerk, toe step or acceleration at a seam of the roughest frame; above 1 the middle pops."""
    # a stretch may be as rough as recordings are, or as rough as the clips that it joins where these are rougher
    fps = middle.fps
    before = start.slice(max(0, len(start) - NEIGHBOURS), len(start)).joints
    after = end.slice(0, NEIGHBOURS).joints
    across = np.concatenate([before[-JERK_FRAMES:], middle.joints, after[:JERK_FRAMES]])
    def peaks(clip: np.ndarray) -> tuple[float, float]:
        """The largest jerk, and the farthest that a toe goes in a twentieth of a second."""
        steps = np.linalg.norm(np.diff(clip[:, TOES], axis=0), axis=-1)
        return (float(jerk(clip, fps).max()) if len(clip) > JERK_FRAMES else 0.0,
                float(steps.max()) * fps / 20 if len(steps) else 0.0)  # fmt: skip

    shares = [seen / max(limit, *own) for seen, limit, *own in
              zip(peaks(across), (MAX_JERK, MAX_STEP), peaks(before), peaks(after), strict=True)]  # fmt: skip
    usual = [SEAM_SHARE * float(np.percentile(_acceleration(clip, fps), 99)) for clip in (before, after)]
    seams = [(before[-2:], middle.joints[:SEAM_FRAMES]), (middle.joints[-SEAM_FRAMES:], after[:2])]
    seam = max(float(_acceleration(np.concatenate(frames), fps).max()) for frames in seams)
    return max(*shares, seam / max(MIN_ACCELERATION, *usual))


def _acceleration(joints: np.ndarray, fps: float) -> np.ndarray:
    return acceleration(joints, fps) if len(joints) > 2 else np.zeros(1)


def out_of_reach(start: Motion, end: Motion, frames: int) -> tuple[str, ...]:
    """Notes on impossible middles of `frames`: to another floor, or too long a way at the speed of both clips."""
    notes = []
    higher = floor_of(end) - floor_of(start)
    if higher:
        side = "higher" if higher > 0 else "lower"
        notes.append(f"END stands {abs(higher):.1f} m {side}; nothing is known to step on, so the middle glides there")
    seconds = (frames + 1) / start.fps
    metres = float(np.linalg.norm((end.root[0] - start.root[-1])[[0, 2]]))
    if metres / seconds > max(MAX_SPEED, _speed(start), _speed(end)):
        way = f"END begins {metres:.1f} m away, {metres / seconds:.1f} m/s in {seconds:.2g} s"
        notes.append(f"{way}; people in recordings go up to {MAX_SPEED:g} m/s, so the middle slides")
    return tuple(f"in-between: {note}" for note in notes)


def _speed(motion: Motion) -> float:
    """The most metres a second in the plane over `SPEED_SECONDS`."""
    frames = min(max(1, round(SPEED_SECONDS * motion.fps)), len(motion) - 1)
    if frames < 1:
        return 0.0
    way = (motion.root[frames:] - motion.root[:-frames])[:, [0, 2]]
    return float(np.linalg.norm(way, axis=-1).max()) * motion.fps / frames


def note_unseen(model: BodyModel, judge: StepJudge | None, part: Motion, request: ResolvedRequest) -> str:
    """What a part that is bound to the motion beside it does not show of its text; empty = nothing is missing."""
    if reason := unreadable(request.text):
        return f"{request.text[:60]!r} {reason}"
    specs = motion_specs(request, None, 0, model.tokenizer.tokens_per_second)
    if len(specs) == 1 and (lines := unmet(part, specs[0])):
        return "; ".join(lines)
    if judge is None:
        return ""
    if len(part) < MIN_JUDGED:
        return f"{request.text[:60]!r}: {part.seconds:.2g} s have hardly room for a movement"
    captions, actions = tuple(c.bent_caption for c in request.clauses), tuple(c.action for c in request.clauses)
    known = min((c.known for c in request.clauses), default=0.0)
    shown = Shown(request.text, captions, actions, known)
    note = unseen(request.text, judge_seen(model, judge, part, shown).verdict)
    return f"{note}: it asks for {len(specs)} movements, give each a part" if note and len(specs) > 1 else note


def tell(motion: Motion, notes: Iterable[str]) -> Motion:
    """The motion with its notes, each of which is warned of, too."""
    lines = tuple(dict.fromkeys(filter(None, notes)))
    for line in lines:
        warnings.warn(line, UnheededText, stacklevel=4)
    return replace(motion, notes=lines)
