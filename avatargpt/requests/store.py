"""The one kind of file for what is looked up: vectors in 8 bits and packed texts, as safetensors."""

from __future__ import annotations

import json
import lzma
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from avatargpt.lm.checkpoint import read_optional
from avatargpt.requests.index import Reduced, unit
from vqvae.motion import atomic_write

Part = TypeVar("Part")

MOST_TEXT = 16 << 20  # bytes of text; a file that would unfold to more is not ours
MOST_VECTORS = 32 << 20  # bytes of vectors, likewise
MOST_NUMBERS = 64 << 20  # of all vectors together once they are as wide as they were


def deflated(content: bytes) -> np.ndarray:
    """(bytes,) uint8: quick to unpack."""
    return np.frombuffer(zlib.compress(content, 9), np.uint8)


def xz(content: bytes, preset: int = 6) -> np.ndarray:
    """(bytes,) uint8: smaller, where there is much text; `preset` is lzma's, 0..9."""
    return np.frombuffer(lzma.compress(content, preset=preset), np.uint8)


def unpacked(data: np.ndarray, most: int = MOST_TEXT) -> bytes:
    """What `deflated` or `xz` packed; plain JSON, as earlier files have it, is read too.

    Raises:
        ValueError: damaged, or larger than `most`.
    """
    packed = data.tobytes()
    if packed[:1] in (b"{", b"["):
        return packed
    stream = lzma.LZMADecompressor() if packed.startswith(b"\xfd7zXZ") else zlib.decompressobj()
    try:
        out = stream.decompress(packed, most)
    except (zlib.error, lzma.LZMAError) as e:
        raise ValueError(f"damaged ({e})") from None
    if not stream.eof:
        raise ValueError("damaged")
    return out


def rounded(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, w) float -> (n, w) int8 and what each row is to be multiplied by, (n, 1)."""
    scale = np.abs(vectors).max(axis=1, keepdims=True, initial=1e-6) / 127
    return np.round(vectors / scale).astype(np.int8), scale


def reduced(vectors: np.ndarray, rank: int = 0) -> Reduced:
    """(n, w) float sentence vectors in 8 bits. Cosines stay within 0.01 without `rank`.

    Args:
        rank: keep only so many principal directions (no centring: cosines are wanted); 0 = all, exact but for rounding.
    """
    basis = None
    if 0 < rank < vectors.shape[1]:
        _, directions = np.linalg.eigh(vectors.T.astype(np.float64) @ vectors)
        basis = np.ascontiguousarray(directions[:, ::-1][:, :rank].astype(np.float16))
        vectors = vectors @ basis.astype(np.float32)
    rows, scale = rounded(vectors)
    return Reduced(rows, scale.astype(np.float32), basis)


def plain_vectors(vectors: Reduced) -> dict[str, np.ndarray]:
    """Reduced vectors as they are: ``vectors`` (n, r) int8, ``scale`` (n, 1) float16, ``basis`` (w, r) float16."""
    basis = {} if vectors.basis is None else {"basis": vectors.basis}
    return {"vectors": vectors.rows, "scale": vectors.scale.astype(np.float16), **basis}


def pack_vectors(vectors: np.ndarray, rank: int = 0) -> dict[str, np.ndarray]:
    """(n, w) float sentence vectors as small arrays: those of `plain_vectors` but for ``vectors``, which is (bytes,)
    uint8: the int8 column by column, deflated. `rank`: see `reduced`.
    """
    few = reduced(vectors, rank)
    return {**plain_vectors(few), "vectors": deflated(few.rows.T.tobytes())}


@dataclass(frozen=True, eq=False)
class Stored:
    """What a file holds.

    Attributes:
        about: its JSON. arrays: by name.
    """

    about: Any
    arrays: Mapping[str, np.ndarray]

    def vectors(self, count: int, name: str = "vectors") -> np.ndarray:
        """(count, w) float32 from what `pack_vectors` made, or unit vectors from `rounded` rows (n, w) alone.

        Raises:
            KeyError, ValueError: as `reduced`.
        """
        held = self.reduced(count, name)
        return held.full() if "scale" in self.arrays else unit(held.rows.astype(np.float32))

    def reduced(self, count: int, name: str = "vectors") -> Reduced:
        """`count` vectors as the file holds them; of `rounded` rows alone the scale is one.

        Raises:
            KeyError: an array is missing.
            ValueError: damaged, of another number, or larger than such files are.
        """
        rows, scale, basis = self.arrays[name], self.arrays.get("scale"), self.arrays.get("basis")
        if rows.ndim == 1:
            columns = np.frombuffer(unpacked(rows, MOST_VECTORS), np.int8)
            rows = columns.reshape(-1, len(self.arrays["scale"])).T
        if rows.ndim != 2 or len(rows) != count:
            raise ValueError(f"vectors {rows.shape} for {count} texts")
        width = rows.shape[1]
        if (scale is not None and scale.shape != (count, 1)) or (basis is not None and basis.shape[1:] != (width,)):
            raise ValueError("vectors with a scale or a basis of another shape")
        if count * (width if basis is None else len(basis)) > MOST_NUMBERS:
            raise ValueError("more vectors than such files have")
        wide = np.ones((count, 1), np.float32) if scale is None else scale.astype(np.float32)
        return Reduced(np.ascontiguousarray(rows), wide, basis)


def write(
    path: Path, about: Mapping[str, Any], arrays: Mapping[str, np.ndarray],
    pack: Callable[[bytes], np.ndarray] = deflated,
) -> Path:  # fmt: skip
    """Write a file of arrays, and `about` as packed JSON."""
    from safetensors.numpy import save_file

    text = json.dumps(about, separators=(",", ":"), ensure_ascii=False)
    data = {**arrays, "about": pack(text.encode())}
    return atomic_write(path, lambda p: save_file(data, p))


def read(path: Path, what: str, make: Callable[[Stored], Part]) -> Part | None:
    """What `make` makes of a file, or None where there is none.

    Args:
        what: it is, for the message.

    Raises:
        UserError: a damaged file.
    """
    from safetensors.numpy import load_file

    return read_optional(path, what, load_file, lambda data: make(Stored(json.loads(unpacked(data["about"])), data)))
