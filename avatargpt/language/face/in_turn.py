"""Feelings and actions that follow one another: "be happy for 3 seconds, then sad, then wink".

A rule. Readers tell feelings first and actions after them, each from the clip's start, and hardly ever say how long the
last feeling is felt. So an action that follows several feelings comes too early or is taken for a third feeling, and
"then happy for 8 seconds" lasts for two. Where each part of such an instruction means something by itself, the parts
are read apart and put in a row; how long each takes is said, or read, or for a feeling `FELT` seconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from avatargpt.language.face.gradual import NEUTRAL, is_gradual
from avatargpt.language.face.parts import denies
from avatargpt.language.face.regular import says_every
from avatargpt.language.face.scores import TAIL, check_length, fitted
from avatargpt.language.face.seconds import named_seconds
from avatargpt.language.numbers import NUMBER, in_seconds
from instruct_data.face.score import MAX_SECONDS, Emotion, Score
from vqvae.errors import UserError

FELT = 2.0  # s for which a feeling is felt before something else, where nobody says how long
LEAST = 0.5  # s of it at least, where the clip leaves no more
EARLY = 0.5  # s before which a feeling is felt from the start
GAP = 0.1  # s between two actions, beside what each has at its start
MOST = 12  # parts
_THEN = re.compile(
    r"\s*[,;.]?\s*\b(?:and\s+)?(?:then|after that|afterwards|finally|followed by)\b,?\s*(?:and\s+)?"
    r"|\s*(?:->|\u2192|=>)\s*",
    re.I,
)
_FIRST = re.compile(r"^(?:first(?:ly)?|start by being|begin by being)\b,?\s*(?=[a-z])", re.I)
_BARE = re.compile(  # "sad for 8 seconds, then happy for 8"
    rf"\bfor {NUMBER}(?=\s*(?:$|[,;]|\.(?!\d)|(?:and )?then\b))", re.I
)
_BOUND = re.compile(  # words that tell a part's place by another one
    r"\b(?:while|until|till|still|again|keep(?:s|ing)?|continu\w+|both|back|same|other|before|after|during|stop|hold(?:ing)?"
    r"|it|them|that|this|whole|entire|end|half|third|rest|remaining|throughout|last|finish|let|drop|releas\w+)\b",
    re.I,
)


@dataclass(frozen=True)
class _Part:
    score: Score
    said: float | None  # s that it is to last
    changes: bool  # gradually: its seconds are those of the change, and what is felt then goes on

    @property
    def acts(self) -> bool:
        return bool(self.score.events)

    @property
    def takes(self) -> float:
        if self.said is not None:
            return self.said
        return max(e.end for e in self.score.events) + GAP if self.acts else FELT


def in_turn(
    text: str, read: Callable[[str], Score], seconds: float | None = None, whole: Score | None = None
) -> Score | None:
    """The score of feelings and actions in a row; None of other instructions, and where a reading as a whole will do.

    Args:
        read: what a part means by itself.
        seconds: of the clip; feelings that are said to last no certain time share what is left of it.
        whole: how all of it was read; where that feels from the start what comes after an action ("wink, then look
            sad"), the parts are put in a row, too.

    Raises:
        UserError: longer than a score can be, or a part would begin after the clip's end.
    """
    plain = _FIRST.sub("", in_seconds(text).strip().rstrip(".!"))
    if named_seconds(plain)[1]:
        plain = _BARE.sub(r"\g<0> seconds", plain)
    words = [w for w in _THEN.split(plain) if w.strip()]
    if len(words) == 1:  # "happy 3s, sad 3s, angry 3s"
        listed = [w for w in re.split(r"\s*[,;]\s*", plain) if w]
        words = listed if all(named_seconds(w)[1] for w in listed) else words
    if not 2 <= len(words) <= MOST or _BOUND.search(plain) or denies(plain):
        return None
    if says_every(plain) or named_seconds(plain)[0]:
        return None
    parts = [_part(w, read) for w in words]
    feelings = [p for p in parts if p is not None and not p.acts]
    if len(feelings) < len([p for p in parts if p is None or not p.acts]):
        return None  # one that means nothing, or more than one thing
    timed = any(p.said is not None for p in feelings)
    mixed = len(feelings) > 1 and len(feelings) < len(parts)
    if not (timed or mixed or _too_early(parts, whole)):
        return None
    return _row([p for p in parts if p is not None], text, seconds)


def _too_early(parts: Sequence[_Part | None], whole: Score | None) -> bool:
    """Whether a feeling that comes after an action was read to be felt from the start."""
    first, late = parts[0], [p for p in parts[1:] if p is not None and not p.acts]
    if first is None or not first.acts or first.score.emotions or not late or whole is None:
        return False
    names = {f.name for p in late for f in p.score.emotions} - {NEUTRAL}
    return any(f.name in names and f.start < EARLY for f in whole.emotions)


def _part(words: str, read: Callable[[str], Score]) -> _Part | None:
    score, lasting = read(words), named_seconds(words)[1]
    if not (score.events or score.emotions) or len(lasting) > 1:
        return None
    return _Part(score, lasting[0] if lasting and not score.events else None, is_gradual(words))


def _row(parts: list[_Part], text: str, seconds: float | None) -> Score:
    """The parts one after the other."""
    free = [p for p in parts if p.said is None and not p.acts]
    takes = [p.takes for p in parts]
    last = parts[-1]
    needed = sum(takes) + (TAIL if last.acts else 0.0)
    seconds = None if seconds is None else min(seconds, MAX_SECONDS)
    more = max((seconds - needed) / len(free), LEAST - FELT) if seconds is not None and free else 0.0
    takes = [t + more if p in free else t for p, t in zip(parts, takes, strict=True)]
    length = round(sum(takes) + (TAIL if last.acts else 0.0), 3)
    check_length(text, length)
    starts = [round(sum(takes[:k]), 3) for k in range(len(parts))]
    if seconds is not None and starts[-1] >= seconds and all(p.said is not None or p.acts for p in parts):
        late = f"the last part would begin at {starts[-1]:g} s"
        raise UserError(f"{text[:60]!r}: {late}; accepted before {round(seconds, 2):g}, the end of the clip")
    placed = [(e, start) for p, start in zip(parts, starts, strict=True) for e in p.score.events]
    events = tuple(replace(e, start=round(e.start + start, 3)) for e, start in placed)
    felt: list[Emotion] = []
    for k, (part, start, lasts) in enumerate(zip(parts, starts, takes, strict=True)):
        later = (starts[j] for j in range(k + 1, len(parts)) if parts[j].score.emotions)
        fixed = part.acts or (part.said is not None and not part.changes)
        end = start + lasts if fixed else next(later, length)
        alone = len({(f.start, f.end) for f in part.score.emotions}) == 1
        felt += [_placed(f, part.score.length, start, min(end, length), alone) for f in part.score.emotions]
    score = Score(length, events, tuple(f for f in felt if f.start < f.end), text)
    return score if seconds is None else replace(fitted(score, seconds), length=seconds)


def _placed(f: Emotion, length: float, start: float, end: float, alone: bool) -> Emotion:
    """A feeling of a part that was read `length` seconds long, in the row from `start` to `end`."""
    if alone:
        return replace(f, start=start, end=end)
    by = (end - start) / length
    return replace(f, start=round(start + f.start * by, 3), end=round(start + min(f.end, length) * by, 3))
