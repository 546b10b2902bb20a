"""Words laid along a sound by the driver's phone head, whatever its length: window after window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from avatargpt.face.audio_model.features import extract
from avatargpt.face.words.phone_times import (
    SKIP,
    STEPS,
    Alignment,
    begun_early,
    closed_early,
    lay,
    phone_scores,
    visible,
)
from avatargpt.speech.audio import FPS, RATE
from avatargpt.speech.phones import INDEX, Phone
from avatargpt.speech.words.words import Word

if TYPE_CHECKING:
    from avatargpt.face.audio_model.driver import Driver
    from avatargpt.speech.pronouncing.spoken import Spoken

LISTEN, LEAD = 60 * FPS, 10 * FPS  # frames of one pass of the network, and of what it hears before them
WINDOW = 60 * STEPS  # steps laid at once; memory grows with its square
TAIL = 5 * STEPS  # steps at the end of a window whose words wait for the next one
QUIET = STEPS // 5  # steps of silence in which a window may end
FASTEST = 25  # phones a second; nobody speaks faster

Progress = Callable[[int, int], None]
"""Called with (steps done, steps in all)."""


@dataclass(frozen=True)
class Heard:
    """What the driver hears in a whole sound.

    Attributes:
        features: (T, 332).
        scores: (2 T, 40) log-probabilities of phones, by looks as well (`visible`).
    """

    features: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class Laid:
    """A transcript laid along a sound.

    Attributes:
        words: with phones; one whose phones were all left out has no length. Their confidence is the mean probability
            of their phones over that of the likeliest ones.
        fit: 1 = the text is what the network hears by itself, 0 = no better than the same phones backwards.
        fits: the same of each word.
    """

    words: list[Word]
    fit: float
    fits: list[float]


def hear(driver: Driver, audio: np.ndarray) -> Heard:
    """A sound (n,) at 16 kHz as the driver hears it."""
    features = extract(audio, RATE)
    parts = []
    for start in range(0, len(features), LISTEN):
        lead = min(start, LEAD)
        part = features[start - lead : start + LISTEN + driver.network.config.look_ahead]
        parts.append(phone_scores(driver, part)[2 * lead : 2 * (lead + LISTEN)])
    return Heard(features, visible(np.concatenate(parts)))


def lay_words(
    heard: Heard, said: Sequence[Spoken], near: np.ndarray | None = None, slack: float = 0.0
) -> Laid:
    """A transcript's words, each by its usual pronunciation, along what was heard.

    Args:
        near: (words, 2) seconds between which each is spoken, within `slack` seconds, where that is roughly known.

    Raises:
        UserError: more words than there is time for.
    """
    text = _Text(said)
    near = None if near is None else near[text.owner]
    path = _by_windows(heard.scores, text, near, slack)
    lost = _behind(heard.scores, path, text)
    backwards = _Text(said[::-1], reverse=True)
    wrong = _behind(heard.scores, _by_windows(heard.scores, backwards), backwards)
    chance = float(wrong.mean()) if len(wrong) else SKIP
    left_out = len(text.names) - len(set(path.spoken[path.spoken >= 0].tolist()))
    of_word: dict[int, list[Phone]] = {}
    found = [p for p in begun_early(closed_early(path.phones), heard.features) if p.name != "SIL"]
    for number, phone in zip([n for n in path.numbers if n >= 0], found, strict=True):
        of_word.setdefault(text.owner[number], []).append(replace(phone, stress=text.stresses[number]))
    owner = np.array(text.owner)[path.spoken[path.spoken >= 0]]
    words: list[Word] = []
    fits: list[float] = []
    at = 0.0
    for k, one in enumerate(said):
        own = tuple(of_word.get(k, ()))
        if own:
            behind = (lost[owner == k].sum() + SKIP * (len(text.parts[k]) - len(own))) / max(1, (owner == k).sum())
            at = own[-1].end
            words.append(Word(one.text, own[0].start, at, own, float(np.exp(behind))))
            fits.append(float(1 - behind / chance))
        else:
            words.append(Word(one.text, at, at, (), 0.0))
            fits.append(0.0)
    whole = (lost.sum() + SKIP * left_out) / len(lost) if len(lost) else chance
    return Laid(words, float(1 - whole / chance), fits)


class _Text:
    """Phones of some words, each by its usual pronunciation.

    Attributes:
        parts: phones of each word. names: all of them. owner: the word of each. stresses: of each, None = no vowel.
        pauses: numbers of the words after which a pause is written.
    """

    def __init__(self, said: Sequence[Spoken], reverse: bool = False) -> None:
        step = -1 if reverse else 1
        self.parts = [[p.rstrip("012") for p in one.ways[0]][::step] for one in said]
        self.names = [name for part in self.parts for name in part]
        self.owner = [k for k, part in enumerate(self.parts) for _ in part]
        self.stresses = [int(p[-1]) if p[-1].isdigit() else None for one in said for p in one.ways[0][::step]]
        self.pauses = {k for k, one in enumerate(said) if one.pause}
        self.begins = np.cumsum([0, *(len(part) for part in self.parts)])  # of each word, in `names`

    def phones(self, first: int, most: int) -> list[str]:
        """Phones of the words from number `first` on, about `most` of them, SIL where a pause is written."""
        out: list[str] = []
        for k in range(first, len(self.parts)):
            if self.begins[k] - self.begins[first] >= most:
                break
            out += [*self.parts[k], *(["SIL"] if k in self.pauses else [])]
        return out


def _behind(scores: np.ndarray, path: Alignment, text: _Text) -> np.ndarray:
    """(steps that are spoken,) how much less likely the text's phone is than the likeliest one, in logarithms."""
    at = np.flatnonzero(path.spoken >= 0)
    labels = np.array([INDEX[name] for name in text.names])
    return np.asarray(scores[at, labels[path.spoken[at]]] - scores[at].max(1))


