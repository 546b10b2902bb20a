"""`avatargpt finetune --modality portrait`: films of a person -> the portrait that moves a photo of that person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.face.portrait import FILE, FOLDER, Portrait, PortraitShape, square_around
from avatargpt.train.finetuning.films import films_of
from avatargpt.train.finetuning.run import EarlyStopping, Finetuning, Notify
from avatargpt.train.portrait import PortraitRecipe, PortraitStage, PortraitTraining
from avatargpt.train.portrait_pictures import PortraitTake, cut, take_of
from avatargpt.video.frames import FILMS, MAX_RATE, Film, Shots, frames, inspect
from avatargpt.video.landmarker import Landmarker
from avatargpt.video.photo import MIN_FACE
from vqvae.errors import UserError
from vqvae.io.files import atomic_write, parsing

MOST = 1500  # frames of all films together: neighbouring ones teach the same
HELD_SECONDS = 1.0  # of the end of each film, which only validate
MIN_SHOT = 8  # frames of one face in a row
PICTURES, DECIBELS = "pictures", "val_db"
SHAPE = PortraitShape(size=128, width=16)  # of the network where the start has none


class FilmedStage(EarlyStopping, PortraitStage):
    """The portrait stage on films, validated on their last second; see `avatargpt.train.stage.Stage`."""

    def validate(self) -> dict[str, float]:
        figures = PortraitStage.validate(self)
        self.count_validation(-figures[DECIBELS])
        return figures

    def state(self) -> dict[str, Any]:
        return EarlyStopping.state(self) | PortraitStage.state(self)

    def restore(self, state: dict[str, Any]) -> None:
        EarlyStopping.restore(self, state)
        PortraitStage.restore(self, state)


class PortraitFinetuning(Finetuning):
    """A portrait from films of one person each; the model's other parts stay as they were."""

    modality = "portrait"

    def read(self) -> list[Path]:
        self.films = films_of(self.folder)
        if not self.films:
            raise UserError(f"{self.folder}: no film in it; accepted {' '.join(FILMS)}")
        for film in self.films:
            inspect(film)
        # a start that has a portrait goes on from it
        present = (self.start / FOLDER / FILE).is_file()
        self.portrait = Portrait.load(self.start) if present else None
        self.shape = self.portrait.network.shape if self.portrait else SHAPE
        return self.films

    def prepare(self) -> None:
        self.takes, self.held = pictures(self.films, self.shape.size, self.work / PICTURES, self.notify)

    def stage(self, steps: int) -> FilmedStage:
        recipe = PortraitRecipe(model=self.shape, train=PortraitTraining(
            **self.options.schedule(steps, 5e-4), batch=min(self.options.batch, 8), best=f"-{DECIBELS}",
        ))  # fmt: skip
        stage = FilmedStage(recipe, self.takes, self.held, self.work, self.runtime, str(self.folder))
        if self.portrait is not None:
            stage.network.load_state_dict(self.portrait.network.state_dict())
        return stage

    def write_parts(self, best: Path, place: Path) -> None:
        (place / FOLDER).mkdir(exist_ok=True)
        Portrait.load(best).save(place / FOLDER)

    def about(self) -> dict[str, Any]:
        counts = {"train": self.takes, "val": self.held}
        return {"clips": {k: len(v) for k, v in counts.items()},
                "pictures": {"train": sum(len(t.frames) for t in self.takes),
                             "val": sum(len(t.frames) - 1 for t in self.held)}}  # fmt: skip


def pictures(
    films: Sequence[Path], size: int, place: Path, notify: Notify
) -> tuple[list[PortraitTake], list[PortraitTake]]:
    """The takes that are learnt from, and those held out: the last second of each film, behind a frame of its shot.

    What was read of a film is kept in `place`. At most `MOST` frames of all films together, evenly in time.

    Raises:
        UserError: a film without a face, with one that is too small, or too short.
    """
    seen = [inspect(film) for film in films]
    length = sum(f.seconds for f in seen)
    rate = min(MAX_RATE, MOST / length) if length else MAX_RATE
    takes: list[PortraitTake] = []
    held: list[PortraitTake] = []
    for number, film in enumerate(seen):
        file = place / f"{number:03d}.npz"
        if not file.is_file():
            notify(f"reading {film.path.name}")
            shots = _shots(film, rate, size)
            atomic_write(file, lambda p, arrays=shots: np.savez(p, **arrays))  # type: ignore[misc]
        with parsing(file, "what was read of a film", f"remove {place}"), np.load(file) as archive:
            arrays = dict(archive)
        parts = [np.flatnonzero(arrays["shot"] == k) for k in np.unique(arrays["shot"])]
        end = arrays["times"][-1] - HELD_SECONDS + 1e-3  # times are rounded to the film's clock
        for k, rows in enumerate(parts):
            take = take_of(arrays["frames"][rows], arrays["points"][rows], f"{film.path.name}/{k}")
            learnt = int((arrays["times"][rows] <= end).sum())
            if learnt > 1:
                takes.append(take.rows(slice(learnt)))
            if learnt and learnt < len(rows):
                held.append(replace(take.rows([0, *range(learnt, len(rows))]), name=f"{take.name} held out"))
    if not held:
        raise UserError(f"{films[0]}: no shot that goes on for its last {HELD_SECONDS:g} s, which are held out; "
                        "accepted at least 2 s of one face at its end")  # fmt: skip
    return takes, held


def _shots(film: Film, rate: float, size: int) -> dict[str, np.ndarray]:
    """``frames`` (T, S, S, 3), ``points`` (T, 70, 2) in shares of them, ``times`` (T,) seconds, ``shot`` (T,)."""
    finder, shots = Landmarker(1), Shots()
    rows: list[tuple[float, int, np.ndarray]] = []  # time, shot, points
    count, extent = 0, (0, 0)
    try:
        for frame in frames(film, rate=rate):
            count, extent = count + 1, (frame.picture.shape[1], frame.picture.shape[0])
            shot = shots.of(frame.picture)
            if marked := finder.marks(frame.picture, frame.time):
                rows.append((frame.time, shot, marked[0].points))
    finally:
        finder.close()
    kept = {k for k in {s for _, s, _ in rows} if sum(s == k for _, s, _ in rows) >= MIN_SHOT}
    rows = [r for r in rows if r[1] in kept]
    rows = rows[:: max(1, -(-len(rows) // MOST))]  # of a film that does not say how long it is
    if not rows:
        raise UserError(f"{film.path}: no face in {count} frames that stays for {MIN_SHOT}")
    points = {k: np.stack([p for _, s, p in rows if s == k]) for k in kept}
    smallest = min(float(np.ptp(p, axis=(0, 1)).max()) for p in points.values())
    if smallest < MIN_FACE:
        raise UserError(f"{film.path}: a face of {smallest:.0f} pixels; accepted at least {MIN_FACE}")
    squares = {k: square_around(p, extent) for k, p in points.items()}
    whose = {time: (shot, p) for time, shot, p in rows}
    out: list[tuple[np.ndarray, np.ndarray, float, int]] = []
    from PIL import Image

    for frame in frames(film, rate=rate):
        if frame.time in whose:
            shot, p = whose[frame.time]
            corner, side = squares[shot]
            out.append((cut(Image.fromarray(frame.picture), corner, side, size), (p - corner) / side, frame.time, shot))
    names = ("frames", "points", "times", "shot")
    return {name: np.stack([np.asarray(row[k]) for row in out]) for k, name in enumerate(names)}
