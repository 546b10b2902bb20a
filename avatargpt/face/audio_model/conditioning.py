"""Conditioning of the face driver: feelings over time and clauses of facial motion as vectors.

Feelings have a short form for options and messages: ``sad:0.7+angry:0.2``, ``0:calm,2.5:angry:0.8``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from instruct_data.face.actions import action_names, actions
from instruct_data.face.emotions import find_emotion
from vqvae.errors import UserError
from vqvae.io.data_files import finite_number

if TYPE_CHECKING:
    from avatargpt.lm.text_encoder import SentenceGrounder

LINGER = 0.6  # s for which a clause stays active after its end, so that its movement can come to rest
# The network was trained on actions of a few seconds: longest duration that it is given, of held actions and of those
# that pass through key poses.
MAX_HOLD, MAX_KEYED = 2.0, 5.0
MIN_RISE = 0.1  # share of its strength with which an action begins that grows slowly
MAX_WORD_PIECES = 512  # of clauses that are active at once
MAX_CLAUSES = 4000
MAX_REPEATS = 100
HEADS = ("rule", "recorded")  # whose mouth: learnt from rules, or from recorded pairs
FEELING_CHANGE = 0.4  # s within which a live face goes over to another feeling
RELEASE = 0.3  # s that an action still lasts when another replaces it
HOLD = 0.3  # s before a keyframe at which the feeling before it begins to change
MAX_FEELINGS = 3  # at one time
DEFAULT_STRENGTH = 0.7  # where no degree is named
_NO_FEELING = ("neutral", "calm")
_FORM = "NAME, NAME:0..1, NAME:0..1+NAME:0..1, or SECOND:NAME[:0..1],SECOND:NAME[:0..1] with rising seconds"


@dataclass(frozen=True)
class Feeling:
    """A keyframe: reached at this second in a straight line from the one before; the first also holds before it.

    `secondary` are further feelings at the same time, each with its own strength: sad 0.7 with a trace of anger, 0.2.
    """

    second: float
    text: str
    strength: float = 1.0
    secondary: tuple[tuple[str, float], ...] = ()

    @property
    def parts(self) -> tuple[tuple[str, float], ...]:
        """All feelings with their strengths."""
        return ((self.text, self.strength), *self.secondary)

    @property
    def max_strength(self) -> float:
        """The strength of the strongest of them."""
        return max(s for _, s in self.parts)

    @property
    def words(self) -> str:
        """All feelings as text: ``sad and angry``."""
        return " and ".join(t for t, _ in self.parts)


CALM = Feeling(0.0, "calm", 0.0)


@dataclass(frozen=True)
class Clause:
    """A facial action in words, its start and end in seconds, its strength, and how often it is done in them.

    `action` is its name where it is one of `instruct_data.face.actions`, `rise` the seconds over which it grows to its
    strength; 0 = as quickly as such an action does.
    """

    text: str
    start: float
    end: float
    strength: float = DEFAULT_STRENGTH
    repeat: int = 1
    action: str = ""
    rise: float = 0.0


@dataclass(frozen=True)
class Direction:
    """Emotion track and instructions as vectors, ready for the network."""

    seconds: np.ndarray = field(default_factory=lambda: np.zeros(0))  # (K,) of the feelings, increasing
    # vectors: (K, 384) unit sentence vectors
    vectors: np.ndarray = field(default_factory=lambda: np.zeros((0, 384), np.float32))
    # strengths: (K,) in [0, 1]; of several feelings that of the strongest, and the vector is their sum weighted
    # by strength, at unit length
    strengths: np.ndarray = field(default_factory=lambda: np.zeros(0))
    # states: (C, N, 384) token states of each clause, padded
    states: np.ndarray = field(default_factory=lambda: np.zeros((0, 1, 384), np.float32))
    words: np.ndarray = field(default_factory=lambda: np.zeros((0, 1), np.float32))  # (C, N) 1 where there is a token
    # kinds: (C,) numbers of known actions from 1 on, 0 for others
    kinds: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    # spans: (C, 6) start and end in seconds, strength, count, the seconds over which it grows, and the longest
    # duration that the network is given (`MAX_HOLD`, `MAX_KEYED`)
    spans: np.ndarray = field(default_factory=lambda: np.zeros((0, 6)))

    @classmethod
    def make(cls, feelings: Sequence[Feeling], clauses: Sequence[Clause], grounder: SentenceGrounder) -> Direction:
        """Vectors of the texts."""
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
            if not 0 < c.strength <= 1 or not 1 <= c.repeat <= MAX_REPEATS:
                where = f"{c.text!r} with strength {c.strength:g}, {c.repeat} times"
                raise UserError(f"{where}; accepted: a strength above 0, at most 1, and 1 to {MAX_REPEATS} times")
        vectors = _feeling_vectors(ordered, grounder) if ordered else np.zeros((0, 384), np.float32)
        tokens = [s.astype(np.float32) for s in grounder.states([c.text for c in clauses])] if clauses else []
        if len(clauses) > MAX_CLAUSES:
            raise UserError(f"{len(clauses)} facial actions; accepted: up to {MAX_CLAUSES}")
        if (pieces := _max_pieces(clauses, [len(s) for s in tokens])) > MAX_WORD_PIECES:
            raise UserError(f"{pieces} word pieces of facial instructions at once; accepted: up to {MAX_WORD_PIECES}")
        states = np.zeros((len(tokens), max([1, *(len(s) for s in tokens)]), 384), np.float32)
        words = np.zeros(states.shape[:2], np.float32)
        for k, s in enumerate(tokens):
            states[k, : len(s)], words[k, : len(s)] = s, 1
        kind_of = {name: k for k, name in enumerate(action_names(), 1)}
        keyed = [(action := actions().get(c.action)) is not None and action.form == "keys" for c in clauses]
        spans = [[c.start, c.end, c.strength, c.repeat, c.rise, MAX_KEYED if k else MAX_HOLD]
                 for c, k in zip(clauses, keyed, strict=True)]  # fmt: skip
        return cls(
            np.array([f.second for f in ordered]), np.asarray(vectors, np.float32),
            np.array([f.max_strength for f in ordered], float), states, words,
            np.array([kind_of.get(c.action, 0) for c in clauses], np.int64),
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
        # The mean of two unit vectors is shorter than one; the strength between two feelings is interpolated instead.
        length = np.linalg.norm(vector, axis=1, keepdims=True)
        vector = np.where(length > 1e-6, vector / np.maximum(length, 1e-6) * strength, 0)
        return vector.astype(np.float32), strength.astype(np.float32)

    def follow_with(self, new: Direction, at: float, words: bool) -> Direction:
        """This direction up to second `at`, `new` from there on; the seconds of `new` count from `at`.

        Feelings of `new`, if any, are reached `FEELING_CHANGE` later, in a straight line from the present one. With
        `words`, its clauses, if any, replace those of this one: what has begun ends within `RELEASE`, at the tempo that
        it has, and what was to come does not.
        """
        out = self
        if len(new.seconds):
            vector, strength = self.feeling(np.array([at]))
            unit = vector / np.maximum(np.linalg.norm(vector, axis=1, keepdims=True), 1e-6)
            out = replace(
                out, seconds=np.concatenate([[at], at + FEELING_CHANGE + new.seconds]),
                vectors=np.concatenate([unit, new.vectors]).astype(np.float32),
                strengths=np.concatenate([strength[:, 0], new.strengths]),
            )  # fmt: skip
        if not words:
            return out
        # Clauses that have begun end soon; those that were to come are dropped.
        begun = (self.spans[:, 0] < at) & (self.spans[:, 1] + LINGER > at)
        old, added = self.spans[begun].copy(), new.spans.copy()
        end = np.minimum(old[:, 1], at + RELEASE)
        # Fewer repeats in a shorter time keep the tempo.
        old[:, 3] = np.maximum(old[:, 3] * (end - old[:, 0]) / (old[:, 1] - old[:, 0]), 1)
        old[:, 1] = end
        added[:, :2] += at
        longest = max(self.states.shape[1], new.states.shape[1])

        def wide(rows: np.ndarray) -> np.ndarray:
            return np.pad(rows, [(0, 0), (0, longest - rows.shape[1]), *[(0, 0)] * (rows.ndim - 2)])

        return replace(
            out, states=np.concatenate([wide(self.states[begun]), wide(new.states)]),
            words=np.concatenate([wide(self.words[begun]), wide(new.words)]),
            kinds=np.concatenate([self.kinds[begun], new.kinds]), spans=np.concatenate([old, added]),
        )  # fmt: skip

    def time_clauses(self, t: np.ndarray) -> np.ndarray:
        """(T, C, 5) each clause at times `t`: seconds since its start, until its end, strength, count, active."""
        since, left = t[:, None] - self.spans[None, :, 0], self.spans[None, :, 1] - t[:, None]
        active = (since >= 0) & (left >= -LINGER)
        count = np.broadcast_to(self.spans[:, 3], since.shape)
        grown = np.clip(since / np.maximum(self.spans[:, 4], 1e-6), MIN_RISE, 1)
        strength = self.spans[:, 2] * np.where(self.spans[:, 4] > 0, grown, 1)
        # The clock of a single action that is longer than its longest duration stops in the middle.
        longest = self.spans[:, 5]
        beyond = np.where(self.spans[:, 3] == 1, np.maximum(self.spans[:, 1] - self.spans[:, 0] - longest, 0), 0)
        still = np.clip(since - longest / 2, 0, beyond)
        since, left = since - still, left - (beyond - still)
        return np.stack([since, left, strength, count, active], -1).astype(np.float32)


def _max_pieces(clauses: Sequence[Clause], pieces: Sequence[int]) -> int:
    """Most word pieces of clauses that are active at one time."""
    if sum(pieces) <= MAX_WORD_PIECES:
        return sum(pieces)
    edges = sorted([*((c.start, 1, n) for c, n in zip(clauses, pieces, strict=True)),
                    *((c.end + LINGER, 0, -n) for c, n in zip(clauses, pieces, strict=True))])  # fmt: skip
    return int(np.cumsum([n for _, _, n in edges]).max())


def _feeling_vectors(feelings: Sequence[Feeling], grounder: SentenceGrounder) -> np.ndarray:
    """(K, 384) unit vectors: of one feeling its sentence vector, of several the sum by their strengths."""
    texts = sorted({t for f in feelings for t, _ in f.parts})
    vector_of = dict(zip(texts, np.asarray(grounder.sentence(texts), np.float32), strict=True))
    out = np.stack([vector_of[f.text] for f in feelings])
    for k, f in enumerate(feelings):
        if f.secondary and f.max_strength > 0:
            total = np.sum([s * vector_of[t] for t, s in f.parts], 0)
            out[k] = total / max(float(np.linalg.norm(total)), 1e-6)
    return out


# Short form of feelings
def parse_emotions(argument: str, seconds: float | None = None, option: str = "--emotion") -> list[Feeling]:
    """Keyframes of a text; between two the feeling changes in a straight line. Before the first the face is calm.

    Args:
        argument: ``angry``, ``angry:0.8``, ``sad:0.7+angry:0.2`` or ``0:calm,2.5:angry:0.8``.
        seconds: length of the clip where it is known. option: name of the argument in messages.
    """
    where = f"{option} {argument}"
    parts = [p.strip() for p in argument.split(",")]
    # Whether each begins with what can only be meant as a number; `_number` refuses those that are none.
    firsts = [p.split(":")[0].strip() for p in parts]
    timed = [t in ("nan", "inf") or (t != "" and {*t} <= {*"-+0123456789.eE"}) for t in firsts]
    if len(parts) > 1 and not all(timed):
        raise UserError(f"{where}: {parts[timed.index(False)]!r} has no second; accepted {_FORM}")
    out: list[Feeling] = []
    for part in parts:
        when, _, names = part.partition(":") if timed[0] else ("0", "", part)
        second, items = _number(where, when.strip(), "a second"), names.split("+")
        if len(items) > MAX_FEELINGS:
            raise UserError(f"{where}: {len(items)} feelings at once; accepted up to {MAX_FEELINGS}")
        feelings = [_parse_feeling(where, part, item) for item in items]
        if not 0 <= second < 1e6 or (seconds is not None and second > seconds):
            limit = "0 or more" if seconds is None else f"0 to {seconds:g}, the clip's length"
            raise UserError(f"{where}: second {second:g}; accepted {limit}")
        if out and second <= out[-1].second:
            raise UserError(f"{where}: second {second:g} after {out[-1].second:g}; accepted: rising")
        if len({name for name, _ in feelings}) < len(feelings):
            raise UserError(f"{where}: {part!r} names a feeling twice; accepted: each once")
        (name, strength), *secondary = sorted(feelings, key=lambda item: -item[1])
        out.append(Feeling(second, name, strength, tuple(item for item in secondary if item[1] > 0)))
    return hold_feelings([CALM], out) if out[0].second > 0 else out


def hold_feelings(before: Sequence[Feeling], after: Sequence[Feeling]) -> list[Feeling]:
    """Keyframes one after the other: the last of `before` stays until shortly before the first of `after`."""
    if not before or not after:
        return [*before, *after]
    kept = [f for f in before if f.second < after[0].second]
    if kept and after[0].second - HOLD > kept[-1].second:
        kept.append(replace(kept[-1], second=after[0].second - HOLD))
    return [*kept, *after]


def _parse_feeling(where: str, part: str, item: str) -> tuple[str, float]:
    """NAME or NAME:0..1 -> name and strength."""
    fields = [f.strip() for f in item.split(":")]
    if not 1 <= len(fields) <= 2 or not fields[0]:
        raise UserError(f"{where}: {part!r}; accepted {_FORM}")
    name = find_emotion(fields[0])
    strength = DEFAULT_STRENGTH if len(fields) == 1 else _number(where, fields[1], "an intensity")
    if not 0 <= strength <= 1:
        raise UserError(f"{where}: intensity {strength:g}; accepted 0 to 1")
    return ("calm", 0.0) if name in _NO_FEELING else (name, strength)


def _number(where: str, text: str, what: str) -> float:
    try:
        return finite_number(text)
    except ValueError:
        raise UserError(f"{where}: {text!r} is not {what}; accepted {_FORM}") from None
