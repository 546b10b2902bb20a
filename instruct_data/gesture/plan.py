"""Gestures of a talk: word classes, sentences, and the plan of hands and head that `performing` turns to motion."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from instruct_data.gesture.strokes import FPS, Stroke
from vqvae.errors import UserError
from vqvae.io.data_files import read_yaml
from vqvae.strict import Rate, Share, Strict

CLASSES = Path(__file__).with_name("classes.yaml")
# the class of gestures that mark a stress and mean nothing
BEAT = "beat"
MARKS = '.,;:!?"()[]*'


class _Class(Strict):
    words: list[str]
    gestures: dict[str, Rate]
    told: list[str] = []
    head: Literal["", "nod", "shake", "tilt"] = ""
    share: Share = 1.0


@dataclass(frozen=True)
class WordClass:
    """A class of words."""

    name: str  # of the class
    gestures: dict[str, float]  # names of the bank -> how often, any sum above 0
    head: str = ""  # ``nod``, ``shake``, ``tilt`` or nothing
    share: float = 1.0  # of its words that are gestured where everything is
    captions: tuple[str, ...] = ()  # what is done, in the third person


@dataclass(frozen=True)
class Found:
    """Words [first, stop) of a text that belong to a class."""

    first: int
    stop: int
    kind: str


@dataclass(frozen=True)
class WordClasses:
    """All classes by name, and their words, each as a tuple of words in a row."""

    classes: dict[str, WordClass]
    words: dict[tuple[str, ...], str] = field(repr=False)

    def find(self, words: Sequence[str]) -> list[Found]:
        """What a text's words ask for, in order and without overlaps; of runs of words the longest counts."""
        plain = [w.strip(MARKS).lower().replace("\u2019", "'") for w in words]
        longest, out, at = max(map(len, self.words)), [], 0
        while at < len(plain):
            sizes = range(min(longest, len(plain) - at), 0, -1)
            size = next((n for n in sizes if tuple(plain[at : at + n]) in self.words), 0)
            if size:
                out.append(Found(at, at + size, self.words[tuple(plain[at : at + size])]))
            at += max(size, 1)
        return out

    @property
    def gestures(self) -> set[str]:
        """Names of all gestures that some class asks for."""
        return {name for c in self.classes.values() for name in c.gestures}


def read_classes(path: Path) -> WordClasses:
    """Read a table."""
    data: Any = read_yaml(path)
    if not isinstance(data, dict) or BEAT not in data:
        raise UserError(f"{path}: accepted: a mapping from classes to words and gestures, {BEAT} among them")
    classes: dict[str, WordClass] = {}
    words: dict[tuple[str, ...], str] = {}
    for name, values in data.items():
        row = _Class.read(values, f"{path.name}: {name}")
        if not row.gestures or sum(row.gestures.values()) <= 0:
            raise UserError(f"{path.name}: {name}: no gestures; accepted: names with shares above 0")
        classes[str(name)] = WordClass(str(name), dict(row.gestures), row.head, row.share, tuple(row.told))
        for text in row.words:
            words.setdefault(tuple(text.lower().split()), str(name))
    if not words:
        raise UserError(f"{path}: no words in any class")
    return WordClasses(classes, words)


@cache
def word_classes() -> WordClasses:
    """The packaged table."""
    return read_classes(CLASSES)


# Sentences that use the words of the classes, for talks made by rules.
SENTENCES = Path(__file__).with_name("sentences.yaml")
_SLOT = re.compile(r"\{(\w+)\}")


class Sentences(Strict):
    """Sentences, and the words that each name in braces stands for."""

    lists: dict[str, list[str]]
    sentences: list[str]

    def draw(self, rng: np.random.Generator) -> str:
        """One sentence with drawn words and a capital."""
        text = self.sentences[int(rng.integers(len(self.sentences)))]
        sentence = _SLOT.sub(lambda m: self.lists[m[1]][int(rng.integers(len(self.lists[m[1]])))], text)
        return sentence[0].upper() + sentence[1:]


@cache
def sentences() -> Sentences:
    """The packaged ones."""
    data = Sentences.read(read_yaml(SENTENCES), SENTENCES.name)
    unknown = sorted({n for s in data.sentences for n in _SLOT.findall(s)} - set(data.lists))
    if unknown:
        raise UserError(f"{SENTENCES.name}: no list {', '.join(unknown)}; accepted: {', '.join(data.lists)}")
    return data


MIN_LEAD = 12  # frames: less is a jerk
MIN_DISTANCE = round(0.6 * FPS)  # frames between the emphases of two strokes of one arm


@dataclass(frozen=True)
class Style:
    """How one speaker gestures."""

    name: str  # of the speaker
    performers: tuple[str, ...]  # whose strokes are taken where there are some
    rate: float = 1.0  # share of the accents that are beaten
    semantic: float = 1.0  # share of the words of a class that are gestured
    size: float = 1.0  # of gestures, 1 = as recorded; at most 1.1, so that no joint goes where the performer's did not
    tempo: float = 1.1  # of strokes
    left: float = 0.25  # share of gestures of one hand that the left one makes
    both: float = 0.5  # share of beats of both
    head: float = 1.0  # of nods and turns, 1 = usual
    drift: float = 1.0  # of posture, 1 = usual
    rest: int = 0  # number of the resting pose
    poses: tuple[int, ...] = (0, 1, 2)  # numbers of the poses of raised hands, one after the other


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
    way: int = 1000  # frames that hands have at most to get there

    @property
    def lead(self) -> int:
        """Frames from the beginning of the preparation to the emphasis."""
        return min(max(round((self.stroke.emphasis - self.stroke.start) / self.tempo), MIN_LEAD), self.way)

    @property
    def release(self) -> int:
        """Frames from the emphasis to where the hands let go."""
        return round((self.stroke.end - self.stroke.emphasis) / self.tempo) + self.hold


@dataclass(frozen=True)
class Beat:
    """A beat of the arms on a frame, on top of what they do; `size` in radians of the elbow, `pose` where they are."""

    frame: int
    size: float
    sides: tuple[str, ...]
    pose: int = 0


@dataclass(frozen=True)
class Raised:
    """Frames [start, stop) in which hands are kept up in the pose of a number; `blend` frames to get there."""

    start: int
    stop: int
    pose: int
    blend: int


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
    # Own speech and that of the interlocutor, frames [start, stop) in order: in silence nothing but breath moves
    speech: tuple[tuple[int, int], ...] = ()
    heard: tuple[tuple[int, int], ...] = ()
    raised: tuple[Raised, ...] = ()  # in order
    sink: int = 30  # frames in which hands sink to rest
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
