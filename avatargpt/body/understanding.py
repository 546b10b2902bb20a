"""What a request is taken for before anything is made, and what of it is not known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from avatargpt.language.motion_spec import ClauseSpec

SURE = 0.5  # probability of a known action below which a request is said to be not known


@dataclass(frozen=True)
class Understanding:
    """How a text is taken.

    Attributes:
        captions: what is shown, in plain words, in order. warnings: a line for each part that is not known.
    """

    captions: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def known(self) -> bool:
        """Whether all of it is."""
        return not self.warnings


def unknown(clauses: Sequence[ClauseSpec]) -> tuple[str, ...]:
    """A line for each clause whose action is probably none that is known, with what is shown in its place."""
    return tuple(f"not known: {c.said!r}; nearest: {c.text!r}" for c in _all(clauses) if c.said and c.known < SURE)


def _all(clauses: Sequence[ClauseSpec]) -> Iterator[ClauseSpec]:
    for clause in clauses:
        yield clause
        if clause.besides is not None:
            yield clause.besides
