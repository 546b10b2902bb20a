"""SubRip (.srt) and WebVTT: cues with times; the words of a cue share its time by their syllables."""

from __future__ import annotations

import re

from avatargpt.speech.words.words import Word, Words, collected
from vqvae.errors import UserError

_STAMP = r"(?:(\d+):)?(\d{1,2}):(\d{2})[.,](\d{1,3})"
_TIMES = re.compile(rf"^\s*{_STAMP}\s*-->\s*{_STAMP}")
_TAG = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")
_INSIDE = re.compile(rf"<{_STAMP}>")
LINE, CUE = 42, 84  # characters of a line and of a cue of two lines
_SPREAD = "words are spread within each cue by their syllables, not heard; `avatargpt align` hears them"


def is_subtitles(text: str) -> bool:
    """Whether this is WebVTT, or has a line with the times of a cue."""
    return text.lstrip().startswith("WEBVTT") or any(_TIMES.match(line) for line in text.split("\n", 50)[:50])


def read_subtitles(text: str, where: str, seconds: float | None = None) -> Words:
    """Words of all cues; where a cue of WebVTT has times inside, these are taken.

    Raises:
        UserError: no cues, one that ends before it begins, times that make no sense.
    """
    lines = text.splitlines()
    words: list[Word] = []
    spread = False
    for number, line in enumerate(lines):
        times = _TIMES.match(line)
        if times is None:
            if "-->" in line:
                raise UserError(f"{where} line {number + 1}: {line.strip()[:60]!r}; accepted: "
                                "00:00:01,000 --> 00:00:02,500")  # fmt: skip
            continue
        start, end = _seconds(times.groups()[:4]), _seconds(times.groups()[4:])
        if end < start:
            raise UserError(f"{where} line {number + 1}: a cue from {start:g} to {end:g} s; accepted: an end after it")
        stop = next((k for k in range(number + 1, len(lines)) if not lines[k].strip()), len(lines))
        cue = " ".join(lines[number + 1 : stop])
        inside = list(_INSIDE.finditer(cue))
        edges = [start, *(_seconds(m.groups()) for m in inside), end]
        parts = [cue[a:b] for a, b in zip([0, *(m.end() for m in inside)],
                                          [*(m.start() for m in inside), len(cue)], strict=True)]  # fmt: skip
        for part, a, b in zip(parts, edges, edges[1:], strict=False):
            said = _TAG.sub(" ", part).split()
            spread |= len(said) > 1
            words += share_out(said, a, b)
    return collected(where, words, "subtitles", seconds, (f"{where}: {_SPREAD}",) if spread else ())


def share_out(texts: list[str], start: float, end: float) -> list[Word]:
    """Words that share the seconds from `start` to `end` by their syllables; texts without a letter are left out."""
    texts = [t for t in texts if any(c.isalnum() for c in t)]
    weights = [syllables(t) for t in texts]
    at, words = start, []
    for text, weight in zip(texts, weights, strict=True):
        until = min(end, at + (end - start) * weight / sum(weights))
        words.append(Word(text, at, until))
        at = until
    return words


def syllables(text: str) -> int:
    """About how many syllables a word has: runs of vowel letters, a last e left out; at least 1."""
    bare = text.lower().rstrip(".,;:!?\"'")
    bare = bare[:-1] if bare.endswith("e") and not bare.endswith("le") else bare
    return max(1, sum(c in "aeiouy" and (k == 0 or bare[k - 1] not in "aeiouy") for k, c in enumerate(bare)))


def _seconds(parts: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, rest = parts
    return 3600 * int(hours or 0) + 60 * int(minutes or 0) + int(seconds or 0) + float(f"0.{rest}")


def write_srt(words: Words) -> str:
    """Cues of at most two lines, each within one phrase."""
    return "\n".join(f"{k}\n{a} --> {b}\n{text}\n" for k, (a, b, text) in enumerate(_cues(words, ","), 1))


def write_vtt(words: Words) -> str:
    """The same as WebVTT."""
    return "WEBVTT\n\n" + "\n".join(f"{a} --> {b}\n{text}\n" for a, b, text in _cues(words, "."))


def _cues(words: Words, mark: str) -> list[tuple[str, str, str]]:
    cues: list[tuple[str, str, str]] = []
    for phrase in words.phrases():
        some: list[Word] = []
        for word in (*words.words[phrase.first : phrase.stop], None):
            if some and (word is None or len(" ".join(w.text for w in (*some, word))) > CUE):
                cues.append((_stamp(some[0].start, mark), _stamp(some[-1].end, mark), _folded([w.text for w in some])))
                some = []
            if word is not None:
                some.append(word)
    return cues


def _folded(texts: list[str]) -> str:
    first: list[str] = []
    while texts and (not first or len(" ".join([*first, texts[0]])) <= LINE):
        first, texts = [*first, texts[0]], texts[1:]
    return " ".join(first) + ("\n" + " ".join(texts) if texts else "")


def _stamp(seconds: float, mark: str) -> str:
    whole = round(seconds * 1000)
    return f"{whole // 3_600_000:02d}:{whole // 60_000 % 60:02d}:{whole // 1000 % 60:02d}{mark}{whole % 1000:03d}"
