"""Acts that a turn of a conversation asks for, as a line of text, and their effect on the outline of segments."""

# A line holds one or more acts joined by `" | "`. An act is its name, then numbers with their units, then after a
# colon free text: `then 4s: a person waves | edit 2: slower | speed 1 x0.5 | move 3 1 | save: walk.glb | undo 2`.
# A plan enters the timeline behind what stands, or before a segment: `plan 3 120s @2: a nurse's night shift`.
#
# The outline of a conversation is a line, too: `1 walks forward 3s; 2 waves the left hand 4.5s | takes a b | plan`.
# `Outline` replays acts on such a list without making any motion.

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import numpy as np

from instruct_data.text.english import mirror_text
from vqvae.errors import UserError

# The line: acts joined by a bar.
JOIN = " | "
MAX_ACTS = 300  # as many as there can be segments
MAX_TEXT = 400  # characters of free text
MIN_SECONDS, MAX_SECONDS = 0.2, 1800.0  # of a conversation; `avatargpt long` makes more
SHOWN = ("timeline", "captions", "plan", "frames")
FORMATS = ("npz", "bvh", "glb", "vrma", "npy", "csv", "json", "mp4", "gif", "png", "fbx")
TAKE_LETTERS = "abcdefghi"
Shape = Literal["count", "place", "from", "until", "seconds", "factor", "word", "text"]
# How each field of an act is written in the line.
SHAPES: dict[str, Shape] = {
    "segment": "count", "to": "count", "steps": "count", "activities": "count", "at": "place",
    "start": "from", "end": "until", "seconds": "seconds",
    "factor": "factor", "times": "factor", "choice": "word", "format": "word", "what": "word",
    "pin": "text", "text": "text", "change": "text", "scene": "text", "about": "text", "name": "text", "file": "text",
}  # fmt: skip
_SPAN = ("start?", "end?")  # seconds of the timeline instead of a segment
# act -> what it takes, in the order it is written; "?" = may be left out
TAKES: dict[str, tuple[str, ...]] = {
    "make": ("seconds?", "text"), "then": ("seconds?", "text"), "before": ("segment", "seconds?", "text"),
    "replace": ("segment", "text"), "edit": ("segment?", *_SPAN, "change", "text?"),
    "retime": ("segment?", *_SPAN, "seconds"),
    "total": ("seconds",), "speed": ("segment?", *_SPAN, "factor"), "mirror": ("segment?", *_SPAN),
    "again": ("segment?",), "keep": ("choice",), "delete": ("segment?", *_SPAN), "move": ("segment", "to"),
    "loop": ("segment?", *_SPAN, "times"),
    "pull": ("pin",), "hold": ("file",), "repaint": (*_SPAN, "text", "file?"), "load": ("file",),
    "plan": ("activities?", "seconds?", "at?", "scene"),
    "rename": ("segment?", "to?", "name"), "describe": ("segment?", "file?"),
    "question": ("about",), "show": ("what",), "play": (), "undo": ("steps?",), "redo": ("steps?",),
    "save": ("segment?", "to?", "name"), "export": ("format", "segment?", "to?"),
    "face": ("segment?", *_SPAN, "factor?", "text"),
    "speak": ("file", "text?"), "help": (), "chat": (), "clarify": (),
}  # fmt: skip

# acts that are done by hand; no words of a turn ask for them, and the reader of turns does not know them
BY_HAND = frozenset({"pull", "hold", "repaint"})
SPOKEN = tuple(act for act in TAKES if act not in BY_HAND)


