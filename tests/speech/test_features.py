"""Features of speech: the same in chunks, causal, even in loudness."""

import numpy as np
import pytest

from avatargpt.speech.audio import RATE, FrameBlocks, frame_end
from avatargpt.speech.features import (
    BANDS,
    PER_QUARTER,
    QUARTERS,
    WIDTH,
    RunningGain,
    SpeechFeatures,
    extract,
    mel_matrix,
    silence,
)
from tests.factories import voice


def test_shape_and_chunks() -> None:
    x = voice(1.5, 22_050)
    whole = extract(x, 22_050)
    assert whole.shape == (45, WIDTH) and np.isfinite(whole).all()
    source, features = FrameBlocks(22_050), SpeechFeatures()
    rows = [features(b) for i in range(0, len(x), 331) for b in source.push(x[i : i + 331])]
    assert np.array_equal(np.stack(rows), whole[: len(rows)])


def test_nothing_is_heard_before_it_is_said() -> None:
    x = voice(1.0)
    changed = x.copy()
    changed[frame_end(14) :] = 0
    a, b = extract(x, RATE), extract(changed, RATE)
    assert np.array_equal(a[:15], b[:15])
    assert not np.array_equal(a[15], b[15])


def test_running_gain_evens_out_loudness() -> None:
    x = voice(8.0)
    loud, soft = extract(x, RATE), extract(x * 0.1, RATE)
    early = np.abs(loud[10:30] - soft[10:30])[:, :BANDS].mean()
    late = np.abs(loud[-30:] - soft[-30:])[:, :BANDS].mean()
    assert late < 0.3 * early


def test_silence_does_not_turn_the_gain_up() -> None:
    gain = RunningGain()
    for _ in range(60):
        gain(1e-2)
    loud = gain.level
    for _ in range(150):  # five seconds of silence are no reason to turn up the noise
        gain(1e-8)
    assert gain.level == pytest.approx(loud, abs=0.2)


def test_pitch_and_voicing() -> None:
    rng = np.random.default_rng(0)
    for hz in (90, 150, 260):
        t = np.arange(RATE) / RATE
        wave = sum(np.sin(2 * np.pi * hz * k * t) / k for k in range(1, 8)) * 0.1
        row = extract(np.asarray(wave, np.float32), RATE)[20].reshape(QUARTERS, PER_QUARTER)
        assert row[:, BANDS + 1].min() > 0.9
        assert np.allclose(150 * np.exp(row[:, BANDS + 2] / row[:, BANDS + 1]), hz, rtol=0.04)
    noisy = extract((0.1 * rng.standard_normal(RATE)).astype(np.float32), RATE)[20].reshape(QUARTERS, PER_QUARTER)
    assert noisy[:, BANDS + 1].max() < 0.6


def test_silence_is_steady_and_no_band_is_empty() -> None:
    rows = silence(20)
    assert rows.shape == (20, WIDTH) and np.array_equal(rows[10], rows[19])
    assert (mel_matrix().sum(0) > 0.2).all()
