"""A run: its segments with their texts, what it counts and what it leaves out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avatargpt.curate.engines import StageEngine
from avatargpt.curate.manifest import FilmFile
from avatargpt.curate.recipe import Curation
from avatargpt.curate.stages import REJECTED, Result, StageTask, Workshop

Progress = Callable[[str], AbstractContextManager[Callable[[int, int], None] | None]]


@dataclass(frozen=True)
class Piece:
    """A segment of a track, which becomes a clip."""

    film: FilmFile
    shot: dict[str, Any]
    number: int  # of the shot in its film
    row: dict[str, Any]  # of the track
    arrays: Path
    span: tuple[float, float]  # seconds of the film
    words: str = ""

    @property
    def name(self) -> str:
        """Of the clip: film, shot, track and time in milliseconds."""
        return f"{self.film.name}/{self.number:03d}_{self.row['key']}_{round(self.span[0] * 1000):08d}"

    @property
    def modality(self) -> str:
        """``body`` or ``face``."""
        return str(self.row["modality"])

    @property
    def inputs(self) -> dict[str, Any]:
        """Of tasks that read its motion."""
        return {"tracks": self.arrays.stem, "track": self.row, "span": list(self.span)}


@dataclass(frozen=True)
class SegmentEntry:
    """A segment with its texts: `by` whom they are, a key of `avatargpt.curate.dataset.BY`; `extra` of the clip."""

    piece: Piece
    captions: list[str]
    by: str
    extra: dict[str, Any]


@dataclass
class Counts:
    """Of a stage: all tasks, those with a result of an earlier run, and those that were rejected."""

    tasks: int = 0
    before: int = 0
    rejected: int = 0


@dataclass
class CurateRun:
    """One run, stage by stage."""

    recipe: Curation
    shop: Workshop
    engine: StageEngine
    capture: str  # fingerprint of what reads people off films
    notify: Callable[[str], None]
    progress: Progress
    counts: dict[str, Counts] = field(default_factory=dict)
    rejects: list[dict[str, Any]] = field(default_factory=list)

    def stage(self, name: str, tasks: Sequence[tuple[str, StageTask]], unit: str) -> list[Result | None]:
        """Results of the tasks of a stage, each with the name of what it works on; None and a reject where it has none.

        Raises:
            Stopped: the run cannot go on; what is done stays.
        """
        results = [self.shop.result(task) for _, task in tasks]
        missing = [k for k, r in enumerate(results) if r is None]
        counts = self.counts[name] = Counts(len(tasks), len(tasks) - len(missing))
        with self.progress(name) as advance:
            done = counts.before
            for k, new in self.engine.run([tasks[m][1] for m in missing]) if missing else ():
                results[missing[k]] = new
                done += 1
                if advance is not None:
                    advance(done, len(tasks))
        for k, result in enumerate(results):
            if result is not None and REJECTED in result:
                self.reject(tasks[k][0], name, result[REJECTED])
                results[k] = None
                counts.rejected += 1
        if tasks:
            before = f", {counts.before} from before" if counts.before else ""
            rejected = f", {counts.rejected} rejected" if counts.rejected else ""
            self.notify(f"{name}: {len(tasks)} {unit}{before}{rejected}")
        return results

    def reject(self, name: str, stage: str, reason: str) -> None:
        """Note what is left out."""
        self.rejects.append({"name": name, "stage": stage, "reason": reason})

    def passes(self, name: str, reason: str | None) -> bool:
        """Whether there is no reason against it; one is noted."""
        if reason is not None:
            self.reject(name, "gates", reason)
        return reason is None
