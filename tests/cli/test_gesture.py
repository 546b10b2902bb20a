"""``avatargpt gesture``: what is written, what is told, what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from avatargpt.face.audio_model.driver import Driver
from avatargpt.speech import alignment, transcripts, word_files
from avatargpt.speech.words import Word, Words
from tests.cli.conftest import Cli, Result
from tests.cli.test_bad_input import assert_refused
from tests.gesture.conftest import Spelling, model_folder, pipeline, same
from tests.speech.conftest import voice
from tests.words.test_alignment import TEXT, heard
from vqvae.io import pos7
from vqvae.motion import Motion

MADE, ONSETS = heard(TEXT)
SECONDS = len(MADE.features) / 30


@pytest.fixture
def gesture(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``avatargpt gesture ARGS`` with a small network, whose words are spelled; what any sound says is `TEXT`."""
    monkeypatch.setitem(sys.modules, "faster_whisper", None)  # as without the extra, installed or not
    monkeypatch.setattr("avatargpt.gesture.pipeline.word_encoder", lambda name: Spelling())
    for module in (alignment, transcripts):
        monkeypatch.setattr(module, "score_sound", lambda model, samples: MADE)
    monkeypatch.setattr(Driver, "load", classmethod(lambda cls, place=None: None))
    monkeypatch.setattr(alignment, "has_pocketsphinx", lambda: False)
    monkeypatch.setattr("avatargpt.speech.transcripts._excerpt", lambda *_: np.zeros(9, np.float32))
    weights = model_folder(tmp_path / "weights")
    return lambda *argv: cli("gesture", *argv, "--model", weights)


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """A sound as long as `TEXT` is."""
    soundfile.write(tmp_path / "talk.wav", voice(SECONDS, 22_050), 22_050)
    return tmp_path / "talk.wav"


def test_every_format_is_written(gesture: Any, talk: Path, tmp_path: Path) -> None:
    names = [tmp_path / f"a{s}" for s in (".npz", ".bvh", ".glb", ".npy", ".png")]
    out = gesture(talk, *(part for name in names for part in ("-o", name)))
    assert out.code == 0 and out.lines == [str(n) for n in names] and all(n.stat().st_size for n in names)
    made, wanted = Motion.load(names[0]), pipeline().perform(talk)
    assert same(made, wanted) and made.caption == "talk" and len(made) == int(SECONDS * 30)
    assert np.load(names[3]).shape == (len(made), *pos7.SHAPE)
    assert out.err.splitlines() == [f"{talk}: words are off; they come with --transcript, or from Whisper "
                                    '(pip install "avatargpt[asr]")']  # fmt: skip


