"""Motion to text: sentences that the language model says, beside captions of the book, ranked by the matcher."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch

from avatargpt.body.edit import Editing
from avatargpt.body.speaker import CHUNK, CONTEXT, ROWS
from avatargpt.requests import check_count, check_seed, mix, then
from vqvae.ground import grounded
from vqvae.motion import Motion

OWN = 0.05  # a caption of the book must fit so much better than what the model says itself


class Describing(Editing):
    """What a motion shows, in words."""

    def describe(
        self, motions: Motion | Sequence[Motion], num: int = 1, seed: int = 0, best_of: int = 7
    ) -> list[Any]:
        """Motion to text.

        With a matcher (`model.scorer`) the likeliest sentence, sampled ones, and the nearest caption of the book
        (`avatargpt.retrieval.phrases`; the project's own texts) are ranked by how well they fit the motion.

        Args:
            motions: one or more; any frame rate, on any floor (`vqvae.ground`). Motion beyond 14 s is described in
                windows, joined by "then".
            num: sentences per motion; more than 1 = sampled, not ranked.
            best_of: sentences of the model that are ranked; 1 = the likeliest word by word alone, without the book.

        Returns:
            One sentence per motion, or with num > 1 one list of sentences per motion.
        """
        check_count("num", num)
        check_count("best_of", best_of)
        check_seed(seed)
        given = [motions] if isinstance(motions, Motion) else list(motions)
        if not given:
            return []
        pieces: list[np.ndarray] = []
        owner: list[int] = []
        for i, motion in enumerate(given):
            codes = self._tokenizer(motion.modality).encode(grounded(motion))
            count = -(-len(codes) // (CHUNK + CONTEXT))
            pieces += np.array_split(codes, count)
            owner += [i] * count
        said = self._told(pieces, num, seed) if num > 1 else [[s] for s in self.told(pieces, seed, best_of)]
        out: list[Any] = []
        for i in range(len(given)):
            parts = [s for s, o in zip(said, owner, strict=True) if o == i]
            joined = [then([p[k] for p in parts]) for k in range(num)]
            out.append(joined[0] if num == 1 else joined)
        return out

    def told(self, pieces: Sequence[np.ndarray], seed: int = 0, best_of: int = 7) -> list[str]:
        """The sentence that fits each piece of at most 72 codes (N, R) best, see `describe`."""
        first = [s[0] for s in self._told(pieces, 1, seed)]
        if best_of == 1 or self.motion_scorer is None or self.grounder is None:
            return first
        more = self._told(pieces, best_of - 1, seed)
        seen = self._seen(self.motion_scorer, pieces)
        own = [[a, *b] for a, b in zip(first, more, strict=True)]
        every = [s for some in own for s in some]
        heard = self.motion_scorer.texts(every, self.grounder).reshape(len(own), best_of, -1)
        fit = np.einsum("nd,nkd->nk", seen, heard)
        out = [some[int(k)] for some, k in zip(own, fit.argmax(1), strict=True)]
        texts, vectors = self._captions
        if texts:
            near = seen @ vectors.T
            for i in np.flatnonzero(near.max(1) > fit.max(1) + OWN):
                out[i] = texts[int(near[i].argmax())]
        return out

    @cached_property
    def _captions(self) -> tuple[list[str], np.ndarray]:
        """Captions of the book as the matcher hears them, (n, dim)."""
        if self.phrase_index is None or self.motion_scorer is None:
            return [], np.zeros((0, 0), np.float32)
        rows = np.flatnonzero(self.phrase_index.literal)
        with torch.inference_mode():
            heard = self.motion_scorer.network.hear(torch.from_numpy(self.phrase_index.vectors[rows])).numpy()
        return [self.phrase_index.keys[i] for i in rows], heard

    def _told(self, pieces: Sequence[np.ndarray], num: int, seed: int) -> list[list[str]]:
        """Sentences of the language model: the likeliest word by word, or `num` sampled ones, for each piece."""
        said: list[list[str]] = []
        for i in range(0, len(pieces), ROWS // 4):
            prompts = [self._prompt("motion_to_text", {"motion": p}) for p in pieces[i : i + ROWS // 4]]
            seeds = [mix(seed, j) for _ in prompts for j in range(num)]
            options: dict[str, Any] = (
                {} if num == 1 else {"samples": num, "temperature": 0.7, "top_p": 0.9, "seed": seeds}
            )
            decoded = self.generator.decode(
                self._encode(prompts), "text", max_tokens=64, no_repeat=4, min_tokens=3, **options
            )
            sentences = [self.text.decode([t for t in row if t >= 0]) for row in decoded.codes.tolist()]
            said += [sentences[k * num : (k + 1) * num] for k in range(len(prompts))]
        return said
