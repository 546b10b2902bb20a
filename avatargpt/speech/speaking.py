"""Whether somebody is heard to speak, how connectedly, and where the lips meet: how a mouth that only ever saw single
words being spoken is let speak. Rules, not a network."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from avatargpt.speech.audio import FPS
from avatargpt.speech.phones import SILENCE
from vqvae.arkit import INDEX, expand

LEAST, MOST = 0.02, 0.06  # chance of any phone at which nobody speaks, and from which on somebody does
RISE, FALL = 0.9, 0.07  # share of the way to it that is gone each frame
APART, CONNECTED = 0.6, 0.75
"""Share of about a second in which somebody speaks up to which words stand alone, and from which on speech is
connected: of the takes trained on, words with pauses between them, 95 of 100 frames have less than the first."""
POWER, SIZE = 0.4, 0.7
"""Connected speech rounds the lips SIZE x rounding ** POWER far: less far where they are round (undershoot, Lindblom,
JASA 35, 1963), and they hardly come back in between. Chosen on the first half of the one take of connected speech."""
HARDLY = 0.1  # rounding below which it is as many times as far as this: lips that hardly begin do not jump
NEARLY, NEARER = 0.18, 0.12  # jawOpen up to which lips that hear a p, b or m press together a little, and fully
LIGHTLY = 0.6  # times as much as the first network presses and rolls them: recorded lips do it less
FUNNEL, PUCKER, JAW = INDEX["mouthFunnel"], INDEX["mouthPucker"], INDEX["jawOpen"]
PRESSING = [INDEX[n] for name in ("mouthPress", "mouthRollLower", "mouthRollUpper") for n in expand(name)]


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


def pressed(curves: np.ndarray, sure: float, acting: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """A frame's curves (55,) -> with lips that are nearly shut pressed together, as surely as a p, b or m is heard.

    A mouth open further is left alone: the network that hears these sounds learnt them from other languages.

    Args:
        sure: 0 to 1.
        acting: (55,) 1 where a closure decides.
        pose: (55,) of the closure, see `lightly`.
    """
    share = sure * min(max((NEARLY - float(curves[JAW])) / (NEARLY - NEARER), 0.0), 1.0)
    return curves + share * acting * (pose - curves) if share > 0 else curves


def lightly(pose: np.ndarray) -> np.ndarray:
    """The first network's pose of a closure (55,) -> as lightly pressed as recorded ones."""
    out = pose.copy()
    out[PRESSING] *= LIGHTLY
    return out
