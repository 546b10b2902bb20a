"""Whether a face speaks, and its mouth at rest."""

import numpy as np
import pytest

from avatargpt.face.audio_model.visemes import viseme_curves
from avatargpt.kinematics.speech import find_speech, without_speech, without_sway
from avatargpt.speech.phones import Phone
from avatargpt.train.speech_data.expressions import median_curves
from instruct_data.face.described import describe_speaking as described_speaking
from instruct_data.face.described import parse_description
from instruct_data.face.score import Event, Score
from vqvae import arkit
from vqvae.face import FaceMotion

SPEECH = "P R IH N T IH NG IH N DH IY OW N L IY S EH N S W IH DH W IH CH W IY AA R AE T P R EH Z AH N T".split()


def talk() -> FaceMotion:
    phones = [Phone(name, 0.1 * k, 0.1 * k + 0.1) for k, name in enumerate(SPEECH)]
    return FaceMotion.from_curves(viseme_curves(phones, 3 * len(SPEECH)).curves, 30.0)


def test_a_talk_is_told_from_a_laugh() -> None:
    assert find_speech(talk()).mean() > 0.8
    for action in ("laugh", "chew", "nod", "yawn", "smile", "gasp"):
        face = FaceMotion.from_curves(median_curves(Score(4.0, (Event(action, 0.5, 3.0),)), 0, action))
        assert not find_speech(face).any(), action
    assert not find_speech(FaceMotion(np.zeros((90, 52)), np.zeros((90, 3)))).any()
    assert not find_speech(FaceMotion(np.zeros((1, 52)), np.zeros((1, 3)))).any()


def test_who_moves_the_mouth_far_to_the_sides_makes_faces() -> None:
    face = talk()
    swing = np.sin(np.arange(len(face)) / 5)
    for size, speaks in ((0.1, True), (0.5, False)):
        aside = face.weights.copy()
        aside[:, arkit.INDEX["mouthLeft"]] = size * swing.clip(0)
        aside[:, arkit.INDEX["jawRight"]] = size * (-swing).clip(0)
        assert bool(find_speech(FaceMotion(aside, face.head, face.fps)).mean() > 0.5) == speaks


def test_the_mouth_rests_and_a_mood_stays() -> None:
    face = talk()
    for name in arkit.expand("mouthSmile"):
        face.weights[:, arkit.INDEX[name]] += 0.6
    brow = arkit.INDEX["browInnerUp"]
    face.weights[:, brow] = 0.4
    rest = without_speech(face, find_speech(face))
    middle = slice(30, 60)
    assert rest.channel("jawOpen")[middle].max() < 0.03 < face.channel("jawOpen")[middle].max()
    assert rest.channel("mouthSmile")[middle].min() > 0.5
    assert np.array_equal(rest.weights[:, brow], face.weights[:, brow])
    assert without_speech(face, np.zeros(len(face), bool)) is face


@pytest.mark.parametrize(
    ("text", "feeling", "expected"),
    [
        ("raise brows; surprised", "very surprised", "speak and raise brows; very surprised"),
        ("sad", "sad", "speak; sad"), ("nod twice", "neutral", "speak and nod twice; neutral"),
        ("", "happy", "speak; happy"),
    ],
)  # fmt: skip
def test_a_description_says_that_it_speaks(text: str, feeling: str, expected: str) -> None:
    assert described_speaking(text, feeling) == expected
    assert parse_description(expected).feelings == (feeling.split()[-1],)


def test_the_head_of_who_speaks_sways_unread() -> None:
    frames = np.zeros((120, 3))
    frames[:, 0] = np.radians(8) * np.sin(np.arange(120) / 15)
    frames[50:60, 1] = np.radians(-15)  # a nod
    face = FaceMotion(np.zeros((120, 52), np.float32), frames.astype(np.float32), 30.0)
    rested = without_sway(face, np.ones(120, bool))
    assert np.abs(rested.head[:, 0]).max() < 1e-6 and np.allclose(rested.head[50:60, 1], frames[50:60, 1])
    assert without_sway(face, np.zeros(120, bool)) is face
    half = without_sway(face, np.arange(120) >= 90)
    assert np.allclose(half.head[:40], face.head[:40]) and np.abs(half.head[110:, 0]).max() < 0.003
