"""The checks by which real clips are compared with what came out of a tokenizer."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from avatargpt.evaluation import suites


@lru_cache(maxsize=1)
def _checks() -> tuple[Any, ...]:
    return tuple(c["check"] for c in suites.load("predicates").classes)


def natural_checks() -> list[Any]:
    """One check per class of the predicate suite; none needs a neutral reference."""
    return list(_checks())
