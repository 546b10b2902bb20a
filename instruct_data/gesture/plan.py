"""Plan of the gestures of a talk: what hands and head do, and when; `performing` turns it to motion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from instruct_data.gesture.strokes import FPS, Stroke

MIN_LEAD = 12  # frames: less is a jerk
MIN_DISTANCE = round(0.6 * FPS)  # frames between the emphases of two strokes of one arm


@dataclass(frozen=True)
class Style:
    """How one speaker gestures."""

    name: str  # of the speaker
    performers: tuple[str, ...]  # whose strokes are taken where there are some
    rate: float = 0.6  # share of the accents that are beaten
    semantic: float = 0.9  # share of the words of a class that are gestured
    size: float = 1.0  # of gestures, 1 = as recorded; at most 1.1, so that no joint goes where the performer's did not
    tempo: float = 1.1  # of strokes
    left: float = 0.25  # share of gestures of one hand that the left one makes
    both: float = 0.5  # share of beats of both
    head: float = 1.0  # of nods and turns, 1 = usual
    drift: float = 1.0  # of posture, 1 = usual
    rest: int = 0  # number of the resting pose


@dataclass(frozen=True)
class Placed:
    """A stroke whose emphasis falls on a frame."""

    stroke: Stroke
    frame: int
    tempo: float = 1.0
    size: float = 1.0
    hold: int = 0  # frames that its pose is kept after the stroke's own end
    word: int = -1  # number of the word it goes with, -1 = none
    kind: str = ""  # the word's class

    @property
    def lead(self) -> int:
        """Frames from the beginning of the preparation to the emphasis."""
        return max(round((self.stroke.emphasis - self.stroke.start) / self.tempo), MIN_LEAD)

    @property
    def release(self) -> int:
        """Frames from the emphasis to where the hands let go."""
        return round((self.stroke.end - self.stroke.emphasis) / self.tempo) + self.hold


@dataclass(frozen=True)
class Beat:
    """A small beat of the forearms on a frame, on top of what the arms do; `size` in radians of the elbow."""

    frame: int
    size: float
    sides: tuple[str, ...]


@dataclass(frozen=True)
class Nod:
    """A movement of the head whose peak falls on a frame; `size` in radians, its sign the direction."""

    frame: int
    size: float
    kind: Literal["nod", "shake", "tilt"] = "nod"
    times: int = 1


@dataclass(frozen=True)
class Look:
    """Where the head and, a third as far, the chest turn from a frame on: radians to the left and down."""

    frame: int
    yaw: float
    pitch: float = 0.0


@dataclass(frozen=True)
class Plan:
    """The gestures of one talk."""

    frames: int  # length
    # Frames [start, stop) in which hands are kept up between strokes, in order
    raised: tuple[tuple[int, int], ...] = ()
    strokes: tuple[Placed, ...] = ()  # by frame
    beats: tuple[Beat, ...] = ()
    nods: tuple[Nod, ...] = ()
    looks: tuple[Look, ...] = ()
    # As `Look`, what the trunk leans forward from a frame on, radians, with its frame
    leans: tuple[tuple[int, float], ...] = ()
    style: Style = field(default_factory=lambda: Style("usual", ()))


def without_overlaps(strokes: Sequence[Placed]) -> list[Placed]:
    """Strokes in order, no two of one arm within `MIN_DISTANCE` frames; of two the earlier of `strokes` counts."""
    chosen: list[Placed] = []
    for placed in strokes:
        rivals = (p for p in chosen if set(p.stroke.sides) & set(placed.stroke.sides))
        if all(abs(p.frame - placed.frame) >= MIN_DISTANCE for p in rivals):
            chosen.append(placed)
    return sorted(chosen, key=lambda p: p.frame)
