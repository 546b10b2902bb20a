"""Speech features: log-mel bands, energy, voicing and pitch of four quarter frames for each video frame.

Strictly causal: frame n depends on samples before its end alone. A running gain evens out loudness, because the
loudness of a file is not known while it is being spoken.
"""

from itertools import chain, islice

import numpy as np
from scipy import fft  # several rows at once, in float32: a third faster than NumPy's

from avatargpt.speech.audio import FPS, RATE, FrameBlocks, frame_end, frames_in, round_half_up

QUARTERS = 4
BANDS = 80
PER_QUARTER = BANDS + 3  # energy, voicing, pitch
WIDTH = QUARTERS * PER_QUARTER  # 332
WINDOW, FFT = 400, 512  # 25 ms
PITCH_WINDOW, PITCH_FFT = 640, 1024  # 40 ms
SHORTEST, LONGEST = RATE // 400, RATE // 60  # lags of 400 and 60 Hz
FLOOR = 1e-5  # mel power that counts as silence: about 50 dB below speech
ENERGY_FLOOR = 1e-7  # the same of the energy
TARGET = -20.0  # dB full scale to which the running gain brings the loud frames of speech
FALL, FIRST_FALL = 3.0, 18.0  # dB a second by which it follows a quieter voice, and in the first second of speech


