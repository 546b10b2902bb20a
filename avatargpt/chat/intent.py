"""From a turn to acts: what was heard, whether acts can be meant by it, and the model's own reading of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from avatargpt.chat.heard import ASKS, GOES_ON, Heard
from avatargpt.chat.timeline import MOST_SEGMENTS
from avatargpt.requests.english import below_zero
from instruct_data.dialogue.acts import TAKE_LETTERS, Act, read
from instruct_data.dialogue.dialogues import turn_slots
from instruct_data.requests.pairs import words_of
from instruct_data.requests.wording import is_numeral, value_of
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

    Segments must exist at the moment of their act, files must be named in the turn, takes must be open.
    """
    count, takes = len(heard.captions), heard.takes
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


def check_named(heard: Heard) -> None:
    """Numbers that no act can have.

    Raises:
        UserError: a number below zero.
    """
    if said := below_zero(heard.request):
        raise UserError(f"{said}; accepted numbers above zero: say slower, shorter or less for the other direction")


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
    return None if why_not(acts, heard) or unsaid(acts, heard) else acts


def unsaid(acts: Sequence[Act], heard: Heard) -> str:
    """The number of an act that nobody said, as a reason why it cannot be meant; empty = all were said."""
    said = stated(heard.request)
    for act in acts if not heard.history else ():
        for value in (act.seconds, act.factor, act.times, act.activities):
            if value is not None and round(float(value), 3) not in said:
                return f"{act.do}: no {value:g} in the turn"
    return ""


def stated(text: str) -> set[float]:
    """The numbers that a text names, and what they are as minutes or per cent."""
    runs: list[list[str]] = [[]]
    for word in words_of(text):
        if is_numeral(word):
            runs[-1].append(word)
        elif runs[-1]:
            runs.append([])
    found = [v for run in runs if run and (v := value_of(run)) is not None]
    return {round(x, 3) for v in found for x in (v, 60 * v, v / 100)} | {0.5, 2.0, 3.0}  # half, twice, thrice
