"""Speech to a moving body: pieces are the whole, bad sound is told, nothing is guessed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from avatargpt.api import AvatarGPT
from avatargpt.avatar.calls import SpeechCalls
from avatargpt.gesture.driver import GestureDriver
from avatargpt.gesture.pipeline import GesturePipeline, network_folder
from avatargpt.gesture.semantics import Manner, read_cues
from avatargpt.speech.words import Word as WordAt
from avatargpt.speech.words import Words
from tests.gesture.conftest import Spelling, Word, network
from tests.gesture.talking import driver, folder, performer, same
from tests.speech.conftest import voice
from vqvae.errors import UserError
from vqvae.features import STANDING, GestureFeatures
from vqvae.motion import Motion, concatenate

WORDS = [Word("good", 0.2, 0.5), Word("morning", 0.5, 0.9), Word("all", 1.7, 1.95)]
ANSWER = [Word("yes", 1.0, 1.3)]


class Late:
    """An overlay that is three frames behind and bends what passes."""

    delay = 3

    def __init__(self) -> None:
        self._held = np.zeros((0, GestureFeatures.dim), np.float32)

    def push(self, features: np.ndarray) -> np.ndarray:
        held = np.concatenate([self._held, features])
        ready = max(len(held) - self.delay, 0)
        self._held = held[ready:]
        return held[:ready] + np.float32(0.05)

    def say(self, words: object) -> None:
        """It does not care."""

    def hear(self, pcm: object, other: object) -> None:
        """Neither."""

    def finish(self) -> np.ndarray:
        return self._held + np.float32(0.05)


def test_pieces_of_any_size_are_the_whole_to_the_bit() -> None:
    pcm, other = voice(2.3, 22_050), voice(2.3, 48_000, seed=1)
    one = performer()
    told = {"words": WORDS, "other_words": ANSWER, "speaker": "bert", "smooth": True, "seed": 5}
    whole = one.perform(pcm, 22_050, other=other, other_rate=48_000, semantics=Late(), **told)
    assert len(whole) == 69 and whole.fps == 30 and whole.modality == "gesture" and whole.fingers is not None
    for size in (441, 30_000):
        stream = one.stream(22_050, other=True, other_rate=48_000, semantics=Late(), **told)
        parts = [pcm[k : k + size] for k in range(0, len(pcm), size)]
        beside = np.array_split(other, len(parts))
        pieces = [stream.push(a, b) for a, b in zip(parts, beside, strict=True)]
        joined = concatenate([p for p in [*pieces, stream.finish()] if p is not None])
        assert same(joined, whole) and stream.frames == 69
    assert (whole.root == STANDING.astype(np.float32)).all()
    assert (whole.rotations[:, [0, 1, 2, 4, 5, 7, 8, 10, 11]] == [1, 0, 0, 0]).all()  # pelvis and legs at rest


def test_latency_counts_everything_that_is_waited_for() -> None:
    one = performer()
    plain, more = one.stream(smooth=False), one.stream(48_000, semantics=Late())
    assert plain.latency == pytest.approx(20 / 30)  # a token, the one ahead, the three that are decoded with it
    assert more.latency == pytest.approx((20 + 4 + 3) / 30, abs=2e-3) and more.latency > 0.5
    pcm, made = voice(2.0), 0
    for k in range(0, len(pcm), 533):
        made += len(plain.push(pcm[k : k + 533]) or ())
        assert made / 30 >= (k + 533) / 16_000 - plain.latency - 1e-3 or made == 0


def test_files_are_what_their_samples_are(tmp_path: Path) -> None:
    pcm = np.stack([voice(1.0, 44_100), voice(1.0, 44_100, seed=2)], 1)
    soundfile.write(tmp_path / "a.wav", pcm, 44_100, "FLOAT")
    one = performer()
    assert same(one.perform(tmp_path / "a.wav"), one.perform(pcm, 44_100))
    assert same(one.perform(pcm, 44_100), one.perform(pcm.mean(1), 44_100))


def test_what_is_told_is_seen() -> None:
    one, pcm = performer(), voice(2.0)
    plain = one.perform(pcm)
    assert same(plain, one.perform(pcm, words=[]))
    for other in (
        one.perform(pcm, seed=1), one.perform(pcm, words=WORDS), one.perform(pcm, speaker="anna"),
        one.perform(pcm, other=voice(2.0, seed=3)), one.perform(pcm, head="features"), one.perform(pcm, smooth=False),
    ):  # fmt: skip
        assert not same(plain, other)
    assert same(one.perform(pcm, head="features", seed=1), one.perform(pcm, head="features", seed=2))
    assert same(one.perform(pcm, temperature=0, seed=1), one.perform(pcm, temperature=0, seed=2))
    with_other = one.perform(pcm, other=voice(2.0, seed=3), temperature=2.0)
    told = one.perform(pcm, other=voice(2.0, seed=3), other_words=ANSWER, temperature=2.0)
    assert not same(with_other, told)


def test_an_interlocutor_of_another_length_is_refused_before_a_frame_is_made() -> None:
    one, seen = performer(), list[int]()
    with pytest.raises(UserError, match=r"lasts 1\.0 s, the speaker's 2\.0 s; accepted: the same, within 0\.5 s"):
        one.perform(voice(2.0), other=voice(1.0, 8000), other_rate=8000, progress=seen.append)
    assert not seen
    assert len(one.perform(voice(2.0), other=voice(1.7, 8000), other_rate=8000)) == 60
    with pytest.raises(UserError, match="who is not heard"):
        one.stream(other_words=ANSWER)
    stream = one.stream(other=True)
    stream.push(voice(2.0))
    with pytest.raises(UserError, match="lasts 0.0 s"):
        stream.finish()


def test_words_that_come_later() -> None:
    one, pcm = performer(), voice(2.0)
    stream = one.stream(words=())
    stream.say(WORDS)
    assert same(concatenate([p for p in (stream.push(pcm), stream.finish()) if p]), one.perform(pcm, words=WORDS))
    with pytest.raises(UserError, match="words for a stream without them"):
        one.stream().say(WORDS)


def notes(motion: Motion) -> str:
    return "\n".join(motion.notes)


def test_doubtful_sound_is_told() -> None:
    one = performer()
    assert not one.perform(voice(1.0)).notes
    assert "the sound: silence" in notes(one.perform(np.zeros(16_000, np.int16)))
    assert "8000 samples a second" in notes(one.perform(voice(1.0, 8000), 8000))
    assert "2 channels" in notes(one.perform(np.stack([voice(1.0)] * 2, 1)))
    short = one.perform(voice(0.05))
    assert len(short) == 1 and "0.05 s, shorter than a gesture's smallest part of 4 frames" in notes(short)
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
        performer().perform(pcm)


def test_networks_of_a_folder(tmp_path: Path) -> None:
    for place in (folder(tmp_path), tmp_path / "gesture"):
        one = GesturePipeline.load(place)
        assert one.driver.fingerprint == driver().fingerprint and one.speakers == ("anna", "bert")
    with pytest.raises(UserError, match="no gesture network; train one with"):
        network_folder(tmp_path.parent)
    with pytest.raises(UserError, match="no such folder"):
        network_folder(tmp_path / "no")
    with pytest.raises(UserError, match="moves 15 features; accepted: a network of the 270"):
        GesturePipeline(GestureDriver(network()))
    for speaker in ("carl", 2, [1.0, 2.0]):
        with pytest.raises(UserError, match="accepted"):
            one.stream(speaker=speaker)


def test_manners() -> None:
    made = Manner(0.5, True, 1.5, read_cues(["Not  at all=shake", "big = size"]))
    assert made.cues == (("not at all", "shake"), ("big", "size")) and made.share == 0.5
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
    """What `AvatarGPT` inherits, of a folder."""

    def __init__(self, source: Path) -> None:
        self._source = str(source)

    @property
    def source(self) -> str:
        return self._source


def test_the_public_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avatargpt.gesture.pipeline.word_encoder", lambda name: Spelling())
    assert issubclass(AvatarGPT, SpeechCalls)
    model, pcm, other = Model(folder(tmp_path)), voice(2.0), voice(2.0, 8000, seed=1)
    made = model.gesture(pcm, WORDS, other, ANSWER, speaker="bert", seed=2, other_rate=8000)
    told = {"words": WORDS, "other_words": ANSWER, "speaker": "bert", "seed": 2}
    assert same(made, performer().perform(pcm, other=other, other_rate=8000, **told)) and not made.notes
    stream = model.gesture_stream(words=WORDS, seed=2)
    pieces = [p for p in (stream.push(pcm), stream.finish()) if p is not None]
    assert same(concatenate(pieces), model.gesture(pcm, WORDS, seed=2))
    (tmp_path / "t.ctm").write_text("a 1 0.2 0.3 good\na 1 0.5 0.4 morning\n")
    assert same(model.gesture(pcm, tmp_path / "t.ctm"), performer().perform(pcm, words=WORDS[:2]))
    (tmp_path / "t.ctm").write_text("a 1 0.2 0.3 pracujemy\na 1 0.5 0.4 dzisiaj\n")
    assert "2 of 2 words are in no dictionary" in notes(model.gesture(pcm, tmp_path / "t.ctm"))
    with pytest.raises(UserError, match="word times of this recording"):
        model.gesture(pcm, Words((WordAt("late", 2.1, 2.2),)))
    with pytest.raises(UserError, match="no gesture network"):
        Model(tmp_path.parent).gesture(pcm)
