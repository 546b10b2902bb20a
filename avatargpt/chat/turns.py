"""`TurnReader`: turns of a conversation to acts, by the reading network, which sees the timeline."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

from avatargpt.chat.turn_text import CONTINUES, ChatTurn
from avatargpt.reading.reader import Asked, Reader, ReadItem
from instruct_data.dialogue.acts import TAKES, Act, follow_lines, from_json
from instruct_data.reading.examples import PLACES, SPREAD, write_turn
from vqvae.errors import UserError

MIN_SURE = 0.4  # less sure than this it is better to ask, chosen on validation dialogues
NOT_DONE = "I cannot do that; accepted: what one body does, when, how, in which order, and what to save"
MISSING = {
    "times": "how often? e.g. 3 times", "seconds": "how long? e.g. 5 seconds", "name": "what shall it be called?",
    "text": "what shall it be? e.g. a bow", "change": "what shall be different?", "scene": "a plan of what?",
    "factor": "how fast? e.g. twice as fast", "file": "which file?", "format": "as what? e.g. as a bvh",
    "choice": "which take? e.g. keep a",
}  # fmt: skip
WRITTEN = {  # act -> the field that its written words are
    "make": "text", "then": "text", "before": "text", "replace": "text", "face": "text", "edit": "text",
    "plan": "scene", "rename": "name", "save": "name", "load": "file", "export": "format",
    "show": "what", "keep": "choice",
}  # fmt: skip
MOVEMENTS = ("make", "then", "before", "replace", "edit")
NUMBERS = ("seconds", "factor", "times", "steps")
Unknown = Callable[[str], str]


class TurnReader:
    """Reads turns.

    Args:
        unknown: of a caption what is to be said where the model knows no such movement, else empty.
    """

    name = "reader"

    def __init__(self, reader: Reader, unknown: Unknown = lambda caption: "") -> None:
        self.reader, self._unknown = reader, unknown

    def understand(self, turn: ChatTurn) -> list[Act] | None:
        """The acts of a turn, None where it is better to ask back; raises UserError for what is missing or unknown."""
        acts, sure = self.weigh_turn(turn)
        return acts if sure >= MIN_SURE else None

    def weigh_turn(self, turn: ChatTurn) -> tuple[list[Act] | None, float]:
        """The acts of a turn and the lowest of their probabilities; raises as `understand`."""
        text, places, start = write_turn(turn.lines, turn.request, turn.before, turn.last)
        (reading,) = self.reader.read([Asked(text, places, start)], "turn", write=True)
        items = list(reading.items)
        sure = min((item.sure for item in items), default=0.0)
        kinds = [item.values.get("do") for item in items]
        if sure < MIN_SURE or "clarify" in kinds or None in kinds:
            return None, 0.0
        if kinds == ["refuse"]:
            raise UserError(NOT_DONE)
        acts = acts_of([(_surely(i), i.written) for i in items if i.values["do"] != "refuse"], turn)
        acts = [a for a in acts if a.do != "chat"] or acts[:1]  # "Great. Save it."
        for act in acts:
            caption = act.text if act.do in MOVEMENTS and act.text != CONTINUES else None
            if caption and (told := self._unknown(caption)):
                raise UserError(told)
        return acts, sure


def acts_of(items: Iterable[tuple[Mapping[str, Any], str]], turn: ChatTurn) -> list[Act]:
    """The acts that the values and written words of a turn's items mean; raises UserError for what is missing.

    Items name segments by their lines in the timeline that the turn was said to, acts by what they then are in it.
    """
    lines: list[int | None] = list(range(1, len(turn.captions) + 1))
    acts: list[Act] = []
    for read, written in items:
        for values in _spread(read):
            files = [str(a.name or a.file) for a in acts if a.do in ("save", "load")]
            acts.append(act := _act_of(values, written, turn, lines, files))
            follow_lines(lines, act.do, act.segment, act.to)
    return acts


def _surely(item: ReadItem) -> dict[str, Any]:
    """The values of an item without numbers that are guesses and that its act cannot do without."""
    needed = [n for n in TAKES[item.values["do"]] if n in item.unsure]
    return {name: value for name, value in item.values.items() if name not in needed}


def _spread(read: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The values of an item for each segment of the row that it is said of; what goes goes from the end."""
    if read["do"] not in SPREAD or "to" not in read or "segment" not in read:
        return [read]
    first, last = sorted((read["segment"], read["to"]))
    row: list[Mapping[str, Any]] = [{**read, "segment": n} for n in range(first, last + 1)]
    return row[::-1] if read["do"] == "delete" else row


