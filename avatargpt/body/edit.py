"""Motion to motion: in-between and continuation."""

from __future__ import annotations

from typing import Any

import numpy as np

from avatargpt.body import heeding, stitch
from avatargpt.body.ground import without_penetration
from avatargpt.body.model import BodyModel
from avatargpt.body.rerank import pick
from avatargpt.body.sampling import prolonged
from avatargpt.decoding.loaded import CHUNK, CONTEXT
from avatargpt.requests import check_count, check_seconds, check_seed, check_text, frames_of, held
from vqvae.ground import floor_of, raised
from vqvae.motion import Motion, concatenate


class MotionEditing:
    """Continues motions and fills gaps between them."""

    def __init__(self, model: BodyModel) -> None:
        self.model = model

    def in_between(
        self, start: Motion, end: Motion, seconds: float, text: str, seed: int, best_of: int, keep_place: bool
    ) -> Motion:
        """Motion between the end of START and the start of END.

        Args:
            seconds: of the middle; kept to the frame.
            text: what happens in between, one movement; may be empty. The network is given the words as they are; where
                they hardly show, `avatargpt.requests.UnheededText` is warned of.
            best_of: candidates; without text the one nearest to all others wins, with text the one that fits it.
            keep_place: END stays where it is in the world and the middle is bent to arrive there; else END is moved to
                where the middle arrives.

        Returns:
            START, the middle, END in one Motion; START is unchanged, END's poses are. END is brought to START's floor
            (`vqvae.ground`), with `keep_place` its height is kept.
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
        tokens = max(1, -(-frames // tokenizer.downsample))
        left, right = self._tail(start), self._head(end)
        a, b = tokenizer.encode(left), tokenizer.encode(right)
        if tokens > CHUNK:
            a_long = prolonged(self.model, a, len(a) + tokens - CHUNK, text, seed, 1.0, 1, 0.7)
        else:
            a_long = a
        rest = min(tokens, CHUNK)
        slots: dict[str, Any] = {"start": a_long[-CONTEXT:], "end": b, "seconds": rest / tokenizer.tokens_per_second}
        if text:
            slots["caption"] = text
        prompt = self.model.loaded.prompt("in_between", slots)
        found = self.model.loaded.sample([prompt], [rest], [seed], best_of, 1.0, 0.7, 30, settled=not text)[0]
        middles = [np.concatenate([a_long[len(a):], c]) for c in found]
        made = [self._bridge(a, m, b, start, end, frames, keep_place) for m in middles]
        if text and best_of > 1:
            pick = int(self.model.fit(middles, [text] * len(middles)).argmax())
        else:
            pick = stitch.medoid([m[0] for m in made]) if best_of > 2 else 0
        middle, last = made[pick]
        if text:
            heeding.warn(self.model, middle, text)
        middle = without_penetration(middle, after=True, before=True)
        return concatenate([given, *(raised(m, floor) for m in (middle, last))]).with_caption(text or start.caption)

    def _bridge(
        self, a: np.ndarray, middle: np.ndarray, b: np.ndarray, start: Motion, end: Motion, frames: int,
        keep_place: bool,
    ) -> tuple[Motion, Motion]:
        """Decode start, middle and end in one stream and fit the middle to the real frames: (middle, END placed)."""
        tokenizer = self.model.tokenizer
        step = tokenizer.downsample
        stream = tokenizer.decode(np.concatenate([a, middle, b]))
        s, e = len(a) * step, (len(a) + len(middle)) * step
        stream = stitch.place(stream, s - 1, start, len(start) - 1)
        stretch, after = stitch.retimed(stream.slice(s, e), frames), stream.slice(e, e + 2)
        if keep_place:
            turn = float(np.angle(np.exp(1j * (end.heading[0] - after.heading[0]))))
            stretch = stitch.bend(stretch, turn, stitch.missing(stretch, turn, after, end))
            after = stitch.place(after, 0, end, 0)
        else:
            end = stitch.place(end, 0, after, 0)
        n = min(2, len(start), s)
        stretch = stitch.fade_in(stretch, stream.slice(s - n, s), start.slice(len(start) - n, len(start)))
        n = min(2, len(end), len(after))
        return stitch.fade_out(stretch, after.slice(0, n), end.slice(0, n)), end

    def extend(self, motion: Motion, seconds: float, text: str, seed: int, best_of: int) -> Motion:
        """Continue a motion.

        Args:
            seconds: of the new part; kept to the frame.
            text: what happens next, see `in_between`.

        Returns:
            The given frames (at 20 per second) and the continuation, on the same floor (`vqvae.ground`).
        """
        check_seconds(seconds)
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
        if text:
            slots["caption"] = text
        guidance = 1.5 if text else 1.0
        prompt = self.model.loaded.prompt("continuation", slots)
        lengths = [min(tokens, CHUNK)]
        found = self.model.loaded.sample([prompt], lengths, [seed], best_of, guidance, 0.7, 30, settled=not text)[0]
        if text:
            found = [pick(self.model, [found], [text])[0]]
        made = []
        for codes in found:
            whole, wanted = np.concatenate([tail, codes]), len(tail) + tokens
            longer = prolonged(self.model, whole, wanted, text, seed, guidance, 1, 0.7)
            stream = tokenizer.decode(longer)
            at = len(tail) * tokenizer.downsample
            stream = stitch.place(stream, at - 1, motion, len(motion) - 1)
            stretch = stream.slice(at, at + frames)
            n = min(2, len(motion), at)
            last = motion.slice(len(motion) - n, len(motion))
            made.append(stitch.fade_in(stretch, stream.slice(at - n, at), last))
        if text:  # then there is one
            heeding.warn(self.model, made[0], text)
        best = without_penetration(made[stitch.medoid(made)] if len(made) > 2 else made[0], after=True)
        return concatenate([given, raised(best, floor)]).with_caption(text or motion.caption)

    def _tail(self, motion: Motion) -> Motion:
        """The last whole tokens' worth of frames, at most CONTEXT tokens; short clips hold their first pose."""
        step = self.model.tokenizer.downsample
        keep = min(CONTEXT * step, len(motion) // step * step)
        return motion.slice(len(motion) - keep, len(motion)) if keep else held(motion, step, before=True)

    def _head(self, motion: Motion) -> Motion:
        step = self.model.tokenizer.downsample
        keep = min(CONTEXT * step, len(motion) // step * step)
        return motion.slice(0, keep) if keep else held(motion, step, before=False)
