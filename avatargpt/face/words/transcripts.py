"""What is said in a talk: a text that is laid along the sound, or word times that somebody else has found, checked."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avatargpt.face.words.align import FOREIGN, MOST_NAMED, POOR, REFUSED, align
from avatargpt.speech import audio as sound
from avatargpt.speech.words import files
from avatargpt.speech.words.words import Word, Words, collected
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.face.audio_model.driver import Driver
    from avatargpt.face.words.network import Progress
    from avatargpt.speech.pronouncing.spoken import Spoken

SPREAD = 1.5  # s by which the times of subtitles are off, where words share a cue
FASTEST = 9.0  # words a second of a whole talk; nobody speaks faster
EXCERPT, LEAST, SLACK = 60.0, 5, 1.0  # s of a talk that are listened to, words to judge by, s that they may be off
_TEXTS = (".txt", ".md", *files.READ)


def told(argument: str) -> tuple[str, Words | None]:
    """What is said, of an argument that is a text, or a file of text or of word times (also as @FILE), and these times.

    Raises:
        UserError: a file that is missing, damaged, or has no words.
    """
    path = named_file(argument)
    if path is None:
        return argument, None
    if files.has_times(path):
        return "", files.read(path)
    return files.read_text(path), None


def named_file(argument: str) -> Path | None:
    """The file that a transcript names; None where it is the text itself."""
    if argument.startswith("@"):
        return Path(argument[1:])
    path = Path(argument)
    if path.suffix.lower() in {s.lower() for s in _TEXTS} and not any(c.isspace() for c in argument):
        return path
    try:
        return path if path.is_file() else None
    except OSError:  # no file has so long a name
        return None


def words_of(
    transcript: str | os.PathLike[str] | Words, audio: str | os.PathLike[str] | np.ndarray, rate: int = sound.RATE,
    driver: Driver | None = None, progress: Progress | None = None,
) -> Words:  # fmt: skip
    """The words of a talk with their times.

    A text is laid along the sound (`avatargpt.face.words.align`), and subtitles, whose words only share a cue, are laid
    within a second and a half of it. Other times are kept, and the first minute of them is compared with the sound.

    Args:
        transcript: a text, a file of it, a file of word times (`avatargpt.speech.words.files`), or `Words`.
        audio: a sound file, or samples (n,) or (n, channels) at `rate`.
        driver: of faces, whose phone head hears; None = the packaged one.

    Raises:
        UserError: no words, a text of another recording or language, times beyond the sound, more words than anybody
            says in the time, damaged files.
    """
    name = "the sound" if isinstance(audio, np.ndarray) else os.fspath(audio)
    seconds = sound.opened(audio, rate).about.seconds
    text, near = ("", transcript) if isinstance(transcript, Words) else told(os.fspath(transcript))
    if near is None:
        return align(audio, text, rate, driver=driver, progress=progress)
    where = "the words" if isinstance(transcript, Words) else str(named_file(os.fspath(transcript)))
    last = near.words[-1]
    if last.start >= seconds:
        raise UserError(f"{where}: {last.text!r} is spoken at {last.start:.1f} s, and {name} ends at {seconds:.1f} s; "
                        "accepted: word times of this recording")  # fmt: skip
    pace = len(near) / max(min(last.end, seconds) - near.words[0].start, 1.0)
    if pace > FASTEST:
        raise UserError(f"{where}: {pace:.1f} words a second; accepted: up to {FASTEST:g}, as fast as anybody speaks")
    if near.source == "subtitles":
        return align(audio, "", rate, driver=driver, progress=progress, near=near, slack=SPREAD)
    words = collected(where, [*near.words], near.source, seconds, near.notes)
    return replace(words, notes=(*words.notes, *_doubts(words, audio, rate, where, name, driver)))


def _doubts(
    words: Words, audio: str | os.PathLike[str] | np.ndarray, rate: int, where: str, name: str, driver: Driver | None
) -> list[str]:
    """What speaks against given times: words that are not English, or that do not fit the sound."""
    from avatargpt.face.audio_model.driver import Driver
    from avatargpt.face.words.network import hear, lay_words
    from avatargpt.speech.pronouncing.dictionary import cmudict

    try:
        cmudict()
    except UserError as e:
        return [f"{where}: not compared with the sound ({e})"]
    said, owner, strange = _pronounced(words.words)
    notes = []
    if len(strange) > FOREIGN * len(words):
        some = ", ".join(strange[:MOST_NAMED])
        notes.append(f"{where}: {len(strange)} of {len(words)} words are in no dictionary ({some} ...); is it English? "
                     "Others mean nothing to the network")  # fmt: skip
    first = words.words[0].start
    judged = [(one, at) for one, at in zip(said, owner, strict=True) if words.words[at].end <= first + EXCERPT]
    if len(judged) < LEAST:
        return notes
    start = max(first - SLACK, 0.0)
    part = _excerpt(audio, rate, start, first + EXCERPT + SLACK)
    times = np.array([(words.words[at].start - start, words.words[at].end - start) for _, at in judged])
    try:
        fit = lay_words(hear(driver or Driver.load(), part), [one for one, _ in judged], times, SLACK).fit
    except UserError:  # more words than there is time for
        fit = 0.0
    if fit < REFUSED:
        notes.append(f"{where}: these words do not seem to be spoken in {name}: fit {max(fit, 0.0):.2f}, "
                     f"{REFUSED:g} or more where they are")  # fmt: skip
    elif fit < POOR:
        notes.append(f"{where}: fits {name} poorly: fit {fit:.2f}, clear speech has 0.6 to 1")
    return notes


def _excerpt(audio: str | os.PathLike[str] | np.ndarray, rate: int, start: float, stop: float) -> np.ndarray:
    """(n,) at 16 kHz, what of a sound lies between two seconds; no more of it is kept."""
    whole = sound.opened(audio, rate)
    first, last, at = int(start * whole.about.rate), int(stop * whole.about.rate), 0
    kept = []
    for block in whole.parts:
        kept.append(block[max(first - at, 0) : max(last - at, 0)])
        at += len(block)
        if at >= last:
            break
    return sound.resample(np.concatenate(kept), whole.about.rate)


def _pronounced(words: Sequence[Word]) -> tuple[list[Spoken], list[int], list[str]]:
    """The words as they are spoken, the number of each, and those that no dictionary has."""
    from avatargpt.speech.pronouncing.spoken import spoken

    said: list[Spoken] = []
    owner: list[int] = []
    strange: list[str] = []
    for number, word in enumerate(words):
        try:
            some = spoken(word.text)
        except UserError:  # no letters, or those of another script
            strange += [word.text] if any(c.isalpha() for c in word.text) else []
            continue
        said += some
        owner += [number] * len(some)
        strange += [] if all(one.known for one in some) else [word.text]
    return said, owner, strange
