"""The stage ``tracks``: the bodies and faces of the people in a shot, by a capture that the configuration names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Protocol

import numpy as np

from avatargpt.curate.recipe import TrackOptions
from avatargpt.curate.stages import Rejected, Result, StageTask, Workshop, reason_about
from vqvae import modalities
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.io.files import atomic_write
from vqvae.motion import Motion

Box = tuple[float, float, float, float]  # left, top, right, bottom, in shares of the picture
OCCLUDED = 0.3  # confidence of a frame, below which the person counts as hidden


@dataclass(frozen=True, eq=False)
class Track:
    """One person's body or face in a shot.

    Attributes:
        motion: T frames at its own rate, the first at `start` seconds of the film.
        person: number of the person in the shot; a body and a face of the same person have the same.
        height: of the person, or of the face, in shares of the picture's height (median).
        visible: (T,) confidence of each frame, 0 to 1.
        box: all that the person moves in.
        reliability: 0 to 1 of each weight of a face (52,), or each joint of a body (22,); None = all alike.
        doubts: what of the film makes the motion doubtful; such a track is left out.
    """

    motion: Motion | FaceMotion
    start: float
    person: int
    height: float
    visible: np.ndarray
    box: Box = (0.0, 0.0, 1.0, 1.0)
    reliability: np.ndarray | None = None
    doubts: tuple[str, ...] = ()


class TrackCapture(Protocol):
    """Reads people off a film. Made with the configuration's section `tracks`."""

    @property
    def fingerprint(self) -> str:
        """Names and versions of what it reads with; another one, other results."""
        ...

    def ready(self) -> None:
        """Raises UserError where weights or packages are missing."""
        ...

    def people(self, film: Path, start: float, end: float) -> Sequence[Track]:
        """Tracks between two seconds of a film, none of an empty room. Raises UserError where it cannot be read."""
        ...


def capture_of(options: TrackOptions) -> TrackCapture:
    """The capture that the configuration names."""
    try:
        capture: TrackCapture = resolve_name(options.capture)(options)
    except (ImportError, AttributeError, ValueError) as e:
        raise UserError(f"tracks: capture: {options.capture!r}: {e}; accepted MODULE:NAME of a class") from None
    return capture


def tracks_of(task: StageTask, shop: Workshop) -> Result:
    """Figures of each track, largest first; motions beside, under ``KIND_NUMBER``."""
    options = shop.recipe.tracks
    capture = shop.tool("capture", lambda: capture_of(options))
    path = Path(task.files["film"])
    try:
        people = list(capture.people(path, task.inputs["start"], task.inputs["end"]))
    except UserError as e:
        raise Rejected(reason_about(path, e)) from None
    arrays: dict[str, np.ndarray] = {}
    rows = []
    for modality in ("body", "face"):
        chosen = sorted((t for t in people if t.motion.modality == modality), key=lambda t: (-t.height, t.person))
        for number, track in enumerate(chosen[: options.people] if getattr(options, modality) else []):
            key, motion = f"{modality}_{number}", track.motion
            rows.append({
                "key": key, "modality": modality, "person": track.person, "start": round(abs(track.start), 4),
                "fps": motion.fps, "frames": len(motion), "height": round(track.height, 4),
                "visible": round(float(np.mean(track.visible)), 4), "box": [round(float(v), 3) for v in track.box],
                "occluded": round(float(np.mean(track.visible < OCCLUDED)), 4), "doubts": list(track.doubts),
            })  # fmt: skip
            arrays |= {f"{key}/{name}": values for name, values in _arrays(track).items()}
    atomic_write(shop.path(task, ".npz"), lambda p: np.savez(p, **arrays))  # type: ignore[arg-type]
    return {"tracks": rows}


def _arrays(track: Track) -> dict[str, np.ndarray]:
    motion = track.motion
    about = {"visible": np.asarray(track.visible, np.float32)}
    if track.reliability is not None:
        about["reliability"] = np.asarray(track.reliability, np.float32)
    if isinstance(motion, Motion):
        return about | {"rotations": motion.rotations, "root": motion.root}
    return about | {"weights": motion.weights, "head": motion.head}


@dataclass(frozen=True, eq=False)
class StoredTrack:
    """A track as it is stored: its row, and its arrays."""

    row: dict[str, Any]
    arrays: dict[str, np.ndarray]

    @property
    def motion(self) -> Any:
        """The Motion or FaceMotion at its own rate."""
        a, fps = self.arrays, float(self.row["fps"])
        if self.row["modality"] == "face":
            return FaceMotion(a["weights"], a["head"], fps)
        return Motion(a["rotations"], a["root"], fps, filmed=True)

    def piece(self, start: float, end: float) -> Any:
        """The motion between two seconds of the film, at its modality's rate; a body canonical: at the origin, facing
        +Z."""
        fps, first = float(self.row["fps"]), float(self.row["start"])
        a, b = round((start - first) * fps), round((end - first) * fps)
        part = self.motion.slice(max(a, 0), min(max(b, a + 1), int(self.row["frames"])))
        return part.resampled(modalities.get(self.row["modality"]).fps).canonical()


def read_tracks(path: Path, rows: Sequence[dict[str, Any]]) -> list[StoredTrack]:
    """The tracks of a result by its file of arrays."""
    with np.load(path) as data:
        names = data.files
        return [
            StoredTrack(row, {n.split("/", 1)[1]: data[n] for n in names if n.startswith(row["key"] + "/")})
            for row in rows
        ]
