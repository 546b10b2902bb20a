"""Features of the gesture network: of sound, and of words as hidden states of a frozen language model.

A frame is given the words whose stress is near, with the seconds until it, because hands set out before a word. The
last sub-token represents a word (LLAniMation, arXiv 2405.08042). A phrase is encoded at once, with the words before it
as context: models that look both ways see the rest of their phrase.
"""

import math
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

import numpy as np

from avatargpt.speech import audio as sounds
from avatargpt.speech.audio import FPS, RATE, AudioInfo, FrameBlocks, Sound, frames_in
from avatargpt.speech.features import BANDS, PER_QUARTER, QUARTERS, SpeechFeatures
from avatargpt.speech.features import WIDTH as SPEECH_WIDTH
from avatargpt.speech.phones import VOWELS
from vqvae.errors import UserError

# The name of the frozen sentence encoder's states in a model's configuration.
SENTENCE = "sentence"
PAUSE = 0.6  # s between words at which a phrase ends
MAX_PHRASE = 32  # words
SYLLABLE = 0.35  # position of the stress in a word of unknown pronunciation
CONTEXT = 16  # words before a phrase that are encoded with it


class TimedWord(Protocol):
    """A word with its times in seconds."""

    @property
    def text(self) -> str: ...
    @property
    def start(self) -> float: ...
    @property
    def end(self) -> float: ...


Word = TypeVar("Word", bound=TimedWord)


class WordEncoder(Protocol):
    """Maps words to vectors."""

    @property
    def name(self) -> str: ...  # as in a model's configuration
    @property
    def width(self) -> int: ...  # of a vector

    def states(self, words: Sequence[str]) -> np.ndarray:
        """Consecutive words of a text -> (n, width) float32; a word without tokens is zero."""


def phrases(words: Iterable[Word]) -> Iterator[list[Word]]:
    """Runs of at most `MAX_PHRASE` words with at most `PAUSE` seconds between any two."""
    phrase: list[Word] = []
    for w in words:
        if phrase and (w.start - phrase[-1].end > PAUSE or len(phrase) == MAX_PHRASE):
            yield phrase
            phrase = []
        phrase.append(w)
    if phrase:
        yield phrase


def stress_time(word: TimedWord) -> float:
    """Seconds at which the vowel of a word's primary stress begins.

    Words without stressed phones: its position in the dictionary's pronunciation, assuming phones of equal length.
    """
    for phone in getattr(word, "phones", ()):
        if phone.stress == 1 and phone.name in VOWELS:
            return phone.start
    from avatargpt.speech.pronouncing import transcript_words

    try:
        phones = transcript_words(word.text)[0].pronunciations[0]
        at = next((k for k, p in enumerate(phones) if p.endswith("1")), None)
        share = SYLLABLE if at is None else at / len(phones)
    except (UserError, IndexError):
        share = SYLLABLE
    return word.start + share * (word.end - word.start)


SLOTS = 6  # words that a frame is given
BEHIND, COMING = 0.5, 1.1  # s from a frame back and on to the stresses of these words


def near_words(states: np.ndarray, stress: np.ndarray, seconds: np.ndarray, known: float = math.inf) -> np.ndarray:
    """The words whose stress is nearest to each frame: rows (T, `SLOTS` * (V + 1)) float32 at `seconds` (T,).

    Each slot holds a word's state and, after it, the seconds until its stress; an empty one is zero. `states` (W, V),
    `stress` (W,) seconds. Words are given from `known` seconds before their stress on.
    """
    width = states.shape[1]
    out = np.zeros((len(seconds), SLOTS, width + 1), np.float32)
    if len(stress) and len(seconds):
        near = np.flatnonzero((stress > seconds.min() - BEHIND - 1e-6) & (stress < seconds.max() + COMING + 1e-6))
        until = stress[near].astype(np.float64) - seconds[:, None].astype(np.float64)
        far = np.where((until > -BEHIND) & (until <= min(COMING, known)), np.abs(until), np.inf)
        order = np.argsort(far, 1, kind="stable")[:, :SLOTS]
        there = np.isfinite(np.take_along_axis(far, order, 1))
        filled = out[:, : order.shape[1]]
        filled[..., :width] = np.where(there[..., None], states[near][order], 0.0)
        filled[..., width] = np.where(there, np.take_along_axis(until, order, 1), 0.0)
    return out.reshape(len(seconds), -1)


def row_width(word_width: int) -> int:
    """Columns of `near_words`."""
    return SLOTS * (word_width + 1)


