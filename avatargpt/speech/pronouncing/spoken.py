"""A transcript as words with their pronunciations."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from avatargpt.speech.pronouncing.dictionary import cmudict
from avatargpt.speech.pronouncing.letters import spelled
from avatargpt.speech.pronouncing.numerals import read_numbers
from vqvae.errors import UserError

_NOT_SAID = re.compile(r"\[[^\[\]]*\]|<[^<>]*>")
_PART, _NOTHING = re.compile(r"\S+"), "\x01"
_BREAK = re.compile(r"[\s_]+|[\u2012-\u2015\u2026]+|--+|\.\.\.+|(?<=[^\W\d_])/(?=[^\W\d_])")
_ABBREVIATED = {
    "mr.": "mister", "mrs.": "missus", "ms.": "miz", "dr.": "doctor", "st.": "saint", "prof.": "professor",
    "vs.": "versus", "etc.": "etcetera", "e.g.": "for example", "i.e.": "that is", "no.": "number", "jr.": "junior",
    "sr.": "senior", "&": "and", "+": "plus", "=": "equals", "@": "at", "mr": "mister", "mrs": "missus", "dr": "doctor",
}  # fmt: skip
_NUMBERED = "no."  # a whole word as well: number before digits alone
_PLAIN = str.maketrans({"\u2019": "'", "\u2018": "'", "\u02bc": "'", "`": "'", "\u2010": "-", "\u2011": "-"})
_PIECE = re.compile(r"[a-z']+|[&+=@]")
_SUFFIXES = (("'s", "S"), ("s'", "S"), ("s", "S"), ("ed", "D"), ("ing", "IH0 NG"), ("ly", "L IY0"), ("ness", "N AH0 S"))
_HISSING = frozenset("S Z SH ZH CH JH".split())
_VOICELESS = frozenset("P T K F TH S SH CH HH".split())
_MOST_WAYS = 4  # pronunciations of a word that an aligner tries


@dataclass(frozen=True)
class Spoken:
    """A word of a transcript.

    Attributes:
        text: as it is written, without the marks around it.
        ways: its pronunciations, the usual one first: ARPAbet phones, vowels with stress (AE1).
        known: whether a dictionary has it; otherwise its letters told how it is spoken.
        pause: whether a mark follows at which people pause.
        token: which part of the text, between spaces, it is in.
    """

    text: str
    ways: tuple[tuple[str, ...], ...]
    known: bool = True
    pause: bool = False
    token: int = 0


def spoken(text: str) -> list[Spoken]:
    """The words of a transcript. What stands in [] or <>, such as [laughs], is not said and left out.

    Raises:
        UserError: no words, or one whose letters are not those of English.
    """
    text = _NOT_SAID.sub(lambda m: _PART.sub(_NOTHING, m[0]), text)  # as many parts between spaces as before
    parts = [unicodedata.normalize("NFKC", part).translate(_PLAIN) for part in text.split()]
    shouted = sum(c.isupper() for c in text) > 0.7 * max(1, sum(c.isalpha() for c in text))
    tokens = [
        (number, piece) for number, part in enumerate(parts) for piece in _BREAK.split(part)
        if any(c.isalnum() or c in "&+=@" for c in piece)
    ]  # fmt: skip
    words = []
    for k, (number, token) in enumerate(tokens):
        following = tokens[k + 1][1] if k + 1 < len(tokens) else ""
        written = token.strip(f".,;:!?\"'()[]{{}}*#~\u201c\u201d\u00ab\u00bb\u00bf\u00a1{_NOTHING}") or token
        ways, known = _ways(token.strip(_NOTHING), written, following, shouted)
        if ways:
            words.append(Spoken(written, ways, known, token[-1] in ".,;:!?)", number))
    if not words:
        raise UserError(f"{' '.join(text.split())[:40]!r} has no words to lay along a sound; accepted: what is said, "
                        "in English")  # fmt: skip
    return words


def _ways(token: str, written: str, following: str, shouted: bool) -> tuple[tuple[tuple[str, ...], ...], bool]:
    """All ways to say a token, and whether the dictionary has all of its parts."""
    lower = token.strip("\"'(),;:!?").lower()
    said = _ABBREVIATED.get(lower)
    if said is None or (lower == _NUMBERED and not following[:1].isdigit()):
        said = read_numbers(written)
        if said == written and not shouted and _is_initials(written):
            said = " ".join(c for c in written if c.isalpha())
            return (tuple(p for c in said.split() for p in _letter(c.lower())),), True
    bare = unicodedata.normalize("NFKD", said.lower())
    foreign = [c for c in bare if c.isalpha() and not c.isascii()]
    if foreign:
        raise UserError(f"the word {written!r} is not written in the letters a to z; accepted: a transcript in English")
    parts = [found for piece in _PIECE.findall(bare) if (found := _one(piece)) is not None]
    if len(parts) == 1:
        return parts[0]
    joined = tuple(p for ways, _ in parts for p in ways[0])
    return ((joined,) if joined else ()), all(known for _, known in parts)


def _is_initials(token: str) -> bool:
    """BBC, U.S.A.: letters said one by one."""
    letters = token.replace(".", "")
    if not (2 <= len(letters) <= 5 and letters.isascii() and letters.isalpha() and letters.isupper()):
        return False
    return "." in token[:-1] or letters.lower() not in cmudict()


def _letter(letter: str) -> tuple[str, ...]:
    return ("EY1",) if letter == "a" else cmudict()[f"{letter}."][0]


def _one(piece: str) -> tuple[tuple[tuple[str, ...], ...], bool] | None:
    """Ways to say a piece of letters and apostrophes, and whether the dictionary knows it or its stem."""
    table = cmudict()
    piece = _ABBREVIATED.get(piece, piece)
    for known in (piece, piece.strip("'"), piece.replace("'", "")):
        if known in table:
            return tuple(table[known][:_MOST_WAYS]), True
    piece = piece.strip("'")
    if not piece.replace("'", ""):
        return None
    for suffix, phones in _SUFFIXES:
        stem = piece[: -len(suffix)]
        if piece.endswith(suffix) and len(stem) > 2:
            for form in (stem, f"{stem}e"):
                if form in table and (form == stem or suffix in ("ed", "ing")):
                    return tuple((*way, *_ending(suffix, phones, way[-1])) for way in table[form][:_MOST_WAYS]), True
    bare = piece.replace("'", "")
    for cut in range(len(bare) - 3, 2, -1):  # two words in one
        if len(bare) > 6 and bare[:cut] in table and bare[cut:] in table:
            second = (p.replace("1", "2") for p in table[bare[cut:]][0])
            return ((*table[bare[:cut]][0], *second),), True
    phones_of: tuple[str, ...] = spelled(bare)
    return ((phones_of,), False) if phones_of else None


def _ending(suffix: str, phones: str, last: str) -> tuple[str, ...]:
    if phones == "S":
        return ("AH0", "Z") if last in _HISSING else ("S",) if last in _VOICELESS else ("Z",)
    if suffix == "ed":
        return ("AH0", "D") if last in ("T", "D") else ("T",) if last in _VOICELESS else ("D",)
    return tuple(phones.split())
