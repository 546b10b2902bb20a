"""The planning library: scenes with their activities and steps, kinds of scenes, sentence vectors, a scorer's weights.

One safetensors file: texts compressed, vectors as 8-bit integers, projections and the scorer's weights as float16."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.requests.vector_index import Stored, VectorIndex, read_file, rounded, unit, unpacked, write_file, xz
from vqvae.errors import UserError

FIRST, MIDDLE, LAST = 1, 2, 3


@dataclass(frozen=True)
class Part:
    """An activity of a whole plan, marks in place of the actor (`avatargpt.planning.persons`).

    Attributes:
        task, steps: texts. at: possible places, of `FIRST`, `MIDDLE`, `LAST`.
    """

    task: str
    steps: tuple[str, ...]
    at: frozenset[int]


@dataclass(frozen=True, eq=False)
class Story:
    """A whole plan.

    Attributes:
        name: the kind, or the written scene. row: of the written scene in the library, -1 = a kind.
        parts: its activities; of a written scene in its order. vectors: (n, 384) of them, unit.
        nearness: to the scene in question. fits: (n,) cosine of each activity to it.
    """

    name: str
    row: int
    parts: tuple[Part, ...]
    vectors: np.ndarray
    nearness: float
    fits: np.ndarray

    @property
    def ordered(self) -> bool:
        """Whether the order of the activities is fixed."""
        return self.row >= 0


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
        rows = [[[p.task, list(p.steps), sorted(p.at)] for p in parts] for parts in self.parts]
        text = json.dumps([self.names, rows, self.persons, self.words], separators=(",", ":"), ensure_ascii=False)
        return {
            "kinds": xz(text.encode(), 9), "kind_keys": rounded(self.keys)[0], "kind_tasks": rounded(self.vectors)[0],
            "keys_per_kind": np.bincount(self.key_kind, minlength=len(self.names)).astype(np.uint8),
        }  # fmt: skip

    @classmethod
    def of(cls, data: Mapping[str, np.ndarray]) -> KindTable:
        """Of a library's arrays; empty for a library without kinds; KeyError or ValueError for damaged ones."""
        if "kinds" not in data:
            return cls()
        names, rows, persons, words = json.loads(unpacked(data["kinds"]))
        parts = [tuple(Part(t, tuple(s), frozenset(at)) for t, s, at in row) for row in rows]
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


def _pair(pair: Any) -> tuple[str, str]:
    name, gender = pair
    return str(name), str(gender)


FILE = "planning.safetensors"


@dataclass(frozen=True)
class Basis:
    """Principal components of sentence vectors.

    Attributes:
        mean: (384,). axes: (384, K) orthonormal, the widest first; a vector of fewer components is a cut-off one.
    """

    mean: np.ndarray
    axes: np.ndarray

    @classmethod
    def fit(cls, vectors: np.ndarray, width: int) -> Basis:
        """From (n, 384) sentence vectors."""
        mean = vectors.mean(0)
        _, axes = np.linalg.eigh(np.cov((vectors - mean).T))
        return cls(mean.astype(np.float32), axes[:, ::-1][:, :width].astype(np.float32))

    def reduce(self, vectors: np.ndarray, width: int) -> np.ndarray:
        """(n, 384) -> (n, width) unit vectors."""
        return unit((vectors - self.mean) @ self.axes[:, :width])


