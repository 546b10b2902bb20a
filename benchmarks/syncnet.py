"""SyncD and SyncC of a film with one face, by SyncNet's weights.

WEIGHTS is ``syncnet_v2.model`` of github.com/joonson/syncnet_python, or its tensors as ``.safetensors``. The face is
found by `avatargpt.video` where the original finds it by S3FD, so figures differ a little from published ones. Needs
avatargpt[video-in].
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import medfilt

from avatargpt.metrics.syncnet import FPS, SyncNet, crop, sync
from avatargpt.speech.audio import load, resample
from avatargpt.video import faces
from avatargpt.video.frames import frames, inspect
from avatargpt.video.sound import write_sound
from vqvae.errors import UserError

SMOOTHED = 13  # frames of the median of boxes, as published


def crops(path: Path) -> tuple[np.ndarray, float]:
    """(T, 224, 224, 3) pictures of the largest face, 25 a second, and the second of the film of the first."""
    film = inspect(path)
    tracks, count = faces.faces_of(frames(film), faces.estimator("mediapipe", 1))
    if not tracks:
        raise UserError(f"{path}: no face in {count} frames")
    track = tracks[0]
    boxes = np.stack([medfilt(column, SMOOTHED) for column in np.pad(track.boxes, ((6, 6), (0, 0)), "edge").T], 1)[6:-6]
    start, end = float(track.times[0]), float(track.times[-1])
    pictures: list[np.ndarray] = []
    for frame in frames(film):
        if frame.time > end + 1e-6:
            break
        while start + len(pictures) / FPS <= frame.time + 0.5 / film.fps:
            at = start + len(pictures) / FPS
            box = np.array([np.interp(at, track.times, column) for column in boxes.T])
            pictures.append(crop(frame.picture, box))
    return np.stack(pictures), start


def run(film: Path, weights: Path) -> dict[str, Any]:
    """Measure."""
    network = SyncNet.load(weights)
    pictures, start = crops(film)
    with tempfile.TemporaryDirectory() as folder:
        sound = write_sound(film, Path(folder) / "sound.wav", start, len(pictures) / FPS)
        if sound is None:
            raise UserError(f"{film}: no sound in it")
        samples, rate = load(sound)
    return sync(network, pictures, resample(samples, rate))._asdict()
