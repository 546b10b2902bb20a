"""Rows of a take from what was recorded: sound, words with times, motion and its tokens.

Generated talks, stores of corpora and recordings of one speaker all become takes here
(`avatargpt.train.gesture.data`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np

from avatargpt.gesture.features import CONTEXT, PROSODY, TimedWord, WordEncoder, phrases, stress_time
from avatargpt.gesture.features import WIDTH as PROSODY_WIDTH
from avatargpt.gesture.network import RowContents
from avatargpt.speech.audio import FPS
from avatargpt.train.gesture.data import Arrays, Take
from vqvae.errors import UserError
from vqvae.features import GestureFeatures
from vqvae.tokenizer import MotionTokenizer

OTHER = "other_"  # of the interlocutor's arrays
MODALITY = "gesture"
_Word = TypeVar("_Word", bound=TimedWord)


def material_of(
    tokenizer: MotionTokenizer, encoder: WordEncoder, speakers: Sequence[str], audio: str = PROSODY,
    audio_width: int = PROSODY_WIDTH, classes: Sequence[str] = (),
) -> RowContents:  # fmt: skip
    """What the rows of takes hold that these make; `audio`: the name of the sound's features, `classes`: of strokes."""
    spec, c = GestureFeatures(), tokenizer.config
    spans = spec.slices()
    places = spans["positions"]
    return RowContents(
        audio=audio, words=encoder.name, audio_width=audio_width, word_width=encoder.width, features=spec.dim,
        levels=c.levels, codebook_size=c.codebook_size, downsample=c.downsample,
        rotations=[[spans["rotations"].start, spans["fingers"].stop]], positions=[[places.start, places.stop]],
        speakers=list(speakers), classes=list(classes), tokenizer=tokenizer.fingerprint,
    )  # fmt: skip


def load_tokenizer(folder: str) -> MotionTokenizer:
    """The tokenizer of a folder. Raises UserError where it is one of another modality."""
    tokenizer = MotionTokenizer.load(folder)
    if tokenizer.config.modality != MODALITY:
        raise UserError(f"--tokenizer {folder}: of the modality {tokenizer.config.modality}; accepted: {MODALITY}")
    return tokenizer


def word_states(words: Sequence[TimedWord], encoder: WordEncoder) -> np.ndarray:
    """(W, V) states of all words, phrase by phrase as in `avatargpt.gesture.features.WordRows`."""
    out = [np.zeros((0, encoder.width), np.float32)]
    context: list[str] = []
    for phrase in phrases(words):
        texts = [w.text for w in phrase]
        out.append(encoder.states([*context, *texts])[len(context) :])
        context = [*context, *texts][-CONTEXT:]
    return np.concatenate(out)


def word_at(words: Sequence[TimedWord], frames: int) -> np.ndarray:
    """(frames,) number of each frame's word, -1 = none; every word has at least one frame."""
    out = np.full(frames, -1, np.int32)
    for number, word in enumerate(words):
        first = round(word.start * FPS)
        out[first : max(round(word.end * FPS), first + 1)] = number
    return out


def word_stress(words: Sequence[TimedWord]) -> np.ndarray:
    """(W,) float32 seconds of the words' stresses."""
    return np.array([stress_time(w) for w in words], np.float32)


def voice_rows(audio: np.ndarray, words: Sequence[_Word], encoder: WordEncoder, frames: int) -> Arrays:
    """``audio``, ``word_states``, ``word_at`` and ``word_stress`` of one voice over `frames` frames.

    Args:
        audio: (n, A) rows of the sound; longer ones are cut, the last of shorter ones is repeated.
        words: with times, in order; those that begin behind the frames are left out.
    """
    inside = [w for w in words if w.start * FPS < frames]
    rows = audio[:frames]
    if len(rows) < frames:
        rows = np.concatenate([rows, np.repeat(rows[-1:], frames - len(rows), 0)])
    states = word_states(inside, encoder).astype(np.float16)
    return {"audio": rows.astype(np.float16), "word_states": states, "word_at": word_at(inside, frames),
            "word_stress": word_stress(inside)}  # fmt: skip


def make_heard_rows(voice: Arrays) -> Arrays:
    """The same rows as those of an interlocutor."""
    return {f"{OTHER}{name}": rows for name, rows in voice.items()}


def motion_rows(features: np.ndarray, tokenizer: MotionTokenizer) -> Arrays:
    """``features`` (T, 270) with their ``codes``."""
    return {"features": features, "codes": tokenizer.encode_features(features).astype(np.int32)}


def with_end_held_out(name: str, speaker: str, arrays: Arrays, cut: int, token: int) -> Iterator[Take]:
    """A take of training up to frame `cut`, and its end, for validation.

    Args:
        cut: moved to the token before, of `token` frames; nothing is held out where no frame is left before or after.
    """
    frames = len(arrays["features"])
    cut = cut // token * token
    spans = (("train", 0, cut), ("val", cut, frames)) if 0 < cut < frames else (("train", 0, frames),)
    for split, start, stop in spans:
        part: Arrays = {}
        for key, rows in arrays.items():
            if key == "codes":
                part[key] = rows[start // token : -(-stop // token)]
            elif key.endswith("word_stress"):
                part[key] = rows - np.float32(start / FPS)
            else:
                part[key] = rows if key.endswith("word_states") else rows[start:stop]
        yield Take(f"{name}/{split}", speaker, split, part)
