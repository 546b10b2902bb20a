"""Which segments of a film are asked about as one scene."""

from __future__ import annotations

from pathlib import Path

from avatargpt.curate.manifest import FilmFile
from avatargpt.curate.pipeline import _lines
from avatargpt.curate.run import Piece


def piece(person: int, start: float, end: float, height: float, shot: int = 0) -> Piece:
    row = {"person": person, "height": height, "key": f"body_{person}", "modality": "body"}
    return Piece(FilmFile("film", "film.mp4"), {}, shot, row, Path("tracks.npz"), (start, end))


def test_people_one_after_another_are_one_scene() -> None:
    rows = [(p, {}) for p in (piece(1, 6, 9, 0.5), piece(0, 0, 2, 0.7), piece(0, 2, 5, 0.7))]
    assert [[p.span for p, _ in line] for line in _lines(rows)] == [[(0, 2), (2, 5), (6, 9)]]


def test_people_together_are_scenes_of_their_own_the_largest_first() -> None:
    rows = [(p, {}) for p in (piece(0, 0, 4, 0.3), piece(1, 1, 3, 0.8), piece(2, 5, 6, 0.2), piece(0, 8, 9, 0.4, 1))]
    lines = [[(p.row["person"], p.number) for p, _ in line] for line in _lines(rows)]
    assert lines == [[(1, 0), (2, 0), (0, 1)], [(0, 0)]]
