"""What counts as a turn at all: refused before anybody tries to understand it."""

from __future__ import annotations

import re
import unicodedata

from avatargpt.requests.english import hit_at_random, looks_english
from vqvae.errors import UserError

MOST_WORDS = 120
MOST_CHARACTERS = 1000
FEWEST = 4  # words that it takes to tell a language
_ESCAPE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")  # colours and cursor keys of terminals
_SHORT = frozenset("i do w n u s sec secs ok hm b4".split())  # of typed English; they are words of other languages, too


def cleaned(text: str) -> str:
    """The turn without control characters, blanks made one.

    Raises:
        UserError: empty, too long, or not in Latin letters.
    """
    visible = "".join(" " if unicodedata.category(c)[0] == "C" else c for c in _ESCAPE.sub(" ", text))
    words = visible.split()
    if not any(c.isalnum() or c == "?" for c in visible):
        raise UserError("I heard nothing; say what should happen, e.g. a person waves, or /help")
    if len(words) > MOST_WORDS or len(visible) > MOST_CHARACTERS:
        raise UserError(
            f"{len(words)} words in one turn; accepted at most {MOST_WORDS} (and {MOST_CHARACTERS} characters). "
            "Tell it in several turns: what happens first, then the rest"
        )
    letters = [c for c in visible if c.isalpha()]
    latin = sum("LATIN" in unicodedata.name(c, "") for c in letters)
    if letters and latin < 0.7 * len(letters):
        raise UserError("I understand plain English only; please say it in English")
    return " ".join(words)


def check_english(text: str) -> None:
    """Raises UserError for a turn of some words that is in another language, or of a cat on the keyboard."""
    words = [w for w in text.lower().split() if w.strip(".,:;!?'\"") not in _SHORT and any(c.isalpha() for c in w)]
    if hit_at_random(text) or (len(words) >= FEWEST and not looks_english(" ".join(words))):
        raise UserError("I understand plain English only, and this does not look like it; please say it in English")
