"""``avatargpt face`` while somebody speaks, with a tiny untrained driver in a temporary folder."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from avatargpt import export
from avatargpt.cli.live import address
from tests.cli.conftest import Result
from tests.cli.test_bad_input import assert_refused
from tests.export.readers import live_link_packet
from vqvae import arkit
from vqvae.errors import UserError


class Pipe:
    """A stdin that raw sound comes from."""

    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)


def test_live_from_a_pipe_to_unreal_and_a_file(
    cli, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pcm = (np.sin(np.arange(24_000) / 20) * 8000).astype("<i2")
    monkeypatch.setattr("sys.stdin", Pipe(pcm.tobytes()))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(5)
        port = listener.getsockname()[1]
        result = cli(
            "face", "-", "--rate", 48_000, "--live-link", f"127.0.0.1:{port}", "--subject", "Ada", "--gain",
            "jawOpen=0", "-o", tmp_path / "a.npz", "--json", "--model", weights,
        )  # fmt: skip
        assert result.code == 0, result.err
        first = live_link_packet(listener.recv(4096))
    about = json.loads(result.out)
    assert about["frames"] == 15 and about["seconds"] == 0.5 and about["lost"] == 0
    assert about["files"] == [str(tmp_path / "a.npz")]
    assert first.subject == "Ada" and first.values[arkit.INDEX["jawOpen"]] == 0
    kept = export.load(tmp_path / "a.npz")
    np.testing.assert_array_equal(first.values[:52], kept.weights[0])


def test_a_pipe_is_held_back_where_frames_are_sent(
    cli, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from avatargpt.speech import live

    listens, slowed = live.Listener, []
    monkeypatch.setattr(live, "Listener", lambda *given: slowed.append(given[1]) or listens(*given))
    for more in ((), ("--vmc", "127.0.0.1:9")):
        assert not slowed
        monkeypatch.setattr("sys.stdin", Pipe(bytes(16_000)))
        assert cli("face", "-", *more, "-o", tmp_path / "a.npz", "--model", weights).code == 0
    assert slowed == [16_000]


def test_interrupted_while_it_draws_a_live_take_stays(
    cli, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*given: object) -> object:
        assert (tmp_path / "a.csv").is_file()  # what is quick is written first
        raise KeyboardInterrupt

    monkeypatch.setattr("avatargpt.export.video.pictures", interrupted)
    monkeypatch.setattr("sys.stdin", Pipe(bytes(16_000)))
    result = cli("face", "-", "-o", tmp_path / "a.gif", "-o", tmp_path / "a.csv", "--model", weights)
    assert result.code == 130 and result.out.splitlines() == [str(tmp_path / "a.csv")]
    assert "Ctrl-C leaves that out" in result.err and result.err.endswith(f"{tmp_path / 'a.gif'} left out\n")
    assert [p.name for p in tmp_path.glob("a.*")] == ["a.csv"] and len(export.load(tmp_path / "a.csv")) == 15


class Talking:
    """A stdin on which somebody speaks all the time, and two seconds more once `ready`."""

    def __init__(self) -> None:
        self.buffer, self.ready, self.said, self._after = self, threading.Event(), 0.0, 0

    def read(self, size: int) -> bytes:
        time.sleep(0.05)
        self._after += self.ready.is_set()
        if self._after > 40:
            return b""
        self.said += 0.05
        return b"\1\0" * 800


def test_what_was_said_while_weights_were_loaded_is_dropped_and_told(
    cli, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from avatargpt.face.pipeline import FacePipeline

    load, talking = FacePipeline.load, Talking()

    def slowly(folder: Path) -> FacePipeline:
        time.sleep(0.5)
        loaded = load(folder)
        talking.ready.set()
        return loaded

    monkeypatch.setattr(FacePipeline, "load", slowly)
    monkeypatch.setattr("sys.stdin", talking)
    result = cli("face", "-", "--live-link", "127.0.0.1:9", "-o", tmp_path / "a.npz", "--json", "--model", weights)
    assert result.code == 0, result.err
    (told,) = [line for line in result.err.splitlines() if "dropped" in line]
    dropped = float(told.split()[0])
    assert dropped > 0.4 and json.loads(result.out)["seconds"] == pytest.approx(talking.said - dropped, abs=0.2)


def test_words_without_sound_are_acted_at_their_speed(cli, words: None, weights: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        to = f"127.0.0.1:{listener.getsockname()[1]}"
        asked = ("face", "--text", "close both eyes", "--seconds", 1, "--model", weights)
        start = time.monotonic()
        result = cli(*asked, "--live-link", to, "-o", tmp_path / "live.npz", "--json")
        assert result.code == 0, result.err
        assert time.monotonic() - start > 0.9
        about = json.loads(result.out)
        assert about["frames"] == 30 and about["score"]["text"] == "close both eyes"
        listener.settimeout(1)
        assert [live_link_packet(listener.recv(4096)).frame for _ in range(30)] == list(range(30))
    assert cli(*asked, "-o", tmp_path / "whole.npz").code == 0
    whole, live = (export.load(tmp_path / name) for name in ("whole.npz", "live.npz"))
    np.testing.assert_array_equal(live.weights, whole.weights)
    np.testing.assert_array_equal(live.head, whole.head)
    assert np.ptp(live.head, axis=0).max() > 0  # idle motion


def test_a_websocket_without_sound_takes_words(cli, words: None, weights: Path, tmp_path: Path) -> None:
    client = pytest.importorskip("websockets.sync.client")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    results: list[Result] = []
    asked = ("face", "--websocket", port, "--seconds", 3, "--model", weights, "-o", tmp_path / "a.npz")
    running = threading.Thread(target=lambda: results.append(cli(*asked)))
    running.start()
    for _ in range(200):
        try:
            one = client.connect(f"ws://127.0.0.1:{port}")
            break
        except OSError:
            time.sleep(0.05)
    with one:
        hello = json.loads(one.recv(10))
        for message in ({"text": "close both eyes", "emotion": "sad"}, {"emotion": "hapy"}):
            one.send(json.dumps(message))
        told, failed = None, None
        while told is None or failed is None:
            message = json.loads(one.recv(10))
            told, failed = message if "told" in message else told, message if "error" in message else failed
    running.join(30)
    assert results[0].code == 0 and hello["fps"] == 30, results[0].err
    assert told["told"] == {"text": "close both eyes", "emotion": "sad"} and told["frame"] < 90
    assert told["score"]["text"] == "close both eyes" and told["read_as"]
    assert "happy" in failed["error"] and "\n" not in failed["error"]


def test_a_network_is_warned_about(cli, weights: Path, sound: Path) -> None:
    pytest.importorskip("websockets")
    asked = ("face", sound, "--model", weights, "--websocket", "0.0.0.0:9")
    assert_refused(cli(*asked), "other machines reach that", "--allow-network")
    with socket.socket() as free:
        free.bind(("0.0.0.0", 0))
        port = free.getsockname()[1]
    result = cli(*asked[:-1], f"0.0.0.0:{port}", "--allow-network")
    assert result.code == 0 and "warning: everybody on this network" in result.err, result.err


def test_a_file_heard_live_performs_what_it_does_otherwise(cli, weights: Path, sound: Path, tmp_path: Path) -> None:
    score = tmp_path / "score.json"
    score.write_text(
        json.dumps({"length": 3, "events": [{"action": "smile", "start": 0.2, "duration": 0.6}], "emotion": []})
    )
    asked = (sound, "--score", score, "--emotion", "happy:0.5", "--model", weights, "--blink-rate", 60)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        to = ("--live-link", f"127.0.0.1:{listener.getsockname()[1]}")
        for name, more in (("whole.npz", ()), ("live.npz", to)):
            result = cli("face", *asked, *more, "-o", tmp_path / name)
            assert result.code == 0, result.err
        whole, live = (export.load(tmp_path / name) for name in ("whole.npz", "live.npz"))
        np.testing.assert_array_equal(live.weights, whole.weights)
        late = {"length": 3, "events": [{"action": "smile", "start": 2.0, "duration": 0.6}], "emotion": []}
        score.write_text(json.dumps(late))
        assert_refused(cli("face", *asked, *to, "-o", tmp_path / "late.npz"), "smile")


def test_live_needs_no_file(cli, weights: Path, sound: Path) -> None:
    pytest.importorskip("websockets")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    result = cli("face", sound, "--websocket", port, "--model", weights)
    assert result.code == 0 and "30 frames" in result.err, result.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no -o FILE"),
        (("-", "--live-link", "host:99999"), "accepted 1 to 65535"),
        (("-", "--live-link", "a b"), "accepted HOST"),
        (("-", "--websocket", "http"), "accepted [HOST:]PORT"),
        (("--live-link", "127.0.0.1"), "one of AUDIO"),
        (("-", "--microphone", "default"), "one of AUDIO"),
        (("-", "--live-link", "127.0.0.1", "--smooth", "0.1"), "needs the whole clip"),
        (("-", "--live-link", "127.0.0.1", "--seconds", "3"), "no --seconds"),
        (("-", "--live-link", "127.0.0.1", "--rate", "10"), "accepted: whole numbers"),
        (("-", "--live-link", "127.0.0.1", "--subject", ""), "accepted 1 to 64"),
        (("-", "--live-link", "8000"), "accepted HOST[:PORT]"),
        (("talk.wav", "--rate", "48000", "-o", "z.csv"), "--rate 48000: accepted with - and --microphone"),
        (("talk.wav", "--rate", "0", "--live-link", "127.0.0.1"), "--rate 0: accepted with"),
        (("-", "--subject", "Ada", "-o", "z.csv"), "--subject Ada: accepted with --websocket, or --live-link"),
        (("-", "--vmc", "host:0"), "accepted 1 to 65535"),
        (("--vmc", "127.0.0.1"), "one of AUDIO"),
        (("-", "--origin", "https://a.org", "-o", "z.csv"), "--origin https://a.org: accepted with --websocket"),
        (("-", "--websocket", "8765", "--origin", "*"), "--origin *: accepted SCHEME://HOST[:PORT]"),
        (("-", "--live-link", "127.0.0.1", "--allow-network"), "--allow-network: accepted with --websocket"),
        (("--text", "smile", "--live-link", "127.0.0.1", "--lips", "recorded"), "follows sound"),
    ],
)
def test_live_refusals(
    cli, weights: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.setattr("sys.stdin", Pipe(b""))
    assert_refused(cli("face", *arguments, "--model", weights), said)


@pytest.mark.parametrize("text", ["host", "[::1]", "8000.local", "1.2.3.4", "8000:9000"])
def test_hosts_of_unreal(text: str) -> None:
    host, port = address("--live-link", text, None, 11111)
    assert (host, port) == (("8000", 9000) if text.endswith("9000") else (text.strip("[]"), 11111))
    assert address("--websocket", "8000", "127.0.0.1", None) == ("127.0.0.1", 8000)
    with pytest.raises(UserError, match="accepted HOST"):
        address("--live-link", "0", None, 11111)


def test_a_stdin_that_is_closed(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    (tmp_path / "none").mkdir()  # without weights: these are not looked for
    result = cli("face", "-", "-o", tmp_path / "x.csv", "--model", tmp_path / "none")
    assert_refused(result, "stdin is closed", "16 bit mono PCM")


def test_what_was_read_live_is_told_and_taken_back(
    cli, words: None, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*argv: object) -> Result:
        monkeypatch.setattr("sys.stdin", Pipe(bytes(16_000)))
        return cli("face", "-", *argv, "--model", weights, "-o", tmp_path / "a.npz", "--json")

    told = run("--text", "close both eyes")
    score = json.loads(told.out)["score"]
    assert score["text"] == "close both eyes" and score["events"]
    assert "score" not in json.loads(run("--emotion", "sad").out)
    (tmp_path / "s.json").write_text(told.out)
    assert json.loads(run("--score", tmp_path / "s.json").out)["score"] == score
    (tmp_path / "s.json").write_text(json.dumps([score]))
    alone = run("--score", tmp_path / "s.json")
    assert alone.code == 0 and json.loads(alone.out)["files"] == [str(tmp_path / "a.npz")], alone.err
    (tmp_path / "s.json").write_text(json.dumps([score, score]))
    assert_refused(run("--score", tmp_path / "s.json"), "--score", "s.json: 2 scores", "one where it is live")
    (tmp_path / "t.txt").write_text("wink\nsmile\n")
    assert_refused(run("--text", f"@{tmp_path / 't.txt'}"), "2 texts", "one where it is live")


def test_pictures_of_what_was_live_show_what_was_asked_for(
    cli, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pcm = (np.sin(np.arange(48_000) / 20) * 8000).astype("<i2").tobytes()
    for name, more in (("a", ()), ("b", ("--idle", 0, "--blink-rate", 0)), ("c", ("--idle", 3))):
        monkeypatch.setattr("sys.stdin", Pipe(pcm))
        out = ("-o", tmp_path / f"{name}.png", "-o", tmp_path / f"{name}.npz")
        result = cli("face", "-", "--model", weights, *more, *out)
        assert result.code == 0, result.err
    sheets, heads = [], []
    for k in "abc":
        sheets.append((tmp_path / f"{k}.png").read_bytes())
        heads.append(export.load(tmp_path / f"{k}.npz").head)
    assert sheets[0] == sheets[1] != sheets[2] and not np.allclose(heads[0], heads[1], atol=1e-3)


def test_a_pipe_without_sound_leaves_no_file(
    cli, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Pipe(b""))
    assert_refused(cli("face", "-", "-o", tmp_path / "a.csv", "--model", weights), "no sound came")
    sent = cli("face", "-", "--live-link", "127.0.0.1:11111", "--model", weights)
    assert sent.code == 2 and sent.err.splitlines()[-1] == "error: no sound came, so there is nothing to move to"
    assert not (tmp_path / "a.csv").exists()


def test_a_sound_file_in_a_pipe_is_refused(
    cli, weights: Path, sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Pipe(sound.read_bytes()))
    assert_refused(cli("face", "-", "-o", tmp_path / "a.csv", "--model", weights), "-: a sound file (WAV)")
    assert not (tmp_path / "a.csv").exists()
