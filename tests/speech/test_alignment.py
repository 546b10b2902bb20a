"""Transcripts along sounds: paths through phone scores, times put right, words of whole recordings."""

from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from avatargpt.face.audio_model.driver import Driver
from avatargpt.face.audio_model.visemes import phone_track
from avatargpt.speech import alignment, transcripts
from avatargpt.speech.alignment import WINDOW, align, align_words
from avatargpt.speech.audio import RATE
from avatargpt.speech.features import extract
from avatargpt.speech.phone_times import STEPS, spectral_changes, viterbi, with_closures, with_onsets, with_visemes
from avatargpt.speech.phones import ARPABET, INDEX, VISEMES, Phone
from avatargpt.speech.pronouncing import transcript_words
from avatargpt.speech.words import Word, Words
from avatargpt.train.speech_data.recordings import lj_texts
from tests.factories import PHONES, TEXT, phone_scores, phones_at, sound_scores, voice
from vqvae.errors import UserError

NAMES = [p.name for p in PHONES]


@cache
def packaged_driver() -> Driver:
    return Driver.load()


def sharp_scores(phones: list[Phone], frames: int) -> np.ndarray:
    """Log-probabilities of nearly 1 for the true phone at every step."""
    p = np.full((2 * frames, len(ARPABET)), 1e-6)
    p[np.arange(2 * frames), phone_track(phones, frames).ravel()] = 0.9
    scores: np.ndarray = np.log(p)
    return scores


def test_the_path_of_a_text_and_its_fit() -> None:
    path = viterbi(phone_scores(PHONES, 60), NAMES)
    spoken = [p for p in path.phones if p.name != "SIL"]
    assert [p.name for p in spoken] == NAMES and path.fit > -2
    assert max(abs(a.start - b.start) for a, b in zip(spoken, PHONES, strict=True)) < 0.06
    assert path.phones[0].start == 0 and path.phones[-1].end == 2.0
    assert viterbi(phone_scores(PHONES, 60), ["K", "OY", "NG", "TH", "ER", "ZH", "AW", "G"]).fit < path.fit - 1
    without = "without sounds"
    for names, message in ((["AA"] * 20, "do not belong together"), ([], without), (["SIL"], without)):
        with pytest.raises(UserError, match=message):
            viterbi(phone_scores(PHONES, 3), names)


def test_pauses_may_come_anywhere_and_phones_may_be_left_out() -> None:
    moved = [p if p.start < 0.86 else Phone(p.name, p.start + 0.5, p.end + 0.5) for p in PHONES]
    pauses = [p for p in viterbi(phone_scores(moved, 75), NAMES).phones if p.name == "SIL"]
    assert any(0.8 < p.start < 0.95 and p.end > 1.2 for p in pauses)
    without_f = viterbi(phone_scores([p for p in PHONES if p.name != "F"], 60), NAMES).phones
    assert sum(p.end - p.start for p in without_f if p.name == "F") <= 0.034
    scores = sharp_scores(phones_at("M 0.3 AA 0.5 | 0.8"), 30)
    assert viterbi(scores, ["M", "F", "AA"]).fit < viterbi(scores, ["M", "AA"]).fit - 0.1  # leaving one out costs


def test_alignments_are_neither_early_nor_late() -> None:
    off = list[float]()
    for late in np.linspace(0, 1 / 60, 9)[:-1]:
        phones = phones_at(f"M {0.3 + late} AA {0.5 + late} | {0.8 + late}")
        path = viterbi(sharp_scores(phones, 30), ["M", "AA"]).phones
        off += [a.start - b.start for a, b in zip([p for p in path if p.name != "SIL"], phones, strict=True)]
    assert abs(np.mean(off)) < 0.003  # neither early nor late on average


def test_phone_scores_of_a_driver(driver: Driver) -> None:
    rows = driver.phone_scores(extract(voice(1.0), RATE))
    assert rows.shape == (60, len(ARPABET)) and INDEX["SIL"] == 0
    assert np.allclose(np.exp(rows).sum(1), 1, atol=1e-4)


def test_right_times_lie_where_the_sound_changes() -> None:
    t = np.arange(2 * RATE) / RATE
    tones = np.where(t < 0.8, np.sin(2 * np.pi * 300 * t), np.sin(2 * np.pi * 2500 * t))
    noise = np.random.default_rng(0).standard_normal(len(t))
    sound = np.asarray(0.1 * tones * (t >= 0.3) + 1e-3 * noise, np.float32)
    changes = {
        early: spectral_changes(sound, [Phone("SIL", 0, 0.3), *phones_at(f"M {0.3 - early} S {0.8 - early} | 2")])
        for early in (0.0, -0.05, -0.03, 0.03, 0.05)
    }
    right = changes.pop(0.0)
    assert len(right) == 2 and min(right) > 2  # pauses do not count
    assert all(min(right) > max(wrong) + 1 for wrong in changes.values())


