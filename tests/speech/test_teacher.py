import numpy as np

from avatargpt.face.audio_model.visemes import STYLE, phone_track, viseme_curves
from avatargpt.metrics.lip_sync import MOUTH, Lips, channel, closed, rounding, touching
from avatargpt.speech.phones import INDEX, Phone, from_arpabet, from_ipa
from tests.speech.conftest import PHONES


def at(curves: np.ndarray, name: str, second: float) -> float:
    return float(channel(curves, name)[round(second * 30)])


def test_lips_close_for_p_b_m_and_touch_for_f_v() -> None:
    curves = viseme_curves(PHONES, 60).curves
    assert closed(curves)[[round(0.35 * 30), round(0.63 * 30)]].all()
    assert not closed(curves)[round(0.5 * 30)]
    assert touching(curves)[round(0.91 * 30)]


def test_the_shortest_closure_has_a_frame() -> None:
    for start in np.linspace(0.4, 0.5, 13):
        phones = [Phone("AA", 0.2, start), Phone("B", start, start + 0.03), Phone("AA", start + 0.03, 0.8)]
        assert closed(viseme_curves(phones, 40).curves).any()


def test_vowels_open_and_round() -> None:
    curves = viseme_curves(PHONES, 60).curves
    assert at(curves, "jawOpen", 0.5) > 0.25
    assert at(curves, "mouthPucker", 1.1) > 0.4
    assert at(curves, "mouthStretch", 0.78) > 0.2
    assert at(curves, "jawOpen", 1.26) < 0.12


def test_rounding_begins_before_the_vowel() -> None:
    phones = [Phone("T", 0.3, 0.4), Phone("S", 0.4, 0.55), Phone("T", 0.55, 0.6), Phone("UW", 0.6, 0.9)]
    curves = viseme_curves(phones, 40).curves
    assert rounding(curves)[round(0.5 * 30)] > 0.1


def test_silence_is_rest() -> None:
    curves = viseme_curves(PHONES, 120).curves
    assert curves[: round(0.1 * 30)].max() < 0.02
    assert curves[round(1.70 * 30) :][:, MOUTH].max() == 0


def test_style_scales_movement() -> None:
    large, small = np.zeros(len(STYLE)), np.zeros(len(STYLE))
    large[STYLE.index("jaw")], small[STYLE.index("jaw")] = 1, -1
    usual = at(viseme_curves(PHONES, 60).curves, "jawOpen", 0.5)
    assert at(viseme_curves(PHONES, 60, style=large).curves, "jawOpen", 0.5) > 1.2 * usual
    assert at(viseme_curves(PHONES, 60, style=small).curves, "jawOpen", 0.5) < 0.85 * usual


def test_the_teacher_passes_its_own_measures() -> None:
    lips = Lips()
    taught = viseme_curves(PHONES, 90).curves
    lips.add(taught, PHONES, taught)
    assert np.mean(lips.closure) == 1 and np.mean(lips.contact) == 1 and np.mean(lips.opened) == 1
    assert not any(lips.closure_vowel + lips.closure_consonant)
    assert max(lips.silence) < 0.03
    assert np.abs(lips.onset + lips.closure_lag).max() < 1e-6


def test_measures_see_what_is_wrong() -> None:
    taught = viseme_curves(PHONES, 90).curves
    still, shut, late = Lips(), Lips(), Lips()
    still.add(np.zeros_like(taught), PHONES, taught)
    always = taught.copy()
    always[:] = taught[round(0.35 * 30)]
    shut.add(always, PHONES, taught)
    late.add(np.concatenate([np.zeros_like(taught[:3]), taught[:-3]]), PHONES, taught)
    assert np.mean(still.closure) == 0 and np.mean(still.opened) == 0
    assert np.mean(shut.closure) == 1 and np.mean(shut.closure_vowel) == 1 and max(shut.silence) > 0.3
    assert np.median(late.onset) > 80


def test_phone_track_and_names() -> None:
    track = phone_track([Phone("M", 0.1, 0.2)], 10)
    assert track.shape == (10, 2)
    assert track.ravel()[6:12].tolist() == [INDEX["M"]] * 6 and track.ravel()[[5, 12]].tolist() == [0, 0]
    sounds = ("ˈæ", "tʃ", "oʊ", "_:", "ɹ", "ʒ", "(en)")
    assert [from_ipa(s) for s in sounds] == ["AE", "CH", "OW", "SIL", "R", "ZH", None]
    assert [from_arpabet(s) for s in ("AE1", "sp", "zh", "QQ")] == ["AE", "SIL", "ZH", None]
