import ctypes.util
from pathlib import Path

import numpy as np
import pytest
import soundfile

from avatargpt.face.audio_model.driver import Driver
from avatargpt.face.audio_model.stream import PAIRED_CHANNELS
from avatargpt.face.instructions.scores import feelings_of
from avatargpt.metrics.face_events import count_peaks
from avatargpt.speech.audio import RATE, frames_in, load
from avatargpt.speech.features import WIDTH
from avatargpt.train.speech_data.augment import (
    articulate,
    band,
    colour,
    echo,
    insert_pauses,
    noise,
    recorded,
    telephone,
)
from avatargpt.train.speech_data.clips import (
    SpeechData,
    labelled_clips,
    own_texts,
    parted,
    still_clips,
    synthetic_clips,
    utterances,
)
from avatargpt.train.speech_data.expressions import counted_clips, drawn_clips
from avatargpt.train.speech_data.recordings import LJ_TEST, lj_sentences, paired_clips, timed_speech, transcribed
from instruct_data.face.score import Emotion, Score
from tests.speech.conftest import PHONES, voice
from vqvae.arkit import INDEX
from vqvae.errors import UserError


def power(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(x**2)))


def test_recordings_keep_length_and_place() -> None:
    x = np.zeros(RATE, np.float32)
    x[4000:4400] = voice(1.0)[4000:4400]
    for make in (colour, echo, lambda a, r: band(a, 200, 5000), lambda a, r: telephone(a)):
        y = make(x, np.random.default_rng(0))
        assert len(y) == len(x) and np.isfinite(y).all()
        assert abs(int(np.abs(np.convolve(y**2, np.ones(400), "same")).argmax()) - 4200) < 300
    for seed in range(20):
        y = recorded(x, np.random.default_rng(seed), [voice(1.0, seed=seed)])
        assert len(y) == len(x) and np.abs(y).max() <= 1.0 and np.isfinite(y).all()


def test_articulation_changes_consonants_alone() -> None:
    sound = voice(2.0)
    other = articulate(sound, PHONES, np.random.default_rng(0))
    for p in PHONES:
        part = slice(round(p.start * RATE), round(p.end * RATE))
        assert np.array_equal(sound[part], other[part]) == (p.name in ("AA", "IY", "UW", "AE"))


def test_bands_and_colours_of_noise() -> None:
    low = band(noise(RATE, np.random.default_rng(0), 0.0), 100, 2000)
    spectrum = np.abs(np.fft.rfft(low))
    assert spectrum[4000:].mean() < 0.02 * spectrum[500:1500].mean()
    brown = np.abs(np.fft.rfft(noise(RATE, np.random.default_rng(1), 2.0)))
    assert brown[100:200].mean() > 5 * brown[1000:2000].mean()


def test_pauses_move_what_comes_after() -> None:
    sound = voice(2.0)
    longer, moved = insert_pauses(sound, PHONES, np.random.default_rng(0), 2)
    added = len(longer) / RATE - 2.0
    assert added >= 0.2 and moved[-1].end == pytest.approx(PHONES[-1].end + added, abs=1e-3) or moved[-1] == PHONES[-1]
    for old, new in zip(PHONES, moved, strict=True):
        assert new.end - new.start == pytest.approx(old.end - old.start)
        a, b = (round((p.start + 0.02) * RATE) for p in (old, new))
        assert np.allclose(sound[a : a + 300], longer[b : b + 300])


def test_still_clips_rest() -> None:
    made = list(still_clips(4, 0))
    assert all(c.curves.max() == 0 and len(c.features) == len(c.curves) for c in made)
    assert np.array_equal(made[1].features, list(still_clips(4, 0))[1].features)


def test_utterances_are_of_a_sensible_length() -> None:
    lines = utterances(own_texts(None), np.random.default_rng(0), 50)
    assert len(set(lines)) == 50 and all(20 <= len(t) <= 110 for t in lines)
    with pytest.raises(UserError):
        utterances([], np.random.default_rng(0), 3)


def test_texts_kept_back_are_the_same_whatever_comes_with_them() -> None:
    texts = own_texts(None)
    learnt, kept = parted(texts)
    assert 0.03 < len(kept) / len(texts) < 0.07 and sorted(learnt + kept) == sorted(texts)
    assert not {" ".join(t.lower().split()) for t in learnt} & {" ".join(t.lower().split()) for t in kept}
    assert parted(["x", kept[0].upper(), learnt[0]]) [1][-1:] == [kept[0].upper()]
    with pytest.raises(UserError, match="held_out: 2; accepted up to 1"):
        next(synthetic_clips(learnt, kept[:1], SpeechData(clips=0, held_out=2), None))  # type: ignore[arg-type]


def test_recordings_as_public_corpora_lay_them_out(tmp_path: Path) -> None:
    for path in ("19/198/19-198-0001.flac", "wavs/LJ001-0002.wav", "own/b.wav", "own/silent.wav"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / path, voice(0.5), RATE)
    (tmp_path / "19/198/19-198.trans.txt").write_text("19-198-0001 NORTHANGER ABBEY\n19-198-0002 GONE\n")
    (tmp_path / "metadata.csv").write_text("LJ001-0002|in 1455|in fourteen fifty-five\n")
    (tmp_path / "own/b.lab").write_text("papa\n")
    heard = {s.name: " ".join(s.phones) for s in transcribed(tmp_path, lambda text: tuple(text.split()))}
    said = {"19-198-0001": "northanger abbey", "LJ001-0002": "in fourteen fifty-five", "b": "papa"}
    assert heard == {f"real/{name}": text for name, text in said.items()}


