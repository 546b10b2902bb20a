"""Live: packets, pacing, pipes, and the same frames as a whole file gives."""

from __future__ import annotations

import io
import socket
import struct

import numpy as np
import pytest
import soundfile

from avatargpt.export.udp_senders import LiveLinkSender, live_link_values, pack
from avatargpt.face.audio_model.driver import Driver
from avatargpt.face.audio_model.network import DriverConfig, DriverNetwork
from avatargpt.face.live import run_live
from avatargpt.speech import live
from tests.export.readers import live_link_packet
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion

ID = "$" + "0123456789abcdef" * 2 + "0123"


@pytest.fixture(scope="module")
def driver() -> Driver:
    import torch

    torch.manual_seed(0)
    network = DriverNetwork(DriverConfig(width=24, hidden=32, dilations=[1, 2], text_width=16, inject=1, gates="open"))
    with torch.no_grad():
        network.curves.weight.normal_(std=0.2)
        network.curves.bias.fill_(0.3)
    return Driver(network)


class Drops(io.BytesIO):
    """A pipe that gives little at a time."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(7)


def face(frames: int = 1, seed: int = 0) -> FaceMotion:
    rng = np.random.default_rng(seed)
    return FaceMotion(rng.random((frames, 52)), rng.normal(0, 0.2, (frames, 3)))


def test_a_subject_that_is_no_text() -> None:
    with pytest.raises(UserError, match="accepted UTF-8 text"):
        pack(np.zeros(61, np.float32), 0, "\udcff", ID)


def test_packet_is_laid_out_as_the_phone_does() -> None:
    motion = face()
    data = pack(live_link_values(motion)[0], 77, "Ada", ID, 60)
    assert data[:4] == b"\x06\x00\x00\x00" and data[4:41] == ID.encode()
    assert data[41:48] == b"\x00\x00\x00\x03Ada"
    frame, part, rate, denominator, count = struct.unpack(">ifiiB", data[48:65])
    assert (frame, part, rate, denominator, count) == (77, 0.0, 60, 1, 61)
    assert len(data) == 65 + 4 * 61
    numbers = np.array(struct.unpack(">61f", data[65:]))
    np.testing.assert_allclose(numbers[:52], motion.weights[0], atol=1e-7)
    # right, down and to the left shoulder are positive: the other way round than in FaceMotion
    np.testing.assert_allclose(numbers[52:55], -motion.head[0], atol=1e-6)
    left = motion.weights[0, arkit.INDEX["eyeLookInLeft"]] - motion.weights[0, arkit.INDEX["eyeLookOutLeft"]]
    assert numbers[55] == pytest.approx(left * np.radians(arkit.EYE_DEGREES), abs=1e-6)
    for name in ("", "x" * 65):
        with pytest.raises(UserError, match="accepted 1 to 64"):
            pack(live_link_values(motion)[0], 0, name, ID)


def test_frames_arrive_by_udp_and_equal_the_whole_file(driver: Driver) -> None:
    rng = np.random.default_rng(1)
    sound = (rng.normal(0, 0.2, 16_000) * 32767).clip(-32768, 32767).astype("<i2")
    whole = driver.drive(sound)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(5)
        sender = LiveLinkSender("127.0.0.1", listener.getsockname()[1], "Ada")
        parts = live.pipe_blocks(io.BytesIO(sound.tobytes() + b"\x01"))
        done = run_live(driver.stream(16_000), parts, [sender], record=1000)
        got = [live_link_packet(listener.recv(4096)) for _ in range(done.frames)]
        sender.close()
    assert done.frames == len(whole) == 30
    assert [p.frame for p in got] == list(range(30)) and {p.subject for p in got} == {"Ada"}
    np.testing.assert_array_equal(np.stack([p.values for p in got]), live_link_values(whole))
    np.testing.assert_array_equal(done.motion().weights, whole.weights)


def test_a_host_that_is_not_known() -> None:
    with pytest.raises(UserError, match="Live Link listener"):
        LiveLinkSender("no.such.host.invalid", 11111)


def test_a_recording_takes_its_time() -> None:
    clock = [0.0]
    seen = []

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    for block in live.paced([np.zeros(7999), np.zeros(534)], 16_000, lambda: clock[0], sleep):
        seen.append((len(block), clock[0]))
    assert sum(n for n, _ in seen) == 8533 and max(n for n, _ in seen) == 534 and len(seen) == 17
    np.testing.assert_allclose([t for _, t in seen], np.cumsum([n for n, _ in seen]) / 16_000, atol=1e-9)


def test_kept_frames_are_bounded_and_changed(driver: Driver) -> None:
    def shut(frame: FaceMotion) -> FaceMotion:
        return FaceMotion(frame.weights * 0, frame.head)

    done = run_live(driver.stream(16_000), [np.zeros(16_000, np.float32)], change=shut, record=7)
    assert done.frames == 7 and not done.motion().weights.any()
    with pytest.raises(UserError, match="no sound came"):
        run_live(driver.stream(16_000), [])


@pytest.mark.parametrize("kind", ["WAV", "RF64", "AIFF", "FLAC", "OGG", "MP3"])
def test_a_file_is_no_raw_sound(kind: str) -> None:
    file = io.BytesIO()
    soundfile.write(file, np.sin(np.arange(8000) / 20) / 2, 16_000, format=kind)
    data = file.getvalue()
    starts = [data, b"ID3\x04\x00\x00\x00\x00\x00\x0a" + bytes(10) + data] if kind == "MP3" else [data]
    for start in starts:
        with pytest.raises(UserError, match=r"^-: a sound file \(\w+\), not raw samples; accepted"):
            list(live.pipe_blocks(Drops(start)))


@pytest.mark.parametrize(
    "start", [b"", b"\x01", b"RIFF", b"RIFF\x00\x00", b"\xff\xfb\x90\x64", b"\xff\xfb" * 9, b"ID3 mono"]
)
def test_raw_sound_that_begins_like_a_file(start: bytes) -> None:
    for data in (start, start + np.random.default_rng(0).bytes(6401), start + bytes(4000)):
        parts = list(live.pipe_blocks(Drops(data)))
        assert b"".join(p.tobytes() for p in parts) == data[: len(data) // 2 * 2]


def test_a_microphone_that_waits_keeps_its_times(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    from types import SimpleNamespace

    calls: list = []

    class Stream:
        def __init__(self, rate: int, block: int, device: object, channels: int, kind: str, callback) -> None:
            calls.append(callback)

        def __enter__(self) -> None:
            for k in range(310):  # ten more than may wait
                calls[0](np.full((4, 1), k, np.float32), 4, None, None)

        def __exit__(self, *_: object) -> None:
            calls.append("closed")

    fake = SimpleNamespace(InputStream=Stream, PortAudioError=OSError)
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    blocks = live.microphone_blocks("default", 16_000)
    first = [next(blocks) for _ in range(300)]
    assert [int(b[0]) for b in first] == list(range(300))
    calls[0](np.ones((4, 1), np.float32), 4, None, None)
    assert [len(next(blocks)), float(next(blocks)[0])] == [40, 1.0]
    blocks.close()  # type: ignore[attr-defined]
    assert calls[-1] == "closed"
