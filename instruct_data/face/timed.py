"""Instructions whose words say when: by the clock, one thing held during others, pauses, so long each, side after side.

Drawn by rule from the phrase book like those of `compose`; what the words say the score holds exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from instruct_data.face.actions import actions
from instruct_data.face.compose import (
    action_words,
    clash,
    clip_seconds,
    different,
    on_a_side,
    phrases,
    pick,
    sentence,
)
from instruct_data.face.score import Event, Score

NUMBERS = {1.0: "one", 2.0: "two", 3.0: "three", 4.0: "four", 5.0: "five"}


def _number(seconds: float, rng: np.random.Generator) -> str:
    """2.0 -> "2", "2.0" or "two"."""
    if seconds == int(seconds) and seconds > 0 and rng.random() < 0.35:
        return NUMBERS.get(seconds, f"{seconds:.0f}")
    return f"{seconds:.1f}" if seconds != int(seconds) or rng.random() < 0.35 else f"{seconds:.0f}"


def _span(seconds: float, rng: np.random.Generator) -> str:
    """2.0 -> "two seconds", "2 s", "2.0 seconds"."""
    if seconds == 0.5:
        return str(pick(("half a second", "0.5 s", "0.5 seconds"), rng))
    if seconds == 1.5 and rng.random() < 0.5:
        return str(pick(("a second and a half", "one and a half seconds"), rng))
    if seconds == 1.0:
        return str(pick(("a second", "one second", "one second", "1 second", "1 s", "1.0 s"), rng))
    return _number(seconds, rng) + str(pick((" s", " seconds", " sec"), rng))


def _names(count: int, rng: np.random.Generator, held: bool = False, lasting: bool = False) -> list[str]:
    """`count` actions of which each differs from the next; with `held`, the first can be held during the others, with
    `lasting`, all are such as last."""
    book = [a for a in phrases()["actions"] if a not in ("return_to_neutral", "close_mouth")]
    forms = ("hold", "cycle") if lasting else ("hold",)
    first = [a for a in book if not (held or lasting) or actions()[a].form in forms]
    out = [str(pick(first, rng))]
    while len(out) < count:
        free = [a for a in (first if lasting else book) if a != out[-1] and not (held and clash(a, out[0]))]
        out.append(str(pick(free, rng)))
    return out


def _listed(parts: Sequence[str], rng: np.random.Generator) -> str:
    """Parts in a row."""
    joint, last = pick(((", ", ", "), (", ", " and "), (", then ", ", then "), ("; ", "; "), (", ", ", then ")), rng)
    return str(last).join([str(joint).join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]


def _plain(name: str, start: float, rng: np.random.Generator, counted: bool = True) -> tuple[str, Event]:
    """An action whose words name no length."""
    while True:
        said, event = action_words(name, start, rng)
        if "second" not in said and (counted or event.repeat == 1):
            return said, event


def by_clock(rng: np.random.Generator) -> tuple[str, list[Event]]:
    """One to four actions, each at a second that is named."""
    form, parts, events = pick(phrases()["timed"]["at"], rng), [], list[Event]()
    at = float(pick((0.0, 0.0, 0.5, 1.0, 1.5, 2.0), rng))
    for name in _names(int(rng.integers(1, 5)), rng):
        said, event = _plain(name, at, rng)
        following = float(np.ceil(2 * (event.end + 0.05)) / 2 + pick((0.0, 0.0, 0.5, 1.0), rng))
        if event.repeat == 1 and actions()[name].form == "hold" and rng.random() < 0.5:
            event = replace(event, duration=following - at)
        parts.append(form.format(t=_number(at, rng), a=said))
        events.append(event)
        at = following
    return _listed(parts, rng), events


def by_spans(rng: np.random.Generator) -> tuple[str, list[Event]]:
    """Actions from a second that is named to another."""
    form, parts, events = pick(phrases()["timed"]["span"], rng), [], list[Event]()
    at = float(pick((0.0, 0.0, 0.5, 1.0, 2.0), rng))
    for name in _names(int(rng.integers(1, 4)), rng, lasting=True):
        said, event = _plain(name, at, rng, counted=False)
        until = at + float(pick((1.0, 1.5, 2.0, 2.5, 3.0), rng))
        parts.append(form.format(t=_number(at, rng), u=_number(until, rng), a=said))
        events.append(replace(event, duration=until - at))
        if events[0] is not events[-1] or rng.random() < 0.6 or clash(name, "nod") or until < at + 2:
            at = until + float(pick((0.0, 0.0, 0.5, 1.0), rng))
            continue
        said, inner = action_words("nod", at, rng)  # something counted in its middle
        lasts = min(inner.duration, until - at - 0.4)
        inner = replace(inner, start=round(at + (until - at - lasts) / 2, 2), duration=lasts)
        parts[-1] += f", and {said} in the middle of it"
        events.append(inner)
        at = until + 0.5
    return _listed(parts, rng), events


def held_during(rng: np.random.Generator) -> tuple[str, list[Event]]:
    """One action that lasts while others follow one another."""
    names = _names(int(rng.choice([2, 3, 4], p=[0.45, 0.4, 0.15])), rng, held=True)
    said, first = _plain(names[0], float(pick((0.0, 0.2), rng)), rng, counted=False)
    at, parts, events = first.start + float(rng.uniform(0.3, 0.6)), [], [first]
    for name in names[1:]:
        words, event = _plain(name, round(at, 1), rng)
        parts.append(words)
        events.append(event)
        at = event.end + float(rng.uniform(0.15, 0.4))
    events[0] = replace(first, duration=round(max(e.end for e in events[1:]) + 0.1 - first.start, 2))
    return pick(phrases()["timed"]["held"], rng).format(a=said, b=_listed(parts, rng)), events


def so_long_each(rng: np.random.Generator) -> tuple[str, list[Event]]:
    """Actions in a row that last alike, as said."""
    lasts, gap, at = float(pick((0.5, 1.0, 1.0, 1.0, 1.5, 2.0), rng)), float(pick((0.0, 0.1, 0.2), rng)), 0.2
    parts, events = [], list[Event]()
    for name in _names(int(rng.integers(2, 6)), rng):
        said, event = _plain(name, round(at, 1), rng, counted=False)
        parts.append(said)
        events.append(replace(event, duration=lasts))
        at += lasts + gap
    return pick(phrases()["timed"]["each"], rng).format(all=_listed(parts, rng), d=_span(lasts, rng)), events


def with_pauses(rng: np.random.Generator) -> tuple[str, list[Event]]:
    """Actions with waiting before them."""
    text, at, events = "", 0.2, list[Event]()
    for name in _names(int(rng.integers(1, 4)), rng):
        wait = float(pick((0.5, 1.0, 1.0, 1.5, 2.0, 3.0), rng))
        at = wait if not events and rng.random() < 0.5 else at + wait if events else at
        said, event = _plain(name, round(at, 1), rng)
        if events:
            text += pick(phrases()["timed"]["pauses"], rng).format(d=_span(wait, rng)) + said
        else:
            text = pick(phrases()["timed"]["waits"], rng).format(d=_span(wait, rng), a=said) if at != 0.2 else said
        events.append(event)
        at = event.end
    return text, events


def side_after_side(rng: np.random.Generator) -> tuple[str, list[Event]]:
    """left, right, left."""
    book = phrases()["timed"]["sided"]
    form = str(pick(list(book), rng))
    count, lasts = int(rng.integers(2, 6)), float(pick((0.6, 0.8, 1.0, 1.0, 1.2), rng))
    step = lasts + float(rng.uniform(0.05, 0.3))
    sides = [("left", "right")[k % 2] for k in range(count)]
    if rng.random() < 0.25:
        sides = [str(pick(("left", "right"), rng)) for _ in range(count)]
    brief = rng.random() < 0.6
    parts = [form.format(s=s) if not brief or k == 0 else s for k, s in enumerate(sides)]
    if "{s} " in form and brief:
        parts = [*sides[:-1], form.format(s=sides[-1])]
    events = [Event(book[form].replace("left", s), round(0.2 + k * step, 2), lasts) for k, s in enumerate(sides)]
    said = ", ".join(parts) if rng.random() < 0.6 else _listed(parts, rng)
    if rng.random() < 0.2:
        said += pick((", one after the other", ", in turn", ", in quick succession"), rng)
    return said, events


KINDS: tuple[Callable[[np.random.Generator], tuple[str, list[Event]]], ...] = (
    by_clock, by_spans, held_during, held_during, so_long_each, with_pauses, side_after_side,
)  # fmt: skip


def timed(rng: np.random.Generator) -> Score:
    """One instruction (``score.text``) with its score; the state of `rng` decides everything."""
    text, events = pick(KINDS, rng)(rng)
    seconds = clip_seconds(max(e.end for e in events))
    return on_a_side(Score(seconds, tuple(sorted(events, key=lambda e: e.start)), (), sentence(text)), rng)


def timed_instructions(count: int, seed: int = 0, avoid: Sequence[str] = ()) -> list[Score]:
    """`count` different ones of at most 12 s; texts in `avoid` do not occur."""
    return different(lambda n: timed(np.random.default_rng([seed, 5, n])), count, avoid, 12)
