"""States of words by a GGUF file, with a stand-in for llama.cpp: tokens of three letters, a state a token."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from avatargpt.gesture.word_encoders import GgufWords, word_encoder
from vqvae.errors import UserError

BOS = 1


class Llama:
    """Tokens are places in a list of pieces; a state is the number of its piece."""

    pooling, space = 0, b""

    def __init__(self, model_path: str, **options: Any) -> None:
        assert options["embedding"] and Path(model_path).is_file()
        self.pieces: list[bytes] = [b"", b""]

    def pooling_type(self) -> int:
        return self.pooling

    def n_embd(self) -> int:
        return 4

    def tokenize(self, text: bytes) -> list[int]:
        text = self.space + text
        words = text.replace(b" ", b"\0 ").split(b"\0")
        pieces = [w[k : k + 3] for w in words for k in range(0, len(w), 3)]
        self.pieces += [p for p in pieces if p not in self.pieces]
        return [BOS, *(self.pieces.index(p) for p in pieces)]

    def detokenize(self, tokens: list[int]) -> bytes:
        return b"".join(self.pieces[t] for t in tokens)

    def embed(self, text: str) -> list[list[float]]:
        return [[float(token)] * 4 for token in self.tokenize(text.encode())][:30]


@pytest.fixture
def llama(monkeypatch: pytest.MonkeyPatch) -> type[Llama]:
    kind = type("OwnLlama", (Llama,), {})
    module = ModuleType("llama_cpp")
    module.__spec__ = type(sys.__spec__)("llama_cpp", None)  # type: ignore[attr-defined]
    module.Llama, module.LLAMA_POOLING_TYPE_NONE = kind, 0  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "llama_cpp", module)
    return kind


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.gguf"
    path.write_bytes(b"GGUF" + bytes(20))
    return path


@pytest.mark.parametrize("space", [b"", b" "])
def test_the_last_token_carries_a_word(llama: type[Llama], file: Path, space: bytes) -> None:
    llama.space = space
    encoder = word_encoder(str(file))
    assert isinstance(encoder, GgufWords) and encoder.width == 4 and encoder.name == str(file)
    words = ["we", "remember", "", "über", "it"]
    states = encoder.states(words)
    ends = [{b"": b"we", b" ": b" we"}[space], b"ber", None, b"ber", b" it"]
    pieces = encoder._llama.pieces
    assert [pieces[int(s[0])] if s.any() else None for s in states] == ends
    assert not encoder.states(["", ""]).any() and encoder.states([]).shape == (0, 4)
    with pytest.raises(UserError, match="tokens; accepted: up to"):
        encoder.states(["on"] * 40)


def test_other_files_are_refused(llama: type[Llama], file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    llama.pooling = 1
    with pytest.raises(UserError, match="a state a token"):
        word_encoder(str(file))
    monkeypatch.setattr(llama, "__init__", lambda *args, **options: 1 / 0)
    with pytest.raises(UserError, match="llama.cpp reads"):
        word_encoder(str(file))
    file.write_bytes(b"text")
    with pytest.raises(UserError, match="not a GGUF file"):
        word_encoder(str(file))
    file.write_bytes(b"GGUF")
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    with pytest.raises(UserError, match=r"avatargpt\[llm\]"):
        word_encoder(str(file))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is needed"):
        word_encoder(str(tmp_path / "none.gguf"))
