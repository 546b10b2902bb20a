"""A stand-in for llama-cpp-python and for a GGUF file."""

from __future__ import annotations

import ctypes
import json
import os
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

BOS = 1


class Llama:
    """What `llama_cpp.Llama` is to us; `said` is what it says piece by piece, or what it raises.

    Tokens of words are places in a list of pieces of three letters, after the token `BOS`; a state is four times the
    number of its piece. `pooling` and `space` (put before a text) are those of the file.
    """

    said: Any = ""
    broken: Exception | None = None
    made: list[Llama] = []
    ends = "stop"
    wait: Callable[[], None] = staticmethod(lambda: None)
    pooling, space = 0, b""

    def __init__(self, **given: Any) -> None:
        if self.broken is not None:
            raise self.broken
        self.given, self.asked, self.n_tokens = given, [], 0
        self.input_ids = [0] * 4096
        self._ctx = SimpleNamespace(ctx=self)
        self.pieces: list[bytes] = [b"", b""]
        Llama.made.append(self)

    def n_ctx(self) -> int:
        return 4096

    def reset(self) -> None:
        self.n_tokens = 0

    def pooling_type(self) -> int:
        return self.pooling

    def n_embd(self) -> int:
        return 4

    def tokenize(self, text: bytes) -> list[int]:
        words = (self.space + text).replace(b" ", b"\0 ").split(b"\0")
        pieces = [w[k : k + 3] for w in words for k in range(0, len(w), 3)]
        self.pieces += [p for p in pieces if p not in self.pieces]
        return [BOS, *(self.pieces.index(p) for p in pieces)]

    def detokenize(self, tokens: list[int]) -> bytes:
        return b"".join(self.pieces[t] for t in tokens)

    def embed(self, text: str) -> list[list[float]]:
        return [[float(token)] * 4 for token in self.tokenize(text.encode())][:30]

    def create_chat_completion(self, **given: Any) -> Iterator[dict[str, Any]]:
        self.asked.append(given)
        if isinstance(self.said, Exception):
            raise self.said
        text = self.said if isinstance(self.said, str) else json.dumps(self.said)
        self.before = self.n_tokens
        self.n_tokens = 100
        for i in range(0, len(text), 7):
            self.wait()
            self.n_tokens += 1
            yield {"choices": [{"delta": {"content": text[i : i + 7]}, "finish_reason": None}]}
        yield {"choices": [{"delta": {}, "finish_reason": self.ends}]}


def saved(context: Llama, path: bytes, tokens: Any, count: int) -> bool:
    Path(os.fsdecode(path)).write_bytes(bytes(tokens)[: 4 * count])
    return True


def taken_up(context: Llama, path: bytes, tokens: Any, most: int, count: Any) -> bool:
    data = Path(os.fsdecode(path)).read_bytes()
    ctypes.memmove(tokens, data, len(data))
    count._obj.value = len(data) // 4
    return len(data) > 0


@pytest.fixture
def llama_cpp(monkeypatch: pytest.MonkeyPatch) -> type[Llama]:
    module = ModuleType("llama_cpp")
    module.__spec__ = ModuleSpec("llama_cpp", None)
    fresh = type("Fresh", (Llama,), {})
    Llama.made.clear()
    members = {"Llama": fresh, "llama_token": ctypes.c_int32, "LLAMA_POOLING_TYPE_NONE": 0,
               "llama_state_save_file": saved, "llama_state_load_file": taken_up}  # fmt: skip
    vars(module).update(members)
    monkeypatch.setitem(sys.modules, "llama_cpp", module)
    return fresh


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    path = tmp_path / "small.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    return path
