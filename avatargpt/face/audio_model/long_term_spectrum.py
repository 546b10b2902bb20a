"""How a room, a line and its noise sound: the spectrum averaged over seconds, beside each frame a driver hears."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from avatargpt.face.audio_model.features import BANDS, PER_QUARTER, QUARTERS
from avatargpt.speech.audio import FPS


def share_of_new(frame: int, seconds: float) -> float:
    """What frame `frame`, counted from 0, is worth in the running average: a plain mean until it is `seconds` long."""
    return max(1 / (frame + 1), 1 / (seconds * FPS))


@torch.no_grad()
def long_term_spectrum(normal: Tensor, seconds: float) -> Tensor:
    """Normalised features (B, T, 332) -> (B, T, 160): each band's usual level and about its lowest up to each frame.

    The usual level is a running average over `seconds`; the lowest is -log of that of exp(-level), which the quiet
    frames decide: the noise.
    """
    bands = normal.float().unflatten(-1, (QUARTERS, PER_QUARTER))[..., :BANDS].mean(-2)
    now = torch.cat((bands, torch.exp(-bands)), -1)
    out = torch.empty_like(now)
    state = now[:, 0]
    for n in range(now.shape[1]):
        state = state + share_of_new(n, seconds) * (now[:, n] - state)
        out[:, n] = state
    usual, low = out.tensor_split(2, -1)
    return torch.cat((usual, -low.log()), -1)


class LongTermSpectrum:
    """The same, frame by frame. NumPy, because for so few numbers a call of PyTorch takes longer than what it does."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._state, self._now = np.zeros((2, 2, BANDS), np.float32)
        self._heard = 0

    def copied(self) -> LongTermSpectrum:
        """Another that remembers the same and goes on by itself."""
        other = LongTermSpectrum(self.seconds)
        other._state, other._heard = self._state.copy(), self._heard
        return other

    def __call__(self, normal: np.ndarray) -> np.ndarray:
        """Normalised features (332,) -> (160,)."""
        now = self._now
        np.add.reduce(normal.reshape(QUARTERS, PER_QUARTER)[:, :BANDS], 0, out=now[0])
        now[0] *= 1 / QUARTERS
        np.exp(np.negative(now[0], out=now[1]), out=now[1])
        now -= self._state
        now *= share_of_new(self._heard, self.seconds)
        self._state += now
        self._heard += 1
        out = self._state.copy()
        np.negative(np.log(out[1], out=out[1]), out=out[1])
        return out.reshape(-1)
