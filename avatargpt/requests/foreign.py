"""Which language a text is in, where it is surely not English (py3langid: a linear model over byte n-grams)."""

from __future__ import annotations

from functools import cache
from typing import Any

SURE = 0.5  # probability from which a language is named: English requests stay below it, whole foreign sentences do not
FEWEST = 2  # words that tell a language
NAMES = {
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
    """ISO 639-1 code of the language, one of `NAMES`; empty for English and for what is too short or mixed to tell."""
    if sum(any(c.isalpha() for c in w) for w in text.split()) < FEWEST and text.isascii():
        return ""
    code, share = _identifier().classify(text)
    return str(code) if code in NAMES and share > SURE else ""


def named(code: str) -> str:
    """A language's English name; the code itself where it is none of `NAMES`."""
    return NAMES.get(code, f"language {code!r}")
