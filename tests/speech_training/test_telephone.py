"""Readers of spoken digits and of a switchboard's announcements."""

import gzip
from pathlib import Path

import numpy as np
import soundfile

from avatargpt.speech.audio import RATE
from avatargpt.train.speech_data.clips import sentences_of
from avatargpt.train.speech_data.telephone import QUIET


def pronounce(text: str) -> tuple[str, ...]:
    return tuple(text.upper().split())


def write_sound(path: Path, seconds: float = 0.5) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full(round(8000 * seconds), 0.1, np.float32), 8000)


def test_digits_are_read_speaker_by_speaker(tmp_path: Path) -> None:
    for name in ("7_anna_0", "0_anna_1", "3_george_12"):
        write_sound(tmp_path / "recordings" / f"{name}.wav")
    rows = list(sentences_of(tmp_path, pronounce))
    assert [r.name.split("/")[1] for r in rows] == ["anna", "anna", "george"]
    assert {(r.text, r.split) for r in rows} == {("seven", "train"), ("zero", "train"), ("three", "val")}
    edge = round(QUIET * RATE) - 40  # resampling blurs the edges
    assert len(rows[0].audio) == round((0.5 + 2 * QUIET) * RATE) and not rows[0].audio[:edge].any()
    assert rows[2].phones == ("THREE",)


def test_announcements_are_those_that_are_words(tmp_path: Path) -> None:
    for name in ("activated", "beep", "vm-goodbye"):
        write_sound(tmp_path / "sounds" / f"{name}.wav")
    table = "; comment\nactivated: Activated.\nbeep: [this is a beep]\nphonetic/vm-goodbye: Good bye\nlost: Lost.\n"
    (tmp_path / "core-sounds-en.txt.gz").write_bytes(gzip.compress(table.encode()))
    rows = list(sentences_of(tmp_path, pronounce))
    assert {(r.name, r.text) for r in rows} == {
        ("announcements/allison/activated", "Activated."), ("announcements/allison/phonetic/vm-goodbye", "Good bye"),
    }  # fmt: skip
