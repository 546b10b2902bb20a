"""Semantic gestures: the options of a speaker's manner, and the strokes that words call for."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from avatargpt.gesture.bank import GestureBank
from avatargpt.gesture.words import TimedWord
from avatargpt.speech.phones import VOWELS
from instruct_data.gesture.classes import BEAT, MARKS, Found, WordClasses
from instruct_data.gesture.plan import Placed
from instruct_data.gesture.strokes import FPS
from vqvae.errors import UserError

LEAST_ENERGY, MOST_ENERGY = 0.2, 2.0


@dataclass(frozen=True)
class Manner:
    """What is asked for.

    Attributes:
        semantic: 0 to 1, share of the words of a class that get a gesture that means them, as far as there is room;
            None = all, but none where hands are calm or the network has no bank of gestures.
        calm: whether hands rest; head, trunk and breath go on.
        energy: 0.2 to 2, size of movements; 1 = as the network makes them.
        cues: words, in lower case, with the gestures that they get.

    Raises:
        UserError: numbers out of bounds, a word with two gestures.
    """

    semantic: float | None = None
    calm: bool = False
    energy: float = 1.0
    cues: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.semantic is not None and not (math.isfinite(self.semantic) and 0 <= self.semantic <= 1):
            raise UserError(f"semantic {self.semantic:g}; accepted: 0 to 1")
        if not (math.isfinite(self.energy) and LEAST_ENERGY <= self.energy <= MOST_ENERGY):
            raise UserError(f"energy {self.energy:g}; accepted: {LEAST_ENERGY:g} to {MOST_ENERGY:g}")
        seen: set[str] = set()
        for word, _ in self.cues:
            if word in seen:
                raise UserError(f"cue {word}: named twice; accepted: one gesture for a word")
            seen.add(word)

    @property
    def share(self) -> float:
        """Of words that get a gesture."""
        return float(not self.calm) if self.semantic is None else self.semantic


def read_cues(arguments: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """``WORD=GESTURE`` arguments as `Manner.cues`; a WORD may be several words, as in ``"not at all=shake"``.

    Raises:
        UserError: another form.
    """
    out = []
    for argument in arguments:
        word, equals, gesture = argument.partition("=")
        word, gesture = " ".join(word.lower().replace("\u2019", "'").split()), gesture.strip()
        if not equals or not gesture or not any(c.isalnum() for c in word):
            raise UserError(f"cue {argument!r}; accepted: WORD=GESTURE")
        out.append((word, gesture))
    return tuple(out)


SPACED = 20  # frames between strokes, so that each can be seen
LEFT = 0.2  # share of gestures of one hand that the left one makes
LOUDER = 0.09  # size for each standard deviation of loudness
SIZES = 0.7, 1.12
TEMPO = 1.05
NEAR = 0.55  # cosine from which a word means what another one means (docs/gesture_bank.md)
LETTERS = 4  # of words that are looked for so
COMMONEST = 2200  # numbers in the encoder's vocabulary, the commonest words first, below which a word is grammar
SYLLABLE = 0.35  # share of a word at which its stress is, where nothing tells it
FIRST_CUE, GUESSED = 10.0, -0.5  # what counts for a cue, and against a word that the table does not hold

Encode = Callable[[list[str]], np.ndarray]
"""Texts -> (n, D) unit vectors."""


class Nearest:
    """Classes of words that the table does not hold.

    Args:
        classes: the table. encode: of the sentence encoder. number: of a word in its vocabulary, None = in pieces.
    """

    def __init__(self, classes: WordClasses, encode: Encode, number: Callable[[str], int | None]) -> None:
        self._number = number
        single = {words[0]: kind for words, kind in classes.words.items() if len(words) == 1}
        single = {w: k for w, k in single.items() if len(w) >= LETTERS}
        self._kinds, self._encode = list(single.values()), encode
        self._vectors = encode(list(single))
        self._known: dict[str, str] = {}

    def __call__(self, word: str) -> str:
        """The class of a word, empty = none."""
        plain = word.strip(MARKS).lower()
        number = self._number(plain)
        if len(plain) < LETTERS or not plain.isalpha() or (number is not None and number < COMMONEST):
            return ""
        if plain not in self._known:
            near = self._vectors @ self._encode([plain])[0]
            best = int(near.argmax())
            self._known[plain] = self._kinds[best] if near[best] >= NEAR else ""
        return self._known[plain]


@dataclass(frozen=True)
class _Wish:
    """A stroke that words ask for: the more specific the sooner it is kept."""

    priority: float
    placed: Placed


def stressed(word: TimedWord) -> float:
    """Seconds at which the vowel of a word's primary stress begins.

    Without phones, or where they carry no stress: where it lies in the dictionary's pronunciation, phones alike long.
    """
    for phone in getattr(word, "phones", ()):
        if phone.stress == 1 and phone.name in VOWELS:
            return phone.start
    from avatargpt.speech.pronouncing import transcript_words

    try:
        phones = transcript_words(word.text)[0].pronunciations[0]
        at = next((k for k, p in enumerate(phones) if p.endswith("1")), None)
        share = SYLLABLE if at is None else at / len(phones)
    except (UserError, IndexError):
        share = SYLLABLE
    return word.start + share * (word.end - word.start)


def _runs_of(words: Sequence[TimedWord], length: int) -> list[str]:
    """All runs of so many words, plainly written, by the number of their first."""
    plain = [w.text.strip(MARKS).lower().replace("\u2019", "'") for w in words]
    return [" ".join(plain[at : at + length]) for at in range(len(plain) - length + 1)]


def check_cues(manner: Manner, words: Sequence[TimedWord]) -> None:
    """Raises UserError where a cue is not among the words, all of which are known; names what is said and near."""
    for cue, gesture in manner.cues:
        said = list(dict.fromkeys(_runs_of(words, len(cue.split()))))
        if cue not in said:
            near = difflib.get_close_matches(cue, said, 3, 0.6)
            also = f"; near to it: {', '.join(near)}" if near else ""
            raise UserError(f"--cue {cue}={gesture}: nobody says {cue!r}; accepted: words of the transcript{also}")


class Meaning:
    """Plans the strokes of a talk from its words, in order; equal seeds plan alike.

    Args:
        bank: of gestures. classes: the table. manner: how readily, and which words get which gesture.
        nearest: classes of other words. seed: of what is drawn.

    Raises:
        UserError: a cue with a gesture that the bank does not have.
    """

    def __init__(
        self, bank: GestureBank, classes: WordClasses, manner: Manner, nearest: Nearest | None = None, seed: int = 0
    ) -> None:
        self.bank, self.classes, self.manner, self.nearest, self.seed = bank, classes, manner, nearest, seed
        self._cues = {tuple(words.split()): gesture for words, gesture in manner.cues}
        known = {name.lower(): name for name in bank.names}
        for words, gesture in self._cues.items():
            if gesture.lower() not in known:
                near = difflib.get_close_matches(gesture.lower(), list(known), 3, 0.5) or list(known)
                accepted = ", ".join(known[n] for n in near)
                raise UserError(f"--cue {' '.join(words)}={gesture}: no such gesture; accepted: {accepted}")
            self._cues[words] = known[gesture.lower()]
        self._said = 0  # words so far

    def __call__(
        self, words: Sequence[TimedWord], taken: Sequence[int] = (), loud: Sequence[float] = ()
    ) -> list[Placed]:
        """The strokes of the next words.

        Args:
            taken: frames of emphases that are planned already. loud: standard deviations of each word, 0 = usual.
        """
        first, self._said = self._said, self._said + len(words)
        wishes = self._cued_wishes(words, first, loud)
        runs, guessed = self._runs([w.text for w in words])
        for run in runs:
            rng = np.random.default_rng([self.seed, 73, first + run.first])
            kind = self.classes.classes[run.kind]
            draw = float(rng.random())
            names, shares = list(kind.gestures), np.array(list(kind.gestures.values()))
            name = names[int(rng.choice(len(names), p=shares / shares.sum()))]
            if draw < self.manner.share:
                placed = self._placed(words, run, name, run.kind, first, loud, rng)
                guess = GUESSED * (run.first in guessed)
                wishes.append(_Wish(kind.share + guess + 0.2 * float(rng.random()), placed))
        kept: list[Placed] = []
        for wish in sorted(wishes, key=lambda w: -w.priority):
            frame = wish.placed.frame
            if all(abs(frame - f) >= SPACED for f in (*taken, *(k.frame for k in kept))):
                kept.append(wish.placed)
        return sorted(kept, key=lambda p: p.frame)

    def _runs(self, texts: Sequence[str]) -> tuple[list[Found], set[int]]:
        """What the words ask for, and where that is not in the table."""
        held = self.classes.find(texts)
        found = [run for run in held if run.kind != BEAT]
        if self.nearest is None:
            return found, set()
        known = {k for run in held for k in range(run.first, run.stop)}
        near = [(k, self.nearest(t)) for k, t in enumerate(texts) if k not in known]
        more = [Found(k, k + 1, kind) for k, kind in near if kind]
        return sorted([*found, *more], key=lambda r: r.first), {run.first for run in more}

    def _cued_wishes(self, words: Sequence[TimedWord], first: int, loud: Sequence[float]) -> list[_Wish]:
        out = []
        for cue, gesture in self._cues.items():
            for at, said in enumerate(_runs_of(words, len(cue))):
                if said == " ".join(cue):
                    rng = np.random.default_rng([self.seed, 74, first + at])
                    run = Found(at, at + len(cue), "cue")
                    out.append(_Wish(FIRST_CUE, self._placed(words, run, gesture, "cue", first, loud, rng)))
        return out

    def _placed(
        self, words: Sequence[TimedWord], run: Found, name: str, kind: str, first: int, loud: Sequence[float],
        rng: np.random.Generator,
    ) -> Placed:  # fmt: skip
        """A stroke of a gesture, its emphasis on the strongest of the words: the last one but for grammar."""
        at = max(range(run.first, run.stop), key=lambda k: (len(words[k].text) >= LETTERS, k))
        strokes = self.bank.strokes(name, "l" if rng.random() < LEFT else "r")
        stroke = strokes[int(rng.integers(len(strokes)))]
        strength = float(loud[at]) if len(loud) else 0.0
        size = float(np.clip(1 + LOUDER * strength, *SIZES))
        return Placed(stroke, round(stressed(words[at]) * FPS), TEMPO, size, 0, first + at, kind)
