"""Films of one speaker as recordings: the sound of each with the face or the body that is read from it."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from avatargpt.export.formats import FILMS, load
from avatargpt.train.finetuning.clips import SOUNDS
from avatargpt.train.finetuning.run import Notify
from avatargpt.video.capture import capture_body, capture_face
from avatargpt.video.frames import inspect
from avatargpt.video.sound import write_sound
from instruct_data.sources.face_files import mediapipe_kind
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


def sources(films: list[Path], modality: str, folder: Path) -> list[Path]:
    """The films, and the motion files of `folder` that are taken. Raises UserError for one that is none, or silent."""
    for film in films:
        if not inspect(film).sound:
            raise UserError(f"{film}: {SILENT}")
    beside = motions_of(films, modality, folder)
    return [*films, *(beside[film] for film in films if film in beside)]


def record(films: list[Path], modality: str, place: Path, notify: Notify, folder: Path) -> None:
    """Write NAME.wav and NAME.npz of every film that has none there yet: of a capture, or of a motion file of it.

    Args:
        modality: ``face`` or ``gesture``. place: a folder, made here.
        folder: what the user named, in which motion files may lie (`motions_of`).

    Raises:
        UserError: a film without sound, or with nobody in it who can be read.
    """
    place.mkdir(parents=True, exist_ok=True)
    beside = motions_of(films, modality, folder)
    for number, film in enumerate(films):
        sound, motion = (place / f"{number:03d}_{film.stem}{suffix}" for suffix in (".wav", ".npz"))
        if sound.is_file() and motion.is_file():
            continue
        notify(f"reading {film.name}")
        start = 0.0
        if (path := beside.get(film)) is None:
            captured: Any = capture_face(film) if modality == "face" else capture_body(film)
            start, clip = captured.start, captured.motion
        else:  # it begins with the film, whose rate is taken where the file says none
            mediapipe, says_rate = mediapipe_kind(path) if path.suffix == ".npz" else (False, True)
            clip = load(path, fps=inspect(film).fps) if mediapipe and not says_rate else load(path)
        if write_sound(film, sound, start, clip.seconds) is None:
            raise UserError(f"{film}: {SILENT}")
        clip.save(motion)


def motions_of(films: list[Path], modality: str, folder: Path) -> dict[Path, Path]:
    """The motion files that are taken instead of a capture, by film.

    Beside it NAME with a suffix of `BESIDE`; of faces also NAME.mp4.npz, beside it or anywhere in the folder, as
    voice2motion's preprocessing of films writes it. Raises UserError where two of these go with a film.
    """
    processed: dict[str, list[Path]] = defaultdict(list)
    if modality == "face" and folder.is_dir():
        for path in sorted(folder.rglob("*.npz")):
            processed[path.name].append(path)
    out = {}
    for film in films:
        paths = [p for s in BESIDE[modality] if (p := film.with_suffix(s)).is_file()][:1]
        paths = paths or processed[f"{film.name}.npz"]
        if len(paths) > 1:
            raise UserError(f"{film}: {paths[0]} and {paths[1]} go with it; accepted one")
        if paths:
            out[film] = paths[0]
    return out
