"""What somebody does who listens: hands at rest, and nods where the other one pauses. Rules, not a network.

The network learns both from a corpus that follows such rules, but draws them too seldom to be relied on.
"""

from __future__ import annotations

import numpy as np

from avatargpt.speech.audio import FPS
from instruct_data.gesture.performing import minimum_jerk, through

LOUD, FLOOR, FALL = 30.0, -55.0, 1.0 / FPS  # dB below the loudest, dBFS, dB a frame by which the loudest is forgotten
NOISE, CREEP = 10.0, 3.0 / FPS  # dB above the quietest that is no noise, dB a frame by which the quietest is forgotten
SILENT, SOON = 18, 12  # frames of own silence after which hands sink, and before one's own words in which they do not
SINK, RISE = 1 / 30, 1 / 15  # of the way, a frame
PAUSE, SPOKE, WITHIN = 6, 20, 40  # frames: silence of the other that is a pause, after so many of the last ones spoken
APART = 45  # frames between nods
NODS, SIZE = 0.85, (0.10, 0.17)  # share of the pauses, radians
WIDTH = 6  # frames of a nod down, and as many back


class Voice:
    """Frames of 1/30 s in which a voice is heard, from samples in chunks of any size."""

    def __init__(self, rate: int) -> None:
        self._rate, self._rest, self._taken = rate, np.zeros(0), 0
        self._peak, self._noise = FLOOR, 0.0
        self.heard: list[bool] = []

    def push(self, pcm: np.ndarray) -> None:
        """Samples (n,) or (n, channels)."""
        mono = pcm if pcm.ndim == 1 else pcm.mean(1)
        self._rest = np.concatenate([self._rest, mono.astype(np.float64)])
        while True:
            stop = (len(self.heard) + 1) * self._rate // FPS - self._taken
            if stop > len(self._rest):
                return
            level = 10 * np.log10(float((self._rest[:stop] ** 2).mean()) + 1e-12)
            self._peak = max(self._peak - FALL, level, FLOOR)
            self._noise = min(self._noise + CREEP, level)
            self.heard.append(level > max(self._peak - LOUD, FLOOR, self._noise + NOISE))
            self._rest, self._taken = self._rest[stop:], self._taken + stop


class Listening:
    """Stillness and nods, frame by frame.

    Args:
        rate, other_rate: samples a second of both voices. seed: of the nods.
    """

    def __init__(self, rate: int, other_rate: int, seed: int = 0) -> None:
        self._own, self._other, self._seed = Voice(rate), Voice(other_rate), seed
        self._still, self._last = 0.0, -APART
        self._nod: tuple[int, list[tuple[float, float]]] | None = None

    def hear(self, pcm: np.ndarray, other: np.ndarray | None) -> None:
        """Samples of both voices."""
        self._own.push(pcm)
        if other is not None:
            self._other.push(other)

    def frame(self, t: int) -> tuple[float, float]:
        """Of frame t, in order: how far hands are at rest, 0 to 1, and how far the head is nodded, radians."""
        mine = self._own.heard
        quiet = not any(mine[max(0, t - SILENT) : t + SOON + 1])
        self._still = float(np.clip(self._still + (SINK if quiet else -RISE), 0, 1))
        theirs = self._other.heard
        pause = t >= PAUSE and not any(theirs[t - PAUSE + 1 : t + 1]) and any(theirs[t - PAUSE : t - PAUSE + 1])
        spoke = sum(theirs[max(0, t - WITHIN) : t + 1]) >= SPOKE
        alone = not any(mine[max(0, t - SILENT // 2) : t + SOON + 1])
        if pause and spoke and alone and t - self._last >= APART:
            rng = np.random.default_rng([self._seed, 76, t])
            if rng.random() < NODS:
                self._last, self._nod = t, (t, _keys(float(rng.uniform(*SIZE)), int(rng.integers(1, 3))))
        still = float(minimum_jerk(np.array([self._still]))[0])
        return still, 0.0 if self._nod is None else float(through(self._nod[1], np.array([t - self._nod[0]]))[0])


def _keys(size: float, times: int) -> list[tuple[float, float]]:
    """Frames and radians: down and back, twice with less the second time."""
    keys = [(0.0, 0.0)]
    for k in range(times):
        keys += [((2 * k + 1) * WIDTH, size * 0.8**k), ((2 * k + 2) * WIDTH, -0.2 * size * 0.8**k)]
    return [*keys, (keys[-1][0] + WIDTH, 0.0)]
