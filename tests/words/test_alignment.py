"""Transcripts laid along sounds: made-up scores, and recordings where they are there."""

from pathlib import Path

import numpy as np
import pytest

from avatargpt.face.audio_model.features import WIDTH
from avatargpt.face.audio_model.visemes import phone_track
from avatargpt.face.words import align as aligning
from avatargpt.face.words import sphinx, whisper
from avatargpt.face.words.align import align
from avatargpt.face.words.network import WINDOW, Heard, lay_words
from avatargpt.face.words.phone_times import STEPS, visible
from avatargpt.speech.audio import FPS
from avatargpt.speech.phones import ARPABET, Phone
from avatargpt.speech.pronouncing.spoken import spoken
from avatargpt.speech.words.words import Word, Words
from avatargpt.train.speech_data.recordings import lj_texts
from vqvae.errors import UserError

TEXT = "Walk over to the window, please. Now wave at everybody who is passing by!"


def heard(text: str, gap: float = 0.3, seed: int = 0) -> tuple[Heard, list[float]]:
    """What a phone head hears of a text spoken at 12 phones a second, a pause at each mark, and its words' onsets."""
    at, phones, onsets = gap, list[Phone](), []
    for word in spoken(text):
        onsets.append(at)
        for name in word.ways[0]:
            phones.append(Phone(name.rstrip("012"), at, at + 1 / 12))
            at += 1 / 12
        at += gap if word.pause else 0.0
    frames = round((at + gap) * FPS)
    rng = np.random.default_rng(seed)
    p = rng.random((2 * frames, len(ARPABET))) * 0.02
    p[np.arange(2 * frames), phone_track(phones, frames).ravel()] += 0.8
    p[rng.random(2 * frames) < 0.05] = 1 / len(ARPABET)  # some steps say nothing
    return Heard(np.zeros((frames, WIDTH), np.float32), visible(np.log(p / p.sum(1, keepdims=True)))), onsets


def test_words_are_found_where_they_are() -> None:
    sound, onsets = heard(TEXT)
    laid = lay_words(sound, spoken(TEXT))
    assert [w.text for w in laid.words[:2]] == ["Walk", "over"] and laid.fit > 0.8
    assert max(abs(w.start - t) for w, t in zip(laid.words, onsets, strict=True)) < 0.1  # stops begin in the pause
    window = laid.words[4]
    assert [(p.name, p.stress) for p in window.phones][:3] == [("W", None), ("IH", 1), ("N", None)]


def test_texts_longer_than_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avatargpt.face.words.network.WINDOW", 10 * STEPS)
    monkeypatch.setattr("avatargpt.face.words.network.TAIL", 2 * STEPS)
    text = " ".join([TEXT] * 6)
    sound, onsets = heard(text)
    assert len(sound.scores) > 25 * STEPS and WINDOW > 10 * STEPS
    laid = lay_words(sound, spoken(text))
    assert max(abs(w.start - t) for w, t in zip(laid.words, onsets, strict=True)) < 0.1 and laid.fit > 0.8


def test_other_texts_fit_no_better_than_chance() -> None:
    sound, _ = heard(TEXT)
    other = spoken("The committee has approved a budget of five million dollars for roads and bridges.")
    assert lay_words(sound, other).fit < aligning.REFUSED < aligning.POOR < lay_words(sound, spoken(TEXT)).fit


def test_known_times_decide_between_places_that_sound_alike() -> None:
    sound, onsets = heard("Yes. Yes. Yes.", gap=1.0)
    for k in range(3):
        laid = lay_words(sound, spoken("yes"), np.array([[onsets[k], onsets[k] + 0.3]]), 0.3)
        assert abs(laid.words[0].start - onsets[k]) < 0.1


def test_refused_passages_keep_the_times_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pocketsphinx")
    sound, _ = heard(TEXT)
    laid = lay_words(sound, spoken(TEXT))
    tried: list[tuple[int, int]] = []

    def refuse(decoder: object, audio: object, said: object, passage: sphinx.Passage) -> None:
        tried.append((passage.first, passage.stop))

    monkeypatch.setattr(sphinx, "_aligned", refuse)
    words, refused = sphinx.refine(np.zeros(len(sound.scores) * 800 // 3, np.float32), spoken(TEXT), laid)
    assert words == laid.words and [(p.first, p.stop) for p in refused] == [(0, 5), (5, 6), (6, 14)]
    assert tried == [(0, 14), (0, 6), (0, 5), (5, 6), (6, 14)]


def test_what_is_missing_is_said_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = np.zeros(16_000, np.float32)
    monkeypatch.setattr(sphinx, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'pip install "avatargpt\[align\]"'):
        align(sound, "hello", aligner="pocketsphinx")
    monkeypatch.setattr(whisper, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'pip install "avatargpt\[asr\]"'):
        whisper.transcribe(sound, "base")
    with pytest.raises(UserError, match="accepted: auto, pocketsphinx, network"):
        align(sound, "hello", aligner="kaldi")  # type: ignore[arg-type]


NOISE = np.random.default_rng(0).standard_normal(48_000).astype(np.float32) * 0.1


@pytest.mark.parametrize("sound", [np.zeros(32_000, np.float32), np.full(10, 0.1, np.float32), NOISE])
def test_sounds_without_speech_are_refused(sound: np.ndarray) -> None:
    with pytest.raises(UserError, match="transcript does not fit the sound"):
        align(sound, "hello there my friend")


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
    words = whisper.heard(FakeWhisper([(" Hello,", 0.2, 0.7), (" ...", 0.7, 0.8), (" you", 0.6, 2.4)]), sound, "a.wav")
    assert [(w.text, w.start, w.end) for w in words.words] == [("Hello,", 0.2, 0.6), ("you", 0.6, 2.0)]
    with pytest.raises(UserError, match=r"another language \(de, 97% sure\); accepted: English"):
        whisper.heard(FakeWhisper([("Guten", 0, 1)], "de"), sound, "a.wav")
    with pytest.raises(UserError, match="no speech is heard"):
        whisper.heard(FakeWhisper([]), sound, "a.wav")


def sentence(shared: Path) -> tuple[Path, str]:
    folder = shared / "data" / "face" / "ljspeech_sample"
    return folder / "wavs" / "LJ001-0002.wav", lj_texts(folder)["LJ001-0002"]


def test_a_real_sentence(shared: Path) -> None:
    path, text = sentence(shared)
    words = align(path, text, aligner="network")
    assert words.source == "network" and not words.notes and words.words[0].text == "in"
    assert 0 <= words.words[0].start < 0.15 and 1.6 < words.words[-1].end <= words.seconds
    assert [words.words[s.word].text for s in words.stresses] == ["in", "being", "comparatively", "modern"][-3:]
    near = Words(tuple(Word(w.text, w.start, w.end) for w in words.words))
    assert align(path, near=near, slack=0.2, aligner="network").words == words.words


def test_pocketsphinx_agrees_with_the_network(shared: Path) -> None:
    pytest.importorskip("pocketsphinx")
    path, text = sentence(shared)
    exact, rough = align(path, text), align(path, text, aligner="network")
    assert exact.source == "pocketsphinx" and exact.text == rough.text
    assert max(abs(a.start - b.start) for a, b in zip(exact.words, rough.words, strict=True)) < 0.15
    assert all(w.confidence is not None and w.phones for w in exact.words) and len(exact.stresses) >= 3


def test_a_transcript_of_something_else(shared: Path) -> None:
    path, _ = sentence(shared)
    with pytest.raises(UserError, match="LJ001-0002.wav: transcript does not fit the sound: fit 0."):
        align(path, "printing is an old art and the best of its kind")
