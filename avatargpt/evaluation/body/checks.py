"""The checks by which real clips are compared with what came out of a tokenizer."""

from __future__ import annotations

from functools import cache
from typing import Any

from avatargpt.evaluation import suites


@cache
def natural_checks() -> tuple[Any, ...]:
    """One check per class of the predicate suite; none needs a neutral reference."""
    return tuple(c["check"] for c in suites.load("predicates").classes)
