"""The stage ``shots``: cuts of a film, and figures of the pictures of each shot, in one pass over small pictures."""

from __future__ import annotations

from collections import deque
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.curate.recipe import ShotOptions
from avatargpt.curate.stages import Rejected, Result, StageTask, Workshop, reason_about
from avatargpt.video.frames import INSTALL, MAX_RATE, Film, frames, inspect
from vqvae.errors import UserError
from vqvae.io.files import reason

FLASH = 0.5  # share of a cut's change that is left after it, below which it was a flash
HASHED = 1.0  # s between the pictures of a shot that are compared with those of others
HASH_SHAPE = (8, 9)  # differences of neighbours in a row: 64 bits


def check() -> None:
    """Raises UserError where an extra is missing."""
    for name in ("av", "scenedetect", "cv2"):
        if find_spec(name) is None:
            raise UserError(f"films need {name}; install it: {INSTALL}")


def shots_of(task: StageTask, shop: Workshop) -> Result:
    """Facts of a film, and its shots: start and end in seconds, ``sharpness`` and ``change`` (medians), ``hashes``."""
    path, options = Path(task.files["film"]), shop.recipe.shots
    try:
        film = inspect(path)
        shots = _shots(film, options)
    except UserError as e:
        raise Rejected(reason_about(path, e)) from None
    except (ValueError, MemoryError, ArithmeticError) as e:  # of a decoder, for damaged films
        raise Rejected(f"cannot be read ({reason(e)})") from None
    about = {"width": film.width, "height": film.height, "fps": round(film.fps, 3), "sound": film.sound}
    return {**about, "seconds": shots[-1]["end"], "shots": shots}


def _shots(film: Film, options: ShotOptions) -> list[dict[str, Any]]:
    import cv2
    from scenedetect import FrameTimecode
    from scenedetect.detectors import AdaptiveDetector

    rate = min(MAX_RATE, film.fps)
    distance = max(1, round(options.seconds * rate))
    detector = AdaptiveDetector(options.threshold, distance, min_content_val=options.content)
    times: list[float] = []
    figures: list[tuple[float, float]] = []
    hashes: list[tuple[float, int]] = []
    cuts: list[int] = []
    recent: deque[np.ndarray] = deque(maxlen=detector.window_width + 2)  # from the frame before a cut that is reported
    longest = round(options.height * max(film.width, film.height) / min(film.width, film.height))
    for k, (time, picture) in enumerate(frames(film, 0.0, float("inf"), rate, longest)):
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        change = _change(recent[-1], grey) if recent else 0.0
        figures.append((float(cv2.Laplacian(grey, cv2.CV_64F).var()), change))
        times.append(time)
        recent.append(grey)
        if not hashes or time - hashes[-1][0] >= HASHED:
            hashes.append((time, difference_hash(grey)))
        new = detector.process_frame(FrameTimecode(k, rate), np.ascontiguousarray(picture[..., ::-1]))
        # a flash of a frame or two ends as it began, and is no cut
        if new and _change(recent[0], recent[-1]) >= FLASH * _change(recent[0], recent[1]):
            cuts += [c.frame_num for c in new]
    end = times[-1] + 1 / film.fps
    bounds = [0, *sorted(cuts), len(times)]
    values, out = np.array(figures), []
    for a, b in zip(bounds, bounds[1:], strict=False):
        start, stop = times[a], times[b] if b < len(times) else end
        # a cut's own change is that between two shots
        change = float(np.median(values[a + 1 : b, 1])) if b > a + 1 else 0.0
        pieces = max(1, int(np.ceil((stop - start) / options.longest)))
        edges = np.linspace(start, stop, pieces + 1)
        for p, q in zip(edges, edges[1:], strict=False):
            inside = [h for t, h in hashes if p - 1e-6 <= t < q]
            out.append({
                "start": round(float(p), 3), "end": round(float(q), 3), "change": round(change, 3),
                "sharpness": round(float(np.median(values[a:b, 0])), 2), "hashes": [f"{h:016x}" for h in inside],
            })  # fmt: skip
    return out


def _change(a: np.ndarray, b: np.ndarray) -> float:
    """Mean absolute difference of two grey pictures, 0 to 255."""
    return float(np.abs(a.astype(np.int16) - b).mean())


def difference_hash(grey: np.ndarray) -> int:
    """64 bits of a picture (H, W): whether each of 8 x 9 areas is brighter than its left neighbour (dHash, Krawetz)."""
    import cv2

    small = cv2.resize(grey, HASH_SHAPE[::-1], interpolation=cv2.INTER_AREA).astype(np.int16)
    bits = (np.diff(small, axis=1) > 0).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")
