"""The copy rate on outputs whose copied share is known."""

from __future__ import annotations

import numpy as np
import pytest

from avatargpt.metrics.copying import copy_rate

LIBRARY = [np.stack([np.arange(100, 130), np.arange(30)], 1), np.arange(200, 208)]


def deep(first: np.ndarray) -> np.ndarray:
    """(N,) -> (N, 2) with a second level of its own."""
    return np.stack([first, first % 7], 1)


def test_share_of_copied_tokens() -> None:
    new = np.arange(500, 530)
    assert copy_rate([deep(new)], LIBRARY) == 0
    assert copy_rate([LIBRARY[0]], LIBRARY) == 1
    assert copy_rate([deep(np.concatenate([new, np.arange(105, 115)]))], LIBRARY) == pytest.approx(10 / 40)
    # 12 of 30 tokens in one output, none of 30 in the other
    mixed = np.concatenate([new[:9], np.arange(110, 122), new[9:18]])
    assert copy_rate([mixed, new], LIBRARY) == pytest.approx(12 / 60)


def test_only_long_stretches_in_order_count() -> None:
    clip = np.arange(100, 130)
    short = np.concatenate([clip[:9], [900], clip[10:19], [901], clip[:9]])
    assert copy_rate([short], LIBRARY) == 0
    assert copy_rate([short], LIBRARY, run=9) == pytest.approx(27 / 29)
    assert copy_rate([clip[::-1]], LIBRARY) == 0
    assert copy_rate([np.arange(200, 208)], LIBRARY) == 0  # a clip shorter than the run cannot be copied
    across = np.concatenate([np.arange(125, 130), np.arange(200, 208)])
    assert copy_rate([across], LIBRARY) == 0  # stretches do not reach from one clip into the next


def test_nothing_to_compare() -> None:
    assert copy_rate([np.arange(20)], []) == 0
    with pytest.raises(ValueError, match="0 output tokens"):
        copy_rate([], LIBRARY)
    with pytest.raises(ValueError, match="run 0"):
        copy_rate([np.arange(3)], LIBRARY, run=0)
