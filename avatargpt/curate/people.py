"""`FilmCapture`: the people of a shot by the project's own estimators (`avatargpt.video`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from avatargpt.curate.recipe import TrackOptions
from avatargpt.curate.tracks import Box, Track
from avatargpt.video import faces, poses
from avatargpt.video.frames import LONGEST, Film, frames, inspect
from avatargpt.video.paths import motion_of
from avatargpt.video.people import Person, people_of
from avatargpt.video.weights import WEIGHTS

VERSION = 6  # of how landmarks become motion
SEEN = 0.5  # visibility of a landmark from which on it counts for a person's box


class FilmCapture:
    """Bodies by the pose estimator that the configuration names, faces by the face estimator."""

    def __init__(self, options: TrackOptions) -> None:
        self.options = options

    @property
    def fingerprint(self) -> str:
        """The estimators with their weights, and the version of what follows."""
        files = " ".join(WEIGHTS[name].sha256[:16] for name in sorted(WEIGHTS))
        return f"{self.options.poses} {self.options.faces} {VERSION} {files}"

    def ready(self) -> None:
        """See `avatargpt.curate.tracks.TrackCapture`."""
        if self.options.body:
            poses.estimator(self.options.poses)
        if self.options.face:
            faces.estimator(self.options.faces, self.options.people).close()

    def people(self, film: Path, start: float, end: float) -> Sequence[Track]:
        """See `avatargpt.curate.tracks.TrackCapture`."""
        about = inspect(film)
        bodies = list(self._bodies(about, start, end)) if self.options.body else []
        return [*bodies, *(self._faces(about, start, end, bodies) if self.options.face else ())]

    def _bodies(self, film: Film, start: float, end: float) -> Iterator[Track]:
        people, _ = people_of(frames(film, start, end), poses.estimator(self.options.poses))
        # what follows a gap or a leap may be somebody else
        parts = [part for p in people if p.doubt() is None for part in p.stretches() if part.doubt() is None]
        for number, part in enumerate(parts):
            lifted = motion_of(part)
            box, height = _box(part)
            times = lifted.start + np.arange(len(lifted.motion)) / lifted.motion.fps
            first, sure, doubts = max(lifted.start, 0.0), lifted.reliability, tuple(part.doubts)
            # of things that look like limbs, and of several people taken for one, the network of bodies is not sure
            visible = np.interp(times, part.times, part.score * part.visible.mean(1)).clip(max=sure.mean())
            yield Track(lifted.motion, first, number, height, visible, box, sure, doubts)

    def _faces(self, film: Film, start: float, end: float, bodies: Sequence[Track]) -> Iterator[Track]:
        """Faces, each with the number of the body that it is on, where there is one."""
        finder = faces.estimator(self.options.faces, self.options.people, certainty=self.options.certainty)
        tracks, _ = faces.faces_of(frames(film, start, end), finder)  # which closes it
        size = np.array([film.width, film.height]) * min(1.0, LONGEST / max(film.width, film.height))
        for number, face in enumerate(tracks, len(bodies)):
            for part in face.stretches():
                if len(part.times) < faces.MIN_FRAMES:
                    continue
                motion, first = faces.face_motion(part)
                boxes = (part.boxes / np.tile(size, 2)).clip(0, 1)
                (left, top), (right, bottom) = boxes[:, :2].min(0), boxes[:, 2:].max(0)
                height = float(np.median(boxes[:, 3] - boxes[:, 1]))
                x, y = (left + right) / 2, (top + bottom) / 2
                on = (b.person for b in bodies if b.box[0] <= x <= b.box[2] and b.box[1] <= y <= b.box[3])
                # a frame without the face counts as hidden
                times = first + np.arange(len(motion)) / motion.fps
                near = np.abs(times[:, None] - part.times[None]).min(1)
                visible = (near <= 1.5 / min(film.fps, motion.fps)).astype(float)
                box = float(left), float(top), float(right), float(bottom)
                yield Track(motion, first, next(on, number), height, visible, box, faces.ALIVE)


def _box(person: Person) -> tuple[Box, float]:
    """All that is seen of a person, and the median height, in shares of the picture."""
    points = np.where(person.visible[..., None] >= SEEN, person.points, np.nan) / person.size
    counts = np.isfinite(points[..., 0]).any(1)
    low, high = np.nanmin(points[counts], 1), np.nanmax(points[counts], 1)
    (left, top), (right, bottom) = low.min(0).clip(0, 1), high.max(0).clip(0, 1)
    return (float(left), float(top), float(right), float(bottom)), float(np.median(high[:, 1] - low[:, 1]))
