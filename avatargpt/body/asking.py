"""Requests read by a language model: each clause becomes one of the movements that the phrase index knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, create_model

from avatargpt.body.model import BodyModel
from avatargpt.limits import MAX_SECONDS, MIN_SECONDS
from avatargpt.llm.failures import LlmFailed, Malformed
from avatargpt.llm.model import LanguageModel
from avatargpt.llm.prompts import prompt
from avatargpt.options import tokens_of
from avatargpt.requests.candidates import movements
from avatargpt.requests.motion_spec import ClauseSpec
from vqvae.errors import UserError

MOST_CLAUSES, MOST_COUNT = 12, 20
SHOWN = 24  # movements that a question names
UNKNOWN = "none"
LONGEST_WORDS = 200  # characters of a clause


class ClauseAnswer(BaseModel):
    """One clause: the user's words for it, the movement that it is, and what they say of side, count and length."""

    words: str
    movement: str
    side: Literal["left", "right"] | None
    count: int | None
    seconds: float | None


class RequestAnswer(BaseModel):
    """Clauses in the order in which they happen."""

    clauses: list[ClauseAnswer] = Field(min_length=1, max_length=MOST_CLAUSES)

    def check(self) -> None:
        """Raises Malformed for values that no motion can have."""
        for c in self.clauses:
            if not c.words.strip() or len(c.words) > LONGEST_WORDS:
                raise Malformed(f"words of a clause: accepted 1 to {LONGEST_WORDS} characters of the request")
            if c.count is not None and not 1 <= c.count <= MOST_COUNT:
                raise Malformed(f"count {c.count}; accepted 1 to {MOST_COUNT}")
            if c.seconds is not None and not MIN_SECONDS <= c.seconds <= MAX_SECONDS:
                raise Malformed(f"seconds {c.seconds:g}; accepted {MIN_SECONDS:g} to {MAX_SECONDS:g}")


class LanguageRequests:
    """Reads requests for `BodyModel.reader`; without an answer the phrase index reads them by itself.

    Args:
        llm: who is asked. model: whose movements they become; it needs a phrase index and a sentence encoder.
        tell: takes a line where nothing was answered, and one for each clause that no known movement is meant by.

    Raises:
        UserError: a model without a phrase index.
    """

    def __init__(self, llm: LanguageModel, model: BodyModel, tell: Callable[[str], None]) -> None:
        if model.phrase_index is None or model.grounder is None:
            raise UserError("--llm: these weights have no phrase index; accepted: without --llm, or other weights")
        self.llm, self._tell = llm, tell
        self._book, self._grounder = model.phrase_index, model.grounder
        self._rate = model.tokenizer.tokens_per_second
        self._read: dict[str, list[ClauseSpec]] = {}
        self._over = False

    def __call__(self, text: str) -> list[ClauseSpec]:
        """The clauses of a request in plain words; the same text is read once."""
        if text not in self._read:
            try:
                self._read[text] = self._plain(text) if self._over else self._asked(text)
            except LlmFailed as e:
                self._over = e.lasting
                self._tell(f"{e}; the phrase index reads the request by itself")
                self._read[text] = self._plain(text)
        return self._read[text]

    def _plain(self, text: str) -> list[ClauseSpec]:
        return self._book.plain(text, self._grounder)

    def _asked(self, text: str) -> list[ClauseSpec]:
        said = [c.action for c in self._book.typed(text).done]
        known = movements(self._book, self._grounder, list(dict.fromkeys([text, *said])), SHOWN)
        values = {"request": text, "known": list(known)}
        form = _answer((*known, UNKNOWN))
        found = self.llm.ask(prompt("request"), values, form, temperature=0, check=RequestAnswer.check)
        return [self._spec(one, known) for one in found[0].value.clauses]

    def _spec(self, clause: ClauseAnswer, known: dict[str, str]) -> ClauseSpec:
        lengths = () if clause.seconds is None else (tokens_of(clause.seconds, self._rate),)
        words = " ".join(clause.words.lower().split()).strip(" .,;!?")
        if clause.movement == UNKNOWN:
            self._tell(f"not known: {words!r}; it is made from these very words and may show something else")
            return ClauseSpec(words, 0.0, lengths)
        read = self._book.typed(words).clauses[0]  # of paths and degrees
        asked = read.model_copy(update={
            "action": words if read.turn or read.path or read.distance else known[clause.movement],
            "side": clause.side or read.side, "times": clause.count or read.times,
            "seconds": clause.seconds or read.seconds, "denied": False, "together": False,
        })  # fmt: skip
        return self._book.looked_up([asked], self._grounder)[0]


def _answer(known: tuple[str, ...]) -> type[RequestAnswer]:
    """An answer whose movements are of these."""
    movement: Any = Literal[known]
    one = create_model("Clause", __base__=ClauseAnswer, movement=(movement, ...))
    form: Any = Annotated[list[one], Field(min_length=1, max_length=MOST_CLAUSES)]  # type: ignore[valid-type]
    return create_model("Request", __base__=RequestAnswer, clauses=(form, ...))
