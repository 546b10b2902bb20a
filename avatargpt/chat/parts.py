"""Parts of a turn, as the reader types them, as acts on the segments that stand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields, replace
from typing import Any

from avatargpt.chat.questions import OpenQuestion, Question, place_of
from avatargpt.chat.references import OpenReference, Similarity, Target, target
from avatargpt.chat.timeline import no_segment
from avatargpt.chat.turn_text import CONTINUES, LENGTH, TEMPO, ChatTurn, as_caption, changed, on_other_side
from avatargpt.chat.view import NotThere, View, gap, outlook_of
from avatargpt.requests.english import lemmas
from instruct_data.dialogue.acts import FORMATS, TAKE_LETTERS, Act, from_json, write
from instruct_data.requests.spec import Asked, TurnPart
from vqvae.errors import UserError

ALL_STEPS = 99  # of undo: as many as there are
SOUNDS = ("wav", "flac", "ogg", "mp3")
# of beginning anew: what is there is not thrown away on a guess
MIN_RESTART_PROBABILITY = 0.8
MAX_ROUNDS = 8  # of one turn
DEFAULT_NAME = "motion"  # what is saved without a name
PERCENT = 10.0  # a factor above it is in per cent
MAX_NAME_WORDS = 4
# acts that begin a timeline, and those about segments, as the reader of turns names them
BEGINNINGS = frozenset({"make", "then", "plan"})
ABOUT_SEGMENTS = frozenset(
    "before replace edit retime total speed faster slower longer shorter mirror again delete move loop rename play "
    "save export".split()
)
SINGLY = frozenset("each every both them ones".split())  # of a length: that of every segment
TOPICS = {
    "total_length": "total length", "frames": "total length in frames", "count": "number of segments",
    "longest": "longest segment", "shortest": "shortest segment", "files": "loaded files", "plan": "plan",
}  # fmt: skip
MISSING: dict[Asked, str] = {
    "times": "how often? e.g. 3 times", "seconds": "how long? e.g. 5 seconds", "name": "what shall it be called?",
    "what": "what should happen instead? e.g. a bow",
}
STRENGTH: dict[str, float] = {"slight": 0.4, "small": 0.6, "large": 1.4, "very_large": 1.8}  # of what a face does
_GLUE = frozenset("a an the and as or it file".split())
Acts = list[tuple[str, dict[str, Any]]]


class Missing(Exception):
    """A part lacks what is `asked`."""

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
        self.asked = asked


def acts_of(parts: Sequence[TurnPart], turn: ChatTurn, similarity: Similarity | None = None) -> list[Act]:
    """The acts of the parts of a turn; empty where one of them is incomplete.

    Raises:
        OpenQuestion: several segments may be meant, or a number is missing. UserError: what is named is not there.
    """
    out: list[Act] = []
    view = View(turn, outlook_of(turn), similarity)
    for i, part in enumerate(parts):
        if part.act == "chat" and len(parts) > 1:  # "Great. Save it."
            continue
        if part.act == "make" and view.count and part.sure < MIN_RESTART_PROBABILITY:
            part = part.model_copy(update={"act": "then"})
        if part.act in ABOUT_SEGMENTS and part.act != "before" and not view.count:
            raise UserError(no_segment(1, 0))
        if part.act == "redo" and part.of and not out and view.count and target(part.of, view.outlook) is None:
            part = part.model_copy(update={"act": "then", "text": part.of, "of": ""})  # "also he nods": none does yet
        try:
            acts = [from_json({"do": do, **values}) for do, values in _acts(part, view)]
        except OpenReference as e:
            raise OpenQuestion(_which(e, parts, i, turn, similarity)) from None
        except Missing as e:
            rows = tuple(p.model_dump() for p in parts)
            raise OpenQuestion(Question(e.asked, MISSING[e.asked], part.act, (), rows, i)) from None
        if not acts:
            return []
        for act in acts:
            out.append(act)
            view.apply(act)
    return out


def _which(
    error: OpenReference, parts: Sequence[TurnPart], at: int, turn: ChatTurn, similarity: Similarity | None
) -> Question:
    """The question which of several segments a part means, with the acts of each answer."""
    part, options = parts[at], []
    name = "of" if part.of == error.words else "to_of"
    for n in error.options:
        changed = [*parts[:at], part.model_copy(update={name: f"segment {n}"}), *parts[at + 1 :]]
        with suppress(UserError):
            options.append((str(n), write(acts_of(changed, turn, similarity))))
    return Question("which", str(error), part.act, tuple(options))


def at_segment(n: int | None) -> dict[str, int]:
    """The segment of an act, where one is named."""
    return {} if n is None else {"segment": n}


def stretch(goal: Target) -> dict[str, int]:
    """The first and the last segment of an act, where several are named, or one."""
    if goal.several:
        return {"segment": goal.several[0], "to": goal.several[-1]}
    return at_segment(goal.segment)


def _acts(p: TurnPart, view: View) -> Acts:
    turn, count = view.turn, view.count
    seconds = {} if p.seconds is None else {"seconds": round(p.seconds, 3)}
    match p.act:
        case "make" | "then" | "before":
            return _movement(p, view, seconds)
        case "replace":
            return _replacement(p, view, seconds)
        case "edit":
            goal = view.at(p.of)
            if not p.text:
                return []
            if goal.everything or goal.several:
                return [("edit", {"segment": n, "change": p.text}) for n in view.numbers(goal)]
            return [("edit", {**at_segment(goal.segment), "change": p.text})]
        case "retime" | "total":
            return _length(p, view, seconds)
        case "speed" | "faster" | "slower":
            return _tempo(p, view)
        case "longer" | "shorter":
            return _longer(p, view)
        case "mirror" | "again" | "describe":
            if p.act == "describe" and turn.files:
                return [("describe", {"file": turn.files[0]})]
            goal = view.at(p.of)
            rounds = min(p.times or 1, MAX_ROUNDS) if p.act == "again" else 1
            each: Acts = [(p.act, at_segment(n)) for n in goal.several or (goal.segment,)]
            return each * rounds
        case "keep":
            letter = _take(p.text or p.of, turn.takes)
            return [("keep", {"choice": letter})] if letter else []
        case "delete":
            goal = view.at(p.of)
            if not count:
                return []
            return [("delete", {"segment": n}) for n in sorted(view.numbers(goal), reverse=True)]
        case "move":
            return _move(p, view)
        case "loop":
            goal = view.at(p.of)
            if p.times is None:
                raise Missing("times")
            numbers = () if goal.everything else goal.several or (goal.segment,)
            return [("loop", {**at_segment(n), "times": p.times}) for n in numbers or (None,)]
        case "rename":
            goal = view.at(p.of)
            if not p.text:
                raise Missing("name")
            return [("rename", {**stretch(goal), "name": typed(p.text, view.turn.request)})]
        case "undo" | "redo":
            return _travel(p, view)
        case _:
            return _other(p, view, seconds)


def _movement(p: TurnPart, view: View, seconds: dict[str, float]) -> Acts:
    if not p.text:
        return [] if p.act != "then" else [("then", {**seconds, "text": CONTINUES})]
    text, count = _caption(p), view.count
    if not count:
        return [("make", {**seconds, "text": text})]
    text = _repeated(p, view) or text
    place = gap(p, view) if p.act == "before" or p.where else None
    if p.act == "make":
        return [("make", {**seconds, "text": text})]
    if place is None or place >= count:
        return [("then", {**seconds, "text": text})]
    return [("before", {"segment": place + 1, **seconds, "text": text})]


def _repeated(p: TurnPart, view: View) -> str:
    """The caption of a movement that is told by one that stands, empty where it is not: "the spin again", "the same
    with the other hand", "and the left leg"."""
    captions = view.outlook.captions
    if p.act == "then" and (new := next((new for c in captions[::-1] if (new := on_other_side(c, p.text))), "")):
        return new
    if p.act == "then" and p.of and target(p.of, view.outlook) == Target():  # "the same"
        return changed(captions[view.focus - 1], p.text).caption
    if p.text.split()[0] not in ("the", "that"):
        return ""
    words = set(lemmas(p.text)) - {"again"}
    return next((c for c in captions if words and words <= set(lemmas(c))), "")


