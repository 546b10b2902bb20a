"""References to segments in words: "the second one", "part 3", "his wave", "that"."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from avatargpt.requests.english import lemmas
from instruct_data.dialogue.dialogues import NUMBERS, ORDINALS
from vqvae.errors import UserError

ALL = frozenset("everything all whole entire overall both".split())
IT = frozenset("it that this them him her he she they these those one thing motion movement animation clip".split())
KINDS = frozenset("one segment seg part step piece bit movement motion clip number section move thing take".split())
PAIR = frozenset("those these both them two pair".split())
LAST = frozenset("last final latest end ending previous".split())
# cosine of words to a caption that they may mean, and between it and the next one
MIN_SIMILARITY, MAX_GAP = 0.35, 0.08
_GLUE = frozenset("the a an of in on at part where with and his her their my your its when from very".split())


@dataclass(frozen=True)
class Target:
    """The segments that words refer to: a `segment` from 1 or None, `everything`, or `several`."""

    segment: int | None = None
    everything: bool = False
    several: tuple[int, ...] = ()


def target(
    words: str, captions: Sequence[str], similarity: Callable[[str], Sequence[float]] | None = None
) -> Target | None:  # fmt: skip
    """The segments that words refer to, or None; by numbers and places, then captions' words, then meaning.

    Args:
        similarity: cosines of words to every caption.

    Raises:
        UserError: several alike, or a number that does not exist; says which there are.
    """
    tokens = [w.strip(".,!?;:'\"#") for w in words.lower().split()]
    tokens = [t for t in tokens if t]
    bare = [t for t in tokens if t not in _GLUE]
    if any(t in ALL for t in tokens) and not (len(captions) == 2 and "both" in tokens):
        return Target(everything=True)
    numbers = [n for t in bare if (n := _number(t, bare)) is not None]
    named = [t for t in bare if t not in IT and t not in KINDS and t not in LAST and _number(t, bare) is None]
    matches = _named(" ".join(named), captions) if named else []
    if not matches and named and similarity is not None:
        matches = _nearest(similarity(" ".join(named)))
    if len(captions) == 2 and (PAIR & set(tokens)) and not (set(bare) - PAIR - IT - KINDS - {"two", "both"}):
        return Target(2, several=(1, 2))
    many = next((NUMBERS.index(t) for t in bare if t in NUMBERS[2:]), 0)
    if many and many <= len(captions) and (any(t in LAST for t in bare) or "first" in bare):
        first = 1 if "first" in bare else len(captions) - many + 1
        return Target(first, several=tuple(range(first, first + many)))
    if numbers:
        if matches and len(matches) >= numbers[0] and named and any(t in ORDINALS for t in bare):
            return Target(matches[numbers[0] - 1])  # "the second jump"
        if wrong := [n for n in numbers if not 1 <= n <= len(captions)]:
            there = f"there {'is' if len(captions) == 1 else 'are'} {len(captions)}"
            raise UserError(f"there is no segment {wrong[0]}; {there}")
        return Target(numbers[0], several=tuple(numbers) if len(numbers) > 1 else ())
    if any(t in LAST for t in bare):
        return Target(matches[-1] if matches else len(captions))
    if "middle" in bare and captions:
        return Target((len(captions) + 1) // 2)
    if matches:
        if len(matches) > 1:
            which = " and ".join(map(str, matches)) if len(matches) < 4 else f"{matches[0]} to {matches[-1]}, and more"
            raise UserError(f"which one? {words!r} may be segments {which}; name one, e.g. segment {matches[0]}")
        return Target(matches[0])
    if not named:
        return Target()
    return None


def _number(word: str, among: Sequence[str]) -> int | None:
    if word in ORDINALS:
        return ORDINALS.index(word) + 1
    if word.isdigit():
        return int(word)
    for ending in ("st", "nd", "rd", "th"):
        if word.endswith(ending) and word[: -len(ending)].isdigit():
            return int(word[: -len(ending)])
    # "part two", not "that one"
    return NUMBERS.index(word) if word in NUMBERS[1:] and (word != "one" or among[-2:-1] == ["segment"]) else None


def _named(words: str, captions: Sequence[str]) -> list[int]:
    """Segments whose caption has most of these words' lemmas."""
    stems = set(lemmas(words))
    counts = [len(stems & set(lemmas(c))) for c in captions]
    highest = max(counts, default=0)
    return [n for n, count in enumerate(counts, 1) if count == highest] if highest else []


def _nearest(cosines: Sequence[float]) -> list[int]:
    """Segments that are near enough in meaning, and about as near as the nearest."""
    best = max(cosines, default=0.0)
    return [n for n, c in enumerate(cosines, 1) if c >= best - MAX_GAP] if best >= MIN_SIMILARITY else []
