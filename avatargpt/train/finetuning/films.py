"""Films of one speaker as recordings: the sound of each with the face or the body that is read from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from avatargpt.export.formats import FILMS, load
from avatargpt.train.finetuning.clips import SOUNDS
from avatargpt.train.finetuning.run import Notify
from avatargpt.video.capture import capture_body, capture_face
from avatargpt.video.frames import inspect
from avatargpt.video.sound import write_sound
from vqvae.errors import UserError

SILENT = "no sound in it; accepted films of somebody who speaks"
# modality -> suffixes of motion files that are taken instead of a capture
BESIDE = {"face": (".csv", ".npz"), "gesture": (".bvh", ".npz")}


def films_of(place: Path) -> list[Path]:
    """A film itself, or the films of a folder and below it where it holds no sounds."""
    if not place.is_dir():
        return [place]
    files = sorted(p for p in place.rglob("*") if p.is_file())
    return [] if any(p.suffix.lower() in SOUNDS for p in files) else [p for p in files if p.suffix.lower() in FILMS]


def sources(films: list[Path], modality: str) -> list[Path]:
    """The films, and the motion files beside them that are taken. Raises UserError for one that is none, or silent."""
    for film in films:
        if not inspect(film).sound:
            raise UserError(f"{film}: {SILENT}")
    return [*films, *(p for film in films if (p := _file_beside(film, modality)))]


def record(films: list[Path], modality: str, place: Path, notify: Notify) -> None:
    """Write NAME.wav and NAME.npz of every film that has none there yet: of a capture, or of a motion file beside it.

    Args:
        modality: ``face`` or ``gesture``. place: a folder, made here.

    Raises:
        UserError: a film without sound, or with nobody in it who can be read.
    """
    place.mkdir(parents=True, exist_ok=True)
    for number, film in enumerate(films):
        sound, motion = (place / f"{number:03d}_{film.stem}{suffix}" for suffix in (".wav", ".npz"))
        if sound.is_file() and motion.is_file():
            continue
        notify(f"reading {film.name}")
        start, clip = _beside(film, modality) or _captured(film, modality)
        if write_sound(film, sound, start, clip.seconds) is None:
            raise UserError(f"{film}: {SILENT}")
        clip.save(motion)


def _captured(film: Path, modality: str) -> tuple[float, Any]:
    """The second of the film at which the motion begins, and the motion."""
    captured = capture_face(film) if modality == "face" else capture_body(film)
    return captured.start, captured.motion


def _beside(film: Path, modality: str) -> tuple[float, Any] | None:
    """The same of a motion file that has the film's name; it begins with the film."""
    path = _file_beside(film, modality)
    return None if path is None else (0.0, load(path))


def _file_beside(film: Path, modality: str) -> Path | None:
    return next((p for s in BESIDE[modality] if (p := film.with_suffix(s)).is_file()), None)