def _replacement(p: TurnPart, view: View, seconds: dict[str, float]) -> Acts:
    last = view.turn.last[-1] if view.turn.last else Act("chat")
    if p.text and not p.of and last.do == "delete" and last.segment:  # "instead he bows": where something was removed
        if last.segment > view.count:
            return _movement(p.model_copy(update={"act": "then", "where": None}), view, seconds)
        return [("before", {"segment": last.segment, **seconds, "text": _caption(p)})]
    goal = view.at(p.of)
    if not view.count:
        return []
    if not p.text:
        raise Missing("what")
    if goal.everything:
        return [("make", {**seconds, "text": _caption(p)})]
    first, *others = view.numbers(goal)
    new: Acts = [("delete", {"segment": n}) for n in sorted(others, reverse=True)]
    new.append(("replace", {"segment": first, "text": _caption(p)}))
    return new + ([("retime", {"segment": first, **seconds})] if seconds else [])


def _caption(p: TurnPart) -> str:
    """The movement of a part as a caption, with its count."""
    return as_caption(p.text) + _often(p)


def _often(p: TurnPart) -> str:
    """The count of a part in words, behind others."""
    return {None: "", 1: " once", 2: " twice"}.get(p.times, f" {p.times} times")


def _length(p: TurnPart, view: View, seconds: dict[str, float]) -> Acts:
    goal = view.at(p.of)
    if p.seconds is None:
        raise Missing("seconds")
    singly = bool(SINGLY & set(p.of.split()))
    if p.act == "total" or (goal.everything and not singly):
        return [("total", seconds)]
    numbers = view.numbers(goal)
    if goal.together and not singly:
        whole = sum(view.outlook.lengths[n - 1] for n in numbers)
        return _scaled(numbers, view, p.seconds / max(whole, 1e-6))
    return [("retime", {"segment": n, **seconds}) for n in numbers]


