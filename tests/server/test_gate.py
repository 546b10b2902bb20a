"""Keys, origins, names of the server, sizes, times, headers and logs."""

from __future__ import annotations

import re

import pytest
from starlette.websockets import WebSocket, WebSocketDisconnect

from avatargpt.server.keys import load_keys
from vqvae.errors import UserError

KEY = "correct-horse"


def test_the_key(serve):
    client = serve(api_key=KEY)
    assert client.get("/healthz").status_code == 200
    for headers in ({}, {"Authorization": "Bearer wrong-horse"}, {"X-API-Key": ""}, {"Authorization": KEY},
                    {"Cookie": "avatargpt_key=no"}, {"Authorization": "Bearer caf\xe9"}):  # fmt: skip
        response = client.post("/v1/sessions", headers={k: v.encode("latin-1") for k, v in headers.items()})
        assert response.status_code == 401 and response.json()["error"]["code"] == "unauthorized", headers
    for headers in ({"Authorization": f"Bearer {KEY}"}, {"X-API-Key": KEY}, {"Cookie": f"avatargpt_key={KEY}"}):
        assert client.post("/v1/sessions", headers=headers).status_code == 201
    assert client.get("/metrics").status_code == 401 and client.get("/openapi.json").status_code == 401
    assert client.get("/v1/exports/x.glb").status_code == 401


def test_the_page_hands_out_a_cookie(serve):
    client = serve(api_key=KEY)
    response = client.get(f"/?key={KEY}&s=1", follow_redirects=False)
    assert response.status_code == 303 and response.headers["location"] == "/?s=1"
    cookie = response.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    assert client.post("/v1/sessions").status_code == 201
    assert "set-cookie" not in client.get("/?key=wrong", follow_redirects=False).headers


def test_pages_of_other_origins(serve):
    client = serve(origins=("https://example.org",))
    assert client.post("/v1/sessions", headers={"Origin": "http://localhost"}).status_code == 201
    response = client.post("/v1/sessions", headers={"Origin": "https://example.org"})
    assert response.status_code == 201 and response.headers["access-control-allow-origin"] == "https://example.org"
    for origin in ("http://evil.example", "null", "https://localhost", "http://localhost.evil.example"):
        response = client.post("/v1/sessions", headers={"Origin": origin})
        assert response.status_code == 403 and "access-control-allow-origin" not in response.headers
    ask = {"Origin": "https://example.org", "Access-Control-Request-Method": "POST"}
    response = client.options("/v1/motions", headers=ask)
    assert response.status_code == 200 and "Authorization" in response.headers["access-control-allow-headers"]
    assert "access-control-allow-origin" not in client.options("/v1/motions", headers=ask | {"Origin": "null"}).headers


@pytest.mark.parametrize("left", ["", "/avatar"])
def test_behind_a_proxy(serve, left):
    """TLS ends there, and it may take the path away or leave it."""
    client = serve(api_key=KEY, public_url="https://example.org/avatar")
    response = client.get(f"{left}/?key={KEY}", follow_redirects=False)
    assert response.headers["location"] == "/avatar/" and "; Secure" in response.headers["set-cookie"]
    slash = client.get("/avatar?a=1", follow_redirects=False)
    assert slash.headers["location"] == "/avatar/?a=1"
    head = {"X-API-Key": KEY, "Origin": "https://example.org"}
    made = client.post(f"{left}/v1/sessions", headers=head)
    assert made.status_code == 201
    assert client.get(f"{left}/", headers=head).status_code == 200
    assert client.get(f"{left}/openapi.json", headers=head).json()["servers"] == [{"url": "https://example.org/avatar"}]
    script = re.search(r"assets/[^\"]+\.js", client.get(f"{left}/").text)
    assert client.get(f"{left}/{script[0]}").status_code == 200
    body = {"prompt": "a person walks", "seconds": 2}
    job = client.post(f"{left}/v1/motions?wait=0", json=body, headers=head)
    assert job.headers["location"].startswith("/avatar/v1/jobs/")
    refused = client.post(f"{left}/v1/sessions", headers=head | {"Origin": "https://evil.example"})
    assert refused.status_code == 403
    message = refused.json()["error"]["message"]
    assert "evil.example; accepted https://example.org (--public-url) and --origin" in message


def test_sockets_of_other_origins(client):
    @client.app.websocket("/v1/echo")
    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text("hello")
        await socket.close()

    with client.websocket_connect("/v1/echo") as socket:
        assert socket.receive_text() == "hello"
    with client.websocket_connect("/v1/echo", headers={"Origin": "http://testserver"}) as socket:
        assert socket.receive_text() == "hello"
    for origin in ("http://evil.example", "null"):
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/v1/echo", headers={"Origin": origin}):
            pass


