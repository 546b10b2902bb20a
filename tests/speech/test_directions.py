"""Signs, sides and limits of what makes and measures speech, one small case each."""

from __future__ import annotations

import numpy as np
import pytest

from vqvae import arkit
from vqvae.face import FaceMotion

I = arkit.INDEX  # noqa: E741


def test_smoothing_takes_the_head_too() -> None:
    from avatargpt.face.audio_model import controls as c

    head = np.zeros((101, 3))
    head[50] = 0.5
    out = c.apply_controls(FaceMotion(np.zeros((101, 52)), head), c.Controls(smooth=0.05)).head
    assert 0.1 < out.max() < 0.2 and np.allclose(out, out[::-1], atol=1e-6)


def test_some_eye_contact_keeps_the_rest_of_the_gaze() -> None:
    from avatargpt.face.audio_model import controls as c

    weights = np.zeros((5, 52))
    weights[:, [I["eyeLookOutLeft"], I["eyeLookInRight"]]] = 0.8  # to the person's left, the head straight
    out = c.apply_controls(FaceMotion(weights, np.zeros((5, 3))), c.Controls(eye_contact=0.25))
    assert np.allclose(out.channel("eyeLookOutLeft"), 0.6, atol=1e-5)
    assert np.allclose(out.channel("eyeLookInRight"), 0.6, atol=1e-5)


def test_an_accent_nods_down_and_lifts_the_brows() -> None:
    from avatargpt.face.audio_model.visemes import viseme_curves
    from avatargpt.speech.phones import Phone

    phones = [Phone("AA", 0.3, 0.38), Phone("T", 0.38, 0.45), Phone("AA", 0.45, 0.9), Phone("T", 0.9, 1.0),
              Phone("AA", 1.0, 1.08), Phone("T", 1.08, 1.15), Phone("AA", 1.15, 1.23)]  # fmt: skip
    curves = viseme_curves(phones, 60).curves
    assert curves[:, 53].min() < -0.01 and curves[:, 53].max() < 1e-6  # an accent nods down and lifts the brows
    assert abs(int(curves[:, 53].argmin()) - 20) <= 1 and curves[20, I["browInnerUp"]] > 0.05


def test_a_diphthong_opens_before_it_closes() -> None:
    from avatargpt.face.audio_model.visemes import viseme_curves
    from avatargpt.speech.phones import Phone

    jaw = viseme_curves([Phone("AY", 0.3, 0.8)], 40).curves[:, I["jawOpen"]]
    assert jaw[13] > 1.5 * jaw[21]  # "ah" before "ee"


def test_styles_change_what_they_name() -> None:
    from avatargpt.face.audio_model.visemes import STYLE, viseme_curves
    from avatargpt.metrics.lip_sync import channel
    from avatargpt.speech.phones import Phone

    for kind, vowel, name in (("rounding", "UW", "mouthPucker"), ("spread", "IY", "mouthStretch")):
        style = np.zeros(len(STYLE))
        style[STYLE.index(kind)] = 1
        peak = [channel(viseme_curves([Phone(vowel, 0.3, 0.7)], 30, style=s).curves, name).max() for s in (None, style)]
        assert peak[1] > 1.2 * peak[0], kind


def test_what_is_loud_opens_further() -> None:
    from avatargpt.face.audio_model.visemes import viseme_curves
    from avatargpt.speech.phones import Phone

    phones = [Phone(n, 0.3 + 0.15 * k, 0.45 + 0.15 * k) for k, n in enumerate(["AA", "T"] * 4)]
    loudness = np.full(60, -30.0)
    loudness[18:23] = -18.0  # the second vowel
    jaw = viseme_curves(phones, 60, loudness).curves[:, I["jawOpen"]]
    assert jaw[20] > 1.05 * viseme_curves(phones, 60).curves[20, I["jawOpen"]]


def test_late_closures_have_a_positive_lag() -> None:
    from avatargpt.metrics.lip_sync import closure_lags
    from avatargpt.speech.phones import Phone

    taught = np.zeros((30, 55))
    taught[10:12, [I["mouthPressLeft"], I["mouthPressRight"]]] = 0.5
    late = np.roll(taught, 1, 0)
    assert closure_lags(late, taught, [Phone("P", 0.32, 0.4)]) == pytest.approx([1000 / 30])


def test_closed_lips_do_not_touch_the_teeth() -> None:
    from avatargpt.metrics.lip_sync import closed, touching

    curves = np.zeros((1, 55))
    curves[:, [I["mouthPressLeft"], I["mouthPressRight"], I["mouthRollLower"]]] = 0.4
    assert closed(curves).all() and not touching(curves).any()


def test_a_vowel_beside_a_p_is_no_false_closure() -> None:
    from avatargpt.metrics.lip_sync import Lips
    from avatargpt.speech.phones import Phone

    lips = Lips()
    said = [Phone("P", 0.3, 0.4), Phone("AA", 0.4, 0.6), Phone("T", 0.6, 0.7), Phone("IY", 0.7, 0.9)]
    lips.add(np.zeros((60, 55)), said)
    assert len(lips.closure_vowel) == 1 and len(lips.closure_consonant) == 1  # not the vowel beside the p