def _scaled(numbers: Sequence[int], view: View, factor: float) -> Acts:
    lengths = view.outlook.lengths
    return [("retime", {"segment": n, "seconds": round(lengths[n - 1] * factor, 2)}) for n in numbers]


def _tempo(p: TurnPart, view: View) -> Acts:
    goal = view.at(p.of)
    factor = p.factor
    if factor is not None and factor > PERCENT:
        share = factor / 100
        factor = {"faster": 1 + share, "slower": 1 - share}.get(p.act, share)
    elif factor is not None and p.act == "slower" and factor > 1:
        factor = 1 / factor
    numbers = goal.several or (goal.segment,)
    if factor is not None:
        return [("speed", {**at_segment(n), "factor": round(factor, 4)}) for n in numbers] if factor > 0 else []
    if p.act == "speed":
        return []
    if goal.everything:
        return [("speed", {"factor": TEMPO[p.act][p.much]})]
    return [("edit", {**at_segment(n), "change": f"much {p.act}" if p.much else p.act}) for n in numbers]


def _longer(p: TurnPart, view: View) -> Acts:
    goal, lengths = view.at(p.of), view.outlook.lengths
    if not view.count:
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
    numbers = view.numbers(goal)
    if goal.together:
        whole = sum(lengths[n - 1] for n in numbers)
        return _scaled(numbers, view, new(whole) / max(whole, 1e-6))
    return [("retime", {"segment": n, "seconds": round(new(lengths[n - 1]), 2)}) for n in numbers]


