"""A transcript's words and how they are spoken."""

import pytest

from avatargpt.speech.pronouncing import cardinal, letters_to_phones, spell_numbers, transcript_words
from vqvae.errors import UserError


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