def test_recordings_without_words_or_sounds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from avatargpt.train.command import main

    voices = tmp_path / "voices"
    voices.mkdir()
    soundfile.write(voices / "a.wav", voice(1.0), RATE)
    (voices / "a.txt").write_text("...")
    assert list(transcribed(voices, lambda _: ())) == []
    (voices / "a.txt").write_text("papa")
    assert [s.phones for s in transcribed(voices, lambda _: ("P", "AA"))] == [("P", "AA")]
    config = tmp_path / "speech.yaml"
    config.write_text("data: {}")
    argv = ["speech", "--config", str(config), "--faces", str(tmp_path), "-o", str(tmp_path / "out")]
    assert main([*argv, "--spoken", str(voices)]) == 2 and "--driver" in capsys.readouterr().err
    argv += ["--driver", str(tmp_path)]
    assert main([*argv, "--spoken", str(tmp_path / "no")]) == 2 and "no: no such folder" in capsys.readouterr().err


def test_feelings_become_keyframes() -> None:
    track = feelings_of(Score(5.0, (), (Emotion("happy", 0.5, 0.0, 2.0), Emotion("angry", 0.9, 2.0, 4.0))))
    assert [(f.text, f.strength) for f in track][0] == ("happy", 0.5)
    assert track[-1].strength == 0 and all(a.second < b.second for a, b in zip(track, track[1:], strict=False))
    assert any(f.text == "angry" and f.strength == 0.9 and 2.0 <= f.second <= 2.5 for f in track)


def test_drawn_clips_show_what_their_clauses_say() -> None:
    made = list(drawn_clips(6, 0, "train"))
    assert any(c.clauses for c in made) and any(c.feelings for c in made)
    for c in made:
        for clause in c.clauses:
            inside = c.curves[round(clause.start * 30) : round(clause.end * 30)]
            before = c.curves[: max(1, round((clause.start - 0.3) * 30))]
            if clause is c.clauses[0] and not c.feelings:
                assert np.abs(inside).max() > np.abs(before).max()


def test_counted_clips_do_what_they_say_as_often_as_they_say() -> None:
    made = list(counted_clips(30, 0, "train"))
    assert {c.clauses[0].repeat for c in made} >= {2, 3, 4, 5} and any(len(c.clauses) == 2 for c in made)
    assert any(c.feelings for c in made)
    for c in made:
        counted = next(x for x in c.clauses if x.repeat > 1)
        if len(c.clauses) > 1 or c.feelings or counted.action not in ("blink", "wink_left", "wink_right"):
            continue
        inside = c.curves[round(30 * counted.start) : round(30 * counted.end)]
        lid = inside[:, INDEX["eyeBlinkRight" if counted.action.endswith("right") else "eyeBlinkLeft"]]
        assert count_peaks(lid, 0.6 * lid.max(), 0.75 * lid.max()) == counted.repeat


@pytest.mark.skipif(ctypes.util.find_library("espeak-ng") is None, reason="only building data needs espeak-ng")
def test_espeak_says_its_phones_in_time() -> None:
    from avatargpt.train.speech_data.synthesizers import Espeak

    espeak = Espeak()
    sound, phones = espeak.speak("Bob's map, please. Five shoes.", "en-us", 160)
    names = [p.name for p in phones if p.name != "SIL"]
    assert names[:3] == ["B", "AA", "B"] and "SH" in names and "F" in names
    assert all(a.end <= b.start + 1e-6 for a, b in zip(phones, phones[1:], strict=False))
    vowels = [p for p in phones if p.name in ("AA", "AE", "AY")]
    stops = [p for p in phones if p.name == "P"]
    cut = lambda p: sound[round(p.start * espeak.rate) : round(p.end * espeak.rate)]  # noqa: E731
    assert min(power(cut(p)) for p in vowels) > max(power(cut(p)) for p in stops)
    with pytest.raises(UserError, match="no voice"):
        espeak.speak("a", "nobody")


def test_real_speech_and_faces(shared: Path, driver: Driver) -> None:
    faces = shared / "data" / "face"
    pair = next(paired_clips(faces / "facegood"))
    assert pair.features.shape[1] == WIDTH and len(pair.features) == len(pair.curves)
    assert np.all(np.delete(pair.curves, PAIRED_CHANNELS, axis=1) == 0)
    sentences = list(lj_sentences(faces / "ljspeech_sample"))
    assert [s.split for s in sentences].count("train") == LJ_TEST - 1  # 3 of 32 have a word without phones
    assert [s.split for s in sentences].count("val") == 6
    short = min((s for s in sentences if s.split == "train"), key=lambda s: len(s.audio))
    made = list(labelled_clips([short], driver, 1, 0))
    assert len(made) in (0, 2)  # random weights fit no text, or some by chance
    name, audio, phones = next(timed_speech(faces / "aligned_speech_misc" / "librivox_pocketsphinx"))
    assert phones[-1].end == pytest.approx(len(audio) / RATE, abs=0.2) and name
    sound, rate = load(faces / "voice2motion" / "example.wav")
    assert frames_in(len(sound), rate) > 300