def test_films_have_the_sound(gesture: Any, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    soundfile.write(tmp_path / "a.wav", voice(0.5), 16_000)
    names = [tmp_path / "a.mp4", tmp_path / "a.mov"]
    assert gesture(tmp_path / "a.wav", "--asr", "off", "-o", names[0], "-o", names[1], "--size", 64).code == 0
    for name in names:
        with av.open(str(name)) as film:
            assert [s.type for s in film.streams] == ["video", "audio"] and film.streams.video[0].frames == 15
            assert max(float(np.abs(f.to_ndarray()).max()) for f in film.decode(audio=0)) > 0.05
    assert b"ftypqt" in names[1].read_bytes()[:16]


def test_words_are_laid_along_the_sound(gesture: Any, talk: Path, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text(TEXT)
    results = [gesture(talk, "--transcript", t, "-o", tmp_path / "a.npz", "--json") for t in (TEXT, tmp_path / "t.txt")]
    for out in results:
        row = json.loads(out.out)["results"][0]
        assert (row["words"], row["times"], row["notes"]) == (14, "network", []) and out.err == ""
    words = alignment.align(talk, TEXT, Driver.load()).words
    assert same(Motion.load(tmp_path / "a.npz"), pipeline().perform(talk, words=words))


def timed(shift: float = 0.0, text: str = TEXT) -> Words:
    said = [w.strip(".,!") for w in text.split()]
    ends = [*ONSETS[1:], SECONDS - 0.2]
    return Words(tuple(Word(w, a + shift, b + shift) for w, a, b in zip(said, ONSETS, ends, strict=True)))


def test_word_times_of_files_are_kept_and_compared(gesture: Any, talk: Path, tmp_path: Path) -> None:
    word_files.write(timed(), tmp_path / "t.TextGrid")
    out = gesture(talk, "--transcript", tmp_path / "t.TextGrid", "-o", tmp_path / "a.npz", "--json")
    assert out.err == "" and json.loads(out.out)["results"][0]["words"] == 14
    others = " ".join("Printing in the only sense with which we are at present concerned differs much".split()[:14])
    word_files.write(timed(text=others), tmp_path / "o.ctm")
    out = gesture(talk, "--transcript", tmp_path / "o.ctm", "-o", tmp_path / "a.npz")
    assert out.code == 0 and "do not seem to be spoken in" in out.err
    word_files.write(timed(), tmp_path / "t.srt")  # cues: laid along the sound
    out = gesture(talk, "--transcript", tmp_path / "t.srt", "-o", tmp_path / "a.npz", "--json")
    assert json.loads(out.out)["results"][0]["times"] == "network"


def refused(out: Result, *words: str) -> None:
    assert_refused(out, *words)


def test_transcripts_that_do_not_fit(gesture: Any, talk: Path, tmp_path: Path) -> None:
    def said(transcript: object, *words: str) -> None:
        refused(gesture(talk, "--transcript", transcript, "-o", tmp_path / "a.npz"), *words)

    def file(name: str, text: str) -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    said(
        "Printing, in the only sense with which we are at present concerned, differs.", "does not fit the sound", "fit"
    )
    said(" ".join([TEXT] * 9), "does not fit the sound")
    said("", "has no words")
    said(file("e.txt", " \n"), "empty file")
    said(tmp_path / "missing.TextGrid", "missing.TextGrid", "No such file")
    said("missing.srt", "No such file")
    said("Ну вот, доброе утро", "not written in the letters a to z")
    said(file("c.TextGrid", 'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax ='), "c.TextGrid")
    said(file("j.json", '{"words": [{"word": "a", "start": 1, "end":'), "j.json")
    late = timed(shift=0.15 + SECONDS - timed().words[-1].end)
    word_files.write(late, tmp_path / "late.ctm")
    said(tmp_path / "late.ctm", "late.ctm", "the sound ends at")
    word_files.write(timed(shift=60), tmp_path / "other.srt")
    said(tmp_path / "other.srt", "word times of this recording")
    fast = [{"word": "go", "start": k / 50, "end": k / 50 + 0.01} for k in range(100)]
    said(file("fast.json", json.dumps({"words": fast})), "words a second; accepted: up to 9")
    assert not (tmp_path / "a.npz").exists()


def test_times_of_words_that_are_not_english(gesture: Any, talk: Path, tmp_path: Path) -> None:
    strange = [*"Ну вот доброе утро дамы и господа".split(), "the"]
    rows = [{"word": w, "start": k / 3, "end": k / 3 + 0.2} for k, w in enumerate(strange)]
    (tmp_path / "r.json").write_text(json.dumps({"words": rows}))
    out = gesture(talk, "--transcript", tmp_path / "r.json", "-o", tmp_path / "a.npz")
    assert out.code == 0 and "7 of 8 words are in no dictionary (Ну, вот, доброе, утро, дамы ...); is it" in out.err


def test_what_else_is_refused(gesture: Any, cli: Cli, talk: Path, tmp_path: Path) -> None:
    to = ("-o", tmp_path / "a.npz")
    soundfile.write(tmp_path / "long.wav", voice(SECONDS + 1, 8000), 8000)
    refused(
        gesture(talk, "--interlocutor", tmp_path / "long.wav", *to), "the interlocutor's sound lasts", "within 0.5 s"
    )
    refused(gesture(talk, "--interlocutor-transcript", "hello", *to), "accepted with --interlocutor")
    refused(gesture(talk, "--transcript", "hello", "--asr", "base", *to), "accepted without --transcript")
    refused(gesture(talk, "--asr", "base", *to), "faster-whisper is not installed")
    refused(gesture(talk, "--speaker", "carl", *to), "no speaker 'carl'; accepted: anna, bert")
    refused(gesture(talk, "--head", "arms", *to), "--head arms: accepted codes, features")
    refused(gesture(talk, "--temperature", "3", *to), "accepted 0 to 2")
    refused(gesture(talk, "--energy", "3", *to), "--energy 3; accepted: 0.2 to 2")
    refused(gesture(talk, "--semantic", "2", *to), "--semantic 2; accepted: 0 to 1")
    refused(gesture(talk, "--cue", "big", *to), "--cue 'big'; accepted: WORD=GESTURE")
    refused(gesture(talk, "--size", 64, *to), "none of the output files is a film")
    refused(gesture(talk, "-o", talk), "cannot be written as .wav")
    refused(gesture(tmp_path / "no.wav", *to), "no.wav")
    refused(cli("gesture", talk, *to, "--model", tmp_path), "no gesture network")
    assert not (tmp_path / "a.npz").exists()


def test_doubtful_sound_is_told(gesture: Any, tmp_path: Path) -> None:
    to = ("-o", tmp_path / "a.npz", "--asr", "off")
    for name, pcm, rate, message in (
        ("silence", np.zeros(16_000), 16_000, "silence"), ("phone", voice(1.0, 8000), 8000, "8000 samples a second"),
        ("stereo", np.stack([voice(1.0)] * 2, 1), 16_000, "2 channels"),
        ("short", voice(0.05), 16_000, "this is a pose"),
    ):  # fmt: skip
        soundfile.write(tmp_path / f"{name}.wav", pcm, rate)
        out = gesture(tmp_path / f"{name}.wav", *to)
        assert out.code == 0 and len(out.err.splitlines()) == 1 and message in out.err
        assert out.err.startswith(f"warning: {tmp_path / name}.wav: ")


def test_two_voices(gesture: Any, talk: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "b.wav", voice(SECONDS, seed=4), 16_000)
    both = (talk, "--interlocutor", tmp_path / "b.wav", "--asr", "off")
    gesture(*both, "-o", tmp_path / "a.npz")
    gesture(*both, "--interlocutor-transcript", TEXT, "-o", tmp_path / "b.npz")
    made = Motion.load(tmp_path / "a.npz")
    assert same(made, pipeline().perform(talk, other=tmp_path / "b.wav"))
    assert not same(made, Motion.load(tmp_path / "b.npz"))
