"""Rows with times of their own -> frames at an even rate, for formats that write a time with every row."""

from __future__ import annotations

import numpy as np

from vqvae.errors import UserError
from vqvae.motion import MAX_FRAMES

NTSC = 1000 / 1001  # of 24, 30, 60 and 120
COMMON_RATES = (24.0, 25.0, 30.0, 48.0, 50.0, 60.0, 90.0, 100.0, 120.0)
DEFAULT_RATE = 30.0
JITTER = 0.004  # of a step: what rounding to a thousandth of a count makes of even rows
COUNTED, MEASURED = 2e-4, 0.03  # how near a common rate has to be to be meant, of even and of uneven rows
MAX_GAP = 600.0  # seconds between two rows; more means damaged times


def even(values: np.ndarray, times: np.ndarray, rounding: float = 0.0) -> tuple[np.ndarray, float]:
    """Rows -> frames at the row rate: that of evenly counted rows, else a common one near the median step's.

    Args:
        values: (T, n). times: (T,) seconds from the first row; rows that do not rise are left out.
        rounding: seconds to which the times are rounded; rows that are as even as this allows count as even.

    Raises:
        UserError: more than `MAX_FRAMES` frames.
    """
    keep = np.concatenate([[True], np.diff(np.maximum.accumulate(times)) > 0])
    values, times = values[keep], times[keep]
    if len(times) < 2:
        return values, DEFAULT_RATE
    steps = np.diff(times)
    mean = float(steps.mean())
    rates: tuple[float, ...] = (*COMMON_RATES, *(NTSC * r for r in (24.0, 30.0, 60.0, 120.0)))
    if np.abs(steps - mean).max() < JITTER * mean:  # counted, not measured: the rate is in the file
        fps, rates, near_by = 1 / mean, (*rates, round(1 / mean, 1)), max(COUNTED, 0.002 / len(steps))
    elif np.abs(times - mean * np.arange(len(times))).max() <= rounding:
        fps, near_by = 1 / mean, 2 * rounding / float(times[-1])
    else:
        fps, rates, near_by = 1 / float(np.median(steps)), COMMON_RATES, MEASURED
    near = min(rates, key=lambda r: abs(r - fps))
    fps = near if abs(near - fps) / near < near_by else fps
    count = round(times[-1] * fps) + 1
    if count == len(times):
        return values, fps
    if count > MAX_FRAMES:
        raise UserError(f"{count} frames; at most {MAX_FRAMES}")
    at = np.arange(count) / fps
    return np.stack([np.interp(at, times, v) for v in values.T], 1), fps
