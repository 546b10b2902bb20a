"""Speech as rooms, microphones and lines make it: noise, gain, echo, colour, narrow bands, clipping, pauses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avatargpt.speech.audio import RATE, resample
from avatargpt.speech.phones import Phone


def insert_pauses(
    audio: np.ndarray, phones: Sequence[Phone], rng: np.random.Generator, count: int
) -> tuple[np.ndarray, list[Phone]]:
    """Silence of 0.2 to 1.2 s at some ends of phones; the phones after it move on."""
    cuts = sorted({float(phones[i].end) for i in rng.integers(0, len(phones), count)}) if phones else []
    pieces, moved, done, shift = [], list(phones), 0, 0.0
    for cut in cuts:
        at, length = min(len(audio), round(cut * RATE)), round(float(rng.uniform(0.2, 1.2)) * RATE) / RATE
        fade = min(80, at - done)
        piece = audio[done:at].copy()
        if fade > 0:
            piece[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
        pieces += [piece, np.zeros(round(length * RATE), np.float32)]
        moved = [
            Phone(p.name, p.start + length, p.end + length) if p.start >= cut + shift - 1e-6 else p for p in moved
        ]
        shift += length
        done = at
    return np.concatenate([*pieces, audio[done:]]), moved


def articulate(audio: np.ndarray, phones: Sequence[Phone], rng: np.random.Generator) -> np.ndarray:
    """Other habits of the mouth: each kind of phone louder or softer and of another colour in a whole clip, and voiced
    stops closed as people close them. A synthesiser makes every b alike, with a strong voice behind shut lips.
    """
    out = audio.copy()
    variants = {name: colour(audio, rng, 6.0) * 10 ** (float(rng.normal(0, 4)) / 20) for name in _GROUPS}
    hollow = band(audio, 60, float(rng.uniform(200, 700))) * 10 ** (-float(rng.uniform(0, 18)) / 20)
    for p in phones:
        group = next((name for name, members in _GROUPS.items() if p.name in members), None)
        if group is None:
            continue
        a, b = round(p.start * RATE), min(round(p.end * RATE), len(audio))
        if b - a > 2 * _FADE:
            share = _ramped(b - a)
            out[a:b] += share * (variants[group][a:b] - audio[a:b])
            if p.name in ("B", "D", "G"):
                shut = a + round(float(rng.uniform(0.5, 0.8)) * (b - a))
                if shut - a > 2 * _FADE:
                    out[a:shut] += _ramped(shut - a) * (hollow[a:shut] - out[a:shut])
    return out


_FADE = 96  # samples, 6 ms
_GROUPS = {
    "lips": "B V M".split(), "breath": "F P HH TH".split(), "nasal": "N NG L".split(), "stop": "T K D G".split(),
    "hiss": "S Z SH ZH CH JH DH".split(), "glide": "W R Y".split(),
}  # fmt: skip


def _ramped(samples: int) -> np.ndarray:
    """(n,) 0 to 1 and back to 0 within 6 ms at both ends."""
    edge = np.minimum(np.arange(samples), np.arange(samples)[::-1]) / _FADE
    return np.minimum(edge, 1).astype(np.float32)


def noise(samples: int, rng: np.random.Generator, slope: float | None = None) -> np.ndarray:
    """Noise of unit power whose spectrum falls by `slope` x 10 dB a decade (0 white, 1 pink, 2 brown), hum at times."""
    slope = float(rng.uniform(0, 2)) if slope is None else slope
    size = 1 << (max(samples, 2) - 1).bit_length()
    hz = np.fft.rfftfreq(size, 1 / RATE)
    shape = np.maximum(hz, 40.0) ** (-slope / 2)
    white = rng.standard_normal(len(hz)) + 1j * rng.standard_normal(len(hz))
    x = np.fft.irfft(white * shape)[:samples]
    x /= x.std() + 1e-9
    if rng.random() < 0.2:
        t = np.arange(samples) / RATE
        base = float(rng.choice([50.0, 60.0, 100.0, 120.0]))
        for k in range(1, 6):
            x += float(rng.uniform(0, 0.8)) * np.sin(2 * np.pi * (base * k * t + rng.random()))
    return (x / (x.std() + 1e-9)).astype(np.float32)


def echo(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A room: an exponentially decaying tail of 0.08 to 0.6 s after the direct sound, which keeps its place."""
    length = float(rng.uniform(0.08, 0.6))
    n = round(length * RATE)
    tail = rng.standard_normal(n) * 10 ** (-3 * np.arange(n) / n)
    start = round(float(rng.uniform(0.001, 0.012)) * RATE)
    tail[:start] = 0
    tail *= 10 ** (-float(rng.uniform(-2, 16)) / 20) / (np.sqrt((tail**2).sum()) + 1e-9)
    tail[0] = 1.0
    return _filter(audio, tail)


