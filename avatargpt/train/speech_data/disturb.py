"""Recording situations laid over features: a microphone's colour, a room, noise, other voices.

`train.speech_data.augment` does the same to sound, once for each stored clip; here every draw of a window differs, at
next to no cost. Powers add up band by band, as those of independent sounds do on average.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from avatargpt.face.audio_model.features import BANDS, ENERGY_FLOOR, FLOOR, PER_QUARTER, QUARTERS, extract
from avatargpt.speech.audio import FPS, RATE
from avatargpt.train.speech_data.augment import noise

NEPER = np.log(10) / 10  # of power in a decibel
FLOORS = np.append(np.full(BANDS, FLOOR), ENERGY_FLOOR)
SLOPES = (0.0, 0.5, 1.0, 1.5, 2.0)
SECONDS = 60  # of noise of each slope
ROOM = (-9.0, 0.5)  # nepers of power on that noise (-20 dB full scale) where nobody speaks
QUIET = -13.0  # log energy below which a frame is silence of no recording at all


def _noises() -> np.ndarray:
    """(slopes, T, 4, 83) features of noise."""
    made = []
    for i, slope in enumerate(SLOPES):
        sound = 0.1 * noise(SECONDS * RATE, np.random.default_rng([11, i]), slope)
        made.append(extract(sound, RATE)[30:].reshape(-1, QUARTERS, PER_QUARTER))
    return np.stack(made)


@dataclass
class Disturber:
    """Changes features (B, T, 4, 83); the same draws for the same generator.

    Attributes:
        colour: share of rows with another frequency response.
        echo: share of rows in a room.
        noise: share of rows with noise or another row's voice behind.
        sounds: share of rows with one of `bank` behind.
        bank: features (T, 4, 83) of sounds that are no speech.
    """

    colour: float = 0.0
    echo: float = 0.0
    noise: float = 0.0
    sounds: float = 0.0
    bank: Sequence[np.ndarray] = field(default=(), repr=False)
    _made: np.ndarray | None = field(default=None, repr=False)

    def __call__(self, parts: np.ndarray, rng: np.random.Generator) -> None:
        """In place."""
        voices = parts.copy() if self.noise else parts
        for row in range(len(parts)):
            if rng.random() < self.colour:
                _colour(parts[row], rng)
            if rng.random() < self.echo:
                _echo(parts[row], rng)
            if rng.random() < self.noise:
                self._noise(parts[row], voices[int(rng.integers(len(parts)))], rng)
            if self.sounds and rng.random() < self.sounds:
                self._sound(parts[row], rng)

    def _sound(self, part: np.ndarray, rng: np.random.Generator) -> None:
        """Keys, a breath and the like while somebody speaks, up to as loud as the voice."""
        loud = float(np.quantile(part[..., BANDS], 0.95))
        if loud < QUIET:
            return
        other = self._any_sound(len(part), rng)
        add_behind(part, other, loud - float(rng.uniform(0, 30)) * NEPER - float(other[..., BANDS].max()))

    def _any_sound(self, frames: int, rng: np.random.Generator) -> np.ndarray:
        """(T, 4, 83) of one of the sounds, from its beginning again after its end."""
        some = self.bank[int(rng.integers(len(self.bank)))]
        return np.take(some, int(rng.integers(len(some))) + np.arange(frames), 0, mode="wrap").astype(np.float32)

    def room(self, frames: int, rng: np.random.Generator) -> np.ndarray | None:
        """(T, 4, 83) features of noise in which nobody speaks; None = silence, all but a share `noise` of the draws. A
        share `sounds` of the draws is another sound that is no speech."""
        if self.sounds and rng.random() < self.sounds:
            return self._any_sound(frames, rng)
        if not self.noise or rng.random() >= self.noise:
            return None
        part = np.zeros((frames, QUARTERS, PER_QUARTER), np.float32)
        part[..., : BANDS + 1] = np.log(FLOORS)
        add_behind(part, self._stretch(frames, rng), float(rng.uniform(*ROOM)))
        return part

    def _stretch(self, frames: int, rng: np.random.Generator) -> np.ndarray:
        """(T, 4, 83) of noise of one slope, from its beginning again after its end."""
        if self._made is None:
            self._made = _noises()
        some = self._made[int(rng.integers(len(SLOPES)))]
        return np.take(some, int(rng.integers(len(some))) + np.arange(frames), 0, mode="wrap")

    def _noise(self, part: np.ndarray, voice: np.ndarray, rng: np.random.Generator) -> None:
        if rng.random() < 0.15:
            other, above = np.roll(voice, int(rng.integers(len(voice))), 0), float(rng.uniform(14, 30))
        else:
            other, above = self._stretch(len(part), rng), float(rng.uniform(5, 45))
        loud = float(np.quantile(part[..., BANDS], 0.95))
        if loud < QUIET:
            return  # nobody speaks: there is no level to speak of
        add_behind(part, other, loud - above * NEPER - float(np.quantile(other[..., BANDS], 0.95)))


def add_behind(part: np.ndarray, other: np.ndarray, gain: float) -> None:
    """Lay `other` behind `part`, both (T, 4, 83), in place.

    Args:
        gain: nepers of power on `other`.
    """
    mine, theirs = part[..., BANDS].copy(), other[..., BANDS] + gain
    part[..., :BANDS] = np.logaddexp(part[..., :BANDS], other[..., :BANDS] + gain)
    part[..., BANDS] = np.logaddexp(mine, theirs)
    # Autocorrelations of independent sounds add up, too: voicing and pitch go to the louder one.
    share = 1 / (1 + np.exp(np.clip(theirs - mine, -30, 30)))[..., None]
    part[..., BANDS + 1 :] = share * part[..., BANDS + 1 :] + (1 - share) * other[..., BANDS + 1 :]


def _colour(part: np.ndarray, rng: np.random.Generator) -> None:
    """A smooth random response of some dB, at times with nothing above or below a frequency."""
    points = rng.normal(0, 4.0, 9)
    db = np.interp(np.linspace(0, 8, BANDS), np.arange(9), points)
    if rng.random() < 0.25:
        db -= 4.0 * np.clip(np.arange(BANDS) - int(rng.integers(BANDS // 2, BANDS)), 0, None)
    if rng.random() < 0.15:
        db -= 3.0 * np.clip(int(rng.integers(2, 16)) - np.arange(BANDS), 0, None)
    power = np.maximum(np.exp(part[..., :BANDS]) - FLOOR, 0)
    part[..., :BANDS] = np.log(power * np.exp(db * NEPER) + FLOOR)


def _echo(part: np.ndarray, rng: np.random.Generator) -> None:
    """A tail that falls by 60 dB within 0.08 to 0.6 s, as `augment.echo` has it."""
    from scipy.signal import lfilter

    kept = 10 ** (-6 / (FPS * QUARTERS * float(rng.uniform(0.08, 0.6))))
    gain = (1 - kept) * 10 ** (-float(rng.uniform(-2, 16)) / 10)
    flat = part[..., : BANDS + 1].reshape(-1, BANDS + 1)
    power = np.maximum(np.exp(flat) - FLOORS, 0)
    flat = np.log(power + lfilter([0.0, gain], [1.0, -kept], power, axis=0) + FLOORS)
    part[..., : BANDS + 1] = flat.reshape(*part.shape[:2], BANDS + 1)
