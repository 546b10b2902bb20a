"""Which gesture goes where: strokes of word classes, beats on accents, holds in pauses, what the head does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from avatargpt.gesture.accents import Accent
from avatargpt.speech.words import Word
from instruct_data.gesture.bank import Bank
from instruct_data.gesture.classes import BEAT, WordClass, WordClasses
from instruct_data.gesture.plan import APART, Beat, Look, Nod, Placed, Plan, Style, apart
from instruct_data.gesture.strokes import FPS, SIDES, Stroke

REST = 1.3  # s of silence in which hands sink to rest
PAUSE = 0.25  # s of silence that end a phrase
SPACED = 20  # frames between strokes that mean something, so that each can be seen
BANKED = 0.85  # share of the strong beats that are strokes of the bank, the others are small ones of the forearm
BETWEEN = 19  # frames between a small beat and what is beside it, so that neither blurs the other
UNMOVED = 0.04  # share of the phrases in which nobody's hands come up
SHIFT = (0.6, 1.2)  # s that raised hands keep to a pose between strokes
HEADS = {"nod": 0.11, "shake": 0.16, "tilt": 0.10}  # radians


@dataclass(frozen=True)
class Span:
    """Somebody's words without a pause between them: numbers [first, stop), seconds."""

    first: int
    stop: int
    start: float
    end: float


def spans(words: Sequence[Word], pause: float) -> list[Span]:
    """Runs of words with less than `pause` seconds of silence between any two."""
    edges = [0, *(k for k in range(1, len(words)) if words[k].start - words[k - 1].end >= pause), len(words)]
    return [Span(a, b, words[a].start, words[b - 1].end) for a, b in zip(edges, edges[1:], strict=False) if b > a]


def planned(
    words: Sequence[Word], accents: Sequence[Accent], frames: int, style: Style, bank: Bank, classes: WordClasses,
    rng: np.random.Generator, heard: Sequence[Word] = (),
) -> Plan:  # fmt: skip
    """What somebody does who says `words` and hears those of another.

    Args:
        accents: of the own words. heard: the other's words; empty where there is nobody.
    """
    phrases = spans(words, PAUSE)
    still = {k for k in range(len(phrases)) if rng.random() < UNMOVED}
    mute = [(phrases[k].start, phrases[k].end) for k in still]
    open_accents = [a for a in accents if not any(s <= a.start <= e for s, e in mute)]
    strokes = _meant(words, open_accents, style, bank, classes, rng)
    beaten, beats = _beaten(open_accents, strokes, style, bank, classes, rng)
    strokes = apart([*strokes, *beaten])
    beats += _echoed(strokes, style, rng)
    raised = _raised(phrases, still, style, frames, rng)
    strokes = _held([s for s in strokes if s.frame < frames - 2], phrases, rng)
    nods = _nods(words, accents, phrases, style, classes, rng) + _listening(heard, words, style, rng)
    looks, leans = _looks(phrases, heard, style, rng)
    inside = tuple(n for n in sorted(nods, key=lambda n: n.frame) if n.frame < frames)
    return Plan(frames, tuple(raised), tuple(strokes), tuple(beats), inside, tuple(looks), tuple(leans), style)


def _sides(stroke: Stroke, hand: str) -> bool:
    return len(stroke.sides) == 2 or stroke.sides == (hand,)


def chosen(kind: WordClass, style: Style, bank: Bank, rng: np.random.Generator) -> Stroke | None:
    """A stroke of a class, in the speaker's manner; None where the bank has none for the hand that was drawn."""
    names = list(kind.gestures)
    hand = "l" if rng.random() < style.left else "r"
    shares = np.array([kind.gestures[n] for n in names])
    own = [any(s.performer in style.performers for s in bank.strokes[n]) for n in names]
    shares = shares * np.where(own, 1.0, 0.25)  # rather what the speaker's own set has
    name = names[int(rng.choice(len(names), p=shares / shares.sum()))]
    found = [s for s in bank.of([name], style.performers, SIDES) if _sides(s, hand)]
    found = found or [s for s in bank.strokes[name] if _sides(s, hand)]
    if rng.random() < style.both:
        found = [s for s in found if len(s.sides) == 2] or found
    return found[int(rng.integers(len(found)))] if found else None


def _size(style: Style, loud: float, rng: np.random.Generator) -> float:
    return float(np.clip(style.size * (1 + 0.09 * loud + 0.05 * rng.standard_normal()), 0.6, 1.12))