def _by_windows(
    scores: np.ndarray, text: _Text, near: np.ndarray | None = None, slack: float = 0.0
) -> Alignment:
    """`lay`, window after window, each from the last silence of the one before."""
    phones: list[Phone] = []
    numbers: list[int] = []
    spoken: list[np.ndarray] = []
    start = word = 0
    while True:
        last = len(scores) - start <= WINDOW * 3 // 2
        window = scores[start:] if last else scores[start : start + WINDOW]
        base = int(text.begins[word])
        if word == len(text.parts):  # nothing is left to say
            stop, path = len(window), Alignment([Phone("SIL", 0.0, len(window) / STEPS)], [-1], 0.0,
                                           np.full(len(window), -1))  # fmt: skip
        else:
            most = len(text.names) if last else FASTEST * WINDOW // STEPS  # all that is left, or what may be said
            some = text.phones(word, most)
            count = sum(name != "SIL" for name in some)
            soon = None if near is None else near[base : base + count] - start / STEPS
            path = lay(window, some, last, text.owner[base : base + count], soon, slack)
            stop = len(window) if last else _cut(path.spoken, base, text)
        kept = path.spoken[:stop]
        done = int(kept.max(initial=-1)) + 1
        for phone, number in zip(path.phones, path.numbers, strict=True):
            if number < done and (end := min(phone.end, stop / STEPS)) > phone.start:
                moved = Phone(phone.name, phone.start + start / STEPS, end + start / STEPS)
                if number < 0 and numbers and numbers[-1] < 0:
                    moved = Phone("SIL", phones.pop().start, moved.end)
                    numbers.pop()
                phones.append(moved)
                numbers.append(number + base if number >= 0 else -1)
        spoken.append(np.where(kept >= 0, kept + base, -1))
        start += stop
        if done:
            word = text.owner[base + done - 1] + 1
        if last:
            return Alignment(phones, numbers, 0.0, np.concatenate(spoken))


def _cut(spoken: np.ndarray, base: int, text: _Text) -> int:
    """Where a window may end: in its last silence between two words, or else between its last words."""
    latest = len(spoken) - TAIL
    edges = [0, *(np.flatnonzero(np.diff(spoken)) + 1).tolist(), len(spoken)]
    between = latest
    for a, b in zip(edges[-2::-1], edges[:0:-1], strict=True):
        if a >= latest or a == 0:
            continue
        before = spoken[:a].max(initial=-1)
        after = spoken[b] if spoken[a] < 0 and b < len(spoken) else spoken[a]
        if before >= 0 and after >= 0 and text.owner[base + before] == text.owner[base + after]:
            continue
        if spoken[a] < 0 and b - a >= QUIET:
            return min((a + b) // 2, latest)
        between = a if between == latest else between
    return between
