"""Texts that are looked up by meaning and by words, and the file that holds them: 8-bit vectors and packed texts."""

import json
import lzma
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from avatargpt.lm.checkpoint import read_optional
from avatargpt.requests.english import WordIndex
from vqvae.motion import atomic_write

# rows that are widened at a time; they stay in the processor's cache
BLOCK = 2048


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows of length one, float32."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: np.ndarray = (vectors / np.maximum(norms, 1e-6)).astype(np.float32)
    return scaled


def rank_scores(scores: np.ndarray, count: int | None = None) -> np.ndarray:
    """Rows of the `count` highest scores (None = of all), the best first; of equal ones the first."""
    if count is None or count >= len(scores):
        return np.argsort(-scores, kind="stable")[:count]
    rows = np.flatnonzero(scores >= np.partition(scores, -count)[-count])  # sorting all takes ten times as long
    return rows[np.argsort(-scores[rows], kind="stable")][:count]


@dataclass(frozen=True, eq=False)
class Reduced:
    """Vectors as a file holds them: n rows of width w along r directions, in 8 bits."""
    # Compared in this form: a query is turned into the directions, and the rows are widened a block at a time, which
    # costs a fourth of a product with wide rows, and no memory.

    rows: np.ndarray  # (n, r) int8
    scale: np.ndarray  # (n, 1) float32, factor of each row
    basis: np.ndarray | None = None  # (w, r) float16, None: r is w

    def __len__(self) -> int:
        return len(self.rows)

    def full(self, which: np.ndarray | slice = slice(None)) -> np.ndarray:
        """(n or as many as `which` picks, w) float32."""
        wide = np.ascontiguousarray(self.rows[which]).astype(np.float32)  # columns take thrice as long to multiply
        wide *= self.scale[which]
        return wide if self.basis is None else wide @ self.basis.astype(np.float32).T

    def products(self, queries: np.ndarray) -> np.ndarray:
        """(m, w) -> (m, n) float32 products with every row."""
        queries = queries.astype(np.float32, copy=False)
        turned = queries if self.basis is None else queries @ self.basis.astype(np.float32)
        out = np.empty((len(queries), len(self)), np.float32)
        for start in range(0, len(self), BLOCK):
            wide = self.rows[start : start + BLOCK].astype(np.float32)
            np.matmul(turned, wide.T, out=out[:, start : start + BLOCK])
        out *= self.scale[:, 0]
        return out


class VectorIndex:
    """Texts with their sentence vectors and words.

    Args:
        texts: n of them. vectors: (n, w) unit vectors; float32 ones are not copied, reduced ones not expanded.
        words: of the texts, where a file holds them.
    """

    def __init__(self, texts: Sequence[str], vectors: np.ndarray | Reduced, words: WordIndex | None = None) -> None:
        self.texts, self._words = texts, words
        self.stored = vectors if isinstance(vectors, Reduced) else np.asarray(vectors, np.float32)

    @property
    def vectors(self) -> np.ndarray:
        """(n, w) float32; reduced ones are expanded at each call."""
        return self.stored.full() if isinstance(self.stored, Reduced) else self.stored

    def vectors_of(self, which: np.ndarray) -> np.ndarray:
        """(k, w) float32, the vectors of these texts."""
        return self.stored.full(which) if isinstance(self.stored, Reduced) else self.stored[which]

    @cached_property
    def words(self) -> WordIndex:
        """Of the texts; built at the first request where no file holds them, for loading need not wait for it."""
        return WordIndex.of(self.texts) if self._words is None else self._words

    def cosines(self, queries: np.ndarray) -> np.ndarray:
        """Cosine of every text to queries: (n,) of one vector (w,), (m, n) of several (m, w)."""
        if isinstance(self.stored, Reduced):
            return self.stored.products(queries[None])[0] if queries.ndim == 1 else self.stored.products(queries)
        return self.stored @ queries if queries.ndim == 1 else queries @ self.stored.T

    def scores(self, cosines: np.ndarray, weight: float, *texts: str) -> np.ndarray:
        """(n,): `cosines` and `weight` times the words in common (0..1) with that of `texts` which has most of them."""
        return cosines + weight * np.maximum.reduce([self.words.scores(t) for t in texts])


T = TypeVar("T")

# bytes of text; a file that would unfold to more is not ours
MAX_TEXT = 16 << 20
# of all vectors together once they are as wide as they were
MAX_NUMBERS = 64 << 20


def deflate(content: bytes) -> np.ndarray:
    """(bytes,) uint8: quick to unpack."""
    return np.frombuffer(zlib.compress(content, 9), np.uint8)


def xz(content: bytes, preset: int = 6) -> np.ndarray:
    """(bytes,) uint8: smaller, where there is much text; `preset` is lzma's, 0..9."""
    return np.frombuffer(lzma.compress(content, preset=preset), np.uint8)


def inflate(data: np.ndarray, limit: int = MAX_TEXT) -> bytes:
    """The inverse of `deflate` and `xz`; earlier files have plain JSON.

    Raises:
        ValueError: damaged, or larger than `limit`.
    """
    content = data.tobytes()
    if content[:1] in (b"{", b"["):
        return content
    stream = lzma.LZMADecompressor() if content.startswith(b"\xfd7zXZ") else zlib.decompressobj()
    try:
        out = stream.decompress(content, limit)
    except (zlib.error, lzma.LZMAError) as e:
        raise ValueError(f"damaged ({e})") from None
    if not stream.eof:
        raise ValueError("damaged")
    return out


