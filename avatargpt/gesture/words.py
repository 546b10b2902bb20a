"""Words as features: hidden states of a frozen language model, each held over the frames of its word."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from avatargpt.lm.checkpoint import no_bars
from avatargpt.speech.audio import FPS
from vqvae.errors import UserError
from vqvae.io.files import reason, regular_file


def frozen(where: str, name: str, what: str, accepted: str, **more: Any) -> Any:
    """A model in evaluation mode, by folder or Hugging Face name.

    Args:
        name: what the user called it, what it should be, and what is accepted: for messages.
        more: for transformers' `from_pretrained`.

    Raises:
        UserError: no such model, or a file that lacks weights of its layers.
    """
    from transformers import AutoModel

    try:
        with no_bars():
            model, info = AutoModel.from_pretrained(where, output_loading_info=True, **more)
    except Exception as e:  # the library raises whatever the files make it raise
        raise UserError(f"{name}: no {what} ({reason(e)}); accepted: {accepted}") from None
    lacking = sorted(k for k in info["missing_keys"] if ".layer" in f".{k}")
    if lacking:  # transformers would go on with random ones
        raise UserError(f"{name}: no whole {what} ({lacking[0]} is missing); accepted: {accepted}")
    return model.eval()


def check_layer(model: Any, layer: int, name: str) -> None:
    """Raises UserError for a layer that a model lacks."""
    most = int(model.config.num_hidden_layers)
    if not -1 <= layer <= most:
        raise UserError(f"{name}: layer {layer}; accepted: -1, the last, or 0 to {most}")


SENTENCE = "sentence"
"""The name of the frozen sentence encoder's states in a model's configuration."""
PAUSE = 0.6  # s between words at which a phrase ends
LONGEST = 32  # words of a phrase
BEFORE = 16  # words that are read before it
ACCEPTED = "'sentence', or a folder, a Hugging Face name or a .gguf file of a language model"


class TimedWord(Protocol):
    """A word and when it is spoken, in seconds."""

    @property
    def text(self) -> str: ...
    @property
    def start(self) -> float: ...
    @property
    def end(self) -> float: ...


Word = TypeVar("Word", bound=TimedWord)


class WordEncoder(Protocol):
    """What turns words into vectors.

    Attributes:
        name: as in a model's configuration. width: of a vector.
    """

    @property
    def name(self) -> str: ...
    @property
    def width(self) -> int: ...

    def states(self, words: Sequence[str]) -> np.ndarray:
        """Words of a text, in order -> (n, width) float32; a word that the model has no piece for is zero."""


def _spans(words: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """The words with spaces between, and where each lies in that text."""
    text, spans = "", []
    for word in words:
        start = len(text) + bool(text)
        text = f"{text} {word}" if text else word
        spans.append((start, len(text)))
    return text, spans


def _last_pieces(offsets: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int]]) -> list[int]:
    """For each word its last piece, -1 where it has none."""
    out = [-1] * len(spans)
    word = 0
    for piece, (start, end) in enumerate(offsets):
        if end <= start:
            continue  # a special token
        while word < len(spans) - 1 and spans[word][1] < end:
            word += 1
        if start < spans[word][1] and end > spans[word][0]:
            out[word] = piece
    return out


def _carried(states: np.ndarray, pieces: Sequence[int]) -> np.ndarray:
    """(pieces, width) -> (words, width) float32."""
    out = np.zeros((len(pieces), states.shape[1]), np.float32)
    for i, piece in enumerate(pieces):
        if piece >= 0:
            out[i] = states[piece]
    return out


class SentenceWords:
    """Token states of the frozen sentence encoder (all-MiniLM-L6-v2), the default: (n, 384).

    Raises:
        UserError: it is not installed.
    """

    name, width = SENTENCE, 384
    _MOST = 512  # pieces that it reads

    def __init__(self, device: str = "cpu") -> None:
        from tokenizers import Tokenizer

        from avatargpt.lm.text_encoder import LAYERS, SentenceEncoder
        from avatargpt.resources import sentence_model_folder

        self._model, self._device = SentenceEncoder(LAYERS, device), device
        self._tokenizer = Tokenizer.from_file(str(sentence_model_folder() / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self._MOST)

    def states(self, words: Sequence[str]) -> np.ndarray:
        import torch

        text, spans = _spans([w.lower() for w in words])
        read = self._tokenizer.encode(text)
        ids = torch.tensor([read.ids], device=self._device)
        with torch.inference_mode():
            states = self._model(ids, torch.ones_like(ids))[-1][0].float().cpu().numpy()
        return _carried(states, _last_pieces(read.offsets, spans))


class LanguageModelWords:
    """Hidden states of any causal or encoder model of Hugging Face: by name, a folder, or a GGUF file.

    Args:
        name: see above. layer: whose states; -1 = the last.
        called: its name in a gesture network's configuration, where the files of that model lie elsewhere.

    Raises:
        UserError: no such model, or one without a tokenizer that tells where its pieces lie.
    """

    def __init__(self, name: str, layer: int = -1, device: str = "cpu", called: str | None = None) -> None:
        from transformers import AutoTokenizer

        where, more = name, {}
        if name.endswith(".gguf"):
            file = regular_file(name, "a GGUF file of a language model is needed")
            where, more = str(Path(file).parent), {"gguf_file": Path(file).name}
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(where, **more)
        except Exception as e:  # the library raises whatever the files make it raise
            raise UserError(f"{name}: no language model ({reason(e)}); accepted: {ACCEPTED}") from None
        if not self._tokenizer.is_fast:
            raise UserError(f"{name}: its tokenizer does not tell where pieces lie; accepted: one with tokenizer.json")
        model = frozen(where, name, "language model", ACCEPTED, **more)
        check_layer(model, layer, name)
        model = model.get_encoder() if model.config.is_encoder_decoder else model
        self._model, self._device, self._layer = model.to(device), device, layer
        self.name, self.width = called or name, int(model.config.hidden_size)

    def states(self, words: Sequence[str]) -> np.ndarray:
        import torch

        text, spans = _spans(words)
        read = self._tokenizer(text, return_offsets_mapping=True, return_tensors="pt")
        offsets = [(int(a), int(b)) for a, b in read.pop("offset_mapping")[0]]
        kept = {k: v.to(self._device) for k, v in read.items() if k in ("input_ids", "attention_mask")}
        if not offsets:
            return np.zeros((len(words), self.width), np.float32)
        with torch.inference_mode():
            said = self._model(**kept, output_hidden_states=True)
        states = said.hidden_states[self._layer][0].float().cpu().numpy()
        return _carried(states, _last_pieces(offsets, spans))


def word_encoder(name: str, device: str = "cpu") -> WordEncoder:
    """The encoder of a configuration's name.

    Raises:
        UserError: there is none of it.
    """
    return SentenceWords(device) if name == SENTENCE else LanguageModelWords(name, device=device)


def phrases(words: Iterable[Word]) -> Iterator[list[Word]]:
    """Runs of words with at most `PAUSE` seconds between any two, and at most `LONGEST` words in each."""
    phrase: list[Word] = []
    for w in words:
        if phrase and (w.start - phrase[-1].end > PAUSE or len(phrase) == LONGEST):
            yield phrase
            phrase = []
        phrase.append(w)
    if phrase:
        yield phrase


def span(word: TimedWord) -> tuple[int, int]:
    """The first frame of a word and the one after its last; a word is seen in one frame at least."""
    first = round(word.start * FPS)
    return first, max(round(word.end * FPS), first + 1)


class WordRows:
    """Rows of frames, one after the other, from words with times; earlier words are forgotten as frames go by.

    Args:
        encoder: of the words. words: those known by now; more come with `say`.
    """

    def __init__(self, encoder: WordEncoder, words: Iterable[TimedWord] = ()) -> None:
        self._encoder, self.width = encoder, encoder.width
        self._phrases: deque[tuple[list[tuple[str, int, int]], list[str]]] = deque()  # words with frames, words before
        self._shown: deque[tuple[int, int, np.ndarray]] = deque()  # frames and state of each word in reach
        self._before: list[str] = []
        self._frame, self._last = 0, 0.0
        self.say(words)

    def say(self, words: Iterable[TimedWord]) -> None:
        """Further words, in the order in which they are spoken; what is already past is not shown.

        Raises:
            UserError: times that are not finite, an end before its start, or words out of order.
        """
        for phrase in phrases(self._checked(words)):
            self._keep([(w.text, *span(w)) for w in phrase])

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

    def _keep(self, phrase: list[tuple[str, int, int]]) -> None:
        self._phrases.append((phrase, self._before))
        self._before = [*self._before, *(text for text, _, _ in phrase)][-BEFORE:]

    def take(self, frames: int) -> np.ndarray:
        """Rows of the next frames, (frames, width) float32."""
        out = np.zeros((frames, self.width), np.float32)
        start, stop = self._frame, self._frame + frames
        while self._phrases and self._phrases[0][0][0][1] < stop:
            phrase, before = self._phrases.popleft()
            states = self._encoder.states([*before, *(text for text, _, _ in phrase)])[len(before) :]
            spans = zip(phrase, states, strict=True)
            self._shown.extend((first, last, state) for (_, first, last), state in spans)
        for first, last, state in self._shown:
            if first < stop and last > start:
                out[max(first - start, 0) : last - start] = state
        while self._shown and self._shown[0][1] <= stop:
            self._shown.popleft()
        self._frame = stop
        return out


def word_rows(words: Iterable[TimedWord], frames: int, encoder: WordEncoder) -> np.ndarray:
    """The rows of a whole clip, (frames, width) float32."""
    return WordRows(encoder, words).take(frames)
