"""`BodyModel`: the network with its phrase index and its text-motion scorer, as every task of the body needs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from avatargpt.lm.loaded import LoadedModel
from avatargpt.lm.scorer import TextMotionScorer
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.requests.clause_spec import ClauseSpec
from avatargpt.requests.phrase_index import PhraseIndex
from avatargpt.requests.resolver import Request, ResolvedRequest, request_text
from instruct_data.requests.spec import Clause, MotionRequest
from vqvae.motion import Motion
from vqvae.tokenizer import MotionTokenizer


class BodyModel:
    """The networks and tables of all body tasks.

    Args:
        loaded: the network and its tokenizers.
        phrase_index: replaces the clauses of a request by captions, None = unchanged words.
        motion_scorer: scores how well a motion fits a text, None = the network's own likelihood does.

    Attributes:
        reader: of requests in place of the phrase index (`avatargpt.body.language_reader`).
    """

    def __init__(
        self, loaded: LoadedModel, phrase_index: PhraseIndex | None = None,
        motion_scorer: TextMotionScorer | None = None,
    ) -> None:  # fmt: skip
        self.loaded, self.phrase_index, self.motion_scorer = loaded, phrase_index, motion_scorer
        self.reader: Callable[[str], list[ClauseSpec]] | None = None

    @property
    def grounder(self) -> SentenceGrounder | None:
        """The frozen sentence encoder."""
        return self.loaded.grounder

    @property
    def tokenizer(self) -> MotionTokenizer:
        """Of the body; raises UserError where the model has none."""
        return self.loaded.tokenizer("body")

    def resolve(self, request: Request, literal: bool = False) -> ResolvedRequest:
        """A request with its clauses; one clause of its words if `literal` or without a phrase index."""
        if isinstance(request, ResolvedRequest):
            return request
        typed = None if literal else self.request(request)
        if typed is None or self.phrase_index is None or self.grounder is None:
            return ResolvedRequest(request, typed, (ClauseSpec(request_text(request), 1.0),))
        if isinstance(request, str) and self.reader is not None:
            return ResolvedRequest(request, typed, tuple(self.reader(request)))
        return ResolvedRequest(request, typed, tuple(self.phrase_index.resolve(typed, self.grounder)))

    def request(self, request: str | MotionRequest) -> MotionRequest:
        """A text as a typed request; one clause of its words without a phrase index."""
        if isinstance(request, MotionRequest):
            return request
        if self.phrase_index is None:
            return MotionRequest(clauses=[Clause(action=request)], text=request)
        return self.phrase_index.read(request)

    def clauses(self, text: str) -> tuple[ClauseSpec, ...]:
        """The clauses of a text."""
        return self.resolve(text).clauses

    def fit(self, codes: Sequence[np.ndarray], texts: Sequence[str]) -> np.ndarray:
        """Fit of each motion to its text, (B,): the scorer's cosine, or without a scorer the likelihood of the text."""
        if self.motion_scorer is None or self.grounder is None:
            return self.loaded.likelihood(codes, texts)
        sentences = self.motion_scorer.texts(texts, self.grounder)
        return np.asarray((self.motion_vectors(codes) * sentences).sum(1))

    def motion_fit(self, motions: Sequence[Motion], texts: Sequence[str]) -> list[float]:
        """Fit of each motion to its text; 0 without a text-motion scorer."""
        if self.motion_scorer is None or self.grounder is None:
            return [0.0] * len(motions)
        sentences = self.motion_scorer.texts(list(texts), self.grounder)
        vectors = np.concatenate([self.motion_scorer.motions([m.joints], m.fps) for m in motions])
        return [float(x) for x in (vectors * sentences).sum(1)]

    def motion_vectors(self, codes: Sequence[np.ndarray]) -> np.ndarray:
        """Vectors of the text-motion scorer for decoded motions, (B, dim)."""
        assert self.motion_scorer is not None
        tokenizer = self.tokenizer
        return self.motion_scorer.motions([m.joints for m in tokenizer.decode_each(codes)], tokenizer.spec.fps)