def colour(audio: np.ndarray, rng: np.random.Generator, strength: float = 8.0) -> np.ndarray:
    """A microphone: a smooth random frequency response of +-`strength` dB."""
    points = rng.normal(0, strength / 2, 9)
    hz = np.fft.rfftfreq(512)
    db = np.interp(np.sqrt(hz * 2), np.linspace(0, 1, len(points)), points)
    impulse = np.roll(np.fft.irfft(10 ** (db / 20)), 64)[:128] * np.hanning(128)
    return _filter(audio, impulse, 64)


def band(audio: np.ndarray, low: float, high: float) -> np.ndarray:
    """Frequencies between `low` and `high` Hz only."""
    hz = np.fft.rfftfreq(1024, 1 / RATE)
    gain = 1 / (1 + (low / np.maximum(hz, 1)) ** 8) / (1 + (hz / high) ** 16)
    impulse = np.roll(np.fft.irfft(np.sqrt(gain)), 256)[:512] * np.hanning(512)
    return _filter(audio, impulse, 256)


def telephone(audio: np.ndarray) -> np.ndarray:
    """300 to 3400 Hz with 8-bit mu-law steps."""
    x = np.clip(band(audio, 300, 3400), -1, 1)
    coded = np.round(np.sign(x) * np.log1p(255 * np.abs(x)) / np.log(256) * 127) / 127
    return (np.sign(coded) * (256 ** np.abs(coded) - 1) / 255).astype(np.float32)


def _filter(audio: np.ndarray, impulse: np.ndarray, delay: int = 0) -> np.ndarray:
    from scipy.signal import fftconvolve

    out = fftconvolve(audio, impulse)[delay : delay + len(audio)]
    return np.asarray(out, np.float32)


def replayed(audio: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Sound at 16 kHz played faster or slower, its pitch with it, and by how much faster: another speaker."""
    rate = round(RATE * float(rng.uniform(0.84, 1.22)) / 10) * 10
    return resample(audio, rate), rate / RATE


def recorded(audio: np.ndarray, rng: np.random.Generator, others: Sequence[np.ndarray] = ()) -> np.ndarray:
    """A random recording situation: each of the above with some chance, then a random gain.

    Args:
        audio: (n,) 16 kHz.
        others: clips of other speakers, for voices in the background.
    """
    x = audio
    if rng.random() < 0.6:
        x = colour(x, rng)
    if rng.random() < 0.45:
        x = echo(x, rng)
    loud = np.abs(x) > 0.1 * np.abs(x).max(initial=1e-9)
    power = float(np.sqrt((x[loud] ** 2).mean())) if loud.any() else 1e-3
    if rng.random() < 0.75:
        x = x + noise(len(x), rng) * power * 10 ** (-float(rng.uniform(8, 40)) / 20)
    if others and rng.random() < 0.15:
        babble = np.zeros(len(x), np.float32)
        for i in rng.integers(0, len(others), int(rng.integers(2, 6))):
            babble += np.resize(np.roll(others[i], int(rng.integers(len(others[i])))), len(x))
        x = x + babble / (babble.std() + 1e-9) * power * 10 ** (-float(rng.uniform(14, 30)) / 20)
    kind = rng.random()
    if kind < 0.1:
        x = telephone(x / (np.abs(x).max() + 1e-9) * 0.9)
    elif kind < 0.3:
        x = band(x, float(rng.uniform(30, 250)), float(rng.uniform(3500, 8000)))
    x = x / (np.abs(x).max() + 1e-9) * 10 ** (-float(rng.uniform(1, 30)) / 20)
    if rng.random() < 0.08:
        x = np.clip(x * float(rng.uniform(2, 6)), -0.5, 0.5)
    return np.asarray(x, np.float32)