def _move(p: TurnPart, view: View) -> Acts:
    goal, count = view.at(p.of), view.count
    if goal.everything or count < 2:
        return []
    second = view.at(p.to_of) if p.to_of else None
    if p.where is None and (len(goal.several) == 2 or (second is not None and second.segment)):
        first, last = sorted(goal.several or (goal.segment or view.focus, (second.segment if second else 0) or 1))
        if first == last:
            return []
        there: Acts = [("move", {"segment": last, "to": first})]
        return there if last == first + 1 else [*there, ("move", {"segment": first + 1, "to": last})]
    if p.where is None and not p.of and count == 2:  # "swap them"
        return [("move", {"segment": 2, "to": 1})]
    if p.where in ("before", "after") and not p.to_of:  # "no, before the wave": what was last spoken of moves there
        if goal.segment is None or view.focus in (goal.several or (goal.segment,)):
            return []
        p, goal = p.model_copy(update={"of": "", "to_of": p.of}), Target()
    numbers = view.numbers(goal)
    place = p.times and (p.times - 1 if p.times <= numbers[0] else p.times) if p.where is None else gap(p, view)
    if place is None or (p.where is None and not p.times):
        return []
    if place >= numbers[-1]:
        return [("move", {"segment": numbers[0], "to": place}) for _ in numbers]
    moves: Acts = [("move", {"segment": n, "to": place + i}) for i, n in enumerate(numbers, 1)]
    return [m for m in moves if m[1]["segment"] != m[1]["to"]] or moves[:1]


def _travel(p: TurnPart, view: View) -> Acts:
    """Undo and redo; where they name another segment than the last act was about, that act on it."""
    steps: Acts = [(p.act, {"steps": p.times} if p.times and p.times > 1 else {})]
    act = view.turn.last[-1] if view.turn.last else Act("chat")
    former = view.turn.former if p.act == "undo" else None
    if former is not None:  # numbers and words are those of before
        view = View(view.turn, replace(outlook_of(former), focus=act.segment or former.focus), view.similarity)
    goal = view.find(p.of or "it")
    if goal == Target(everything=True):
        return [(p.act, {"steps": ALL_STEPS})]
    numbers = () if goal is None else goal.several or ((goal.segment,) if goal.segment else ())
    if not numbers or act.segment is None or act.segment in numbers or act.do == "before":
        return steps
    values = {k: v for k, v in act.to_json().items() if k != "do"}
    done: Acts = [(act.do, {**values, "segment": n}) for n in numbers]
    return [("undo", {}), *done] if p.act == "undo" else done


def _other(p: TurnPart, view: View, seconds: dict[str, float]) -> Acts:
    turn = view.turn
    if p.act in ("load", "speak"):
        if not turn.files:
            return []
        do = "speak" if turn.files[0].rsplit(".", 1)[-1] in SOUNDS else "load"
        return [(do, {"file": turn.files[0], **({"text": p.text} if do == "speak" and _words(p, turn) else {})})]
    if p.act == "plan":
        if not p.text:
            return []
        place = gap(p, view) if view.count and (p.where or p.of) else None
        where = {} if place is None or place >= view.count else {"at": place + 1}
        return [("plan", {**({"activities": p.times} if p.times else {}), **seconds, **where, "scene": p.text})]
    if p.act in ("save", "export"):
        goal = view.at(p.of)
        where = stretch(goal)
        if turn.files:
            named = [f for f in turn.files if p.text and p.text.replace(" ", "") in f]
            return [("save", {"name": f, **where}) for f in named or turn.files]
        formats = [w for w in f"{turn.request} {p.text}".replace(",", " ").replace(".", " ").split() if w in FORMATS]
        name = file_name(typed(p.text, turn.request), formats)
        if name:
            return [("save", {"name": f"{name}.{formats[0]}" if formats else name, **where})]
        if formats:
            return [("export", {"format": f, **where}) for f in dict.fromkeys(formats)]
        return [("save", {"name": DEFAULT_NAME, **where})] if p.act == "save" else []
    if p.act == "show":
        return [("show", {"what": p.what or "timeline"})]
    if p.act == "question":
        try:
            return [("question", {"about": _topic(p, view)})]
        except OpenReference as e:  # what is asked of several is answered of each
            each = [p.model_copy(update={"of": f"segment {n}"}) for n in e.options]
            return [("question", {"about": _topic(q, view)}) for q in each]
    if p.act == "face":
        return _face(p, view)
    return [(p.act, {})]


