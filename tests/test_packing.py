"""Vectors and texts in files."""

from __future__ import annotations

import json
import zlib

import numpy as np
import pytest

from avatargpt.model.packing import pack_json, pack_vectors, unpack_json, unpack_vectors


def unit(rng: np.random.Generator, n: int, w: int) -> np.ndarray:
    v = rng.normal(size=(n, w)) * np.geomspace(1, 0.02, w)
    return (v / np.linalg.norm(v, axis=1, keepdims=True)).astype(np.float32)


def test_cosines_stay() -> None:
    vectors = unit(np.random.default_rng(0), 200, 96)
    exact = vectors @ vectors.T
    whole, part = pack_vectors(vectors), pack_vectors(vectors, 48)
    assert np.abs(unpack_vectors(whole) @ vectors.T - exact).max() < 0.01
    assert np.abs(unpack_vectors(part) @ vectors.T - exact).max() < 0.08
    assert part["vectors"].size < 200 * 48 and part["basis"].shape == (96, 48)
    few = np.abs(unpack_vectors(pack_vectors(vectors, 8)) @ vectors.T - exact).max()
    assert few > 0.1  # what is left out is missing
    assert "basis" not in pack_vectors(vectors, 96)


def test_vectors_of_earlier_files() -> None:
    packed = pack_vectors(unit(np.random.default_rng(1), 50, 24))
    plain = np.frombuffer(zlib.decompress(packed["vectors"].tobytes()), np.int8).reshape(24, 50).T
    assert np.array_equal(unpack_vectors({**packed, "vectors": plain}), unpack_vectors(packed))


def test_damaged_vectors() -> None:
    packed = pack_vectors(unit(np.random.default_rng(1), 50, 24))
    for vectors in (packed["vectors"][:-4], np.frombuffer(zlib.compress(bytes(51)), np.uint8)):
        with pytest.raises(ValueError, match="damaged|reshape"):
            unpack_vectors({**packed, "vectors": vectors})


def test_json_comes_back_smaller() -> None:
    value = {"keys": ["a person walks"] * 500, "umlaut": "ä"}
    packed = pack_json(value)
    assert unpack_json(packed) == value and packed.nbytes < len(json.dumps(value)) / 10
    assert unpack_json(np.frombuffer(json.dumps(value).encode(), np.uint8)) == value


@pytest.mark.parametrize("cut", [slice(0, -3), slice(5, None)])
def test_damaged_text(cut: slice) -> None:
    with pytest.raises(ValueError, match="damaged"):
        unpack_json(pack_json({"a": list(range(99))})[cut])
