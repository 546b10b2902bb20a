"""States of words by a GGUF file, with the stand-in for llama.cpp."""

import sys
from pathlib import Path

import pytest

from avatargpt.gesture.word_encoders import GgufWords, word_encoder
from tests.llama import Llama, gguf, llama_cpp
from vqvae.errors import UserError

__all__ = ["gguf", "llama_cpp"]  # fixtures

@pytest.mark.parametrize("space", [b"", b" "])
def test_the_last_token_carries_a_word(llama_cpp: type[Llama], gguf: Path, space: bytes) -> None:
    llama_cpp.space = space
    encoder = word_encoder(str(gguf))
    assert isinstance(encoder, GgufWords) and encoder.width == 4 and encoder.name == str(gguf)
    words = ["we", "remember", "", "über", "it"]
    states = encoder.states(words)
    ends = [{b"": b"we", b" ": b" we"}[space], b"ber", None, b"ber", b" it"]
    pieces = encoder._llama.pieces
    assert [pieces[int(s[0])] if s.any() else None for s in states] == ends
    assert not encoder.states(["", ""]).any() and encoder.states([]).shape == (0, 4)
    with pytest.raises(UserError, match="tokens; accepted: up to"):
        encoder.states(["on"] * 40)


def test_other_files_are_refused(llama_cpp: type[Llama], gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    llama_cpp.pooling = 1
    with pytest.raises(UserError, match="a state a token"):
        word_encoder(str(gguf))
    monkeypatch.setattr(llama_cpp, "__init__", lambda *args, **options: 1 / 0)
    with pytest.raises(UserError, match="llama.cpp reads"):
        word_encoder(str(gguf))
    gguf.write_bytes(b"text")
    with pytest.raises(UserError, match="not a GGUF file"):
        word_encoder(str(gguf))
    gguf.write_bytes(b"GGUF")
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    with pytest.raises(UserError, match=r"avatargpt\[llm\]"):
        word_encoder(str(gguf))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is needed"):
        word_encoder(str(tmp_path / "none.gguf"))
