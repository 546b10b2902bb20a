"""Onsets of a sound as librosa 0.11 finds them at 16 kHz with hops of 512 samples: spectral flux of mel bands.

Co-speech gesture is scored against these (`avatargpt.metrics.gesture.beats`). librosa itself is no dependency.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from avatargpt.speech.audio import RATE
from vqvae.errors import UserError

HOP, WINDOW, BANDS = 512, 2048, 128  # samples, samples, mel bands: librosa's defaults
LEAST_POWER, RANGE = 1e-10, 80.0  # floor of power; dB below the loudest band at which a spectrogram is cut off
ABOVE, AROUND = 0.07, 3  # how far over its surroundings (hops to each side) an onset rises; the largest strength is 1
APART = 0.8  # s between two emphases
STRIDE = 1024  # hops transformed at once
_BEND, _LINEAR, _LOG = 1000.0, 200 / 3, np.log(6.4) / 27  # Slaney's mel scale: linear up to 1 kHz, then logarithmic


def check(audio: np.ndarray) -> np.ndarray:
    """(n,) float64 of 16 kHz mono samples.

    Raises:
        UserError: another shape, no samples, or samples that are not finite.
    """
    x = np.asarray(audio)
    if x.ndim != 1 or not len(x):
        raise UserError(f"sound of shape {x.shape}; accepted: (samples,) at {RATE} Hz, at least one")
    if not np.isfinite(x).all():
        raise UserError(f"sound: sample {int(np.argmin(np.isfinite(x)))} is not finite; accepted numbers")
    return x.astype(np.float64)


def mel_matrix() -> np.ndarray:
    """(1025, 128) triangles of equal area from 0 to 8000 Hz on Slaney's mel scale (Auditory Toolbox, 1998)."""
    bend = _BEND / _LINEAR
    mels = np.linspace(0, bend + np.log(RATE / 2 / _BEND) / _LOG, BANDS + 2)
    edges = np.where(mels < bend, mels * _LINEAR, _BEND * np.exp(_LOG * (np.maximum(mels, bend) - bend)))
    hz = np.linspace(0, RATE / 2, WINDOW // 2 + 1)[:, None]
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    triangles = np.minimum((hz - left) / (centre - left), (right - hz) / (right - centre))
    return np.asarray(np.maximum(triangles, 0) * 2 / (right - left))


def _blocks(audio: np.ndarray) -> Iterator[np.ndarray]:
    """Magnitudes of the short-time spectrum, (hops, 1025) each; windows are centred on hops, zeros beyond the ends."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(audio, WINDOW // 2), WINDOW)[::HOP]
    for i in range(0, len(frames), STRIDE):
        yield np.abs(np.fft.rfft(frames[i : i + STRIDE] * hann))


def onset_strength(audio: np.ndarray) -> np.ndarray:
    """(1 + n // 512,) how much louder the mel bands get at each hop, dB: mean over bands of what is above 0.

    Source: Boeck & Widmer 2013 (spectral flux) as ``librosa.onset.onset_strength`` computes it by default: shifted by
    one hop for the difference and by two for the width of the window.

    Args:
        audio: (n,) mono, 16 kHz.

    Raises:
        UserError: see `check`.
    """
    mel = mel_matrix()
    power = np.concatenate([block**2 @ mel for block in _blocks(check(audio))])
    db = 10 * np.log10(np.maximum(power, LEAST_POWER))
    db = np.maximum(db, db.max() - RANGE)
    flux = np.maximum(np.diff(db, axis=0), 0).mean(1)
    return np.pad(flux, (1 + WINDOW // (2 * HOP), 0))[: len(db)]


def onsets(audio: np.ndarray) -> np.ndarray:
    """(N,) times of onsets in seconds; none in a sound that never gets louder.

    Strengths are brought to 0..1; an onset is a hop that lies 0.07 above the mean of the seven around it. Source:
    Boeck, Krebs & Schedl 2012 as ``librosa.onset.onset_detect(y, sr=16000, hop_length=512)`` does it, and BEAT2's code
    calls it. There its further conditions, the largest within 30 ms and 30 ms apart, round down to no hops at all: two
    hops in a row may both be onsets, and are so here.

    Args:
        audio: (n,) mono, 16 kHz.

    Raises:
        UserError: see `check`.
    """
    return np.asarray(_picked(onset_strength(audio)) * HOP / RATE)


def _picked(strength: np.ndarray) -> np.ndarray:
    """Hops of onsets."""
    if not strength.any():
        return np.zeros(0, int)
    x = strength - strength.min()
    x = x / max(float(x.max()), np.finfo(float).tiny)
    sums, n = np.concatenate([[0.0], np.cumsum(x)]), np.arange(len(x))
    first, stop = np.maximum(n - AROUND, 0), np.minimum(n + AROUND + 1, len(x))
    return np.flatnonzero(x >= (sums[stop] - sums[first]) / (stop - first) + ABOVE)


def backtracked(audio: np.ndarray) -> np.ndarray:
    """(N,) times at which the sound is softest just before each onset, seconds.

    An onset is moved back to the last minimum of the energy (root mean square of each hop's window), 0 s where there
    is none. Source: ``librosa.onset.onset_backtrack`` on ``librosa.feature.rms``, as the code of BEAT (Liu 2022) does.

    Raises:
        UserError: see `check`.
    """
    x = check(audio)
    # Parseval, as librosa takes the energy from a spectrum; the ends of the spectrum stand for one half only.
    rms = []
    for block in _blocks(x):
        power = block**2
        power[:, [0, -1]] *= 0.5
        rms.append(np.sqrt(2 * power.sum(1) / WINDOW**2))
    energy = np.concatenate(rms)
    dips = 1 + np.flatnonzero((energy[1:-1] <= energy[:-2]) & (energy[1:-1] < energy[2:]))
    dips = np.concatenate([[0], dips])
    hops = _picked(onset_strength(x))
    return np.asarray(dips[np.searchsorted(dips, hops, side="right") - 1] * HOP / RATE)


def emphases(audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The strongest of the `onsets`, at least 0.8 s apart, the strongest chosen first.

    Definition of this project: five or six onsets a second, as `onsets` finds in speech, lie near any motion.

    Args:
        audio: (n,) mono, 16 kHz.

    Returns:
        (N,) seconds and (N,) dB of onset strength.

    Raises:
        UserError: see `check`.
    """
    strength = onset_strength(audio)
    found = _picked(strength)
    free = np.ones(len(strength), bool)
    chosen: list[int] = []
    near = int(np.ceil(APART * RATE / HOP)) - 1
    for hop in found[np.argsort(-strength[found], kind="stable")].tolist():
        if free[hop]:
            chosen.append(hop)
            free[max(hop - near, 0) : hop + near + 1] = False
    hops = np.array(sorted(chosen), int)
    return hops * HOP / RATE, strength[hops]
