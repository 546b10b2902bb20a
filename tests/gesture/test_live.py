"""Live frames: each when it is due, none lost, unchanged over a WebSocket."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest

from avatargpt.export.websocket import BodySender
from avatargpt.gesture.features import InterlocutorAudio
from avatargpt.gesture.live import Live, perform
from avatargpt.speech.audio import open_sound
from tests.factories import voice
from tests.gesture.conftest import pipeline, same
from vqvae.errors import UserError
from vqvae.motion import Motion, concatenate
from vqvae.skeleton import FINGER_NAMES, SMPL22, SMPL52

RATE = 48_000


class Recorder:
    """A sender that records frames, and how much sound had come by then."""

    def __init__(self) -> None:
        self.frames: list[tuple[int, Motion]] = []
        self.times: list[int] = []
        self.samples = self.failed = 0

    def send(self, frame: int, motion: Motion) -> None:
        self.frames.append((frame, motion))
        self.times.append(self.samples)

    def blocks(self, pcm: np.ndarray, size: int) -> Iterator[np.ndarray]:
        for k in range(0, len(pcm), size):
            self.samples += len(pcm[k : k + size])
            yield pcm[k : k + size]


def test_frames_come_evenly_and_are_complete() -> None:
    one, pcm, recorder = pipeline(), voice(3.0, RATE), Recorder()
    stream = one.stream(RATE, seed=3, smooth=False)
    run = perform(stream, RATE, recorder.blocks(pcm, 1600), [recorder], keep=1000)
    assert [n for n, _ in recorder.frames] == list(range(90)) and run.frames == 90
    whole = one.perform(pcm, RATE, seed=3, smooth=False)
    assert same(concatenate([m for _, m in recorder.frames]), whole) and same(run.motion(), whole)
    delay = np.array(recorder.times[:-21]) / 1600 - np.arange(69)  # frames of sound from a frame's beginning
    assert set(delay.tolist()) == {np.ceil(stream.latency * 30)}


def test_a_take_ends_when_it_is_long_enough() -> None:
    run = perform(pipeline().stream(), 16_000, [voice(1.0)] * 4, keep=30)
    assert 30 <= len(run.motion()) < 60
    for empty in (lambda: perform(pipeline().stream(), 16_000, []), Live().motion):
        with pytest.raises(UserError, match="no sound came"):
            empty()


def test_two_voices_live() -> None:
    one, pcm, other = pipeline(), voice(2.0), voice(2.2, 8000, seed=1)
    stream = one.stream(other=True, other_rate=8000)
    answers = InterlocutorAudio(16_000, open_sound(other, 8000))
    run = perform(stream, 16_000, np.array_split(pcm, 60), interlocutor=answers, keep=1000)
    assert same(run.motion(), one.perform(pcm, other=other, other_rate=8000))


def test_bodies_over_a_websocket() -> None:
    client = pytest.importorskip("websockets.sync.client")
    motion = pipeline().perform(voice(0.5))
    sender = BodySender("127.0.0.1", 0, "Ada")
    with client.connect(f"ws://127.0.0.1:{sender.port}") as socket:
        hello = json.loads(socket.recv(5))
        assert (hello["subject"], hello["fps"]) == ("Ada", 30) and hello["fingers"] == list(FINGER_NAMES)
        assert hello["joints"] == list(SMPL22.names) and len(hello["parents"]) == len(hello["offsets"]) == 52
        sender.send(7, motion.slice(3, 4))
        row = json.loads(socket.recv(5))
        sender.close()
    assert row["frame"] == 7
    joints = SMPL52.fk(np.array([*row["rotations"], *row["fingers"]])[None], np.array([row["root"]]))
    np.testing.assert_allclose(joints[:, :22], motion.joints[3:4], atol=1e-4)
    np.testing.assert_allclose(joints[:, 22:], motion.finger_joints[3:4], atol=1e-4)
