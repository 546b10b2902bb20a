"""Text: sentencepiece ids for the language model, and the frozen sentence encoder all-MiniLM-L6-v2.

The encoder is plain torch (a BERT without its pooling layer) with transformers' results to the bit: importing that
library takes longer than encoding a request. Shapes: B texts, N word pieces.
"""

from __future__ import annotations

import io
import json
import os
import threading
import unicodedata
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from avatargpt.lm.devices import fast_bfloat16
from avatargpt.resources import sentence_model_file
from vqvae.errors import UserError
from vqvae.io.files import parsing, read_bytes
from vqvae.motion import atomic_write

SPIECE = "spiece.model"
PAD, EOS, UNK = 0, 1, 2  # T5's own ids
MAX_SPIECE_BYTES = 64 << 20
LAYERS, WIDTH, HEADS, EPSILON = 6, 384, 12, 1e-12  # of all-MiniLM-L6-v2


class TextTokenizer:
    """Sentencepiece with T5's special ids (pad 0, end 1, unknown 2); text is brought into Unicode's NFKC form."""

    def __init__(self, model: bytes) -> None:
        import sentencepiece

        self._bytes = model
        with parsing(SPIECE, "a sentencepiece model"):
            self.processor = sentencepiece.SentencePieceProcessor(model_proto=model)
            if self.size <= UNK or max(self.processor.encode("a")) >= self.size:
                raise ValueError("no pieces")

    @property
    def size(self) -> int:
        """V, number of pieces."""
        return int(self.processor.get_piece_size())

    def encode(self, text: str) -> list[int]:
        """Lower-cased text -> piece ids, without an end id."""
        return list(self.processor.encode(" ".join(_normalise_text(text).split())))

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` of many texts."""
        lines = [" ".join(_normalise_text(t).split()) for t in texts]
        return [list(ids) for ids in self.processor.encode(lines, num_threads=1)]

    def symbol(self, name: str) -> int | None:
        """Id of a user-defined symbol; None where the vocabulary does not have it."""
        number = int(self.processor.piece_to_id(name))
        return None if number == UNK else number

    def decode(self, ids: Iterable[int]) -> str:
        """Ids up to the first end id -> text; padding and ids outside the vocabulary are left out."""
        pieces = []
        for i in map(int, ids):
            if i == EOS:
                break
            if UNK < i < self.size:
                pieces.append(i)
        return str(self.processor.decode(pieces)).strip()

    @classmethod
    def train(
        cls, lines: Iterable[str], vocab_size: int, folder: str | os.PathLike[str] | None = None,
        symbols: Sequence[str] = (),
    ) -> TextTokenizer:  # fmt: skip
        """A unigram model of `vocab_size` pieces with byte fall-back, so that nothing is unreadable.

        `symbols`, in lower case, are one piece each, on top of these.

        `UserError`: too few pieces for the characters of `lines`, or no lines.
        """
        import sentencepiece

        out = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=map(_normalise_text, lines), model_writer=out,
                vocab_size=vocab_size + len(symbols),
                normalization_rule_name="identity",  # sentencepiece's own table takes a quarter of a megabyte
                model_type="unigram", character_coverage=1.0, byte_fallback=True, pad_id=PAD, eos_id=EOS, unk_id=UNK,
                bos_id=-1, user_defined_symbols=["[instruction]", "[input]", "[response]", *symbols], minloglevel=2,
                hard_vocab_limit=False, num_threads=1,
            )  # fmt: skip
        except RuntimeError as e:
            raise UserError(f"vocab_size {vocab_size}: no sentencepiece model ({str(e).splitlines()[0]})") from None
        tokenizer = cls(out.getvalue())
        if folder is not None:
            tokenizer.save(folder)
        return tokenizer

    def save(self, folder: str | os.PathLike[str]) -> Path:
        return atomic_write(Path(folder) / SPIECE, lambda p: p.write_bytes(self._bytes))

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> TextTokenizer:
        """Read ``spiece.model`` from a folder."""
        path = Path(folder) / SPIECE
        with parsing(path, "a sentencepiece model"):
            return cls(read_bytes(path, MAX_SPIECE_BYTES, f"a model folder holds {SPIECE}"))


def _normalise_text(text: str) -> str:
    return unicodedata.normalize("NFKC", text).lower()


def encoder_weights(start: str | tuple[str, ...] = "") -> dict[str, Tensor]:
    """The weights of the sentence encoder whose names begin so, or with one of these, by name."""
    from safetensors import safe_open

    with safe_open(sentence_model_file("model.safetensors"), "pt") as file:  # whole, by its digest
        return {name: file.get_tensor(name) for name in file.keys() if name.startswith(start)}  # noqa: SIM118  no mapping


class SentenceEncoder:
    """The encoder up to a layer, of which only those weights are read."""

    def __init__(self, layers: int, device: torch.device | str = "cpu") -> None:
        self.layers = layers
        wanted = encoder_weights(("embeddings.", *(f"encoder.layer.{i}." for i in range(layers))))
        self.weights = {name: weight.to(device) for name, weight in wanted.items()}

    def to(self, device: torch.device | str) -> None:
        """Move the weights."""
        self.weights = {name: weight.to(device) for name, weight in self.weights.items()}

    def __call__(self, ids: Tensor, mask: Tensor) -> list[Tensor]:
        """Word pieces (B, N), N <= 512, and their mask (B, N), 1 = piece -> states (B, N, 384) before and after each
        layer."""
        words, kinds, places = (
            self.weights[f"embeddings.{k}_embeddings.weight"] for k in ("word", "token_type", "position")
        )
        x = F.embedding(ids, words) + kinds[0] + places[: ids.shape[1]]
        out = [self._norm("embeddings", x)]
        open_ = None if bool(mask.all()) else mask.bool()[:, None, None]
        for number in range(self.layers):
            out.append(self._layer(f"encoder.layer.{number}", out[-1], open_))
        return out

    def _layer(self, name: str, x: Tensor, open_: Tensor | None) -> Tensor:
        q, k, v = (
            self._map(f"{name}.attention.self.{part}", x).unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for part in ("query", "key", "value")
        )
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=open_).transpose(1, 2).flatten(2)
        x = self._norm(f"{name}.attention.output", self._map(f"{name}.attention.output.dense", attended) + x)
        wide = F.gelu(self._map(f"{name}.intermediate.dense", x))
        return self._norm(f"{name}.output", self._map(f"{name}.output.dense", wide) + x)

    def _map(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _norm(self, name: str, x: Tensor) -> Tensor:
        weight, bias = (self.weights[f"{name}.LayerNorm.{k}"] for k in ("weight", "bias"))
        return F.layer_norm(x, (WIDTH,), weight, bias, EPSILON)


class TunedLinear(nn.Module):
    """(..., I) -> (..., O): a frozen matrix plus a trained one of small rank, initially zero (LoRA)."""

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, rank: int) -> None:
        super().__init__()
        self.register_buffer("weight", weight.float(), persistent=False)
        self.register_buffer("bias", bias.float(), persistent=False)
        self.down = nn.Parameter(torch.randn(rank, weight.shape[1]) * weight.shape[1] ** -0.5)
        self.up = nn.Parameter(torch.zeros(weight.shape[0], rank))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias) + F.linear(F.linear(x, self.down), self.up)


def best_of_rank(up: Tensor, down: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """(O, R) and (R, I) -> (O, rank) and (rank, I) whose product is nearest to theirs (Eckart and Young 1936)."""
    left, size, right = torch.linalg.svd(up.double() @ down.double(), full_matrices=False)
    root = size[:rank].sqrt()
    return (left[:, :rank] * root).to(up.dtype), (root[:, None] * right[:rank]).to(down.dtype)


class TunedLayer(nn.Module):
    """One layer of the encoder with trained low-rank updates of its matrices and trained norms."""

    def __init__(self, weights: dict[str, Tensor], number: int, rank: int, dropout: float) -> None:
        super().__init__()

        def linear(name: str) -> TunedLinear:
            start = f"encoder.layer.{number}.{name}"
            return TunedLinear(weights[f"{start}.weight"], weights[f"{start}.bias"], rank)

        def norm(name: str) -> nn.LayerNorm:
            out = nn.LayerNorm(WIDTH, EPSILON)
            start = f"encoder.layer.{number}.{name}.LayerNorm"
            out.load_state_dict({k: weights[f"{start}.{k}"].float() for k in ("weight", "bias")})
            return out

        self.query, self.key, self.value = (linear(f"attention.self.{k}") for k in ("query", "key", "value"))
        self.mix, self.even = linear("attention.output.dense"), norm("attention.output")
        self.widen, self.narrow, self.leave = linear("intermediate.dense"), linear("output.dense"), norm("output")
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, open_: Tensor) -> Tensor:
        """Token states (B, N, 384) and `open_` (B, 1, 1, N), True at words -> (B, N, 384)."""
        q, k, v = (f(x).unflatten(-1, (HEADS, -1)).transpose(1, 2) for f in (self.query, self.key, self.value))
        # The backward pass of torch's other kernel takes ten times as long on a CPU with so few words.
        with sdpa_kernel(SDPBackend.MATH) if self.training else nullcontext():
            attended = F.scaled_dot_product_attention(q, k, v, attn_mask=open_)
        x = self.even(x + self.drop(self.mix(attended.transpose(1, 2).flatten(2))))
        out: Tensor = self.leave(x + self.drop(self.narrow(F.gelu(self.widen(x)))))
        return out


class TunedLayers(nn.Module):
    """States after layer `first` (B, N, 384) -> those after the last one; only the trained changes are stored."""

    def __init__(self, first: int, rank: int, dropout: float) -> None:
        super().__init__()
        weights = encoder_weights()
        self.layers = nn.ModuleList(TunedLayer(weights, n, rank, dropout) for n in range(first, LAYERS))

    def forward(self, states: Tensor, words: Tensor) -> Tensor:
        """`words` (B, N) 1 for words."""
        open_ = words.bool()[:, None, None]
        for layer in self.layers:
            states = layer(states, open_)
        return states


TUNED_FROM = 3  # layer whose states `TunedSentences` reads


class TunedSentences(nn.Module):
    """Texts -> vectors, by the layers of the sentence encoder from `TUNED_FROM` on, tuned in low rank.

    Args:
        rank, dropout: of the changes; the layers below stay as they are.
    """

    def __init__(self, rank: int, dropout: float) -> None:
        super().__init__()
        self.layers = TunedLayers(TUNED_FROM, rank, dropout)
        # alone: a resumed training computes states beside other texts than one that was not stopped
        self._lower = SentenceGrounder(layers=(TUNED_FROM,), alone=True)

    def forward(self, texts: Sequence[str]) -> Tensor:
        """(B, 384) unit vectors, means over words."""
        parts = self._lower.states(texts)
        states = torch.zeros(len(parts), max(map(len, parts)), WIDTH)
        words = torch.zeros(states.shape[:2], dtype=torch.bool)
        for row, part in enumerate(parts):
            states[row, : len(part)], words[row, : len(part)] = torch.from_numpy(part.astype(np.float32)), True
        mean = (self.layers(states, words) * words[..., None]).sum(1) / words.sum(1, keepdim=True)
        return F.normalize(mean, dim=-1)


# A text's states differ in their last bits with the texts that are computed beside it, so remembered states may change
# the next answer. `forget_states` comes before a call that has to answer alike whatever was asked before.
_epoch = 0


def forget_states() -> None:
    """Let every `SentenceGrounder` compute its states anew."""
    global _epoch
    _epoch += 1


class SentenceGrounder:
    """Frozen all-MiniLM-L6-v2 (Apache-2.0): the meaning of words that no caption contains.

    Args:
        max_tokens: longer texts are cut. cache_size: texts whose states stay in memory.
        layers: whose states are returned, side by side, in ascending order: 0 = word pieces, 6 = the last.
        alone: encode every text by itself, so that its states are the same to the bit in any batch.
    """

    width = 384

    def __init__(
        self, max_tokens: int = 64, cache_size: int = 5_000, device: str | torch.device = "cpu",
        layers: Sequence[int] = (6,), alone: bool = False,
    ) -> None:  # fmt: skip
        self.max_tokens, self.cache_size, self.device, self.layers = max_tokens, cache_size, device, tuple(layers)
        self.alone = alone
        self._model: Any = None
        self._tokenizer: Any = None
        self._cache: OrderedDict[str, np.ndarray] = OrderedDict()
        self._cache_epoch = _epoch
        self._pieces: dict[str, int] = {}
        self._lock = threading.RLock()  # several threads may share one

    def load(self) -> None:
        """Read the encoder now; else the first text waits for it."""
        with self._lock:
            if self._model is not None:
                return
            from tokenizers import Tokenizer

            self._model = SentenceEncoder(max(self.layers), self.device)
            self._tokenizer = Tokenizer.from_file(str(sentence_model_file("tokenizer.json")))
            self._tokenizer.no_padding()
            self._tokenizer.enable_truncation(self.max_tokens)

    def to(self, device: str | torch.device) -> None:
        """Compute there from now on; cached states stay."""
        with self._lock:
            self.device = device
            if self._model is not None:
                self._model.to(device)

    def number(self, word: str) -> int | None:
        """Id of a word in the encoder's vocabulary, the commonest words first; None = it is split into pieces."""
        self.load()
        token_id: int | None = self._tokenizer.token_to_id(word)
        return token_id

    def pieces(self, word: str) -> int:
        """The number of pieces that a word is split into."""
        self.load()
        if word not in self._pieces:
            self._pieces[word] = len(self._tokenizer.encode(word, add_special_tokens=False).ids)
        return self._pieces[word]

    def _compute(self, texts: Sequence[str], bf16: bool) -> list[np.ndarray]:
        out: list[np.ndarray] = [np.empty(0)] * len(texts)
        for chosen, states, lengths in self.blocks(texts, bf16, 1 if self.alone else 64):
            parts = np.split(states.cpu().numpy(), np.cumsum(lengths)[:-1])
            for i, part in zip(chosen.tolist(), parts, strict=True):
                out[i] = part.copy()  # of a view, the whole block would stay in the cache
        return out

    @torch.inference_mode()
    def blocks(
        self, texts: Sequence[str], bf16: bool = False, rows: int = 1024
    ) -> Iterator[tuple[np.ndarray, torch.Tensor, np.ndarray]]:  # fmt: skip
        """Texts of like length together: their places in `texts` (n,), their states one after another, float16 on the
        encoder's device, and the number of states of each (n,)."""
        self.load()
        ids = [e.ids for e in self._tokenizer.encode_batch([" ".join(t.lower().split()) for t in texts])]
        lengths = np.array([len(i) for i in ids])
        order = np.argsort(lengths, kind="stable")
        for chosen in (order[i : i + rows] for i in range(0, len(order), rows)):
            batch = np.zeros((len(chosen), int(lengths[chosen].max())), np.int64)
            mask = np.arange(batch.shape[1]) < lengths[chosen][:, None]
            batch[mask] = np.concatenate([ids[i] for i in chosen])
            on_device, open_ = (torch.from_numpy(x).to(self.device) for x in (batch, mask))
            with torch.autocast(on_device.device.type, torch.bfloat16, enabled=bf16):
                layers = self._model(on_device, open_.long())
            yield chosen, torch.cat([layers[i] for i in self.layers], -1)[open_].half(), lengths[chosen]

    def states(self, texts: Sequence[str], bf16: bool = False) -> list[np.ndarray]:
        """States of every text: (n, 384 * layers) float16 each, from the cache where possible."""
        cleaned = [" ".join(t.lower().split()) for t in texts]
        with self._lock:
            if self._cache_epoch != _epoch:
                self._cache.clear()
                self._cache_epoch = _epoch
            missing = [t for t in dict.fromkeys(cleaned) if t not in self._cache]
            fresh = dict(zip(missing, self._compute(missing, bf16), strict=True)) if missing else {}
            out = [fresh[t] if t in fresh else self._cache[t] for t in cleaned]
            self._cache.update(fresh)
            # the oldest texts go first
            while len(self._cache) > self.cache_size:
                self._cache.popitem(last=False)
        return out

    def sentence(self, texts: Sequence[str]) -> np.ndarray:
        """(B, 384) float32 unit vectors: mean-pooled states of the last layer, as the encoder was trained."""
        blocks = (self.states(texts[i : i + 1024]) for i in range(0, len(texts), 1024))  # states are large
        pooled = np.stack([s[:, -self.width :].astype(np.float32).mean(0) for block in blocks for s in block])
        return pooled / np.linalg.norm(pooled, axis=1, keepdims=True)

    def save_states(self, texts: Sequence[str], folder: str | os.PathLike[str]) -> Path:
        """Compute and store states of many texts for training: one flat float16 array with offsets."""
        from safetensors.numpy import save_file

        unique = list(dict.fromkeys(" ".join(t.lower().split()) for t in texts))
        missing = [t for t in unique if t not in self._cache]
        bf16 = fast_bfloat16(self.device)
        blocks = (self._compute(missing[i : i + 1024], bf16) for i in range(0, len(missing), 1024))
        fresh = dict(zip(missing, (s for block in blocks for s in block), strict=True))
        parts = [fresh[t] if t in fresh else self._cache[t] for t in unique]
        data = {
            "states": np.concatenate(parts), "lengths": np.array([len(p) for p in parts], np.int32),
            "texts": np.frombuffer("\n".join(unique).encode(), np.uint8),
        }  # fmt: skip
        return atomic_write(Path(folder) / "grounding.safetensors", lambda p: save_file(data, p))

    def load_states(self, folder: str | os.PathLike[str]) -> int:
        """Load the states of `save_states`, memory-mapped so that processes share them; the number of texts."""
        from safetensors import safe_open

        path = Path(folder) / "grounding.safetensors"
        with safe_open(path, "np") as file:
            lengths, text = file.get_tensor("lengths"), file.get_tensor("texts").tobytes().decode()
        # the states are mapped, not read: the offset of their data is in the header
        with path.open("rb") as raw:  # safetensors: header length, JSON header, data
            size = int.from_bytes(raw.read(8), "little")
            start, end = json.loads(raw.read(size))["states"]["data_offsets"]
        total = int(lengths.sum())
        shape = (total, (end - start) // (2 * max(total, 1)))
        states = np.memmap(path, np.float16, "r", 8 + size + start, shape)
        texts, ends = text.split("\n"), np.cumsum(lengths)
        self._cache.update((t, states[e - n : e]) for t, n, e in zip(texts, lengths, ends, strict=True))
        self.cache_size = max(self.cache_size, len(self._cache) + 50_000)
        return len(texts)


class ResidentStates:
    """States of the sentence encoder for numbered texts, all on a device and gathered there by number.

    Args:
        texts: with numbers from 0 on; it may grow. Only those that are asked for are encoded, each once.

    Attributes:
        lengths: (N,) int64 states of each text, -1 = not encoded yet.
    """

    def __init__(self, grounder: SentenceGrounder, texts: Sequence[str], device: torch.device) -> None:
        self.grounder, self.texts, self.device = grounder, texts, device
        self.states = torch.zeros((0, grounder.width * len(grounder.layers)), dtype=torch.float16, device=device)
        self.lengths, self._starts, self._used = np.zeros(0, np.int64), np.zeros(0, np.int64), 0
        self._lock = threading.Lock()  # rows are prepared in a thread, those of validation in another

    def add(self, numbers: np.ndarray) -> None:
        """Encode texts that are not encoded yet; numbers below 0 are none."""
        with self._lock:
            self._add(numbers)

    def _add(self, numbers: np.ndarray) -> None:
        grown = len(self.texts) - len(self.lengths)
        if grown > 0:
            self.lengths = np.append(self.lengths, np.full(grown, -1, np.int64))
            self._starts = np.append(self._starts, np.zeros(grown, np.int64))
        numbers = np.unique(numbers[numbers >= 0])
        missing = numbers[self.lengths[numbers] < 0]
        if not len(missing):
            return
        blocks = self.grounder.blocks([self.texts[n] for n in missing], fast_bfloat16(self.device))
        for rows, states, lengths in blocks:
            end = self._used + int(lengths.sum())
            if end > len(self.states):
                room = max(end, 2 * len(self.states)) - len(self.states)
                self.states = torch.cat([self.states, self.states.new_zeros((room, self.states.shape[1]))])
            self.states[self._used : end] = states
            self.lengths[missing[rows]] = lengths
            self._starts[missing[rows]] = self._used + np.cumsum(lengths) - lengths
            self._used = end

    def places(self, numbers: np.ndarray, multiple: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows of `states` (B, G) and mask (B, G) of texts (B,); below 0 = none. G is a multiple of `multiple`."""
        self.add(numbers)
        known = np.maximum(numbers, 0)
        lengths = np.where(numbers >= 0, self.lengths[known], 0)
        at = np.arange(-(-int(lengths.max()) // multiple) * multiple)
        mask = at < lengths[:, None]
        return np.where(mask, self._starts[known][:, None] + at, 0), mask.astype(np.int64)
