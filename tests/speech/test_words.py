"""Words with times: files of many kinds, pronunciations."""

import contextlib
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from avatargpt.speech import word_files
from avatargpt.speech.pronouncing import cardinal, letters_to_phones, spell_numbers, transcript_words
from avatargpt.speech.words import Word, Words, check_words
from tests.factories import HELLO_WORDS
from vqvae.errors import UserError


def test_the_word_at_every_frame() -> None:
    assert HELLO_WORDS.at(10, 20).tolist() == [-1, 0, 0, 0, 0, 1, 1, 1, -1, -1, -1, -1, 2, 2, -1, -1, -1, -1, -1, -1]
    assert HELLO_WORDS.at(30, 0).shape == (0,)
    late = Words((Word("late", 3600.0, 3601.0),))
    at = late.at(30000 / 1001, 107_930)
    assert int(np.flatnonzero(at == 0)[0]) == 107_893  # the first frame at or after 3600 s: 107892.1 frames
    for fps, frames in ((0, 5), (float("nan"), 5), (30, -1), (2000, 5)):
        with pytest.raises(UserError, match="accepted: 0 or more"):
            HELLO_WORDS.at(fps, frames)


def test_stresses_and_phrases() -> None:
    (stress,) = HELLO_WORDS.stresses
    assert (stress.word, stress.start, stress.end) == (0, 0.3, 0.5)
    assert [(p.first, p.stop, p.start, p.end) for p in HELLO_WORDS.phrases()] == [(0, 2, 0.1, 0.8), (2, 3, 1.2, 1.4)]
    assert len(HELLO_WORDS.phrases(0.5)) == 1
    assert HELLO_WORDS.text == "hello there you"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no words"), ([Word("a", -1.0, 1.0)], "from 0 on"), ([Word("a", float("nan"), 1.0)], "from 0 on"),
        ([Word("a", 1.0, 0.5)], "ends at 0.5 s, before it begins"),
        ([Word("a", 0.0, 1.0), Word("b", 0.5, 1.5)], "begins at 0.5 s, before a ends"),
        ([Word("a", 1.0, 1.2), Word("b", 0.2, 0.3)], "begins at 0.2 s"),
        ([Word("a", 0.0, 2.5)], "the sound ends at 2 s"),
        ([Word("a", 0.0, 1.0, (), float("nan"))], "confidence nan"), ([Word("\ud800", 0.0, 1.0)], "half a character"),
    ],
)  # fmt: skip
def test_times_that_cannot_be(words: list[Word], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Words(tuple(words), 2.0)


def test_what_is_slightly_off_is_put_right_and_told() -> None:
    words = check_words("x.ctm", [Word("a", 0.0, 0.55), Word("b", 0.5, 0.9), Word("c", 0.9, 2.05)], "CTM", 2.0)
    assert [(w.start, w.end) for w in words.words] == [(0.0, 0.5), (0.5, 0.9), (0.9, 2.0)]
    assert len(words.notes) == 2 and all(note.startswith("x.ctm: 1 words ended after") for note in words.notes)
    with pytest.raises(UserError, match=r"x.ctm: word 2 \(b\): begins at 0.5 s"):
        check_words("x.ctm", [Word("a", 0.0, 0.8), Word("b", 0.5, 0.9)], "CTM")


SHORT = '''File type = "ooTextFile"
Object class = "TextGrid"

0
2
<exists>
2
"IntervalTier"
"words"
0
2
3
0
0.5
""
0.5
1
"say ""so"""
1
2
"well"
"TextTier"
"clicks"
0
2
1
0.7
"x"
'''
TWO = "\n".join(['File type = "ooTextFile"', 'Object class = "TextGrid"', "0 2 <exists> 2",
                 '"IntervalTier" "hands" 0 2 1 0 2 "up"', '"IntervalTier" "feet" 0 2 1 0 2 "down"'])  # fmt: skip


@pytest.mark.parametrize("suffix", [".TextGrid", ".json", ".ctm"])
def test_what_is_written_is_read_back(tmp_path: Path, suffix: str) -> None:
    path = word_files.write(HELLO_WORDS, tmp_path / f"a{suffix}")
    again = word_files.read(path, 2.0)
    assert [w.text for w in again.words] == ["hello", "there", "you"]
    assert [w.start for w in again.words] == pytest.approx([0.1, 0.5, 1.2])
    assert [w.end for w in again.words] == pytest.approx([0.5, 0.8, 1.4])
    if suffix != ".ctm":
        assert again.words[0].phones == HELLO_WORDS.words[0].phones and again.stresses == HELLO_WORDS.stresses
    if suffix != ".TextGrid":
        assert again.words[0].confidence == 0.9


@pytest.mark.parametrize("suffix", [".srt", ".vtt"])
def test_subtitles_hold_phrases(tmp_path: Path, suffix: str) -> None:
    again = word_files.read(word_files.write(HELLO_WORDS, tmp_path / f"a{suffix}"))
    assert again.text == HELLO_WORDS.text and again.words[0].start == 0.1 and again.words[1].end == 0.8
    assert "spread within each cue" in again.notes[0]
    assert again.words[0].end == pytest.approx(0.1 + 0.7 * 2 / 3)  # two syllables of three


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_textgrids_in_short_form_and_other_encodings(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.TextGrid").write_bytes(SHORT.replace("well", "w\u00e9ll").encode(encoding))
    words = word_files.read(tmp_path / "a.TextGrid")
    assert [(w.text, w.start, w.end) for w in words.words] == [('say "so"', 0.5, 1.0), ("w\u00e9ll", 1.0, 2.0)]


def test_phones_in_ipa(tmp_path: Path) -> None:
    tiers = {"words": [[0.1, 0.4, "cat"]], "phones": [[0, 0.1, "sil"], [0.1, 0.2, "k\u02b0"], [0.2, 0.3, "\u00e6"],
                                                     [0.3, 0.4, "t"]]}  # fmt: skip
    rows = {name: {"type": "interval", "entries": entries} for name, entries in tiers.items()}
    (tmp_path / "a.json").write_text(json.dumps({"start": 0, "end": 1, "tiers": rows}))
    (word,) = word_files.read(tmp_path / "a.json").words
    assert [p.name for p in word.phones] == ["K", "AE", "T"] and word.phones[1].stress is None


WHISPER = {"text": " So it is", "segments": [
    {"start": 0.0, "end": 1.0, "text": " So it", "words": [
        {"word": " So", "start": 0.0, "end": 0.4, "probability": 0.8}, {"word": " it", "start": 0.4, "end": 0.6}]},
    {"start": 1.0, "end": 2.0, "text": " is"}]}  # fmt: skip
WHISPERX = {"segments": [{"start": 0.2, "end": 1.2, "text": "in 1999 then", "words": [
    {"word": "in", "start": 0.2, "end": 0.4, "score": 0.9}, {"word": "1999"},
    {"word": "then", "start": 0.9, "end": 1.2, "score": 0.5}]}], "word_segments": []}  # fmt: skip
SPHINX = {"b": 0.0, "d": 1.0, "p": 1.0, "t": "and he", "w": [
    {"b": 0.0, "d": 0.2, "p": 0.99, "t": "<sil>"},
    {"b": 0.2, "d": 0.2, "p": 0.97, "t": "and(2)", "w": [{"b": 0.2, "d": 0.2, "p": 0.9, "t": "AE"}]}]}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.json", json.dumps(WHISPER), [("So", 0.0, 0.4), ("it", 0.4, 0.6), ("is", 1.0, 2.0)]),
        ("a.json", json.dumps(WHISPERX), [("in", 0.2, 0.4), ("1999", 0.4, 0.9), ("then", 0.9, 1.2)]),
        ("a.json", json.dumps(SPHINX), [("and", 0.2, 0.4)]),
        ("a.json", json.dumps([{"word": "a", "start": 0, "end": 1}]), [("a", 0.0, 1.0)]),
        ("a.csv", "Begin,End,Label,Type,Speaker\n0.1,0.4,cat,words,s\n0.1,0.2,K,phones,s\n", [("cat", 0.1, 0.4)]),
        ("a.ctm", ";; made\nrec A 0.50 0.25 hi 0.9\nrec A 0.75 0.25 <eps>\n", [("hi", 0.5, 0.75)]),
        ("a.vtt", "WEBVTT\n\n00:01.000 --> 00:03.000\n<c>one</c> <00:02.000>two\n", [("one", 1, 2), ("two", 2, 3)]),
        ("a.srt", "1\n00:00:01,000 --> 00:00:02,000\n<i>oh</i>\n\n", [("oh", 1.0, 2.0)]),
        ("no.suffix", "rec A 0.50 0.25 hi\n", [("hi", 0.5, 0.75)]),
    ],
)  # fmt: skip
def test_files_of_others(tmp_path: Path, name: str, text: str, expected: list[tuple[str, float, float]]) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    words = word_files.read(tmp_path / name)
    assert [w.text for w in words.words] == [e[0] for e in expected]
    assert [t for w in words.words for t in (w.start, w.end)] == pytest.approx([t for e in expected for t in e[1:]])
    estimated = "1999" in text or '"is"}' in text or " is" in text
    assert bool(words.notes) is estimated


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.TextGrid", SHORT[:150], "ends early"),
        ("a.TextGrid", SHORT.replace("0.5\n1\n", "0.5\nx\n"), "ends early|should be"),
        ("a.TextGrid", SHORT.replace('"TextTier"', '"IntervalTier"'), "line 28: \"x\" where"),
        ("a.TextGrid", TWO, r"no tier of words among its interval tiers \('hands', 'feet'\)"),
        ("a.TextGrid", TWO.replace("hands", "A - words").replace("feet", "B - words"), "2 tiers of words"),
        ("a.TextGrid", SHORT.replace("0.5\n1\n", "0.5\n0.2\n"), "before it begins"),
        ("a.TextGrid", SHORT.replace("TextGrid", "Pitch"), "no TextGrid"), ("a.json", '{"words": [', "not JSON"),
        ("a.TextGrid", SHORT.replace("\n0.5\n", "\n1e999\n"), "line 14: 1e999 where"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.json", '{"words": [{"word": "a", "start": %s, "end": 1}]}' % ("9" * 400), "999'; accepted: a number"),
        ("a.json", '{"words": [{"word": "\\ud800", "start": 0, "end": 1}]}', "half a character"),
        ("a.ctm", "rec A 0.5 0.25 hi nan\n", "line 1"), ("a.ctm", "rec A 0.5 1_0 hi\n", "no word times in it"),
        ("a.srt", f"{'9' * 5000}:00:01,000 --> 00:00:02,000\nhi\n\n00:00:01,000 --> 00:00:02,000\nhi\n", "1: '999"),
        ("a.csv", f"Begin,End,Label,Type\n0,1,{'a' * 200_000},words\n", "field larger than"),
        ("a.csv", "Begin,End,Label,Type\n0,nan,cat,words\n", "line 2"),
        ("a.json", '{"a": 1}', "JSON without words"), ("a.json", '{"words": []}', "no words in it"),
        ("a.json", '{"words": [{"word": "a", "start": "x", "end": 1}]}', "'x'; accepted: a number"),
        ("a.json", '{"words": [{"word": "a", "start": 1, "end": null}]}', "accepted: a number"),
        ("a.json", '{"words": [{"word": "a"}]}', "no times of 'a'"),
        ("a.json", '{"words": [{"word": "a", "start": 2, "end": 1}]}', "before it begins"),
        ("a.json", '{"words": [{"word": "a", "start": 8, "end": 12}]}', "the sound ends at 10 s"),
        ("a.ctm", "rec A 0.5 0.25 hi\nrec A 0.75 half there\n", "line 2"),
        ("a.ctm", "rec A 0.5 0.25 hi\nrec B 0.75 0.2 there\n", "2 recordings or channels"),
        ("a.ctm", "rec A 0.5 -0.25 hi\n", "a duration of -0.25"),
        ("a.srt", "1\n00:00:05,000 --> 00:00:02,000\nhi\n", "a cue from 5 to 2 s"),
        ("a.srt", "1\n00:00:01,000 --> 00:00:02,000\nhi\n\n2\n00:0x --> 00:09\nyou\n", "line 6"),
        ("a.csv", "Begin,End,Label,Type\n0.1,,cat,words\n", "line 2"),
        ("a.txt", "just words\n", "no word times in it"), ("a.txt", " \n", "empty file"),
    ],
)  # fmt: skip
def test_damaged_files_are_refused_in_one_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message) as error:
        word_files.read(tmp_path / name, 10.0)
    assert str(error.value).startswith(str(tmp_path / name)) and "\n" not in str(error.value)


