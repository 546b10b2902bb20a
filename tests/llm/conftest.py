"""A server of our own that answers as recorded, and a stand-in for llama-cpp-python."""

from __future__ import annotations

import ctypes
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

SCENE = "A tired nurse finishes the night shift."


def activity(n: int) -> dict[str, Any]:
    return {"task": f"She checks room {n}.", "steps": [f"she walks to bed {n}", f"she bends over bed {n}"]}


def plan(*numbers: int) -> dict[str, Any]:
    return {"activities": [activity(n) for n in numbers]}


def reply(handler: BaseHTTPRequestHandler, status: int, value: Any, **headers: str) -> None:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    handler.send_response(status)
    for name, text in {"Content-Length": str(len(data)), **headers}.items():
        handler.send_header(name.replace("_", "-"), text)
    handler.end_headers()
    handler.wfile.write(data)


def completion(said: Any, **more: Any) -> dict[str, Any]:
    text = said if isinstance(said, str) else json.dumps(said)
    return {"choices": [{"message": {"role": "assistant", "content": text}, **more}]}


def status(code: int, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    return lambda h: reply(h, code, {"error": {"message": "nothing\nfor you"}}, **headers)


class Server:
    """Answers requests in turn, the last answer for good; one is the text of a completion, or does all by itself."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                owner.requests.append(json.loads(body))
                owner.headers.append(dict(self.headers))
                owner.paths.append(self.path)
                answer = owner.answers.pop(0) if len(owner.answers) > 1 else owner.answers[0]
                try:
                    answer(self) if callable(answer) else reply(self, 200, completion(answer))
                except OSError:  # who asked has gone
                    self.close_connection = True

            def log_message(self, *args: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, *args: Any) -> None:
                pass

        self.http = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


class Llama:
    """What `llama_cpp.Llama` is to us; `said` is what it says piece by piece, or what it raises."""

    said: Any = plan(1)
    broken: Exception | None = None
    made: list[Llama] = []
    ends = "stop"
    wait: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, **given: Any) -> None:
        if self.broken is not None:
            raise self.broken
        self.given, self.asked, self.n_tokens = given, [], 0
        self.input_ids = [0] * 4096
        self._ctx = SimpleNamespace(ctx=self)
        Llama.made.append(self)

    def n_ctx(self) -> int:
        return 4096

    def reset(self) -> None:
        self.n_tokens = 0

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
def llama(monkeypatch: pytest.MonkeyPatch) -> type[Llama]:
    import importlib.machinery

    module = ModuleType("llama_cpp")
    module.__spec__ = importlib.machinery.ModuleSpec("llama_cpp", None)
    fresh = type("Fresh", (Llama,), {})
    Llama.made.clear()
    module.Llama = fresh  # type: ignore[attr-defined]
    module.llama_token = ctypes.c_int32  # type: ignore[attr-defined]
    module.llama_state_save_file = saved  # type: ignore[attr-defined]
    module.llama_state_load_file = taken_up  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "llama_cpp", module)
    return fresh


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    path = tmp_path / "small.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    return path
