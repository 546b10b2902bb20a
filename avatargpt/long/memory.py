"""Resident memory of runs that last for hours."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache


@cache
def _trim() -> Callable[[int], int] | None:
    import ctypes

    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):  # another C library, or none that can be asked
        return None
    return trim


def give_back() -> bool:
    """Hand freed heap back to the system where the C library can (glibc); says whether it could.

    Tensors of ever new lengths leave holes in the heap that would otherwise stay resident.
    """
    trim = _trim()
    if trim is None:
        return False
    trim(0)
    return True
