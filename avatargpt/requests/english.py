"""What people type, checked before any network reads it: English, other languages, emoji, numbers below zero."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Any

from avatargpt.resources import sentence_model_folder
from instruct_data.requests.wording import NUMERAL
from vqvae.errors import UserError
from vqvae.io.data_files import read_object
from vqvae.io.files import parsing

MAX_WORDS = 200
MAX_CHARACTERS = 2000
_LATIN = 0.9  # share of the letters that must be Latin
_WORD = re.compile(r"[^\W\d_]+")
_UNSPEAKABLE = re.compile(r"^[b-df-hj-np-tv-xz]+$|[b-df-hj-np-tv-xz]{5}")
_KEYS = ("qwertyuiop", "qwertzuiop", "azertyuiop", "asdfghjkl", "zxcvbnm", "yxcvbnm")
_ENDINGS = ("s", "es", "ed", "d", "ing", "er", "ers", "ly")
_GLUE = frozenset(
    "a about after all an and as at away back before but by during for from has have he her his in into is it its of "
    "off on one out over she that the their they this through to two under up while who with without".split()
)
# words of other languages in Latin letters that stand in almost every sentence and mean nothing in English
_FOREIGN = frozenset(
    "aan al auf avec av che con da dans de del dem den der des di do du e een ein eine einen einem einer el em en "
    "er et ett gli han het hun i ihre il ja je ki la las le les lo los med mit na nel nella och og os para po por "
    "qui se sein seine si su sua sur te til um uma un una und une van ve w y z zu".split()
)


def check_words(text: str, what: str = "scene") -> str:
    """`text` on one line.

    Raises:
        UserError: nothing in it, too long, control characters, or not in Latin letters.
    """
    if any(unicodedata.category(c) in ("Cc", "Cs", "Co") and c not in "\t\n\r" for c in text):
        raise UserError(f"{what}: control characters in the text; accepted plain text")
    line = " ".join(text.split())
    letters = [c for c in line if c.isalpha()]
    if not letters:
        raise UserError(f"{what}: no words in it; accepted a sentence or two in English")
    if len(line.split()) > MAX_WORDS or len(line) > MAX_CHARACTERS:
        raise UserError(
            f"{what}: {len(line.split())} words, {len(line)} characters; "
            f"accepted at most {MAX_WORDS} words and {MAX_CHARACTERS} characters"
        )
    if sum("LATIN" in unicodedata.name(c, "") for c in letters) < _LATIN * len(letters):
        raise UserError(f"{what}: {line[:40]!r} is not in English; accepted English text")
    return line


@cache
def _vocabulary() -> frozenset[str]:
    """Whole words of the sentence encoder: some 20,000, nearly all of them English."""
    path = sentence_model_folder() / "tokenizer.json"
    data = read_object(path)
    with parsing(path, "the vocabulary of the sentence encoder"):
        return frozenset(w for w in data["model"]["vocab"] if len(w) > 1 and w.isalpha())


def looks_english(text: str) -> bool:
    """Whether a text is English: by the share of English words, or by those that bind the others together."""
    # a rule: the sentence encoder's vocabulary, with English endings removed, and lists of common words; half of the
    # words have to be English, three quarters where words of another language are among them
    words = [w.lower() for w in _WORD.findall(text) if len(w) > 1 or w in "aAIiyzwe"]
    if not words:
        return False
    vocabulary = _vocabulary()

    def english(word: str) -> bool:
        if word in _GLUE:
            return True
        stems = (word[: -len(e)] for e in _ENDINGS if word.endswith(e) and len(word) > len(e) + 2)
        forms = (word, *(form for s in stems for form in (s, s + "e")))
        return word not in _FOREIGN and any(form in vocabulary for form in forms)

    share = sum(map(english, words)) / len(words)
    foreign = any(w in _FOREIGN or not w.isascii() for w in words)
    glue = sum(w in _GLUE for w in words) / len(words)
    if not foreign and glue:
        return True
    return share >= (0.75 if foreign and glue < 0.2 else 0.5)


def hit_at_random(text: str) -> bool:
    """Whether a text is nothing but keys hit at random: "asdfgh jkl"."""
    # a rule: no word is known or composed of two known ones ("catchphrase"), and more than half of the letters are in
    # words of four or more letters that are neighbours on the keyboard, without a vowel, or with five consonants in a
    # row
    words = [w.lower() for w in _WORD.findall(text)]
    vocabulary = _vocabulary()

    def strange(word: str) -> bool:
        halves = ((word[:i], word[i:]) for i in range(3, len(word) - 2))
        return word not in vocabulary and not any(a in vocabulary and b in vocabulary for a, b in halves)

    def keys(word: str) -> bool:
        rows = any(word in row or word[::-1] in row for row in _KEYS)
        return len(word) > 3 and (rows or _UNSPEAKABLE.search(word) is not None)

    hit = sum(len(w) for w in words if keys(w))
    return 2 * hit > sum(map(len, words)) and all(map(strange, words))


# English requests stay below it, whole foreign sentences do not
MIN_LANGUAGE_PROBABILITY = 0.5
MIN_LANGUAGE_WORDS = 2
LANGUAGES = {
    "ar": "Arabic", "bg": "Bulgarian", "ca": "Catalan", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek",
    "es": "Spanish", "et": "Estonian", "fa": "Persian", "fi": "Finnish", "fr": "French", "he": "Hebrew", "hi": "Hindi",
    "hr": "Croatian", "hu": "Hungarian", "id": "Indonesian", "it": "Italian", "ja": "Japanese", "ko": "Korean",
    "lt": "Lithuanian", "lv": "Latvian", "nl": "Dutch", "no": "Norwegian", "pl": "Polish", "pt": "Portuguese",
    "ro": "Romanian", "ru": "Russian", "sk": "Slovak", "sl": "Slovenian", "sr": "Serbian", "sv": "Swedish",
    "th": "Thai", "tr": "Turkish", "uk": "Ukrainian", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def language_of(text: str) -> str:
    """ISO 639-1 code of the language, one of `LANGUAGES`; empty for English and for short or mixed texts."""
    if sum(any(c.isalpha() for c in w) for w in text.split()) < MIN_LANGUAGE_WORDS and text.isascii():
        return ""
    code, share = _identifier().classify(text)
    return str(code) if code in LANGUAGES and share > MIN_LANGUAGE_PROBABILITY else ""


def named(code: str) -> str:
    """A language's English name; the code itself where it is none of `NAMES`."""
    return LANGUAGES.get(code, f"language {code!r}")


