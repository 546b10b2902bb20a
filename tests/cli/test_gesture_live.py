"""``avatargpt gesture`` while sound comes: what goes out, what is kept, what is refused."""

from __future__ import annotations

import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from avatargpt.speech import word_files
from avatargpt.speech.words import Word, Words
from tests.cli.conftest import Cli, Result
from tests.cli.test_bad_input import assert_refused
from tests.cli.test_face_live import Pipe
from tests.gesture.conftest import Spelling, model_folder, pipeline, same
from tests.speech.conftest import voice
from vqvae.motion import Motion

PCM = (voice(1.5, 48_000) * 32767).astype("<i2")


@pytest.fixture
def live(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``avatargpt gesture ARGS`` with a small network and a second and a half of sound on stdin."""
    monkeypatch.setattr("avatargpt.gesture.pipeline.word_encoder", lambda name: Spelling())
    monkeypatch.setattr("sys.stdin", Pipe(PCM.tobytes()))
    weights = model_folder(tmp_path / "weights")
    return lambda *argv: cli("gesture", *argv, "--model", weights)


def test_a_pipe_is_what_its_file_is(live: Any, tmp_path: Path) -> None:
    words = (Word("good", 0.2, 0.5), Word("morning", 0.5, 0.9))
    word_files.write(Words(words), tmp_path / "t.ctm")
    out = live("-", "--rate", 48_000, "--transcript", tmp_path / "t.ctm", "-o", tmp_path / "a.npz", "--json")
    about = json.loads(out.out)
    assert (about["frames"], about["seconds"], about["lost"]) == (45, 1.5, 0) and about["delay_ms"] == 801
    assert about["files"] == [str(tmp_path / "a.npz")] and out.err == ""
    assert same(Motion.load(tmp_path / "a.npz"), pipeline().perform(PCM, 48_000, words=words))


def test_a_file_is_served_at_the_speed_of_speech(live: Any, tmp_path: Path) -> None:
    client = pytest.importorskip("websockets.sync.client")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    soundfile.write(tmp_path / "a.wav", PCM, 48_000)
    results: list[Result] = []
    asked = (tmp_path / "a.wav", "--asr", "off", "--websocket", port, "--subject", "Ada", "-o", tmp_path / "a.npz")
    running = threading.Thread(target=lambda: results.append(live(*asked)))
    start = time.monotonic()
    running.start()
    for _ in range(200):
        try:
            one = client.connect(f"ws://127.0.0.1:{port}")
            break
        except OSError:
            time.sleep(0.02)
    with one:
        assert json.loads(one.recv(10))["subject"] == "Ada"
        rows = [json.loads(message) for message in one]
    running.join(30)
    assert results[0].code == 0 and f"WebSocket on ws://127.0.0.1:{port}" in results[0].err
    assert time.monotonic() - start > 1.4
    made = Motion.load(tmp_path / "a.npz")
    assert rows[-1]["frame"] == 44 == len(made) - 1 and [r["frame"] for r in rows] == list(range(45 - len(rows), 45))
    np.testing.assert_allclose(rows[-1]["fingers"], made.fingers[-1], atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "one of AUDIO, - and --microphone"),
        (("-", "--microphone", "default"), "one of AUDIO, - and --microphone"),
        (("talk.wav",), "no -o FILE"),
        (("-", "--interlocutor", "b.wav", "-o", "a.npz"), "--interlocutor b.wav: accepted with AUDIO, a file"),
        (("-", "--asr", "base", "-o", "a.npz"), "--asr base: accepted with AUDIO, a file"),
        (("-", "--transcript", "good morning", "-o", "a.npz"), "cannot be laid along sound that has not come"),
        (("talk.wav", "--rate", 8000, "-o", "a.npz"), "--rate 8000: accepted with - and --microphone"),
        (("-", "--subject", "Ada", "-o", "a.npz"), "--subject Ada: accepted with --websocket"),
        (("-", "--allow-network", "-o", "a.npz"), "--allow-network: accepted with --websocket"),
    ],
)
def test_live_refusals(live: Any, arguments: tuple[object, ...], said: str) -> None:
    assert_refused(live(*arguments), said)


def test_a_pipe_without_sound_or_with_a_file(live: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "a.wav", PCM, 48_000)
    for data, said in ((b"", "no sound came"), ((tmp_path / "a.wav").read_bytes(), "a sound file (WAV)")):
        monkeypatch.setattr("sys.stdin", Pipe(data))
        out = live("-", "-o", tmp_path / "a.npz")
        assert out.code == 2 and said in out.err.splitlines()[-1] and "words are off" in out.err.splitlines()[0]
    assert not (tmp_path / "a.npz").exists()
