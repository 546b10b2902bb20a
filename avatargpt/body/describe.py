"""Motion to text: sentences of the language model beside captions of the phrase index, ranked by the scorer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch

from avatargpt.body.model import BodyModel
from avatargpt.lm.loaded import CHUNK, CONTEXT, ROWS
from avatargpt.options import check_count, check_seed, mix, then
from vqvae.ground import grounded
from vqvae.motion import Motion

OWN = 0.05  # a caption of the phrase index must fit so much better than what the model says itself


class MotionDescription:
    """Says what a motion shows."""

    def __init__(self, model: BodyModel) -> None:
        self.model = model

    def describe(self, motions: Motion | Sequence[Motion], num: int, seed: int, best_of: int) -> list[Any]:
        """Motion to text.

        With a text-motion scorer (`model.scorer`) the likeliest sentence, sampled ones, and the nearest caption of the
        phrase index (`avatargpt.requests.phrases`; the project's own texts) are ranked by how well they fit the
        motion.

        Args:
            motions: one or more; any frame rate, on any floor (`vqvae.ground`). Motion beyond 14 s is described in
                windows, joined by "then".
            num: sentences per motion; more than 1 = sampled, not ranked.
            best_of: sentences of the model that are ranked; 1 = the likeliest word by word alone, no captions
                of the phrase index.

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
            codes = self.model.loaded.tokenizer(motion.modality).encode(grounded(motion))
            count = -(-len(codes) // (CHUNK + CONTEXT))
            pieces += np.array_split(codes, count)
            owner += [i] * count
        said = self._said(pieces, num, seed) if num > 1 else [[s] for s in self.best(pieces, seed, best_of)]
        out: list[Any] = []
        for i in range(len(given)):
            parts = [s for s, o in zip(said, owner, strict=True) if o == i]
            joined = [then([p[k] for p in parts]) for k in range(num)]
            out.append(joined[0] if num == 1 else joined)
        return out

    def best(self, pieces: Sequence[np.ndarray], seed: int = 0, best_of: int = 7) -> list[str]:
        """The sentence that fits each piece of at most 72 codes (N, R) best, see `describe`."""
        first = [s[0] for s in self._said(pieces, 1, seed)]
        scorer, grounder = self.model.motion_scorer, self.model.grounder
        if best_of == 1 or scorer is None or grounder is None:
            return first
        more = self._said(pieces, best_of - 1, seed)
        seen = self.model.seen(scorer, pieces)
        own = [[a, *b] for a, b in zip(first, more, strict=True)]
        every = [s for some in own for s in some]
        heard = scorer.texts(every, grounder).reshape(len(own), best_of, -1)
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
        """Captions of the phrase index and their vectors by the text-motion scorer, (n, dim)."""
        index, scorer = self.model.phrase_index, self.model.motion_scorer
        if index is None or scorer is None:
            return [], np.zeros((0, 0), np.float32)
        rows = np.flatnonzero(index.marks.literal)
        with torch.inference_mode():
            heard = scorer.network.hear(torch.from_numpy(index.index.some(rows))).numpy()
        return [index.keys[i] for i in rows], heard

    def _said(self, pieces: Sequence[np.ndarray], num: int, seed: int) -> list[list[str]]:
        """Sentences of the language model: the likeliest word by word, or `num` sampled ones, for each piece."""
        loaded = self.model.loaded
        said: list[list[str]] = []
        for i in range(0, len(pieces), ROWS // 4):
            prompts = [loaded.prompt("motion_to_text", {"motion": p}) for p in pieces[i : i + ROWS // 4]]
            seeds = [mix(seed, j) for _ in prompts for j in range(num)]
            options: dict[str, Any] = (
                {} if num == 1 else {"samples": num, "temperature": 0.7, "top_p": 0.9, "seed": seeds}
            )
            decoded = loaded.generator.decode(
                loaded.encode(prompts), "text", max_tokens=64, no_repeat=4, min_tokens=3, **options
            )
            sentences = [loaded.text.decode([t for t in row if t >= 0]) for row in decoded.codes.tolist()]
            said += [sentences[k * num : (k + 1) * num] for k in range(len(prompts))]
        return said
