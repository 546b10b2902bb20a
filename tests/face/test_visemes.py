"""Curves that the rules make of phones, and the measures of lips that judge them."""

import numpy as np
import pytest

from avatargpt.face.audio_model import visemes
from avatargpt.face.audio_model.visemes import STYLE, phone_track, place_phones, viseme_curves
from avatargpt.metrics.face import (
    MOUTH,
    Lips,
    channel,
    closure_lags,
    find_closed_lips,
    find_touching_lip,
    measure_rounding,
)
from avatargpt.speech.phones import INDEX, Phone, from_arpabet, from_ipa
from avatargpt.speech.words import Word
from tests.factories import PHONES, phones_at
from vqvae import arkit

I = arkit.INDEX  # noqa: E741
PRESS = [I["mouthPressLeft"], I["mouthPressRight"]]


def style(kind: str, value: float = 1.0) -> np.ndarray:
    values = np.zeros(len(STYLE))
    values[STYLE.index(kind)] = value
    return values


def peak(name: str, phones: list[Phone], second: float | None = None, **options: np.ndarray) -> float:
    """Of a channel at a second, or its largest value."""
    curve = channel(viseme_curves(phones, 60, **options).curves, name)
    return float(curve.max() if second is None else curve[round(second * 30)])


def test_lips_close_for_p_b_m_and_touch_for_f_v() -> None:
    curves = viseme_curves(PHONES, 60).curves
    assert (
        find_closed_lips(curves)[[round(0.35 * 30), round(0.63 * 30)]].all()
        and not find_closed_lips(curves)[round(0.5 * 30)]
    )
    assert find_touching_lip(curves)[round(0.91 * 30)]
    for start in np.linspace(0.4, 0.5, 13):  # the shortest closure has a frame
        phones = [Phone("AA", 0.2, start), Phone("B", start, start + 0.03), Phone("AA", start + 0.03, 0.8)]
        assert find_closed_lips(viseme_curves(phones, 40).curves).any()


def test_vowels_open_round_and_spread() -> None:
    assert peak("jawOpen", PHONES, 0.5) > 0.25 > 0.12 > peak("jawOpen", PHONES, 1.26)
    assert peak("mouthPucker", PHONES, 1.1) > 0.4 and peak("mouthStretch", PHONES, 0.78) > 0.2
    rounded = viseme_curves(phones_at("T 0.3 S 0.4 T 0.55 UW 0.6 | 0.9"), 40).curves
    assert measure_rounding(rounded)[round(0.5 * 30)] > 0.1  # it begins before the vowel
    diphthong = phones_at("AY 0.3 | 0.8")
    assert peak("jawOpen", diphthong, 13 / 30) > 1.5 * peak("jawOpen", diphthong, 21 / 30)  # "ah" before "ee"


def test_silence_is_rest() -> None:
    curves = viseme_curves(PHONES, 120).curves
    assert curves[: round(0.1 * 30)].max() < 0.02
    assert curves[round(1.70 * 30) :][:, MOUTH].max() == 0


def test_styles_and_loudness_scale_movement() -> None:
    usual, large, small = (peak("jawOpen", PHONES, 0.5, style=style("jaw", x)) for x in (0.0, 1.0, -1.0))
    assert large > 1.2 * usual and small < 0.85 * usual
    for kind, vowel, name in (("rounding", "UW", "mouthPucker"), ("spread", "IY", "mouthStretch")):
        phones = phones_at(f"{vowel} 0.3 | 0.7")
        assert peak(name, phones, style=style(kind)) > 1.2 * peak(name, phones), kind
    phones = [Phone(n, 0.3 + 0.15 * k, 0.45 + 0.15 * k) for k, n in enumerate(["AA", "T"] * 4)]
    loudness = np.full(60, -30.0)
    loudness[18:23] = -18.0  # the second vowel
    assert peak("jawOpen", phones, 20 / 30, loudness=loudness) > 1.05 * peak("jawOpen", phones, 20 / 30)


def test_an_accent_nods_down_and_lifts_the_brows() -> None:
    curves = viseme_curves(phones_at("AA 0.3 T 0.38 AA 0.45 T 0.9 AA 1.0 T 1.08 AA 1.15 | 1.23"), 60).curves
    assert curves[:, 53].min() < -0.01 and curves[:, 53].max() < 1e-6
    assert abs(int(curves[:, 53].argmin()) - 20) <= 1 and curves[20, I["browInnerUp"]] > 0.05


