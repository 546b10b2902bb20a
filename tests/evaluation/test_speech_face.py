"""Figures of speech to faces, and distances from recorded faces."""

from pathlib import Path

import numpy as np
import pytest

from avatargpt.evaluation import face_distances, speech_face
from avatargpt.evaluation.suites import Suite
from avatargpt.face.audio_model.driver import Driver
from avatargpt.metrics import lip_sync
from avatargpt.train.speech_data import corpus
from avatargpt.train.speech_data.corpus import SpeechClip
from tests.factories import speech_clip
from vqvae.arkit import INDEX
from vqvae.errors import UserError

SUITE = Suite("speech_face", 1, "speech_face", "", {}, options={"drift_minutes": 0.5})


def test_all_figures_of_a_cache(driver: Driver, tmp_path: Path) -> None:
    corpus.save([speech_clip(), speech_clip("val", seed=4)], tmp_path)
    results = speech_face.score(SUITE, driver, None, tmp_path)["results"]
    for name in ("closure/made", "false_closure_vowel/made", "contact/made", "still/noise", "drift"):
        assert name in results
    assert results["closure/made"]["n"] == 2
    assert abs(results["drift"]["mean"]) < 1


def test_something_to_measure_is_needed(driver: Driver) -> None:
    with pytest.raises(UserError, match="--data"):
        speech_face.score(SUITE, driver, None, None)


def test_ridge_finds_what_is_linear_and_the_driver_is_beside_it(driver: Driver) -> None:
    clips = []
    for seed, split in ((1, "train"), (2, "train"), (3, "val")):
        c = speech_clip(seed=seed)
        curves = np.zeros_like(c.curves)
        energy = c.features[:, 80]
        curves[:, INDEX["jawOpen"]] = (energy - energy.min()) / 20
        clips.append(SpeechClip(c.features, curves, c.phones, kind="paired", split=split, name=f"pairs/{seed}"))
    results = speech_face.recorded_faces(driver, clips)
    assert results["paired_jaw/ridge"]["mean"] > 0.9
    assert {"paired_jaw/paired", "paired_jaw/taught", "paired_jaw/log_energy"} <= set(results)
    assert "paired_rounding/ridge" not in results  # nothing is rounded there


def test_distances_from_recordings_rank_what_needs_no_model() -> None:
    t = np.arange(330) / 30

    def take(rate: float) -> np.ndarray:
        curves = np.zeros((len(t), 55), np.float32)
        curves[:, INDEX["jawOpen"]] = 0.4 + 0.3 * np.sin(rate * t)
        return curves

    validation, training = [take(7.0), take(5.0)], [take(6.0)]
    rows = face_distances.recording_distances({"near": [x * np.float32(0.9) for x in validation]}, validation, training)
    means = {k: v["mean"] for k, v in rows.items()}
    assert means["lve/real"] == means["fdd/real"] == 0.0
    assert 0 < means["lve/near"] < means["lve/mean face"] < means["lve/neutral face"]
    assert means["lve/near"] < means["lve/shuffled recording"]
    assert rows["lve/real"]["n"] == 4  # windows of five seconds


def test_lag_of_a_shifted_curve() -> None:
    x = np.convolve(np.random.default_rng(0).standard_normal(200), np.hanning(9), "same")
    assert lip_sync.best_lag(x[:-2], x[2:]) == pytest.approx(2000 / 30, abs=5)
    assert lip_sync.best_lag(x, x) == pytest.approx(0, abs=1)
