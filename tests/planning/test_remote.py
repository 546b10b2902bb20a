"""A planner behind an OpenAI-compatible endpoint, against a server of our own."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from avatargpt.planning.exchange import Limits, check_url
from avatargpt.planning.remote import KEY, MODEL, URL, RemotePlanner
from avatargpt.planning.types import Activity
from vqvae.errors import UserError

QUICK = Limits(seconds=2, tries=3, answer=20_000, pause=0.01, longest_pause=0.02)
SCENE = "A tired nurse finishes the night shift."


def activity(n: int) -> dict[str, Any]:
    return {"task": f"She checks room {n}.", "steps": [f"she walks to bed {n}", f"she bends over bed {n}"]}


class Server:
    """Answers requests in turn; an answer is a value (the completion's text), or a function of the handler."""

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
                if callable(answer):
                    answer(self)
                else:
                    said = answer if isinstance(answer, str) else json.dumps(answer)
                    reply(self, 200, {"choices": [{"message": {"role": "assistant", "content": said}}]})

            def log_message(self, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()


def reply(handler: BaseHTTPRequestHandler, status: int, value: Any, **headers: str) -> None:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    handler.send_response(status)
    for name, text in {"Content-Length": str(len(data)), **headers}.items():
        handler.send_header(name.replace("_", "-"), text)
    handler.end_headers()
    handler.wfile.write(data)


def status(code: int, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    return lambda h: reply(h, code, {"error": {"message": "nothing\nfor you"}}, **headers)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


@pytest.fixture
def planner(server: Server) -> RemotePlanner:
    return RemotePlanner(server.url, "small-1", "secret", QUICK)


def test_a_plan(server: Server, planner: RemotePlanner) -> None:
    server.answers = [{"activities": [activity(1), activity(2)]}]
    plan = planner.plan(SCENE, 2, 0.3, 5)
    assert [a.task for a in plan.activities] == ["She checks room 1", "She checks room 2"]
    assert plan.activities[1].steps == ("she walks to bed 2", "she bends over bed 2")
    assert plan.scene == SCENE and plan.notes == () and "small-1" in plan.planner
    sent = server.requests[0]
    assert server.paths == ["/v1/chat/completions"] and server.headers[0]["Authorization"] == "Bearer secret"
    assert (sent["model"], sent["temperature"], sent["seed"]) == ("small-1", 0.3, 5)
    schema = sent["response_format"]["json_schema"]
    assert schema["strict"] and schema["schema"]["required"] == ["activities"]
    assert SCENE in sent["messages"][1]["content"] and "secret" not in json.dumps(sent)


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("Sure! Here is a plan for you.", "no JSON object"),
        ({"activities": [activity(1)]}, "1 activities; 2 are needed"),
        ({"activities": [activity(1), activity(1)]}, "done before"),
        ({"activities": [activity(1), {"task": "She sits", "steps": []}]}, "no steps"),
        ({"activities": [activity(1), {"task": "She sits", "steps": ["she sits", "She sits."]}]}, "again"),
        ({"activities": "none"}, "no activities"),
        ({"activities": [3, 4]}, "no 'task'"),
        ('{"activities": [', "no JSON object"),
        ('{"activities": [}', "not JSON"),
    ],
)
def test_asked_again_with_the_reason(server: Server, planner: RemotePlanner, bad: Any, why: str) -> None:
    server.answers = [bad, {"activities": [activity(1), activity(2)]}]
    plan = planner.plan(SCENE, 2)
    assert len(plan.activities) == 2 and len(server.requests) == 2
    assert why in server.requests[1]["messages"][-1]["content"]
    assert len(plan.notes) == 1 and why in plan.notes[0]


def test_never_an_empty_plan(server: Server, planner: RemotePlanner) -> None:
    server.answers = [{"activities": []}]
    with pytest.raises(UserError, match="no well-formed answer in 3 tries"):
        planner.plan(SCENE, 1)
    assert len(server.requests) == 3


def test_the_next_activity_is_a_new_one(server: Server, planner: RemotePlanner) -> None:
    done = [Activity(f"She checks room {n}", (f"she walks to bed {n}",)) for n in range(12)]
    server.answers = [activity(11), activity(12)]
    found = planner.next_activity(SCENE, done, "a person bends down <data> now")
    assert found.task == "She checks room 12"
    asked = server.requests[0]["messages"][1]["content"]
    assert "room 11" in asked and "room 3" not in asked  # a bounded memory
    assert asked.count("<data>") == 1 and asked.count("</data>") == 1  # what is told cannot leave its fence


def test_other_directions(server: Server, planner: RemotePlanner) -> None:
    server.answers = [{"steps": ["she kneels", "she digs"]}, {"answer": "A garden in spring."}]
    assert planner.answer("activity_to_steps", {"activity": "planting a tree"}) == ["she kneels", "she digs"]
    assert planner.answer("steps_to_scene", {"steps": "she kneels; she digs"}) == ["A garden in spring"]
    with pytest.raises(UserError, match="did you mean"):
        planner.answer("steps_to_scenes", {"steps": "she kneels"})


def test_a_server_without_structured_output(server: Server, planner: RemotePlanner) -> None:
    server.answers = [status(400), "```json\n" + json.dumps({"activities": [activity(1)]}) + "\n```"]
    planner.plan(SCENE, 1)
    planner.plan(SCENE, 1)
    assert ["response_format" in r for r in server.requests] == [True, False, False]


def test_busy_servers_are_asked_again(server: Server, planner: RemotePlanner) -> None:
    server.answers = [status(503), status(429, Retry_After="9999"), {"activities": [activity(1)]}]
    start = time.monotonic()
    planner.plan(SCENE, 1)
    assert len(server.requests) == 3 and time.monotonic() - start < 2  # waits are bounded


@pytest.mark.parametrize(
    ("answer", "why", "count"),
    [
        (status(401), f"HTTP 401: nothing for you; is {KEY} right", 1),
        (status(404), "HTTP 404", 2),
        (status(500), "no answer in 3 tries .*HTTP 500", 3),
        (status(302, Location="http://127.0.0.1:1/"), "HTTP 302", 1),
        (lambda h: reply(h, 200, b"<html>"), "not JSON", 1),
        (lambda h: reply(h, 200, {"choices": []}), "no chat completion", 1),
        (lambda h: reply(h, 200, b"x" * 30_000), "more than 20000 bytes", 1),
    ],
)
def test_failures(server: Server, planner: RemotePlanner, answer: Any, why: str, count: int) -> None:
    server.answers = [answer]
    with pytest.raises(UserError, match=why) as e:
        planner.plan(SCENE, 1)
    assert len(server.requests) == count
    assert "secret" not in str(e.value) and "\n" not in str(e.value)


def test_a_server_that_drips(server: Server) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            for _ in range(40):
                handler.wfile.write(b" ")
                handler.wfile.flush()
                time.sleep(0.05)
        except OSError:
            pass

    server.answers = [drip]
    start = time.monotonic()
    with pytest.raises(UserError, match="too slow"):
        RemotePlanner(server.url, "m", "", Limits(0.2, 2, 1000, 0.01, 0.01)).plan(SCENE, 1)
    assert time.monotonic() - start < 1.5


def test_nobody_there() -> None:
    with pytest.raises(UserError, match="no answer in 1 tries"):
        RemotePlanner("http://127.0.0.1:1/v1", "m", "", Limits(0.5, 1, 1000, 0.01, 0.01)).plan(SCENE, 1)


def test_bad_requests_are_not_sent(server: Server, planner: RemotePlanner) -> None:
    for scene, count in (("", 1), ("x" * 3000, 1), (SCENE, 0), ("Ein Mann und eine Frau", 1)):
        with pytest.raises(UserError):
            planner.plan(scene, count)
    assert server.requests == []


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (URL, MODEL, KEY):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match=f"set {URL}"):
        RemotePlanner.from_environment()
    with pytest.raises(UserError, match=f"set {MODEL}"):
        RemotePlanner.from_environment("https://x.example/v1")
    monkeypatch.setenv(MODEL, "m")
    monkeypatch.setenv(URL, "https://y.example/v1/")
    monkeypatch.setenv(KEY, "secret")
    assert RemotePlanner.from_environment().url == "https://y.example/v1/chat/completions"
    found = RemotePlanner.from_environment("https://x.example/v1/chat/completions")
    assert found.url == "https://x.example/v1/chat/completions" and "secret" not in found.name


@pytest.mark.parametrize(
    "url",
    ["ftp://x/v1", "https://", "https://me:pw@x/v1", "http://x.example/v1", "https://x:99999/v1", "https://x/v1?key=1"],
)
def test_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(UserError, match="accepted"):
        check_url(url, "secret")
    assert check_url("http://127.0.0.1:8080/v1", "secret") == "http://127.0.0.1:8080/v1"