@dataclass(frozen=True)
class Act:
    """One thing to do."""

    do: str  # its name, a key of `TAKES`
    segment: int | None = None  # which segment, from 1
    to: int | None = None  # where a moved segment goes, or the last one of a stretch that begins with `segment`
    at: int | None = None  # segment before which a plan enters the timeline
    # seconds of the timeline from and until which it is done, instead of a segment
    start: float | None = None
    end: float | None = None
    seconds: float | None = None  # a length
    factor: float | None = None  # of speed, or of the strength of what a face does
    times: int | None = None  # how often a segment is repeated, or all that stand
    steps: int | None = None  # how many acts to undo or redo
    activities: int | None = None  # of a plan
    choice: str | None = None  # a take, ``a``, ``b``, ...
    format: str | None = None  # a suffix of `FORMATS`
    what: str | None = None  # what to show
    # a hand or foot, a second of the timeline, and its place there in metres: ``left_hand 3.2 0.10 1.25 0.40``
    pin: str | None = None
    text: str | None = None  # a caption or a facial instruction; of an edit the caption that the change makes
    change: str | None = None  # what is different
    scene: str | None = None  # of a plan
    about: str | None = None  # what a question is about
    name: str | None = None  # of a saved file, with a suffix or without; or of a segment
    file: str | None = None  # what to read

    def __post_init__(self) -> None:
        if self.do not in TAKES:
            raise UserError(f"act {self.do!r}; accepted: {', '.join(TAKES)}")
        takes = {t.rstrip("?"): not t.endswith("?") for t in TAKES[self.do]}
        if self.start is not None and (self.end or MAX_SECONDS) <= self.start:
            raise UserError(f"act {self.do}: from {self.start:g} to {self.end:g} s; accepted an end behind the start")
        if self.do == "delete" and self.segment is None and self.start is None and self.end is None:
            raise UserError("act delete: needs segment")
        for f in fields(self):
            if f.name == "do":
                continue
            value = getattr(self, f.name)
            if value is None:
                if takes.get(f.name):
                    raise UserError(f"act {self.do}: needs {f.name}")
            elif f.name not in takes:
                raise UserError(f"act {self.do}: takes no {f.name}")
            else:
                _check(self.do, f.name, value)

    def to_json(self) -> dict[str, Any]:
        """As in the dialogues: ``{"do": ..., ...}`` with what is given."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}


def follow_lines(lines: list[int | None], do: str, segment: int | None, to: int | None) -> None:
    """Move the lines of a timeline as an act moves its segments; None stands for one that the turn itself makes."""
    if do == "make":
        lines[:] = [None]
    elif do in ("then", "load"):
        lines.append(None)
    elif segment is None or not 1 <= segment <= len(lines):
        return
    elif do == "before":
        lines.insert(segment - 1, None)
    elif do == "delete":
        lines.pop(segment - 1)
    elif do == "move" and to is not None:
        lines.insert(to - 1, lines.pop(segment - 1))


_LIMITS: dict[str, tuple[float, float]] = {
    "segment": (1, 999), "to": (1, 999), "at": (1, 999), "steps": (1, 99), "activities": (1, 20), "times": (1, 99),
    "start": (0, MAX_SECONDS), "end": (MIN_SECONDS, MAX_SECONDS), "seconds": (MIN_SECONDS, MAX_SECONDS),
    "factor": (0.1, 10),
}  # fmt: skip


def _check(do: str, name: str, value: Any) -> None:
    if name in _LIMITS:
        low, high = _LIMITS[name]
        integral = SHAPES[name] in ("count", "place") or name == "times"
        number = int if integral else (int, float)
        if isinstance(value, bool) or not isinstance(value, number) or not low <= value <= high:
            raise UserError(f"act {do}: {name} {value!r}; accepted {low:g} to {high:g}")
        return
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_TEXT:
        raise UserError(f"act {do}: {name} must be text of 1 to {MAX_TEXT} characters")
    if "|" in value or not value.isprintable():
        raise UserError(f"act {do}: {name} may not contain | or control characters")
    if name == "choice" and not re.fullmatch("[a-z]", value):
        raise UserError(f"act {do}: choice {value!r}; accepted a to z")
    if name == "what" and value not in SHOWN:
        raise UserError(f"act {do}: {value!r}; accepted: {', '.join(SHOWN)}")
    if name == "format" and not re.fullmatch("[a-z0-9]{2,5}", value):
        raise UserError(f"act {do}: format {value!r}; accepted a file suffix")


def from_json(row: Mapping[str, Any]) -> Act:
    """An act from the dialogues' form. A save's name and format become one file name, a take's number its letter; a
    `long` of older dialogues is a plan.
    """
    values = dict(row)
    if values.get("do") == "long":
        values["do"] = "plan"
    if values.get("do") == "save" and "format" in values:
        values["name"] = f"{values.get('name')}.{values.pop('format')}"
    if re.fullmatch("[1-9]", str(values.get("choice", ""))):
        values["choice"] = TAKE_LETTERS[int(values["choice"]) - 1]
    if unknown := sorted(set(values) - {f.name for f in fields(Act)}):
        raise UserError(f"act {values.get('do')!r}: takes no {', '.join(unknown)}")
    try:
        return Act(**values)
    except TypeError as e:
        raise UserError(f"act: {e}") from None


def write(acts: Sequence[Act]) -> str:
    """Acts -> one line."""
    return JOIN.join(_write(a) for a in acts)


def _write(act: Act) -> str:
    head, tail = [act.do], []
    for name in (t.rstrip("?") for t in TAKES[act.do]):
        value = getattr(act, name)
        if value is None:
            continue
        match SHAPES[name]:
            case "count" | "word":
                head.append(str(value))
            case "place":
                head.append(f"@{value}")
            case "from" | "until" | "seconds":
                head.append(f"{'from' if name == 'start' else 'to' if name == 'end' else ''}{round(value, 3):.7g}s")
            case "factor":
                head.append(f"x{value:.4g}")
            case "text":
                tail.append(" ".join(value.split()))
    return " ".join(head) + (f": {'; '.join(tail)}" if tail else "")


_TOKEN: dict[Shape, re.Pattern[str]] = {
    "count": re.compile(r"(\d{1,3})"), "place": re.compile(r"@(\d{1,3})"),
    "from": re.compile(r"from(\d{1,4}(?:\.\d{1,3})?)s"), "until": re.compile(r"to(\d{1,4}(?:\.\d{1,3})?)s"),
    "seconds": re.compile(r"(\d{1,4}(?:\.\d{1,3})?)s"),
    "factor": re.compile(r"x(\d{1,3}(?:\.\d{1,4})?)"), "word": re.compile(r"([a-z0-9]+)"),
}  # fmt: skip


def read(line: str) -> list[Act]:
    """One line -> acts; the inverse of `write`, and strict."""
    parts = [p.strip() for p in line.split(JOIN.strip())]
    if not 1 <= len(parts) <= MAX_ACTS:
        raise UserError(f"{len(parts)} acts in one turn; accepted 1 to {MAX_ACTS}")
    return [_read(p) for p in parts]


def _read(part: str) -> Act:
    head, colon, tail = part.partition(":")
    words = head.split()
    if not words or words[0] not in TAKES:
        raise UserError(f"{part!r}: not an act; accepted: {', '.join(TAKES)}")
    values: dict[str, Any] = {}
    at = 1
    texts = []
    for take in TAKES[words[0]]:
        name = take.rstrip("?")
        shape = SHAPES[name]
        if shape == "text":
            texts.append(name)
            continue
        match = _TOKEN[shape].fullmatch(words[at]) if at < len(words) else None
        if match:
            raw = match.group(1)
            if name == "times" and not raw.isdigit():
                raise UserError(f"{part!r}: {words[at]} times; accepted a whole number")
            number = int if shape in ("count", "place") or name == "times" else float
            values[name] = raw if shape == "word" else number(raw)
            at += 1
    if at != len(words) or bool(colon) != bool(tail.strip()) or (tail.strip() and not texts):
        raise UserError(f"{part!r}: not understood as {words[0]}")
    if tail.strip():
        parts = tail.split(";", 1) if len(texts) == 2 else [tail]
        values |= dict(zip(texts, (s.strip() for s in parts), strict=False))
    return Act(words[0], **values)


# The outline: the state of a conversation in one line.
EMPTY = "empty"
SHOWN_WORDS = 7  # of each caption
SHOWN_SEGMENTS = 8  # the last ones
_PERSON = re.compile(r"^(?:a|the) person\s+(?=\S)")


def outline(captions: Sequence[str], seconds: Sequence[float], takes: int = 1, planned: bool = False) -> str:
    """The line for segments with these captions and lengths; `takes` of the last act are open for choice."""
    rows = []
    for i, (caption, length) in enumerate(zip(captions, seconds, strict=True), 1):
        words = _PERSON.sub("", " ".join(caption.lower().replace("|", " ").split())).split()
        rows.append(f"{i} {' '.join(words[:SHOWN_WORDS]).rstrip(';,.')} {round(length * 2) / 2:g}s")
    parts = ["; ".join(rows[-SHOWN_SEGMENTS:]) or EMPTY]
    if takes > 1:
        parts.append("takes " + " ".join(TAKE_LETTERS[:takes]))
    if planned:
        parts.append("plan")
    return " | ".join(parts)


@dataclass
class Outline:
    """Segments as captions and seconds."""

    captions: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    takes: int = 1  # versions of one segment that the user can choose among, 1 = no choice open
    planned: bool = False  # whether there is a plan

    @property
    def text(self) -> str:
        return outline(self.captions, self.seconds, self.takes, self.planned)

    def _at(self, act: Act) -> int:
        n = len(self.captions) if act.segment is None else act.segment
        if not 1 <= n <= len(self.captions):
            raise UserError(f"{act.do}: no segment {n}; there are {len(self.captions)}")
        return n - 1

    def _put(self, at: int, text: str, seconds: float) -> None:
        self.captions.insert(at, text)
        self.seconds.insert(at, seconds)

    def apply(self, act: Act, usual: float) -> None:
        """Do one act."""
        self.takes = self.takes + 1 if act.do == "again" else 1
        match act.do:
            case "make":
                self.captions, self.seconds = [str(act.text)], [act.seconds or usual]
            case "then" | "load":
                self._put(len(self.captions), str(act.text or act.file), act.seconds or usual)
            case "before":
                self._put(self._at(act), str(act.text), usual)
            case "replace":
                self.captions[self._at(act)] = str(act.text)
            case "edit":
                self.captions[self._at(act)] += f", {act.change}"
            case "retime":
                self.seconds[self._at(act)] = act.seconds or usual
            case "delete":
                at = self._at(act)
                del self.captions[at], self.seconds[at]
            case "move":
                at = self._at(act)
                self._put(min(act.to or 1, len(self.captions)) - 1, self.captions.pop(at), self.seconds.pop(at))
            case "total" | "speed" | "mirror":
                self._scale(act)
            case "plan":
                at = len(self.captions) if act.at is None else min(act.at - 1, len(self.captions))
                self._put(at, str(act.scene), act.seconds or usual)
                self.planned = True
            case "again" | "describe":
                if act.file is None and (self.captions or act.segment):
                    self._at(act)
            case _:
                pass

    def _scale(self, act: Act) -> None:
        indices = range(len(self.captions)) if act.segment is None else [self._at(act)]
        factor = act.factor or 1.0
        if act.do == "total":
            factor = max(sum(self.seconds), 0.1) / (act.seconds or 1.0)
        for i in indices:
            self.seconds[i] /= factor
            if act.do == "mirror":
                self.captions[i] = mirror_text(self.captions[i])


class Replay:
    """An `Outline` with undo: every act that changes it is one step."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng, self.now = rng, Outline()
        self._past: list[Outline] = []
        self._future: list[Outline] = []

    def apply(self, act: Act) -> None:
        """Do one act, undo and redo included; what cannot be done (nothing to undo) does nothing."""
        usual = float(self._rng.integers(4, 11)) / 2
        if act.do in ("undo", "redo"):
            source, target = (self._past, self._future) if act.do == "undo" else (self._future, self._past)
            for _ in range(min(act.steps or 1, len(source))):
                target.append(self.now)
                self.now = source.pop()
            return
        new = copy.deepcopy(self.now)
        try:
            new.apply(act, usual)
        except UserError:
            return
        if new != self.now:
            self._past.append(self.now)
            self._future.clear()
            self.now = new
