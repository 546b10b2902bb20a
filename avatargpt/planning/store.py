"""The planning library: scenes with their activities and steps, sentence vectors, and what was learnt from them.

One safetensors file: texts compressed, vectors as 8-bit integers, projections and the scorer's weights as float16.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from avatargpt.planning.kinds import KindTable
from avatargpt.requests.vector_index import Stored, VectorIndex, read_file, rounded, unit, unpacked, write_file, xz
from vqvae.errors import UserError

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
    """What the planner knows.

    Shapes: S scenes, A activities, X steps, W components of scenes, K of activities and steps.

    Attributes:
        scenes: S texts. genders: of each scene's actor (``he``, ``she``, ``it``, ``they``).
        tasks: A activities, marks in place of the actor (`avatargpt.planning.marks`).
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
        """The library of a folder.

        Raises:
            UserError: not there or damaged.
        """
        path = Path(folder) / FILE
        if (found := read_file(path, "planning library", cls._from)) is None:
            raise UserError(f"{path}: no such file; make one with the planner stage of scripts/train.py")
        return found

    @classmethod
    def _from(cls, held: Stored) -> PlanLibrary:
        data, genders = held.arrays, list(held.about["genders"])
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
            held.vectors(s, "scene_vectors"), held.vectors(a, "task_vectors"), held.vectors(x, "step_vectors"),
            Basis(data["mean"], data["axes"].astype(np.float32)), named("projection/"), named("scorer/"),
            dict(held.about["figures"]), KindTable.of(data),
        )  # fmt: skip

