"""The interlocutor's sound, taken as far as the speaker's has come."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from avatargpt.speech.audio import AudioInfo, Sound
from vqvae.errors import UserError


def check_lengths(own: AudioInfo, other: AudioInfo) -> None:
    """Raises UserError before anything is made where `avatargpt.gesture.spoken.SpokenGestures` would when all is."""
    from avatargpt.gesture.spoken import UNEVEN

    if abs(own.seconds - other.seconds) > UNEVEN:
        raise UserError(f"the interlocutor's sound lasts {other.seconds:.1f} s, the speaker's {own.seconds:.1f} s; "
                        f"accepted: the same, within {UNEVEN} s")  # fmt: skip


class Beside:
    """Called with each block of the speaker, gives what the interlocutor says until it ends, whatever rates and blocks.

    Args:
        rate: of the speaker's sound. other: None = nobody.
    """

    def __init__(self, rate: int, other: Sound | None) -> None:
        self._rate, self._other = rate, other
        self._parts: Iterator[np.ndarray] = iter(()) if other is None else iter(other.parts)
        self._mine = self._theirs = 0  # samples

    def __call__(self, block: np.ndarray) -> np.ndarray | None:
        """(n,) of the speaker -> (m,) of the interlocutor, None without one."""
        if self._other is None:
            return None
        self._mine += len(block)
        taken = [np.zeros(0, np.float32)]
        while self._theirs * self._rate < self._mine * self._other.about.rate:
            if (part := next(self._parts, None)) is None:
                break
            self._theirs += len(part)
            taken.append(part)
        return np.concatenate(taken)

    def rest(self) -> Iterator[np.ndarray]:
        """What the interlocutor says when the speaker's sound is over, block by block."""
        return self._parts