def mel_matrix() -> np.ndarray:
    """(257, 80) float32: triangles of height 1 from 20 to 7600 Hz on the HTK mel scale, each at least one bin wide."""
    def mel(hz: np.ndarray | float) -> np.ndarray:
        return np.asarray(2595 * np.log10(1 + np.asarray(hz) / 700))

    edges = 700 * (10 ** (np.linspace(mel(20.0), mel(7600.0), BANDS + 2) / 2595) - 1)
    hz = np.arange(FFT // 2 + 1)[:, None] * RATE / FFT
    width = RATE / FFT
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    rise = (hz - left) / np.maximum(centre - left, width)
    fall = (right - hz) / np.maximum(right - centre, width)
    weights = np.clip(np.minimum(rise, fall), 0, None)
    nearest = np.abs(hz - centre).argmin(0)
    empty = weights.sum(0) < 0.2
    weights[nearest[empty], np.flatnonzero(empty)] = 1.0
    return weights.astype(np.float32)


class RunningGain:
    """Follows the level of the loud frames of speech: up within 0.1 s, down by `FALL` while something speaks."""

    def __init__(self) -> None:
        # dB full scale of the loud frames so far and of the background, dB a second
        self.level, self.floor, self.fall = -26.0, -60.0, FIRST_FALL

    def __call__(self, energy: float) -> float:
        """Mean square of one frame -> factor on power for this frame."""
        db = 10 * np.log10(energy + 1e-10)
        self.floor += 0.3 * (db - self.floor) if db < self.floor else min(2.0 / FPS, db - self.floor)
        speaks = db > self.floor + 10  # silence is no reason to turn up the noise
        if db > self.level:
            self.level += 0.3 * (db - self.level)
        elif speaks:
            self.level -= min(self.fall / FPS, self.level - db)
        self.fall += (FALL - self.fall) / FPS * speaks
        self.level = min(0.0, max(-65.0, self.level))
        return float(10 ** ((TARGET - self.level) / 10))


class SpeechFeatures:
    """16 kHz blocks of one video frame -> (332,) float32 each; state is the last 40 ms and the running gain.

    Layout of a row: 4 quarter frames in order, each 80 log-mel bands, log energy, voicing in [0, 1], and
    voicing x log(pitch / 150 Hz).
    """

    def __init__(self) -> None:
        self.gain = RunningGain()
        self._past = np.zeros(PITCH_WINDOW, np.float32)
        self._frame = 0
        self._mel = mel_matrix()
        self._hann = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
        self._wide = wide = np.hanning(PITCH_WINDOW + 1)[:-1].astype(np.float32)
        self._mean = np.full(PITCH_WINDOW, 1 / PITCH_WINDOW, np.float32)
        # The window damps long lags; dividing by its own autocorrelation undoes that.
        taper = fft.irfft(np.abs(fft.rfft(wide, PITCH_FFT)) ** 2)[: LONGEST + 1]
        self._untaper = (taper[0] / taper)[SHORTEST:].astype(np.float32)
        self._quarters = np.arange(QUARTERS)
        self._tone = np.log(RATE / np.arange(SHORTEST, LONGEST + 1) / 150).astype(np.float32)
        self._bias = np.linspace(0, 0.1, LONGEST + 1 - SHORTEST, dtype=np.float32)

    def __call__(self, block: np.ndarray) -> np.ndarray:
        """The features of the next frame from its samples (533 or 534,)."""
        start = frame_end(self._frame - 1) if self._frame else 0
        signal = np.concatenate([self._past, block])
        ends = [round_half_up((QUARTERS * self._frame + k + 1) * RATE, FPS * QUARTERS) for k in range(QUARTERS)]
        offset = PITCH_WINDOW - start
        wide = np.array([signal[e + offset - PITCH_WINDOW : e + offset] for e in ends])
        power = self.gain(float(block @ block) / len(block))
        out = np.empty((QUARTERS, PER_QUARTER), np.float32)
        narrow = wide[:, -WINDOW:]
        sharp = narrow - 0.97 * wide[:, -WINDOW - 1 : -1]  # pre-emphasis
        spectrum = np.abs(fft.rfft(sharp * self._hann, FFT))
        out[:, :BANDS] = np.log((spectrum * spectrum) @ self._mel * power + FLOOR)
        out[:, BANDS] = np.log(np.einsum("qn,qn->q", narrow, narrow) * (power / WINDOW) + ENERGY_FLOOR)
        out[:, BANDS + 1 :] = self._pitch(wide)
        self._past = signal[-PITCH_WINDOW:]
        self._frame += 1
        return out.reshape(WIDTH)

    def _pitch(self, wide: np.ndarray) -> np.ndarray:
        """(4, 640) -> (4, 2): highest normalised autocorrelation, and it times log(pitch / 150)."""
        x = wide - (wide @ self._mean)[:, None]
        correlation = fft.irfft(np.abs(fft.rfft(x * self._wide, PITCH_FFT)) ** 2)
        ratio = correlation[:, SHORTEST : LONGEST + 1] * self._untaper / (correlation[:, :1] + 1e-6)
        # A multiple of the period scores nearly as high: the bias prefers the shortest.
        best = (ratio - self._bias).argmax(1)
        voicing = ratio[self._quarters, best]
        voicing = np.minimum(np.maximum(voicing, 0, out=voicing), 1, out=voicing)
        return np.array([voicing, voicing * self._tone[best]]).T


def extract(audio: np.ndarray, rate: int) -> np.ndarray:
    """Features of a complete signal: (frames_in(n, rate), 332) float32, the same as from a stream of it."""
    source, features = FrameBlocks(rate), SpeechFeatures()
    # a little silence, so that the last frame is complete
    tail = np.zeros(2 * rate // FPS + round(rate * source.delay) + 2, np.float32)
    blocks = chain.from_iterable(source.push(part) for part in (audio, tail))
    return np.stack([features(block) for block in islice(blocks, frames_in(len(audio), rate))])


def level_sound(audio: np.ndarray) -> np.ndarray:
    """A whole sound (n,) at 16 kHz whose loud frames are at `TARGET`, so that no word waits for the running gain."""
    block = RATE // FPS
    frames = audio[: len(audio) // block * block].reshape(-1, block).astype(np.float64)
    db = 10 * np.log10((frames**2).mean(1) + 1e-10)
    return audio if not len(db) else np.float32(10 ** ((TARGET - np.quantile(db, 0.9)) / 20)) * audio


def silence(frames: int) -> np.ndarray:
    """Features of digital silence, (frames, 332)."""
    return extract(np.zeros(frame_end(frames), np.float32), RATE)[:frames]
