"""The benchmark of lips on real voices: what is counted, speaker by speaker."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from avatargpt.face.audio_model.driver import Driver
from avatargpt.face.audio_model.network import DriverOutput
from avatargpt.speech.audio import RATE
from avatargpt.speech.phones import ARPABET, Phone
from avatargpt.speech.word_files import write
from avatargpt.speech.words import Word, Words
from benchmarks import lips
from tests.factories import voice
from vqvae.arkit import INDEX, expand
from vqvae.errors import UserError

PHONES = (Phone("M", 0.3, 0.4), Phone("AA", 0.4, 0.9), Phone("F", 0.9, 1.0), Phone("AA", 1.0, 1.3),
          Phone("P", 1.3, 1.4), Phone("S", 1.6, 1.7))  # fmt: skip


def curves(closed: tuple[slice, ...], bitten: tuple[slice, ...]) -> np.ndarray:
    out = np.zeros((60, 55), np.float32)
    out[:, INDEX["jawOpen"]] = 0.3
    for part in (*closed, *bitten):
        out[part, INDEX["jawOpen"]] = 0.05
        for name in expand("mouthPress") if part in closed else ["mouthRollLower"]:
            out[part, INDEX[name]] = 0.5
    return out


def test_hits_false_ones_and_misses() -> None:
    right, wrong = lips.Voice(), lips.Voice()
    shut = (slice(9, 12), slice(39, 42))
    lips.count(right, "a", voice(2.0), list(PHONES), curves(shut, (slice(27, 30),)))
    lips.count(wrong, "a", voice(2.0), list(PHONES), curves((slice(27, 30), slice(48, 51)), ()))
    good, bad, both = lips.figures([right]), lips.figures([wrong]), lips.figures([right, wrong])
    assert good["closure"] == (1.0, 2) and good["contact"] == (1.0, 1) and good["f, v pressed"] == (0.0, 1)
    assert good["false closure"] == (0.0, 2) and right.misses == []  # the f, and the s; vowels are beside a p or m
    assert bad["closure"] == (0.0, 2) and bad["f, v pressed"] == (1.0, 1) and bad["false closure"] == (1.0, 2)
    assert wrong.misses == ["a 0.30 M", "a 0.90 F", "a 1.30 P"] and both["closure"] == (0.5, 4)


def output_of(curves: np.ndarray, logits: np.ndarray, heard: str) -> DriverOutput:
    phones = torch.zeros(1, len(curves), 2, len(ARPABET))
    phones[..., ARPABET.index(heard)] = 9.0
    shown, seal = torch.from_numpy(curves)[None], torch.from_numpy(logits)[None]
    return DriverOutput(shown, shown, phones, seal)


def test_what_the_gate_could_do() -> None:
    logits = np.full(60, -4.0, np.float32)
    logits[[7, 40]] = 2.0  # two frames before the m, in the p
    logits[48] = 0.5  # in the s
    early = lips.Voice()
    lips.count_gate(early, list(PHONES), output_of(curves((), ()), logits, "N"))
    assert early.gate == {1: [-4.0, 2.0], 2: [2.0, 2.0], 3: [2.0, 2.0]} and early.gate_false == [-4.0, 0.5]
    assert [round(x, 2) for x, _ in early.failed] == [0.02, 0.88] and all(other for _, other in early.failed)
    text = lips.curve_lines([early])
    assert "closed, 1 beside   0.500" in text and "closed, 2 beside   1.000" in text
    assert "not closed: 2, gate above 0.5: 1, heard as other phones: 2" in text
    rightly = lips.Voice()
    lips.count_gate(rightly, list(PHONES), output_of(curves((slice(9, 12),), ()), logits, "P"))
    assert rightly.failed == [(early.failed[1][0], False)]
    with pytest.raises(UserError, match="--curve: a driver with a gate"):
        lips.count_gate(rightly, list(PHONES), replace(output_of(curves((), ()), logits, "P"), seal=None))


def test_a_folder_of_speakers(tmp_path: Path, driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("anna", "ben"):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "a.wav", voice(2.0), RATE)
        words = Words((Word("mafap", 0.3, 1.4, PHONES[:5]), Word("s", 1.6, 1.7, PHONES[5:])), 2.0, "hand", ())
        write(words, tmp_path / name / "a.TextGrid")
    soundfile.write(tmp_path / "ben" / "untold.wav", voice(1.0), RATE)  # neither times nor words
    driver.save(tmp_path / "driver")
    monkeypatch.setattr(lips.Driver, "load", lambda path=None: driver)
    rows = lips.run(tmp_path)
    assert list(rows) == ["anna", "ben", "all"] and rows["all"]["closure"]["n"] == 4
    for folder, message in (("nobody", "no such folder"), ("driver", "no sound with phone times")):
        with pytest.raises(UserError, match=message):
            lips.run(tmp_path / folder)
