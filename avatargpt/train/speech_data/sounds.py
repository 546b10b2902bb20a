"""Synthetic sounds without speech: keys, knocks, breath, wind, rustling, beeps, bells, squeaks.

The driver learns from them that the mouth rests. None is a series of harmonics at the pitch of a voice, as vowels are.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from avatargpt.speech.audio import RATE
from avatargpt.train.speech_data.augment import band, noise

Draw = np.random.Generator
SHARES = np.array([0.26, 0.16, 0.2, 0.12, 0.09, 0.1, 0.07])


def _put(into: np.ndarray, sound: np.ndarray, second: float) -> None:
    # Add a sound at a second, cut at the end.
    start = round(second * RATE)
    part = sound[: max(0, len(into) - start)]
    into[start : start + len(part)] += part


def _times(seconds: float, rng: Draw, min_gap: float, max_gap: float) -> np.ndarray:
    # Seconds of events with random gaps, in groups with pauses between them.
    gaps = rng.uniform(min_gap, max_gap, int(seconds / min_gap) + 2)
    pause = rng.random(len(gaps)) < 0.15
    at = np.cumsum(gaps + pause * rng.uniform(0.3, 1.5, len(gaps)))
    return np.asarray(at[at < seconds])


def _decay(length: float, fall: float) -> np.ndarray:
    # (n,) exponential decay with a time constant of `fall` s, over `length` s, with an attack of 0.7 ms.
    t = np.arange(round(length * RATE)) / RATE
    return np.asarray(np.exp(-t / fall) * np.minimum(t / 0.0007, 1))


def click(rng: Draw) -> np.ndarray:
    """One key or button: a short coloured burst, at times with a resonance."""
    fall = float(np.exp(rng.uniform(np.log(0.001), np.log(0.012))))
    envelope = _decay(8 * fall + 0.01, fall)
    low = float(rng.uniform(100, 2500))
    burst = band(rng.standard_normal(len(envelope)), low, low + float(rng.uniform(1000, 6000))) * envelope
    if rng.random() < 0.5:
        hz = float(rng.uniform(300, 4000))
        burst = burst + 0.5 * np.sin(2 * np.pi * hz * np.arange(len(envelope)) / RATE) * envelope
    return np.asarray(burst / (np.abs(burst).max() + 1e-9))


def keys(seconds: float, rng: Draw) -> np.ndarray:
    """Typing, or a mouse: each key is pressed and, more quietly, released."""
    out = np.zeros(round(seconds * RATE))
    fast = float(rng.uniform(0.08, 0.4))
    for at in _times(seconds, rng, fast, 3 * fast):
        loud = float(rng.uniform(0.3, 1))
        _put(out, click(rng) * loud, at)
        if rng.random() < 0.7:
            _put(out, click(rng) * loud * float(rng.uniform(0.1, 0.8)), at + float(rng.uniform(0.05, 0.14)))
    return out


def knock(rng: Draw) -> np.ndarray:
    """One impact: decaying modes and a burst of noise."""
    fall = float(rng.uniform(0.01, 0.15))
    envelope = _decay(5 * fall, fall)
    t = np.arange(len(envelope)) / RATE
    base = float(np.exp(rng.uniform(np.log(50), np.log(900))))
    modes = sum(rng.uniform(0.2, 1) * np.sin(2 * np.pi * base * m * t + rng.uniform(0, 6))
                for m in np.cumprod(rng.uniform(1.3, 2.4, int(rng.integers(2, 6)))))  # fmt: skip
    blow = band(rng.standard_normal(len(t)), 50, float(rng.uniform(800, 6000))) * _decay(5 * fall, fall / 5)
    sound = np.asarray(modes) * envelope + blow[: len(envelope)] * float(rng.uniform(0.2, 2))
    return np.asarray(sound / (np.abs(sound).max() + 1e-9))


def knocks(seconds: float, rng: Draw) -> np.ndarray:
    """Steps, taps on a desk, objects put down."""
    out = np.zeros(round(seconds * RATE))
    slow = float(rng.uniform(0.15, 1.0))
    for at in _times(seconds, rng, slow, 2.5 * slow):
        _put(out, knock(rng) * float(rng.uniform(0.3, 1)), at)
    return out


def breaths(seconds: float, rng: Draw) -> np.ndarray:
    """Breathing: noise in a few broad bands that swells and ebbs, without the edges of consonants."""
    out = np.zeros(round(seconds * RATE))
    for at in _times(seconds, rng, 0.8, 2.5):
        n = round(float(rng.uniform(0.25, 1.4)) * RATE)
        air = noise(n, rng, float(rng.uniform(0, 1.2)))
        for _ in range(int(rng.integers(1, 4))):
            low = float(rng.uniform(300, 4000))
            air = air + band(air, low, low + float(rng.uniform(300, 2000))) * float(rng.uniform(0, 3))
        swell = np.interp(np.linspace(0, 1, n), [0, float(rng.uniform(0.2, 0.8)), 1], [0, 1, 0])
        _put(out, air * swell * float(rng.uniform(0.3, 1)), at)
    return out


def wind(seconds: float, rng: Draw) -> np.ndarray:
    """Wind on a microphone, or a hand that touches it: low noise in gusts."""
    n = round(seconds * RATE)
    points = rng.uniform(0, 1, max(3, int(seconds * rng.uniform(0.5, 6)))) ** 2
    gusts = np.interp(np.linspace(0, len(points) - 1, n), np.arange(len(points)), points)
    return np.asarray(noise(n, rng, float(rng.uniform(1, 2))) * gusts)


def rustle(seconds: float, rng: Draw) -> np.ndarray:
    """Paper, clothes, crackling: many small clicks, in bursts."""
    n = round(seconds * RATE)
    points = np.clip(rng.normal(0, 1, int(seconds * 3) + 2), 0, None)
    often = np.interp(np.linspace(0, len(points) - 1, n), np.arange(len(points)), points)
    hits = (rng.random(n) < 0.004 * often) * rng.exponential(1.0, n)
    low = float(rng.uniform(300, 3000))
    return np.asarray(band(np.convolve(hits, rng.standard_normal(40) * np.exp(-np.arange(40) / 8), "same"), low, 7500))


def tones(seconds: float, rng: Draw) -> np.ndarray:
    """Beeps, bells and chords: one to four inharmonic partials."""
    out = np.zeros(round(seconds * RATE))
    lasts = float(rng.uniform(0.08, 1.2))
    for at in _times(seconds, rng, lasts, 2 * lasts):
        t = np.arange(round(lasts * RATE * float(rng.uniform(0.7, 2)))) / RATE
        base = float(np.exp(rng.uniform(np.log(220), np.log(3000))))
        parts = np.cumprod(np.append(1.0, rng.uniform(1.2, 2.9, int(rng.integers(0, 4)))))
        sound = sum(rng.uniform(0.2, 1) * np.sin(2 * np.pi * base * p * t) for p in parts if base * p < 7500)
        ends = np.minimum(np.minimum(t / 0.005, (t[-1] - t) / 0.02), 1)
        fades = np.exp(-t / float(rng.uniform(0.05, 1))) if rng.random() < 0.6 else 1.0
        _put(out, np.asarray(sound) * ends * fades * float(rng.uniform(0.3, 1)), at)
    return out


def squeaks(seconds: float, rng: Draw) -> np.ndarray:
    """Chairs and doors: a rough sliding tone."""
    out = np.zeros(round(seconds * RATE))
    for at in _times(seconds, rng, 0.5, 2.0):
        n = round(float(rng.uniform(0.08, 0.6)) * RATE)
        first, last = (float(v) for v in np.exp(rng.uniform(np.log(500), np.log(4000), 2)))
        rough = 1 + float(rng.uniform(0, 1)) * noise(n, rng, 2.0)
        hz = np.linspace(first, last, n) * (1 + 0.01 * noise(n, rng, 2.0))
        _put(out, np.sin(2 * np.pi * np.cumsum(hz) / RATE) * rough * np.hanning(n), at)
    return out


SOUNDS: tuple[Callable[[float, Draw], np.ndarray], ...] = (keys, knocks, breaths, wind, rustle, tones, squeaks)


def sounds(seconds: float, rng: Draw) -> np.ndarray:
    """(n,) float32 at 16 kHz: one or two kinds of sounds over a quiet background, at a random level."""
    n = round(seconds * RATE)
    out = np.zeros(n)
    for _ in range(1 if rng.random() < 0.75 else 2):
        sound = SOUNDS[int(rng.choice(len(SOUNDS), p=SHARES))](seconds, rng)[:n]
        out[: len(sound)] += sound / (np.abs(sound).max() + 1e-9) * float(rng.uniform(0.3, 1))
    out = out / (np.abs(out).max() + 1e-9) * 10 ** (-float(rng.uniform(1, 34)) / 20)
    return np.asarray(out + noise(n, rng) * 10 ** (-float(rng.uniform(40, 75)) / 20), np.float32)
