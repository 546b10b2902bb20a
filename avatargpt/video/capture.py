"""A film to the motion of a person in it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from avatargpt.video.frames import FOLDER_RATE, Film, Frame, frames, inspect
from avatargpt.video.paths import motion_of
from avatargpt.video.people import Person, people_of
from avatargpt.video.poses import estimator
from vqvae.errors import UserError
from vqvae.motion import Motion

DEFAULT_POSES = "mediapipe"


@dataclass(frozen=True)
class Capture:
    """What was read from a film.

    Attributes:
        motion: the person's. as_filmed: the same in the level axes of the camera, +Z towards it.
        film: what the film says of itself. start: second of the film of the motion's first frame.
        person: the landmarks that it was made of. people: how many there are. notes: what the user should know.
    """

    motion: Motion
    as_filmed: Motion
    film: Film
    start: float
    person: Person
    people: int
    notes: tuple[str, ...] = ()


def capture_body(
    path: str | os.PathLike[str], start: float = 0.0, end: float | None = None, person: int = 1,
    poses: str = DEFAULT_POSES, focal: float | None = None, rate: float = FOLDER_RATE,
    progress: Callable[[int, int], None] | None = None,
) -> Capture:  # fmt: skip
    """The body of a person in a film, 20 frames a second, level and on the floor, facing +Z in its first frame.

    Args:
        path: a film, or a folder of pictures. start, end: seconds of the film.
        person: 1 is the one who is largest for longest.
        poses: the pose estimator, of `avatargpt.video.poses.ESTIMATORS`.
        focal: focal length in lengths of the picture's longer side; None = as of a phone, corrected by the floor.
        rate: frames a second of a folder of pictures. progress: called with frames done and in all.

    Raises:
        UserError: not a film, nobody in it, no such person, or what it needs is not installed.
    """
    film = inspect(Path(path), rate)
    people, count = people_of(_counted(film, start, end, progress), estimator(poses))
    doubts = [(p, p.doubt()) for p in people]
    real = [p for p, doubt in doubts if doubt is None]
    if not real:
        reason = f"; the likeliest has {doubts[0][1]}" if doubts else ""
        raise UserError(f"{film.path}: nobody in {count} frames whose body can be read{reason}")
    if not 1 <= person <= len(real):
        raise UserError(f"{film.path}: person {person}; accepted 1 to {len(real)}")
    notes = [] if len(real) == 1 else [f"{len(real)} people; this is person {person}"]
    stretches = real[person - 1].stretches()
    chosen = max(stretches, key=lambda p: len(p.times))
    if len(stretches) > 1:
        parts = ", ".join(f"{p.times[0]:.1f} to {p.times[-1]:.1f} s" for p in stretches)
        notes.append(f"the person is in the picture from {parts}; the longest is taken, --start and --end choose")
    lifted = motion_of(
        chosen.times, chosen.points, chosen.world, chosen.visible, chosen.size, focal, legs=chosen.has_legs
    )  # fmt: skip
    if not chosen.has_legs:
        notes.append("the legs are not in the picture; they stand")
    motion = replace(lifted.motion.canonical(), caption=_name(film.path), notes=tuple(notes))
    return Capture(motion, lifted.motion, film, lifted.start, chosen, len(real), tuple(notes))


def read_film(
    path: Path, start: float = 0.0, end: float | None = None, person: int = 1, poses: str = DEFAULT_POSES
) -> Motion:
    """The body of a person in a film; see `capture_body`. The reader of films in `avatargpt.export.load`."""
    return capture_body(path, start, end, person, poses).motion


def _counted(
    film: Film, start: float, end: float | None, progress: Callable[[int, int], None] | None
) -> Iterator[Frame]:
    """The frames, with the progress of their seconds."""
    last = min(film.seconds or np.inf, np.inf if end is None else end)
    total = max(1, round((last - start) * 10)) if np.isfinite(last) else 1
    for frame in frames(film, start, end):
        if progress is not None:
            progress(min(total, round((frame.time - start) * 10)), total)
        yield frame


def _name(path: Path) -> str:
    """A film's name as text, whatever bytes it is made of."""
    return path.stem.encode(errors="replace").decode()
