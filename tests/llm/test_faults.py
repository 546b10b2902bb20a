"""Back ends that fail, each in its own way: one line, within the bound, and the plan there is without one."""

import json
import re
import socket
import ssl
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from avatargpt.llm import LanguageModel, Limits
from avatargpt.llm.endpoint import Endpoint, Tries
from avatargpt.llm.local import Gguf, HuggingFace
from avatargpt.llm.model import LlmFailed
from avatargpt.planning.language_planner import Fallback, LanguagePlanner
from avatargpt.planning.types import Activity, Plan
from tests.llm.conftest import SCENE, Llama, Server, activity, completion, plan, reply, status

BOUND, PATIENT = 0.6, 20.0  # s of a call in tests of time, and in the others, for a busy machine may be slow
TRIES = Tries(count=2, answer=20_000, pause=0.01, max_pause=0.02)


def failing(model: LanguageModel, bound: float = PATIENT) -> str:
    """The one line that a back end's failure is told in, once it has shown that a plan is there all the same."""
    lines: list[str] = []
    rests = (Activity("She rests", ("she sits down",)),)
    second: Any = SimpleNamespace(name="retrieval", plan=lambda scene, *_, **__: Plan(scene, rests, "retrieval"))
    planner = Fallback(LanguagePlanner(model), lambda: second, lines.append)
    began = time.monotonic()
    found = planner.plan(SCENE, 1)
    again = planner.plan(SCENE, 1)
    assert time.monotonic() - began < 3 * bound + 2
    assert found.planner == again.planner == "retrieval" and "retrieval planned" in found.notes[-1]
    assert len(lines) == 1 and "\n" not in lines[0] and "Traceback" not in lines[0] and "secret" not in lines[0]
    assert lines[0].endswith("retrieval plans instead")
    return lines[0]


def over_http(url: str, **limits: Any) -> LanguageModel:
    return LanguageModel(Endpoint(url, "m", "secret", TRIES), Limits(**{"seconds": PATIENT, **limits}))


def drip(pause: float, count: int, head: bool) -> Callable[[BaseHTTPRequestHandler], None]:
    """Bytes one by one: of the answer, or of its first line."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        if not head:
            handler.send_response(200)
            handler.end_headers()
        for byte in (b"HTTP/1.0 200 OK  " if head else b" ") * count:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            time.sleep(pause)

    return send


def silent(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(BOUND + 0.3)


def gone(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)


def half(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "5000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')


def flood(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(100 << 20))
    handler.end_headers()
    for _ in range(100):
        handler.wfile.write(b"x" * (1 << 20))


def raw(value: Any) -> Callable[[BaseHTTPRequestHandler], None]:
    return lambda h: reply(h, 200, value)


def secure(url: str) -> str:
    return url.replace("http://", "https://")


@pytest.mark.parametrize(("answer", "why"), [
    (silent, "no answer within"), (drip(0.05, 40, False), "no answer within"),
    (drip(0.05, 4, True), "no answer within"), (gone, "no answer in 2 tries"), (half, "not JSON|no answer in 2 tries"),
    (flood, "more than 20000 bytes"), (status(401), "HTTP 401: nothing for you; is AVATARGPT_LLM_KEY right"),
    (status(403), "HTTP 403"), (status(404), "HTTP 404"), (status(413), "HTTP 413"),
    (status(429, Retry_After="9999"), "no answer in 2 tries .*HTTP 429"),
    (status(500), "no answer in 2 tries .*HTTP 500"),
    (status(503, Retry_After="-1"), "no answer in 2 tries .*HTTP 503"),
    (status(302, Location="http://127.0.0.1:1/"), "HTTP 302"), (raw(b"<html>"), "not JSON"), (raw(b""), "not JSON"),
    (raw(b"[" * 9000), "not JSON"), (raw(b"\xff\xfe\x00"), "not JSON"), (raw([1]), "no chat completion"),
    (raw({"choices": []}), "no chat completion"), (raw({"choices": [{"message": None}]}), "no chat completion"),
    (raw({"choices": [{"message": {"content": 7}}], "usage": {"prompt_tokens": "many"}}), "no JSON object"),
    ("", "no JSON object"), ("I would rather not.", "no JSON object"),
    ('{"activities": [{"task": "She sits", ', "no JSON object"), ('{"activities": [}', "no JSON object"),
    ({"activities": [{"task": 1, "steps": ["a", "b"]}]}, "activities.0.task"),
    ({"activities": [activity(1), activity(2)]}, "at most 1 item"), ({"plan": []}, "activities: field required"),
    ({"activities": [{"task": "She sits sits sits sits", "steps": ["she sits", "she bows"]}]}, "over and over"),
    ({"activities": [{"task": "She \x00 sits", "steps": ["she sits", "she bows"]}]}, "control characters"),
    (raw(completion(plan(1), finish_reason="length")), "cut off after 1500 tokens"),
])  # fmt: skip
def test_a_server(server: Server, answer: Any, why: str) -> None:
    server.answers = [answer]
    bound = BOUND if "no answer within" in why else PATIENT
    assert re.search(why, failing(over_http(server.url, seconds=bound), bound))


def test_nobody_there() -> None:
    assert "no answer in 2 tries" in failing(over_http("http://127.0.0.1:1/v1"))
    assert "no answer in 2 tries" in failing(over_http("https://nowhere.invalid/v1", seconds=5), 5)


def test_no_secure_connection(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not speak TLS, and one whose certificate nobody knows."""
    server.answers = [plan(1)]
    assert "no secure connection" in failing(over_http(secure(server.url)))

    def untrusted(*args: Any, **kwargs: Any) -> Any:
        raise ssl.SSLCertVerificationError(1, "certificate verify failed: self-signed")

    monkeypatch.setattr(ssl.SSLContext, "wrap_socket", untrusted)
    assert "certificate verify failed" in failing(over_http(secure(server.url)))


