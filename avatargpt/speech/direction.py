"""What the face is told besides the sound: feelings over time and clauses of facial motion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from vqvae.errors import UserError

LINGER = 0.5  # s for which a clause is still seen after its end, so that its movement can come to rest
MOST_TOKENS = 192


class Grounder(Protocol):
    """What turns words into vectors: `avatargpt.text.SentenceGrounder`."""

    def states(self, texts: Sequence[str]) -> list[np.ndarray]: ...

    def sentence(self, texts: Sequence[str]) -> np.ndarray: ...


@dataclass(frozen=True)
class Feeling:
    """A keyframe: reached at this second in a straight line from the one before; the first also holds before it."""

    second: float
    text: str
    strength: float = 1.0


@dataclass(frozen=True)
class Clause:
    """A facial instruction and the seconds for which it holds."""

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class Direction:
    """Emotion track and instructions as vectors, ready for the network.

    Attributes:
        seconds: (K,) of the feelings, increasing.
        vectors: (K, 384) unit sentence vectors.
        strengths: (K,) in [0, 1].
        states: (N, 384) token states of all clauses.
        starts, ends: (N,) seconds of each token's clause.
    """

    seconds: np.ndarray = field(default_factory=lambda: np.zeros(0))
    vectors: np.ndarray = field(default_factory=lambda: np.zeros((0, 384), np.float32))
    strengths: np.ndarray = field(default_factory=lambda: np.zeros(0))
    states: np.ndarray = field(default_factory=lambda: np.zeros((0, 384), np.float32))
    starts: np.ndarray = field(default_factory=lambda: np.zeros(0))
    ends: np.ndarray = field(default_factory=lambda: np.zeros(0))

    @classmethod
    def make(cls, feelings: Sequence[Feeling], clauses: Sequence[Clause], grounder: Grounder) -> Direction:
        """Vectors of the texts.

        Raises:
            UserError: two feelings at one second, a strength out of range, a clause that ends before it begins, or too
                many words at once.
        """
        ordered = sorted(feelings, key=lambda f: f.second)
        for a, b in zip(ordered, ordered[1:], strict=False):
            if a.second == b.second and (a.text, a.strength) != (b.text, b.strength):
                raise UserError(f"two feelings at {a.second:g} s: {a.text!r} and {b.text!r}; one is needed")
        for f in ordered:
            if not 0 <= f.strength <= 1 or not 0 <= f.second < 1e6:
                where = f"feeling {f.text!r} at {f.second:g} s, strength {f.strength:g}"
                raise UserError(f"{where}; accepted: strengths from 0 to 1, times from 0 s")
        for c in clauses:
            if not 0 <= c.start < c.end:
                where = f"{c.text!r} from {c.start:g} to {c.end:g} s"
                raise UserError(f"{where}; accepted: an end after the start, from 0 s")
        vectors = grounder.sentence([f.text for f in ordered]) if ordered else np.zeros((0, 384), np.float32)
        states = [s.astype(np.float32) for s in grounder.states([c.text for c in clauses])] if clauses else []
        counts = [len(s) for s in states]
        if sum(counts) > MOST_TOKENS:
            raise UserError(f"{sum(counts)} word pieces of facial instructions; accepted: up to {MOST_TOKENS}")
        return cls(
            np.array([f.second for f in ordered]), np.asarray(vectors, np.float32),
            np.array([f.strength for f in ordered], float),
            np.concatenate(states) if states else np.zeros((0, 384), np.float32),
            np.repeat([c.start for c in clauses], counts).astype(float),
            np.repeat([c.end for c in clauses], counts).astype(float),
        )  # fmt: skip

    def feeling(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(T, 384) vectors times strength and (T, 1) strengths at times `t`; straight lines between keyframes."""
        if not len(self.seconds):
            return np.zeros((len(t), 384), np.float32), np.zeros((len(t), 1), np.float32)
        after = np.clip(np.searchsorted(self.seconds, t, side="right"), 0, len(self.seconds) - 1)
        before = np.maximum(after - 1, 0)
        before = np.where(t >= self.seconds[-1], len(self.seconds) - 1, before)
        gap = np.maximum(self.seconds[after] - self.seconds[before], 1e-9)
        share = np.clip((t - self.seconds[before]) / gap, 0, 1)[:, None]
        scaled = self.vectors * self.strengths[:, None]
        vector = scaled[before] * (1 - share) + scaled[after] * share
        strength = self.strengths[before][:, None] * (1 - share) + self.strengths[after][:, None] * share
        # Between two feelings the mean of two unit vectors is short: strength stays what was asked for.
        length = np.linalg.norm(vector, axis=1, keepdims=True)
        vector = np.where(length > 1e-6, vector / np.maximum(length, 1e-6) * strength, 0)
        return vector.astype(np.float32), strength.astype(np.float32)

    def tokens(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(T, N) seconds since each token's clause began, until it ends, and whether it is seen, at times `t`."""
        since, left = t[:, None] - self.starts[None], self.ends[None] - t[:, None]
        active = (since >= 0) & (left >= -LINGER)
        return since.astype(np.float32), left.astype(np.float32), active.astype(np.float32)