# of the symbols that are taken for emoji; before it come arrows, signs and frames
_FIRST_EMOJI = 0x2600
_EMOJI_MODIFIERS = re.compile("[\ufe00-\ufe0f\u200d\u20e3\U0001f3fb-\U0001f3ff\U0001f1e6-\U0001f1ff\u2640\u2642]")
"""What only says how an emoji looks (variation, joiner, skin, sex), and letters of flags."""
_EMOJI_MEANINGS = {
    "😂": "laughing face", "🤣": "laughing hard", "😆": "laughing face with closed eyes", "😡": "very angry face",
    "🤬": "very angry face", "😤": "annoyed face", "😔": "sad face", "😶": "neutral face", "😰": "nervous face",
    "😯": "surprised face", "😳": "embarrassed face", "🙃": "smiling face", "😣": "pained face", "🥳": "very happy",
    "🤮": "disgusted face", "🥰": "loving smile", "❤": "loving face", "💀": "laughing face", "👀": "widened eyes",
}  # fmt: skip
"""Emoji that are used for something else than their Unicode name is read as."""


def is_emoji(character: str) -> bool:
    """Whether a character is a pictograph."""
    return unicodedata.category(character) == "So" and ord(character) >= _FIRST_EMOJI


def worded(text: str) -> str:
    """An instruction as the reader takes it: emoji as words, the same in a row once."""
    # also rows of exclamation or question marks, which the reader would take for a count
    bare = _EMOJI_MODIFIERS.sub("", text)
    bare = re.sub(r"(\W)\1+", lambda m: m[1] if is_emoji(m[1]) or m[1] in "!?" else m[0], bare)
    words = (f"\0{_EMOJI_MEANINGS.get(c) or unicodedata.name(c, '').lower()}\0" if is_emoji(c) else c for c in bare)
    spelled = re.sub("\0\\s*\0", ", then ", "".join(words)).replace("\0", " ")
    return " ".join(spelled.split()) if spelled != bare else bare


def meaningless(text: str) -> bool:
    """Whether an instruction has no word: a number alone, or keys hit at random (`hit_at_random`)."""
    if re.fullmatch(r"[\d\s.,]+", text):
        return True
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", worded(text))  # names of shapes are words, too
    return hit_at_random(re.sub(r"(.)\1+", r"\1", words))  # and so are "pfft" and "hmmm"


def unreadable(text: str) -> str:
    """The reason why a text cannot be understood, another language or no word, or empty."""
    if code := language_of(text):
        return f"does not look like English but like {named(code)}, and the model knows English alone"
    if meaningless(text):
        return "has no word in it; what the model makes of it is chance"
    return ""


_COUNTABLE = r"(?:s|secs?|seconds?|minutes?|mins?|hours?|hrs?|ms|times|x)\b"
_BELOW_ZERO = re.compile(
    rf"(?<![\w.,)-])(?<!\d )(?:[-\u2212]|minus\s+)(?:{NUMERAL})[\s-]*(?:{_COUNTABLE}|(?P<share>per ?cent\b|%))", re.I
)


def below_zero(text: str, shares: bool = True) -> str:
    """The first time, count or, with `shares`, per cent below zero in a text, as written ("-5 seconds"), or empty."""
    matches = (m[0] for m in _BELOW_ZERO.finditer(text) if shares or not m["share"])
    return next(matches, "")
