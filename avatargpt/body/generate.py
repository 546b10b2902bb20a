"""Text to body motion: clause by clause, the best of several candidates, joined, on the floor."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np

from avatargpt.body.concurrent import at_rest, together
from avatargpt.body.fulfilment.fulfilling import fails, finished, fulfilled, misses
from avatargpt.body.ground import without_penetration
from avatargpt.body.heeding import fits
from avatargpt.body.model import BodyModel
from avatargpt.body.paths import along
from avatargpt.body.rerank import pick
from avatargpt.body.sampling import answers, prolonged, text_prompts
from avatargpt.body.spec import MotionSpec
from avatargpt.body.specs import specs
from avatargpt.body.turns import REST, with_rests
from avatargpt.lm.loaded import CHUNK, ROWS
from avatargpt.options import Request, UnheededText, check_sampling, check_text, frames_of, mix, said, wishes
from avatargpt.requests.exemplars import check_retrieval
from avatargpt.requests.understanding import Understanding, unknown
from instruct_data.joining import join_best, join_motions
from instruct_data.requests.spec import MotionRequest
from vqvae.motion import Motion, concatenate

Progress = Callable[[int, int], object] | None
UNLIKE = 0.3  # worth of a motion below which it hardly shows its words
BETTER = 0.1  # so much more worth must another round be


@dataclass(frozen=True)
class Made:
    """What was made of one text.

    Attributes:
        motion: the whole. captions: what each of its K parts shows, in plain words.
        spans: frames [start, end) of each of the K parts; a seam is blended over the first frames of the later one.
        notes: what was asked for and is not shown, a line each.
        asked: whether it asks for more than the actions: counts, turns, paths.
    """

    motion: Motion
    captions: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]
    notes: tuple[str, ...] = ()
    asked: bool = False


class MotionGeneration:
    """Makes the motion that a text asks for."""

    def __init__(self, model: BodyModel) -> None:
        self.model = model

    def generate(
        self, texts: Request | Sequence[Request], seconds: float | Sequence[float | None] | None, seed: int,
        guidance: float, best_of: int, temperature: float, num: int, progress: Progress, seeds: Sequence[int] | None,
        literal: bool, retrieval: int,
    ) -> list[Motion]:  # fmt: skip
        """Text to body motion.

        Unless `literal`, a request is first put into plain words clause by clause (`retrieval.phrases`: retrieval of
        the nearest known phrasing, which also tells how long such a motion usually is); clauses are made one by one
        and joined at a blended seam. A turn by a measure ("turn left 90 degrees") is cut where it has come so far and
        brought to rest (`avatargpt.requests.turns`); a path ("walk in a circle") is bent to its shape
        (`avatargpt.requests.paths`). A body that has sunk into the floor is lifted (`avatargpt.body.ground`).

        Args:
            texts: one or more sentences.
            seconds: length of each result, or one for all, kept to the frame; None = as long as such motion usually is.
            seed: the same seed gives the same motion, whatever else is asked for in the same call.
            guidance: classifier-free guidance on tokens, 1 = none.
            best_of: candidates per result; the one that fits its words best wins (`fit`).
            temperature: of sampling.
            num: results per text.
            progress: called with (done, total).
            seeds: one per text instead of `seed`.
            literal: hand the words to the network as they are, in one go; it then ends by itself.
            retrieval: exemplars (`retrieval.exemplars`) per clause shown to the network as examples, at most 2.

        Returns:
            len(texts) * num Motions, in order; first frame above the origin facing +Z.

        Raises:
            UserError: empty text, seconds outside 0.2..600, guidance outside 1..20, temperature outside 0.05..2, num or
                best_of below 1, retrieval without exemplars.
        """
        made = self.made(texts, seconds, seed, guidance, best_of, temperature, num, progress, seeds, literal, retrieval)
        for note in dict.fromkeys(note for m in made for note in m.notes):
            warnings.warn(note, UnheededText, stacklevel=3)
        return [m.motion for m in made]

    def made(
        self, texts: Request | Sequence[Request], seconds: float | Sequence[float | None] | None = None, seed: int = 0,
        guidance: float = 1.5, best_of: int = 8, temperature: float = 0.8, num: int = 1, progress: Progress = None,
        seeds: Sequence[int] | None = None, literal: bool = False, retrieval: int = 0,
    ) -> list[Made]:  # fmt: skip
        """The same as `generate`, with the frames at which each clause of a request is shown."""
        check_sampling(num, best_of, guidance, temperature)
        check_retrieval(retrieval)
        jobs = [
            (text, duration, mix(base, 1000 + k) if k else base)
            for text, duration, base in wishes(texts, seconds, seed if seeds is None else seeds) for k in range(num)
        ]  # fmt: skip
        out: list[Made] = []
        step = max(1, ROWS // best_of)
        for i in range(0, len(jobs), step):
            out += self._generate(jobs[i : i + step], guidance, best_of, temperature, literal, retrieval)
            if progress:
                progress(len(out), len(jobs))
        return out

    def read_as(
        self, texts: Request | Sequence[Request], seconds: float | Sequence[float | None] | None, literal: bool
    ) -> list[list[str]]:
        """What `generate` makes of each text: captions in plain words, one after another.

        Raises:
            UserError: as `generate`.
        """
        asked = wishes(texts, seconds, 0)
        return [[c.told for c in self.specs(text, length, 0, literal)] for text, length, _ in asked]

    def understood(
        self, texts: Request | Sequence[Request], seconds: float | Sequence[float | None] | None = None,
        literal: bool = False,
    ) -> list[Understanding]:  # fmt: skip
        """How `generate` takes each text: its captions, and a warning for each part whose action is not known.

        Raises:
            UserError: as `generate`.
        """
        some = [texts] if isinstance(texts, (str, MotionRequest)) else texts
        read = self.read_as(texts, seconds, literal)
        return [
            Understanding(tuple(captions), unknown(self.model.clauses(text, literal)))
            for text, captions in zip(some, read, strict=True)
        ]

    def specs(self, text: Request, duration: float | None, seed: int, literal: bool) -> list[MotionSpec]:
        """See `avatargpt.body.specs.specs`."""
        return specs(self.model, text, duration, seed, literal)

    def _generate(
        self, jobs: Sequence[tuple[Request, float | None, int]], guidance: float, best_of: int, temperature: float,
        literal: bool, retrieval: int,
    ) -> list[Made]:  # fmt: skip
        wholes = [None if literal else self.model.request(text) for text, _, _ in jobs]
        jobs = [
            (text, whole.seconds if whole and seconds is None else seconds, seed)
            for whole, (text, seconds, seed) in zip(wholes, jobs, strict=True)
        ]
        plans = [self.specs(text, duration, seed, literal) for text, duration, seed in jobs]
        parts = [
            (half.caption, half.tokens, mix(seed, 300 * (2 * i + 1) + k) if k or i else seed)
            for plan, (_, _, seed) in zip(plans, jobs, strict=True)
            for k, clause in enumerate(plan) for i, half in enumerate(clause.halves)
        ]  # fmt: skip
        prompts, bare = text_prompts(self.model, parts, retrieval)
        first = [min(t, CHUNK) for _, t, _ in parts]
        seeds = [s for _, _, s in parts]
        found = self.model.loaded.sample(prompts, first, seeds, best_of, guidance, temperature, bare=bare)
        turns = [half.turn for plan in plans for clause in plan for half in clause.halves]
        found = with_rests(self.model.loaded, found, turns, first, seeds, guidance, temperature)
        before: list[int] = []
        for plan in plans:
            last = -1
            for clause in plan:
                before += [last, *[-1] * (len(clause.halves) - 1)]
                last = len(before) - len(clause.halves)
        costs = [partial(misses, spec=half) for plan in plans for clause in plan for half in clause.halves]
        best = iter(zip(pick(self.model, found, [c for c, _, _ in parts], costs, before), parts, strict=True))
        out = []
        for plan, whole, (text, duration, seed) in zip(plans, wholes, jobs, strict=True):
            motion: Motion | None = None
            starts: list[int] = []
            notes = [note for clause in plan for half in clause.halves for note in half.notes]
            for clause in plan:
                made, *besides = (
                    self._shown(half, *next(best), guidance, best_of, temperature, notes) for half in clause.halves
                )
                if besides:
                    made = together(made, besides[0])
                fixed = duration is not None or clause.frames is not None
                starts.append(0 if motion is None else len(motion))
                if motion is None:
                    motion = made
                elif clause.above and (rest := at_rest(motion, made, seed, not fixed)) is not None:
                    motion = concatenate([motion, rest])
                elif fixed:
                    motion = join_motions(motion, made)
                else:
                    motion, starts[-1] = join_best(motion, made)
            assert motion is not None
            motion = without_penetration(motion.canonical().with_caption(said(text)))
            motion = motion if duration is None else motion.slice(0, frames_of(duration, motion.fps))
            if whole is not None:
                motion, missed = finished(motion, whole, cut=duration is None and len(plan) == 1)
                notes += missed
            told = tuple(clause.told for clause in plan)
            spans = tuple(pairwise([min(n, len(motion)) for n in [*starts, len(motion)]]))
            more = any(h.turn or h.route or (h.asked and h.asked.times) for c in plan for h in c.halves)
            out.append(Made(motion, told, spans, tuple(notes), more))
        return out

    def _shown(
        self, clause: MotionSpec, codes: np.ndarray, part: tuple[str, int, int], guidance: float, best_of: int,
        temperature: float, notes: list[str],
    ) -> Motion:  # fmt: skip
        """A clause's codes (N, R) as long as asked, decoded, on their path, as they were asked for."""
        caption, tokens, seed = part
        onward = caption if clause.turn is None else REST
        codes = prolonged(self.model, codes, tokens, onward, seed, guidance, best_of, temperature)
        tokenizer = self.model.tokenizer
        if clause.route is None:
            made = tokenizer.decode(codes)
        else:
            made = along(tokenizer.decode_features(codes), clause.route, tokenizer.spec)
        for k, other in enumerate((clause, *clause.others) if clause.others else ()):
            # another action takes the place of this one where it cannot do what was asked, but not for looking better
            unlike = other.action == clause.action and self._worth(made, clause) < UNLIKE
            if unlike or fails(made, clause):
                made, clause = self._another(made, clause, other, mix(seed, 900 + k), guidance, best_of, temperature)
        made, missed = fulfilled(made, clause)
        notes += missed
        return made

    def _another(
        self, made: Motion, clause: MotionSpec, other: MotionSpec, seed: int, guidance: float, best_of: int,
        temperature: float,
    ) -> tuple[Motion, MotionSpec]:  # fmt: skip
        """Another round, with the same or other words that may mean it, kept where it does better what was asked."""
        tokens = min(other.tokens, CHUNK)
        found = answers(self.model, [other.caption], [tokens], [seed], best_of, guidance, temperature)
        (codes,) = pick(self.model, found, [other.caption], [partial(misses, spec=other)])
        codes = prolonged(self.model, codes, other.tokens, other.caption, seed, guidance, best_of, temperature)
        better = self.model.tokenizer.decode(codes)
        return (better, other) if self._worth(better, other) > self._worth(made, clause) + BETTER else (made, clause)

    def _worth(self, made: Motion, clause: MotionSpec) -> float:
        """How well a motion fits its words, less what it misses of what was asked, in the scorer's cosine."""
        return fits(self.model, [made], [clause.caption])[0] - misses(made, clause)

    def rewrite(self, text: str) -> str:
        """A request in anybody's words -> plain captions, in order, separated by semicolons."""
        check_text(text)
        loaded = self.model.loaded
        prompt = loaded.encode([loaded.prompt("rewrite", {"request": text})])
        decoded = loaded.generator.decode(prompt, "text", max_tokens=64, beams=4, no_repeat=4, min_tokens=3)
        return loaded.text.decode(decoded.codes[0].tolist())
