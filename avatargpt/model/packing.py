"""What files of sentence vectors and texts hold: 8-bit integers with a scale per row, deflated JSON."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from vqvae.io.guard import regular, understanding

Part = TypeVar("Part")

MOST_TEXT = 16 << 20  # bytes of JSON; a file that would unfold to more is not ours
MOST_VECTORS = 32 << 20  # bytes of vectors, likewise
MOST_NUMBERS = 64 << 20  # of all vectors together once they are as wide as they were


def pack_vectors(vectors: np.ndarray, rank: int = 0) -> dict[str, np.ndarray]:
    """Sentence vectors as small arrays.

    Args:
        vectors: (n, w) float.
        rank: keep only so many principal directions (no centring: cosines are wanted); 0 = all, exact but for rounding.

    Returns:
        ``vectors`` (bytes,) uint8: n x (rank or w) of int8, column by column, deflated; ``scale`` (n, 1) float32 and
        with `rank` ``basis`` (w, rank) float16. Cosines stay within 0.01 without `rank`.
    """
    out = {}
    if 0 < rank < vectors.shape[1]:
        _, directions = np.linalg.eigh(vectors.T.astype(np.float64) @ vectors)
        basis = directions[:, ::-1][:, :rank].astype(np.float16)
        out["basis"] = np.ascontiguousarray(basis)
        vectors = vectors @ basis.astype(np.float32)
    scale = np.abs(vectors).max(axis=1, keepdims=True, initial=1e-6) / 127
    columns = np.round(vectors / scale).astype(np.int8).T.tobytes()
    return {"vectors": np.frombuffer(zlib.compress(columns, 9), np.uint8), "scale": scale.astype(np.float32), **out}


def unpack_vectors(data: Mapping[str, np.ndarray]) -> np.ndarray:
    """(n, w) float32 from what `pack_vectors` made; plain (n, k) int8, as earlier files have it, is read too.

    Raises:
        KeyError: one of the two arrays is missing.
        ValueError: damaged, or larger than such files are.
    """
    rows, scale = data["vectors"], data["scale"]
    if rows.ndim == 1:
        rows = np.frombuffer(_inflated(rows, MOST_VECTORS), np.int8).reshape(-1, len(scale)).T
    basis = data.get("basis")
    if rows.ndim != 2 or scale.shape != (len(rows), 1) or (basis is not None and basis.ndim != 2):
        raise ValueError(f"vectors {rows.shape} with a scale {scale.shape}")
    if len(rows) * (rows.shape[1] if basis is None else len(basis)) > MOST_NUMBERS:
        raise ValueError("more vectors than such files have")
    unpacked: np.ndarray = rows.astype(np.float32) * scale
    return unpacked if basis is None else unpacked @ basis.astype(np.float32).T


def pack_json(value: Any) -> np.ndarray:
    """(bytes,) uint8: deflated JSON."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    return np.frombuffer(zlib.compress(text, 9), np.uint8)


def unpack_json(data: np.ndarray) -> Any:
    """The value that `pack_json` wrote; plain JSON, as earlier files have it, is read too.

    Raises:
        ValueError: damaged, or larger than such files are.
    """
    if data[:1].tobytes() in (b"{", b"["):
        return json.loads(data.tobytes())
    return json.loads(_inflated(data, MOST_TEXT))


def _inflated(data: np.ndarray, most: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        out = stream.decompress(data.tobytes(), most)
    except zlib.error as e:
        raise ValueError(f"damaged ({e})") from None
    if stream.unconsumed_tail or not stream.eof:
        raise ValueError("damaged")
    return out


def read_part(
    path: Path, what: str, load: Callable[[Path], dict[str, Any]], make: Callable[[dict[str, Any]], Part]
) -> Part | None:
    """A file that a model folder may have beside its weights, or None where it has none.

    Args:
        what: it is, for the message. load: safetensors' `load_file` of numpy or torch. make: the part of its tensors.

    Raises:
        UserError: a damaged file.
    """
    if not path.exists():
        return None
    with understanding(path, f"a readable {what}"):
        return make(load(regular(path)))