def test_names_of_the_server(serve):
    client = serve(hosts=("localhost", "[::1]"))
    assert client.get("/healthz", headers={"Host": "localhost:8765"}).status_code == 200
    assert client.get("/healthz", headers={"Host": "[::1]:8765"}).status_code == 200
    for host in ("evil.example", "localhost.evil.example", "evil.example:80", "[::2]"):
        assert client.get("/healthz", headers={"Host": host}).status_code == 403
        rebound = {"Host": host, "Origin": f"http://{host}"}
        assert client.post("/v1/sessions", headers=rebound).status_code == 403


def test_sizes(serve):
    client = serve(json_bytes=1000, upload_bytes=5000)
    json = {"Content-Type": "application/json"}
    assert client.post("/v1/motions", content=b"x" * 1001, headers=json).status_code == 413
    assert client.post("/v1/motions", content=iter([b"x" * 600] * 2), headers=json).status_code == 413
    assert client.post("/v1/motions", content=b"x", headers=json | {"Content-Length": str(10**10)}).status_code == 413
    assert client.post("/v1/uploads?name=a.bvh", content=iter([b"x" * 600] * 20)).status_code == 413
    assert not list((client.app.state.server.store.root / "uploads").iterdir())
    assert not list((client.app.state.server.store.root / "work").iterdir())


def test_headers_of_every_answer(client):
    for path in ("/healthz", "/nothing", "/docs"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'self'" in headers["content-security-policy"]
        assert len(headers["x-request-id"]) == 12
    assert client.get("/nothing").json()["error"]["code"] == "not_found"
    assert client.put("/v1/motions").json()["error"]["code"] == "method_not_allowed"


def test_a_full_queue_is_429(serve, model, monkeypatch):
    monkeypatch.setattr("avatargpt.server.core.THREADS", 1)
    client = serve(queue=1, batch=1)
    client.post("/v1/motions?wait=0", json={"prompt": "wait"})
    assert model.begun.wait(5)
    assert client.post("/v1/motions?wait=0", json={"prompt": "walk"}).status_code == 202
    response = client.post("/v1/motions", json={"prompt": "walk"})
    assert response.status_code == 429 and int(response.headers["retry-after"]) >= 1


def test_a_stopping_server(client):
    client.app.state.server.begin_stop()
    response = client.post("/v1/motions", json={"prompt": "walk"})
    assert response.status_code == 503 and response.json()["error"]["code"] == "stopping"
    assert client.get("/healthz").status_code == 503 and client.get("/metrics").status_code == 200


def test_a_full_store(serve):
    client = serve(store_bytes=1)
    client.post("/v1/motions", json={"prompt": "walk"})
    client.app.state.server.sweep()
    assert client.post("/v1/sessions").json()["error"]["code"] == "full"


def test_an_answer_may_take_longer_than_a_body(serve):
    number = serve().post("/v1/sessions").json()["id"]
    serve().post(f"/v1/sessions/{number}/turns", json={"acts": ["make 1s: a person walks"]})
    answer = serve(body_seconds=0.01).get(f"/v1/sessions/{number}/exports.png")
    assert answer.status_code == 200 and answer.content.endswith(b"IEND\xaeB`\x82")


def test_named_keys_and_their_limits(serve, tmp_path):
    path = tmp_path / "keys.yaml"
    path.write_text('anna: {key: annas-own-key, limit: 2/hour}\nfarm: {key: keys-of-the-farm}\n')
    client = serve(api_key=KEY, keys=load_keys(path))
    anna, farm, own = ({"X-API-Key": key} for key in ("annas-own-key", "keys-of-the-farm", KEY))
    assert [client.post("/v1/sessions", headers=anna).status_code for _ in range(3)] == [201, 201, 429]
    refused = client.post("/v1/sessions", headers=anna)
    assert 3500 < int(refused.headers["Retry-After"]) <= 3600 and "2 per 1 hour" in refused.json()["error"]["message"]
    assert client.get("/v1/models", headers=anna).status_code == 200  # what asks for nothing is not counted
    assert {client.post("/v1/sessions", headers=h).status_code for h in (farm, own) for _ in range(4)} == {201}
    assert client.post("/v1/sessions", headers={"X-API-Key": "nobodys"}).status_code == 401
    lines = client.get("/metrics", headers=own).text
    assert 'avatargpt_key_requests_total{key="anna"} 3.0' in lines and 'key="farm"} 4.0' in lines


@pytest.mark.parametrize("text, words", [
    ("anna: short", "mapping with the keys key, limit"), ("anna: {key: short}", "8 or more ASCII characters"),
    ("anna: {key: annas-own-key, limit: often}", "accepted such as 60/minute"), ("[]", "accepted names"),
    ("a: {key: annas-own-key}\nb: {key: annas-own-key}", "one key"), ("a: {key: long-enough, per: 2}", "per"),
])  # fmt: skip
def test_wrong_files_of_keys_are_refused(tmp_path, text, words):
    path = tmp_path / "keys.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=words) as refused:
        load_keys(path)
    assert str(path) in str(refused.value) and "\n" not in str(refused.value)
