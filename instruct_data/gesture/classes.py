"""Word classes: which words of a text ask for which gestures, and sentences that use the words of every class."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

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