def _tempo(style: Style, rng: np.random.Generator) -> float:
    return float(np.clip(style.tempo * (1 + 0.1 * rng.standard_normal()), 0.75, 1.6))


def _meant(
    words: Sequence[Word], accents: Sequence[Accent], style: Style, bank: Bank, classes: WordClasses,
    rng: np.random.Generator,
) -> list[Placed]:  # fmt: skip
    """Strokes of words that ask for one, the emphasis on the strongest stress of the words."""
    found: list[tuple[float, Placed]] = []
    for run in classes.find([w.text for w in words]):
        kind = classes.classes[run.kind]
        own = [a for a in accents if run.first <= a.word < run.stop]
        if not own or rng.random() >= kind.share * style.semantic:
            continue
        accent = max(own, key=lambda a: a.strength)
        stroke = chosen(kind, style, bank, rng)
        if stroke is not None:
            tempo, size = _tempo(style, rng), _size(style, accent.loud, rng)
            placed = Placed(stroke, accent.frame, tempo, size, 0, accent.word, run.kind)
            found.append((kind.share + 0.15 * accent.strength + 0.2 * rng.random(), placed))
    kept: list[Placed] = []
    for _, one in sorted(found, key=lambda f: -f[0]):
        if all(abs(one.frame - k.frame) >= SPACED for k in kept):
            kept.append(one)
    return kept


def _beaten(
    accents: Sequence[Accent], strokes: Sequence[Placed], style: Style, bank: Bank, classes: WordClasses,
    rng: np.random.Generator,
) -> tuple[list[Placed], list[Beat]]:  # fmt: skip
    """Strokes and small beats on the strongest accents that have no gesture yet."""
    if not accents:
        return [], []
    least = float(np.quantile([a.strength for a in accents], 1 - style.rate))
    placed: list[Placed] = []
    beats: list[Beat] = []
    kind = classes.classes[BEAT]
    taken = [s.frame for s in strokes]
    for accent in accents:
        if accent.strength < least or any(abs(accent.frame - f) < BETWEEN for f in taken):
            continue
        taken.append(accent.frame)
        roomy = all(abs(accent.frame - s.frame) >= APART + 3 for s in (*strokes, *placed))
        stroke = chosen(kind, style, bank, rng) if roomy and rng.random() < BANKED else None
        if stroke is not None:
            tempo, loud = _tempo(style, rng), _size(style, accent.loud, rng)
            placed.append(Placed(stroke, accent.frame, tempo, loud, 0, accent.word, BEAT))
            continue
        both = rng.random() < style.both
        sides = SIDES if both else (("l",) if rng.random() < style.left else ("r",))
        size = np.radians(32) * style.size * float(np.clip(1 + 0.25 * accent.strength, 0.5, 1.6))
        beats.append(Beat(accent.frame, float(size), tuple(sides)))
    return placed, beats


def _echoed(strokes: Sequence[Placed], style: Style, rng: np.random.Generator) -> list[Beat]:
    """Small beats of the hand that a stroke leaves free, with its emphasis."""
    out = []
    for one in strokes:
        free = tuple(s for s in SIDES if s not in one.stroke.sides)
        busy = (t.frame for t in strokes if t is not one and set(t.stroke.sides) & set(free))
        if free and rng.random() < style.both and all(abs(f - one.frame) >= BETWEEN for f in busy):
            out.append(Beat(one.frame, float(np.radians(14) * style.size * rng.uniform(0.5, 1.4)), free))
    return out


def _held(strokes: list[Placed], phrases: Sequence[Span], rng: np.random.Generator) -> list[Placed]:
    """Strokes whose pose is kept: through a short pause that follows, or up to the next stroke."""
    out = []
    for number, one in enumerate(strokes):
        end = one.frame + one.kept
        following = strokes[number + 1] if number + 1 < len(strokes) else None
        room = following.frame - following.lead - end if following else 2 * FPS
        pause = next((q.start - p.end for p, q in zip(phrases, phrases[1:], strict=False)
                      if p.end * FPS - 12 <= end <= q.start * FPS), 0.0)  # fmt: skip
        wanted = round(pause * FPS) + 4 if 0 < pause < REST else int(rng.integers(0, 9))
        out.append(replace(one, hold=max(0, min(wanted, room, FPS))))
    return out