class WordRows:
    """Rows of consecutive frames from words with times, see `near_words`; words are dropped as their frames pass.

    Args:
        ahead: frames by which the sound is ahead of the motion: row n is of frame n - `ahead`.
    """

    def __init__(self, encoder: WordEncoder, words: Iterable[TimedWord] = (), ahead: int = 0) -> None:
        self._encoder, self.width, self._ahead = encoder, row_width(encoder.width), ahead
        self._phrases: deque[list[tuple[str, float]]] = deque()  # words with their stress
        self._contexts: deque[list[str]] = deque()
        self._states = np.zeros((0, encoder.width), np.float32)  # of the words in reach
        self._stress = np.zeros(0)
        self._context: list[str] = []
        self._frame, self._last = 0, 0.0
        self.say(words)

    def say(self, words: Iterable[TimedWord]) -> None:
        """Add words, in order; frames that have passed are not changed."""
        for phrase in phrases(self._check_words(words)):
            self._phrases.append([(w.text, stress_time(w)) for w in phrase])
            self._contexts.append(self._context)
            self._context = [*self._context, *(w.text for w in phrase)][-CONTEXT:]

    def _check_words(self, words: Iterable[TimedWord]) -> Iterator[TimedWord]:
        for w in words:
            if not (math.isfinite(w.start) and math.isfinite(w.end) and 0 <= w.start <= w.end):
                raise UserError(f"word {w.text!r} from {w.start} s to {w.end} s; accepted: 0 or later, no end before "
                                "its start")  # fmt: skip
            if w.start < self._last - 1e-6:
                raise UserError(f"word {w.text!r} at {w.start:.2f} s comes after one at {self._last:.2f} s; accepted: "
                                "words in the order in which they are spoken")  # fmt: skip
            self._last = w.start
            yield w

    def take(self, frames: int) -> np.ndarray:
        """Rows of the next frames, (frames, width) float32."""
        seconds = (np.arange(self._frame, self._frame + frames) - self._ahead) / FPS
        self._frame += frames
        if not frames:
            return np.zeros((0, self.width), np.float32)
        while self._phrases and self._phrases[0][0][1] <= seconds[-1] + COMING:
            phrase, context = self._phrases.popleft(), self._contexts.popleft()
            states = self._encoder.states([*context, *(text for text, _ in phrase)])[len(context) :]
            self._states = np.concatenate([self._states, states])
            self._stress = np.concatenate([self._stress, [at for _, at in phrase]])
        out = near_words(self._states, self._stress, seconds)
        kept = self._stress > seconds[-1] - BEHIND - 1 / FPS
        self._states, self._stress = self._states[kept], self._stress[kept]
        return out


# Audio of the gesture network: prosody of each frame at 30 fps, loudness of words, two voices in step.
# Frame n is the sound from n / 30 s to (n + 1) / 30 s. Frames are placed by counting samples, so nothing drifts.

# The name of these features in a model's configuration.
PROSODY = "prosody"
WIDTH = SPEECH_WIDTH + QUARTERS  # 336
LEVEL_RATE = 100  # level measurements a second
MAX_LENGTH_DIFFERENCE = 0.5  # s between the lengths of two voices


class Prosody:
    """16 kHz blocks of one frame -> (336,) float32 each.

    Layout: the 332 of `avatargpt.speech.features.SpeechFeatures` (log-mel, energy, voicing, pitch), then four
    onset strengths, one for each quarter frame: the mean rise of the log-mel bands since the previous quarter (spectral
    flux, Dixon 2006). Causal: a frame depends on samples before its end alone.
    """

    def __init__(self) -> None:
        self._features = SpeechFeatures()
        self._previous: np.ndarray | None = None

    def __call__(self, block: np.ndarray) -> np.ndarray:
        """The features of the next frame from its samples (533 or 534,)."""
        speech = self._features(block)
        bands = speech.reshape(QUARTERS, PER_QUARTER)[:, :BANDS]
        previous = bands[0] if self._previous is None else self._previous
        rise = np.maximum(bands - np.concatenate([previous[None], bands[:-1]]), 0).mean(1)
        self._previous = bands[-1].copy()
        return np.concatenate([speech, rise.astype(np.float32)])


