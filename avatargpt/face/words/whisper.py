"""What is said in a recording, by Whisper through faster-whisper (extra ``asr``), with times from the aligner."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from avatargpt.face.words.align import Aligner, align, samples_of
from avatargpt.speech import audio as sound
from avatargpt.speech.words.words import Word, Words, collected
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.face.audio_model.driver import Driver

INSTALL = 'pip install "avatargpt[asr]"'
ENGLISH = "en"
COARSE = 0.25  # s by which nine of ten of its times are off at most
Progress = Callable[[int, int], None]


def transcribe(
    audio: str | os.PathLike[str] | np.ndarray, model: Any, rate: int = sound.RATE,
    aligner: Aligner = "auto", driver: Driver | None = None, device: str = "cpu", progress: Progress | None = None,
) -> Words:  # fmt: skip
    """Words of a recording without a transcript. Whisper's own times are some 0.1 s coarse; `align` finds better ones.

    Where what Whisper heard does not fit the sound, its own times stay, without phones, and a note says so.

    Args:
        audio: as in `align`.
        model: a size (tiny, base, small, medium, large-v3 ...: downloaded once from Hugging Face), the id of a
            repository there, a folder in CTranslate2's format, or one that is `loaded`.

    Raises:
        UserError: faster-whisper is not installed, no such model, no words heard, or another language than English.
    """
    samples, where = samples_of(audio, rate)
    if isinstance(model, str | os.PathLike):
        model = loaded(os.fspath(model), device)
    coarse = heard(model, samples, where, progress)
    try:
        words = align(samples, aligner=aligner, driver=driver, near=coarse, slack=COARSE, least=0.0)
    except UserError as e:
        return replace(coarse, notes=(*coarse.notes, f"{where}: times are Whisper's own, about 0.1 s coarse ({e})"))
    notes = tuple(note.replace("the sound:", f"{where}:", 1) for note in words.notes)
    return replace(words, source=f"Whisper, {words.source}", notes=notes)


def loaded(model: str, device: str = "cpu") -> Any:
    """A Whisper model of faster-whisper. Raises UserError where it is not installed, or there is no such model."""
    if find_spec("faster_whisper") is None:
        raise UserError(f"faster-whisper is not installed; without a transcript it is needed: {INSTALL}")
    from faster_whisper import WhisperModel

    try:
        return WhisperModel(model, device=device, compute_type="int8" if device == "cpu" else "float16")
    except (ValueError, RuntimeError, OSError) as e:
        raise UserError(f"--asr {model}: no Whisper model that can be loaded ({' '.join(str(e).split())[:200]}); "
                        "accepted: a size such as base, or a folder in CTranslate2's format") from None  # fmt: skip


def heard(model: Any, samples: np.ndarray, where: str, progress: Progress | None = None) -> Words:
    """What Whisper hears in a sound (n,) at 16 kHz, with its own times. Raises UserError as `transcribe`."""
    seconds = len(samples) / sound.RATE
    segments, about = model.transcribe(samples, word_timestamps=True, condition_on_previous_text=False)
    if about.language != ENGLISH:
        raise UserError(f"{where}: speech in another language ({about.language}, {about.language_probability:.0%} "
                        "sure); accepted: English")  # fmt: skip
    words: list[Word] = []
    for segment in segments:
        for word in segment.words or ():
            text = word.word.strip()
            if any(c.isalnum() for c in text):
                start = max(float(word.start), words[-1].start if words else 0.0)
                end = max(start, float(word.end))
                words.append(Word(text, min(start, seconds), min(end, seconds), (), float(word.probability)))
        if progress is not None:
            progress(round(segment.end), round(seconds))
    if not words:
        raise UserError(f"{where}: no speech is heard in it; accepted: a recording of somebody speaking English")
    return collected(where, words, "Whisper", seconds)
