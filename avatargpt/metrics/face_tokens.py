"""What a tokenizer keeps of the short events of a face: blinks and closures of the lips."""

from __future__ import annotations

import numpy as np

from avatargpt.kinematics.joints import runs_of
from vqvae import arkit

SHUT = 0.6  # lids: above = shut
LONGEST = 15  # frames of a blink
CLOSED = 0.03  # jawOpen - mouthClose below which the lips are together ...
PRESSED = 0.18  # ... when mouthPress is above


def kept(clips: list[np.ndarray], rebuilt: list[np.ndarray]) -> dict[str, float]:
    """Shares of the short events of (T, 55) features that are still there in others of the same length.

    Returns:
        ``blinks``: both lids above 0.6 for at most half a second; kept when they pass 0.5 in one of its frames.
        ``closures``: lips pressed (above 0.18) with less than 0.03 between them; kept when in one of its frames or next
        to it they are pressed above 0.12 with less than 0.06 between them. What the clips have none of is left out.
    """
    blinks: list[bool] = []
    closures: list[bool] = []
    for before, after in zip(clips, rebuilt, strict=True):
        for start, stop in runs_of(_lids(before) > SHUT):
            if stop - start <= LONGEST:
                blinks.append(bool((_lids(after)[start:stop] > SHUT - 0.1).any()))
        gap, press = _lips(before)
        other_gap, other_press = _lips(after)
        for start, stop in runs_of((gap < CLOSED) & (press > PRESSED)):
            near = slice(max(start - 1, 0), stop + 1)
            closures.append(bool(((other_gap[near] < 2 * CLOSED) & (other_press[near] > PRESSED * 2 / 3)).any()))
    counted = {"blinks": blinks, "closures": closures}
    return {k: float(np.mean(v)) for k, v in counted.items() if v}


def _lids(x: np.ndarray) -> np.ndarray:
    return np.asarray(x[:, [arkit.INDEX["eyeBlinkLeft"], arkit.INDEX["eyeBlinkRight"]]].min(1))


def _lips(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far the lips are apart, (T,), and how hard they are pressed, (T,)."""
    gap = x[:, arkit.INDEX["jawOpen"]] - x[:, arkit.INDEX["mouthClose"]]
    return gap, x[:, [arkit.INDEX["mouthPressLeft"], arkit.INDEX["mouthPressRight"]]].mean(1)
