"""What the face is told besides the sound: feelings over time and clauses of facial motion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from instruct_data.face.actions import action_names, actions
from vqvae.errors import UserError

LINGER = 0.6  # s for which a clause is still seen after its end, so that its movement can come to rest
HELD, PASSED = 2.0, 5.0  # s that an action lasts at most as the network is told: held, or passing through poses
FIRST = 0.1  # of its strength with which an action begins that grows slowly
MOST_TOKENS = 512  # word pieces of clauses that are seen at once
MOST_CLAUSES = 4000
MOST_TIMES = 100
HEADS = ("rule", "recorded")  # whose mouth: learnt from rules, or from recorded pairs
TURNS = 0.4  # s within which a feeling gives way to another that is asked for while it is shown
LETS_GO = 0.3  # s that an action still lasts when another is asked for
TOGETHER = 3  # feelings at one time that are told
USUAL = 0.7  # strength of what is asked for without a degree


class Grounder(Protocol):
    """What turns words into vectors: `avatargpt.lm.text_encoder.SentenceGrounder`."""

    def states(self, texts: Sequence[str]) -> list[np.ndarray]: ...

    def sentence(self, texts: Sequence[str]) -> np.ndarray: ...


@dataclass(frozen=True)
class Feeling:
    """A keyframe: reached at this second in a straight line from the one before; the first also holds before it.

    `beside` are further feelings at the same time, each with its own strength: sad 0.7 with a trace of anger, 0.2.
    """

    second: float
    text: str
    strength: float = 1.0
    beside: tuple[tuple[str, float], ...] = ()

    @property
    def parts(self) -> tuple[tuple[str, float], ...]:
        """All feelings with their strengths."""
        return ((self.text, self.strength), *self.beside)

    @property
    def most(self) -> float:
        """The strength of the strongest of them."""
        return max(s for _, s in self.parts)

    @property
    def words(self) -> str:
        """All of them, to be read: ``sad and angry``."""
        return " and ".join(t for t, _ in self.parts)


@dataclass(frozen=True)
class Clause:
    """A facial action in words, the seconds for which it lasts, how strong it is and how often it is done in them.

    `action` is its name where it is one of `instruct_data.face.actions`, `rise` the seconds over which it grows to its
    strength; 0 = as quickly as such an action does.
    """

    text: str
    start: float
    end: float
    strength: float = USUAL
    repeat: int = 1
    action: str = ""
    rise: float = 0.0


@dataclass(frozen=True)
class Direction:
    """Emotion track and instructions as vectors, ready for the network.

    Attributes:
        seconds: (K,) of the feelings, increasing.
        vectors: (K, 384) unit sentence vectors.
        strengths: (K,) in [0, 1]; where several are felt, of the strongest, and the vector is their sum, each times
            its own strength, at unit length: it says in which proportions they are felt.
        states: (C, N, 384) token states of each clause, padded.
        words: (C, N) 1 where there is a token.
        kinds: (C,) numbers of known actions from 1 on, 0 for others.
        spans: (C, 6) start and end in seconds, strength, how often, the seconds over which it grows, and how many it
            lasts at most as the network is told (`HELD`, `PASSED`).
    """

    seconds: np.ndarray = field(default_factory=lambda: np.zeros(0))
    vectors: np.ndarray = field(default_factory=lambda: np.zeros((0, 384), np.float32))
    strengths: np.ndarray = field(default_factory=lambda: np.zeros(0))
    states: np.ndarray = field(default_factory=lambda: np.zeros((0, 1, 384), np.float32))
    words: np.ndarray = field(default_factory=lambda: np.zeros((0, 1), np.float32))
    kinds: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    spans: np.ndarray = field(default_factory=lambda: np.zeros((0, 6)))

    @classmethod
    def make(cls, feelings: Sequence[Feeling], clauses: Sequence[Clause], grounder: Grounder) -> Direction:
        """Vectors of the texts.

        Raises:
            UserError: two feelings at one second, a strength out of range, a clause that ends before it begins, or too
                many words at once.
        """
        ordered = sorted(feelings, key=lambda f: f.second)
        for a, b in zip(ordered, ordered[1:], strict=False):
            if a.second == b.second and replace(a, second=b.second) != b:
                raise UserError(f"two feelings at {a.second:g} s: {a.words!r} and {b.words!r}; one is needed")
        for f in ordered:
            for text, strength in f.parts:
                if not 0 <= strength <= 1 or not 0 <= f.second < 1e6:
                    where = f"feeling {text!r} at {f.second:g} s, strength {strength:g}"
                    raise UserError(f"{where}; accepted: strengths from 0 to 1, times from 0 s")
        for c in clauses:
            if not 0 <= c.start < c.end:
                where = f"{c.text!r} from {c.start:g} to {c.end:g} s"
                raise UserError(f"{where}; accepted: an end after the start, from 0 s")
            if not 0 < c.strength <= 1 or not 1 <= c.repeat <= MOST_TIMES:
                where = f"{c.text!r} with strength {c.strength:g}, {c.repeat} times"
                raise UserError(f"{where}; accepted: a strength above 0, at most 1, and 1 to {MOST_TIMES} times")
        vectors = _mixed(ordered, grounder) if ordered else np.zeros((0, 384), np.float32)
        tokens = [s.astype(np.float32) for s in grounder.states([c.text for c in clauses])] if clauses else []
        if len(clauses) > MOST_CLAUSES:
            raise UserError(f"{len(clauses)} facial actions; accepted: up to {MOST_CLAUSES}")
        if (many := _at_once(clauses, [len(s) for s in tokens])) > MOST_TOKENS:
            raise UserError(f"{many} word pieces of facial instructions at once; accepted: up to {MOST_TOKENS}")
        states = np.zeros((len(tokens), max([1, *(len(s) for s in tokens)]), 384), np.float32)
        words = np.zeros(states.shape[:2], np.float32)
        for k, s in enumerate(tokens):
            states[k, : len(s)], words[k, : len(s)] = s, 1
        known = {name: k for k, name in enumerate(action_names(), 1)}
        spans = [[c.start, c.end, c.strength, c.repeat, c.rise, _longest(c)] for c in clauses]
        return cls(
            np.array([f.second for f in ordered]), np.asarray(vectors, np.float32),
            np.array([f.most for f in ordered], float), states, words,
            np.array([known.get(c.action, 0) for c in clauses], np.int64),
            np.array(spans, float).reshape(-1, 6),
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

    def followed(self, by: Direction, at: float, words: bool) -> Direction:
        """What is told where something else is asked for at second `at`.

        Feelings of `by`, if it has any, are reached `TURNS` later, in a straight line from what is felt then. With
        `words`, its clauses, if any, take the place of those of this one: what has begun ends within `LETS_GO`, at the
        tempo that it has, and what was to come does not.

        Args:
            by: its seconds count from `at`.
        """
        out = self
        if len(by.seconds):
            vector, strength = self.feeling(np.array([at]))
            unit = vector / np.maximum(np.linalg.norm(vector, axis=1, keepdims=True), 1e-6)
            out = replace(
                out, seconds=np.concatenate([[at], at + TURNS + by.seconds]),
                vectors=np.concatenate([unit, by.vectors]).astype(np.float32),
                strengths=np.concatenate([strength[:, 0], by.strengths]),
            )  # fmt: skip
        if not words:
            return out
        begun = (self.spans[:, 0] < at) & (self.spans[:, 1] + LINGER > at)
        old, new = self.spans[begun].copy(), by.spans.copy()
        end = np.minimum(old[:, 1], at + LETS_GO)
        old[:, 3] = np.maximum(old[:, 3] * (end - old[:, 0]) / (old[:, 1] - old[:, 0]), 1)
        old[:, 1] = end
        new[:, :2] += at
        longest = max(self.states.shape[1], by.states.shape[1])

        def wide(some: np.ndarray) -> np.ndarray:
            return np.pad(some, [(0, 0), (0, longest - some.shape[1]), *[(0, 0)] * (some.ndim - 2)])

        return replace(
            out, states=np.concatenate([wide(self.states[begun]), wide(by.states)]),
            words=np.concatenate([wide(self.words[begun]), wide(by.words)]),
            kinds=np.concatenate([self.kinds[begun], by.kinds]), spans=np.concatenate([old, new]),
        )  # fmt: skip

    def timing(self, t: np.ndarray) -> np.ndarray:
        """(T, C, 5) each clause at times `t`: seconds since its start, until its end, strength, count, active.

        What is done once and lasts for longer than `HELD` (`PASSED` where it passes through poses, as a yawn does)
        stands still in the middle, as told after half of that: the network was trained on actions of a few seconds and
        lets go of longer ones.
        """
        since, left = t[:, None] - self.spans[None, :, 0], self.spans[None, :, 1] - t[:, None]
        active = (since >= 0) & (left >= -LINGER)
        count = np.broadcast_to(self.spans[:, 3], since.shape)
        grown = np.clip(since / np.maximum(self.spans[:, 4], 1e-6), FIRST, 1)  # straight, from next to nothing
        strength = self.spans[:, 2] * np.where(self.spans[:, 4] > 0, grown, 1)
        longest = self.spans[:, 5]
        beyond = np.where(self.spans[:, 3] == 1, np.maximum(self.spans[:, 1] - self.spans[:, 0] - longest, 0), 0)
        still = np.clip(since - longest / 2, 0, beyond)
        since, left = since - still, left - (beyond - still)
        return np.stack([since, left, strength, count, active], -1).astype(np.float32)


def _longest(clause: Clause) -> float:
    known = actions().get(clause.action)
    return PASSED if known is not None and known.form == "keys" else HELD


def _at_once(clauses: Sequence[Clause], pieces: Sequence[int]) -> int:
    """Most word pieces of clauses that are seen at one time."""
    if sum(pieces) <= MOST_TOKENS:
        return sum(pieces)
    edges = sorted([*((c.start, 1, n) for c, n in zip(clauses, pieces, strict=True)),
                    *((c.end + LINGER, 0, -n) for c, n in zip(clauses, pieces, strict=True))])  # fmt: skip
    return int(np.cumsum([n for _, _, n in edges]).max())


def _mixed(feelings: Sequence[Feeling], grounder: Grounder) -> np.ndarray:
    """(K, 384) unit vectors: of one feeling its sentence vector, of several the sum by their strengths."""
    texts = sorted({t for f in feelings for t, _ in f.parts})
    known = dict(zip(texts, np.asarray(grounder.sentence(texts), np.float32), strict=True))
    out = np.stack([known[f.text] for f in feelings])
    for k, f in enumerate(feelings):
        if f.beside and f.most > 0:
            total = np.sum([s * known[t] for t, s in f.parts], 0)
            out[k] = total / max(float(np.linalg.norm(total)), 1e-6)
    return out