class ProsodyStream:
    """Samples at any rate and chunk size in, rows out; the same bits whatever the chunks, constant memory."""

    def __init__(self, rate: int = RATE) -> None:
        self._blocks, self._prosody = FrameBlocks(rate), Prosody()
        self._ready: list[np.ndarray] = []  # rows of frames that end within the next sample
        self.frames = 0  # rows given out

    @property
    def delay(self) -> float:
        """Seconds of sound after a frame's end that resampling needs."""
        return self._blocks.delay

    @property
    def repaired(self) -> int:
        """Samples so far that were not finite and were replaced by silence."""
        return self._blocks.repaired

    def push(self, pcm: np.ndarray) -> np.ndarray:
        """Samples (n,) or (n, channels), floats in [-1, 1] or integers -> (k, 336) rows that are ready, k may be 0."""
        self._ready += [self._prosody(block) for block in self._blocks.push(pcm)]
        # Resampling may complete a frame one sample early: its row waits for that sample.
        count = min(len(self._ready), self._blocks.samples * FPS // self._blocks.rate - self.frames)
        rows, self._ready = self._ready[:count], self._ready[count:]
        self.frames += len(rows)
        return np.stack(rows) if rows else np.zeros((0, WIDTH), np.float32)

    def end(self, beyond: int = 0, frames: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The rows still due, and `beyond` rows of the silence after them; the stream ends.

        Args:
            frames: rows in all; None = whole frames in the sound, at least one.
        """
        due = frames_in(self._blocks.samples, self._blocks.rate) if frames is None else frames
        due = max(due - self.frames, 0)
        quiet = np.zeros(self._blocks.rate // FPS + 1, np.float32)
        rows = [np.zeros((0, WIDTH), np.float32)]
        while sum(map(len, rows)) < due + beyond:
            rows.append(self.push(quiet))
        both = np.concatenate(rows)
        return both[:due], both[due : due + beyond]


def prosody(audio: np.ndarray, rate: int) -> np.ndarray:
    """Rows of a whole signal, (frames_in(n, rate), 336) float32: the same as from a stream of it."""
    stream = ProsodyStream(rate)
    return np.concatenate([stream.push(audio), stream.end()[0]])


def loudness(audio: str | os.PathLike[str] | np.ndarray, rate: int, words: Sequence[TimedWord]) -> tuple[float, ...]:
    """Each word's peak level (10 ms means, dB) in standard deviations from the mean of all words."""
    sound = sounds.open_sound(audio, rate)
    size = max(1, sound.about.rate // LEVEL_RATE)
    remainder, power = np.zeros(0, np.float32), []
    for block in sound.parts:
        mono = np.concatenate([remainder, sounds.to_mono(block) if block.ndim > 1 else block])
        full = len(mono) // size * size
        power.append((mono[:full].reshape(-1, size).astype(np.float64) ** 2).mean(1))
        remainder = mono[full:]
    level = 10 * np.log10(np.concatenate([*power, [1e-9]]) + 1e-9)
    per_second = sound.about.rate / size
    peaks = []
    for word in words:
        first = min(int(word.start * per_second), len(level) - 1)
        peaks.append(float(level[first : max(first + 1, int(word.end * per_second))].max()))
    # At least 1 dB, so that an even voice does not get gestures of random sizes.
    spread = max(float(np.std(peaks)), 1.0) if peaks else 1.0
    return tuple((x - float(np.mean(peaks))) / spread for x in peaks)


class InterlocutorAudio:
    """The interlocutor's samples in step with the speaker's blocks, whatever the rates and block sizes."""

    def __init__(self, rate: int, sound: Sound | None) -> None:
        self._rate, self._sound = rate, sound
        self._parts: Iterator[np.ndarray] = iter(()) if sound is None else iter(sound.parts)
        self._speaker_samples = self._samples = 0

    def __call__(self, block: np.ndarray) -> np.ndarray | None:
        """(n,) of the speaker -> (m,) of the interlocutor, None without one."""
        if self._sound is None:
            return None
        self._speaker_samples += len(block)
        parts = [np.zeros(0, np.float32)]
        while self._samples * self._rate < self._speaker_samples * self._sound.about.rate:
            if (part := next(self._parts, None)) is None:
                break
            self._samples += len(part)
            parts.append(part)
        return np.concatenate(parts)

    def drain_blocks(self) -> Iterator[np.ndarray]:
        """Blocks after the end of the speaker's sound."""
        return self._parts


def check_lengths(speaker: AudioInfo, interlocutor: AudioInfo) -> None:
    """Raises UserError where `avatargpt.gesture.stream` would, before anything is computed."""
    if abs(speaker.seconds - interlocutor.seconds) > MAX_LENGTH_DIFFERENCE:
        raise unequal_lengths(speaker.seconds, interlocutor.seconds)


def unequal_lengths(speaker: float, interlocutor: float) -> UserError:
    """The error for voices of different lengths, in seconds."""
    return UserError(f"the interlocutor's sound lasts {interlocutor:.1f} s, the speaker's {speaker:.1f} s; "
                     f"accepted: the same, within {MAX_LENGTH_DIFFERENCE} s")  # fmt: skip
