"""Features of a sound by file: laid on frames, heard by a network that was trained on them."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from avatargpt.__main__ import main
from avatargpt.gesture.pipeline import GesturePipeline
from avatargpt.gesture.speech_file import SpeechFile, speech_rows
from avatargpt.speech.audio import AudioInfo
from tests.factories import voice
from tests.gesture.conftest import Spelling, Word, body_driver, body_tokenizer, same
from vqvae.errors import UserError

WIDE = 12


def test_features_of_speech_are_laid_on_frames(tmp_path: Path) -> None:
    path, seconds = tmp_path / "a.npy", 2.0
    at = (np.arange(100) + 0.5) / 50  # seconds of the middles of rows, 50 a second
    np.save(path, np.stack([at, -at], 1).astype(np.float32))
    rows = speech_rows(path, seconds, 60)
    middles = (np.arange(60) + 0.5) / 30
    assert rows.shape == (60, 2) and np.allclose(rows[:, 0], middles, atol=1e-5) and np.allclose(rows[:, 1], -middles)
    for array, message in (
        (np.zeros((1, 100, 2)), "accepted: floats"), (np.zeros((100, 2), int), "accepted: floats"),
        (np.zeros((9, 2)), "9 rows beside 2.0 s"), (np.zeros((900, 2)), "900 rows beside"),
        (np.full((100, 2), np.nan), "NaN or infinity"),
    ):
        np.save(path, array)
        with pytest.raises(UserError, match=message):
            speech_rows(path, seconds, 60)


def written(path: Path, seed: int, rows: int = 100, width: int = WIDE) -> Path:
    np.save(path, np.random.default_rng(seed).standard_normal((rows, width)).astype(np.float32))
    return path


def test_rows_come_with_their_samples(tmp_path: Path) -> None:
    sound = AudioInfo(22_050, 1, 44_100)
    whole = speech_rows(written(tmp_path / "a.npy", 0), 2.0, 60)
    stream = SpeechFile(tmp_path / "a.npy", sound)
    rows = [stream.push(np.zeros(n, np.float32)) for n in (100, 700, 0, 30_000)]
    assert [len(r) for r in rows] == [0, 1, 0, 40] and stream.frames == 41
    due, beyond = stream.end(3)
    assert np.array_equal(np.concatenate([*rows, due]), whole) and np.array_equal(beyond, whole[[-1] * 3])
    longer, _ = SpeechFile(tmp_path / "a.npy", sound).end(frames=62)
    assert len(longer) == 62 and np.array_equal(longer[-2:], whole[[-1] * 2])


def test_a_network_hears_them(tmp_path: Path) -> None:
    pipeline = GesturePipeline(body_driver(audio="file", audio_width=WIDE), Spelling())
    pcm, other = voice(2.0, 16_000), voice(2.0, 16_000, seed=1)
    files = [written(tmp_path / f"{k}.npy", k) for k in range(3)]
    words = [Word("good", 0.2, 0.5)]
    one, again, two = (pipeline.perform(pcm, words=words, features=[f]) for f in (files[0], files[0], files[1]))
    assert len(one) == 60 and same(one, again) and not same(one, two)
    talks = [pipeline.perform(pcm, words=words, other=other, features=[files[0], f]) for f in files[1:]]
    assert not same(*talks) and not same(talks[0], one)
    wide = written(tmp_path / "wide.npy", 0, width=768)
    for options, message in (
        ({}, r"hears features of the sound by file \(12 numbers\); accepted: --speech"),
        ({"features": files[:2]}, "2 files of features; accepted: one for each voice"),
        ({"features": files[:1], "other": other}, "--interlocutor-speech with an interlocutor"),
        ({"features": [wide]}, "wide.npy: 768 numbers a row; .* accepts 12"),
    ):
        with pytest.raises(UserError, match=message):
            pipeline.perform(pcm, **options)
    with pytest.raises(UserError, match="hears prosody; accepted: without"):
        GesturePipeline(body_driver(), Spelling()).perform(pcm, features=files[:1])


def test_the_command_takes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, sound = tmp_path / "model" / "gesture", tmp_path / "a.wav"
    body_driver(audio="file", audio_width=WIDE).save(model)
    body_tokenizer().save(model)
    soundfile.write(sound, voice(2.0, 16_000), 16_000)
    features = str(written(tmp_path / "a.npy", 0))
    command = ["gesture", str(sound), "--model", str(model.parent), "-q", "-o", str(tmp_path / "a.npz")]
    assert main([*command, "--speech", features]) == 0 and (tmp_path / "a.npz").is_file()
    for wrong, message in (
        ([], "accepted: --speech NAME.npy"), (["--interlocutor-speech", features], "accepted with --speech and"),
        (["--speech", features, "--websocket", "0"], "accepted with AUDIO, a file, and -o"),
    ):
        assert main([*command, *wrong]) == 2 and message in capsys.readouterr().err
