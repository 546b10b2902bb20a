"""The suite of word times: pairs of words, and a small run on one recording."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from avatargpt import evaluation
from avatargpt.evaluation import word_times
from avatargpt.face.audio_model.driver import Driver
from avatargpt.speech.words import Word, Words
from vqvae.errors import UserError


def test_errors_are_those_of_words_that_both_have() -> None:
    true = word_times.Timed("a", np.zeros(0), "", (Word("So", 0.1, 0.2), Word("it's", 0.3, 0.4), Word("me", 0.5, 0.6)))
    found = Words((Word("so,", 0.15, 0.2), Word("um", 0.2, 0.3), Word("me", 0.48, 0.6)), 1.0, "network")
    name, errors, missed, by_network = word_times._errors(true, found)
    assert name == "a" and errors == pytest.approx([50, 20]) and missed == pytest.approx(1 / 3) and by_network == 1
    mixed = Words(found.words, 1.0, "pocketsphinx, network for 2 of 3 words")
    assert word_times._errors(true, mixed)[3] == pytest.approx(2 / 3)


def test_recordings_are_needed(tmp_path: Path) -> None:
    suite = evaluation.load("word_times")
    with pytest.raises(UserError, match="aligned_speech_misc"):
        word_times.score(suite, Driver.load(), None, None)
    (tmp_path / "aligned_speech_misc" / "mfa").mkdir(parents=True)
    with pytest.raises(UserError, match="aligned_speech_misc"):
        word_times.score(suite, Driver.load(), tmp_path, None)
    soundfile.write(tmp_path / "aligned_speech_misc" / "mfa" / "a.wav", np.zeros(16_000), 16_000)
    (tmp_path / "aligned_speech_misc" / "mfa" / "a.TextGrid").write_text("nothing")
    with pytest.raises(UserError, match="no word times in it"):
        word_times.score(suite, Driver.load(), tmp_path, None)


def test_one_real_recording(shared: Path, tmp_path: Path) -> None:
    inside = tmp_path / "aligned_speech_misc" / "librivox_pocketsphinx"
    inside.mkdir(parents=True)
    for path in (shared / "data" / "face" / "aligned_speech_misc" / "librivox_pocketsphinx").glob("*-0890.*"):
        (inside / path.name).write_bytes(path.read_bytes())
    results = word_times.score(evaluation.load("word_times"), Driver.load(), tmp_path, None)["results"]
    assert results["onset/librivox_0890/network"]["mean"] < 40 and results["refused/own"]["mean"] == 0
