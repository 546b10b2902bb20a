"""How near every phrasing of the book is to a clause: meaning, words in common, verb, side, way and manner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from avatargpt.requests.index import VectorIndex
from avatargpt.requests.lexical import lemmas
from avatargpt.requests.marks import Marks
from avatargpt.requests.sides import BACK, UP_DOWN, side_asked
from avatargpt.requests.verbs import doing

KNOWN = 0.9  # a request that is so near to a phrasing is looked up with its manner alone: "walk like a zombie"
UNSAID = 0.15  # behind others goes a phrasing that names a side where the request names none, or is backward alone, and
# a caption for each place that it tells and the request does not ("above the head")
SIDED = 0.05  # a phrasing of the very side asked for goes before one without a side
SIDELESS = 0.1  # behind others goes an action that no caption does on the side asked for
STYLED = 0.1  # an action that is known in the manner asked for goes before one that is not
SELDOM = 0.2  # but for one whose verb is told, where so few phrasings with that verb are done on that side
DOING = 0.1  # a phrasing whose verb (and part of the body) is that of the request goes before others
UNLIKE = 0.1  # behind others one with that verb whose action has nothing to do with that part of the body
OVERLAP = 0.2  # weight of word overlap against the sentence encoder's cosine (both 0..1)


class Book(Protocol):
    """What is looked up in: `avatargpt.requests.phrases.PhraseIndex`."""

    index: VectorIndex
    captions: list[dict[str, str]]
    marks: Marks
    sides: np.ndarray

    def does(self, verb: str, part: str) -> tuple[np.ndarray, np.ndarray]: ...


@dataclass(frozen=True, eq=False)
class Seen:
    """What speaks for each of the n phrasings.

    Attributes:
        scores: (n,) all together. cosine: (n,) of the sentence encoder. overlap: (n,) words in common, 0..1.
        alike: (n,) bool, the same verb. unlike: (n,) bool, the verb, but of another part of the body.
        verb: whether the request's verb is known. words: how many the request has.
        terms: of each of its lemmas how rare it is and the rows that have it.
    """

    scores: np.ndarray
    cosine: np.ndarray
    overlap: np.ndarray
    alike: np.ndarray
    unlike: np.ndarray
    verb: bool
    words: int
    terms: tuple[tuple[float, np.ndarray], ...] = ()

    @property
    def plain(self) -> np.ndarray:
        """(n,) without the verb, which says nothing among captions of one action."""
        return self.scores - DOING * self.alike + UNLIKE * self.unlike


def seen(
    book: Book, part: str, said: str, rest: str, manner: str, cosine: np.ndarray,
    hidden: np.ndarray | None = None,
) -> Seen:  # fmt: skip
    """Score every phrasing.

    Args:
        part: the clause. said: without a turn, a path and what is denied. rest: that without its manner.
        cosine: (2, n) of `said` and `rest` to every phrasing. hidden: rows that are to count as if they were not there.
    """
    words = [book.index.words.scores(said), book.index.words.scores(rest)]
    near, overlap = cosine[0], words[0]
    if rest != said and (near + OVERLAP * overlap).max() < KNOWN:
        near, overlap = cosine.max(0), np.maximum(*words)
    verb, moved = doing(part)
    alike, unlike = book.does(verb, moved)
    if hidden is not None:
        near, overlap, alike = near.copy(), overlap.copy(), alike.copy()
        near[hidden], overlap[hidden], alike[hidden] = -1, 0, False
    scores = near + OVERLAP * overlap
    if manner:
        scores = scores + STYLED * np.array([manner in c for c in book.captions])
    scores = scores + DOING * alike - UNLIKE * unlike
    if side := side_asked(said):
        scores = np.where(book.sides == side, scores + SIDED, np.where(book.sides == "", scores, -1))
        shown = book.marks.sided(side)
        if (shown & alike).sum() <= SELDOM * alike.sum():  # "nods to the left"
            shown = shown | alike
        scores = scores - SIDELESS * ~shown
    else:
        scores = scores - UNSAID * book.marks.named
    way = UP_DOWN.findall(said)
    if len({*way}) == 1:
        scores = scores - UNSAID * book.marks.against(way[0])
    scores = scores - UNSAID * (~book.marks.said_backward if BACK.search(said) else book.marks.backward)
    index, gone = book.index.words, np.zeros(0, int) if hidden is None else hidden
    terms = tuple((index.weight.get(w, index.rarest), np.setdiff1d(index.rows(w), gone)) for w in {*lemmas(rest)})
    return Seen(scores, near, overlap, alike, unlike, bool(verb), len(said.split()), terms)
