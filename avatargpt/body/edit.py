"""Motion to motion: in-between and continuation."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from avatargpt.body import heeding, stitch
from avatargpt.body.feet import CONTACTS, planted
from avatargpt.body.generate import MotionGeneration
from avatargpt.body.ground import without_penetration
from avatargpt.body.model import BodyModel
from avatargpt.body.posing import posed
from avatargpt.body.reach import out_of_reach
from avatargpt.body.rerank import pick
from avatargpt.body.sampling import prolonged
from avatargpt.body.smooth import roughness
from avatargpt.kinematics.measures import foot_skate
from avatargpt.limits import MIN_SECONDS
from avatargpt.lm.loaded import CHUNK, CONTEXT
from avatargpt.options import UnheededText, check_count, check_seconds, check_seed, check_text, frames_of, held, mix
from avatargpt.requests.understanding import SURE
from instruct_data.joining import join_motions, suits
from vqvae.ground import floor_of, raised
from vqvae.motion import Motion, concatenate

ROUNDS = 3  # times that candidates of a middle are made where all of them pop
WORDED, WORDLESS = 16, 4  # candidates of a continuation with a text, and without
AWAY = 0.7  # what each metre between two poses costs, in the scorer's cosine
SLIDING = 0.1  # metres of distance to the other candidates that feet weigh that slide all the time
LAST = 1e3  # below every merit


@dataclass(frozen=True)
class _Gap:
    """What a middle of `frames` must join: the clips, and the codes (N, R) of their ends."""

    start: Motion
    end: Motion
    before: np.ndarray
    after: np.ndarray
    frames: int
    keep_place: bool


class MotionEditing:
    """Continues motions and fills gaps between them.

    Args:
        generation: makes what a text asks for where a continuation does not show it.
    """

    def __init__(self, model: BodyModel, generation: MotionGeneration) -> None:
        self.model, self.generation = model, generation

    def in_between(
        self, start: Motion, end: Motion, seconds: float, text: str, seed: int, best_of: int, keep_place: bool
    ) -> Motion:
        """Motion between the end of START and the start of END.

        Args:
            seconds: of the middle; kept to the frame.
            text: what happens in between, one movement; may be empty. The network is given the words as they are; where
                they hardly show, `avatargpt.options.UnheededText` is warned of.
            best_of: candidates; without text the one nearest to all others on feet that stand wins, with text the one
                that fits it. Candidates that pop (`body.smooth`) do not count; where all do, others are made, twice.
            keep_place: END stays where it is in the world and the middle's path is led there; else END is moved to
                where the middle arrives.

        Returns:
            START, the middle, END in one Motion; START is unchanged, END's poses are. END is brought to START's floor
            (`vqvae.ground`), with `keep_place` its height is kept. `notes` says where no candidate passed and the
            middle is interpolated, or pops, and where END is kept where nobody could get in time (`body.reach`).
        """
        check_seconds(seconds)
        check_count("best_of", best_of)
        check_seed(seed)
        if text:
            check_text(text)
        tokenizer = self.model.tokenizer
        fps = tokenizer.spec.fps
        given = start.resampled(fps)
        floor = floor_of(start)
        start = raised(given, -floor)
        end = raised(end.resampled(fps), -floor if keep_place else -floor_of(end))
        frames = frames_of(seconds, fps)
        ends = tokenizer.encode(self._tail(start)), tokenizer.encode(self._head(end))
        gap = _Gap(start, end, *ends, frames, keep_place)
        rough, bridge = np.inf, None
        for again in range(ROUNDS):
            middles = self._middles(gap, text, mix(seed, again) if again else seed, best_of)
            made = [self._bridge(gap, m) for m in middles]
            passed = np.array([roughness(start, *m) for m in made])
            merit = self._merit(middles, [m[0] for m in made], text)
            merit = np.where(passed <= 1, merit, -LAST - passed)  # the smoothest where all of them pop
            best = int(merit.argmax())
            if passed[best] < rough:
                rough, bridge = float(passed[best]), made[best]
            if rough <= 1:
                break
        assert bridge is not None
        middle, last = bridge
        notes = out_of_reach(start, end, frames) if keep_place else ()
        if rough > 1:
            straight = stitch.interpolated(start, last, frames)
            straight = without_penetration(straight, after=True, before=True)
            of = f"none of {ROUNDS * best_of} candidates is as smooth as recordings"
            if (other := roughness(start, straight, last)) < rough:
                rough, middle = other, straight
                notes = (*notes, f"in-between: {of}; the middle is interpolated")
            if rough > 1:
                notes = (*notes, f"in-between: {of}; the middle has {rough:.1f} times the allowed jerk or step")
        if text:
            heeding.warn(self.model, middle, text)
        whole = concatenate([given, *(raised(m, floor) for m in (middle, last))])
        return replace(whole.with_caption(text or start.caption), notes=notes)

    def posed(
        self, motion: Motion, start: Motion | None = None, end: Motion | None = None, seed: int = 0, best_of: int = 16
    ) -> Motion:  # fmt: skip
        """A motion that begins in the first frame of START and ends in that of END; as long as it was.

        Raises:
            UserError: a motion too short for the way from or to the pose.
        """

        def between(a: Motion, b: Motion, seconds: float) -> Motion:
            return self.in_between(a, b, seconds, "", seed, best_of, False)

        return posed(motion, between, start, end)

    def _middles(self, gap: _Gap, text: str, seed: int, best_of: int) -> list[np.ndarray]:
        """`best_of` candidates: codes (N, R) of the middle."""
        a, rate = gap.before, self.model.tokenizer.tokens_per_second
        tokens = max(1, -(-gap.frames // self.model.tokenizer.downsample))
        rest, before = min(tokens, CHUNK), a
        if tokens > CHUNK:
            before = prolonged(self.model, a, len(a) + tokens - CHUNK, text, seed, 1.0, 1, 0.7)
        slots: dict[str, Any] = {"start": before[-CONTEXT:], "end": gap.after, "seconds": rest / rate}
        if text:
            slots["caption"] = self._plain(text)
        prompt = self.model.loaded.prompt("in_between", slots)
        found = self.model.loaded.sample([prompt], [rest], [seed], best_of, 1.0, 0.7, 30, settled=not text)[0]
        return [np.concatenate([before[len(a):], c]) for c in found]

    def _merit(self, codes: list[np.ndarray], middles: list[Motion], text: str) -> np.ndarray:
        """(B,) how well middles fit the text or, without one, how near they are to all others on feet that stand."""
        if text and len(codes) > 1:
            return self.model.fit(codes, [text] * len(codes))
        slides = np.array([foot_skate(m.joints, m.fps) if len(m) > 1 else 0.0 for m in middles])
        return -stitch.apart(middles) - SLIDING * slides

    def _bridge(self, gap: _Gap, codes: np.ndarray) -> tuple[Motion, Motion]:
        """Decode start, middle and end in one stream and fit the middle to the real frames: (middle, END placed)."""
        tokenizer, start, end = self.model.tokenizer, gap.start, gap.end
        step = tokenizer.downsample
        features = tokenizer.decode_features(np.concatenate([gap.before, codes, gap.after]))
        stream = tokenizer.spec.decode(features)
        s, e = len(gap.before) * step, (len(gap.before) + len(codes)) * step
        stream = stitch.place(stream, s - 1, start, len(start) - 1)
        stretch, after = stitch.retimed(stream.slice(s, e), gap.frames), stream.slice(e, e + 2)
        if gap.keep_place:
            stretch = stitch.arriving(stretch, stream.slice(s - 1, s), after, end)
            after = stitch.place(after, 0, end, 0)
        else:
            end = stitch.place(end, 0, after, 0)
        n = min(2, len(start), s)
        stretch = stitch.fade_in(stretch, stream.slice(s - n, s), start.slice(len(start) - n, len(start)))
        n = min(2, len(end), len(after))
        stretch = stitch.fade_out(stretch, after.slice(0, n), end.slice(0, n))
        stretch = without_penetration(stretch, after=True, before=True)
        contact = features[np.linspace(s, e - 1, gap.frames).round().astype(int)][:, CONTACTS]
        return planted(stretch, contact, start, end), end

    def extend(self, motion: Motion, seconds: float, text: str, seed: int, best_of: int | None) -> Motion:
        """Continue a motion.

        Args:
            seconds: of the new part; kept to the frame.
            text: what happens next, as `MotionGeneration.generate` takes it: made as such and joined with its momentum
                where no continuation shows it as well.
            best_of: candidates; None = 16 with a text, of whose new parts the text-motion scorer picks one, else 4.

        Returns:
            The given frames (at 20 per second) and the continuation, on the same floor (`vqvae.ground`).
        """
        check_seconds(seconds)
        if best_of is None:
            best_of = WORDED if text else WORDLESS
        check_count("best_of", best_of)
        check_seed(seed)
        if text:
            check_text(text)
        tokenizer = self.model.tokenizer
        given = motion.resampled(tokenizer.spec.fps)
        floor = floor_of(motion)
        motion = raised(given, -floor)
        frames = frames_of(seconds, motion.fps)
        tokens = max(1, -(-frames // tokenizer.downsample))
        tail = tokenizer.encode(self._tail(motion))
        slots: dict[str, Any] = {"motion": tail, "seconds": min(tokens, CHUNK) / tokenizer.tokens_per_second}
        words = self._plain(text) if text else ""
        if text:
            slots["caption"] = words
        guidance = 1.5 if text else 1.0
        prompt = self.model.loaded.prompt("continuation", slots)
        lengths = [min(tokens, CHUNK)]
        found = self.model.loaded.sample([prompt], lengths, [seed], best_of, guidance, 0.7, 30, settled=not text)[0]
        if text:
            found = [pick(self.model, [found], [words])[0]]
        made = []
        for codes in found:
            whole, wanted = np.concatenate([tail, codes]), len(tail) + tokens
            longer = prolonged(self.model, whole, wanted, words, seed, guidance, 1, 0.7)
            stream = tokenizer.decode(longer)
            at = len(tail) * tokenizer.downsample
            stream = stitch.place(stream, at - 1, motion, len(motion) - 1)
            stretch = stream.slice(at, at + frames)
            n = min(2, len(motion), at)
            last = motion.slice(len(motion) - n, len(motion))
            made.append(stitch.fade_in(stretch, stream.slice(at - n, at), last))
        if text:  # then there is one
            made = [self._shown(motion, made[0], seconds, text, words, seed, best_of)]
        best = without_penetration(made[stitch.medoid(made)] if len(made) > 2 else made[0], after=True)
        return concatenate([given, raised(best, floor)]).with_caption(text or motion.caption)

    def _plain(self, text: str) -> str:
        """A text of one known movement in plain words, another as it is."""
        clauses = self.model.clauses(text)
        return clauses[0].text if len(clauses) == 1 and clauses[0].known >= SURE else text

    def _shown(
        self, before: Motion, continued: Motion, seconds: float, text: str, words: str, seed: int, best_of: int
    ) -> Motion:
        """The continuation, or what is made of the text alone where that shows it better and begins near enough."""
        frames = len(continued)
        made = self.generation.made(text, max(seconds, MIN_SECONDS), seed, best_of=best_of)[0]
        alone = join_motions(before, made.motion.slice(0, frames)).slice(len(before), len(before) + frames)
        if len(alone) < frames:
            alone = held(alone, frames, before=False)
        told = ", then ".join(made.captions)
        fits = heeding.fits(self.model, [continued, alone], [words, told])
        away = suits(before, made.motion, 0.0).cost
        if len(made.captions) > 1 or made.asked or fits[1] - AWAY * away > fits[0]:
            for note in made.notes:
                warnings.warn(note, UnheededText, stacklevel=4)
            continued = alone
        heeding.warn(self.model, continued, text, told)
        return continued

    def _tail(self, motion: Motion) -> Motion:
        """The last whole tokens' worth of frames, at most CONTEXT tokens; short clips hold their first pose."""
        step = self.model.tokenizer.downsample
        keep = min(CONTEXT * step, len(motion) // step * step)
        return motion.slice(len(motion) - keep, len(motion)) if keep else held(motion, step, before=True)

    def _head(self, motion: Motion) -> Motion:
        step = self.model.tokenizer.downsample
        keep = min(CONTEXT * step, len(motion) // step * step)
        return motion.slice(0, keep) if keep else held(motion, step, before=False)
