"""Phones with exact times, as a synthesiser gives them, to words with stresses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avatargpt.speech.phones import VOWELS, Phone
from avatargpt.speech.pronouncing.spoken import spoken
from avatargpt.speech.words.words import Word, Words
from vqvae.errors import UserError

GAP = 0.7  # of a phone that is said and not expected, or the other way round
ALIKE, OTHER = 0.5, 1.2  # of a phone in place of another: both vowels or both consonants, or not
FIT = 0.45  # mean cost of a phone from which on the phones are not those of the text


def worded(text: str, phones: Sequence[Phone], seconds: float, source: str) -> Words:
    """The words of a text from the phones that were said of it, each with its phones and their stress.

    The phones that a dictionary expects are laid along those that were said at least cost (Wagner and Fischer 1974).
    Words of which nothing was said are left out.

    Args:
        seconds: of the sound.

    Raises:
        UserError: no words, or phones of another text.
    """
    said = spoken(text)
    expected = [(p, k) for k, word in enumerate(said) for p in word.ways[0]]
    heard = [p for p in phones if p.name != "SIL"]
    pairs, cost = _laid([p.rstrip("012") for p, _ in expected], [p.name for p in heard])
    if not heard or cost > FIT * max(len(expected), len(heard)):
        raise UserError(f"{text[:40]!r}: the phones of its sound are not its own")
    found: dict[int, list[Phone]] = {}
    last = 0
    for phone, at in zip(heard, pairs, strict=True):
        mark = expected[at][0][-1] if at >= 0 else ""
        last = expected[at][1] if at >= 0 else last
        stress = int(mark) if mark.isdigit() and phone.name in VOWELS else None
        found.setdefault(last, []).append(Phone(phone.name, phone.start, min(phone.end, seconds), stress))
    words = [Word(said[k].text, own[0].start, own[-1].end, tuple(own)) for k, own in sorted(found.items())]
    return Words(tuple(words), seconds, source)


def _laid(expected: Sequence[str], said: Sequence[str]) -> tuple[list[int], float]:
    """For each phone that was said the number of the one expected, -1 = none; and the cost of it all."""
    n, m = len(expected), len(said)
    cost = np.zeros((n + 1, m + 1))
    cost[:, 0], cost[0] = GAP * np.arange(n + 1), GAP * np.arange(m + 1)
    vowel = [p in VOWELS for p in said]
    for i in range(1, n + 1):
        own, is_vowel, row, above = expected[i - 1], expected[i - 1] in VOWELS, cost[i], cost[i - 1]
        for j in range(1, m + 1):
            swap = 0.0 if own == said[j - 1] else ALIKE if is_vowel == vowel[j - 1] else OTHER
            row[j] = min(above[j - 1] + swap, above[j] + GAP, row[j - 1] + GAP)
    pairs = [-1] * m
    i, j = n, m
    while j:
        same = i and expected[i - 1] == said[j - 1]
        alike = i and (expected[i - 1] in VOWELS) == vowel[j - 1]
        swap = 0.0 if same else ALIKE if alike else OTHER
        if i and np.isclose(cost[i, j], cost[i - 1, j - 1] + swap):
            pairs[j - 1] = i - 1
            i, j = i - 1, j - 1
        elif np.isclose(cost[i, j], cost[i, j - 1] + GAP):
            j -= 1
        else:
            i -= 1
    return pairs, float(cost[n, m])
