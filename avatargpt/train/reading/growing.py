"""A book of phrasings gets the actions that it lacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from avatargpt.requests.index import unit
from avatargpt.requests.lexical import lemmas
from avatargpt.requests.phrases import PhraseIndex
from instruct_data.text.mirror import side_of

NEAR, NEARER, SELDOM = 0.7, 0.1, 250  # cosines, and phrasings that have a lemma which is no common one


def with_new_actions(earlier: PhraseIndex, book: PhraseIndex) -> PhraseIndex:
    """A book as it was and, behind it, the phrasings that another has of actions that it lacks.

    Requests that stood for something near while their action was missing ("hail a taxi" for a wave) go to the new one.
    """
    known = {*earlier.classes}
    new = [i for i, (k, c) in enumerate(zip(book.keys, book.classes, strict=True))
           if c not in known and k not in earlier.rows]  # fmt: skip
    captions = [book.captions[i] for i in new]
    said = {t for c in captions for t in c.values()}
    lengths = earlier.lengths | {c: n for c, n in book.lengths.items() if c in said and c not in earlier.lengths}
    all_captions, classes = [*earlier.captions, *captions], [*earlier.classes, *(book.classes[i] for i in new)]
    sides = [*(str(s) for s in earlier.sides), *(str(book.sides[i]) for i in new)]
    for i, j in _moved(earlier, book, new):
        all_captions[i], classes[i], sides[i] = book.captions[j], book.classes[j], str(book.sides[j])
    return PhraseIndex(
        [*earlier.keys, *(book.keys[i] for i in new)], all_captions, classes, sides, earlier.styles, lengths,
        np.concatenate([earlier.index.vectors, book.index.vectors[new]]),
    )  # fmt: skip


def _moved(earlier: PhraseIndex, book: PhraseIndex, new: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Requests of the earlier book and the new phrasing that says the same: `NEARER` than any caption of their own
    action, with two lemmas in common, one of them no common one, and on the same side."""
    own = np.full(len(earlier.keys), -1.0)
    vectors, theirs = unit(earlier.index.vectors), unit(book.index.vectors[list(new)])
    for rows in earlier.members:
        told = {earlier.rows[c] for i in rows for c in earlier.captions[i].values() if c in earlier.rows}
        if told:
            own[rows] = (vectors[rows] @ vectors[sorted(told)].T).max(1)
    said = [{*lemmas(k)} for k in earlier.keys]
    meant = [{*lemmas(book.keys[i])} for i in new]
    often = Counter(w for some in said for w in some)
    for i in np.flatnonzero(~earlier.marks.literal).tolist():
        near = theirs @ vectors[i]
        best = int(near.argmax())
        shared = said[i] & meant[best]
        rare = any(often[w] < SELDOM for w in shared)
        side = side_of(earlier.keys[i]) or ""
        if (
            near[best] > max(own[i] + NEARER, NEAR) and len(shared) > 1 and rare
            and len(said[i] - shared) < max(2, len(shared)) and side in ("", str(book.sides[new[best]]))
        ):  # fmt: skip
            yield i, new[best]
