"""Kinds of scenes in the planning library: activities that fit one another, and wordings that lead to them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from avatargpt.requests.vector_index import rounded, unit, unpacked, xz

FIRST, MIDDLE, LAST = 1, 2, 3


@dataclass(frozen=True)
class Part:
    """An activity of a whole plan, marks in place of the actor (`avatargpt.planning.marks`).

    Attributes:
        task, steps: texts. at: which of `FIRST`, `MIDDLE`, `LAST` it may be.
    """

    task: str
    steps: tuple[str, ...]
    at: frozenset[int]


@dataclass(eq=False)
class KindTable:
    """The kinds of a library.

    Shapes: N kinds, A their activities together, E = 384 components of a sentence vector.

    Attributes:
        names: N. parts: the activities of each kind. persons: (name, gender) of who acts in them.
        keys: (M, E) unit vectors of wordings of scenes. key_kind: (M,) row of the kind of each, rising.
        vectors: (A, E) unit vectors of the activities, kind by kind.
        words: of each kind those of its wordings, without who acts; with spaces between.
    """

    names: list[str] = field(default_factory=list)
    parts: list[tuple[Part, ...]] = field(default_factory=list)
    persons: list[tuple[str, str]] = field(default_factory=list)
    keys: np.ndarray = field(default_factory=lambda: np.zeros((0, 384), np.float32))
    key_kind: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    vectors: np.ndarray = field(default_factory=lambda: np.zeros((0, 384), np.float32))
    words: list[str] = field(default_factory=list)

    @property
    def starts(self) -> np.ndarray:
        """(N + 1,) first activity of each kind."""
        return np.cumsum([0, *(len(p) for p in self.parts)])

    def arrays(self) -> dict[str, np.ndarray]:
        """As the library's file holds it; nothing where there are no kinds."""
        if not self.names:
            return {}
        told = [[[p.task, list(p.steps), sorted(p.at)] for p in parts] for parts in self.parts]
        text = json.dumps([self.names, told, self.persons, self.words], separators=(",", ":"), ensure_ascii=False)
        return {
            "kinds": xz(text.encode(), 9), "kind_keys": rounded(self.keys)[0], "kind_tasks": rounded(self.vectors)[0],
            "keys_per_kind": np.bincount(self.key_kind, minlength=len(self.names)).astype(np.uint8),
        }  # fmt: skip

    @classmethod
    def of(cls, data: Mapping[str, np.ndarray]) -> KindTable:
        """Of a library's arrays; empty for a library without kinds.

        Raises:
            KeyError, ValueError: damaged.
        """
        if "kinds" not in data:
            return cls()
        names, told, persons, words = json.loads(unpacked(data["kinds"]))
        parts = [tuple(Part(t, tuple(s), frozenset(at)) for t, s, at in rows) for rows in told]
        counts = data["keys_per_kind"].astype(np.int64)
        keys, vectors = (_units(data[name]) for name in ("kind_keys", "kind_tasks"))
        if not len(names) == len(parts) == len(counts) == len(words) or counts.min() < 1 or len(keys) != counts.sum():
            raise ValueError(f"{len(names)} kinds, {len(parts)} of them with activities, {len(keys)} wordings")
        if len(vectors) != sum(map(len, parts)) or keys.shape[1] != vectors.shape[1]:
            raise ValueError(f"{len(vectors)} vectors for {sum(map(len, parts))} activities of kinds")
        which = np.repeat(np.arange(len(names)), counts)
        return cls(names, parts, [_pair(p) for p in persons], keys, which, vectors, [str(w) for w in words])


def _units(rows: np.ndarray) -> np.ndarray:
    if rows.ndim != 2 or rows.dtype != np.int8:
        raise ValueError(f"vectors {rows.shape} of {rows.dtype}")
    return unit(rows.astype(np.float32))


def _pair(given: Any) -> tuple[str, str]:
    name, gender = given
    return str(name), str(gender)
