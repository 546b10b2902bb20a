"""Key frames of several tracks, each with times of its own, read at the same frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vqvae import rotations as rot
from vqvae.motion import LEAST_FPS, MAX_FRAMES, MOST_FPS

FPS = 30.0  # where key frames are not evenly spaced
STEP = "STEP"  # the interpolation that holds a value until the next key frame
SPLINE = "CUBICSPLINE"  # the one whose key frames have slopes before and after the value
UNIT = 0.02  # by which the length of a rotation may differ from 1: editors store them in bytes
LONGEST, PER_KEY = 36_000, 300  # frames that are made between few key frames: 20 minutes, and 10 s for each of them
AGREES = 0.02  # the share by which what a file says of its rate may differ from its key frames


def said(extras: Any) -> tuple[float | None, str]:
    """Frames per second and caption from a glTF's ``extras``, which other programs fill with what they like.

    Returns:
        None where no usable rate, '' where no caption stands there.
    """
    about: dict[str, Any] = extras if isinstance(extras, dict) else {}
    fps, caption = about.get("fps"), about.get("caption")
    rate = float(fps) if isinstance(fps, int | float) and LEAST_FPS <= fps <= MOST_FPS else None
    return rate, caption if isinstance(caption, str) else ""


def frames(lines: Sequence[np.ndarray], fps: float | None = None, steps: bool = False) -> tuple[np.ndarray, float]:
    """The times at which all tracks are read, and how many there are a second.

    These are the times of the track with the most key frames where they are evenly spaced and those of all others lie
    among them, at least one a second; else 30 a second from the first key frame of all to the last.

    Args:
        lines: (n,) rising seconds of each track, at least one track.
        fps: what the file says of itself; taken where the key frames agree.
        steps: values are held or follow a curve between key frames: fewer than 15 a second would not show how.

    Raises:
        ValueError: times that do not rise, or more than `MAX_FRAMES` frames.
    """
    if any(len(t) < 1 or not np.isfinite(t).all() or (np.diff(t) <= 0).any() for t in lines):
        raise ValueError("times that do not rise")
    first, last = min(t[0] for t in lines), max(t[-1] for t in lines)
    longest = max(lines, key=len)
    own = (len(longest) - 1) / (longest[-1] - longest[0]) if len(longest) > 1 else fps or FPS
    rate = fps if fps and abs(own / fps - 1) <= AGREES else own  # editors change key frames and leave `extras`
    # Files hold seconds as float32: after an hour they are coarse beside a step, and the count has to tell.
    counted = len(longest) == round((longest[-1] - longest[0]) * rate) + 1
    coarse = 2 * float(np.spacing(np.float32(longest[-1]))) if counted else 0.0
    even = len(longest) == 1 or np.allclose(np.diff(longest), 1 / rate, atol=0.05 / rate + coarse)
    inside = even and all(
        np.allclose((t - longest[0]) * rate, np.round((t - longest[0]) * rate), rtol=0, atol=0.05 + coarse * rate)
        for t in lines
    )
    slow = rate < (FPS / 2 if steps else LEAST_FPS)
    if not inside or slow or last - first > longest[-1] - longest[0] + 1 / rate:
        rate = FPS
        count = min((last - first) * FPS + 1.5, MAX_FRAMES + 1)
        if count > LONGEST + PER_KEY * len(longest):
            raise ValueError(f"{len(longest)} key frames over {last - first:.4g} s")
        longest = first + np.arange(int(count)) / FPS
    if len(longest) > MAX_FRAMES:
        raise ValueError(f"more than {MAX_FRAMES} frames")
    return longest, rate


def at(times: np.ndarray, keys: np.ndarray, values: np.ndarray, held: bool = False) -> np.ndarray:
    """Values (n, ...) of a track's key frames (n,) at `times` (T,), linear between them or held -> (T, ...)."""
    if len(keys) == len(times) and np.allclose(keys, times, atol=1e-6):
        return values
    if held:
        return np.asarray(values[_before(times, keys)])
    flat = values.reshape(len(keys), -1)
    return np.stack([np.interp(times, keys, v) for v in flat.T], 1).reshape(len(times), *values.shape[1:])


def turned_at(times: np.ndarray, keys: np.ndarray, turns: np.ndarray, held: bool = False) -> np.ndarray:
    """Rotations (n, 4), w first, of a track's key frames (n,) at `times` (T,), along the shorter arc between them or
    held -> (T, 4)."""
    if len(keys) == len(times) and np.allclose(keys, times, atol=1e-6):
        return turns
    if held:
        return np.asarray(turns[_before(times, keys)])
    if len(keys) == 1:
        return np.repeat(turns, len(times), 0)
    inside = np.clip(times, keys[0], keys[-1])
    left = np.clip(np.searchsorted(keys, inside, side="right") - 1, 0, len(keys) - 2)
    share = (inside - keys[left]) / (keys[left + 1] - keys[left])
    return rot.slerp(turns[left].astype(np.float64), turns[left + 1].astype(np.float64), share).astype(turns.dtype)


def splined_at(times: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values of a cubic Hermite spline at `times` (T,) -> (T, k): glTF 2.0, appendix C.5.

    Args:
        keys: (n,) rising seconds.
        values: (3 n, k): of each key frame the slope before it, the value, the slope after it.

    Raises:
        ValueError: not three of each.
    """
    if len(values) != 3 * len(keys):
        raise ValueError(f"{len(values)} values of {len(keys)} key frames of a spline")
    before, value, after = values.reshape(len(keys), 3, -1).astype(np.float64).transpose(1, 0, 2)
    if len(keys) == 1:
        return np.repeat(value, len(times), 0)
    inside = np.clip(times, keys[0], keys[-1])
    left = np.clip(np.searchsorted(keys, inside, side="right") - 1, 0, len(keys) - 2)
    length = keys[left + 1] - keys[left]
    u = (inside - keys[left]) / length
    u, length = u[:, None], length[:, None]
    start, end = (2 * u**3 - 3 * u**2 + 1), (3 * u**2 - 2 * u**3)
    leaving, arriving = (u**3 - 2 * u**2 + u) * length, (u**3 - u**2) * length
    return np.asarray(start * value[left] + leaving * after[left] + end * value[left + 1] + arriving * before[left + 1])


def unit(turns: np.ndarray) -> np.ndarray:
    """Rotations (n, 4) as they are.

    Raises:
        ValueError: one whose length is not 1, beyond what rounding to bytes does.
    """
    off = np.abs(np.linalg.norm(turns.astype(np.float64), axis=-1) - 1)
    if not off.max(initial=0) <= UNIT:
        raise ValueError(f"key frame {int(off.argmax())}: a rotation is not a unit quaternion")
    return turns


def _before(times: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """(T,) the last of rising key frames (n,) at or before each time; the first where there is none."""
    return np.clip(np.searchsorted(keys, times + 1e-4, side="right") - 1, 0, len(keys) - 1)
