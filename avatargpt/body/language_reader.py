"""Requests read by a language model: each clause becomes one of the movements that the phrase index knows."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, create_model

from avatargpt.body.model import BodyModel
from avatargpt.llm.model import Failures, LanguageModel, LlmFailed, Malformed, prompt
from avatargpt.options import MAX_SECONDS, MIN_SECONDS, tokens_of
from avatargpt.requests.clause_spec import ClauseSpec
from vqvae.errors import UserError

MAX_CLAUSES, MAX_COUNT = 12, 20
MOVEMENTS = 24  # that a question names
UNKNOWN = "none"
MAX_CLAUSE_CHARACTERS = 200


class ClauseAnswer(BaseModel):
    """One clause: the user's words, the movement that they mean, and side, count and length where named."""

    words: str
    movement: str
    side: Literal["left", "right"] | None
    count: int | None
    seconds: float | None


class RequestAnswer(BaseModel):
    """Clauses in the order in which they happen."""

    clauses: list[ClauseAnswer] = Field(min_length=1, max_length=MAX_CLAUSES)

    def check(self) -> None:
        """Raises Malformed for values that no motion can have."""
        for c in self.clauses:
            if not c.words.strip() or len(c.words) > MAX_CLAUSE_CHARACTERS:
                raise Malformed(f"words of a clause: accepted 1 to {MAX_CLAUSE_CHARACTERS} characters of the request")
            if c.count is not None and not 1 <= c.count <= MAX_COUNT:
                raise Malformed(f"count {c.count}; accepted 1 to {MAX_COUNT}")
            if c.seconds is not None and not MIN_SECONDS <= c.seconds <= MAX_SECONDS:
                raise Malformed(f"seconds {c.seconds:g}; accepted {MIN_SECONDS:g} to {MAX_SECONDS:g}")


class LanguageReader:
    """Reads requests for `BodyModel.reader`; without an answer the phrase index reads them by itself."""

    def __init__(self, llm: LanguageModel, model: BodyModel, tell: Callable[[str], None]) -> None:
        if model.phrase_index is None or model.grounder is None:
            raise UserError("--llm: these weights have no phrase index; accepted: without --llm, or other weights")
        self.llm, self._tell = llm, tell
        self._index, self._grounder = model.phrase_index, model.grounder
        self._rate = model.tokenizer.tokens_per_second
        self._answers: dict[str, list[ClauseSpec]] = {}
        self._failures = Failures(tell)

    def __call__(self, text: str) -> list[ClauseSpec]:
        """The clauses of a request with their captions; the same text is read once."""
        if text not in self._answers:
            try:
                self._answers[text] = self._with_model(text)
                self._failures.end()
            except LlmFailed as e:
                self._failures.tell(f"{e}; the phrase index reads the request by itself")
                self._answers[text] = self._index.clauses(text, self._grounder)
        return self._answers[text]

    def _with_model(self, text: str) -> list[ClauseSpec]:
        actions = [c.action for c in self._index.read(text).done]
        captions = self._index.movements(list(dict.fromkeys([text, *actions])), self._grounder, MOVEMENTS)
        values = {"request": text, "known": list(captions)}
        schema = _schema((*captions, UNKNOWN))
        answers = self.llm.ask(prompt("request"), values, schema, temperature=0, check=RequestAnswer.check)
        return [self._spec(clause, captions) for clause in answers[0].value.clauses]

    def _spec(self, clause: ClauseAnswer, captions: dict[str, str]) -> ClauseSpec:
        lengths = () if clause.seconds is None else (tokens_of(clause.seconds, self._rate),)
        words = " ".join(clause.words.lower().split()).strip(" .,;!?")
        if clause.movement == UNKNOWN:
            self._tell(f"not known: {words!r}; it is made from these very words and may show something else")
            return ClauseSpec(words, 0.0, lengths)
        read = self._index.read(words).clauses[0]  # of paths and degrees
        measured = read.turn or read.path or read.distance
        typed = read.model_copy(update={
            "action": words if measured else captions[clause.movement], "side": clause.side or read.side,
            "times": clause.count or read.times, "seconds": clause.seconds or read.seconds, "denied": False,
            "together": False, "known": None, "hold": False,
        })  # fmt: skip
        return self._index.look_up([typed], self._grounder)[0]


def _schema(movements: tuple[str, ...]) -> type[RequestAnswer]:
    """An answer whose movements are of these."""
    movement: Any = Literal[movements]
    clause = create_model("Clause", __base__=ClauseAnswer, movement=(movement, ...))
    clauses: Any = Annotated[list[clause], Field(min_length=1, max_length=MAX_CLAUSES)]  # type: ignore[valid-type]
    return create_model("Request", __base__=RequestAnswer, clauses=(clauses, ...))