@pytest.mark.parametrize(("limits", "why"), [
    ({"tokens": 10}, "0 of 10 tokens are used"),
    ({"price": (1.0, 2.0), "money": 0.001}, "may cost more than is left of 0.001"),
    ({"answer": 60_000, "price": (0.0, 1.0), "money": 50}, "may cost more than is left of 50"),
])  # fmt: skip
def test_bounds(server: Server, limits: Any, why: str) -> None:
    server.answers = [plan(1)]
    assert why in failing(over_http(server.url, **limits)) and server.requests == []


def test_money_is_counted(server: Server) -> None:
    server.answers = [raw(completion(plan(1)) | {"usage": {"prompt_tokens": 2000, "completion_tokens": 500}})]
    model = over_http(server.url, price=(1.0, 4.0), money=11.5)
    LanguagePlanner(model).plan(SCENE, 1)
    assert model.meter.money == pytest.approx(4.0)  # 2 * 1 + .5 * 4
    with pytest.raises(LlmFailed, match=r"left of 11.5 \(8 is spent\)"):
        for _ in range(9):
            LanguagePlanner(model).plan(SCENE, 1)
    assert len(server.requests) == 2


def test_time_of_a_command(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answers = [silent]
    model = over_http(server.url, total=0.3)
    assert "no answer within" in failing(model)
    monkeypatch.setattr(model, "_rests_until", 0.0)
    with pytest.raises(LlmFailed, match="0.3 s are used up"):
        LanguagePlanner(model).plan(SCENE, 1)


@pytest.mark.parametrize(("said", "why"), [
    ("", "no JSON object"), (json.dumps(plan(1))[:30], "no JSON object"), ({"activities": [1]}, "activities.0"),
    (ValueError("Requested tokens (9000) exceed context window of 4096\nmore"), "exceed context window of 4096"),
    (RuntimeError("llama_decode returned -3"), "llama_decode returned -3"), (MemoryError(), "larger than the memory"),
])  # fmt: skip
def test_a_file(llama: type[Llama], gguf: Path, said: Any, why: str) -> None:
    llama.said = said
    assert why in failing(LanguageModel(Gguf(gguf), Limits(seconds=BOUND)))


def test_a_file_that_does_not_load(llama: type[Llama], gguf: Path) -> None:
    llama.broken = ValueError(f"Failed to load model from file: {gguf}")
    assert "Failed to load model" in failing(LanguageModel(Gguf(gguf)))


def test_a_file_that_is_slow(llama: type[Llama], gguf: Path) -> None:
    llama.wait = staticmethod(lambda: time.sleep(0.1))
    assert "no answer within" in failing(LanguageModel(Gguf(gguf), Limits(seconds=0.3)))
    assert "cut off" not in str(Llama.made[0].asked)
    llama.ends = "length"
    llama.wait = staticmethod(lambda: None)
    assert "cut off" in failing(LanguageModel(Gguf(gguf), Limits(seconds=BOUND)))


def test_a_folder_that_does_not_load(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "nothing-known"}')
    assert "nothing-known" in failing(LanguageModel(HuggingFace(str(tmp_path))), 20)
    (tmp_path / "config.json").write_text('{"model_type": "gpt2", "n_layer": 1}')
    failing(LanguageModel(HuggingFace(str(tmp_path))), 20)


def test_samples_that_fail_are_left_out(server: Server) -> None:
    """The second of two samples does not come in time: the first is the plan."""
    from avatargpt.llm.model import prompt
    from avatargpt.planning.language_planner import plan_of

    server.answers = [plan(1), silent]
    values = {"scene": SCENE, "person": "she", "known": [], "count": 1, "events": []}
    found = over_http(server.url, seconds=BOUND).ask(prompt("plan"), values, plan_of(1), samples=3)
    assert len(found) == 1 and len(server.requests) == 2
