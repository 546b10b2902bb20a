"""Does a model that is shown examples compose, or does it replay them?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RUN = 10  # tokens: 2 s at five tokens per second


def _windows(codes: np.ndarray, run: int) -> list[bytes]:
    """Every stretch of `run` neighbouring level-0 codes."""
    first = np.asarray(codes)
    first = np.ascontiguousarray(first[:, 0] if first.ndim == 2 else first, np.int64)
    if len(first) < run:
        return []
    return [w.tobytes() for w in np.lib.stride_tricks.sliding_window_view(first, run)]


def copy_rate(outputs: Sequence[np.ndarray], library: Sequence[np.ndarray], run: int = RUN) -> float:
    """Share of output tokens that lie in a stretch of at least `run` tokens which a library clip has, too.

    Only level 0 is compared, for that is what the decoder speaks; asking for equal residual levels besides would find
    fewer copies. 0 = everything is new, 1 = a replay.

    Args:
        outputs: (N, R) or (N,) codes each. library: codes of every library clip, likewise.
        run: shortest stretch that counts, in tokens.

    Raises:
        ValueError: no output tokens, or `run` below 1.
    """
    total = sum(map(len, outputs))
    if run < 1 or not total:
        raise ValueError(f"copy_rate: {total} output tokens, run {run}; accepted at least 1 of each")
    known = {w for clip in library for w in _windows(clip, run)}
    hits = 0
    for codes in outputs:
        inside = np.zeros(len(codes), bool)
        for start, window in enumerate(_windows(codes, run)):
            if window in known:
                inside[start : start + run] = True
        hits += int(inside.sum())
    return hits / total
