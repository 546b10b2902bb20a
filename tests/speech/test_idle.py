"""Idle life: small, the same live and in a whole clip, out of the way of what was told."""

import numpy as np
import pytest

from avatargpt.face.audio_model.controls import Controls, LiveControls, apply_controls
from avatargpt.face.audio_model.idle import Idler, calm_spans, gaze, jaw_spans, with_gaze
from instruct_data.face.score import Event, Score
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion

JAW = arkit.INDEX["jawOpen"]
EYES = [i for i, n in enumerate(arkit.NAMES) if n.startswith("eyeLook")]


def still(seconds: float, fps: float = 30.0, jaw: float = 0.0) -> FaceMotion:
    weights = np.zeros((round(seconds * fps), arkit.COUNT))
    t = np.arange(len(weights)) / fps
    weights[:, JAW] = jaw * (0.5 + 0.5 * np.sin(2 * np.pi * 4 * t))
    return FaceMotion(weights, np.zeros((len(weights), 3)), fps)


def test_gaze_is_taken_apart_and_put_together() -> None:
    rng = np.random.default_rng(0)
    looks = rng.uniform(-1, 1, (20, 2, 2))
    weights = with_gaze(rng.random((20, arkit.COUNT)), looks)
    assert np.allclose(gaze(weights), looks) and (weights[:, EYES] >= 0).all()
    left = with_gaze(np.zeros((1, arkit.COUNT)), np.array([[[0.5, -0.2], [0.5, -0.2]]]))[0]
    shown = {n: left[arkit.INDEX[n]] for n in arkit.NAMES if left[arkit.INDEX[n]]}
    down = {"eyeLookDownLeft": 0.2, "eyeLookDownRight": 0.2}
    assert shown == {"eyeLookOutLeft": 0.5, "eyeLookInRight": 0.5, **down}


@pytest.mark.parametrize("fps", [30.0, 60.0])
def test_a_silent_face_is_alive_within_limits(fps: float) -> None:
    m = Idler(fps, seed=3)(still(120, fps))
    head = np.degrees(m.head)
    assert (head.std(0) > [0.6, 0.4, 0.3]).all() and (np.abs(head).max(0) < [6, 4, 4]).all()
    assert np.abs(np.diff(head, axis=0)).max() * fps < 15  # degrees a second
    jumps = np.abs(np.diff(gaze(m.weights)[:, 0], axis=0)).max(1) * fps > 0.4
    starts = np.count_nonzero(jumps[1:] & ~jumps[:-1])
    assert 50 < starts < 240 and np.abs(gaze(m.weights)).max() < 0.5
    rest = [i for i in range(arkit.COUNT) if i not in EYES]
    assert not m.weights[:, rest].any()  # a mouth in silence stays shut


def test_heads_of_speakers_move_more_and_dip_with_the_jaw() -> None:
    silent, speaking = (Idler(30.0, seed=5)(still(60, jaw=jaw)) for jaw in (0.0, 0.4))
    ratio = speaking.head[60:].std(0) / silent.head[60:].std(0)
    assert (ratio > 1.3).all() and (ratio < 3.5).all()
    beat = np.diff(speaking.head[60:, 1] - silent.head[60:, 1])
    assert np.corrcoef(beat, np.diff(speaking.weights[60:, JAW]))[0, 1] < -0.3
    yaw = np.corrcoef(np.diff(speaking.head[60:, 0]), np.diff(speaking.weights[60:, JAW]))[0, 1]
    assert abs(yaw) < 0.1


def test_eyes_make_up_for_the_drift_of_the_head() -> None:
    m = Idler(30.0, 2.0, seed=1)(still(60))
    eyes = gaze(m.weights)[:, 0] * np.radians(arkit.EYE_DEGREES)
    world = m.head[:, :2] + eyes
    jumps = np.abs(np.diff(world, axis=0)) > np.radians(0.2)
    assert jumps.mean() < 0.2  # between jumps the viewer's place stays in view
    for axis in (0, 1):
        assert np.abs(np.diff(world, axis=0)[:, axis][~jumps[:, axis]]).max() < np.radians(0.2) < m.head[:, axis].std()


def test_amounts_seeds_and_lengths() -> None:
    m = still(20)
    assert Idler(30.0, 0.0)(m) is m
    one, two = (Idler(30.0, a, 4)(m).head for a in (1.0, 2.0))
    assert np.allclose(two, 2 * one, atol=1e-6)
    assert not np.allclose(one, Idler(30.0, 1.0, 5)(m).head, atol=1e-3)
    assert np.array_equal(Idler(30.0, 1.0, 4)(m.slice(0, 100)).head, one[:100])
    for amount in (-0.1, 3.1, float("nan")):
        with pytest.raises(UserError, match="idle"):
            apply_controls(m, Controls(idle=amount))


def test_what_head_and_eyes_are_told_is_left_alone() -> None:
    events = (Event("look_left", 4.0, 3.0), Event("smile", 9.0, 3.0), Event("nod", 14.0, 2.0, repeat=2))
    spans = calm_spans(Score(20.0, events))
    assert spans == ((4.0, 7.0), (14.0, 16.0)) and calm_spans(None) == ()
    free, calm = (apply_controls(still(20), Controls(idle=1.0), 2, (), s) for s in ((), spans))
    t = np.arange(600) / 30
    told = ((t >= 4) & (t <= 7)) | ((t >= 14) & (t <= 16))
    apart = (t < 3.7) | ((t > 7.4) & (t < 13.7)) | (t > 16.4)
    assert np.allclose(calm.head[told], 0.3 * free.head[told], atol=1e-6)
    assert np.array_equal(calm.head[apart], free.head[apart])


def test_a_jaw_that_is_told_to_move_is_no_speech() -> None:
    wide, laugh = Event("wide_open_mouth", 4.0, 4.0, repeat=5), Event("laugh", 20.0, 2.0)
    spans = jaw_spans(Score(40.0, (wide, Event("broad_smile", 10.0, 9.0), laugh)))
    assert spans == ((4.0, 8.0), (20.0, 22.0)) and jaw_spans(None) == ()
    silent, m, voice = still(30), still(30), still(30, jaw=0.4)
    m.weights[120:240, JAW] = voice.weights[120:240, JAW]
    quiet, told, taken = (Idler(30.0, 1.0, 3, (), s)(x).head for x, s in ((silent, ()), (m, spans), (m, ())))
    assert np.abs(told - quiet).max() < np.radians(0.1) < np.radians(1.0) < np.abs(taken - quiet).max()
    m.weights[300:, JAW] = voice.weights[300:, JAW]
    after, spoken = (Idler(30.0, 1.0, 3, (), s)(m).head for s in (spans[:1], ()))
    assert np.abs(after - spoken)[400:].max() < np.radians(0.1)  # speech is heard again afterwards


def test_live_life_is_that_of_the_whole_clip() -> None:
    controls, m = Controls(idle=1.5, blink_rate=20, symmetry=0.3, eye_contact=0.4, mouth=1.2), still(12, jaw=0.3)
    spans, jaw = ((3.0, 5.0),), ((6.0, 8.0),)
    whole = apply_controls(m, controls, 7, (), spans, jaw)
    change = LiveControls(controls, m.fps, 7, (), spans, jaw)
    frames = [change(m.slice(i, i + 1)) for i in range(len(m))]
    assert np.array_equal(np.concatenate([f.weights for f in frames]), whole.weights)
    assert np.array_equal(np.concatenate([f.head for f in frames]), whole.head) and whole.head.any()
