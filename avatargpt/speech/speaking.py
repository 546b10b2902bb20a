"""Whether somebody is heard to speak: how far a mouth that only ever saw speech is let speak."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from avatargpt.speech.phones import SILENCE

LEAST, MOST = 0.04, 0.15  # chance of any phone at which nobody speaks, and from which on somebody does
RISE, FALL = 0.9, 0.1  # share of the way to it that is gone each frame


class Speaking:
    """Phone logits of one frame after the other (2, 40) -> how surely somebody speaks, 0 to 1: there at once, all but
    gone after half a second."""

    def __init__(self) -> None:
        self._share = 0.0

    def __call__(self, logits: Tensor) -> float:
        heard = 1.0 - float(logits.softmax(-1)[:, SILENCE].mean())
        now = min(max((heard - LEAST) / (MOST - LEAST), 0.0), 1.0)
        self._share += (RISE if now > self._share else FALL) * (now - self._share)
        return self._share


def speaking(logits: Tensor) -> np.ndarray:
    """The same of a clip's frames: (T, 2, 40) -> (T,)."""
    one = Speaking()
    with torch.no_grad():
        return np.array([one(frame) for frame in logits], np.float32)