def _face(p: TurnPart, view: View) -> Acts:
    """What a face does, in the segments that are named. Raises NotThere."""
    if not p.text:
        return []
    goal = view.find(p.of)
    if goal is None:
        raise NotThere(p.of)
    numbers = view.numbers(goal) if p.of and view.count else (None,)
    factor = {} if p.size is None else {"factor": STRENGTH[p.size]}
    return [("face", {**at_segment(n), **factor, "text": p.text + _often(p)}) for n in numbers]


def _words(p: TurnPart, turn: ChatTurn) -> bool:
    return bool(p.text) and not any(p.text.replace(" ", "") in f for f in turn.files)


def _take(text: str, takes: int) -> str:
    """The letter of a take."""
    words = text.lower().split()
    for w in words:
        place = place_of(w)
        if place is not None and place < len(TAKE_LETTERS):
            return TAKE_LETTERS[place]
    if {"last", "new", "latest"} & set(words):
        return TAKE_LETTERS[max(takes, 1) - 1]
    return "a" if {"old", "previous", "original", "earlier", "before"} & set(words) else ""


def _topic(p: TurnPart, view: View) -> str:
    if p.topic in TOPICS:
        return TOPICS[p.topic]
    goal = view.find(p.of)
    numbers = [] if goal is None else list(goal.several or ((goal.segment,) if goal.segment else ()))
    if goal is not None and numbers and p.where in ("before", "after"):
        n = numbers[-1] + 1 if p.where == "after" else numbers[0] - 1
        if not 1 <= n <= view.count:
            raise UserError(f"there is nothing {p.where} segment {numbers[-1]}")
        numbers = [n]
    which = f"of segment{'s' * (len(numbers) > 1)} {' '.join(map(str, numbers))}"
    if p.topic in ("length", "start"):
        return f"{p.topic} {which}" if numbers else "total length"
    return f"text {which}" if numbers else p.text or "timeline"


def typed(words: str, request: str) -> str:
    """Words of the reader, to which signs and numbers are words, with the blanks that the user typed."""
    letters = (re.escape(c) for c in words if not c.isspace())
    match = re.search(r"\s*".join(letters), request) if words.strip() else None
    return match[0] if match else words


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


_OFFERS: dict[str, str] = {
    "make": "begin anew with {text}", "then": "add {text}", "before": "put {text} before segment {segment}",
    "replace": "replace segment {segment} by {text}", "edit": "change segment {segment}: {change}",
    "retime": "let segment {segment} last {seconds:g} s", "total": "let all of it last {seconds:g} s",
    "delete": "remove segment {segment}", "plan": "plan {scene}", "again": "make another take of segment {segment}",
    "question": "answer a question", "show": "show the {what}", "undo": "undo the last change",
    "loop": "play {which} {times} times", "speed": "play {which} {factor:g} times as fast",
    "mirror": "exchange left and right of {which}", "load": "load {file}", "save": "save {name}", "chat": "just listen",
    "help": "explain what is possible", "describe": "describe {which}", "rename": "call segment {segment} {name}",
    "pull": "pull {pin}", "face": "let the face look {text}", "speak": "speak {file}", "redo": "do the undone again",
    "export": "write it as {format}", "play": "play it", "move": "move segment {segment} to place {to}",
    "keep": "keep take {choice}",
}  # fmt: skip


def in_words(acts: Sequence[Act], focus: int) -> str:
    """Acts as one may offer them; what has no wording is written as in the line."""
    out = []
    for act in acts:
        values = {f.name: getattr(act, f.name) for f in fields(act)}
        values["which"] = f"segment {act.segment}" if act.segment else "all of it"
        values["segment"] = act.segment or focus
        out.append(_OFFERS[act.do].format(**values) if act.do in _OFFERS else write([act]))
    return " and ".join(out)
