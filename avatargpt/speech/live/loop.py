"""The loop of whatever moves live: sound in, what a stream makes of it to whoever is to have it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from avatargpt.speech.live.sources import NOTHING_CAME
from vqvae.errors import UserError

Made = TypeVar("Made", covariant=True)


class Stream(Protocol[Made]):
    """Takes blocks of samples, gives what of the motion is ready."""

    def push(self, pcm: np.ndarray, /) -> Made: ...

    def finish(self) -> Made: ...


@dataclass
class Run:
    """What a live run has done.

    Attributes:
        frames: handed on. busy: seconds that the slowest block took to become frames.
    """

    frames: int = 0
    busy: float = 0.0


def run(
    stream: Stream[Made], parts: Iterable[np.ndarray], hand_on: Callable[[Made], bool], about: Run,
    before: Callable[[], None] = lambda: None,
) -> None:  # fmt: skip
    """Push sound, hand on at once what comes of it, and what is still due when the sound ends.

    Args:
        stream: of the sound's rate. parts: blocks of samples.
        hand_on: takes what the stream made; False = enough, it is over.
        about: told how long blocks take; filled while it runs.
        before: called before each block, so that what the stream is told may change.

    Raises:
        UserError: not one sample came.
    """
    heard = False
    for part in parts:
        start = time.perf_counter()
        before()
        heard = heard or len(part) > 0
        if not hand_on(stream.push(part)):
            return
        about.busy = max(about.busy, time.perf_counter() - start)
    if not heard:
        raise UserError(NOTHING_CAME)
    hand_on(stream.finish())
