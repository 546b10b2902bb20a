"""Speech to a moving body: streams equal talks, options have their effect, live frames, bad sound is refused."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

from avatargpt.api import AvatarGPT, SpeechCalls
from avatargpt.export.websocket import BodySender
from avatargpt.gesture.features import InterlocutorAudio
from avatargpt.gesture.network import GestureDriver
from avatargpt.gesture.pipeline import GesturePipeline, network_folder
from avatargpt.gesture.semantics import Manner, read_cues
from avatargpt.gesture.stream import GestureMotionStream, Live, perform
from avatargpt.speech.audio import open_sound
from avatargpt.speech.words import Word as TimedWord
from avatargpt.speech.words import Words
from tests.factories import voice
from tests.gesture.conftest import Spelling, Word, body_driver, joined, model_folder, network, pipeline, same
from vqvae.errors import UserError
from vqvae.features import STANDING, GestureFeatures
from vqvae.motion import Motion, concatenate
from vqvae.skeleton import FINGER_NAMES, SMPL22, SMPL52

WORDS = [Word("good", 0.2, 0.5), Word("morning", 0.5, 0.9), Word("all", 1.7, 1.95)]
ANSWER = [Word("yes", 0.2, 0.5), Word("indeed", 0.6, 1.3)]


def test_streams_equal_whole_talks_to_the_bit() -> None:
    pcm, other = voice(2.3, 22_050), voice(2.3, 48_000, seed=1)
    one = pipeline()
    options = {"words": WORDS, "other_words": ANSWER, "speaker": "bert", "smooth": True, "seed": 5}
    whole = one.perform(pcm, 22_050, other=other, other_rate=48_000, **options)
    assert len(whole) == 69 and whole.fps == 30 and whole.modality == "gesture" and whole.fingers is not None
    for size in (441, 30_000):
        stream = one.stream(22_050, other=True, other_rate=48_000, seconds=len(pcm) / 22_050, **options)
        parts = [pcm[k : k + size] for k in range(0, len(pcm), size)]
        pieces = [stream.push(a, b) for a, b in zip(parts, np.array_split(other, len(parts)), strict=True)]
        assert same(joined([*pieces, stream.finish()]), whole) and stream.frames == 69 and stream.finish() is None
    assert (whole.root == STANDING.astype(np.float32)).all()
    assert (whole.rotations[:, [0, 1, 2, 4, 5, 7, 8, 10, 11]] == [1, 0, 0, 0]).all()  # pelvis and legs at rest


def test_latency_is_the_sum_of_all_delays() -> None:
    one = pipeline()
    plain, smooth = one.stream(smooth=False), one.stream(48_000)
    assert plain.latency == pytest.approx(20 / 30)  # a token, the one ahead, the three that are decoded with it
    assert smooth.latency == pytest.approx((20 + 4) / 30, abs=2e-3)
    pcm, frames = voice(2.0), 0
    for k in range(0, len(pcm), 533):
        frames += len(plain.push(pcm[k : k + 533]) or ())
        assert frames / 30 >= (k + 533) / 16_000 - plain.latency - 1e-3 or frames == 0


def test_files_equal_their_samples(tmp_path: Path) -> None:
    pcm = np.stack([voice(1.0, 44_100), voice(1.0, 44_100, seed=2)], 1)
    soundfile.write(tmp_path / "a.wav", pcm, 44_100, "FLOAT")
    one = pipeline()
    assert same(one.perform(tmp_path / "a.wav"), one.perform(pcm, 44_100))
    assert same(one.perform(pcm, 44_100), one.perform(pcm.mean(1), 44_100))


def test_every_option_has_an_effect() -> None:
    one, pcm, other = pipeline(), voice(2.0), voice(2.0, seed=3)
    plain = one.perform(pcm)
    assert same(plain, one.perform(pcm, words=[]))
    for options in ({"seed": 1}, {"words": WORDS}, {"speaker": "anna"}, {"other": other}, {"head": "features"},
                    {"smooth": False}):  # fmt: skip
        assert not same(plain, one.perform(pcm, **options)), options
    for options in ({"head": "features"}, {"temperature": 0}):
        assert same(one.perform(pcm, seed=1, **options), one.perform(pcm, seed=2, **options))
    with_other = one.perform(pcm, other=other, temperature=2.0)
    assert not same(with_other, one.perform(pcm, other=other, other_words=ANSWER, temperature=2.0))


def test_an_interlocutor_of_another_length_is_refused_at_once() -> None:
    one, progress = pipeline(), list[int]()
    with pytest.raises(UserError, match=r"lasts 1\.0 s, the speaker's 2\.0 s; accepted: the same, within 0\.5 s"):
        one.perform(voice(2.0), other=voice(1.0, 8000), other_rate=8000, progress=progress.append)
    assert not progress
    assert len(one.perform(voice(2.0), other=voice(1.7, 8000), other_rate=8000)) == 60
    with pytest.raises(UserError, match="who is not heard"):
        one.stream(other_words=ANSWER)
    stream = one.stream(other=True)
    stream.push(voice(2.0))
    with pytest.raises(UserError, match="lasts 0.0 s"):
        stream.finish()


def test_words_may_come_later() -> None:
    one, pcm = pipeline(), voice(2.0)
    stream = one.stream(words=(), seconds=2.0)
    stream.say(WORDS)
    assert same(joined([stream.push(pcm), stream.finish()]), one.perform(pcm, words=WORDS))
    with pytest.raises(UserError, match="words for a stream without them"):
        one.stream().say(WORDS)


def test_words_of_the_interlocutor_make_no_gestures() -> None:
    heard, gestured = list[bool](), list[TimedWord]()
    speech = SimpleNamespace(say=lambda words, other: heard.append(other))
    stream = GestureMotionStream(speech, SimpleNamespace(say=gestured.extend))  # type: ignore[arg-type]
    stream.say(ANSWER, other=True)
    stream.say(WORDS)
    assert heard == [True, False] and gestured == WORDS


def test_unusual_sound() -> None:
    one = pipeline()
    assert not one.perform(voice(1.0)).notes and len(one.perform(voice(0.01))) == 1
    assert one.perform(np.zeros(16_000, np.int16)).notes[0].startswith("the sound: silence")
    stream = one.stream()
    stream.push(np.full(1000, np.nan, np.float32))
    assert stream.repaired == 1000


@pytest.mark.parametrize(
    ("pcm", "message"),
    [
        (np.zeros(0, np.float32), "0 s long"), (np.full(99, np.inf, np.float32), "not numbers"),
        (np.zeros((4, 3, 2)), "shape"), (np.zeros(9, np.int64), "int64"), (Path("/nowhere.wav"), "nowhere.wav"),
    ],
)  # fmt: skip
def test_bad_sound_is_refused(pcm: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        pipeline().perform(pcm)


def test_networks_of_a_folder(tmp_path: Path) -> None:
    for place in (model_folder(tmp_path), tmp_path / "gesture"):
        one = GesturePipeline.load(place)
        assert one.driver.fingerprint == body_driver().fingerprint and one.speakers == ("anna", "bert")
    missing = ((tmp_path.parent, "no gesture network; train one with"), (tmp_path / "no", "no such folder"))
    for folder, message in missing:
        with pytest.raises(UserError, match=message):
            network_folder(folder)
    with pytest.raises(UserError, match="moves 15 features; accepted: a network of the 270"):
        GesturePipeline(GestureDriver(network()))
    for speaker in ("carl", 2, [1.0, 2.0]):
        with pytest.raises(UserError, match="accepted"):
            one.stream(speaker=speaker)


def test_manners() -> None:
    manner = Manner(0.5, True, 1.5, read_cues(["Not  at all=shake", "big = size"]))
    assert manner.cues == (("not at all", "shake"), ("big", "size")) and manner.share == 0.5
    assert (Manner().share, Manner(calm=True).share) == (1.0, 0.0)
    for options in ({"semantic": 1.1}, {"semantic": float("nan")}, {"energy": 0.1}, {"energy": 3.0}):
        with pytest.raises(UserError, match="accepted: "):
            Manner(**options)
    for wrong in ("big", "=size", "big=", "!=size"):
        with pytest.raises(UserError, match="accepted: WORD=GESTURE"):
            read_cues([wrong])
    with pytest.raises(UserError, match="named twice"):
        Manner(cues=read_cues(["big=size", "Big=beat"]))


class Model(SpeechCalls):
    """What `AvatarGPT` inherits, with the networks of a folder."""

    def __init__(self, source: Path) -> None:
        self._source = str(source)

    @property
    def source(self) -> str:
        return self._source

    def acted(self, text: str, seed: int) -> Any:
        raise AssertionError("bodies by words need the language model")


def test_the_public_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avatargpt.gesture.pipeline.word_encoder", lambda name: Spelling())
    assert issubclass(AvatarGPT, SpeechCalls)
    model, pcm, other = Model(model_folder(tmp_path)), voice(2.0), voice(2.0, 8000, seed=1)
    motion = model.gesture(pcm, WORDS, other, ANSWER, speaker="bert", seed=2, interlocutor_rate=8000)
    options = {"words": WORDS, "other_words": ANSWER, "speaker": "bert", "seed": 2}
    assert same(motion, pipeline().perform(pcm, other=other, other_rate=8000, **options)) and not motion.notes
    stream = model.gesture_stream(words=WORDS, seed=2, seconds=2.0)
    assert same(joined([stream.push(pcm), stream.finish()]), model.gesture(pcm, WORDS, seed=2))
    (tmp_path / "t.ctm").write_text("a 1 0.2 0.3 good\na 1 0.5 0.4 morning\n")
    assert same(model.gesture(pcm, tmp_path / "t.ctm"), pipeline().perform(pcm, words=WORDS[:2]))
    (tmp_path / "t.ctm").write_text("a 1 0.2 0.3 pracujemy\na 1 0.5 0.4 dzisiaj\n")
    assert "2 of 2 words are in no dictionary" in "\n".join(model.gesture(pcm, tmp_path / "t.ctm").notes)
    with pytest.raises(UserError, match="word times of this recording"):
        model.gesture(pcm, Words((TimedWord("late", 2.1, 2.2),)))
    with pytest.raises(UserError, match="no gesture network"):
        Model(tmp_path.parent).gesture(pcm)


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
    stream = one.stream(RATE, seed=3, smooth=False, seconds=3.0)
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
    stream = one.stream(other=True, other_rate=8000, seconds=2.0)
    answers = InterlocutorAudio(16_000, open_sound(other, 8000))
    run = perform(stream, 16_000, np.array_split(pcm, 60), interlocutor=answers, keep=1000)
    assert same(run.motion(), one.perform(pcm, other=other, other_rate=8000))


def test_clips_begin_and_end_at_rest_or_begin_in_the_pose_before() -> None:
    one = pipeline()
    clip, rest = one.perform(voice(2.0)), GestureFeatures().decode(one.driver.network.rest.numpy()[None])

    def jump(a: Motion, b: Motion) -> float:
        return float(np.linalg.norm(a.joints[-1] - b.joints[0], axis=-1).max())

    assert jump(rest, clip) < 0.01 and jump(clip, rest) < 0.01
    part, plain = clip.slice(0, 30), one.perform(voice(2.0, seed=4))
    after = one.perform(voice(2.0, seed=4), start_pose=part)
    assert jump(part, after) < 0.02 < jump(part, plain)
    assert jump(after, rest) < 0.01
    live = one.stream()
    assert jump(joined([live.push(voice(2.0)), live.finish()]), rest) > 0.02  # nobody knew that it would end


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
