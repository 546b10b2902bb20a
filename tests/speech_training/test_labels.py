"""Phone times of recorded speech, and whether the sound bears them out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from avatargpt.speech.audio import RATE
from avatargpt.speech.phones import Phone
from avatargpt.train.speech_data import labels, recordings
from avatargpt.train.speech_data.clips import align_sentences
from avatargpt.train.speech_data.labels import Labeller, dips
from avatargpt.train.speech_data.recordings import Sentence
from tests.factories import voice
from vqvae.errors import UserError

PHONES = [Phone(*p) for p in (("AA", 0.2, 0.6), ("M", 0.6, 0.7), ("AA", 0.7, 1.2), ("S", 1.2, 1.3), ("F", 1.3, 1.4))]


def hummed(start: float, end: float) -> np.ndarray:
    """A vowel, behind closed lips between two times: its lowest harmonics remain."""
    t = np.arange(round(1.6 * RATE)) / RATE
    lowest, higher = (0.05 * sum(np.sin(2 * np.pi * 120 * k * t) / k for k in part) for part in ((1, 2), range(3, 20)))
    return np.asarray(lowest + higher * ((t < start) | (t >= end)), np.float32)


def test_a_labial_is_weaker_than_the_vowel_beside_it() -> None:
    ((phone, dip),) = dips(hummed(0.6, 0.7), PHONES)  # the f stands beside no vowel
    assert phone.name == "M" and dip > labels.MIN_DIP
    assert dips(hummed(0.9, 1.0), PHONES)[0][1] < labels.MIN_DIP
    assert dips(hummed(0.6, 0.7), [Phone("P", 9.0, 9.1), Phone("AA", 9.1, 9.2)]) == []  # beyond the sound


def test_doubtful_sentences_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pocketsphinx")
    sentences = [Sentence("a/1", voice(2.0), ("AA", "P"), "train", "papa"),
                 Sentence("a/2", voice(0.1), ("P",) * 30, "train", "papa")]  # fmt: skip
    labeller = Labeller()
    monkeypatch.setattr(labeller, "by_sphinx", lambda audio, text: PHONES)
    monkeypatch.setattr(labels, "MIN_DIP", -1e9)
    assert [s.name for s in align_sentences(sentences, labeller)] == ["a/1"]
    assert labeller.left_out == {"too many phones for its time": 1}
    monkeypatch.setattr(labels, "MIN_DIP", 1e9)
    assert not list(align_sentences(sentences[:1], labeller))
    assert labeller.left_out["a labial that the sound does not show"] == 1
    monkeypatch.undo()
    strange = Sentence("a/3", voice(1.0), ("AA",), "train", "\u043d\u0435\u0442")  # not in the letters of English
    assert not list(align_sentences([strange], labeller))
    assert labeller.left_out["text and sound do not fit"] == 1
    assert not list(align_sentences([replace(strange, text="")], labeller))
    assert labeller.left_out["another language than English"] == 1


def test_pocketsphinx_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "has_pocketsphinx", lambda: False)
    with pytest.raises(UserError, match=r'pip install "avatargpt\[align\]"'):
        Labeller()


def test_times_of_a_real_voice(shared: Path) -> None:
    pytest.importorskip("pocketsphinx")
    folder = shared / "data" / "face" / "aligned_speech_misc" / "librivox_pocketsphinx"
    name, audio, given = next(recordings.load_timed_speech(folder))
    text = (folder / f"{name}.txt").read_text(encoding="utf-8")
    phones = Labeller().by_sphinx(audio, text)
    assert phones is not None
    labials = [[p for p in x if p.name in labels.LABIAL] for x in (phones, given)]
    assert [p.name for p in labials[0]] == [p.name for p in labials[1]]
    assert np.median([abs(a.end - b.end) for a, b in zip(*labials, strict=True)]) < 0.03
    assert min(dip for _, dip in dips(audio, phones)) > labels.MIN_DIP
