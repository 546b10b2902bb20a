"""Readers of turns: the shipped network, a language model, and the tests that acts are possible."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel, Field

from avatargpt.chat.timeline import MAX_SEGMENTS
from avatargpt.chat.turn_text import CONTINUES, QUESTION, ChatTurn
from avatargpt.chat.turns import TurnReader
from avatargpt.llm import LanguageModel
from avatargpt.llm.model import Failures, LlmFailed, Malformed, prompt
from avatargpt.requests.english import below_zero
from instruct_data.dialogue.acts import TAKE_LETTERS, Act, read
from instruct_data.text.numerals import is_numeral, value_of, words_of
from vqvae.errors import UserError

NEED_SEGMENTS = frozenset(
    "then before replace edit retime total speed mirror again delete move loop pull play save export".split()
)
MOVEMENTS = ("make", "then", "before", "replace")
_ANSWERS = frozenset("chat clarify help question show describe".split())
ANSWER_TOKENS = 160
# from which a small model on this machine is not asked: it reads orders worse
MIN_READER_PROBABILITY = 0.7
MAX_QUESTION = 200  # characters of a question back


class Intent(Protocol):
    """A reader of turns; its `name` becomes `Reply.understood`."""

    name: str

    def understand(self, turn: ChatTurn) -> list[Act] | None:
        """Possible acts (see `why_not`), or None: not understood; raises UserError for something left open."""
        ...


def why_not(acts: Sequence[Act], turn: ChatTurn) -> str:
    """The reason why these acts cannot be meant by this turn; empty = they can."""
    # segments must exist at the moment of their act, files must be named in the turn, takes must be open
    count, takes = len(turn.captions), turn.takes
    for act in acts:
        if act.do in NEED_SEGMENTS and not count and not (act.do == "then" and act.text == CONTINUES):
            return f"{act.do}: there is nothing yet"
        for n in (act.segment, act.to, act.at):
            if n is not None and not 1 <= n <= count:
                return f"{act.do}: no segment {n}"
        if act.do == "keep" and not (takes > 1 and str(act.choice) in TAKE_LETTERS[:takes]):
            return "keep: no such take"
        if act.file is not None and act.file.lower() not in turn.files:
            return f"{act.do}: no file {act.file} in the turn"
        if act.do in MOVEMENTS and QUESTION.fullmatch(turn.request):
            return f"{act.do}: a question names no movement"
        takes = (takes or 1) + 1 if act.do == "again" else 0
        if act.do == "make":
            count = 1
        if act.do == "undo" and turn.undone is not None:
            count = turn.undone
        count += {"then": 1, "before": 1, "plan": 1, "load": 1, "delete": -1}.get(act.do, 0)
    if count > MAX_SEGMENTS:
        return "too many segments"
    if turn.files and not any(a.file or a.name or a.do in _ANSWERS for a in acts):
        return "a file is named and not used"
    return ""


def check_numbers(turn: ChatTurn) -> None:
    """Raises UserError for a number below zero, which no act can have."""
    if number := below_zero(turn.request):
        raise UserError(f"{number}; accepted numbers above zero: say slower, shorter or less for the other direction")


def possible(line: str, turn: ChatTurn) -> list[Act] | None:
    """The acts of a line, or None: not in the grammar, or not possible in this turn."""
    try:
        acts = read(line)
    except UserError:
        return None
    if any(a.do in MOVEMENTS and _repetitive(str(a.text)) for a in acts):
        return None
    return None if why_not(acts, turn) or find_missing_number(acts, turn) else acts


def _repetitive(text: str) -> bool:
    """A sentence of one word, or one that has the same three words twice."""
    words = text.split()
    threes = list(zip(words, words[1:], words[2:], strict=False))
    return len(words) < 2 or len(set(threes)) < len(threes)


def find_missing_number(acts: Sequence[Act], turn: ChatTurn) -> str:
    """A reason where a number of an act is not in the turn, else empty."""
    numbers = numbers_in(turn.request)
    for act in acts if not turn.before else ():
        for value in (act.seconds, act.factor, act.times, act.activities):
            if value is not None and round(float(value), 3) not in numbers:
                return f"{act.do}: no {value:g} in the turn"
    return ""


def numbers_in(text: str) -> set[float]:
    """The numbers that a text names, also as minutes or per cent."""
    runs: list[list[str]] = [[]]
    for word in words_of(text):
        if is_numeral(word):
            runs[-1].append(word)
        elif runs[-1]:
            runs.append([])
    values = [v for run in runs if run and (v := value_of(run)) is not None]
    return {round(x, 3) for v in values for x in (v, 60 * v, v / 100)} | {0.5, 2.0, 3.0}  # half, twice, thrice


class TurnAnswer(BaseModel):
    """Acts in the line of `instruct_data.dialogue.acts`, or a question back."""

    acts: str = ""
    ask: str = Field(default="", max_length=MAX_QUESTION)


@runtime_checkable
class WeighingIntent(Protocol):
    """A reader that gives its probability."""

    name: str

    def weigh_turn(self, turn: ChatTurn) -> tuple[list[Act] | None, float]: ...


class LanguageIntent:
    """Turns read by a language model; without an answer the other reader reads them."""
    # A local model reads only turns of which the shipped reader is not sure (free talk): with 1.5 billion weights it
    # read eight of fifteen turns right, the shipped reader ten, eight of the nine that it was sure of.

    def __init__(self, llm: LanguageModel, reader: Intent, tell: Callable[[str], None]) -> None:
        self.llm, self.reader = llm, reader
        self.name = self.last = llm.name  # last: who read the last turn
        self.question = ""  # back to the user about the last turn, where acts are None; else empty
        self._failures = Failures(tell)

    def understand(self, turn: ChatTurn) -> list[Act] | None:
        self.question, self.last = "", self.llm.name
        if self.llm.backend.local and isinstance(self.reader, WeighingIntent):
            acts, probability = self.reader.weigh_turn(turn)
            if acts and probability >= MIN_READER_PROBABILITY:
                self.last = self.reader.name
                return acts
        history = [line for said, reply in turn.before for line in (said, f"(answered: {reply})")]
        values = {"timeline": _list_segments(turn), "history": history, "request": turn.request}
        try:
            answer = self.llm.ask(
                prompt("chat_turn"), values, TurnAnswer, temperature=0.0, tokens=ANSWER_TOKENS,
                check=lambda answer: _check(answer, turn),
            )[0].value  # fmt: skip
        except LlmFailed as e:
            self._failures.tell(f"{e}; {self.reader.name} reads instead")
        else:
            self._failures.end()
            if answer.acts.strip():
                return possible(answer.acts, turn)
            self.question = " ".join(answer.ask.split())
            return None
        acts = self.reader.understand(turn)
        self.last = getattr(self.reader, "last", self.reader.name)
        return acts


def _list_segments(turn: ChatTurn) -> str:
    """The segments in one line, with the activities that they are steps of."""
    activities = turn.activities or ("",) * len(turn.captions)
    lengths = turn.lengths or (0.0,) * len(turn.captions)
    rows = [
        f"{n}. {caption} ({f'{length:.1f} s' if length else '?'}{f', {activity}' if activity else ''})"
        for n, (caption, length, activity) in enumerate(zip(turn.captions, lengths, activities, strict=True), 1)
    ]
    takes = [f"takes {' '.join(TAKE_LETTERS[: turn.takes])}"] if turn.takes > 1 else []
    return " | ".join([" ".join(rows) or "empty", *takes])


def _check(answer: TurnAnswer, turn: ChatTurn) -> None:
    """Raises Malformed for acts that are none, or cannot be meant, and for an answer without acts and question."""
    if not answer.acts.strip():
        if not answer.ask.strip() or not answer.ask.isprintable():
            raise Malformed("neither acts nor a question back")
        return
    try:
        acts = read(answer.acts)
    except UserError as e:
        raise Malformed(str(e)) from None
    if (reason := why_not(acts, turn) or find_missing_number(acts, turn)) or possible(answer.acts, turn) is None:
        raise Malformed(reason or "a caption that says the same over and over")


BODY_ONLY = "this conversation moves the body only; accepted: a feeling, a voice, a conversation with faces"
SURELY_UNKNOWN = 0.6  # from which a movement is asked about, and not made of what is nearest


def open_intent(model: Any) -> Intent:
    """The reader of turns of an `avatargpt.AvatarGPT`; raises UserError where its folder has no reading network."""
    index = model.phrase_index
    if index is None or index.reads is None:
        raise UserError(f"{model.source}: no reading network in this folder; accepted: other weights, or --llm")

    def unknown(caption: str) -> str:
        (names,) = index.reads.names([caption])
        if dict(names)[None] < SURELY_UNKNOWN:
            return ""
        near = ", ".join(name.replace("_", " ") for name, _ in names if name is not None)
        return f"I know no movement like {caption.removeprefix('a person ')!r}; near: {near}. Say it in other words"

    return TurnReader(index.reads.reader, unknown)
