"""What a thread makes ahead is what is made in turn."""

from __future__ import annotations

import threading

import pytest

from avatargpt.train.data.batches import Prefetch


def test_the_next_is_made_while_this_one_is_in_use() -> None:
    begun, made = {n: threading.Event() for n in range(5)}, []

    def make(n: int) -> int:
        made.append((n, threading.current_thread().name))
        begun[n].set()
        return n * n

    ahead = Prefetch(make)
    assert ahead.get(0, 1) == 0
    assert begun[1].wait(5)  # nobody has asked for it yet
    assert ahead.get(1, 2) == 1
    assert ahead.get(4) == 16  # another than foreseen: the foreseen one is dropped
    assert ahead.get(2) == 4
    assert [n for n, _ in made] == [0, 1, 2, 4, 2]
    assert len({name for _, name in made}) == 1 and made[0][1] != threading.current_thread().name


def test_what_is_raised_comes_when_it_is_asked_for() -> None:
    ahead = Prefetch(lambda n: 1 // n)
    assert ahead.get(1, 0) == 1
    with pytest.raises(ZeroDivisionError):
        ahead.get(0)
    assert ahead.get(1) == 1