def test_alignments_are_neither_early_nor_late() -> None:
    from avatargpt.face.audio_model.visemes import phone_track
    from avatargpt.speech.phone_times import viterbi
    from avatargpt.speech.phones import ARPABET, Phone

    off = []
    for late in np.linspace(0, 1 / 60, 9)[:-1]:
        phones = [Phone("M", 0.3 + late, 0.5 + late), Phone("AA", 0.5 + late, 0.8 + late)]
        p = np.full((60, len(ARPABET)), 1e-3)
        p[np.arange(60), phone_track(phones, 30).ravel()] = 0.9
        found = [q for q in viterbi(np.log(p), ["M", "AA"]).phones if q.name != "SIL"]
        off += [a.start - b.start for a, b in zip(found, phones, strict=True)]
    assert abs(np.mean(off)) < 0.003  # neither early nor late on average


def test_a_sound_that_is_left_out_costs() -> None:
    from avatargpt.face.audio_model.visemes import phone_track
    from avatargpt.speech.phone_times import viterbi
    from avatargpt.speech.phones import ARPABET, Phone

    p = np.full((60, len(ARPABET)), 1e-6)
    p[np.arange(60), phone_track([Phone("M", 0.3, 0.5), Phone("AA", 0.5, 0.8)], 30).ravel()] = 0.9
    whole, less = (viterbi(np.log(p), names).fit for names in (["M", "AA"], ["M", "F", "AA"]))
    assert less < whole - 0.1


def test_one_action_stands_for_one() -> None:
    from avatargpt.face.instructions.parser import similarity
    from instruct_data.face.score import Event, Score

    nod = Event("nod", 0.5, 1.0)
    once, twice = Score(4.0, (nod,)), Score(4.0, (Event("nod", 2.9, 0.3), nod))
    assert similarity(once, twice) <= 2 / 3 + 1e-9  # one nod stands for one


def test_silence_does_not_turn_the_gain_up() -> None:
    from avatargpt.speech.features import RunningGain

    gain = RunningGain()
    for _ in range(60):
        gain(1e-2)
    loud = gain.level
    for _ in range(150):  # five seconds of silence are no reason to turn up the noise
        gain(1e-8)
    assert gain.level == pytest.approx(loud, abs=0.2)


def test_tiny_roundings_do_not_jump() -> None:
    from avatargpt.face.audio_model.stream import FUNNEL, MIN_ROUNDING, POWER, SIZE, undershoot

    curves = np.zeros(55, np.float32)
    curves[FUNNEL] = 0.01
    assert undershoot(curves, 1.0)[FUNNEL] == pytest.approx(0.01 * SIZE * MIN_ROUNDING ** (POWER - 1))


def test_what_is_felt_last_is_held() -> None:
    from avatargpt.face.instructions.scores import fit_score
    from instruct_data.face.score import Emotion, Score

    score = Score(4.0, (), (Emotion("sad", 0.5, 0.0, 2.0), Emotion("happy", 0.5, 2.0, 3.6)))
    assert [f.end for f in fit_score(score, 9.0).emotions] == [2.0, 9.0]


def test_other_feelings_take_the_place_of_a_scores_own() -> None:
    from avatargpt.face.instructions.scores import place_score
    from instruct_data.face.score import Emotion, Score

    score = Score(4.0, (), (Emotion("sad", 0.5, 0.0, 4.0),))
    assert place_score(score, 4.0, True, other_feelings=True).emotions == () != place_score(score, 4.0, True).emotions


def test_heads_turn_no_further_than_they_can() -> None:
    import torch

    from avatargpt.face.audio_model.driver import Driver
    from avatargpt.face.audio_model.network import DriverConfig, DriverNetwork

    network = DriverNetwork(DriverConfig(width=16, hidden=16, dilations=[1], inject=1, text_width=8))
    for sign in (1, -1):
        with torch.no_grad():
            network.curves.bias.fill_(9.0 * sign)
        assert Driver(network).drive(np.zeros(8000, np.float32)).head == pytest.approx(sign * 0.8)


def test_recorded_jaws_open_less_far_where_they_open_widely() -> None:
    from avatargpt.face.audio_model.stream import JAW, OPENING, OPENS, open_jaw

    curves = np.full(55, 0.5, np.float32)
    found = open_jaw(curves)
    assert found[JAW] == pytest.approx(OPENS * 0.5**OPENING) and np.array_equal(np.delete(found, JAW), curves[:-1])
    levels = [open_jaw(np.full(55, x, np.float32))[JAW] / x for x in (0.05, 0.2, 0.5, 1.0)]
    assert levels == sorted(levels, reverse=True) and open_jaw(np.full(55, -0.1, np.float32))[JAW] == 0
