"""A film to the motion of a person in it: the body, the face, or both as one avatar."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from avatargpt.export.avatar import AvatarMotion
from avatargpt.video import faces, poses
from avatargpt.video.faces import FaceTrack, face_motion, faces_of
from avatargpt.video.frames import FOLDER_RATE, Film, Frame, frames, inspect
from avatargpt.video.paths import motion_of
from avatargpt.video.people import Person, people_of
from avatargpt.video.poses import AT
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion, turns
from vqvae.motion import Motion
from vqvae.skeleton import FINGER_NAMES, SMPL22

DEFAULT = "mediapipe"
Progress = Callable[[int, int], None]
Track = TypeVar("Track", Person, FaceTrack)
MAX_NECK = np.radians(75)  # of the head against the chest
MAX_FACES = 4  # that are looked for where one of several is chosen


class NobodyError(UserError):
    """A film in which nobody can be read."""


@dataclass(frozen=True)
class Capture:
    """What was read from a film.

    Attributes:
        motion: the person's. film: what the film says of itself. start: second of the film of the motion's first frame.
        people: how many there are. notes: what the user should know.
        body: the motion of the body in the level axes of the camera, +Z towards it; None without one.
        person, face: the landmarks that the body, and the face, were made of.
    """

    motion: Motion | FaceMotion | AvatarMotion
    film: Film
    start: float
    people: int
    notes: tuple[str, ...] = ()
    body: Motion | None = None
    person: Person | None = None
    face: FaceTrack | None = None


def capture_body(
    path: str | os.PathLike[str], start: float = 0.0, end: float | None = None, person: int = 1,
    pose_model: str = DEFAULT, focal: float | None = None, rate: float = FOLDER_RATE, progress: Progress | None = None,
) -> Capture:  # fmt: skip
    """The body of a person in a film, 20 frames a second, level and on the floor, facing +Z in its first frame.

    Args:
        path: a film, or a folder of pictures. start, end: seconds of the film.
        person: 1 is the one who is largest for longest.
        pose_model: the estimator, of `avatargpt.video.poses.ESTIMATORS`.
        focal: focal length in lengths of the picture's longer side; None = as of a phone.
        rate: frames a second of a folder of pictures. progress: called with frames done and in all.

    Raises:
        UserError: not a film, nobody in it, no such person, or what it needs is not installed.
    """
    poses.check(pose_model)
    film = inspect(Path(path), rate)
    people, count = people_of(_count_frames(film, start, end, progress), poses.estimator(pose_model))
    doubts = [(p, p.doubt()) for p in people]
    real = [p for p, doubt in doubts if doubt is None]
    if not real:
        reason = f"; the likeliest: {doubts[0][1]}" if doubts else ""
        raise NobodyError(f"{film.path}: nobody in {count} frames whose body can be read{reason}")
    chosen, notes = _choose_person(film, real, person)
    lifted = motion_of(chosen, focal)
    notes += [*lifted.notes, *chosen.doubts]
    motion = replace(lifted.motion.canonical(), caption=_name(film.path), notes=tuple(notes))
    return Capture(motion, film, lifted.start, len(real), tuple(notes), lifted.motion, chosen)


def capture_face(
    path: str | os.PathLike[str], start: float = 0.0, end: float | None = None, person: int = 1,
    face_model: str = DEFAULT, neutral: bool = True, focal: float | None = None, rate: float = FOLDER_RATE,
    progress: Progress | None = None,
) -> Capture:  # fmt: skip
    """The face of a person in a film, 30 frames a second; head angles are against the camera.

    Args:
        face_model: the estimator, of `avatargpt.video.faces.ESTIMATORS`.
        neutral: whether the resting face is taken away (`avatargpt.video.faces.face_motion`).
        Others: see `capture_body`.

    Raises:
        UserError: not a film, no face in it, no such person, or what it needs is not installed.
    """
    film = inspect(Path(path), rate)
    finder = faces.estimator(face_model, 1 if person == 1 else MAX_FACES, focal)
    tracks, count = faces_of(_count_frames(film, start, end, progress), finder)
    if not tracks:
        raise NobodyError(f"{film.path}: no face in {count} frames")
    chosen, notes = _choose_person(film, tracks, person)
    motion, first = face_motion(chosen, neutral)
    return Capture(motion.with_caption(_name(film.path)), film, first, len(tracks), tuple(notes), face=chosen)


def capture_avatar(
    path: str | os.PathLike[str], start: float = 0.0, end: float | None = None, person: int = 1,
    pose_model: str = DEFAULT, face_model: str = DEFAULT, neutral: bool = True, focal: float | None = None,
    rate: float = FOLDER_RATE, progress: Progress | None = None,
) -> Capture:  # fmt: skip
    """Body and face of a person, 30 frames a second, where both are in the film; see `capture_body`, `capture_face`.

    The head turns as the face does.
    """
    captured = capture_body(path, start, end, person, pose_model, focal, rate, progress)
    whose = captured.person
    assert whose is not None and captured.body is not None
    last = captured.start + captured.body.seconds
    shared = _count_frames(captured.film, captured.start, last, progress)
    tracks, count = faces_of(shared, faces.estimator(face_model, MAX_FACES, focal))
    track = min(tracks, key=lambda t: _apart(t, whose), default=None)
    if track is None or _apart(track, whose) > 1:
        raise NobodyError(f"{captured.film.path}: no face of this person in {count} frames; accepted --body alone")
    face, first = face_motion(track, neutral)
    body = captured.body.resampled(faces.FPS)
    # both on the stretch that they share; beyond the face's ends it keeps its first and last frame
    at = (captured.start + np.arange(len(body)) / faces.FPS - first) * faces.FPS
    face = face.sampled(np.clip(at, 0, len(face) - 1))
    fingers = rot.identity((len(body), len(FINGER_NAMES)))
    rotations = with_head(body.rotations, turns(face.head))
    body = Motion(rotations, body.root, faces.FPS, "gesture", fingers=fingers, filmed=True).canonical()
    motion = AvatarMotion(body, face, caption=_name(captured.film.path), notes=captured.notes)
    return replace(captured, motion=motion, face=track)


def read_film(
    path: Path, start: float = 0.0, end: float | None = None, person: int = 1, pose_model: str = DEFAULT
) -> Motion | FaceMotion:
    """The body of a person in a film, or the face where no body can be read: the reader of `avatargpt.export.load`."""
    try:
        motion = capture_body(path, start, end, person, pose_model).motion
    except NobodyError as nobody:
        try:
            motion = capture_face(path, start, end, person).motion
        except NobodyError:
            raise nobody from None
    assert isinstance(motion, Motion | FaceMotion)
    return motion


def with_head(rotations: np.ndarray, head: np.ndarray) -> np.ndarray:
    """Local rotations (T, 22, 4) whose head is turned like `head` (T, 4) in the world, half of it by the neck."""
    chest = rot.from_matrix(SMPL22.fk_full(rotations, np.zeros((len(rotations), 3)))[1][:, SMPL22.index("spine3")])
    turn = rot.to_axis_angle(rot.multiply(rot.conjugate(chest), head))
    size = np.linalg.norm(turn, axis=-1, keepdims=True)
    half = rot.from_axis_angle(turn * np.minimum(1, MAX_NECK / np.maximum(size, 1e-9)) / 2)
    out = np.array(rotations, np.float64)
    out[:, SMPL22.index("neck")] = out[:, SMPL22.index("head")] = half
    return out


def _choose_person(film: Film, tracks: Sequence[Track], person: int) -> tuple[Track, list[str]]:
    """The longest stretch of a person, and notes of what was left out."""
    if not 1 <= person <= len(tracks):
        raise UserError(f"{film.path}: person {person}; accepted 1 to {len(tracks)}")
    notes = [] if len(tracks) == 1 else [f"{len(tracks)} people, each shot by itself; this is person {person}"]
    stretches: list[Track] = tracks[person - 1].stretches()
    chosen = max(stretches, key=lambda t: len(t.times))
    if len(stretches) > 1:
        parts = ", ".join(f"{t.times[0]:.1f} to {t.times[-1]:.1f} s" for t in stretches)
        notes.append(f"one person is followed from {parts}; the longest is taken, --start and --end choose")
    return chosen, notes


def _apart(track: FaceTrack, person: Person) -> float:
    """Between a face and a person's nose, in sides of the face, over the times that they share."""
    row = np.abs(person.times[:, None] - track.times).argmin(0)
    shared = np.abs(person.times[row] - track.times) < 0.1
    if not shared.any():
        return float("inf")
    middle = (track.boxes[:, :2] + track.boxes[:, 2:]) / 2
    off = np.linalg.norm(middle - person.points[row, AT["nose"]], axis=-1) / np.maximum(track.side, 1.0)
    return float(np.median(off[shared]))


def _count_frames(film: Film, start: float, end: float | None, progress: Progress | None) -> Iterator[Frame]:
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