def test_looking_alike_counts_half() -> None:
    assert sorted(p for g in VISEMES for p in g) == sorted(ARPABET)
    p = np.full((1, len(ARPABET)), 1e-6)
    p[0, INDEX["P"]] = 1.0
    seen = np.exp(with_visemes(np.log(p)))[0]
    assert seen[INDEX["P"]] == pytest.approx(1.0, abs=1e-3) and seen[INDEX["M"]] == pytest.approx(0.5, abs=1e-3)
    assert seen[INDEX["T"]] < 1e-3


def test_the_silence_before_a_burst_is_its_closure() -> None:
    closed = with_closures(phones_at("SIL 0 P 0.5 AA 0.53 SIL 0.7 T 0.78 SIL 0.8 M 0.9 | 1"))
    rounded = [Phone(p.name, round(p.start, 2), round(p.end, 2)) for p in closed]
    assert rounded == phones_at("SIL 0 P 0.43 AA 0.53 T 0.7 SIL 0.8 M 0.9 | 1")


def test_soft_sounds_after_a_pause_begin_where_the_sound_rises() -> None:
    rng = np.random.default_rng(0)
    audio = rng.normal(0, 1e-4, RATE).astype(np.float32)
    audio[RATE // 2 :] += rng.normal(0, 0.03, RATE // 2).astype(np.float32)

    def placed(text: str) -> list[Phone]:
        return with_onsets(phones_at(text), extract(audio, RATE))

    soft = placed("SIL 0 HH 0.58 AH 0.6 L 0.62 | 0.7")
    start = soft[0].end
    assert start == pytest.approx(0.5, abs=0.02)  # a window of 25 ms holds half of it before its end
    assert soft == phones_at(f"SIL 0 HH {start} AH {(start + 0.62) / 2} L 0.62 | 0.7")
    assert placed("SIL 0 AA 0.58 | 0.7") == phones_at(f"SIL 0 AA {start} | 0.7")
    for unchanged in (
        "SIL 0 P 0.58 | 0.7",  # a closure is silent
        "SIL 0 AA 0.05 SIL 0.4 AA 0.45 | 0.7",  # no pauses
        "SIL 0 AA 0.3 | 0.7",  # quiet before it
    ):
        assert placed(unchanged) == phones_at(unchanged)
    assert placed("SIL 0 AA 0.9 | 1")[0].end >= 0.9 - 0.12 - 1e-6


@pytest.mark.parametrize(("seconds", "copies"), [(WINDOW / STEPS, 1), (10, 6)])
def test_words_are_where_they_are_spoken(monkeypatch: pytest.MonkeyPatch, seconds: float, copies: int) -> None:
    monkeypatch.setattr("avatargpt.speech.alignment.WINDOW", round(seconds * STEPS))
    monkeypatch.setattr("avatargpt.speech.alignment.TAIL", 2 * STEPS)
    text = " ".join([TEXT] * copies)
    sound, onsets = sound_scores(text)
    assert (len(sound.scores) > 2.5 * seconds * STEPS) == (copies > 1)
    aligned = align_words(sound, transcript_words(text))
    assert [w.text for w in aligned.words[:2]] == ["Walk", "over"] and aligned.fit > 0.8
    assert max(abs(w.start - t) for w, t in zip(aligned.words, onsets, strict=True)) < 0.1  # stops begin in the pause
    assert [(p.name, p.stress) for p in aligned.words[4].phones][:3] == [("W", None), ("IH", 1), ("N", None)]


def test_other_texts_fit_no_better_than_chance() -> None:
    sound, _ = sound_scores(TEXT)
    other = transcript_words("The committee has approved a budget of five million dollars for roads and bridges.")
    right = transcript_words(TEXT)
    assert align_words(sound, other).fit < alignment.MIN_FIT < alignment.POOR_FIT < align_words(sound, right).fit


def test_known_times_decide_between_places_that_sound_alike() -> None:
    sound, onsets = sound_scores("Yes. Yes. Yes.", gap=1.0)
    for k in range(3):
        aligned = align_words(sound, transcript_words("yes"), np.array([[onsets[k], onsets[k] + 0.3]]), 0.3)
        assert abs(aligned.words[0].start - onsets[k]) < 0.1


def test_refused_passages_keep_the_times_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pocketsphinx")
    sound, _ = sound_scores(TEXT)
    aligned = align_words(sound, transcript_words(TEXT))
    tries: list[tuple[int, int]] = []

    def refuse(decoder: object, audio: object, words: object, passage: alignment.Passage) -> None:
        tries.append((passage.first, passage.stop))

    monkeypatch.setattr(alignment, "sphinx_words", refuse)
    audio = np.zeros(len(sound.scores) * 800 // 3, np.float32)
    words, refused = alignment.refine(audio, transcript_words(TEXT), aligned)
    assert words == aligned.words and [(p.first, p.stop) for p in refused] == [(0, 5), (5, 6), (6, 14)]
    assert tries == [(0, 14), (0, 6), (0, 5), (5, 6), (6, 14)]


def test_missing_packages_and_unknown_aligners(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = np.zeros(16_000, np.float32)
    for module in (alignment, transcripts):
        monkeypatch.setattr(module, "find_spec", lambda name: None)
    for call, message in (
        (lambda: align(sound, "hello", packaged_driver(), aligner="pocketsphinx"), r'pip install "avatargpt\[align\]"'),
        (lambda: transcripts.transcribe(sound, "base", packaged_driver()), r'pip install "avatargpt\[asr\]"'),
        (lambda: align(sound, "hello", packaged_driver(), aligner="kaldi"), "accepted: auto, pocketsphinx, network"),
    ):
        with pytest.raises(UserError, match=message):
            call()


NOISE = np.random.default_rng(0).standard_normal(48_000).astype(np.float32) * 0.1


@pytest.mark.parametrize("sound", [np.zeros(32_000, np.float32), np.full(10, 0.1, np.float32), NOISE])
def test_sounds_without_speech_are_refused(sound: np.ndarray) -> None:
    with pytest.raises(UserError, match="does not fit the sound"):
        align(sound, "hello there my friend", packaged_driver())


def whisper(*words: tuple[str, float, float], language: str = "en") -> Any:
    """A model that recognises the given words."""
    rows = [SimpleNamespace(word=t, start=a, end=b, probability=0.9) for t, a, b in words]
    result = [SimpleNamespace(words=rows, end=2.0)], SimpleNamespace(language=language, language_probability=0.97)
    return SimpleNamespace(transcribe=lambda samples, **options: result)


def test_words_that_whisper_recognises() -> None:
    sound = np.zeros(32_000, np.float32)
    model = whisper((" Hello,", 0.2, 0.7), (" ...", 0.7, 0.8), (" you", 0.6, 2.4))
    words = transcripts.recognise(model, sound, "a.wav")
    assert [(w.text, w.start, w.end) for w in words.words] == [("Hello,", 0.2, 0.6), ("you", 0.6, 2.0)]
    german = whisper(("Guten", 0, 1), language="de")
    other = r"another language \(de, 97% sure\); accepted: English"
    for model, message in ((german, other), (whisper(), "no speech is heard")):
        with pytest.raises(UserError, match=message):
            transcripts.recognise(model, sound, "a.wav")


def sentence(shared: Path) -> tuple[Path, str]:
    folder = shared / "data" / "face" / "ljspeech_sample"
    return folder / "wavs" / "LJ001-0002.wav", lj_texts(folder)["LJ001-0002"]


def test_a_real_sentence(shared: Path) -> None:
    path, text = sentence(shared)
    words = align(path, text, packaged_driver(), aligner="network")
    assert words.source == "network" and not words.notes and words.words[0].text == "in"
    assert 0 <= words.words[0].start < 0.15 and 1.6 < words.words[-1].end <= words.seconds
    assert [words.words[s.word].text for s in words.stresses] == ["in", "being", "comparatively", "modern"][-3:]
    known = Words(tuple(Word(w.text, w.start, w.end) for w in words.words))
    assert align(path, "", packaged_driver(), near=known, slack=0.2, aligner="network").words == words.words
    with pytest.raises(UserError, match="LJ001-0002.wav: transcript, read as English, does not fit the sound: fit 0."):
        align(path, "printing is an old art and the best of its kind", packaged_driver())


def test_pocketsphinx_agrees_with_the_network(shared: Path) -> None:
    pytest.importorskip("pocketsphinx")
    path, text = sentence(shared)
    exact, rough = align(path, text, packaged_driver()), align(path, text, packaged_driver(), aligner="network")
    assert exact.source == "pocketsphinx" and exact.text == rough.text
    assert max(abs(a.start - b.start) for a, b in zip(exact.words, rough.words, strict=True)) < 0.15
    assert all(w.confidence is not None and w.phones for w in exact.words) and len(exact.stresses) >= 3
