"""Pickles read as data: what they may hold, and what is refused."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from vqvae.errors import UserError
from vqvae.io.data_files import read_plain_pickle


def written(folder: Path, data: bytes) -> Path:
    path = folder / "words.pkl"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "value",
    [["a", "é", "a", "x" * 300], {"unk": 0, "walk": 70_000, "far": 1 << 40, "left": -1}, [], {}, ["one"], {"one": 1},
     [str(i) for i in range(3000)], {str(i): i for i in range(3000)}],
    ids=["words", "rows", "no words", "no rows", "one word", "one row", "many words", "many rows"],
)  # fmt: skip
def test_words_and_rows_come_back(tmp_path: Path, value: object, protocol: int) -> None:
    assert read_plain_pickle(written(tmp_path, pickle.dumps(value, protocol))) == value


class Call:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("made by a pickle",)


@pytest.mark.parametrize(
    "value", [Call(), [Call()], {"a": Call()}, os.mkdir, 1.5, ("a",), {"a"}, b"a", None],
    ids=["call", "in a list", "in a table", "function", "float", "tuple", "set", "bytes", "none"],
)  # fmt: skip
def test_everything_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: object) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"words\.pkl: not a pickle of words .*; a list"):
        read_plain_pickle(written(tmp_path, pickle.dumps(value)), "a list")
    assert not (tmp_path / "made by a pickle").exists()


@pytest.mark.parametrize(
    "data", [b"", b".", b"(.", b"]a.", b"(lp0", b"u.", b"}]s.", b"h\x07.", pickle.dumps(["a"])[:-1]]
)
def test_damaged(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(UserError, match="not a pickle of words"):
        read_plain_pickle(written(tmp_path, data))
