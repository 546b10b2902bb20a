"""The index of vectors and words, and its files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from avatargpt.requests.vector_index import (
    StoredVectors,
    VectorIndex,
    deflate,
    inflate,
    pack_vectors,
    rank_scores,
    read_file,
    reduce_vectors,
    round_vectors,
    unit,
    write_file,
    xz,
)
from vqvae.errors import UserError


def vectors_of(n: int, w: int, seed: int = 1) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(n, w)) * np.geomspace(1, 0.02, w))


def back(packed: dict[str, np.ndarray], count: int) -> np.ndarray:
    return StoredVectors({}, packed).vectors(count)


def test_cosines_stay() -> None:
    vectors = vectors_of(200, 96, 0)
    exact = vectors @ vectors.T
    whole, part = pack_vectors(vectors), pack_vectors(vectors, 48)
    assert np.abs(back(whole, 200) @ vectors.T - exact).max() < 0.01
    assert np.abs(back(part, 200) @ vectors.T - exact).max() < 0.08
    assert np.abs(reduce_vectors(vectors, 48).products(vectors) - exact).max() < 0.08
    assert part["vectors"].shape == (200, 48) and part["basis"].shape == (96, 48)
    few = np.abs(back(pack_vectors(vectors, 8), 200) @ vectors.T - exact).max()
    assert few > 0.1  # what is left out is missing
    assert "basis" not in pack_vectors(vectors, 96)


def test_rows_without_a_scale_are_unit_vectors() -> None:
    vectors = vectors_of(50, 24)
    found = StoredVectors({}, {"of": round_vectors(vectors)[0]}).vectors(50, "of")
    assert np.allclose(np.linalg.norm(found, axis=1), 1) and (found * vectors).sum(1).min() > 0.999


def test_damaged_vectors() -> None:
    packed = pack_vectors(vectors_of(50, 24))
    for vectors in (packed["vectors"][:-4], packed["vectors"].ravel()):
        with pytest.raises(ValueError, match="for 50 texts"):
            back({**packed, "vectors": vectors}, 50)
    with pytest.raises(ValueError, match=r"vectors \(50, [0-9]+\) for 49 texts"):
        back(packed, 49)


@pytest.mark.parametrize("pack", [deflate, xz])
def test_texts_come_back_smaller(pack: Callable[[bytes], np.ndarray]) -> None:
    text = b"a person walks\n" * 500
    packed = pack(text)
    assert inflate(packed) == text and packed.nbytes < len(text) / 10
    for damaged in (packed[:-3], packed[5:], packed[:0]):
        with pytest.raises(ValueError, match="damaged"):
            inflate(damaged)
    with pytest.raises(ValueError, match="damaged"):
        inflate(packed, len(text) - 1)


@pytest.mark.parametrize("pack", [deflate, xz])
def test_files_come_back(pack: Callable[[bytes], np.ndarray], tmp_path: Path) -> None:
    path, about = tmp_path / "x.safetensors", {"keys": ["ä person"], "n": 1}
    assert read_file(path, "thing", lambda held: held.about) is None
    write_file(path, about, {"a": np.arange(3)}, pack)
    assert read_file(path, "thing", lambda held: (held.about, held.arrays["a"].tolist())) == (about, [0, 1, 2])

    def silent(held: StoredVectors) -> None:
        raise ValueError

    for wrong in (lambda held: held.arrays["b"], lambda held: held.vectors(1), silent):
        with pytest.raises(UserError, match=r"x.safetensors: not a readable thing \(") as e:
            read_file(path, "thing", wrong)
        assert "\n" not in str(e.value)


def test_plain_json_of_earlier_files() -> None:
    assert inflate(np.frombuffer(b'{"a":[1]}', np.uint8)) == b'{"a":[1]}'


def test_index_scores_and_ranks() -> None:
    index = VectorIndex(["walks", "runs", "walks"], np.eye(3)[[0, 1, 0]])
    assert index.cosines(np.array([1, 0, 0], np.float32)).tolist() == [1, 0, 1]
    cosines = index.cosines(np.eye(3, dtype=np.float32)[:2])
    assert cosines.tolist() == [[1, 0, 1], [0, 1, 0]]
    assert rank_scores(cosines[0]).tolist() == [0, 2, 1] and rank_scores(cosines[0], 1).tolist() == [0]
    equal = np.array([0.5, 0.9, 0.5, 0.1, 0.5, 0.9])
    assert all(rank_scores(equal, n).tolist() == [1, 5, 0, 2, 4, 3][:n] for n in range(1, 8))
    said = index.scores(cosines[1], 0.5, "walk", "run")
    np.testing.assert_allclose(said, [0.5, 1.5, 0.5], atol=1e-6)  # of several texts the words that fit best count
    np.testing.assert_allclose(index.scores(cosines[1], 0.5, "walk"), [0.5, 1, 0.5], atol=1e-6)


def test_vectors_that_are_float32_already_are_not_copied() -> None:
    vectors = vectors_of(5, 4)
    assert VectorIndex(["x"] * 5, vectors).vectors is vectors
