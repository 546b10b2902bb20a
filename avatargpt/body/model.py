"""`BodyModel`: the network with what stands beside it for bodies: phrase index, text-motion scorer, exemplars."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from avatargpt.lm.loaded import LoadedModel
from avatargpt.lm.scorer import TextMotionScorer
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.options import Request, said
from avatargpt.requests.exemplars import ExemplarBank, open_exemplars
from avatargpt.requests.motion_spec import ClauseSpec
from avatargpt.requests.phrases import PhraseIndex
from instruct_data.requests.spec import Clause, MotionRequest
from vqvae.tokenizer import MotionTokenizer


class BodyModel:
    """What every task of the body is made with.

    Args:
        loaded: the network and its tokenizers.
        phrase_index: puts requests into plain words, None = they are taken as they are.
        motion_scorer: tells how well a motion fits a text, None = the network's own likelihood does.

    Attributes:
        reader: reads requests instead of the phrase index alone (`avatargpt.body.asking`), None = nobody does.
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
        """Of the body.

        Raises:
            UserError: the model has none.
        """
        return self.loaded.tokenizer("body")

    @cached_property
    def exemplars(self) -> ExemplarBank:
        """Clips that can stand as examples; read on first use.

        Raises:
            UserError: there are none, or they were made with another tokenizer.
        """
        return open_exemplars(self.loaded.source, self.tokenizer.fingerprint)

    def clauses(self, request: Request, literal: bool = False) -> list[ClauseSpec]:
        """A request clause by clause in plain words; in one piece as it is if `literal` or nobody knows plain words."""
        if literal or self.phrase_index is None or self.grounder is None:
            return [ClauseSpec(said(request), 1.0)]
        if isinstance(request, MotionRequest):
            return self.phrase_index.shown(request, self.grounder)
        return self.phrase_index.plain(request, self.grounder) if self.reader is None else self.reader(request)

    def request(self, text: Request) -> MotionRequest:
        """A text as a typed request; one clause of its words where nobody reads."""
        if isinstance(text, MotionRequest):
            return text
        book = self.phrase_index
        return MotionRequest(clauses=[Clause(action=text)], text=text) if book is None else book.typed(text)

    def fit(self, codes: Sequence[np.ndarray], texts: Sequence[str]) -> np.ndarray:
        """How well each motion fits its text, (B,): the scorer's cosine of the decoded motion and the sentence.

        Without a scorer the likelihood of the text as the motion's description takes its place.
        """
        if self.motion_scorer is None or self.grounder is None:
            return self.loaded.likelihood(codes, texts)
        said = self.motion_scorer.texts(texts, self.grounder)
        return np.asarray((self.seen(self.motion_scorer, codes) * said).sum(1))

    def seen(self, motion_scorer: TextMotionScorer, codes: Sequence[np.ndarray]) -> np.ndarray:
        """Decoded motions as the text-motion scorer sees them, (B, dim)."""
        tokenizer = self.tokenizer
        return motion_scorer.motions([m.joints for m in tokenizer.decode_each(codes)], tokenizer.spec.fps)
