"""What people type, in words that the reader of instructions knows: rules, before any network."""

from __future__ import annotations

import re
import unicodedata

from avatargpt.requests.english import hit_at_random
from avatargpt.requests.foreign import language_of, named

_FIRST = 0x2600  # of the symbols that are taken for emoji; before it come arrows, signs and frames
_LOOKS = re.compile("[\ufe00-\ufe0f\u200d\u20e3\U0001f3fb-\U0001f3ff\U0001f1e6-\U0001f1ff\u2640\u2642]")
"""What only says how an emoji looks (variation, joiner, skin, sex), and letters of flags."""
_MEANS = {
    "😂": "laughing face", "🤣": "laughing hard", "😆": "laughing face with closed eyes", "😡": "very angry face",
    "🤬": "very angry face", "😤": "annoyed face", "😔": "sad face", "😶": "neutral face", "😰": "nervous face",
    "😯": "surprised face", "😳": "embarrassed face", "🙃": "smiling face", "😣": "pained face", "🥳": "very happy",
    "🤮": "disgusted face", "🥰": "loving smile", "❤": "loving face", "💀": "laughing face", "👀": "widened eyes",
}  # fmt: skip
"""Emoji that are used for something else than their Unicode name is read as."""


def is_emoji(character: str) -> bool:
    """Whether a character is a pictograph."""
    return unicodedata.category(character) == "So" and ord(character) >= _FIRST


def worded(text: str) -> str:
    """An instruction as the reader is given it.

    Emoji become words, the same in a row once; so is a row of exclamation or question marks, for the reader would take
    it for a count.
    """
    bare = re.sub(r"(\W)\1+", lambda m: m[1] if is_emoji(m[1]) or m[1] in "!?" else m[0], _LOOKS.sub("", text))
    words = (f"\0{_MEANS.get(c) or unicodedata.name(c, '').lower()}\0" if is_emoji(c) else c for c in bare)
    apart = re.sub("\0\\s*\0", ", then ", "".join(words)).replace("\0", " ")
    return " ".join(apart.split()) if apart != bare else bare


def meaningless(text: str) -> bool:
    """Whether an instruction has no word: a number alone, or keys hit at random. A rule, see `hit_at_random`."""
    if re.fullmatch(r"[\d\s.,]+", text):
        return True
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", worded(text))  # names of shapes are words, too
    return hit_at_random(re.sub(r"(.)\1+", r"\1", words))  # and so are "pfft" and "hmmm"


def unreadable(text: str) -> str:
    """Why nothing in a text can be understood, as what is said of it: another language, no word; empty = it may be."""
    if code := language_of(text):
        return f"does not look like English but like {named(code)}, and the model knows English alone"
    if meaningless(text):
        return "has no word in it; what the model makes of it is chance"
    return ""