def round_vectors(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, w) float -> (n, w) int8 and the factor of each row, (n, 1)."""
    scale = np.abs(vectors).max(axis=1, keepdims=True, initial=1e-6) / 127
    return np.round(vectors / scale).astype(np.int8), scale


def reduce_vectors(vectors: np.ndarray, rank: int = 0) -> Reduced:
    """(n, w) float sentence vectors in 8 bits. Cosines stay within 0.01 without `rank`.

    Args:
        rank: number of principal directions (not centred, for cosines); 0 = all, exact but for rounding.
    """
    basis = None
    if 0 < rank < vectors.shape[1]:
        _, directions = np.linalg.eigh(vectors.T.astype(np.float64) @ vectors)
        basis = np.ascontiguousarray(directions[:, ::-1][:, :rank].astype(np.float16))
        vectors = vectors @ basis.astype(np.float32)
    rows, scale = round_vectors(vectors)
    return Reduced(rows, scale.astype(np.float32), basis)


def pack_vectors(vectors: np.ndarray | Reduced, rank: int = 0) -> dict[str, np.ndarray]:
    """(n, w) float sentence vectors as small arrays, reduced ones unchanged: ``vectors`` (n, r) int8, ``scale`` (n, 1)
    float16, ``basis`` (w, r) float16."""
    few = vectors if isinstance(vectors, Reduced) else reduce_vectors(vectors, rank)
    basis = {} if few.basis is None else {"basis": few.basis}
    return {"vectors": np.ascontiguousarray(few.rows), "scale": few.scale.astype(np.float16), **basis}


def pack_words(words: WordIndex) -> dict[str, np.ndarray]:
    """An index of words as arrays of a file; the lemmas themselves are texts and go elsewhere."""
    return {
        "word_starts": words.starts.astype(np.int32),
        "word_texts": words.texts.astype(np.uint16 if len(words.norms) <= 1 << 16 else np.int32),
        "word_weights": words.weights.astype(np.float32), "word_norms": words.norms.astype(np.float32),
    }  # fmt: skip


@dataclass(frozen=True, eq=False)
class StoredVectors:
    """The contents of a file: `about`, its JSON, and `arrays` by name."""

    about: Any
    arrays: Mapping[str, np.ndarray]

    def list_named(self, prefix: str) -> dict[str, np.ndarray]:
        """Float32 arrays whose names begin so, by the rest of their names."""
        named = {k: v for k, v in self.arrays.items() if k.startswith(prefix)}
        return {k.removeprefix(prefix): v.astype(np.float32) for k, v in named.items()}

    def vectors(self, count: int, name: str = "vectors") -> np.ndarray:
        """(count, w) float32 of `pack_vectors`, or unit vectors of `round_vectors` rows; raises as `read_reduced`."""
        stored = self.read_reduced(count, name)
        return stored.full() if "scale" in self.arrays else unit(stored.rows.astype(np.float32))

    def read_reduced(self, count: int, name: str = "vectors") -> Reduced:
        """`count` vectors as the file holds them; of `round_vectors` rows alone the scale is one.

        Raises:
            KeyError: an array is missing.
            ValueError: of another number, or larger than such files are.
        """
        rows, scale, basis = self.arrays[name], self.arrays.get("scale"), self.arrays.get("basis")
        if rows.ndim != 2 or len(rows) != count:
            raise ValueError(f"vectors {rows.shape} for {count} texts")
        width = rows.shape[1]
        if (scale is not None and scale.shape != (count, 1)) or (basis is not None and basis.shape[1:] != (width,)):
            raise ValueError("vectors with a scale or a basis of another shape")
        if count * (width if basis is None else len(basis)) > MAX_NUMBERS:
            raise ValueError("more vectors than such files have")
        wide = np.ones((count, 1), np.float32) if scale is None else scale.astype(np.float32)
        return Reduced(np.ascontiguousarray(rows), wide, basis)

    def words(self, lemmas: Sequence[str], count: int) -> WordIndex:
        """The inverse of `pack_words`, for `count` texts with these lemmas; views of the file's arrays.

        Raises:
            KeyError, ValueError: an array is missing, of another number, or with rows out of range.
        """
        names = ("word_starts", "word_texts", "word_weights", "word_norms")
        starts, texts, weights, norms = (self.arrays[name] for name in names)
        if texts.dtype.kind not in "iu" or texts.size and not 0 <= texts.min() <= texts.max() < count:
            raise ValueError("an index of words with other texts")
        if len(starts) != len(lemmas) + 1 or len(weights) != len(lemmas) or norms.shape != (count,):
            raise ValueError(f"an index of words {starts.shape} for {len(lemmas)} words")
        if starts[0] != 0 or starts[-1] != len(texts) or (np.diff(starts) < 0).any() or not (norms > 0).all():
            raise ValueError("an index of words that is out of order")
        return WordIndex(lemmas, starts, texts, weights, norms)


def write_file(
    path: Path, about: Mapping[str, Any], arrays: Mapping[str, np.ndarray],
    pack: Callable[[bytes], np.ndarray] = deflate,
) -> Path:  # fmt: skip
    """Write a file of arrays, and `about` as packed JSON."""
    from safetensors.numpy import save_file

    text = json.dumps(about, separators=(",", ":"), ensure_ascii=False)
    data = {**arrays, "about": pack(text.encode())}
    return atomic_write(path, lambda p: save_file(data, p))


def read_file(path: Path, what: str, make: Callable[[StoredVectors], T]) -> T | None:
    """`make` of a file's contents, or None where there is no file; raises UserError for a damaged one, named `what`."""
    from vqvae.io.tensors import load_arrays

    return read_optional(
        path, what, load_arrays, lambda data: make(StoredVectors(json.loads(inflate(data["about"])), data))
    )
