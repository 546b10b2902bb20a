"""Transcripts of recordings with word times: from a text, a file of word times, or speech recognition by Whisper."""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.speech import alignment, word_files
from avatargpt.speech import audio as sound
from avatargpt.speech.phone_times import PhoneModel
from avatargpt.speech.pronouncing import TranscriptWord, cmudict, transcript_words
from avatargpt.speech.words import Word, Words, check_words
from vqvae.errors import UserError

SUBTITLE_SLACK = 1.5  # s by which the times of subtitles are off, where words share a cue
MAX_WORD_RATE = 9.0  # words a second of a recording; nobody speaks faster
EXCERPT, EXCERPT_WORDS, EXCERPT_SLACK = 60.0, 5, 1.0  # s that are compared, words to judge by, s that they may be off
WHISPER_SLACK = 0.25  # s by which nine of ten times of Whisper are off at most
INSTALL_WHISPER = 'pip install "avatargpt[asr]"'
_TEXT_SUFFIXES = (".txt", ".md", *word_files.READ_SUFFIXES)


def parse_transcript(argument: str) -> tuple[str, Words | None]:
    """The text and the word times of an argument: a text, or a file of text or of word times (also as @FILE)."""
    path = transcript_path(argument)
    if path is None:
        return argument, None
    if word_files.has_times(path):
        return "", word_files.read(path)
    return word_files.read_text(path), None


def transcript_path(argument: str) -> Path | None:
    """The file that a transcript names; None where it is the text itself."""
    if argument.startswith("@"):
        return Path(argument[1:])
    path = Path(argument)
    if path.suffix.lower() in {s.lower() for s in _TEXT_SUFFIXES} and not any(c.isspace() for c in argument):
        return path
    try:
        return path if path.exists() and not path.is_dir() else None  # a pipe is refused where it is read
    except (OSError, ValueError):  # no file has so long a name, or a NUL in it
        return None


def words_of(
    transcript: str | os.PathLike[str] | Words, audio: str | os.PathLike[str] | np.ndarray, model: PhoneModel,
    rate: int = sound.RATE, progress: alignment.Progress | None = None,
) -> Words:  # fmt: skip
    """The words of a recording with their times.

    A text is aligned with the sound (`avatargpt.speech.alignment`), and so are subtitles, whose words share a cue,
    within `SUBTITLE_SLACK`. Other times stay as they are; the first minute of them is compared with the sound.

    Args:
        transcript: a text, a file of it, a file of word times (`avatargpt.speech.word_files`), or `Words`.
        audio: a sound file, or samples (n,) or (n, channels) at `rate`.
        model: scores phones: a loaded `avatargpt.face.audio_model.driver.Driver`.

    Raises:
        UserError: no words, a text of another recording or language, times beyond the sound, more words than anybody
            says in the time, damaged files.
    """
    name = "the sound" if isinstance(audio, np.ndarray) else os.fspath(audio)
    seconds = sound.open_sound(audio, rate).about.seconds
    text, near = ("", transcript) if isinstance(transcript, Words) else parse_transcript(os.fspath(transcript))
    if near is None:
        return alignment.align(audio, text, model, rate, progress=progress)
    where = "the words" if isinstance(transcript, Words) else str(transcript_path(os.fspath(transcript)))
    last = near.words[-1]
    if last.start >= seconds:
        raise UserError(f"{where}: {last.text!r} is spoken at {last.start:.1f} s, and {name} ends at {seconds:.1f} s; "
                        "accepted: word times of this recording")  # fmt: skip
    pace = len(near) / max(min(last.end, seconds) - near.words[0].start, 1.0)
    if pace > MAX_WORD_RATE:
        raise UserError(
            f"{where}: {pace:.1f} words a second; accepted: up to {MAX_WORD_RATE:g}, as fast as anybody speaks"
        )
    if near.source == "subtitles":
        return alignment.align(audio, "", model, rate, progress=progress, near=near, slack=SUBTITLE_SLACK)
    words = check_words(where, [*near.words], near.source, seconds, near.notes)
    return replace(words, notes=(*words.notes, *_doubts(words, audio, rate, where, name, model)))


def _doubts(
    words: Words, audio: str | os.PathLike[str] | np.ndarray, rate: int, where: str, name: str, model: PhoneModel
) -> list[str]:
    """Notes on words that are not English, or that do not fit the sound."""
    try:
        cmudict()
    except UserError as e:
        return [f"{where}: not compared with the sound ({e})"]
    pronounced, owner, unknown = _pronounce_words(words.words)
    notes = []
    if len(unknown) > alignment.FOREIGN_SHARE * len(words):
        examples = ", ".join(unknown[: alignment.MAX_NAMED])
        notes.append(f"{where}: {len(unknown)} of {len(words)} words are in no dictionary ({examples} ...); is it "
                     "English? Others mean nothing to the network")  # fmt: skip
    first = words.words[0].start
    judged = [(word, at) for word, at in zip(pronounced, owner, strict=True) if words.words[at].end <= first + EXCERPT]
    if len(judged) < EXCERPT_WORDS:
        return notes
    start = max(first - EXCERPT_SLACK, 0.0)
    part = _excerpt(audio, rate, start, first + EXCERPT + EXCERPT_SLACK)
    times = np.array([(words.words[at].start - start, words.words[at].end - start) for _, at in judged])
    try:
        scores = alignment.score_sound(model, part)
        fit = alignment.align_words(scores, [word for word, _ in judged], times, EXCERPT_SLACK).fit
    except UserError:  # more words than there is time for
        fit = 0.0
    if fit < alignment.MIN_FIT:
        notes.append(f"{where}: these words do not seem to be spoken in {name}: fit {max(fit, 0.0):.2f}, "
                     f"{alignment.MIN_FIT:g} or more where they are")  # fmt: skip
    elif fit < alignment.POOR_FIT:
        notes.append(f"{where}: fits {name} poorly: fit {fit:.2f}, clear speech has 0.6 to 1")
    return notes


