import numpy as np
import pytest

from avatargpt.face.audio_model.driver import Driver
from avatargpt.face.audio_model.visemes import phone_track
from avatargpt.speech.audio import RATE
from avatargpt.speech.features import extract
from avatargpt.speech.phone_times import spectral_changes, viterbi
from avatargpt.speech.phones import ARPABET, INDEX, Phone
from tests.speech.conftest import PHONES, voice
from vqvae.errors import UserError


def scores(phones: list[Phone], frames: int, sure: float = 0.8, seed: int = 0) -> np.ndarray:
    """Log-probabilities that favour the true phone at most steps."""
    rng = np.random.default_rng(seed)
    p = rng.random((2 * frames, len(ARPABET))) * 0.02
    p[np.arange(2 * frames), phone_track(phones, frames).ravel()] += sure
    p[rng.random(2 * frames) < 0.15] = 1 / len(ARPABET)  # some steps say nothing
    return np.log(p / p.sum(1, keepdims=True))


def test_times_are_found() -> None:
    path = viterbi(scores(PHONES, 60), [p.name for p in PHONES])
    found, fit = path.phones, path.fit
    spoken = [p for p in found if p.name != "SIL"]
    assert [p.name for p in spoken] == [p.name for p in PHONES]
    assert max(abs(a.start - b.start) for a, b in zip(spoken, PHONES, strict=True)) < 0.06
    assert found[0].start == 0 and found[-1].end == 2.0 and fit > -2


def test_pauses_may_come_anywhere_and_phones_may_be_left_out() -> None:
    moved = [p if p.start < 0.86 else Phone(p.name, p.start + 0.5, p.end + 0.5) for p in PHONES]
    names = [p.name for p in PHONES]
    found = viterbi(scores(moved, 75), names).phones
    assert any(p.name == "SIL" and 0.8 < p.start < 0.95 and p.end > 1.2 for p in found)
    left_out = [p for p in PHONES if p.name != "F"]
    found = viterbi(scores(left_out, 60), names).phones
    assert sum(p.end - p.start for p in found if p.name == "F") <= 0.034


def test_a_wrong_text_fits_badly() -> None:
    right = viterbi(scores(PHONES, 60), [p.name for p in PHONES]).fit
    wrong = viterbi(scores(PHONES, 60), ["K", "OY", "NG", "TH", "ER", "ZH", "AW", "G"]).fit
    assert wrong < right - 1


def test_more_phones_than_sound() -> None:
    with pytest.raises(UserError, match="do not belong together"):
        viterbi(scores(PHONES, 3), ["AA"] * 20)
    for nothing in ([], ["SIL"]):
        with pytest.raises(UserError, match="without sounds"):
            viterbi(scores(PHONES, 3), nothing)


def test_scores_of_a_driver(driver: Driver) -> None:
    rows = driver.phone_scores(extract(voice(1.0), RATE))
    assert rows.shape == (60, len(ARPABET))
    assert np.allclose(np.exp(rows).sum(1), 1, atol=1e-4)
    assert INDEX["SIL"] == 0


def test_right_times_lie_where_the_sound_changes() -> None:
    t = np.arange(2 * RATE) / RATE
    tones = np.where(t < 0.8, np.sin(2 * np.pi * 300 * t), np.sin(2 * np.pi * 2500 * t))
    rng = np.random.default_rng(0)
    sound = np.asarray(0.1 * tones * (t >= 0.3) + 1e-3 * rng.standard_normal(len(t)), np.float32)

    def at(early: float) -> list[float]:
        phones = [("SIL", 0.0, 0.3), ("M", 0.3 - early, 0.8 - early), ("S", 0.8 - early, 2.0)]
        return spectral_changes(sound, [Phone(*p) for p in phones])

    right = at(0.0)
    assert len(right) == 2 and min(right) > 2  # pauses do not count
    assert all(min(right) > max(at(off)) + 1 for off in (-0.05, -0.03, 0.03, 0.05))