def _raised(
    phrases: Sequence[Span], still: set[int], style: Style, frames: int, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Frames in which hands stay up: phrases, and the pauses between them that are short."""
    out: list[tuple[int, int]] = []
    for k, phrase in enumerate(phrases):
        if k in still:
            continue
        start = max(0, round((phrase.start - 0.25) * FPS))
        stop = min(frames, round((phrase.end + float(rng.uniform(0.15, 0.6))) * FPS))
        if out and start - out[-1][1] < REST * FPS and k - 1 not in still:
            out[-1] = (out[-1][0], max(start, out[-1][0] + 1))  # another pose for another phrase
            start = out[-1][1]
        if stop > start:
            out.append((start, stop))
    return [part for span in out for part in _parted(span, rng)]


def _parted(span: tuple[int, int], rng: np.random.Generator) -> list[tuple[int, int]]:
    """A span in parts of one or two seconds: hands that are up do not keep to a pose for longer."""
    edges = [span[0]]
    while edges[-1] + 2 * SHIFT[1] * FPS < span[1]:
        edges.append(edges[-1] + round(float(rng.uniform(*SHIFT)) * FPS))
    edges.append(span[1])
    return [*zip(edges, edges[1:], strict=False)]


def _nods(
    words: Sequence[Word], accents: Sequence[Accent], phrases: Sequence[Span], style: Style, classes: WordClasses,
    rng: np.random.Generator,
) -> list[Nod]:  # fmt: skip
    """The speaker's own: with words that ask for it, on accents, at the ends of phrases."""
    out: list[Nod] = []
    taken: list[int] = []

    def add(nod: Nod, room: int) -> None:
        if all(abs(nod.frame - t) > room for t in taken):
            taken.append(nod.frame)
            out.append(nod)

    for run in classes.find([w.text for w in words]):
        head = classes.classes[run.kind].head
        own = [a for a in accents if run.first <= a.word < run.stop]
        if head and own and rng.random() < 0.75 * style.semantic:
            sign = 1.0 if head == "nod" or rng.random() < 0.5 else -1.0
            size = sign * HEADS[head] * style.head * float(rng.uniform(0.7, 1.3))
            times = int(rng.integers(1, 3)) if head == "shake" else 1
            add(Nod(own[0].frame, size, head, times), 20)  # type: ignore[arg-type]
    for accent in accents:
        if accent.strength > 0.4 and rng.random() < 0.55:
            add(Nod(accent.frame, 0.055 * style.head * float(np.clip(1 + 0.4 * accent.strength, 0.6, 2))), 10)
    for phrase in phrases:
        if rng.random() < 0.45:
            add(Nod(round(phrase.end * FPS) - 3, float(rng.uniform(0.05, 0.1)) * style.head), 12)
    return out


def _listening(
    heard: Sequence[Word], own: Sequence[Word], style: Style, rng: np.random.Generator
) -> list[Nod]:
    """Back-channels: nods shortly after the other's phrases end, while one is silent oneself."""
    out: list[Nod] = []
    for phrase in spans(heard, PAUSE):
        at = phrase.end + float(rng.uniform(0.05, 0.4))
        if rng.random() < 0.75 and not any(w.start - 0.3 < at < w.end + 0.3 for w in own):
            size, times = float(rng.uniform(0.09, 0.17)) * style.head, int(rng.integers(1, 4))
            out.append(Nod(round(at * FPS), size, "nod", times))
    return out


def _looks(
    phrases: Sequence[Span], heard: Sequence[Word], style: Style, rng: np.random.Generator
) -> tuple[list[Look], list[tuple[int, float]]]:
    """Away as one begins to speak; to the other, who is straight ahead, at the ends and while the other speaks."""
    looks, leans = [Look(0, 0.0)], [(0, 0.0)]
    marks: list[tuple[float, bool]] = [(s.start, True) for s in spans(heard, REST)]
    marks += [(p.start, False) for p in phrases]
    ends = {p.start: p.end for p in phrases}
    for second, other in sorted(marks):
        frame = max(1, round((second + 0.15) * FPS))
        if other:
            looks.append(Look(frame, 0.0))
            leans.append((frame, float(rng.uniform(0.03, 0.07))))
            continue
        leans.append((frame, float(rng.normal(0.0, 0.012))))
        if rng.random() < 0.55:
            yaw = float(rng.uniform(0.1, 0.3)) * (1 if rng.random() < 0.5 else -1) * style.head
            looks.append(Look(frame, yaw, float(rng.uniform(-0.05, 0.1))))
            looks.append(Look(max(frame + 8, round(ends[second] * FPS) - 6), 0.0))
    return sorted(looks, key=lambda k: k.frame), leans
