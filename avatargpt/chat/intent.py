"""From a turn to acts: what was heard, whether acts can be meant by it, and the model's own reading of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from avatargpt.chat.timeline import MOST_SEGMENTS, no_length, no_segment
from avatargpt.language.chat import slots
from avatargpt.language.chat.heard import ASKS, GOES_ON, Heard
from avatargpt.language.lexical import lemmas
from avatargpt.language.numbers import below_zero
from instruct_data.dialogue.acts import LEAST_SECONDS, MOST_SECONDS, TAKE_LETTERS, TAKES, Act, read
from instruct_data.dialogue.dialogues import turn_slots
from vqvae.errors import UserError

MAX_TOKENS = 96
BEAMS = 4
SAMPLES, TEMPERATURE = 6, 0.7
NEED_SEGMENTS = frozenset(
    "then before replace edit retime total speed mirror again delete move loop play save export".split()
)
MOVEMENTS = ("make", "then", "before", "replace")
_ANSWERS = frozenset("chat clarify help question show describe".split())


class Intent(Protocol):
    """Anything that reads turns. `name` is what `Reply.understood` says."""

    name: str

    def understand(self, heard: Heard) -> list[Act] | None:
        """Acts that are possible (see `why_not`), or None: not understood.

        Raises:
            UserError: understood, but it leaves something open; says what.
        """
        ...


def why_not(acts: Sequence[Act], heard: Heard) -> str:
    """Why these acts cannot be meant by this turn; empty = they can.

    Segments must exist at the moment of their act, files and numbers must be named in the turn, takes must be open.
    """
    count, takes = len(heard.captions), heard.takes
    said = slots.values(heard.request)
    relative = bool(slots.RELATIVE.search(heard.request))
    for act in acts:
        if act.do in NEED_SEGMENTS and not count and not (act.do == "then" and act.text == GOES_ON):
            return f"{act.do}: there is nothing yet"
        for n in (act.segment, act.to):
            if n is not None and not 1 <= n <= count:
                return f"{act.do}: no segment {n}"
        if act.do == "keep" and not (takes > 1 and str(act.choice) in TAKE_LETTERS[:takes]):
            return "keep: no such take"
        if act.file is not None and act.file.lower() not in heard.files:
            return f"{act.do}: no file {act.file} in the turn"
        for value in (act.seconds, act.factor, act.times, act.activities):
            if value is not None and round(float(value), 3) not in said and not (relative or heard.history):
                return f"{act.do}: no {value:g} in the turn"
        if act.do in MOVEMENTS and ASKS.fullmatch(heard.request):
            return f"{act.do}: a question names no movement"
        takes = (takes or 1) + 1 if act.do == "again" else 0
        if act.do in ("make", "load", "long"):
            count = 1
        count += {"then": 1, "before": 1, "delete": -1}.get(act.do, 0)
    if count > MOST_SEGMENTS:
        return "too many segments"
    if heard.files and not any(a.file or a.name or a.do in _ANSWERS for a in acts):
        return "a file is named and not used"
    return ""


def check_named(acts: Sequence[Act], heard: Heard) -> None:
    """What a reading would pass over in silence: numbers in the turn that no act can have.

    Raises:
        UserError: a number below zero, a length out of range, a choice of takes that are not there, or, in a turn that
            is about segments or begins with an order about one, a segment that is not there.
    """
    if said := below_zero(heard.request):
        raise UserError(f"{said}; accepted numbers above zero: say slower, shorter or less for the other direction")
    for length in slots.lengths(heard.request):
        if not LEAST_SECONDS <= length <= MOST_SECONDS:
            raise UserError(no_length(length))
    letter = slots.choice(heard.request)
    if letter and not any(a.do == "keep" for a in acts):
        if heard.takes < 2:
            raise UserError("there are no takes to choose among; say: another take")
        if letter not in TAKE_LETTERS[: heard.takes]:
            raise UserError(f"there is no take {letter}; accepted a to {TAKE_LETTERS[heard.takes - 1]}")
    for n in slots.ordered(heard.request):
        if n > len(heard.captions):
            raise UserError(no_segment(n, len(heard.captions)))
    about = {a.do for a in acts if a.do == "question" or TAKES[a.do][:1] in (("segment",), ("segment?",))}
    if (acts and not about) or "plan" in heard.request.split():  # "step 5 of the plan" is none of the timeline's
        return
    there = len(heard.captions) + sum(a.do in ("make", "then", "before") for a in acts)
    for n in slots.explicit(heard.request):
        if not 1 <= n <= there:
            raise UserError(no_segment(n, there))


def _stutters(text: str) -> bool:
    """A sentence of one word, or one that says the same three words twice."""
    words = text.split()
    threes = list(zip(words, words[1:], words[2:], strict=False))
    return len(words) < 2 or len(set(threes)) < len(threes)


class ModelIntent:
    """The network's own answer to the task ``chat_turn``: beam search, then samples until one is possible.

    Args:
        model: an `avatargpt.AvatarGPT` whose weights know the task.
        samples: drawn when the likeliest answer is not possible.
    """

    name = "network"

    def __init__(self, model: Any, samples: int = SAMPLES) -> None:
        self.model, self.samples = model, samples

    def lines(self, heard: Heard, samples: int = 0) -> list[str]:
        """Answers as they were written: the likeliest one, or `samples` drawn ones."""
        slots_ = turn_slots(heard.request, heard.timeline, heard.history)
        loaded = self.model.loaded
        encoded = loaded.encode([loaded.prompt("chat_turn", slots_)])
        how: dict[str, Any] = {"beams": BEAMS}
        if samples:
            how = {"samples": samples, "temperature": TEMPERATURE, "top_p": 0.95, "seed": list(range(samples))}
        decoded = loaded.generator.decode(encoded, "text", max_tokens=MAX_TOKENS, **how)
        return [loaded.text.decode([t for t in row if t >= 0]) for row in decoded.codes.tolist()]

    def likeliest(self, heard: Heard) -> list[Act] | None:
        """The acts of the likeliest answer, or None where they are not possible."""
        return possible(self.lines(heard)[0], heard)

    def understand(self, heard: Heard) -> list[Act] | None:
        if acts := self.likeliest(heard):
            return acts
        for line in self.lines(heard, self.samples) if self.samples else []:
            if acts := possible(line, heard):
                return acts
        return None


def possible(line: str, heard: Heard) -> list[Act] | None:
    """The acts of a line, or None: not in the grammar, or not possible in this turn."""
    try:
        acts = read(line)
    except UserError:
        return None
    if any(a.do in MOVEMENTS and _stutters(str(a.text)) for a in acts):
        return None
    return None if why_not(acts, heard) else acts


def grounded_text(text: str, heard: Heard) -> bool:
    """Whether a caption says what the turn says: half of its content words are the user's or an earlier caption's."""
    said = set(lemmas(text))
    known = set(lemmas(" ".join([heard.request, *heard.history[-1:], *heard.captions])))
    return bool(said) and len(said & known) >= len(said) / 2