def _excerpt(audio: str | os.PathLike[str] | np.ndarray, rate: int, start: float, stop: float) -> np.ndarray:
    """(n,) at 16 kHz between two seconds of a sound; no more of it is stored."""
    source = sound.open_sound(audio, rate)
    first, last, at = int(start * source.about.rate), int(stop * source.about.rate), 0
    parts = []
    for block in source.parts:
        parts.append(block[max(first - at, 0) : max(last - at, 0)])
        at += len(block)
        if at >= last:
            break
    return sound.resample(np.concatenate(parts), source.about.rate)


def _pronounce_words(words: Sequence[Word]) -> tuple[list[TranscriptWord], list[int], list[str]]:
    """The words with pronunciations, the number of each, and those that no dictionary has."""
    pronounced: list[TranscriptWord] = []
    owner: list[int] = []
    unknown: list[str] = []
    for number, word in enumerate(words):
        try:
            parts = transcript_words(word.text)
        except UserError:  # no letters, or those of another script
            unknown += [word.text] if any(c.isalpha() for c in word.text) else []
            continue
        pronounced += parts
        owner += [number] * len(parts)
        unknown += [] if all(part.in_dictionary for part in parts) else [word.text]
    return pronounced, owner, unknown


# Speech recognition
def transcribe(
    audio: str | os.PathLike[str] | np.ndarray, whisper: Any, model: PhoneModel, rate: int = sound.RATE,
    aligner: alignment.Aligner = "auto", device: str = "cpu", progress: Callable[[int, int], None] | None = None,
) -> Words:  # fmt: skip
    """Words of a recording without a transcript, by Whisper (extra ``asr``) and `align`.

    Whisper's own times are about 0.1 s coarse. Where its words do not fit the sound, its times stay, without phones,
    with a note.

    Args:
        whisper: a size (tiny, base, small, medium, large-v3 ...: downloaded once from Hugging Face), the id of a
            repository there, a folder in CTranslate2's format, or a model of `load_whisper`.
        model: scores phones, as in `align`.
    """
    samples, where = alignment.samples_of(audio, rate)
    if isinstance(whisper, str | os.PathLike):
        whisper = load_whisper(os.fspath(whisper), device)
    coarse = recognise(whisper, samples, where, progress)
    try:
        words = alignment.align(samples, "", model, aligner=aligner, near=coarse, slack=WHISPER_SLACK, min_fit=0.0)
    except UserError as e:
        return replace(coarse, notes=(*coarse.notes, f"{where}: times are Whisper's own, about 0.1 s coarse ({e})"))
    notes = tuple(note.replace("the sound:", f"{where}:", 1) for note in words.notes)
    return replace(words, source=f"Whisper, {words.source}", notes=notes)


def load_whisper(model: str, device: str = "cpu") -> Any:
    """A Whisper model of faster-whisper. Raises UserError where it is not installed, or there is no such model."""
    if find_spec("faster_whisper") is None:
        raise UserError(f"faster-whisper is not installed; without a transcript it is needed: {INSTALL_WHISPER}")
    from faster_whisper import WhisperModel
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return WhisperModel(model, device=device, compute_type="int8" if device == "cpu" else "float16")
    except LocalEntryNotFoundError:
        raise UserError(f"--asr {model}: no such Whisper model is stored here, and none can be downloaded; accepted: a "
                        "connection for the first time, or a folder in CTranslate2's format") from None  # fmt: skip
    except (ValueError, RuntimeError, OSError) as e:
        raise UserError(f"--asr {model}: no Whisper model that can be loaded ({' '.join(str(e).split())[:200]}); "
                        "accepted: a size such as base, or a folder in CTranslate2's format") from None  # fmt: skip


def recognise(
    whisper: Any, samples: np.ndarray, where: str, progress: Callable[[int, int], None] | None = None
) -> Words:
    """The words of a sound (n,) at 16 kHz with Whisper's own times. Raises UserError as `transcribe`."""
    seconds = len(samples) / sound.RATE
    # Each window on its own: with the text so far as a prompt, one wrong word can repeat to the end.
    segments, info = whisper.transcribe(samples, word_timestamps=True, condition_on_previous_text=False)
    if info.language != "en":
        raise UserError(f"{where}: speech in another language ({info.language}, {info.language_probability:.0%} "
                        "sure); accepted: English")  # fmt: skip
    words: list[Word] = []
    for segment in segments:
        for word in segment.words or ():
            text = word.word.strip()
            if any(c.isalnum() for c in text):
                # Whisper's words may overlap a little, and may end after the sound.
                start = max(float(word.start), words[-1].start if words else 0.0)
                end = max(start, float(word.end))
                heard = float(word.probability)
                confidence = min(max(heard, 0.0), 1.0) if math.isfinite(heard) else None
                words.append(Word(text, min(start, seconds), min(end, seconds), (), confidence))
        if progress is not None:
            progress(round(segment.end), round(seconds))
    if not words:
        raise UserError(f"{where}: no speech is heard in it; accepted: a recording of somebody speaking English")
    return check_words(where, words, "Whisper", seconds)
