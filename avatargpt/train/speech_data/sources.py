"""Folders of recorded speech: what is in them decides how they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from avatargpt.train.speech_data.recordings import ARCHIVE, TRANSCRIBED, Sentence, dialogue, load_transcribed, stamps
from avatargpt.train.speech_data.steel_sky import INDEX, steel_sky
from vqvae.errors import UserError

# Pattern of a file -> what reads a folder with such a file; all others are sounds with transcripts.
READERS: dict[str, Callable[[Path, Any], Iterator[Sentence]]] = {
    "*_desc*.ogg": stamps, ARCHIVE: dialogue, INDEX: steel_sky,
}  # fmt: skip


def sentences_of(folder: Path, pronounce: Callable[..., tuple[str, ...]]) -> Iterator[Sentence]:
    """The sentences of a folder. `pronounce` maps a text (for stamps with a voice) to phones.

    Raises UserError where there are none.
    """
    found = (read for pattern, read in READERS.items() if next(folder.rglob(pattern), None) is not None)
    sentences = next(found, load_transcribed)(folder, pronounce)
    first = next(sentences, None)
    if first is None:
        raise UserError(f"{folder}: no recordings with their words; accepted: {TRANSCRIBED}")
    yield first
    yield from sentences
