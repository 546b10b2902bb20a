"""Scores as sequences of tokens and back: the output of the parser of facial instructions.

Feelings come first (name, intensity, start, end), then actions (name, count, intensity, start, end), then the length.
Times are relative, as people state them, so that little has to be added up:

- a start by what it follows: together with the one before, so long after everything before has ended, or so long
  after the one before began; or by the clock, where the instruction names that second;
- an end by its duration, by the clock where the instruction names that second, or as lasting to the end: of the clip
  for feelings, of all that is done meanwhile for actions;
- the length by what it adds to the last action, in half seconds, or in seconds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from instruct_data.face.actions import action_names
from instruct_data.face.emotions import emotion_names
from instruct_data.face.score import MAX_SECONDS, Emotion, Event, Score

_SAME = 0.05  # s within which two starts are one
_OVERLAP = 0.35  # s that an action may begin before the end of what it follows
_LATER = 0.15  # s by which an action has to begin later to be done during another one
_TO_END = 0.3  # s between two ends that are one
_SHORTEST = 0.3  # s that something lasts to the end at least
_NAMED = 0.03  # s between a time and a number that names it
_REST = 0.15  # s at least between the last end and the clip's
_SECONDS = (*np.arange(1, 31) / 10, *np.arange(13, 25) / 4, *np.arange(13, 25) / 2, *np.arange(13.0, 31.0))
_CLOCK = (*np.arange(0, 81) / 10, *np.arange(17, 61) / 2)
_COUNTS = (*range(1, 13), 15, 20)
START, LAST = ("after", "since", "same", "at"), ("duration", "until", "throughout")
ORDERED_FIELDS = ("after", "since", "duration", "intensity", "length", "tail")  # neighbours mean nearly the same
# Seconds named in an instruction. Narrower than `requests.numbers`, because the parser was trained so.
_NUMERALS = "zero one two three four five six seven eight nine ten".split()
_NUMERAL = rf"\d+(?:\.\d+)?|{'|'.join(_NUMERALS)}"
_CLOCKS = re.compile(
    r"(?:\b(?:at|from|after|by|until|till|til|to|between|and|second|mark|t)\b|[@=:\u2013-])\s*"
    rf"(?:about |around |exactly |the |second |sec |t ?)?[=:]?\s*({_NUMERAL})\b"
    r"(?! thirds?| times| quarters?| ?percent| ?%)((?: seconds?)? and a half)?",
    re.I,
)
_BEFORE = re.compile(rf"\b({_NUMERAL})\s*(?:s|sec|seconds)?\s*(?:[:\u2013-]|\b(?:to|till|until)\b)", re.I)
_WHEN = re.compile(
    r"\d|second|\b(?:one|two|three|four|five|six|half|first|last|end|until|till|while|whole|all|again|then)\b", re.I
)


def lasts_to_end(events: Sequence[Event]) -> list[bool]:
    """Of events in the order of their starts: which go on to the end of what is done meanwhile."""
    if not events:
        return []
    last = max(e.start for e in events)
    out = [e.start < last - _LATER for e in events]
    while True:
        end = max(e.end for e, through in zip(events, out, strict=True) if not through)
        still = [t and abs(e.end - end) <= _TO_END for e, t in zip(events, out, strict=True)]
        if still == out:
            return out
        out = still


class _Course:
    """Position in time: the previous start, and the end of all that is over before the clip ends."""

    def __init__(self) -> None:
        self.before: float | None = None
        self.end = 0.0
        self.through = False

    def step(self, start: float, end: float | None) -> None:
        """An item from `start` to `end`, None = to the end."""
        self.before, self.through = start, end is None
        self.end = max(self.end, end or 0.0)


class ScoreTokens:
    """Scores as token sequences and back; token 0 ends a sequence and pads."""

    def __init__(self) -> None:
        self.fields: dict[str, list[float | str]] = {
            "end": [""], "action": [*action_names()], "emotion": [*emotion_names()], "same": [0.0],
            "after": [round(k / 10, 1) for k in range(-3, 61)], "since": [round(k / 10, 1) for k in range(1, 81)],
            "at": [float(s) for s in _CLOCK], "duration": [float(s) for s in _SECONDS],
            "until": [float(s) for s in _CLOCK], "throughout": [0.0],
            "intensity": [round(k / 20, 2) for k in range(1, 21)], "count": [float(c) for c in _COUNTS],
            "length": [k / 2 for k in range(1, 61)], "tail": [k / 2 for k in range(-1, 7)],
        }  # fmt: skip
        self.first: dict[str, int] = {}
        self.kind: list[str] = []
        for name, values in self.fields.items():
            self.first[name] = len(self.kind)
            self.kind += [name] * len(values)

    def __len__(self) -> int:
        return len(self.kind)

    def token(self, field: str, value: float | str = 0.0) -> int:
        """The nearest token of a field."""
        values = self.fields[field]
        if isinstance(value, str):
            return self.first[field] + values.index(value)
        return self.first[field] + int(np.abs(np.array(values, float) - value).argmin())

    def value(self, token: int) -> float | str:
        kind = self.kind[token]
        return self.fields[kind][token - self.first[kind]]

    def neighbours(self, spread: float) -> np.ndarray:
        """(V, V) rows that add up to 1: a token, and those of its field within about `spread` steps."""
        out = np.eye(len(self), dtype=np.float32)
        for name in ORDERED_FIELDS if spread > 0 else ():
            a, n = self.first[name], len(self.fields[name])
            steps = np.subtract.outer(np.arange(n), np.arange(n)) / spread
            weights = np.exp(-0.5 * steps**2) * (np.abs(steps) < 3)
            out[a : a + n, a : a + n] = weights / weights.sum(1, keepdims=True)
        return out

    def _start(self, start: float, course: _Course, named: Sequence[float]) -> int:
        if course.before is not None and abs(start - course.before) < _SAME:
            return self.token("same")
        if _is_named(start, named):
            return self.token("at", start)
        if course.before is None or (start >= course.end - _OVERLAP and not course.through):
            return self.token("after", start - course.end)
        return self.token("since", start - course.before)

    def when(self, token: int, course: _Course) -> float:
        """The second of a start token."""
        kind, value = self.kind[token], float(self.value(token))
        if kind == "same":
            return course.before or 0.0
        origin = {"after": course.end, "since": course.before or 0.0, "at": 0.0}[kind]
        return max(0.0, origin + value)

    def encode(self, score: Score) -> list[int]:
        """Tokens of a score, the end included; times are rounded as they add up, so that errors do not grow."""
        named, out = clock_times(score.text), list[int]()
        emotions, events = sorted(score.emotions, key=_start_of), sorted(score.events, key=_start_of)
        emotion_course, event_course = _Course(), _Course()
        for emotion in emotions:
            out += [self.token("emotion", emotion.name), self.token("intensity", emotion.intensity)]
            through = emotion.end >= score.length - _SAME
            out += self._times(emotion, emotion_course, named, "throughout" if through else "")
        for event, through in zip(events, lasts_to_end(events), strict=True):
            out += [self.token("action", event.action), self.token("count", float(event.repeat))]
            out.append(self.token("intensity", event.intensity))
            through = through and not _is_named(event.end, named)
            out += self._times(event, event_course, named, "throughout" if through else "")
        tail = score.length - _min_length(max(emotion_course.end, event_course.end))
        shortest, longest = self.fields["tail"][0], self.fields["tail"][-1]
        if events and float(shortest) <= tail <= float(longest):
            return [*out, self.token("tail", tail), 0]
        return [*out, self.token("length", score.length), 0]

    def _times(self, item: Emotion | Event, course: _Course, named: Sequence[float], last: str) -> list[int]:
        """Start and end of the next item; `last` ``throughout`` or empty."""
        begin = self._start(item.start, course, named)
        start = self.when(begin, course)
        last = last or ("until" if _is_named(item.end, named) else "duration")
        end = self.token(last, item.end - start if last == "duration" else item.end)
        course.step(start, self.over(end, start))
        return [begin, end]

    def over(self, token: int, start: float) -> float | None:
        """The end of an item that starts at `start`; None = it lasts to the end."""
        kind, value = self.kind[token], float(self.value(token))
        if kind == "throughout":
            return None
        return max(start + 0.1, value) if kind == "until" else start + value

    def decode(self, tokens: Sequence[int], text: str = "") -> Score:
        """Tokens that follow the grammar -> a score."""
        emotion_rows: list[tuple[str, float, float, float | None]] = []
        event_rows: list[tuple[str, float, float, float | None, int]] = []
        course, ends, length, position = _Course(), 0.0, 0.0, 0
        while position < len(tokens) and tokens[position] != 0:
            kind = self.kind[tokens[position]]
            if kind in ("length", "tail"):
                length = float(self.value(tokens[position])) + (_min_length(ends) if kind == "tail" else 0.0)
                break
            act = kind == "action"
            if act and not event_rows:
                course = _Course()
            name, count, at = str(self.value(tokens[position])), 1, position + 1
            if act:
                count, at = int(float(self.value(tokens[at]))), at + 1
            strength, start = float(self.value(tokens[at])), self.when(tokens[at + 1], course)
            # What would begin beyond the longest score is dropped, and all that follows.
            if start >= MAX_SECONDS - 1:
                break
            end = self.over(tokens[at + 2], start)
            course.step(start, end)
            ends = max(ends, course.end)
            if act:
                event_rows.append((name, strength, start, end, count))
            else:
                emotion_rows.append((name, strength, start, end))
            position = at + 3
        over = max([0.0, *(end for *_, end, _ in event_rows if end is not None)])
        events = []
        for name, strength, start, end, count in event_rows:
            lasts = (max(over, start + _SHORTEST) if end is None else end) - start
            events.append(Event(name, round(start, 3), round(lasts, 3), strength, count))
        ends_of_emotions = (start + 0.5 if end is None else end for *_, start, end in emotion_rows)
        last = max([0.5, *(e.end for e in events), *ends_of_emotions])
        length = min(max(length, last), MAX_SECONDS)
        emotions = [Emotion(n, s, round(a, 3), round(length if b is None else b, 3)) for n, s, a, b in emotion_rows]
        return Score(length, tuple(events), tuple(emotions), text)

    def allowed(self, tokens: Sequence[int]) -> list[str]:
        """Fields that may come after these tokens."""
        if not tokens:
            return ["emotion", "action"]
        kinds = [self.kind[t] for t in tokens]
        if kinds[-1] == "intensity":
            first = kinds.count("action" if "action" in kinds else "emotion") == 1
            return ["after", "at"] if first else [*START]
        if kinds[-1] in LAST:
            return ["action", "tail", "length"] if "action" in kinds else ["emotion", "action", "length"]
        after = {"action": ["count"], "count": ["intensity"], "emotion": ["intensity"]}
        return [*LAST] if kinds[-1] in START else after.get(kinds[-1], ["end"])


def _start_of(item: Emotion | Event) -> float:
    return item.start


def _is_named(time: float, named: Sequence[float]) -> bool:
    """Whether an instruction names this second."""
    return any(abs(time - t) <= _NAMED for t in named)


def _min_length(end: float) -> float:
    """Length in half seconds that leaves some rest after `end`."""
    return float(np.ceil(2 * (end + _REST) - 1e-6)) / 2


# Times in words
def clock_times(text: str) -> list[float]:
    """Seconds that an instruction names by the clock ("at 2.5", "until second four", "from one to three")."""
    times = [(m[1], 0.5 if m[2] else 0.0) for m in _CLOCKS.finditer(text)]
    times += [(m[1], 0.0) for m in _BEFORE.finditer(text)]
    return [(float(_NUMERALS.index(n.lower())) if n.lower() in _NUMERALS else float(n)) + half for n, half in times]


def says_when(text: str) -> bool:
    """Whether an instruction has words of time at all: numbers, "first", "until", "all the while"."""
    return _WHEN.search(text) is not None
