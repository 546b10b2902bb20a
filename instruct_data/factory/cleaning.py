"""Cleaning of clips before training: on the floor, from the floor on, without sliding feet or jitter; with a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from instruct_data.attributes import Measures
from instruct_data.clip import Clip
from vqvae.errors import UserError
from vqvae.ground import raise_motion, without_penetration
from vqvae.motion import Motion
from vqvae.rates import BODY_FPS

IN_THE_AIR = 0.05  # metres of the lowest joint above the floor at the beginning
OFF_FLOOR = 0.01  # metres of standing soles above or below the floor
SUNK = 0.04  # metres below the floor
MAX_CROP = 0.4  # of a clip, before its first contact
# Percentiles of the recordings that a clip may not exceed.
SKATE_PERCENTILE, JERK_PERCENTILE = 97.0, 99.7
GOOD_SKATE_PERCENTILE, GOOD_JERK_PERCENTILE = 75.0, 90.0


@dataclass
class QualityLimits:
    """Bounds of sliding (m/s) and of jerk (m/s^3) of clips that are kept, and of those whose quality is good."""

    skate: float = np.inf
    jerk: float = np.inf
    good_skate: float = np.inf
    good_jerk: float = np.inf

    @classmethod
    def of(cls, figures: Sequence[dict[str, float]]) -> QualityLimits:
        """Limits from the figures of recordings; none without recordings."""
        if not figures:
            return cls()
        skate, jerk = (np.array([f[k] for f in figures]) for k in ("skate", "jerk"))
        return cls(
            float(np.percentile(skate, SKATE_PERCENTILE)), float(np.percentile(jerk, JERK_PERCENTILE)),
            float(np.percentile(skate, GOOD_SKATE_PERCENTILE)), float(np.percentile(jerk, GOOD_JERK_PERCENTILE)),
        )  # fmt: skip

    def quality(self, figures: dict[str, float]) -> str:
        """`good` or `fair`, the attribute."""
        on_floor = abs(figures["floor"]) < 2 * OFF_FLOOR and figures["sunk"] < SUNK
        smooth = figures["skate"] <= self.good_skate and figures["jerk"] <= self.good_jerk
        return "good" if on_floor and smooth else "fair"


@dataclass
class CleaningReport:
    """How many clips were mended or dropped for which reason, with an example each."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, reason: str, name: str) -> None:
        self.counts[reason] += 1
        self.examples.setdefault(reason, name)

    def include(self, later: CleaningReport) -> None:
        """Add the report of clips that follow."""
        self.counts.update(later.counts)
        self.examples = later.examples | self.examples

    def __str__(self) -> str:
        rows = self.counts.most_common()
        return "\n".join(f"  {n:6d} {reason} (for example {self.examples[reason]})" for reason, n in rows)


def on_the_floor(motion: Motion, report: CleaningReport, name: str) -> tuple[Motion, Measures] | None:
    """The motion with its standing feet on the floor and its first ground at y = 0, and its measurements; None where it
    begins in the air."""
    before, measures = motion, Measures.of(motion)
    climbs = bool(measures.level.any())
    if climbs:
        motion = raise_motion(motion, -float(measures.level[0]))
    elif abs(measures.floor) > OFF_FLOOR:
        report.add("moved to the floor", name)
        before = motion = raise_motion(motion, -measures.floor)
        measures = Measures.of(motion)
    in_the_air = measures.begins > IN_THE_AIR
    if in_the_air:
        standing = np.flatnonzero(measures.joints[..., 1].min(1) < IN_THE_AIR)
        if not len(standing) or standing[0] > MAX_CROP * len(measures.joints):
            report.add("dropped: begins in the air", name)
            return None
        report.add("begins later, on the floor", name)
        motion = motion.slice(round(int(standing[0]) * motion.fps / BODY_FPS), len(motion))
    if measures.sunk > SUNK and (in_the_air or not climbs):
        report.add("lifted out of the floor", name)
        motion = without_penetration(motion)
    return motion, measures if motion is before else Measures.of(motion)


def measure_clip(clip: Clip) -> Clip:
    """The clip with the figures of `Measures` in its ``extra``."""
    return replace(clip, extra={**clip.extra, "figures": Measures.of(clip.load()).figures()})


def clean_clips(clips: Iterable[Clip], report: CleaningReport) -> Iterator[Clip]:
    """Clips on the floor with their measurements in ``extra["figures"]``; those that begin in the air or cannot be read
    are left out."""
    for clip in clips:
        try:
            result = on_the_floor(clip.load(), report, clip.id)
        except UserError as e:  # such as a file with NaN
            report.add("dropped: cannot be read", f"{clip.id}: {e}")
            continue
        if result is not None:
            motion, measures = result
            yield replace(clip, motion=motion, extra={**clip.extra, "figures": measures.figures()})


def without_artefacts(
    clips: Sequence[Clip], limits: QualityLimits, action_of: Callable[[Clip], str], report: CleaningReport
) -> Iterator[Clip]:  # fmt: skip
    """Recordings whose feet slide or whose joints jitter beyond the limits are left out, unless no better clip shows
    their action (a back flip, a roll); the rest say their quality."""
    faults = [_fault(clip.extra["figures"], limits) for clip in clips]
    present = {action_of(clip) for clip, fault in zip(clips, faults, strict=True) if not fault}
    for clip, fault in zip(clips, faults, strict=True):
        lost = action_of(clip) not in present
        if fault:
            report.add(f"kept as the only ones of their action: {fault}" if lost else f"dropped: {fault}", clip.id)
        if not fault or lost:
            yield clip


def _fault(figures: dict[str, float], limits: QualityLimits) -> str:
    if figures["skate"] > limits.skate:
        return "feet slide"
    return "jitter" if figures["jerk"] > limits.jerk else ""
