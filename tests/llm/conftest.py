"""A server of our own that answers as recorded, and the stand-in for llama-cpp-python with a plan to say."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.llama import Llama, gguf, llama_cpp

__all__ = ["gguf", "llama_cpp"]  # fixtures
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


@pytest.fixture
def llama(llama_cpp: type[Llama]) -> type[Llama]:
    llama_cpp.said = plan(1)
    return llama_cpp
