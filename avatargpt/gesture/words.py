"""Word features of the gesture network: states of the frozen sentence encoder, each held over its word's frames.

The last sub-token represents a word (LLAniMation, arXiv 2405.08042). Frames without speech are zero. A phrase is
encoded at once, with the words before it as context, so each word's state depends on its whole phrase.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

import numpy as np

from avatargpt.speech.audio import FPS
from vqvae.errors import UserError

# The name of the frozen sentence encoder's states in a model's configuration.
SENTENCE = "sentence"
PAUSE = 0.6  # s between words at which a phrase ends
MAX_PHRASE = 32  # words
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
    """Maps words to vectors.

    Attributes:
        name: as in a model's configuration. width: of a vector.
    """

    @property
    def name(self) -> str: ...
    @property
    def width(self) -> int: ...

    def states(self, words: Sequence[str]) -> np.ndarray:
        """Consecutive words of a text -> (n, width) float32; a word without tokens is zero."""


def _spans(words: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    # The words joined by spaces, and the characters of each in that text.
    text, spans = "", []
    for word in words:
        start = len(text) + bool(text)
        text = f"{text} {word}" if text else word
        spans.append((start, len(text)))
    return text, spans


def _last_tokens(offsets: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int]]) -> list[int]:
    # The last token of each word, -1 where it has none.
    out = [-1] * len(spans)
    word = 0
    for token, (start, end) in enumerate(offsets):
        if end <= start:
            continue  # a special token
        while word < len(spans) - 1 and spans[word][1] < end:
            word += 1
        if start < spans[word][1] and end > spans[word][0]:
            out[word] = token
    return out


class SentenceWords:
    """Token states of the frozen sentence encoder (all-MiniLM-L6-v2), the default: (n, 384)."""

    name, width = SENTENCE, 384
    _MAX_TOKENS = 512

    def __init__(self, device: str = "cpu") -> None:
        from tokenizers import Tokenizer

        from avatargpt.lm.text_encoder import LAYERS, SentenceEncoder
        from avatargpt.resources import sentence_model_folder

        self._model, self._device = SentenceEncoder(LAYERS, device), device
        self._tokenizer = Tokenizer.from_file(str(sentence_model_folder() / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self._MAX_TOKENS)

    def states(self, words: Sequence[str]) -> np.ndarray:
        import torch

        text, spans = _spans([w.lower() for w in words])
        encoding = self._tokenizer.encode(text)
        ids = torch.tensor([encoding.ids], device=self._device)
        with torch.inference_mode():
            states = self._model(ids, torch.ones_like(ids))[-1][0].float().cpu().numpy()
        out = np.zeros((len(words), self.width), np.float32)
        for i, token in enumerate(_last_tokens(encoding.offsets, spans)):
            if token >= 0:
                out[i] = states[token]
        return out


def word_encoder(name: str, device: str = "cpu") -> WordEncoder:
    """The encoder of a configuration's name. Raises UserError where there is none of that name."""
    if name != SENTENCE:
        raise UserError(f"words read by {name!r}; accepted: {SENTENCE!r}")
    return SentenceWords(device)


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


def frame_span(word: TimedWord) -> tuple[int, int]:
    """Frames [first, stop) of a word, at least one."""
    first = round(word.start * FPS)
    return first, max(round(word.end * FPS), first + 1)


class WordRows:
    """Rows of consecutive frames from words with times; words are dropped as their frames pass.

    Args:
        encoder: of the words. words: those known by now; `say` adds further ones.
    """

    def __init__(self, encoder: WordEncoder, words: Iterable[TimedWord] = ()) -> None:
        self._encoder, self.width = encoder, encoder.width
        self._phrases: deque[tuple[list[tuple[str, int, int]], list[str]]] = deque()  # words with frames, context
        self._encoded: deque[tuple[int, int, np.ndarray]] = deque()  # frames and state of each word in reach
        self._context: list[str] = []
        self._frame, self._last = 0, 0.0
        self.say(words)

    def say(self, words: Iterable[TimedWord]) -> None:
        """Add words, in order; frames that have passed are not changed."""
        for phrase in phrases(self._checked(words)):
            self._phrases.append(([(w.text, *frame_span(w)) for w in phrase], self._context))
            self._context = [*self._context, *(w.text for w in phrase)][-CONTEXT:]

    def _checked(self, words: Iterable[TimedWord]) -> Iterator[TimedWord]:
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
        out = np.zeros((frames, self.width), np.float32)
        start, stop = self._frame, self._frame + frames
        while self._phrases and self._phrases[0][0][0][1] < stop:
            phrase, context = self._phrases.popleft()
            states = self._encoder.states([*context, *(text for text, _, _ in phrase)])[len(context) :]
            pairs = zip(phrase, states, strict=True)
            self._encoded.extend((first, last, state) for (_, first, last), state in pairs)
        for first, last, state in self._encoded:
            if first < stop and last > start:
                out[max(first - start, 0) : last - start] = state
        while self._encoded and self._encoded[0][1] <= stop:
            self._encoded.popleft()
        self._frame = stop
        return out
