"""Questions that a conversation asks, and the answers to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from instruct_data.dialogue.acts import TAKE_LETTERS
from instruct_data.dialogue.dialogues import ORDINALS
from instruct_data.requests.pairs import is_numeral, value_of
from instruct_data.requests.spec import Asked, TurnPart
from vqvae.errors import UserError

_SLOTS: dict[str, tuple[str, ...]] = {
    "times": ("times",), "seconds": ("seconds",), "what": ("text", "times", "seconds"), "name": ("text",),
}  # fmt: skip
_ANSWERS = {"what": ("make", "then", "before", "replace", "plan")}  # acts in which something to do is named
MAX_ANSWER_WORDS = 4  # of one that chooses


@dataclass(frozen=True)
class Question:
    """A question of one line."""

    asked: Asked  # what it asks for
    text: str  # as it was said
    act: str  # that it is about
    # Each with its words, the number of a segment or empty, and its line of acts
    options: tuple[tuple[str, str], ...] = ()
    parts: tuple[dict[str, Any], ...] = ()  # of the turn that left something open, as `TurnPart`s
    at: int = 0  # number of the part that did

    def to_json(self) -> dict[str, Any]:
        return {
            "asked": self.asked, "text": self.text, "act": self.act, "options": [list(o) for o in self.options],
            "parts": list(self.parts), "at": self.at,
        }  # fmt: skip

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Question:
        """The inverse of `to_json`; raises KeyError, TypeError or ValueError for anything else."""
        options = tuple((str(words), str(line)) for words, line in row["options"])
        parts = tuple(TurnPart(**p).model_dump() for p in row["parts"])
        if parts and not 0 <= int(row["at"]) < len(parts):
            raise ValueError(f"part {row['at']} of {len(parts)}")
        return cls(row["asked"], str(row["text"]), str(row["act"]), options, parts, int(row["at"]))

    def chosen(self, parts: Sequence[TurnPart]) -> str:
        """The line of the option that an answer names, empty where it names none."""
        if len(parts) != 1 or not self.options:
            return ""
        (part,) = parts
        words = (part.of or part.text).split()
        if part.seconds or part.factor or part.times or (part.of and part.text) or len(words) > MAX_ANSWER_WORDS:
            return ""
        for word in words:  # a segment's own number comes before the place in the list
            if line := next((line for key, line in self.options if key == word), ""):
                return line
        for word in words:
            place = place_of(word)
            if place is not None and place < len(self.options):
                return self.options[place][1]
        if {"last", "latter"} & set(words):
            return self.options[-1][1]
        return ""

    def completed(self, parts: Sequence[TurnPart]) -> list[TurnPart]:
        """The parts of the turn that left something open with what an answer adds, empty where it adds nothing."""
        if len(parts) != 1 or not self.parts:
            return []
        (part,) = parts
        slots = {name: value for name in _SLOTS.get(self.asked, ()) if (value := getattr(part, name))}
        if part.act not in (self.act, *_ANSWERS.get(self.asked, ())) or part.of or not slots:
            return []
        out = [TurnPart(**p) for p in self.parts]
        out[self.at] = out[self.at].model_copy(update=slots)
        return out


class OpenQuestion(UserError):
    """A turn that leaves something open."""

    def __init__(self, question: Question) -> None:
        super().__init__(question.text)
        self.question = question


def place_of(word: str) -> int | None:
    """Index that an ordinal, a number or a letter names."""
    if word in ORDINALS:
        return ORDINALS.index(word)
    if is_numeral(word) and (value := value_of([word])) is not None and value == int(value) and value >= 1:
        return int(value) - 1
    if word == "former":
        return 0
    return TAKE_LETTERS.index(word) if len(word) == 1 and word in TAKE_LETTERS else None
