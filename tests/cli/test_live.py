"""``avatargpt face`` and ``gesture`` while somebody speaks, with tiny untrained networks."""

import base64
import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from avatargpt import export
from avatargpt.cli.live import address
from avatargpt.export.avatar import AvatarMotion
from avatargpt.face.pipeline import FacePipeline
from avatargpt.speech import live, word_files
from avatargpt.speech.words import Word, Words
from tests.cli.conftest import Cli, Pipe, Result, free_port
from tests.export.readers import live_link_packet
from tests.factories import voice
from tests.gesture.conftest import pipeline, same
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.motion import Motion, concatenate

PCM = (voice(1.5, 48_000) * 32767).astype("<i2")


@pytest.fixture
def face(cli: Cli, words: None, weights: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """``avatargpt face ARGS`` with bytes, half a second of silence if none are named, on stdin."""

    def run(*argv: object, stdin: bytes = bytes(16_000)) -> Result:
        monkeypatch.setattr("sys.stdin", Pipe(stdin))
        return cli("face", *argv, "--model", weights)

    return run


@pytest.fixture
def gesture(cli: Cli, words: None, avatar_weights: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """``avatargpt gesture ARGS`` with a second and a half of sound on stdin."""
    monkeypatch.setattr("sys.stdin", Pipe(PCM.tobytes()))
    return lambda *argv: cli("gesture", *argv, "--model", avatar_weights)


@contextmanager
def udp() -> Iterator[tuple[str, socket.socket]]:
    """An address and the socket that listens there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(5)
        yield f"127.0.0.1:{listener.getsockname()[1]}", listener


@contextmanager
def browser(run: Callable[..., Result], *argv: object) -> Iterator[tuple[Any, list[Result]]]:
    """A client of the command, and where the command's result is once this ends."""
    client, port, results = pytest.importorskip("websockets.sync.client"), free_port(), list[Result]()
    running = threading.Thread(target=lambda: results.append(run(*argv, "--websocket", port)))
    running.start()
    for _ in range(200):
        try:
            connection = client.connect(f"ws://127.0.0.1:{port}")
            break
        except OSError:
            time.sleep(0.02)
    with connection:
        yield connection, results
    running.join(30)


def test_live_from_a_pipe_to_unreal_and_a_file(face: Any, tmp_path: Path) -> None:
    pcm = (np.sin(np.arange(24_000) / 20) * 8000).astype("<i2").tobytes()
    with udp() as (to, listener):
        options = ("--rate", 48_000, "--live-link", to, "--subject", "Ada", "--gain", "jawOpen=0", "--json")
        result = face("-", *options, "-o", tmp_path / "a.npz", stdin=pcm)
        assert result.code == 0, result.err
        first = live_link_packet(listener.recv(4096))
    about = json.loads(result.out)
    assert about["frames"] == 15 and about["seconds"] == 0.5 and about["lost"] == 0
    assert about["files"] == [str(tmp_path / "a.npz")]
    assert first.subject == "Ada" and first.values[arkit.INDEX["jawOpen"]] == 0
    np.testing.assert_array_equal(first.values[:52], export.load(tmp_path / "a.npz").weights[0])


def test_a_pipe_is_held_back_where_frames_are_sent(face: Any, tmp_path: Path, monkeypatch) -> None:
    listener, rates = live.Listener, []
    monkeypatch.setattr(live, "Listener", lambda *args: rates.append(args[1]) or listener(*args))
    for options in ((), ("--vmc", "127.0.0.1:9")):
        assert not rates
        assert face("-", *options, "-o", tmp_path / "a.npz").code == 0
    assert rates == [16_000]


def test_interrupted_while_it_draws_a_live_take_stays(face: Any, tmp_path: Path, monkeypatch) -> None:
    def interrupted(*_: object) -> object:
        assert (tmp_path / "a.csv").is_file()  # what is quick is written first
        raise KeyboardInterrupt

    monkeypatch.setattr("avatargpt.export.video.pictures", interrupted)
    result = face("-", "-o", tmp_path / "a.gif", "-o", tmp_path / "a.csv")
    assert result.code == 130 and result.lines == [str(tmp_path / "a.csv")]
    assert "Ctrl-C leaves that out" in result.err and result.err.endswith(f"{tmp_path / 'a.gif'} left out\n")
    assert [p.name for p in tmp_path.glob("a.*")] == ["a.csv"] and len(export.load(tmp_path / "a.csv")) == 15


class Ended:
    """A stdin on which somebody speaks until the terminal closes, which sends more than one signal."""

    def __init__(self) -> None:
        self.buffer, self.blocks = self, 0

    def read(self, size: int) -> bytes:
        self.blocks += 1
        if self.blocks > 20:
            signal.raise_signal(signal.SIGHUP)
            raise AssertionError("the signal ended nothing")
        return b"\1\0" * 800


@pytest.mark.parametrize("command", ["face", "gesture", "speak"])
def test_a_terminal_that_closes_ends_a_live_take_as_ctrl_c_does(
    cli, words: None, avatar_weights: Path, tmp_path: Path, monkeypatch, command: str
) -> None:
    def again(*args: Any, **more: Any) -> Any:
        for number in (signal.SIGHUP, signal.SIGTERM):
            signal.raise_signal(number)
        return save(*args, **more)

    save, hangup = export.save, signal.signal(signal.SIGHUP, signal.SIG_DFL)  # as `nohup` does not leave it
    monkeypatch.setattr(export, "save", again)
    monkeypatch.setattr("sys.stdin", Ended())
    before = signal.getsignal(signal.SIGTERM)
    result = cli(command, "-", "--rate", 16_000, "-o", tmp_path / "a.npz", "--model", avatar_weights)
    assert result.code == 0 and result.lines == [str(tmp_path / "a.npz")], result.err
    assert "stopped" in result.err.splitlines() and (tmp_path / "a.npz").stat().st_size > 1000
    assert signal.getsignal(signal.SIGTERM) == before and signal.signal(signal.SIGHUP, hangup) == signal.SIG_DFL


class Talking:
    """A stdin on which somebody speaks all the time, and two seconds more once `ready`."""

    def __init__(self) -> None:
        self.buffer, self.ready, self.seconds, self._after = self, threading.Event(), 0.0, 0

    def read(self, size: int) -> bytes:
        time.sleep(0.05)
        self._after += self.ready.is_set()
        if self._after > 40:
            return b""
        self.seconds += 0.05
        return b"\1\0" * 800


def test_what_is_spoken_while_weights_are_loaded_is_dropped(cli, weights: Path, tmp_path: Path, monkeypatch) -> None:
    load, talking = FacePipeline.load, Talking()

    def slowly(folder: Path) -> FacePipeline:
        time.sleep(0.5)
        pipeline = load(folder)
        talking.ready.set()
        return pipeline

    monkeypatch.setattr(FacePipeline, "load", slowly)
    monkeypatch.setattr("sys.stdin", talking)
    result = cli("face", "-", "--live-link", "127.0.0.1:9", "-o", tmp_path / "a.npz", "--json", "--model", weights)
    assert result.code == 0, result.err
    (line,) = [line for line in result.err.splitlines() if "dropped" in line]
    dropped = float(line.split()[0])
    assert dropped > 0.4 and json.loads(result.out)["seconds"] == pytest.approx(talking.seconds - dropped, abs=0.2)


def test_words_without_sound_are_acted_at_their_speed(face: Any, tmp_path: Path) -> None:
    request = ("--text", "close both eyes", "--seconds", 1)
    with udp() as (to, listener):
        start = time.monotonic()
        result = face(*request, "--live-link", to, "-o", tmp_path / "live.npz", "--json")
        assert result.code == 0, result.err
        assert time.monotonic() - start > 0.9
        about = json.loads(result.out)
        assert about["frames"] == 30 and about["score"]["text"] == "close both eyes"
        assert [live_link_packet(listener.recv(4096)).frame for _ in range(30)] == list(range(30))
    assert face(*request, "-o", tmp_path / "file.npz").code == 0
    file, sent = (export.load(tmp_path / name) for name in ("file.npz", "live.npz"))
    np.testing.assert_array_equal(sent.weights, file.weights)
    np.testing.assert_array_equal(sent.head, file.head)
    assert np.ptp(sent.head, axis=0).max() > 0  # idle motion


def test_a_websocket_without_sound_takes_words(face: Any, tmp_path: Path) -> None:
    with browser(face, "--seconds", 10, "-o", tmp_path / "a.npz") as (connection, results):
        hello = json.loads(connection.recv(10))
        for message in ({"text": "close both eyes", "emotion": "sad"}, {"emotion": "hapy"}):
            connection.send(json.dumps(message))
        accepted, failed = None, None
        while accepted is None or failed is None:
            message = json.loads(connection.recv(10))
            accepted, failed = message if "told" in message else accepted, message if "error" in message else failed
    assert results[0].code == 0 and hello["fps"] == 30, results[0].err
    assert accepted["told"] == {"text": "close both eyes", "emotion": "sad"} and accepted["frame"] < 300
    assert accepted["score"]["text"] == "close both eyes" and accepted["read_as"]
    assert "happy" in failed["error"] and "\n" not in failed["error"]


def test_a_network_is_warned_about(face: Any, sound: Path) -> None:
    pytest.importorskip("websockets")
    face(sound, "--websocket", "0.0.0.0:9").refused("other machines reach that", "--allow-network")
    result = face(sound, "--websocket", f"0.0.0.0:{free_port()}", "--allow-network")
    assert result.code == 0 and "warning: everybody on this network" in result.err, result.err
    assert "30 frames" in result.err  # a file is not needed


def test_a_file_heard_live_performs_what_it_does_otherwise(face: Any, sound: Path, tmp_path: Path) -> None:
    def write(start: float) -> None:
        events = [{"action": "smile", "start": start, "duration": 0.6}]
        (tmp_path / "score.json").write_text(json.dumps({"length": 3, "events": events, "emotion": []}))

    request = (sound, "--score", tmp_path / "score.json", "--emotion", "happy:0.5", "--blink-rate", 60)
    with udp() as (to, _):
        write(0.2)
        assert face(*request, "-o", tmp_path / "file.npz").code == 0
        assert face(*request, "--live-link", to, "-o", tmp_path / "live.npz").code == 0
        file, sent = (export.load(tmp_path / name) for name in ("file.npz", "live.npz"))
        np.testing.assert_array_equal(sent.weights, file.weights)
        write(2.0)
        face(*request, "--live-link", to, "-o", tmp_path / "late.npz").refused("smile")


@pytest.mark.parametrize("text", ["host", "[::1]", "8000.local", "1.2.3.4", "8000:9000"])
def test_hosts_of_unreal(text: str) -> None:
    host, port = address("--live-link", text, None, 11111)
    assert (host, port) == (("8000", 9000) if text.endswith("9000") else (text.strip("[]"), 11111))
    assert address("--websocket", "8000", "127.0.0.1", None) == ("127.0.0.1", 8000)
    with pytest.raises(UserError, match="accepted HOST"):
        address("--live-link", "0", None, 11111)


def test_a_reading_is_printed_and_taken_back(face: Any, tmp_path: Path) -> None:
    score_file, out = tmp_path / "s.json", ("-o", tmp_path / "a.npz", "--json")
    result = face("-", "--text", "close both eyes", *out)
    score = json.loads(result.out)["score"]
    assert score["text"] == "close both eyes" and score["events"]
    assert "score" not in json.loads(face("-", "--emotion", "sad", *out).out)
    score_file.write_text(result.out)
    assert json.loads(face("-", "--score", score_file, *out).out)["score"] == score
    score_file.write_text(json.dumps([score]))
    result = face("-", "--score", score_file, *out)
    assert result.code == 0 and json.loads(result.out)["files"] == [str(tmp_path / "a.npz")], result.err


def test_pictures_show_what_was_asked_for(face: Any, tmp_path: Path) -> None:
    pcm, sheets, heads = (np.sin(np.arange(48_000) / 20) * 8000).astype("<i2").tobytes(), [], []
    for options in ((), ("--idle", 0, "--blink-rate", 0), ("--idle", 3)):
        result = face("-", *options, "-o", tmp_path / "a.png", "-o", tmp_path / "a.npz", stdin=pcm)
        assert result.code == 0, result.err
        sheets.append((tmp_path / "a.png").read_bytes())
        heads.append(export.load(tmp_path / "a.npz").head)
    assert sheets[0] == sheets[1] != sheets[2] and not np.allclose(heads[0], heads[1], atol=1e-3)


@pytest.mark.parametrize("command", ["face", "gesture"])
def test_a_pipe_without_sound_or_with_a_file(
    cli, words: None, avatar_weights: Path, sound: Path, tmp_path: Path, monkeypatch, command: str
) -> None:
    for data, message in ((b"", "no sound came"), (sound.read_bytes(), "-: a sound file (WAV)")):
        monkeypatch.setattr("sys.stdin", Pipe(data))
        result = cli(command, "-", "-o", tmp_path / "a.npz", "--model", avatar_weights)
        assert result.code == 2 and message in result.err.splitlines()[-1]
    assert not (tmp_path / "a.npz").exists()


def test_a_pipe_is_what_its_file_is(gesture: Any, tmp_path: Path) -> None:
    timed = (Word("good", 0.2, 0.5), Word("morning", 0.5, 0.9))
    word_files.write(Words(timed), tmp_path / "t.ctm")
    result = gesture("-", "--rate", 48_000, "--transcript", tmp_path / "t.ctm", "-o", tmp_path / "a.npz", "--json")
    about = json.loads(result.out)
    assert (about["frames"], about["seconds"], about["lost"]) == (45, 1.5, 0) and about["delay_ms"] == 801
    assert about["files"] == [str(tmp_path / "a.npz")] and result.err == ""
    stream = pipeline().stream(48_000, words=timed)  # nobody knows yet when the sound will end
    pieces = [piece for piece in (stream.push(PCM), stream.finish()) if piece is not None]
    assert same(Motion.load(tmp_path / "a.npz"), concatenate(pieces))


def test_a_file_is_served_at_the_speed_of_speech(gesture: Any, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", PCM, 48_000)
    start = time.monotonic()
    options = ("--asr", "off", "--subject", "Ada", "-o", tmp_path / "a.npz")
    with browser(gesture, tmp_path / "a.wav", *options) as (connection, results):
        assert json.loads(connection.recv(10))["subject"] == "Ada"
        rows = [json.loads(message) for message in connection]
    assert results[0].code == 0 and "WebSocket on ws://127.0.0.1:" in results[0].err
    assert time.monotonic() - start > 1.4
    saved = Motion.load(tmp_path / "a.npz")
    assert rows[-1]["frame"] == 44 == len(saved) - 1 and [r["frame"] for r in rows] == list(range(45 - len(rows), 45))
    np.testing.assert_allclose(rows[-1]["fingers"], saved.fingers[-1], atol=1e-5)


@pytest.fixture
def speak(cli: Cli, words: None, avatar_weights: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """``avatargpt speak ARGS`` with bytes, a second and a half of sound if none are named, on stdin."""

    def run(*argv: object, stdin: bytes = PCM.tobytes()) -> Result:
        monkeypatch.setattr("sys.stdin", Pipe(stdin))
        return cli("speak", *argv, "--model", avatar_weights)

    return run


def test_one_stream_has_face_hands_and_body_of_the_file(speak: Any, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", PCM, 48_000)
    request = (tmp_path / "a.wav", "--asr", "off", "--emotion", "happy:0.5", "--seed", 4)
    assert speak(*request, "-o", tmp_path / "file.npz").code == 0
    with browser(speak, *request, "-o", tmp_path / "live.npz", "--vmc", "127.0.0.1:9") as (connection, results):
        hello = json.loads(connection.recv(10))
        *rows, rest = [json.loads(message) for message in connection]
    assert results[0].code == 0, results[0].err
    assert rest["frame"] == 45 and not any(rest["weights"] + rest["presets"])
    file, sent = (AvatarMotion.load(tmp_path / name) for name in ("file.npz", "live.npz"))
    assert same(file.body, sent.body) and np.array_equal(file.face.weights, sent.face.weights)
    assert len(hello["names"]) == 52 and len(hello["joints"]) == 22 and len(hello["offsets"]) == 52
    row = rows[-1]  # a slow machine may lose some
    frame = row["frame"]
    assert row["time"] == pytest.approx(frame / 30, abs=1e-3)
    np.testing.assert_allclose(row["weights"], sent.face.weights[frame], atol=1e-4)
    np.testing.assert_allclose(row["rotations"], sent.body.rotations[frame], atol=1e-4)


def test_events_are_reported_and_written(speak: Any, tmp_path: Path) -> None:
    pcm = base64.b64encode(PCM[:24_000].tobytes()).decode()
    lines = "\n".join(json.dumps({"pcm": pcm, "words": [["hi", 0.1, 0.3]], "emotion": "sad"}) for _ in range(3))
    result = speak("--events", "--rate", 48_000, "-o", tmp_path / "a.npz", stdin=lines.encode())
    assert result.code == 0, result.err
    rows = [json.loads(line) for line in result.lines[:3]]
    assert [r["start"] for r in rows] == [0, 0.5, 1.0] and len(AvatarMotion.load(tmp_path / "a.npz")) == 45
    speak("--events", "-o", tmp_path / "b.npz", stdin=b"{\n").refused("line 1: no JSON")
    speak("--events", "-", "-o", tmp_path / "b.npz").refused("accepted one of AUDIO")
    speak("--events", "--keep", 1, "-o", tmp_path / "b.npz").refused("--keep 1")
    assert not (tmp_path / "b.npz").exists()


def test_early_sound_is_kept_on_request(cli, weights: Path, tmp_path: Path, monkeypatch) -> None:
    load, talking = FacePipeline.load, Talking()

    def slowly(folder: Path) -> FacePipeline:
        time.sleep(0.5)
        pipeline = load(folder)
        talking.ready.set()
        return pipeline

    monkeypatch.setattr(FacePipeline, "load", slowly)
    monkeypatch.setattr("sys.stdin", talking)
    options = ("--live-link", "127.0.0.1:9", "--keep", 5, "-o", tmp_path / "a.npz", "--json", "--model", weights)
    result = cli("face", "-", *options)
    assert result.code == 0 and "dropped" not in result.err, result.err
    assert json.loads(result.out)["seconds"] == pytest.approx(talking.seconds, abs=0.2)
    cli("face", "-", "--keep", 6, "-o", tmp_path / "b.npz", "--model", weights).refused("accepted 0 to 5")
