"""Movements that the phrase index knows and that may be meant: a vocabulary for who writes in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from avatargpt.requests.index import ranked
from avatargpt.requests.phrases import PhraseIndex
from avatargpt.requests.references import told_of
from avatargpt.requests.scoring import OVERLAP

if TYPE_CHECKING:
    from avatargpt.lm.text_encoder import SentenceGrounder

LONGEST = 9  # words of a movement
DEEPEST = 300  # phrasings looked at for each text


def movements(book: PhraseIndex, grounder: SentenceGrounder, texts: Sequence[str], most: int) -> dict[str, str]:
    """At most `most` movements, one per action: the nearest to each text, then the second nearest, and so on.

    Returns:
        Verb phrase ("waves the left hand") -> caption that the network knows.
    """
    if not texts:
        return {}
    cosines = book.index.cosines(grounder.sentence(list(texts)))
    rows = [ranked(book.index.scores(c, OVERLAP, t), DEEPEST) for c, t in zip(cosines, texts, strict=True)]
    found: dict[str, str] = {}
    actions: set[str] = set()
    for row in (int(r) for same in zip(*rows, strict=True) for r in same):
        caption, action = book.captions[row][""], book.classes[row]
        said = told_of(caption, "", "they")
        if len(said.split()) <= LONGEST and said not in found and action not in actions:
            actions.add(action)
            found[said] = caption
        if len(found) == most:
            break
    return found
