"""What a request is taken for before anything is made, and what of it is not known."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from avatargpt.requests.foreign import language_of
from avatargpt.requests.motion_spec import ClauseSpec
from avatargpt.requests.phrases import PhraseIndex
from instruct_data.requests.spec import Clause, MotionRequest
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.lm.text_encoder import SentenceGrounder
    from avatargpt.requests.reader import RequestReader

SURE = 0.7  # probability of a known action below which a request is said to be not known


@dataclass(frozen=True)
class Understanding:
    """How a text is taken.

    Attributes:
        captions: what is shown, in plain words, in order. warnings: a line for each part that is not known.
    """

    captions: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def known(self) -> bool:
        """Whether all of it is."""
        return not self.warnings


def unknown(clauses: Sequence[ClauseSpec]) -> tuple[str, ...]:
    """A line for each clause whose action is probably none that is known, with what is shown in its place."""
    return tuple(f"not known: {c.said!r}; nearest: {c.text!r}" for c in _all(clauses) if c.said and c.known < SURE)


def _all(clauses: Sequence[ClauseSpec]) -> Iterator[ClauseSpec]:
    for clause in clauses:
        yield clause
        if clause.besides is not None:
            yield clause.besides


class Understander:
    """Reads requests, and looks up what their actions are shown by; nothing of it makes motion.

    Args:
        reader: words to typed requests. book: the known actions. grounder: the sentence encoder of the book's vectors.
    """

    def __init__(self, reader: RequestReader, book: PhraseIndex, grounder: SentenceGrounder) -> None:
        self.reader, self.book, self.grounder = reader, book, grounder

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Raises:
        UserError: a folder without a reader of requests or without a book of phrasings; a damaged one.
        """
        from avatargpt.lm.text_encoder import SentenceGrounder

        book = PhraseIndex.load(folder)
        if book is None:
            raise UserError(f"{os.fspath(folder)}: no book of phrasings (wording.safetensors) there")
        if book.reader is None:
            raise UserError(f"{os.fspath(folder)}: no reader of requests (requests.safetensors) there")
        return cls(book.reader, book, SentenceGrounder())

    def read(self, text: str) -> MotionRequest:
        """The request, with the movement that each clause is shown by."""
        request = self.reader.read(text)
        specs = list(_all(self.book.shown(request, self.grounder)))
        by_words: dict[str, list[ClauseSpec]] = defaultdict(list)
        for one in specs:
            if one.asked is not None:
                by_words[one.asked.action].append(one)
        clauses: list[Clause] = []
        for clause in request.clauses:
            if not clause.denied:
                # what is shown by one movement for several clauses has the words of the first of them, or of all
                own = by_words.get(clause.action) or [specs[min(len(clauses), len(specs) - 1)]]
                spec = own.pop(0) if len(own) > 1 else own[0]
                clause = clause.model_copy(update={"known": spec.known >= SURE, "nearest": spec.telling})
            clauses.append(clause)
        return request.model_copy(update={"clauses": clauses, "language": language_of(text)})
