"""Pairs of written instructions as one: in a row, in turn, at once, by the clock, and the same again or mirrored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from avatargpt.face.instructions.clock import clock_times, says_when
from instruct_data.face.actions import actions
from instruct_data.face.compose import clash, clip_seconds, pick
from instruct_data.face.score import Score, mirror_action

JOINTS = (". Then ", ", then ", "; after that ", ". Next, ", ", and then ", ". After that: ", " -> ", ". Now ")
WITHS = (": ", ". ", ", ", "; ")  # between a feeling and what is done meanwhile
KEPT = (
    "{a}. Keep that up throughout, and {b}", "{a}; while you do, {b}", "{a}, and during all of it {b}",
    "Throughout: {a}. Meanwhile: {b}", "{a} - and without stopping that, {b}",
    "The whole time: {a}. In the middle of it, {b}",
    "{a} from beginning to end; meanwhile {b}",
    "All along, {a}. At the same time, one after the other: {b}", "{b}. Through all of it: {a}",
    "{a}. While that lasts: {b}",
)  # fmt: skip
CLOCK = (
    "At {t} s: {a}", "At second {t}, {a}", "{t} s: {a}", "From {t} on: {a}", "After {t} s: {a}", "t={t}: {a}",
    "[at {t}] {a}",
)  # fmt: skip
AGAIN = (
    ", then the same again", ". Once more, please", "; and again", ". Now repeat that", ". Do that two times in a row",
    ", then do it all over", " - and the same a second time",
)  # fmt: skip
OTHER = (
    ", then the same on the other side", ". Now the other side", "; then switch sides", ". Repeat on the opposite side",
    ", and then mirrored", ". The same again with the other side", ", followed by the other one",
)  # fmt: skip
PAUSE = 0.25  # s between two joined instructions
FEELINGS_SHARE, WITH_SHARE = 0.15, 0.3  # of the joined: two feelings, a feeling and actions; the rest are all actions
TOGETHER = 7  # events of a joined instruction at most
LETTERS = 260  # of a joined instruction at most
Join = Callable[[Score, Score, np.random.Generator], Score]


def joined(first: Score, second: Score, rng: np.random.Generator) -> Score:
    """Two instructions of actions in a row."""
    start = max(e.end for e in first.events) + PAUSE - min(e.start for e in second.events)
    events = tuple(replace(e, start=round(e.start + start, 3)) for e in second.events)
    length = clip_seconds(max(e.end for e in events))
    text = first.text.rstrip(" .!") + pick(JOINTS, rng) + _lowered(second.text)
    return Score(length, (*first.events, *events), (), text)


def felt_in_turn(first: Score, second: Score, rng: np.random.Generator) -> Score:
    """Two feelings one after the other; either takes the greater part of the time that it has alone."""
    change = round(first.length / 2 + 0.5, 1)
    length = round(change + second.length / 2 + 0.5, 1)
    felt = [replace(f, start=0.0, end=change) for f in first.emotions]
    felt += [replace(f, start=change, end=length) for f in second.emotions]
    text = first.text.rstrip(" .!") + pick(JOINTS, rng) + _lowered(second.text)
    return Score(length, (), tuple(felt), text)


def felt_meanwhile(feeling: Score, acts: Score, rng: np.random.Generator) -> Score:
    """Actions, and a feeling all the while, in words before or after them."""
    felt = tuple(replace(f, start=0.0, end=acts.length) for f in feeling.emotions)
    texts = [feeling.text, acts.text]
    if rng.random() < 0.4:
        texts.reverse()
    joint = pick(WITHS, rng)
    after = texts[1] if joint == ". " else _lowered(texts[1])
    return Score(acts.length, acts.events, felt, texts[0].rstrip(" .!") + joint + after)


def kept(first: Score, second: Score, rng: np.random.Generator) -> Score:
    """One action that lasts, and others meanwhile."""
    one = first.events[0]
    start = float(rng.choice((0.0, one.start)))
    inner = tuple(replace(e, start=round(e.start + start + 0.3, 3)) for e in second.events)
    end = max(e.end for e in inner)
    text = pick(KEPT, rng).format(a=_inside(first.text), b=_inside(second.text))
    events = (replace(one, start=start, duration=round(end + 0.1 - start, 3)), *inner)
    return Score(clip_seconds(end), events, (), text[:1].upper() + text[1:])


def clocked(first: Score, second: Score, rng: np.random.Generator) -> Score:
    """Each of two instructions at a second that is named."""
    form, at, parts, events = pick(CLOCK, rng), float(rng.choice((0.0, 0.5, 1.0, 1.5, 2.0))), [], []
    for one in (first, second):
        begin = min(e.start for e in one.events)
        events += [replace(e, start=round(e.start - begin + at, 3)) for e in one.events]
        number = f"{at:.1f}" if at % 1 or rng.random() < 0.4 else f"{at:.0f}"
        parts.append(form.format(t=number, a=_inside(one.text)))
        at = float(np.ceil(2 * (max(e.end for e in events) + 0.05)) / 2 + rng.choice((0.0, 0.5, 1.0)))
    return Score(clip_seconds(max(e.end for e in events)), tuple(events), (), pick((". ", "; ", ", "), rng).join(parts))


def once_more(first: Score, _: Score, rng: np.random.Generator) -> Score:
    """The same again, or, where it has a side, on the other side."""
    other = first.sided and rng.random() < 0.7
    shift = max(e.end for e in first.events) + PAUSE - min(e.start for e in first.events)
    second = [replace(e, start=round(e.start + shift, 3)) for e in first.events]
    second = [replace(e, action=mirror_action(e.action)) for e in second] if other else second
    text = first.text.rstrip(" .!") + pick(OTHER if other else AGAIN, rng) + pick((".", "!", ""), rng)
    return Score(clip_seconds(max(e.end for e in second)), (*first.events, *second), (), text)


def _inside(text: str) -> str:
    return _lowered(text.rstrip(" .!"))


def _holds(score: Score) -> bool:
    """Whether it is one action that can go on for as long as one likes."""
    one = score.events[0]
    return len(score.events) == 1 and one.repeat == 1 and actions()[one.action].form == "hold"


def pairs_of(written: Sequence[Score], count: int, rng: np.random.Generator) -> list[Score]:
    """`count` pairs of written instructions: actions in a row, feelings in turn, a feeling while something is done, an
    action that lasts during others, either at a named second, one instruction twice or on both sides."""
    acts = [s for s in written if s.kind == "motion"]
    later = [s for s in acts if not clock_times(s.text)]  # may begin later than they would alone
    plain = [s for s in acts if not says_when(s.text) and "return_to_neutral" not in {e.action for e in s.events}]
    held = [s for s in plain if _holds(s)]
    even = [s for s in written if s.emotions and not s.events and len(s.text) < 90
            and all(f.start == 0 and f.end >= s.length for f in s.emotions)]  # fmt: skip
    free = [s for s in even if not says_when(s.text)]
    rest = 1 - FEELINGS_SHARE - WITH_SHARE
    kinds: list[tuple[float, Join, list[Score], list[Score]]] = [
        (FEELINGS_SHARE, felt_in_turn, free, free), (WITH_SHARE, felt_meanwhile, even, acts),
        (0.5 * rest, joined, acts, later), (0.18 * rest, kept, held, plain), (0.16 * rest, clocked, plain, plain),
        (0.16 * rest, once_more, plain, plain),
    ]  # fmt: skip
    kinds = [k for k in kinds if k[2] and k[3]]
    shares = np.array([k[0] for k in kinds]) / sum(k[0] for k in kinds)
    out: list[Score] = []
    for _ in range(8 * count):  # many pairs are too long or cannot be done at once
        if len(out) == count or not kinds:
            break
        _share, join, first, second = kinds[int(rng.choice(len(kinds), p=shares))]
        a, b = first[int(rng.integers(len(first)))], second[int(rng.integers(len(second)))]
        if len(a.events) + len(b.events) > TOGETHER or len(a.text) + len(b.text) >= LETTERS:
            continue
        if join is kept and any(clash(a.events[0].action, e.action) for e in b.events):
            continue
        out.append(join(a, b, rng))
    return out


def _lowered(text: str) -> str:
    """A sentence as it goes on in another; abbreviations ("AU12") and "I" stay."""
    first = text.split()[0] if text.split() else ""
    return text if len(first) == 1 or first[1:2].isupper() or first[1:2] == "'" else text[:1].lower() + text[1:]


