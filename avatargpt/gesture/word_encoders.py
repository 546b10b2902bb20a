"""Encoders of words: states of the sentence encoder, of a model of Hugging Face, or of a GGUF file by llama.cpp.

The last sub-token represents a word (LLAniMation, arXiv 2405.08042). `avatargpt.gesture.features` says how words are
grouped.
"""

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.gesture.features import SENTENCE, WordEncoder
from avatargpt.llm.local import INSTALL, MAGIC
from avatargpt.lm.checkpoint import no_bars
from vqvae.errors import UserError
from vqvae.io.files import reason, regular_file

GGUF = ".gguf"
MAX_TOKENS = 1024  # of a phrase with its context, for llama.cpp; 48 words have some 80
ACCEPTED = "'sentence', or a folder, a Hugging Face name or a .gguf file of a language model"


def _spans(words: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    # The words joined by spaces, and the characters [start, stop) of each in that text.
    text, spans = "", []
    for word in words:
        start = len(text) + bool(text)
        text = f"{text} {word}" if text else word
        spans.append((start, len(text)))
    return text, spans


def _last_tokens(offsets: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int]]) -> list[int]:
    # The last token of each word, -1 where it has none, from places [start, stop) of tokens and words in a text.
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


def _word_states(states: np.ndarray, tokens: Sequence[int]) -> np.ndarray:
    # States of tokens (n, width) -> those of words (w, width) float32, from the token of each word (-1: zeros).
    out = np.zeros((len(tokens), states.shape[1]), np.float32)
    for i, token in enumerate(tokens):
        if token >= 0:
            out[i] = states[token]
    return out


class SentenceWords:
    """Token states of the frozen sentence encoder (all-MiniLM-L6-v2), the default: (n, 384)."""

    name, width = SENTENCE, 384
    _MAX_TOKENS = 512

    def __init__(self, device: str = "cpu") -> None:
        from tokenizers import Tokenizer

        from avatargpt.lm.text_encoder import LAYERS, SentenceEncoder
        from avatargpt.resources import sentence_model_file

        self._model, self._device = SentenceEncoder(LAYERS, device), device
        self._tokenizer = Tokenizer.from_file(str(sentence_model_file("tokenizer.json")))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self._MAX_TOKENS)

    def states(self, words: Sequence[str]) -> np.ndarray:
        import torch

        text, spans = _spans([w.lower() for w in words])
        encoding = self._tokenizer.encode(text)
        ids = torch.tensor([encoding.ids], device=self._device)
        with torch.inference_mode():
            states = self._model(ids, torch.ones_like(ids))[-1][0].float().cpu().numpy()
        return _word_states(states, _last_tokens(encoding.offsets, spans))


class LanguageModelWords:
    """Last hidden states of a causal or encoder model of Hugging Face: by name or folder."""

    def __init__(self, name: str, device: str = "cpu") -> None:
        from transformers import AutoModel, AutoTokenizer

        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(name)
            with no_bars():
                model, info = AutoModel.from_pretrained(name, output_loading_info=True)
        except Exception as e:  # the library raises whatever the files make it raise
            raise UserError(f"{name}: no language model ({reason(e)}); accepted: {ACCEPTED}") from None
        if not self._tokenizer.is_fast:
            raise UserError(f"{name}: its tokenizer gives no offsets; accepted: one with tokenizer.json")
        missing = sorted(k for k in info["missing_keys"] if ".layer" in f".{k}")
        if missing:  # transformers would go on with random ones
            raise UserError(f"{name}: an incomplete language model ({missing[0]} is missing); accepted: {ACCEPTED}")
        model = model.get_encoder() if model.config.is_encoder_decoder else model
        self._model, self._device = model.eval().to(device), device
        self.name, self.width = name, int(model.config.hidden_size)

    def states(self, words: Sequence[str]) -> np.ndarray:
        import torch

        text, spans = _spans(words)
        encoding = self._tokenizer(text, return_offsets_mapping=True, return_tensors="pt")
        offsets = [(int(a), int(b)) for a, b in encoding.pop("offset_mapping")[0]]
        inputs = {k: v.to(self._device) for k, v in encoding.items() if k in ("input_ids", "attention_mask")}
        if not offsets:
            return np.zeros((len(words), self.width), np.float32)
        with torch.inference_mode():
            output = self._model(**inputs, output_hidden_states=True)
        states = output.hidden_states[-1][0].float().cpu().numpy()
        return _word_states(states, _last_tokens(offsets, spans))


class GgufWords:
    """Last hidden states (after the final norm) of a GGUF file's model; needs the extra ``llm``."""

    def __init__(self, name: str) -> None:
        path = regular_file(Path(name).expanduser(), "a GGUF file of a language model is needed")
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise UserError(f"{path}: not a GGUF file; accepted: one of a causal language model")
        if importlib.util.find_spec("llama_cpp") is None:
            raise UserError(f"{path}: llama-cpp-python is not installed; install it: {INSTALL}")
        import llama_cpp

        threads = len(os.sched_getaffinity(0))
        try:
            self._llama: Any = llama_cpp.Llama(
                model_path=str(path), embedding=True, n_ctx=MAX_TOKENS, n_batch=MAX_TOKENS, n_ubatch=MAX_TOKENS,
                verbose=False, n_threads=threads, n_threads_batch=threads,
            )  # fmt: skip
        except Exception as e:  # the library raises whatever a damaged file makes it raise
            raise UserError(f"{path}: no language model ({e}); accepted: a GGUF file that llama.cpp reads") from None
        if self._llama.pooling_type() != llama_cpp.LLAMA_POOLING_TYPE_NONE:
            raise UserError(f"{path}: a model of whole texts; accepted: a causal language model, with a state a token")
        self.name, self.width = name, int(self._llama.n_embd())

    def states(self, words: Sequence[str]) -> np.ndarray:
        text, spans = _spans(words)
        if not text:
            return np.zeros((len(words), self.width), np.float32)
        tokens = self._llama.tokenize(text.encode())
        states = np.asarray(self._llama.embed(text), np.float32)
        if len(states) != len(tokens):
            raise UserError(f"{text[:60]!r}: {len(tokens)} tokens; accepted: up to {MAX_TOKENS} in a phrase")
        # llama.cpp gives no offsets, but the bytes of every token.
        in_bytes = [(len(text[:a].encode()), len(text[:b].encode())) for a, b in spans]
        return _word_states(states, _last_tokens(self._offsets(tokens, text.encode()), in_bytes))

    def _offsets(self, tokens: Sequence[int], text: bytes) -> list[tuple[int, int]]:
        # Bytes [start, stop) of each token; special ones have none. Sentencepiece puts a space before the text.
        pieces = [self._llama.detokenize([token]) for token in tokens]
        ends = np.cumsum([len(piece) for piece in pieces]) - (len(b"".join(pieces)) - len(text))
        return [(max(int(end) - len(piece), 0), int(end)) for piece, end in zip(pieces, ends, strict=True)]


def word_encoder(name: str, device: str = "cpu") -> WordEncoder:
    """The encoder of a configuration's name. Raises UserError where it cannot be loaded."""
    if name == SENTENCE:
        return SentenceWords(device)
    return GgufWords(name) if name.endswith(GGUF) else LanguageModelWords(name, device)
