"""Layered clips that show what recordings show too: both halves, and the recording set against them, of one class.

A clip of somebody who walks and waves differs from all recordings by what it shows, however well it is made. Layering
the arms of one recording on the body of another of the same class and style shows what both show; only the making can
tell such a clip from a third recording of them. Every recording is used once, and the recording of the other side comes
from a pair chosen by the same rules, so that nothing else differs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from instruct_data.clip import Clip
from instruct_data.synth.derived.layered import ARMS_ACT, GAITS, Take
from instruct_data.synth.derived.layering import active_span, layer
from instruct_data.synth.derived.phrases import sure_class
from instruct_data.text.captions import bank_style
from vqvae.motion import Motion

LEAST = 45
"""Frames: shorter recordings have no two windows."""
_STEPS = (60, 100)  # frames in which two recordings of steps have to be in step: at least, at most
_LEGS = (1, 2, 4, 5, 7, 8)


@dataclass(frozen=True, eq=False)
class _Take(Take):
    @cached_property
    def parts(self) -> tuple[str, ...]:
        return self.acts.arms()

    @cached_property
    def span(self) -> tuple[int, int]:
        """First and last (exclusive) frame in which an arm does something."""
        return active_span(self.motion, self.parts, 0.0)


@dataclass(frozen=True, eq=False)
class _Pair:
    """Two recordings of a class that can be layered: `cut` frames of either, and where the upper begins."""

    lower: _Take
    upper: _Take
    cut: tuple[slice, slice]
    start: int

    def layered(self) -> Motion:
        takes = zip((self.lower, self.upper), self.cut, strict=True)
        below, above = (take.motion.slice(cut.start, cut.stop) for take, cut in takes)
        return layer(below, above, self.upper.parts, self.start).canonical()

    def recording(self, upper: bool) -> Motion:
        """One of the two as it is, cut where the layered clip would be."""
        take, cut = (self.upper, self.cut[1]) if upper else (self.lower, self.cut[0])
        return (take.motion.slice(cut.start, cut.stop) if self.steps else take.motion).canonical()

    @property
    def steps(self) -> bool:
        return sure_class(self.lower.clip) in GAITS


def pairs(real: Sequence[Clip], count: int, seed: int = 0) -> tuple[list[Clip], list[Clip]]:
    """Layered clips and, for each, a recording of the same class and style.

    Args:
        real: recordings.
        count: how many at most; taken evenly from the classes.
        seed: decides everything.

    Returns:
        Layered clips (``extra["parts"]``: what they are made of), and as many recordings in the same order.
    """
    rng = np.random.default_rng([seed, 3])
    groups: dict[tuple[str, str], list[_Take]] = defaultdict(list)
    for clip in real:
        name = sure_class(clip)
        if name in GAITS | ARMS_ACT and len(clip.load()) >= LEAST:
            groups[name, bank_style(clip.style)].append(_Take(clip))
    classes: dict[str, list[tuple[_Pair, _Pair]]] = defaultdict(list)
    for name, style in sorted(groups):
        takes = [groups[name, style][i] for i in rng.permutation(len(groups[name, style]))]
        found = list(_in_step(takes) if name in GAITS else _at_once(takes))
        classes[name] += zip(found[::2], found[1::2], strict=False)
    order = {name: [found[i] for i in rng.permutation(len(found))] for name, found in classes.items()}
    made: list[Clip] = []
    rivals: list[Clip] = []
    for rank in range(max(map(len, order.values()), default=0)):
        for name in [n for n in sorted(order) if len(order[n]) > rank][: count - len(made)]:
            one, other = order[name][rank]
            parts = [one.lower.clip.id, one.upper.clip.id]
            made.append(replace(one.lower.clip, id=f"within_{len(made):05d}", motion=one.layered(), source="layered",
                                action=name, extra={"parts": parts}))  # fmt: skip
            upper = len(rivals) % 2 == 1
            rivals.append(replace((other.upper if upper else other.lower).clip, motion=other.recording(upper)))
    return made, rivals


def _at_once(takes: list[_Take]) -> Iterator[_Pair]:
    """Pairs in which the upper clip's arms are busy for at least as long as the lower clip's, around the same time."""
    left = [t for t in takes if t.parts]
    while left:
        lower = left.pop(0)
        for i, upper in enumerate(left):
            if upper.parts != lower.parts:
                continue
            first, last = active_span(upper.motion, upper.parts)
            begin, end = upper.span[0] - first, upper.span[1] - first
            latest, earliest = lower.span[0] - begin, lower.span[1] - end
            start = (latest + earliest) // 2
            if earliest <= latest and 0 <= start <= len(lower.motion) - end:
                yield _Pair(lower, left.pop(i), (slice(0, len(lower.motion)), slice(first, last)), start)
                break


def _in_step(takes: list[_Take]) -> Iterator[_Pair]:
    """Two by two, cut to where their legs go most alike."""
    able = [t for t in takes if t.parts and len(t.motion) >= _STEPS[0]]
    for lower, upper in zip(able[::2], able[1::2], strict=False):
        a, b, frames = in_step(lower.motion, upper.motion)
        yield _Pair(lower, upper, (slice(a, a + frames), slice(b, b + frames)), 0)


def in_step(one: Motion, other: Motion) -> tuple[int, int, int]:
    """Where two clips of at least 60 frames go most alike with their legs.

    Returns:
        First frame in either, and for how many frames (60 to 100).
    """
    legs = [m.rotations[:, list(_LEGS)].reshape(len(m), -1).astype(np.float64) for m in (one, other)]
    apart = ((legs[0][:, None] - legs[1][None]) ** 2).sum(-1)
    best = (np.inf, 0, 0, 0)
    for shift in range(_STEPS[0] - len(other), len(one) - _STEPS[0] + 1):
        a, b = max(shift, 0), max(-shift, 0)
        along = np.diagonal(apart[a:, b:])
        frames = min(len(along), _STEPS[1])
        mean = np.convolve(along, np.full(frames, 1 / frames), "valid")
        at = int(mean.argmin())
        best = min(best, (float(mean[at]), a + at, b + at, frames))
    return best[1:]