def test_the_rules_pass_the_measures_and_faults_do_not() -> None:
    taught = viseme_curves(PHONES, 90).curves
    shut = np.repeat(taught[round(0.35 * 30)][None], 90, 0)
    late = np.concatenate([np.zeros_like(taught[:3]), taught[:-3]])
    right, still, closed_lips, delayed = (Lips() for _ in range(4))
    for lips, curves in ((right, taught), (still, np.zeros_like(taught)), (closed_lips, shut), (delayed, late)):
        lips.add(curves, PHONES, taught)
    assert np.mean(right.closure) == 1 and np.mean(right.contact) == 1 and np.mean(right.opened) == 1
    assert not any(right.closure_vowel + right.closure_consonant) and max(right.silence) < 0.03
    assert np.abs(right.onset + right.closure_lag).max() < 1e-6
    assert np.mean(still.closure) == 0 and np.mean(still.opened) == 0
    assert np.mean(closed_lips.closure) == np.mean(closed_lips.closure_vowel) == 1 and max(closed_lips.silence) > 0.3
    assert np.median(delayed.onset) > 80


def test_closures_late_open_and_beside_vowels() -> None:
    taught = np.zeros((30, 55))
    taught[10:12, PRESS] = 0.5
    assert closure_lags(np.roll(taught, 1, 0), taught, [Phone("P", 0.32, 0.4)]) == pytest.approx([1000 / 30])  # late
    pressed = np.zeros((1, 55))
    pressed[:, [*PRESS, I["mouthRollLower"]]] = 0.4
    assert (
        find_closed_lips(pressed).all() and not find_touching_lip(pressed).any()
    )  # closed lips do not touch the teeth
    lips = Lips()
    lips.add(np.zeros((60, 55)), phones_at("P 0.3 AA 0.4 T 0.6 IY 0.7 | 0.9"))
    assert len(lips.closure_vowel) == 1 and len(lips.closure_consonant) == 1  # not the vowel beside the p


def test_phone_track_and_names() -> None:
    track = phone_track([Phone("M", 0.1, 0.2)], 10)
    assert track.shape == (10, 2)
    assert track.ravel()[6:12].tolist() == [INDEX["M"]] * 6 and track.ravel()[[5, 12]].tolist() == [0, 0]
    ipa = {"ˈæ": "AE", "tʃ": "CH", "oʊ": "OW", "_:": "SIL", "ɹ": "R", "ʒ": "ZH", "(en)": None}
    assert {s: from_ipa(s) for s in ipa} == ipa
    assert [from_arpabet(s) for s in ("AE1", "sp", "zh", "QQ")] == ["AE", "SIL", "ZH", None]


def place(*words: tuple[float, float, float | None]) -> np.ndarray:
    """Whether the phones of words with a start, an end and a confidence are known in each half frame."""
    placed = place_phones(
        [Word("pa", a, b, (Phone("P", a, a + 0.1), Phone("AA", a + 0.1, b)), c) for a, b, c in words]
    )
    return np.zeros(0, bool) if placed is None else placed.ravel() >= 0


def test_phones_of_words_are_known_where_they_fit() -> None:
    known = place((0.5, 1.0, 0.9), (1.2, 1.5, 0.2), (1.5, 2.0, 0.8), (3.0, 3.4, 0.9))
    # a short pause and a doubtful word among good ones, and 0.15 s beside them
    assert known[21:129].all() and known[171:213].all()
    assert not known[:21].any() and not known[129:171].any() and not known[213:].any() and len(known) == 214
    missed = place((0.5, 1.0, 0.9), (1.0, 1.5, 0.05), (1.5, 2.0, 0.8))
    assert not missed[69:81].any() and missed[21:69].all() and missed[81:129].all()  # another word was said there
    assert not len(place((0.5, 1.0, 0.1), (1.0, 1.5, 0.3), (1.5, 2.0, 0.9)))
    assert place((0.5, 1.0, None))[21:69].all() and place_phones([Word("pa", 0.5, 1.0, (), 0.9)]) is None
    track = place_phones([Word("pa", 0.1, 0.4, (Phone("P", 0.1, 0.2), Phone("AA", 0.2, 0.4)))])
    assert track is not None and track.ravel()[6:12].tolist() == [INDEX["P"]] * 6


def test_long_clips_are_blended_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    phones = [Phone(n, 0.3 + 0.2 * k, 0.5 + 0.2 * k) for k, n in enumerate(("M", "UW", "AA") * 11)]
    whole = viseme_curves(phones, 240).curves
    monkeypatch.setattr(visemes, "BLOCK", 50)
    assert np.allclose(viseme_curves(phones, 240).curves, whole, atol=1e-6)
