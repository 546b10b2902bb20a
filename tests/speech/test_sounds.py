"""Sounds that are no speech: keys, knocks, breath and the like, for the driver to rest in."""

import numpy as np
import pytest

from avatargpt.speech.audio import RATE
from avatargpt.speech.features import BANDS, PER_QUARTER, QUARTERS
from avatargpt.train.speech_data.augment import Disturber
from avatargpt.train.speech_data.batches import Batches, Sampling
from avatargpt.train.speech_data.clips import sound_clips, still_clips
from avatargpt.train.speech_data.sounds import SOUNDS, sounds
from vqvae.errors import UserError


@pytest.mark.parametrize("kind", SOUNDS, ids=lambda k: k.__name__)
def test_each_kind(kind) -> None:  # type: ignore[no-untyped-def]
    made, again = (kind(4.0, np.random.default_rng(3)) for _ in range(2))
    assert made.shape == (4 * RATE,) and np.isfinite(made).all() and np.array_equal(made, again)
    loud = np.abs(made) > 0.05 * np.abs(made).max()
    assert 0.0005 < loud.mean() < 0.95  # something is heard, and it comes and goes
    assert not np.array_equal(made, kind(4.0, np.random.default_rng(4)))


def test_levels() -> None:
    peaks = [np.abs(sounds(3.0, np.random.default_rng(i))).max() for i in range(40)]
    assert max(peaks) <= 1.0 and min(peaks) < 0.1 < max(peaks)


def test_clips_whose_mouth_rests() -> None:
    clips = list(sound_clips(3, seed=5))
    assert [c.source for c in clips] == ["sound"] * 3 and all(3 * 30 - 1 <= len(c) <= 8 * 30 for c in clips)
    assert not any(c.curves.any() or c.phones.any() for c in clips)
    assert all(c.features[:, BANDS].max() > c.features[:, BANDS].min() + 1 for c in clips)


def test_sounds_behind_speech_and_alone() -> None:
    bank = [c.features.reshape(-1, QUARTERS, PER_QUARTER) for c in sound_clips(2, seed=5)]
    speech = np.zeros((2, 40, QUARTERS, PER_QUARTER), np.float32)
    disturbed = [speech.copy() for _ in range(2)]
    for part in disturbed:
        Disturber(sounds=1.0, bank=bank)(part, np.random.default_rng(1))
    assert np.array_equal(*disturbed) and (disturbed[0][..., : BANDS + 1] >= speech[..., : BANDS + 1] - 1e-6).all()
    assert (disturbed[0] != speech).any((1, 2, 3)).all()
    alone = Disturber(sounds=1.0, bank=bank).room(40, np.random.default_rng(1))
    assert alone is not None and alone.shape == (40, QUARTERS, PER_QUARTER)
    assert Disturber(bank=bank).room(40, np.random.default_rng(1)) is None


def test_sounds_that_are_not_there() -> None:
    with pytest.raises(UserError, match="no clips of 'sound'"):
        Batches(list(still_clips(2, 0)), sampling=Sampling(sounds=0.2))
    Batches([*still_clips(2, 0), *sound_clips(1, 0)], sampling=Sampling(sounds=0.2))