@dataclass(eq=False)
class PlanLibrary:
    """The data of the planner.

    Shapes: S scenes, A activities, X steps, W components of scenes, K of activities and steps.

    Attributes:
        scenes: S texts. genders: of each scene's actor (``he``, ``she``, ``it``, ``they``).
        tasks: A activities, marks in place of the actor (`avatargpt.planning.persons`).
        steps: X steps, likewise.
        task_scene: (A,) row of the scene of each activity, rising. step_task: (X,) row of the activity, rising.
        scene_vectors: (S, W). task_vectors: (A, K). step_vectors: (X, K), all unit.
        basis: that the vectors are in.
        projections: ``relation/from`` and ``relation/to`` -> (K, P).
        scorer: state of the scorer network by name.
        figures: what was measured when it was made.
        kinds: of scenes, with activities that fit one another.
    """

    scenes: list[str]
    genders: list[str]
    tasks: list[str]
    steps: list[str]
    task_scene: np.ndarray
    step_task: np.ndarray
    scene_vectors: np.ndarray
    task_vectors: np.ndarray
    step_vectors: np.ndarray
    basis: Basis
    projections: dict[str, np.ndarray] = field(default_factory=dict)
    scorer: dict[str, np.ndarray] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    kinds: KindTable = field(default_factory=KindTable)

    @cached_property
    def scene_index(self) -> VectorIndex:
        """Of the scenes."""
        return VectorIndex(self.scenes, self.scene_vectors)

    @cached_property
    def task_index(self) -> VectorIndex:
        """Of the activities."""
        return VectorIndex(self.tasks, self.task_vectors)

    @cached_property
    def task_starts(self) -> np.ndarray:
        """(S + 1,) first activity of each scene."""
        return np.searchsorted(self.task_scene, np.arange(len(self.scenes) + 1))

    @cached_property
    def step_starts(self) -> np.ndarray:
        """(A + 1,) first step of each activity."""
        return np.searchsorted(self.step_task, np.arange(len(self.tasks) + 1))

    @cached_property
    def means(self) -> np.ndarray:
        """(A, K) unit mean of each activity's steps."""
        sums = np.zeros_like(self.task_vectors)
        np.add.at(sums, self.step_task, self.step_vectors)
        return unit(sums)

    def tasks_of(self, scene: int) -> range:
        """Rows of a scene's activities."""
        return range(int(self.task_starts[scene]), int(self.task_starts[scene + 1]))

    def steps_of(self, task: int) -> range:
        """Rows of an activity's steps."""
        return range(int(self.step_starts[task]), int(self.step_starts[task + 1]))

    def texts(self) -> list[list[str]]:
        """Tasks and steps of each scene."""
        rows = (self.tasks_of(scene) for scene in range(len(self.scenes)))
        return [[self.tasks[t] for t in row] + [self.steps[i] for t in row for i in self.steps_of(t)] for row in rows]

    def projected(self, relation: str, side: str, vectors: np.ndarray) -> np.ndarray:
        """(n, >= K) -> (n, P) unit vectors of one side (``from`` or ``to``) of a relation."""
        matrix = self.projections[f"{relation}/{side}"]
        return unit(vectors[:, : len(matrix)] @ matrix)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over texts, vectors and weights: equal for equal libraries."""
        digest = hashlib.sha256(self._texts())
        for name, value in sorted(self._arrays().items()):
            digest.update(f"{name}:{value.dtype}:{value.shape};".encode())
            digest.update(np.ascontiguousarray(value).tobytes())
        return digest.hexdigest()

    def _texts(self) -> bytes:
        return "\n".join([*self.scenes, *self.tasks, *self.steps]).encode()

    def _arrays(self) -> dict[str, np.ndarray]:
        out = {  # of unit vectors the scale of a row is lost and made anew
            "scene_vectors": rounded(self.scene_vectors)[0], "task_vectors": rounded(self.task_vectors)[0],
            "step_vectors": rounded(self.step_vectors)[0], "mean": self.basis.mean.astype(np.float32),
            "axes": self.basis.axes.astype(np.float16),
            "tasks_per_scene": np.diff(self.task_starts).astype(np.uint8),
            "steps_per_task": np.diff(self.step_starts).astype(np.uint8),
        }  # fmt: skip
        out |= {f"projection/{k}": v.astype(np.float16) for k, v in self.projections.items()}
        return out | {f"scorer/{k}": v.astype(np.float16) for k, v in self.scorer.items()} | self.kinds.arrays()

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``planning.safetensors`` into a folder."""
        about = {"genders": self.genders, "figures": self.figures}
        return write_file(Path(folder) / FILE, about, {**self._arrays(), "texts": xz(self._texts(), 9)}, xz)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> PlanLibrary:
        """The library of a folder; raises UserError where it is missing or damaged."""
        path = Path(folder) / FILE
        if (library := read_file(path, "planning library", cls._from)) is None:
            raise UserError(f"{path}: no such file; make one with the planner stage of scripts/train.py")
        return library

    @classmethod
    def _from(cls, stored: Stored) -> PlanLibrary:
        data, genders = stored.arrays, list(stored.about["genders"])
        texts = unpacked(data["texts"]).decode().split("\n")
        per_scene, per_task = data["tasks_per_scene"].astype(np.int64), data["steps_per_task"].astype(np.int64)
        s, a, x = len(per_scene), int(per_scene.sum()), int(per_task.sum())
        if len(texts) != s + a + x or len(per_task) != a or len(genders) != s:
            raise ValueError(f"{len(texts)} texts for {s} scenes, {a} activities and {x} steps")

        def named(prefix: str) -> dict[str, np.ndarray]:
            return {k.removeprefix(prefix): v.astype(np.float32) for k, v in data.items() if k.startswith(prefix)}

        return cls(
            texts[:s], genders, texts[s : s + a], texts[s + a :],
            np.repeat(np.arange(s), per_scene), np.repeat(np.arange(a), per_task),
            stored.vectors(s, "scene_vectors"), stored.vectors(a, "task_vectors"), stored.vectors(x, "step_vectors"),
            Basis(data["mean"], data["axes"].astype(np.float32)), named("projection/"), named("scorer/"),
            dict(stored.about["figures"]), KindTable.of(data),
        )  # fmt: skip
