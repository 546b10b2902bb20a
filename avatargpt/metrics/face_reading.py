"""How well instructions were read: scores against those that their writers gave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from instruct_data.face.score import Score

NEAR = 0.4  # s between two starts that count as the same


def f1(pairs: Sequence[tuple[Counter[str], Counter[str]]]) -> float:
    """F1 over all names of (found, wanted), counted as often as they occur; NaN without any."""
    both = sum((a & b).total() for a, b in pairs)
    total = sum(a.total() + b.total() for a, b in pairs)
    return 2 * both / total if total else float("nan")


def reading_score(read: Sequence[Score], wanted: Sequence[Score]) -> dict[str, float]:
    """Shares, 0 to 1.

    Returns:
        ``actions``, ``emotions``: F1 over the names of all scores, actions counted as often as they occur, emotions
        once a score; ``sequences``: share of the scores that want actions which have exactly these, in their order;
        ``timed``: of the actions read rightly, share that begin within 0.4 s of where they should; ``counts``: share of
        them done as often as wanted.
    """
    actions = [(Counter(e.action for e in a.events), Counter(e.action for e in b.events))
               for a, b in zip(read, wanted, strict=True)]  # fmt: skip
    emotions = [(Counter({f.name for f in a.emotions}), Counter({f.name for f in b.emotions}))
                for a, b in zip(read, wanted, strict=True)]  # fmt: skip
    same, timed, counts = [], [], []
    for a, b in zip(read, wanted, strict=True):
        first, second = (sorted(s.events, key=lambda e: (e.start, e.action)) for s in (a, b))
        if second:
            same.append([e.action for e in first] == [e.action for e in second])
        free = list(first)
        for e in second:
            found = min((o for o in free if o.action == e.action), key=lambda o: abs(o.start - e.start), default=None)
            if found is not None:
                free.remove(found)
                timed.append(abs(found.start - e.start) <= NEAR)
                counts.append(found.repeat == e.repeat)
    mean = {k: float(np.mean(v)) if v else float("nan") for k, v in
            (("sequences", same), ("timed", timed), ("counts", counts))}  # fmt: skip
    return {"actions": f1(actions), "emotions": f1(emotions), **mean}
