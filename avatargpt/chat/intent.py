"""Readers of turns: the shipped network, a language model, and the tests that acts are possible."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from pydantic import BaseModel, Field

from avatargpt.chat.timeline import MAX_SEGMENTS
from avatargpt.chat.turn_text import CONTINUES, LENGTH, QUESTION, TEMPO, ChatTurn, Target, as_caption, target
from avatargpt.llm import LanguageModel
from avatargpt.llm.model import LlmFailed, Malformed, prompt
from avatargpt.requests.english import below_zero
from instruct_data.dialogue.acts import FORMATS, TAKE_LETTERS, Act, from_json, read
from instruct_data.dialogue.dialogues import ORDINALS
from instruct_data.requests.pairs import is_numeral, value_of, words_of
from instruct_data.requests.spec import TurnPart
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.lm.text_encoder import SentenceGrounder
    from avatargpt.requests.reader import RequestReader

NEED_SEGMENTS = frozenset(
    "then before replace edit retime total speed mirror again delete move loop play save export".split()
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
        self.llm, self.reader, self._tell = llm, reader, tell
        self.name = self.last = llm.name  # last: who read the last turn
        self.question = ""  # back to the user about the last turn, where acts are None; else empty
        self._failed = False

    def understand(self, turn: ChatTurn) -> list[Act] | None:
        self.question, self.last = "", self.llm.name
        if self.llm.backend.local and isinstance(self.reader, WeighingIntent):
            acts, probability = self.reader.weighed(turn)
            if acts and probability >= MIN_READER_PROBABILITY:
                self.last = self.reader.name
                return acts
        if not self._failed:
            values = {"timeline": turn.timeline or "empty", "history": list(turn.history), "request": turn.request}
            try:
                answer = self.llm.ask(
                    prompt("chat_turn"), values, TurnAnswer, temperature=0.0, tokens=ANSWER_TOKENS,
                    check=lambda answer: _check(answer, turn),
                )[0].value  # fmt: skip
            except LlmFailed as e:
                self._failed = e.lasting
                self._tell(f"{e}; {self.reader.name} reads instead")
            else:
                if answer.acts.strip():
                    return possible(answer.acts, turn)
                self.question = " ".join(answer.ask.split())
                return None
        acts = self.reader.understand(turn)
        self.last = getattr(self.reader, "last", self.reader.name)
        return acts


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


MIN_PROBABILITY = 0.25  # less sure than this it is better to ask
ALL_STEPS = 99  # of undo: as many as there are
SOUNDS = ("wav", "flac", "ogg", "mp3")
# of beginning anew: what is there is not thrown away on a guess
MIN_RESTART_PROBABILITY = 0.8
MAX_ROUNDS = 8  # of one turn
DEFAULT_NAME = "motion"  # what is saved without a name
PERCENT = 10.0  # a factor above it is in per cent
MAX_NAME_WORDS = 4
TOPICS = {
    "total_length": "total length", "frames": "total length in frames", "count": "number of segments",
    "longest": "longest segment", "shortest": "shortest segment", "files": "loaded files", "plan": "plan",
}  # fmt: skip
_GLUE = frozenset("a an the and as or it file".split())
Similarity = Callable[[str], Sequence[float]]
Acts = list[tuple[str, dict[str, Any]]]
Point = Callable[[str], Target | None]


class TurnIntent:
    """The reader of turns; `reader` of a model folder, `grounder` a sentence encoder for the meaning of captions."""

    name = "reader"

    def __init__(self, reader: RequestReader, grounder: SentenceGrounder) -> None:
        self.reader, self.grounder = reader, grounder

    def understand(self, turn: ChatTurn) -> list[Act] | None:
        acts, probability = self.weighed(turn)
        return acts if probability >= MIN_PROBABILITY else None

    def weighed(self, turn: ChatTurn) -> tuple[list[Act] | None, float]:
        """Acts, and the lowest of their probabilities (0..1)."""
        parts = self.reader.read_turn(turn.request)
        if not parts or any(p.act == "clarify" for p in parts):
            return None, 0.0
        acts = acts_of(parts, turn, self._similarity(turn.captions))
        probability = min(p.sure for p in parts)
        return (acts, probability) if acts and not why_not(acts, turn) else (None, 0.0)

    def _similarity(self, captions: Sequence[str]) -> Similarity:
        def similarity(words: str) -> Sequence[float]:
            vectors = np.asarray(self.grounder.sentence([words, *captions]))
            return [float(x) for x in vectors[1:] @ vectors[0]]

        return similarity


def file_name(text: str, formats: Sequence[str] = ()) -> str:
    """The name of a file: ``my walk`` -> ``my_walk``; empty: a format alone, or too many words."""
    plain = text.replace(" . ", ".").lower()
    # "mp 4": letters and digits are words of their own
    for suffix in formats:
        letters = suffix.rstrip("0123456789")
        plain = plain.replace(f"{letters} {suffix.removeprefix(letters)}".strip(), "")
    words = ["".join(c for c in w if c.isalnum() or c in "._~/-") for w in plain.split()]
    names = [w for w in words if w and w not in FORMATS and w != "."]
    return "_".join(names) if set(names) - _GLUE and len(names) <= MAX_NAME_WORDS else ""


def at_segment(goal: Target) -> dict[str, int]:
    """The segment of an act, where one is named."""
    return {} if goal.segment is None else {"segment": goal.segment}


def segments_of(goal: Target, count: int) -> Sequence[int]:
    """The segments of a target: several, all of `count`, one, or by default the last one."""
    return goal.several or (range(1, count + 1) if goal.everything else (goal.segment or count,))


def gap(p: TurnPart, count: int, at: Point) -> int | None:
    """Number of segments before the place that a part names; raises UserError where there are several such places."""
    if p.where == "start":
        return 0
    if p.where == "end":
        return count
    words = p.to_of if p.act == "move" else p.of or p.to_of
    goal = at(words)
    pair = goal is not None and len(goal.several) == 2 and goal.several[1] == goal.several[0] + 1
    if p.where == "between" or (p.act == "before" and pair):
        ends = [t.segment for t in (at(p.of) if p.act != "move" else None, at(p.to_of)) if t and t.segment]
        ends = list(goal.several) if goal and len(goal.several) == 2 else ends
        if len(ends) == 2 and abs(ends[0] - ends[1]) == 1:
            return max(ends) - 1
        if len(ends) == 2:
            raise UserError(f"segments {min(ends)} and {max(ends)} are not neighbours; say before or after which one")
        if count == 2:
            return 1
        raise UserError(f"between which of the {count} segments? e.g. between segments 1 and 2")
    if goal is None:
        return None
    if goal.everything:
        return count if p.where == "after" else 0
    n = goal.segment or (count if p.where == "after" or words else 1)
    return n if p.where == "after" else n - 1


def tempo_acts(p: TurnPart, goal: Target | None) -> Acts:
    if goal is None:
        return []
    factor = p.factor
    if factor is not None and factor > PERCENT:
        share = factor / 100
        factor = {"faster": 1 + share, "slower": 1 - share}.get(p.act, share)
    elif factor is not None and p.act == "slower" and factor > 1:
        factor = 1 / factor
    if factor is not None:
        return [("speed", {**at_segment(goal), "factor": round(factor, 4)})] if factor > 0 else []
    if p.act == "speed":
        return []
    if goal.everything:
        return [("speed", {"factor": TEMPO[p.act][p.much]})]
    numbers = goal.several or (goal.segment,)
    return [("edit", {**at_segment(Target(n)), "change": f"much {p.act}" if p.much else p.act}) for n in numbers]


def length_acts(p: TurnPart, goal: Target | None, lengths: Sequence[float]) -> Acts:
    if goal is None or not lengths:
        return []
    sign = 1 if p.act == "longer" else -1

    def new(old: float) -> float:
        if p.seconds is not None:
            return old + sign * p.seconds
        if p.factor is not None:
            share = p.factor / 100 if p.factor > PERCENT else p.factor
            return old * (1 + sign * share if share <= 1 else share if sign > 0 else 1 / share)
        return old * LENGTH[p.act][p.much]

    if goal.everything:
        return [("total", {"seconds": round(new(sum(lengths)), 2)})]
    n = goal.segment or len(lengths)
    return [("retime", {"segment": n, "seconds": round(new(lengths[n - 1]), 2)})]


def move_acts(p: TurnPart, count: int, at: Point) -> Acts:
    goal = at(p.of)
    if goal is None or goal.everything or count < 2:
        return []
    second = at(p.to_of) if p.to_of else None
    if p.where is None and (goal.several or (second is not None and second.segment)):
        first, last = sorted(goal.several or (goal.segment or count, (second.segment if second else 0) or 1))
        if first == last:
            return []
        there: Acts = [("move", {"segment": last, "to": first})]
        return there if last == first + 1 else [*there, ("move", {"segment": first + 1, "to": last})]
    segment = goal.segment or count
    if p.where is None and not p.of and count == 2:  # "swap them"
        return [("move", {"segment": 2, "to": 1})]
    if p.where is None:
        return [("move", {"segment": segment, "to": p.times})] if p.times else []
    place = gap(p, count, at)
    if place is None:
        return []
    return [("move", {"segment": segment, "to": place if place >= segment else place + 1})]


def acts_of(parts: Sequence[TurnPart], turn: ChatTurn, similarity: Similarity | None = None) -> list[Act]:
    """The acts of the parts of a turn; empty where one of them is incomplete; UserError for open references."""
    captions, lengths = list(turn.captions), list(turn.lengths)
    out: list[Act] = []
    for part in parts:
        if part.act == "chat" and len(parts) > 1:  # "Great. Save it."
            continue
        if part.act == "make" and captions and part.sure < MIN_RESTART_PROBABILITY:
            part = part.model_copy(update={"act": "then"})
        if part.act in ("edit", "replace") and part.text and not captions:
            part = part.model_copy(update={"act": "make"})
        acts = [from_json({"do": do, **values}) for do, values in _acts(part, captions, lengths, turn, similarity)]
        if not acts:
            return []
        for act in acts:
            out.append(act)
            _apply(act, captions, lengths)
    return out


def _apply(act: Act, captions: list[str], lengths: list[float]) -> None:
    """The context after an act, as far as later parts of the turn may refer to it."""
    text = str(act.text or act.scene or act.file or "")
    usual = act.seconds or 4.0
    if act.do == "make":
        captions[:], lengths[:] = [text], [usual]
    elif act.do in ("then", "plan", "load"):
        captions.append(text)
        lengths.append(usual)
    elif act.do == "before":
        captions.insert((act.segment or 1) - 1, text)
        lengths.insert((act.segment or 1) - 1, usual)
    elif act.do == "delete" and act.segment:
        del captions[act.segment - 1 : act.segment], lengths[act.segment - 1 : act.segment]


def _acts(
    p: TurnPart, captions: list[str], lengths: list[float], turn: ChatTurn, similarity: Similarity | None
) -> Acts:
    count = len(captions)

    def at(words: str) -> Target | None:
        return target(words, captions, similarity) if words else Target()

    seconds = {} if p.seconds is None else {"seconds": round(p.seconds, 3)}
    match p.act:
        case "make" | "then" | "before":
            return _movement(p, count, seconds, at)
        case "replace":
            goal = at(p.of)
            if not count or not p.text or goal is None:
                return []
            values: Acts = [("replace", {"segment": goal.segment or count, "text": _caption(p)})]
            return values + ([("retime", {"segment": goal.segment or count, **seconds})] if seconds else [])
        case "edit":
            goal = at(p.of)
            if goal is None or not p.text or goal.everything and count < 1:
                return []
            if goal.everything or goal.several:
                return [("edit", {"segment": n, "change": p.text}) for n in segments_of(goal, count)]
            return [("edit", {**at_segment(goal), "change": p.text})]
        case "retime" | "total":
            goal = at(p.of)
            if goal is None or not seconds:
                return []
            if p.act == "total" or (goal.everything and not {"each", "every", "both"} & {*p.of.split()}):
                return [("total", seconds)]
            return [("retime", {"segment": n, **seconds}) for n in segments_of(goal, count)]
        case "speed" | "faster" | "slower":
            return tempo_acts(p, at(p.of))
        case "longer" | "shorter":
            return length_acts(p, at(p.of), lengths)
        case "mirror" | "again" | "describe":
            if p.act == "describe" and turn.files:
                return [("describe", {"file": turn.files[0]})]
            goal = at(p.of)
            rounds = min(p.times or 1, MAX_ROUNDS) if p.act == "again" else 1
            return [] if goal is None else [(p.act, at_segment(goal))] * rounds
        case "keep":
            letter = _take(p.text or p.of, turn.takes)
            return [("keep", {"choice": letter})] if letter else []
        case "delete":
            goal = at(p.of)
            if goal is None or not count:
                return []
            return [("delete", {"segment": n}) for n in sorted(segments_of(goal, count), reverse=True)]
        case "move":
            return move_acts(p, count, at)
        case "loop":
            if p.times is None:
                raise UserError("how often? e.g. loop it 3 times")
            goal = at(p.of)
            if goal is None:
                return []
            numbers = () if goal.everything else goal.several or (goal.segment,)
            return [("loop", {**at_segment(Target(n)), "times": p.times}) for n in numbers or (None,)]
        case "rename":
            goal = at(p.of)
            if goal is None or not p.text:
                return []
            if goal.several:
                return [("rename", {"segment": goal.several[0], "to": goal.several[-1], "name": p.text})]
            return [("rename", {**at_segment(goal), "name": p.text})]
        case "undo" | "redo":
            steps = ALL_STEPS if target(p.of or "it", captions, None) == Target(everything=True) else p.times
            return [(p.act, {"steps": steps} if steps and steps > 1 else {})]
        case _:
            return _other_acts(p, turn, count, seconds, at)


def _other_acts(p: TurnPart, turn: ChatTurn, count: int, seconds: dict[str, float], at: Point) -> Acts:
    if p.act in ("load", "speak"):
        if not turn.files:
            return []
        do = "speak" if turn.files[0].rsplit(".", 1)[-1] in SOUNDS else "load"
        return [(do, {"file": turn.files[0], **({"text": p.text} if do == "speak" and _words(p, turn) else {})})]
    if p.act == "plan":
        if not p.text:
            return []
        place = gap(p, count, at) if p.where else None
        where = {} if place is None or place >= count else {"at": place + 1}
        return [("plan", {**({"activities": p.times} if p.times else {}), **seconds, **where, "scene": p.text})]
    if p.act in ("save", "export"):
        goal = at(p.of)
        where = {} if goal is None else at_segment(goal)
        if goal is not None and goal.several:
            where = {"segment": goal.several[0], "to": goal.several[-1]}
        if turn.files:
            return [("save", {"name": f, **where}) for f in turn.files]
        formats = [w for w in f"{turn.request} {p.text}".replace(",", " ").replace(".", " ").split() if w in FORMATS]
        name = file_name(p.text, formats)
        if name:
            return [("save", {"name": f"{name}.{formats[0]}" if formats else name, **where})]
        if formats:
            return [("export", {"format": f, **where}) for f in dict.fromkeys(formats)]
        return [("save", {"name": DEFAULT_NAME, **where})] if p.act == "save" else []
    if p.act == "show":
        return [("show", {"what": p.what or "timeline"})]
    if p.act == "question":
        return [("question", {"about": _topic(p, at(p.of))})]
    if p.act == "face":
        return [("face", {"text": p.text})] if p.text else []
    return [(p.act, {})]


def _words(p: TurnPart, turn: ChatTurn) -> bool:
    return bool(p.text) and not any(p.text.replace(" ", "") in f for f in turn.files)


def _movement(p: TurnPart, count: int, seconds: dict[str, float], at: Point) -> Acts:
    if not p.text:
        return [] if p.act != "then" else [("then", {**seconds, "text": CONTINUES})]
    text = _caption(p)
    if not count:
        return [("make", {**seconds, "text": text})]
    place = gap(p, count, at) if p.act == "before" or p.where else None
    if p.act == "make":
        return [("make", {**seconds, "text": text})]
    if place is None or place >= count:
        return [("then", {**seconds, "text": text})]
    return [("before", {"segment": place + 1, **seconds, "text": text})]


def _caption(p: TurnPart) -> str:
    """The movement of a part as a caption, with its count."""
    often = {None: "", 1: " once", 2: " twice"}.get(p.times, f" {p.times} times")
    return as_caption(p.text) + often


def _take(text: str, takes: int) -> str:
    """The letter of a take."""
    words = text.lower().split()
    for w in words:
        if len(w) == 1 and w in TAKE_LETTERS:
            return w
        if w.isdigit() and 1 <= int(w) <= len(TAKE_LETTERS):
            return TAKE_LETTERS[int(w) - 1]
        if w in ORDINALS:
            return TAKE_LETTERS[ORDINALS.index(w)]
    if {"last", "new", "latest"} & set(words):
        return TAKE_LETTERS[max(takes, 1) - 1]
    return "a" if {"old", "previous", "original", "earlier", "before"} & set(words) else ""


def _topic(p: TurnPart, goal: Target | None) -> str:
    if p.topic in TOPICS:
        return TOPICS[p.topic]
    n = goal.segment if goal else None
    if p.topic in ("length", "start"):
        what = "length" if p.topic == "length" else "start"
        return f"{what} of segment {n}" if n else "total length"
    return f"text of segment {n}" if n else p.text or "timeline"


def open_intent(model: Any) -> Intent:
    """The reader of turns of an `avatargpt.AvatarGPT`; raises UserError where its folder has no reader of requests."""
    index = model.phrase_index
    if index is None or index.reader is None or model.grounder is None:
        raise UserError(f"{model.source}: no reader of requests in this folder; accepted: other weights, or --llm")
    return TurnIntent(index.reader, model.grounder)