@pytest.mark.parametrize("suffix", [".srt", ".vtt"])
@pytest.mark.parametrize("word", ["a-->b", "00:00:01,000-->00:00:02,000", "R&D"])
def test_words_that_look_like_times_of_a_cue(tmp_path: Path, suffix: str, word: str) -> None:
    words = Words((Word("well", 0, 0.5), Word(word, 0.5, 1)))
    again = word_files.read(word_files.write(words, tmp_path / f"a{suffix}"))
    assert [w.text for w in again.words] == ["well", word]


@pytest.mark.parametrize("between", ["", "\n"])
def test_a_cue_ends_at_the_next_times(tmp_path: Path, between: str) -> None:
    cues = [f"{k + 1}\n00:00:{k:02d},000 --> 00:00:{k:02d},900\nword{k}\nand {k}\n" for k in range(50)]
    (tmp_path / "a.srt").write_text(between.join(cues))
    words = word_files.read(tmp_path / "a.srt")
    assert words.text == " ".join(f"word{k} and {k}" for k in range(50))
    assert words.words[-1].end == pytest.approx(49.9)


def test_time_grows_with_the_length_and_not_with_its_square(tmp_path: Path) -> None:
    """Of 200,000 intervals and a cue of 100,000 words, which took minutes."""
    rows = [[k / 10, k / 10 + 0.1, "AH0"] for k in range(100_000)]
    tiers = {"words": {"entries": rows}, "phones": {"entries": rows}}
    (tmp_path / "a.json").write_text(json.dumps({"tiers": tiers}))
    (tmp_path / "a.srt").write_text("00:00:00,000 --> 09:00:00,000\n" + "word " * 100_000)
    began = time.process_time()
    words = word_files.read(tmp_path / "a.json").words
    assert all(len(w.phones) == 1 and w.phones[0].start == w.start for w in words)
    assert len(word_files.read(tmp_path / "a.srt")) == 100_000
    with pytest.raises(UserError, match="200000 letters"):
        transcript_words("a" * 200_000)
    assert time.process_time() - began < 20


