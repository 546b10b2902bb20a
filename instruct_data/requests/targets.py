"""Targets: what requests mean as rows of tokens and of places of words, see `instruct_data.factory.requests.pairs`."""

from __future__ import annotations

from typing import get_args

from instruct_data.dialogue.acts import SHOWN, SPOKEN
from instruct_data.requests.spec import ATTRIBUTES, Course, Direction, Moment, Path, Side, Size, Strength, Tempo

ACTS = (*SPOKEN, "faster", "slower", "longer", "shorter")  # of turns
TOPICS = ("total_length", "frames", "length", "start", "text", "count", "longest", "shortest", "files", "plan", "side")
CHOICES: dict[str, tuple[str, ...]] = {
    "side": get_args(Side), "tempo": get_args(Tempo), "size": get_args(Size), "strength": get_args(Strength),
    "direction": get_args(Direction), "path": get_args(Path), "until_end": ("yes",), "in_place": ("yes",),
    "hold": ("yes",), "loop": ("yes",), "course": get_args(Course), "moment": get_args(Moment), "alternating": ("yes",),
    "where": ("before", "after", "start", "end", "between"), "what": SHOWN, "topic": TOPICS,
    "unknown": ("yes",),
}  # fmt: skip
VALUES = (
    "times", "seconds", "minutes", "turn", "distance", "factor", "at", "until", "wait", "every", "pause", "from", "to",
    "total_s", "total_min", "rounds", "in_all",
)  # fmt: skip
COPIED = ("style", "target", "other", "word", "of", "to_of", "start", "end")
# of the request, not of a clause
WHOLE = ("loop", "total_s", "total_min", "start", "end", "alternating", "rounds", "in_all")

Target = list[str | int]
OPENING = {"": "new", "+": "with", "!": "not", **{act: f"act={act}" for act in ACTS}}
ORDER = [*ATTRIBUTES, "at", "until", "wait", "every", "pause", "from", "to", "course", "word", "moment", "of",
          "where", "to_of", "what", "topic", "unknown"]  # fmt: skip
ORDER[ORDER.index("seconds") + 1 : ORDER.index("seconds") + 1] = ["minutes"]
