"""Programs: the typed items that a text is read as, declared task by task."""
# A text is read as a row of items (the clauses of a request, the acts of a turn, the events of a scene), each with the
# same fields. A field is one of five kinds:
#
#     name    one of a long table (an action), or none of it
#     choice  one of a few words (a side), or none
#     flag    yes or no
#     number  a numeral of the text ("3", "twice"), or one of `CONSTANTS` ("slower"), or none
#     place   one of the text's marked places (the lines of a timeline), or none
#     words   words of the text, not necessarily side by side, or none
#
# A program that is `written` gives every item words of its own, too: a plain caption, an answer.

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

from instruct_data.requests.spec import Direction, Path, Side, Size, Strength, Tempo

Kind = Literal["name", "choice", "flag", "number", "place", "words"]

CONSTANTS = (
    0.0, 0.1, 0.25, 0.3, 0.5, 0.7, 0.75, 0.8, 1.0, 1.2, 1.25, 1.4, 1.5, 1.8, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0,
    9.0, 10.0, 12.0, 15.0, 16.0, 20.0, 24.0, 25.0, 30.0, 40.0, 45.0, 50.0, 60.0, 90.0, 100.0, 120.0, 180.0, 270.0,
    300.0, 360.0, 540.0, 600.0, 720.0,
)  # fmt: skip


@dataclass(frozen=True)
class Field:
    """One field of an item."""

    name: str
    kind: Kind
    choices: tuple[str, ...] = ()  # of a choice
    counts: bool = False  # a number that is never a part: of `CONSTANTS` whole ones from 1


@dataclass(frozen=True)
class Program:
    """What the texts of a task are read as.

    Attributes:
        items: the fields of every item. whole: those of the text as a whole, of the kinds choice, flag and number.
        pointed: the words field that says where an item stands in the text, empty = none does.
        table: the table that names are of, empty = there are none. written: whether items have words of their own.
    """

    task: str
    items: tuple[Field, ...]
    whole: tuple[Field, ...] = ()
    pointed: str = "words"
    table: str = "actions"
    written: bool = True

    @cached_property
    def by_kind(self) -> dict[Kind, tuple[Field, ...]]:
        """The items' fields of each kind, in order."""
        return {kind: tuple(f for f in self.items if f.kind == kind) for kind in get_args(Kind)}


READ = Program(
    "read",
    (
        Field("words", "words"),
        Field("action", "name"),
        Field("together", "flag"),
        Field("denied", "flag"),
        Field("until_end", "flag"),
        Field("in_place", "flag"),
        Field("hold", "flag"),
        Field("side", "choice", get_args(Side)),
        Field("direction", "choice", get_args(Direction)),
        Field("path", "choice", get_args(Path)),
        Field("tempo", "choice", get_args(Tempo)),
        Field("size", "choice", get_args(Size)),
        Field("strength", "choice", get_args(Strength)),
        Field("times", "number", counts=True),
        Field("seconds", "number"),
        Field("distance", "number"),
        Field("turn", "number"),
        Field("factor", "number"),
        Field("style", "words"),
        Field("target", "words"),
        Field("other", "words"),
    ),
    (Field("seconds", "number"), Field("loop", "flag")),
)
"""A request for a body, and its clauses."""

ACTS = (
    "make", "then", "before", "replace", "plan", "edit", "face", "retime", "total", "speed", "loop", "mirror", "delete",
    "move", "rename", "undo", "redo", "load", "save", "export", "play", "describe", "question", "clarify", "refuse",
    "chat", "again", "keep", "show", "help",
)  # fmt: skip

TOPICS = ("segment", "whole", "at", "longest", "shortest", "history", "files", "ability")
"""What a question is about: segments of the timeline, all of it, a second, ..., what the program can do."""

TURN = Program(
    "turn",
    (
        Field("do", "choice", ACTS),
        Field("topic", "choice", TOPICS),
        Field("segment", "place"),
        Field("to", "place"),
        Field("at", "place"),
        Field("seconds", "number"),
        Field("factor", "number"),
        Field("times", "number", counts=True),
        Field("steps", "number", counts=True),
        Field("from", "number"),
        Field("to_s", "number"),
    ),
    pointed="",
    table="",
)
"""A turn of a conversation behind its timeline, and its acts."""

STRENGTHS = tuple(f"{n / 10:g}" for n in range(1, 11))

SCORE = Program(
    "score",
    (
        Field("words", "words"),
        Field("name", "name"),
        Field("together", "flag"),
        Field("denied", "flag"),
        Field("until_end", "flag"),
        Field("side", "choice", ("left", "right")),
        Field("strength", "choice", STRENGTHS),
        Field("tempo", "choice", get_args(Tempo)),
        Field("course", "choice", ("rising", "fading")),
        Field("moment", "choice", ("before", "after")),
        Field("times", "number"),
        Field("seconds", "number"),
        Field("at", "number"),
        Field("until", "number"),
        Field("every", "number"),
        Field("wait", "number"),
        Field("pause", "number"),
        Field("from_share", "number"),
        Field("to_share", "number"),
        Field("during", "number"),
        Field("word", "words"),
    ),
    (Field("seconds", "number"), Field("loop", "flag")),
    table="faces",
    written=False,
)
"""An instruction to a face, and what the face does."""

EVENTS = Program(
    "events",
    (
        Field("words", "words"),
        Field("action", "name"),
        Field("seconds", "number"),
        Field("where", "words"),
    ),
    (Field("person", "choice", ("he", "she", "they", "it", "i", "you")), Field("seconds", "number")),
)
"""A scene, and what its person does in it."""

PROGRAMS = {p.task: p for p in (READ, TURN, SCORE, EVENTS)}