@pytest.mark.parametrize(("name", "text"), [
    ("a.vtt", "WEBVTT\n\n00:00.000 --> 59:00.000\n" + "a " * 400_000), ("a.ctm", "r 1 0 0 a\n" * 400_000),
    ("a.json", json.dumps({"segments": [{"start": 0, "end": 1, "text": "a " * 200_000}] * 2})),
])  # fmt: skip
def test_more_words_than_anybody_says_are_refused(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match="more than 300,000 words"):
        word_files.read(tmp_path / name)


def test_no_text_at_all(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\x80\x81{}")
    with (tmp_path / "c.srt").open("wb") as file:
        file.truncate(word_files.MAX_BYTES + 1)
    os.mkfifo(tmp_path / "d.srt")
    for name, message in (("a.json", r"UTF-8 or UTF-16 \(byte 0\)"), ("b.json", "no such file"),
                          ("c.srt", "larger than 16 MiB"), ("d.srt", "a pipe or a device"),
                          ("/dev/zero", "a pipe or a device")):  # fmt: skip
        with pytest.raises(UserError, match=message):
            word_files.read(tmp_path / name)
    with pytest.raises(UserError, match="files of word times are .TextGrid"):
        word_files.write(HELLO_WORDS, tmp_path / "a.doc")


def test_every_cut_of_a_textgrid_is_refused_or_has_its_words(tmp_path: Path) -> None:
    text = word_files.write(Words((Word("a", 0.5, 1.0), Word("b", 1.0, 1.5)), 2.0), tmp_path / "a.TextGrid").read_text()
    for length in range(0, len(text) - 2, 7):
        (tmp_path / "a.TextGrid").write_text(text[:length])
        with contextlib.suppress(UserError):
            assert word_files.read(tmp_path / "a.TextGrid").text == "a b"


def test_real_textgrids(shared: Path) -> None:
    folder = shared / "data" / "face" / "aligned_speech_misc" / "mfa"
    for path in sorted(folder.glob("*.TextGrid")):
        words = word_files.read(path)
        assert len(words) > 50 and all(w.phones for w in words.words[:20]) and len(words.stresses) > 30


def phones_of(text: str) -> list[str]:
    return [" ".join(word.pronunciations[0]) for word in transcript_words(text)]


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("1995", "nineteen ninety five"), ("1905", "nineteen oh five"), ("1900", "nineteen hundred"),
        ("2005", "two thousand five"), ("2024", "twenty twenty four"), ("1,250", "one thousand two hundred fifty"),
        ("3.14", "three point one four"), ("$3.50", "three dollars fifty cents"), ("$1", "one dollar"),
        ("50%", "fifty percent"), ("2nd", "second"), ("20th", "twentieth"), ("112th", "one hundred twelfth"),
        ("10:05", "ten oh five"), ("10:00", "ten"), ("007", "zero zero seven"), ("1990s", "nineteen nineties"),
        ("-5", "minus five"), ("0", "zero"),
    ],
)  # fmt: skip
def test_numbers(written: str, words: str) -> None:
    assert " ".join(spell_numbers(written).split()) == words


