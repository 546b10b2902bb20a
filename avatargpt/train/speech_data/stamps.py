"""Real voices of many countries: the spoken descriptions of Tux Paint's stamps, with their texts.

About 7,300 short clips, 2.8 hours, of a dozen speakers in as many languages, each with a microphone of their own
(Debian: ``apt download tuxpaint-stamps-default``, then ``dpkg -x``). ``NAME_desc_LANGUAGE.ogg`` says what the line
``LANGUAGE.utf8=`` of ``NAME.txt`` tells, ``NAME_desc.ogg`` its first line, in English.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from avatargpt.speech.audio import load, resample
from avatargpt.train.speech_data.pairs import Spoken
from vqvae.errors import UserError

VOICES = {
    "be": "be", "bg": "bg", "ca": "ca", "da": "da", "el": "el", "es": "es", "fr": "fr", "lt": "lt", "nl": "nl",
    "ro": "ro", "ru": "ru",
}  # fmt: skip
"""Language of a description -> the voice that pronounces its text."""
ENGLISH = "en-us"
_SOUND = re.compile(r"(.+)_desc(?:_([a-z]+))?\.ogg")


def is_stamps(folder: Path) -> bool:
    """Whether spoken descriptions lie anywhere under a folder."""
    return next(folder.rglob("*_desc*.ogg"), None) is not None


def stamps(folder: Path, pronounce: Callable[[str, str], tuple[str, ...]]) -> Iterator[Spoken]:
    """All spoken descriptions with the phones of their texts; the English ones are never trained on.

    Args:
        folder: that holds them, at any depth.
        pronounce: text, voice -> phones.

    Raises:
        UserError: none there.
    """
    found = [(m, wave) for wave in folder.rglob("*_desc*.ogg") if (m := _SOUND.fullmatch(wave.name))]
    if not found:
        raise UserError(f"{folder}: no spoken descriptions (NAME_desc_LANGUAGE.ogg) in it")
    for match, wave in sorted(found, key=lambda x: (x[0].group(2) or "", x[1])):  # speaker by speaker
        table = wave.with_name(f"{match.group(1)}.txt")
        if not table.is_file():
            continue
        lines = table.read_text(encoding="utf-8", errors="replace").splitlines()
        language = match.group(2)
        if language is None:
            text, voice = (lines[0] if lines else ""), ENGLISH
        else:
            voice = VOICES.get(language, "")
            text = next((x.partition("=")[2] for x in lines if x.startswith(f"{language}.utf8=")), "")
        if not text.strip() or not voice:
            continue
        phones = pronounce(text.strip(), voice)
        if not phones:
            continue
        split = "val" if language is None else "train"
        name = f"stamps/{language or 'en'}/{match.group(1)}"
        yield Spoken(name, resample(*load(wave)), phones, split)
