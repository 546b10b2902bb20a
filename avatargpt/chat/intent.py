"""Readers of turns: the shipped network, a language model, and the tests that acts are possible."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from pydantic import BaseModel, Field

from avatargpt.chat.parts import ABOUT_SEGMENTS, BEGINNINGS, acts_of, in_words
from avatargpt.chat.questions import OpenQuestion, Question
from avatargpt.chat.timeline import MAX_SEGMENTS
from avatargpt.chat.turn_text import CONTINUES, QUESTION, ChatTurn
from avatargpt.llm import LanguageModel
from avatargpt.llm.model import Failures, LlmFailed, Malformed, prompt
from avatargpt.reading.reader import MIN_KNOWN
from avatargpt.requests.english import below_zero
from instruct_data.dialogue.acts import TAKE_LETTERS, Act, read, write
from instruct_data.requests.pairs import is_numeral, value_of, words_of
from instruct_data.requests.spec import TurnPart
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.lm.text_encoder import SentenceGrounder
    from avatargpt.requests.reader import RequestReader

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
        if act.do == "undo" and turn.former is not None:
            count = len(turn.former.captions)
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
    return None if why_not(acts, turn) or missing_number(acts, turn) else acts


def _repetitive(text: str) -> bool:
    """A sentence of one word, or one that has the same three words twice."""
    words = text.split()
    threes = list(zip(words, words[1:], words[2:], strict=False))
    return len(words) < 2 or len(set(threes)) < len(threes)


def missing_number(acts: Sequence[Act], turn: ChatTurn) -> str:
    """A reason where a number of an act is not in the turn, else empty."""
    numbers = numbers_in(turn.request)
    for act in acts if not turn.history else ():
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

    def weighed(self, turn: ChatTurn) -> tuple[list[Act] | None, float]: ...


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
            acts, probability = self.reader.weighed(turn)
            if acts and probability >= MIN_READER_PROBABILITY:
                self.last = self.reader.name
                return acts
        history = [*turn.history, *([f"(asked back: {turn.question.text})"] if turn.question else [])]
        values = {"timeline": _listed(turn), "history": history, "request": turn.request}
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


def _listed(turn: ChatTurn) -> str:
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
    if (reason := why_not(acts, turn) or missing_number(acts, turn)) or possible(answer.acts, turn) is None:
        raise Malformed(reason or "a caption that says the same over and over")


BODY_ONLY = "this conversation moves the body only; accepted: a feeling, a voice, a conversation with faces"
MIN_PROBABILITY = 0.25  # less sure than this it is better to ask


class TurnIntent:
    """The reader of turns; `reader` of a model folder, `grounder` a sentence encoder for the meaning of captions.

    Args:
        knows: whether words name a movement that the model knows.
        faces: whether faces are moved, too; otherwise another reading than one about a face is taken, if there is one.
    """

    name = "reader"

    def __init__(
        self, reader: RequestReader, grounder: SentenceGrounder, knows: Callable[[str], bool], faces: bool = True
    ) -> None:
        self.reader, self.grounder, self._knows, self._faces = reader, grounder, knows, faces

    def understand(self, turn: ChatTurn) -> list[Act] | None:
        acts, probability = self.weighed(turn)
        return acts if probability >= MIN_PROBABILITY else None

    def weighed(self, turn: ChatTurn) -> tuple[list[Act] | None, float]:
        """Acts, and the lowest of their probabilities (0..1).

        Raises:
            OpenQuestion: another reading is about as likely, or something is left open. UserError: what is named is
            not there.
        """
        readings = self.reader.read_turn_twice(turn.request, turn.state)
        if not turn.captions and turn.question is None:
            readings = self._beginnings(readings, turn)
        first, *others = readings
        mistake: UserError | None = None
        try:
            acts, probability = self._acts(first, turn)
        except UserError as e:
            (acts, probability), mistake = (None, 0.0), e
        for parts in others:
            second, likely = None, 0.0
            with suppress(UserError):
                second, likely = self._acts(parts, turn)
            if second and not acts:
                return second, likely
            if second and acts and second != acts:
                raise OpenQuestion(self._either(acts, second, turn))
        if mistake is not None:
            raise mistake
        return acts, probability

    def _beginnings(self, readings: list[list[TurnPart]], turn: ChatTurn) -> list[list[TurnPart]]:
        """Where nothing stands, the readings that can be done; without any, the likeliest one of a known movement."""
        # The network is trained on orders in any state: "hop on the left leg 4x" is most like one about a segment.
        unable = {*ABOUT_SEGMENTS, "clarify", "keep", "redo"}
        unable -= {"redo"} if turn.last and turn.last[-1].do in ("undo", "redo") else set()
        unable |= {"undo"} if turn.former is None else set()
        unable |= {"load", "speak", "describe"} if not turn.files else set()
        able = [r for r in readings if r and r[0].act not in unable and self._likely(r, turn)]
        describes = any(r[0].act in ("edit", "replace") for r in readings[:1] if r)  # in words of a movement
        if not (describes or self._knows(turn.request)):
            return able or readings
        if able:
            return able[:1] if able[0][0].act in BEGINNINGS else able
        for throughout in (False, True):
            parts = self.reader.read_turn_as(BEGINNINGS, turn.request, turn.state, throughout)
            if not parts and not describes:
                return readings
            if parts and self._likely(parts, turn):
                return [parts]
        return [[TurnPart(act="make", text=turn.request)]]

    def _likely(self, parts: list[TurnPart], turn: ChatTurn) -> bool:
        """Whether a reading can be done and is likely enough, or leaves a question open."""
        try:
            return self._acts(parts, turn)[1] >= MIN_PROBABILITY
        except OpenQuestion:
            return True
        except UserError:
            return False

    def _acts(self, parts: list[TurnPart], turn: ChatTurn) -> tuple[list[Act] | None, float]:
        """The acts of one reading; an answer to an open question completes the turn that left it open."""
        if turn.question is not None:
            if line := turn.question.chosen(parts):
                return read(line), 1.0
            parts = turn.question.completed(parts) or parts
        if not parts or any(p.act == "clarify" for p in parts):
            return None, 0.0
        acts = acts_of(parts, turn, self._similarity)
        if not self._faces and any(act.do == "face" for act in acts):
            raise UserError(BODY_ONLY)
        return (acts, min(p.sure for p in parts)) if acts and not why_not(acts, turn) else (None, 0.0)

    @staticmethod
    def _either(first: list[Act], second: list[Act], turn: ChatTurn) -> Question:
        focus = turn.focus or len(turn.captions)
        offers = [in_words(acts, focus) for acts in (first, second)]
        options = tuple(("", write(acts)) for acts in (first, second))
        return Question("which", f"Shall I {offers[0]} (first), or {offers[1]} (second)?", first[0].do, options)

    def _similarity(self, words: str, sentences: Sequence[str]) -> list[float]:
        vectors = np.asarray(self.grounder.sentence([words, *sentences]))
        return [float(x) for x in vectors[1:] @ vectors[0]]


def open_intent(model: Any, faces: bool = True) -> Intent:
    """The reader of turns of an `avatargpt.AvatarGPT`, `faces` as of `TurnIntent`; raises UserError where its folder
    has no reader of requests.
    """
    index = model.phrase_index
    if index is None or index.reader is None or model.grounder is None:
        raise UserError(f"{model.source}: no reader of requests in this folder; accepted: other weights, or --llm")
    grounder = model.grounder

    def knows(text: str) -> bool:
        return any(c.known >= MIN_KNOWN for c in index.clauses(text, grounder))

    return TurnIntent(index.reader, grounder, knows, faces)
