"""How somebody gestures, as far as it is asked for and not learnt: meaning, calm, energy, and gestures of single words.

A `Manner` only says what is wanted; `avatargpt.gesture.overlay.Semantics` does it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

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
