"""``avatargpt align``: what is refused, and what is written and printed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from avatargpt.speech import alignment, word_files
from avatargpt.speech.words import Word, Words
from tests.cli.test_bad_input import assert_refused
from tests.words.test_words import SAID


@pytest.fixture
def talk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sound whose words are known: `SAID`, whatever the transcript; what was asked is kept in `asked`."""
    soundfile.write(tmp_path / "talk.wav", np.zeros(32_000), 16_000)
    asked.clear()

    def align(audio: Path, transcript: str, driver: object, near: Words | None = None, **options: object) -> Words:
        asked.append((transcript, near, options["aligner"]))
        return Words(SAID.words, 2.0, "test", ("doubtful",))

    monkeypatch.setattr(alignment, "align", align)
    return tmp_path / "talk.wav"


asked: list[tuple[str, Words | None, object]] = []


def test_words_are_printed_and_written(cli, talk: Path, tmp_path: Path) -> None:
    out = cli("align", talk, "Hello there, you!")
    assert out.out.splitlines() == ["0.100\t0.500\thello", "0.500\t0.800\tthere", "1.200\t1.400\tyou"]
    assert out.err.splitlines() == ["warning: doubtful", "times: test"]
    out = cli("align", talk, "Hello", "-o", tmp_path / "a.TextGrid", "-o", tmp_path / "a.srt", "--json")
    told = json.loads(out.out)
    assert told["words"][0]["phones"][1] == {"phone": "AH0", "start": 0.2, "end": 0.25}
    assert told["source"] == "test" and told["files"] == [str(tmp_path / "a.TextGrid"), str(tmp_path / "a.srt")]
    assert word_files.read(tmp_path / "a.TextGrid").text == "hello there you"


def test_a_transcript_may_be_a_file(cli, talk: Path, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("One line\nand another", encoding="utf-16")
    word_files.write(Words((Word("timed", 0.2, 0.5),)), tmp_path / "t.ctm")
    cli("align", talk, f"@{tmp_path / 't.txt'}")
    cli("align", talk, tmp_path / "t.txt", "--aligner", "network")
    cli("align", talk, tmp_path / "t.ctm")
    assert asked[:2] == [("One line\nand another", None, "auto"), ("One line\nand another", None, "network")]
    assert asked[2][1] is not None and asked[2][1].text == "timed"


def test_what_is_refused(cli, talk: Path, tmp_path: Path) -> None:
    assert_refused(cli("align", talk), "accepted TRANSCRIPT, or --asr MODEL")
    assert_refused(cli("align", talk, "hello", "--asr", "base"), "accepted TRANSCRIPT, or --asr MODEL")
    assert_refused(cli("align", talk, "hello", "--aligner", "kaldi"), "accepted auto, pocketsphinx, network")
    assert_refused(cli("align", talk, "hello", "-o", "a.npz"), ".TextGrid, .ctm, .srt, .vtt, .json")
    assert_refused(cli("align", tmp_path / "no.wav", "hello"), "no such file")
    assert_refused(cli("align", talk, f"@{tmp_path / 'no.txt'}"), "accepted: a text file")
    (tmp_path / "t.json").write_text("{}")
    assert_refused(cli("align", talk, tmp_path / "t.json"), "JSON without words")
    assert_refused(cli("align", talk, tmp_path / "t.json", "-o", tmp_path / "t.json"), "the same file")
    assert not asked
