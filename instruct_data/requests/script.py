"""Scripts: words with the times at which they happen, "[0-5s] walks [5-10s] sits down" or "0:05-0:10 she sits down"."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vqvae.errors import UserError

_SECOND = r"(?:\s*(?:seconds?|secs?|s)\b)?"
_TIME = rf"(?:\d{{1,3}}:)?\d{{1,5}}(?:\.\d+)?{_SECOND}"
_RANGE = rf"({_TIME})\s*(?:-->|-|–|—|to|until)\s*({_TIME})"
_CLOCK = r"(\d{1,3}:\d\d(?:\.\d+)?)\s*(?:-->|-|–|—|to|until)\s*(\d{1,3}:\d\d(?:\.\d+)?)"
_LAST = r"\d{1,5}(?:\.\d+)?\s*(?:seconds?|secs?|s)\b(?=\s+[^\W\d])"
_PLAIN = rf"(?:^|(?<=[;,.\n]))\s*(?P<first>{_TIME})\s*(?:-|–|—|to)\s*({_LAST})"
# in brackets; before a colon; as minutes and seconds; or, where the first begins at 0, "0-2s walk; 2-4s jump"
_MARK = re.compile(rf"[\[(]\s*{_RANGE}\s*[\])]\s*:?|(?<!\S){_RANGE}\s*:(?!\d)|(?<!\S){_CLOCK}\s*:?(?!\S)|{_PLAIN}")
ACCEPTED = "times that rise, e.g. [0-5s] walks [5-10s] sits down"
NEAR = 0.001  # seconds that count as none


@dataclass(frozen=True)
class ScriptPart:
    """What happens from one time to another."""

    start: float  # seconds
    end: float
    words: str  # empty: nothing new
    at: int  # where the words stand in the text

    @property
    def seconds(self) -> float:
        return self.end - self.start

    @property
    def step(self) -> str:
        """The words, or what fills a pause."""
        return self.words or ("stays still" if self.start else "stands still")


def read_script(text: str) -> list[ScriptPart]:
    """The parts of a script, which fill it from its second 0 on; none where a text is not one.

    A script begins with a time range, or ends with one: then all ranges stand behind their words.

    Raises:
        UserError: a range without words or length, or two that overlap.
    """
    marks = list(_MARK.finditer(text))
    first = text[: marks[0].start()].strip() if marks else ""
    if not marks or (first and text[marks[-1].end() :].strip(" .\n")):
        return []
    if first:
        begins, ends = [0, *(m.end() for m in marks[:-1])], [m.start() for m in marks]
    else:
        begins, ends = [m.end() for m in marks], [*(m.start() for m in marks[1:]), len(text)]
    if marks[0]["first"] and _seconds(marks[0]["first"]):
        return []
    out: list[ScriptPart] = []
    now = 0.0
    for mark, begin, end in zip(marks, begins, ends, strict=True):
        start, stop = (_seconds(t) for t in mark.groups() if t is not None)
        words = text[begin:end].strip(" \t\r\n,;-")
        if not re.search(r"[^\W_]", words):
            raise UserError(f"script: nothing happens at {mark.group().strip()!r}; accepted: {ACCEPTED}")
        if stop - start < NEAR or start < now - NEAR:
            wrong = "ends as it begins" if stop - start < NEAR else f"begins before the last part ends, at {now:g} s"
            raise UserError(f"script: {mark.group().strip()!r} {wrong}; accepted: {ACCEPTED}")
        if start > now + NEAR:
            out.append(ScriptPart(now, start, "", begin))
        out.append(ScriptPart(max(start, now), stop, words, text.index(words, begin)))
        now = stop
    return out


def _seconds(time: str) -> float:
    """ "1:05", "65", "65 s" -> 65."""
    minutes, _, seconds = re.sub(r"[a-z\s]+$", "", time, flags=re.IGNORECASE).rpartition(":")
    return 60 * float(minutes or 0) + float(seconds)
