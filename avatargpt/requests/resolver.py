"""`RequestResolver`: a request in words or typed -> its clauses, each with the caption that it is shown by."""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from avatargpt.lm import text_encoder
from avatargpt.reading.reader import MIN_KNOWN
from avatargpt.requests.clause_spec import ClauseSpec
from avatargpt.requests.english import language_of
from avatargpt.requests.phrase_index import PhraseIndex
from instruct_data.requests.spec import Clause, MotionRequest
from vqvae.errors import UserError


@dataclass(frozen=True)
class ResolvedRequest:
    """A request with the captions to be generated."""

    source: str | MotionRequest  # in words or typed
    typed: MotionRequest | None = None  # as it was read, None = its words are taken literally
    clauses: tuple[ClauseSpec, ...] = ()  # each with its caption
    captions: tuple[str, ...] = ()  # shown, in order

    @property
    def text(self) -> str:
        """The request in words."""
        return request_text(self.source)

    @property
    def unknown(self) -> tuple[str, ...]:
        """A line for each action that is probably unknown, and what is shown instead."""
        clauses = list(with_concurrent(self.clauses))
        left_out = {id(c) for clause in clauses for c in clause.left_out}

        def instead(c: ClauseSpec) -> str:
            if id(c) in left_out:
                return "left out"
            # without a near phrasing the words go to the network as they are
            return f"near: {c.caption!r}" if c.caption != c.words else "no caption is near"

        return tuple(f"not known: {c.words!r}; {instead(c)}" for c in clauses if c.words and c.known < MIN_KNOWN)

    @property
    def warnings(self) -> tuple[str, ...]:
        """The lines of `unknown`, one for each other person who takes part, each stretch of words that nothing shows,
        and one for numbers that were not read."""
        if self.typed is None:
            return self.unknown
        others = [c.other for c in self.typed.done if c.other]
        lines = [f"not shown: {words!r}, for only one person is" for words in dict.fromkeys(others)]
        lines += [f"not shown: {words!r}" for words in dict.fromkeys(self.typed.unshown)]
        if self.typed.unread:
            counts = [f"{c.action!r}: {c.times} times" for c in self.typed.done if c.times]
            lines.append("; ".join([f"not followed: {', '.join(dict.fromkeys(self.typed.unread))}", *counts]))
        return (*self.unknown, *lines)

    @property
    def known(self) -> bool:
        """Whether every action is known."""
        return not self.unknown


Request = str | MotionRequest | ResolvedRequest
"""What is asked for: in words, typed, or resolved already."""


def request_text(request: Request) -> str:
    """A request in words."""
    if isinstance(request, MotionRequest):
        return request.text or request.compact
    return request if isinstance(request, str) else request.text


def with_concurrent(clauses: Sequence[ClauseSpec]) -> Iterator[ClauseSpec]:
    """All clauses, each followed by its concurrent actions."""
    for clause in clauses:
        yield clause
        if clause.concurrent is not None:
            yield clause.concurrent
        yield from clause.left_out


class RequestResolver:
    """Reads requests and looks up the caption of each action, without a motion network."""

    def __init__(self, phrase_index: PhraseIndex, grounder: text_encoder.SentenceGrounder) -> None:
        self.phrase_index, self.grounder = phrase_index, grounder

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Raises UserError: a folder without a reading network or without a phrase index; a damaged one."""
        index = PhraseIndex.load(folder)
        if index is None:
            raise UserError(f"{os.fspath(folder)}: no phrase index (wording.safetensors) there")
        if index.reads is None:
            raise UserError(f"{os.fspath(folder)}: no reading network (reading.json) there")
        return cls(index, text_encoder.SentenceGrounder())

    def read(self, text: str) -> MotionRequest:
        """The request, with the caption that each clause is shown by."""
        request = self.phrase_index.read(text)
        specs = list(with_concurrent(self.phrase_index.resolve(request, self.grounder)))
        by_action: dict[str, list[ClauseSpec]] = defaultdict(list)
        for spec in specs:
            if spec.clause is not None:
                by_action[spec.clause.action].append(spec)
        clauses: list[Clause] = []
        for clause in request.clauses:
            if not clause.denied:
                # what is shown by one movement for several clauses has the words of the first of them, or of all
                same_action = by_action.get(clause.action) or [specs[min(len(clauses), len(specs) - 1)]]
                spec = same_action.pop(0) if len(same_action) > 1 else same_action[0]
                clause = clause.model_copy(update={"known": spec.known >= MIN_KNOWN, "nearest": spec.request})
            clauses.append(clause)
        return request.model_copy(update={"clauses": clauses, "language": language_of(text)})
