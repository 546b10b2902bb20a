"""Whether somebody is heard to speak, and how connectedly: how a mouth that only ever saw single words being spoken is
let speak. Rules, not a network."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from avatargpt.speech.audio import FPS
from avatargpt.speech.phones import SILENCE
from vqvae.arkit import INDEX

LEAST, MOST = 0.02, 0.06  # chance of any phone at which nobody speaks, and from which on somebody does
RISE, FALL = 0.9, 0.07  # share of the way to it that is gone each frame
APART, CONNECTED = 0.6, 0.75
"""Share of about a second in which somebody speaks up to which words stand alone, and from which on speech is
connected: of the takes trained on, words with pauses between them, 95 of 100 frames have less than the first."""
POWER, SIZE = 0.4, 0.7
"""Connected speech rounds the lips SIZE x rounding ** POWER far: less far where they are round (undershoot, Lindblom,
JASA 35, 1963), and they hardly come back in between. Chosen on the first half of the one take of connected speech."""
HARDLY = 0.1  # rounding below which it is as many times as far as this: lips that hardly begin do not jump
FUNNEL, PUCKER = INDEX["mouthFunnel"], INDEX["mouthPucker"]


class Speaking:
    """Hears the phone logits of one frame after the other.

    Attributes:
        share: how surely somebody speaks, 0 to 1: there at once, half gone after a third of a second.
        connected: 0 where words stand alone, 1 in connected speech.
    """

    def __init__(self) -> None:
        self.share = self._lately = self.connected = 0.0

    def hear(self, logits: Tensor) -> None:
        """The next frame's phone logits (2, 40)."""
        heard = 1.0 - float(logits.softmax(-1)[:, SILENCE].mean())
        now = min(max((heard - LEAST) / (MOST - LEAST), 0.0), 1.0)
        self.share += (RISE if now > self.share else FALL) * (now - self.share)
        self._lately += (now - self._lately) / FPS
        self.connected = min(max((self._lately - APART) / (CONNECTED - APART), 0.0), 1.0)


def speaking(logits: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The same of a clip's frames: (T, 2, 40) -> share (T,), connected (T,)."""
    one, rows = Speaking(), []
    with torch.no_grad():
        for frame in logits:
            one.hear(frame)
            rows.append((one.share, one.connected))
    share, connected = np.array(rows, np.float32).reshape(-1, 2).T
    return share, connected


def connectedly(curves: np.ndarray, connected: float) -> np.ndarray:
    """A frame's curves (55,) as in single words -> with the lips as round as in speech that is so connected."""
    lips = float(curves[FUNNEL] + curves[PUCKER])
    if connected <= 0 or lips <= 0:
        return curves
    out = curves.copy()
    out[[FUNNEL, PUCKER]] *= (SIZE * max(lips, HARDLY) ** (POWER - 1)) ** connected
    return out
