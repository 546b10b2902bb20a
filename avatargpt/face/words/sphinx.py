"""Word times by pocketsphinx (extra ``align``), passage by passage between pauses that the phone head has found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from avatargpt.face.words.network import Laid, Progress
from avatargpt.speech.audio import RATE
from avatargpt.speech.phones import Phone
from avatargpt.speech.words.words import Word

if TYPE_CHECKING:
    from avatargpt.speech.pronouncing.spoken import Spoken

INSTALL = 'pip install "avatargpt[align]"'
FRAMES = 100  # a second
LONGEST = 30.0  # s of a passage, where there are pauses
PAUSE = 0.2  # s between two words at which a passage may end
SURE, AROUND = 0.4, 2  # fit of so many words on each side of such a pause, on average
_Span = tuple[str, int, int]  # a phone, its first frame, and how many


@dataclass(frozen=True)
class Passage:
    """Words from number `first` up to, without, `stop`, and seconds of sound with nothing else in them."""

    first: int
    stop: int
    start: float
    end: float


def installed() -> bool:
    """Whether the extra is there."""
    return find_spec("pocketsphinx") is not None


def refine(
    audio: np.ndarray, said: Sequence[Spoken], laid: Laid, progress: Progress | None = None
) -> tuple[list[Word], list[Passage]]:
    """Words with times of pocketsphinx, and the passages that it refused: their words stay as they are.

    A passage that is refused is halved in a pause, as long as it has one.

    Args:
        audio: (n,) at 16 kHz.
        laid: `said` as the phone head has it.
    """
    from pocketsphinx import Decoder, get_model_path

    # Without its search for a better path, which failed on all or a part of 4 of LJ's first 14 sentences.
    model = get_model_path("en-us/en-us")
    decoder = Decoder(hmm=model, lm=None, dict=None, loglevel="FATAL", samprate=RATE, bestpath=False)
    words, refused = list(laid.words), []
    waiting = _passages(laid, len(audio) / RATE)[::-1]
    while waiting:
        passage = waiting.pop()
        if progress is not None:
            progress(round(passage.start), round(len(audio) / RATE))
        found = _aligned(decoder, audio, said, passage)
        if found is not None:
            words[passage.first : passage.stop] = found
            continue
        parts = _halves(laid, passage, 0.0)  # less sure: the alternative is not to be aligned at all
        waiting += parts[::-1]
        if not parts:
            refused.append(passage)
            inside = words[passage.first : passage.stop]
            words[passage.first : passage.stop] = [_within(w, passage.start, passage.end) for w in inside]
    return words, refused


def _within(word: Word, start: float, end: float) -> Word:
    """A word that begins where a pause before it was cut."""
    return replace(word, start=min(max(word.start, start), end), end=min(max(word.end, start), end))


def _aligned(decoder: Any, audio: np.ndarray, said: Sequence[Spoken], passage: Passage) -> list[Word] | None:
    """One passage; None where pocketsphinx finds no way through it."""
    for k in range(passage.first, passage.stop):
        for way, phones in enumerate(said[k].ways):
            name = f"w{k}" + (f"({way + 1})" if way else "")
            if decoder.lookup_word(name) is None:
                decoder.add_word(name, " ".join(p.rstrip("012") for p in phones), False)
    part = audio[round(passage.start * RATE) : round(passage.end * RATE)]
    samples = (np.clip(part, -1, 1) * 32767).astype("<i2").tobytes()
    try:
        decoder.set_align_text(" ".join(f"w{k}" for k in range(passage.first, passage.stop)))
        _hear(decoder, samples)
        if decoder.hyp() is None:
            return None
        decoder.set_alignment()
        _hear(decoder, samples)
        found: dict[int, list[_Span]] = {}
        alignment = decoder.get_alignment()  # what it yields is gone with it: only plain values are kept
        for word in alignment:
            name = word.name.partition("(")[0]
            if name.startswith("w") and name[1:].isdigit() and int(name[1:]) not in found:
                found[int(name[1:])] = [(p.name, p.start, p.duration) for p in word]
    except RuntimeError:
        return None
    if sorted(found) != list(range(passage.first, passage.stop)) or not all(found.values()):
        return None
    return [_word(said[k], found[k], passage.start) for k in range(passage.first, passage.stop)]


def _hear(decoder: Any, samples: bytes) -> None:
    decoder.start_utt()
    try:
        decoder.process_raw(samples, full_utt=True)
    finally:
        decoder.end_utt()


def _word(one: Spoken, heard: list[_Span], start: float) -> Word:
    names = [name for name, _, _ in heard]
    way = next((w for w in one.ways if [p.rstrip("012") for p in w] == names), None)
    digits = [p[-1] if p[-1].isdigit() else "" for p in way] if way is not None else [""] * len(names)
    phones = tuple(
        Phone(name, start + a / FRAMES, start + (a + n) / FRAMES, int(digit) if digit else None)
        for (name, a, n), digit in zip(heard, digits, strict=True)
    )
    return Word(one.text, phones[0].start, phones[-1].end, phones)


def _passages(laid: Laid, seconds: float) -> list[Passage]:
    """The whole sound in passages of at most `LONGEST` seconds, as far as its pauses allow."""
    out, rest = [], [Passage(0, len(laid.words), 0.0, seconds)]
    while rest:
        passage = rest.pop()
        parts = _halves(laid, passage) if passage.end - passage.start > LONGEST else []
        if parts:
            rest += parts[::-1]
        else:
            out.append(passage)
    return out


def _halves(laid: Laid, passage: Passage, sure: float = SURE) -> list[Passage]:
    """Two passages in its place, cut in a pause between words that surely are where they are; none: there is no such.

    Of these the pause that divides it most evenly.
    """
    best, cut = 0.0, 0
    for k in range(passage.first + 1, passage.stop):
        pause = laid.words[k].start - laid.words[k - 1].end
        sides = laid.fits[max(passage.first, k - AROUND) : k], laid.fits[k : min(passage.stop, k + AROUND)]
        if pause >= PAUSE and min(float(np.mean(side)) for side in sides) >= sure:
            middle = laid.words[k].start - pause / 2
            shorter = min(middle - passage.start, passage.end - middle)
            if shorter > best:
                best, cut = shorter, k
    if not cut:
        return []
    middle = (laid.words[cut - 1].end + laid.words[cut].start) / 2
    return [Passage(passage.first, cut, passage.start, middle), Passage(cut, passage.stop, middle, passage.end)]
