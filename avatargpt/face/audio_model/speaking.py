"""Whether somebody is heard to speak, how connectedly, and where the lips meet: how a mouth that only ever saw single
words being spoken is let speak. Rules, not a network."""

from __future__ import annotations

from collections import deque

import numpy as np
from torch import Tensor

from avatargpt.face.audio_model.network import DriverNetwork, sure
from avatargpt.face.audio_model.visemes import WIDTH
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
OPENING, OPENS = 0.9, 0.92
"""The jaw opens OPENS x jaw ** OPENING far: recorded jaws less far where the network opens them widely, as it does to
have the size of a movement right. The first was chosen on the same half take, the second keeps the amplitude."""
HARDLY = 0.1  # rounding below which it is as many times as far as this: lips that hardly begin do not jump
NEARLY, NEARER = 0.18, 0.12  # jawOpen up to which lips that hear a p, b or m press together a little, and fully
LIGHTLY = 0.6  # times as much as the first network presses and rolls them: recorded lips do it less
FUNNEL, PUCKER, JAW = INDEX["mouthFunnel"], INDEX["mouthPucker"], INDEX["jawOpen"]
RECORDED = (
    "jawOpen", "mouthFunnel", "mouthPucker", "mouthRollLower", "mouthRollUpper", "mouthPress", "mouthLowerDown",
    "mouthUpperUp", "mouthStretch", "mouthSmile", "mouthShrugLower", "mouthShrugUpper", "mouthFrown",
)  # fmt: skip
PAIRED = tuple(INDEX[n] for name in RECORDED for n in expand(name))
"""Columns of the curves that recorded pairs say something about."""
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


def connectedly(curves: np.ndarray, connected: float) -> np.ndarray:
    """A frame's curves (55,) as in single words -> with the lips as round as in speech that is so connected."""
    lips = float(curves[FUNNEL] + curves[PUCKER])
    if connected <= 0 or lips <= 0:
        return curves
    out = curves.copy()
    out[[FUNNEL, PUCKER]] *= (SIZE * max(lips, HARDLY) ** (POWER - 1)) ** connected
    return out


def opened(curves: np.ndarray) -> np.ndarray:
    """A frame's curves (55,) -> with the jaw as far open as recorded ones."""
    out = curves.copy()
    out[JAW] = OPENS * max(float(curves[JAW]), 0.0) ** OPENING
    return out


def pressed(curves: np.ndarray, meant: float, acting: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """A frame's curves (55,) -> with lips that are nearly shut pressed together, as surely as a p, b or m is heard.

    A mouth open further is left alone: the network that hears these sounds learnt them from other languages.

    Args:
        meant: how sure the first network is of such a sound, 0 to 1.
        acting: (55,) 1 where a closure decides.
        pose: (55,) of the closure, see `lightly`.
    """
    share = meant * min(max((NEARLY - float(curves[JAW])) / (NEARLY - NEARER), 0.0), 1.0)
    return curves + share * acting * (pose - curves) if share > 0 else curves


def lightly(pose: np.ndarray) -> np.ndarray:
    """The first network's pose of a closure (55,) -> as lightly pressed as recorded ones."""
    out = pose.copy()
    out[PRESSING] *= LIGHTLY
    return out


class RecordedMouth:
    """All of it for one speaker, frame after frame: what both networks say -> curves with a mouth as in recorded pairs.

    Args:
        network: the first one.
        behind: frames by which the network of the pairs speaks later, because it looks further ahead.
    """

    def __init__(self, network: DriverNetwork, behind: int) -> None:
        self._speaking, self._behind, self._columns = Speaking(), behind, list(PAIRED)
        self._waiting: deque[tuple[np.ndarray, np.ndarray, float]] = deque()
        self._closure = None
        if network.config.seal:
            _, acting, pose = network.gates()[-1]
            self._closure = acting.numpy(), lightly(pose.numpy())

    def show(self, row: np.ndarray, untold: Tensor, logit: float, paired: np.ndarray) -> np.ndarray | None:
        """What is told comes to both mouths alike. Where nobody is heard to speak, the mouth is that of the first
        network: the pairs hold neither silence nor noise.

        Args:
            row: curves (55,) of the first network's newest frame; changed in place when its turn comes.
            untold: its curves and phone logits (55 + 80,), nothing told.
            logit: of its closed lips; not looked at where it has no such gate.
            paired: curves (55,) of the pairs' network, `behind` frames before.

        Returns:
            Curves (55,) of that earlier frame; None while there is none.
        """
        self._speaking.hear(untold[WIDTH:].view(2, -1))
        self._waiting.append((row, untold[:WIDTH].numpy(), logit))
        if len(self._waiting) <= self._behind:
            return None
        row, taught, logit = self._waiting.popleft()
        more = self._speaking.share * (opened(connectedly(paired, self._speaking.connected)) - taught)
        row[self._columns] += more[self._columns]
        return row if self._closure is None else pressed(row, sure(logit), *self._closure)