def _act_of(
    read: Mapping[str, Any], written: str, turn: ChatTurn, lines: Sequence[int | None], taken: Sequence[str]
) -> Act:
    """One act.

    Args:
        lines: where each segment that now stands stood in the timeline, None = made by this turn. taken: names of the
            files of the acts before.
    """
    do = str(read["do"])
    takes = {t.rstrip("?"): not t.endswith("?") for t in TAKES[do]}
    values: dict[str, Any] = {}
    for name in NUMBERS:
        if name in takes and name in read:
            values[name] = read[name] if name in ("seconds", "factor") else round(read[name])
    for name in PLACES:
        if name in takes and name in read:
            if read[name] not in lines:
                raise UserError(f"{do}: segment {read[name]} is no longer there")
            values[name] = lines.index(read[name]) + 1
    for name, where in (("from", "start"), ("to_s", "end")):
        if name in read and where in takes:
            values[where] = read[name]
            values.pop("segment", None)
    if do == "question":
        values["about"] = _topic(read)
    elif (name := WRITTEN.get(do, "")) in takes and written:
        values[name] = _in_words(do, written, turn, taken)
    if do == "edit" and "text" in values:
        values["change"] = turn.request
    if do in ("load", "describe") and turn.files:
        values["file"] = turn.files[0]
    if "segment" not in values and (takes.get("segment") or (do == "delete" and not values)):
        made = [n for n, line in enumerate(lines, 1) if line is None]
        values["segment"] = made[-1] if made else max(len(lines), 1)
    if do == "move" and "to" not in values:
        values["to"] = 1
    missing = [n for n, needed in takes.items() if needed and n not in values]
    if missing:
        raise UserError(MISSING.get(missing[0], f"{do}: {missing[0]}?"))
    return from_json({"do": do, **values})


def _topic(read: Mapping[str, Any]) -> str:
    """What a question is about, as `avatargpt.chat.acts.answer` takes it."""
    topic = str(read.get("topic", "whole"))
    if topic == "segment" and "segment" in read:
        first, last = sorted((read["segment"], read.get("to", read["segment"])))
        return f"segment {first}" if first == last else f"segments {first} to {last}"
    if topic == "at" and "from" in read:
        return f"second {read['from']:g}"
    return "whole" if topic in ("segment", "at") else topic


def _file_name(words: str, turn: ChatTurn, taken: Sequence[str]) -> str:
    """The file that an item means. The network writes a name piece by piece: where the turn names files it is one of
    these, the most alike of those that no item before means (`taken`), or what stands in the turn with blanks in it.
    """
    letters = "".join(words.split()).lower()
    plain = "_".join(re.sub(r" ?([._-]) ?", r"\1", words).split())  # pieces are written apart
    free = [f for f in turn.files if f not in taken] or list(turn.files)
    if not free or (letters in "".join(turn.request.split()) and not any(letters in f for f in turn.files)):
        return plain
    return max(free, key=lambda f: SequenceMatcher(None, f, letters).ratio())


def _in_words(do: str, words: str, turn: ChatTurn, taken: Sequence[str]) -> str:
    """The written words of an item as its act takes them; `taken`: files of the items before."""
    words = words.replace("|", " ")
    if do in ("save", "load"):
        return _file_name(words, turn, taken)
    has_subject = words.split()[0] in ("a", "an", "the")
    return f"a person {words}" if do in MOVEMENTS and not has_subject else words
