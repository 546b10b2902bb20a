"""Answers of language models -> activities and steps, strictly: what is not clearly a plan is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from avatargpt.llm.failures import Malformed
from avatargpt.requests.english import MAX_STEPS

MAX_STEP_WORDS = 30
MAX_SENTENCE_WORDS = 60
MAX_ANSWER = 20_000  # characters
_NUMBER = r"\(?(?:step\s+)?(\d{1,2})[.):](?=\s)"
_NUMBERED = re.compile(rf"^{_NUMBER}\s+(.*)$", re.I)
_INLINE = re.compile(rf"(?:^|(?<=\s)){_NUMBER}\s+", re.I)
_BULLET = re.compile(r"^[-*•–+]\s+(.*)$")
_FENCE = re.compile(r"^```\w*\s*\n(.*?)\n?```$", re.S)
_ROUND = (4, 6, 8, 8, 10, 12)  # words of a stretch that repeats a phrase of 1, 2, ... 6 words
_ALIKE = re.compile(r"[^\w']+|_")


def parse_steps(text: str) -> tuple[str, ...]:
    """A list of steps.

    Accepted: lines or one line numbered 1, 2, 3 ...; lines with bullets; a JSON list of strings, or an object with
    such a list as ``steps``; steps separated by semicolons; one step per line. A line before marked ones is allowed
    when it ends with a colon.

    Raises:
        Malformed: another form, or steps that `check_steps` refuses.
    """
    value = _json(text)
    if value is not None:
        return check_steps(_strings(value.get("steps") if isinstance(value, dict) else value, "steps"))
    heading, steps = _listed(_lines(text))
    if heading and not heading.endswith(":"):
        raise Malformed(f"a line that is no step stands before them: {heading[:60]!r}")
    return check_steps(steps)


def check_sentence(value: Any, what: str = "task") -> str:
    """One tidy sentence without a final full stop.

    Raises:
        Malformed: not a text, empty, too long, several lines' worth of steps, or words over and over.
    """
    if not isinstance(value, str):
        raise Malformed(f"{what}: {type(value).__name__}; a sentence is needed")
    said = _clean(value, what)
    if len(said.split()) > MAX_SENTENCE_WORDS:
        raise Malformed(f"{what}: {len(said.split())} words; at most {MAX_SENTENCE_WORDS}")
    if what != "scene" and ";" in said:  # scenes may be long-winded
        raise Malformed(f"{what}: a list where one sentence is needed")
    _no_loop(said, what)
    return said


def check_steps(steps: Sequence[str]) -> tuple[str, ...]:
    """Tidy steps without final full stops.

    Raises:
        Malformed: none or more than `MAX_STEPS`, an empty one, one of more than `MAX_STEP_WORDS` words, one twice, or
            words over and over.
    """
    if not steps:
        raise Malformed("no steps")
    if len(steps) > MAX_STEPS:
        raise Malformed(f"{len(steps)} steps; at most {MAX_STEPS}")
    out: list[str] = []
    seen: dict[str, int] = {}
    for n, step in enumerate(steps, 1):
        said = _clean(step, f"step {n}")
        words = len(said.split())
        if words > MAX_STEP_WORDS:
            raise Malformed(f"step {n}: {words} words; at most {MAX_STEP_WORDS}")
        _no_loop(said, f"step {n}")
        first = seen.setdefault(alike(said), n)
        if first != n:
            raise Malformed(f"step {n} is step {first} again: {said[:60]!r}")
        out.append(said)
    return tuple(out)


def alike(text: str) -> str:
    """What stays the same when only case and punctuation differ."""
    return _ALIKE.sub(" ", text.lower()).strip()


def loops(text: str) -> bool:
    """Whether words come round and round: one three times in a row, a longer phrase for as long as `_ROUND` says."""
    words = alike(text).split()
    for size, enough in enumerate(_ROUND, 1):
        run = size
        for i in range(size, len(words)):
            run = run + 1 if words[i] == words[i - size] else size
            if run >= enough:
                return True
    grams = [tuple(words[i : i + 3]) for i in range(len(words) - 2)]
    return any(grams.count(g) >= 3 for g in set(grams))


def _no_loop(text: str, what: str) -> None:
    if loops(text):
        raise Malformed(f"{what}: the same words over and over: {text[:60]!r}")


def _clean(text: str, what: str) -> str:
    if any(ord(c) < 32 and c not in "\t\n\r" for c in text) or "\ufffd" in text or "\x7f" in text:
        raise Malformed(f"{what}: control characters in it")
    said = " ".join(text.split()).strip("\"'“”*_` ").rstrip(".;, ")
    if not any(c.isalpha() for c in said):
        raise Malformed(f"{what}: empty")
    return said


def _strings(value: Any, what: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise Malformed(f"{what}: a list of strings is needed")
    return value


def _json(text: str) -> Any:
    """The JSON list or object that the whole text is (in a code fence or not), or None where it is none."""
    if len(text) > MAX_ANSWER:
        raise Malformed(f"{len(text)} characters; at most {MAX_ANSWER}")
    said = text.strip()
    fenced = _FENCE.match(said)
    said = fenced.group(1).strip() if fenced else said
    if not said.startswith(("{", "[")):
        return None
    try:
        return json.loads(said)
    except (ValueError, RecursionError) as e:
        raise Malformed(f"not JSON ({e})") from None


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines() if line.strip()]


def _listed(lines: list[str]) -> tuple[str, list[str]]:
    """(line before the list, entries)."""
    if not lines:
        raise Malformed("empty")
    if len(lines) == 1 and len(numbers := list(_INLINE.finditer(lines[0]))) > 1:
        ends = [m.start() for m in numbers[1:]] + [len(lines[0])]
        marked = [(m.group(1), lines[0][m.end() : e]) for m, e in zip(numbers, ends, strict=True)]
        return lines[0][: numbers[0].start()].strip(), _counted(marked)
    for pattern in (_NUMBERED, _BULLET):
        found = [pattern.match(line) for line in lines]
        start = next((i for i, m in enumerate(found) if m), None)
        if start is None:
            continue
        if start > 1 or not all(found[start:]):
            odd = next(i for i, m in enumerate(found) if not m and i != start - 1)
            raise Malformed(f"a line that is no step: {lines[odd][:60]!r}")
        heading = lines[0] if start else ""
        kept = [m for m in found[start:] if m]
        if pattern is _NUMBERED:
            return heading, _counted([(m.group(1), m.group(2)) for m in kept])
        return heading, [m.group(1) for m in kept]
    if len(lines) == 1:
        return "", _separated(lines[0])
    if lines[0].endswith(":"):
        return lines[0], lines[1:]
    return "", lines


def _separated(line: str) -> list[str]:
    """Steps between semicolons; one after the last step is no step more."""
    parts = line.split(";")
    return parts[:-1] if len(parts) > 1 and not parts[-1].strip(" .") else parts


def _counted(marked: list[tuple[str, str]]) -> list[str]:
    for n, (number, _) in enumerate(marked, 1):
        if int(number) != n:
            raise Malformed(f"step number {number} where {n} is due")
    return [text.rstrip(" ;,") for _, text in marked]
