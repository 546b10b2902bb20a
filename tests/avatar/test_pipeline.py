"""Avatars from speech, at once and streamed, and the calls of the public API."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from avatargpt import export
from avatargpt.api import SpeechCalls
from avatargpt.avatar.pipeline import AvatarPipeline, BodyClip, Standing, body_of, finish_face, names_file
from avatargpt.export.avatar import AvatarMotion, head_of
from avatargpt.face.audio_model.conditioning import parse_emotions
from avatargpt.face.audio_model.controls import LIVELY
from avatargpt.speech import words as spoken
from avatargpt.speech.phones import Phone
from instruct_data.face.score import Event, Score
from tests.avatar.conftest import gestures
from tests.avatar.test_compose import sitting, still
from tests.factories import voice
from tests.gesture.conftest import Word
from vqvae.errors import UserError

RATE = 22_050
WORDS = [Word("good", 0.2, 0.5), Word("morning", 0.5, 0.9)]
HAPPY = parse_emotions("happy:0.6")


@pytest.mark.parametrize("size", [441, 30_000])
def test_streamed_avatars_equal_those_at_once_to_the_bit(avatars: AvatarPipeline, size: int) -> None:
    pcm = voice(1.7, RATE)
    known = spoken.Word("ma", 1.0, 1.3, (Phone("M", 1.0, 1.1), Phone("AA", 1.1, 1.3)), 0.9)
    options = {"feelings": HAPPY, "seed": 4, "words": [known], "smooth": True}
    expected = avatars.speak(pcm, RATE, body=BodyClip(sitting(1.0)), **options)
    assert len(expected) == 51 and expected.fps == 30 and expected.sound is None
    stream = avatars.stream(RATE, body=BodyClip(sitting(1.0)), seconds=len(pcm) / RATE, **options)
    pieces = [stream.push(pcm[k : k + size]) for k in range(0, len(pcm), size)]
    parts = [p for p in [*pieces, stream.finish()] if p is not None]
    assert stream.frames == 51 and stream.latency >= avatars.gestures.stream(RATE, smooth=True).latency
    for of in (lambda a: a.body.rotations, lambda a: a.body.root, lambda a: a.body.fingers, lambda a: a.face.weights):
        assert np.array_equal(np.concatenate([of(p) for p in parts]), of(expected))


def test_no_frame_is_later_than_the_latency(avatars: AvatarPipeline) -> None:
    pcm = voice(2.0, RATE)
    stream = avatars.stream(RATE)
    step = RATE // 50
    for k in range(0, len(pcm), step):
        stream.push(pcm[k : k + step])
        assert stream.frames / 30 + stream.latency > min(k + step, len(pcm)) / RATE - 1e-6
    assert 0.1 < stream.latency < 1 and stream.frames > 30


def test_lips_are_those_of_the_face_alone(avatars: AvatarPipeline) -> None:
    pcm = voice(1.2, 16_000)
    avatar = avatars.speak(pcm, feelings=HAPPY, seed=2)
    clip = avatars.face.perform("", pcm, feelings=HAPPY)
    words = [spoken.Word("ma", 0.3, 0.6, (Phone("M", 0.3, 0.4), Phone("AA", 0.4, 0.6)), 0.9)]
    said = finish_face(avatars.face, avatars.face.perform("", pcm, feelings=HAPPY, words=words), LIVELY, None, 2)
    assert np.array_equal(avatars.speak(pcm, feelings=HAPPY, seed=2, words=iter(words)).face.weights, said.weights)
    assert not np.array_equal(said.weights, avatar.face.weights)  # the words shape the mouth
    alone, head, other = (finish_face(avatars.face, clip, LIVELY, None, seed, gestures, pcm)
                          for seed, gestures in ((2, None), (2, avatars.gestures), (3, avatars.gestures)))  # fmt: skip
    assert np.array_equal(alone.weights, avatars.face.with_controls(clip, LIVELY, None, 2).weights)
    assert np.array_equal(avatar.face.weights, alone.weights)
    assert np.array_equal(head.weights, alone.weights) and np.abs(head.head - avatar.face.head).max() < 1e-5
    assert not np.array_equal(other.head, head.head)


def test_the_seed_decides_the_gestures(avatars: AvatarPipeline) -> None:
    pcm = voice(1.0, RATE)
    a, b, c = (avatars.speak(pcm, RATE, seed=s).body for s in (1, 1, 2))
    assert np.array_equal(a.rotations, b.rotations) and not np.array_equal(a.rotations, c.rotations)


def test_a_body_is_a_stance_a_text_a_file_or_a_motion(avatar: AvatarMotion, tmp_path: Path) -> None:
    prompts: list[str] = []

    def generate(text: str) -> BodyClip:
        prompts.append(text)
        return BodyClip(sitting(1.0), Score(1.0))

    assert isinstance(body_of("idle", generate), Standing) and isinstance(body_of(None, generate), Standing)
    assert body_of("sits down, e.g. slowly.", generate).score == Score(1.0) and prompts == ["sits down, e.g. slowly."]
    for name, motion in {"a.npz": avatar, "b.bvh": sitting(1.0), "c.glb": gestures(5)}.items():
        path = export.save(motion, tmp_path / name)
        assert names_file(str(path)) and isinstance(body_of(str(path), generate), BodyClip)
    still(3).save(tmp_path / "f.npz")
    with pytest.raises(UserError, match=r"f.npz: a face; accepted a body"):
        body_of(tmp_path / "f.npz", generate)
    with pytest.raises(UserError, match="no such file"):
        body_of("missing.npz", generate)
    assert len(prompts) == 1


class Model(SpeechCalls):
    """The public calls with small networks."""

    source = ""

    def __init__(self, avatars: AvatarPipeline) -> None:
        self.__dict__["avatars"] = avatars

    def acted(self, text: str, seed: int) -> BodyClip:
        body = sitting(1.0).with_caption(f"{text} {seed}")
        score = Score(3.0, (Event("smile", 0.5, 2.0), Event("blink", 2.5, 0.3)))  # longer than the sound
        return BodyClip(body, score)


def test_the_public_calls(avatars: AvatarPipeline, tmp_path: Path) -> None:
    model, pcm = Model(avatars), voice(1.5, RATE)
    soundfile.write(tmp_path / "talk.wav", pcm, RATE, subtype="FLOAT")
    progress: list[int] = []
    avatar = model.speak(
        tmp_path / "talk.wav", WORDS, emotion="happy", body="sits down", seed=3, progress=progress.append
    )
    assert len(avatar) == 45 and avatar.sound == tmp_path / "talk.wav"
    assert 45 < progress[-1] <= 90 and progress == sorted(progress)
    assert avatar.notes == ("the body lasts 1.0 s, the sound 1.5 s: it stays as it ends",)
    assert isinstance(AvatarMotion.load(avatar.save(tmp_path / "a.npz")), AvatarMotion)
    pieces = [*model.speak_stream(np.array_split(pcm, 7), RATE, body=sitting(1.0), seed=3)]
    assert sum(len(p) for p in pieces) == 45 and all(
        np.array_equal(p.face.head, head_of(p.body).astype(np.float32)) for p in pieces
    )