def test_large_numbers() -> None:
    assert cardinal(1_000_001) == "one million one"
    assert cardinal(12_345_678_901) == (
        "twelve billion three hundred forty five million six hundred seventy eight thousand nine hundred one"
    )
    assert spell_numbers("1" * 16).split() == ["one"] * 16


def test_words_keep_what_is_written_and_where() -> None:
    words = transcript_words("\u201cWell,\u201d she [laughs] said\u2014no. Mr. O'Neil's caf\u00e9 & bar")
    assert [w.text for w in words] == ["Well", "she", "said", "no", "Mr", "O'Neil's", "caf\u00e9", "&", "bar"]
    assert [w.token for w in words] == [0, 1, 3, 3, 4, 5, 6, 7, 8]
    assert [w.pause for w in words][:5] == [False, False, False, True, True]
    assert phones_of("no. no. 5")[:2] == ["N OW1", "N AH1 M B ER0"]
    assert all(w.in_dictionary for w in words)


def test_parts_between_spaces_are_counted_as_they_were() -> None:
    words = transcript_words("[a long laugh] one_two \u00a0 three\u20334 - \u2460 <x y>five")
    assert [(w.text, w.token) for w in words] == [
        ("one", 3), ("two", 3), ("three\u2032\u20324", 4), ("1", 6), ("five", 8)
    ]  # fmt: skip


def test_initials_plurals_and_compounds() -> None:
    initials = ["EH1 K S K EY1 Z IY1", "Y UW1 EH1 S EY1", "AH0 N D", "N EY1 T OW0"]
    assert phones_of("the XKZ U.S.A. and nato")[1:] == initials
    assert phones_of("dashwoods blogging") == ["D AE1 SH W UH2 D Z", "B L AO1 G IH0 NG"]
    assert phones_of("HELLO THERE")[0] == "HH AH0 L OW1"
    known = {w.text: w.in_dictionary for w in transcript_words("blogging zorblax")}
    assert known == {"blogging": True, "zorblax": False}


def test_letters_of_an_unknown_word() -> None:
    phones = letters_to_phones("zorblax")
    assert phones[0] == "Z" and phones[-1] in ("S", "K") and sum(p.endswith("1") for p in phones) == 1


@pytest.mark.parametrize("text", ["", "  ", "[laughs]", "--- ...", "\u043f\u0440\u0438\u0432\u0435\u0442"])
def test_no_english_words(text: str) -> None:
    with pytest.raises(UserError, match="accepted: "):
        transcript_words(text)
