"""Transcripts laid along sounds: made-up scores, and recordings where they are there."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from avatargpt.face.audio_model.driver import Driver
from avatargpt.face.audio_model.visemes import phone_track
from avatargpt.speech import alignment, transcripts
from avatargpt.speech.alignment import WINDOW, SoundScores, align, align_words
from avatargpt.speech.audio import FPS
from avatargpt.speech.features import WIDTH
from avatargpt.speech.phone_times import STEPS, with_visemes
from avatargpt.speech.phones import ARPABET, Phone
from avatargpt.speech.pronouncing import transcript_words
from avatargpt.speech.words import Word, Words
from avatargpt.train.speech_data.recordings import lj_texts
from vqvae.errors import UserError


@cache
def packaged() -> Driver:
    return Driver.load()


TEXT = "Walk over to the window, please. Now wave at everybody who is passing by!"


def heard(text: str, gap: float = 0.3, seed: int = 0) -> tuple[SoundScores, list[float]]:
    """What a phone head hears of a text spoken at 12 phones a second, a pause at each mark, and its words' onsets."""
    at, phones, onsets = gap, list[Phone](), []
    for word in transcript_words(text):
        onsets.append(at)
        for name in word.pronunciations[0]:
            phones.append(Phone(name.rstrip("012"), at, at + 1 / 12))
            at += 1 / 12
        at += gap if word.pause else 0.0
    frames = round((at + gap) * FPS)
    rng = np.random.default_rng(seed)
    p = rng.random((2 * frames, len(ARPABET))) * 0.02
    p[np.arange(2 * frames), phone_track(phones, frames).ravel()] += 0.8
    p[rng.random(2 * frames) < 0.05] = 1 / len(ARPABET)  # some steps say nothing
    return SoundScores(np.zeros((frames, WIDTH), np.float32), with_visemes(np.log(p / p.sum(1, keepdims=True)))), onsets


def test_words_are_found_where_they_are() -> None:
    sound, onsets = heard(TEXT)
    laid = align_words(sound, transcript_words(TEXT))
    assert [w.text for w in laid.words[:2]] == ["Walk", "over"] and laid.fit > 0.8
    assert max(abs(w.start - t) for w, t in zip(laid.words, onsets, strict=True)) < 0.1  # stops begin in the pause
    window = laid.words[4]
    assert [(p.name, p.stress) for p in window.phones][:3] == [("W", None), ("IH", 1), ("N", None)]


def test_texts_longer_than_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avatargpt.speech.alignment.WINDOW", 10 * STEPS)
    monkeypatch.setattr("avatargpt.speech.alignment.TAIL", 2 * STEPS)
    text = " ".join([TEXT] * 6)
    sound, onsets = heard(text)
    assert len(sound.scores) > 25 * STEPS and WINDOW > 10 * STEPS
    laid = align_words(sound, transcript_words(text))
    assert max(abs(w.start - t) for w, t in zip(laid.words, onsets, strict=True)) < 0.1 and laid.fit > 0.8


def test_other_texts_fit_no_better_than_chance() -> None:
    sound, _ = heard(TEXT)
    other = transcript_words("The committee has approved a budget of five million dollars for roads and bridges.")
    own = transcript_words(TEXT)
    assert align_words(sound, other).fit < alignment.MIN_FIT < alignment.POOR_FIT < align_words(sound, own).fit


def test_known_times_decide_between_places_that_sound_alike() -> None:
    sound, onsets = heard("Yes. Yes. Yes.", gap=1.0)
    for k in range(3):
        laid = align_words(sound, transcript_words("yes"), np.array([[onsets[k], onsets[k] + 0.3]]), 0.3)
        assert abs(laid.words[0].start - onsets[k]) < 0.1


def test_refused_passages_keep_the_times_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pocketsphinx")
    sound, _ = heard(TEXT)
    laid = align_words(sound, transcript_words(TEXT))
    tried: list[tuple[int, int]] = []

    def refuse(decoder: object, audio: object, said: object, passage: alignment.Passage) -> None:
        tried.append((passage.first, passage.stop))

    monkeypatch.setattr(alignment, "_sphinx_words", refuse)
    words, refused = alignment.refine(np.zeros(len(sound.scores) * 800 // 3, np.float32), transcript_words(TEXT), laid)
    assert words == laid.words and [(p.first, p.stop) for p in refused] == [(0, 5), (5, 6), (6, 14)]
    assert tried == [(0, 14), (0, 6), (0, 5), (5, 6), (6, 14)]


def test_what_is_missing_is_said_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = np.zeros(16_000, np.float32)
    monkeypatch.setattr(alignment, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'pip install "avatargpt\[align\]"'):
        align(sound, "hello", packaged(), aligner="pocketsphinx")
    monkeypatch.setattr(transcripts, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'pip install "avatargpt\[asr\]"'):
        transcripts.transcribe(sound, "base", packaged())
    with pytest.raises(UserError, match="accepted: auto, pocketsphinx, network"):
        align(sound, "hello", packaged(), aligner="kaldi")  # type: ignore[arg-type]


NOISE = np.random.default_rng(0).standard_normal(48_000).astype(np.float32) * 0.1


@pytest.mark.parametrize("sound", [np.zeros(32_000, np.float32), np.full(10, 0.1, np.float32), NOISE])
def test_sounds_without_speech_are_refused(sound: np.ndarray) -> None:
    with pytest.raises(UserError, match="transcript does not fit the sound"):
        align(sound, "hello there my friend", packaged())


class FakeWhisper:
    """Hears the given words, in a language."""

    def __init__(self, words: list[tuple[str, float, float]], language: str = "en") -> None:
        self.words, self.language = words, language

    def transcribe(self, samples: np.ndarray, **options: object) -> tuple[list[object], object]:
        class Row:
            def __init__(self, **values: object) -> None:
                self.__dict__.update(values)

        rows = [Row(word=t, start=a, end=b, probability=0.9) for t, a, b in self.words]
        return [Row(words=rows, end=2.0)], Row(language=self.language, language_probability=0.97)


def test_what_whisper_hears() -> None:
    sound = np.zeros(32_000, np.float32)
    whisper = FakeWhisper([(" Hello,", 0.2, 0.7), (" ...", 0.7, 0.8), (" you", 0.6, 2.4)])
    words = transcripts.recognise(whisper, sound, "a.wav")
    assert [(w.text, w.start, w.end) for w in words.words] == [("Hello,", 0.2, 0.6), ("you", 0.6, 2.0)]
    with pytest.raises(UserError, match=r"another language \(de, 97% sure\); accepted: English"):
        transcripts.recognise(FakeWhisper([("Guten", 0, 1)], "de"), sound, "a.wav")
    with pytest.raises(UserError, match="no speech is heard"):
        transcripts.recognise(FakeWhisper([]), sound, "a.wav")


def sentence(shared: Path) -> tuple[Path, str]:
    folder = shared / "data" / "face" / "ljspeech_sample"
    return folder / "wavs" / "LJ001-0002.wav", lj_texts(folder)["LJ001-0002"]


def test_a_real_sentence(shared: Path) -> None:
    path, text = sentence(shared)
    words = align(path, text, packaged(), aligner="network")
    assert words.source == "network" and not words.notes and words.words[0].text == "in"
    assert 0 <= words.words[0].start < 0.15 and 1.6 < words.words[-1].end <= words.seconds
    assert [words.words[s.word].text for s in words.stresses] == ["in", "being", "comparatively", "modern"][-3:]
    near = Words(tuple(Word(w.text, w.start, w.end) for w in words.words))
    assert align(path, "", packaged(), near=near, slack=0.2, aligner="network").words == words.words


def test_pocketsphinx_agrees_with_the_network(shared: Path) -> None:
    pytest.importorskip("pocketsphinx")
    path, text = sentence(shared)
    exact, rough = align(path, text, packaged()), align(path, text, packaged(), aligner="network")
    assert exact.source == "pocketsphinx" and exact.text == rough.text
    assert max(abs(a.start - b.start) for a, b in zip(exact.words, rough.words, strict=True)) < 0.15
    assert all(w.confidence is not None and w.phones for w in exact.words) and len(exact.stresses) >= 3


def test_a_transcript_of_something_else(shared: Path) -> None:
    path, _ = sentence(shared)
    with pytest.raises(UserError, match="LJ001-0002.wav: transcript does not fit the sound: fit 0."):
        align(path, "printing is an old art and the best of its kind", packaged())
