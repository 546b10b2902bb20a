"""The WebSocket of a live face: frames out, messages in, and nobody who can shut it off."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import numpy as np
import pytest

from avatargpt.export import websocket
from avatargpt.export.websocket import MAX_CLIENTS, MAX_MESSAGE, MAX_PENDING, MAX_QUEUED_FRAMES, FaceSender
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion

client = pytest.importorskip("websockets.sync.client")
exceptions = pytest.importorskip("websockets.exceptions")


def face(frames: int = 1, seed: int = 0) -> FaceMotion:
    rng = np.random.default_rng(seed)
    return FaceMotion(rng.random((frames, 52)), rng.normal(0, 0.2, (frames, 3)))


@pytest.fixture
def sender() -> Iterator[FaceSender]:
    one = FaceSender("127.0.0.1", 0, "Ada")
    yield one
    one.close()


def url(sender: FaceSender) -> str:
    return f"ws://127.0.0.1:{sender.port}"


def until(true: Any) -> None:
    for _ in range(500):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it does not come to that")


def test_clients_get_frames_and_are_bounded() -> None:
    sender = FaceSender("127.0.0.1", 0, "Ada")
    motion = face(3)
    with ExitStack() as stack:
        one = stack.enter_context(client.connect(url(sender)))
        hello = json.loads(one.recv(5))
        assert hello["names"] == list(arkit.NAMES) and hello["fps"] == 30 and hello["subject"] == "Ada"
        for k in range(3):
            sender.send(k, motion.slice(k, k + 1))
        for k in range(3):
            message = json.loads(one.recv(5))
            assert message["frame"] == k
            np.testing.assert_allclose(message["weights"], motion.weights[k], atol=1e-4)
            np.testing.assert_allclose(message["head"], motion.head[k], atol=1e-4)
        for _ in range(MAX_CLIENTS - 1):
            stack.enter_context(client.connect(url(sender))).recv(5)
        with pytest.raises(exceptions.ConnectionClosed, match="clients are connected"):
            stack.enter_context(client.connect(url(sender))).recv(5)
        sender.close()
        with pytest.raises(exceptions.ConnectionClosedOK):
            one.recv(5)


def test_slow_clients_lose_the_oldest_frames_and_no_answer() -> None:
    async def take() -> tuple[int, list[str | None]]:
        waiting = websocket._ClientQueue()
        lost = sum(waiting.put(str(k)) for k in range(MAX_QUEUED_FRAMES + 5))
        waiting.answer("answer")
        waiting.end()
        return lost, [await waiting.next() for _ in range(MAX_QUEUED_FRAMES + 2)]

    lost, got = asyncio.run(take())
    assert lost == 5 and got == ["answer", *map(str, range(5, MAX_QUEUED_FRAMES + 5)), None]


def test_a_client_that_reads_nothing_holds_nobody_up() -> None:
    sender = FaceSender("127.0.0.1", 0)
    sender._server.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # stands in for a slow network
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", sender.port))
        lines = ("GET / HTTP/1.1", "Host: a", "Upgrade: websocket", "Connection: Upgrade",
                 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13", "", "")  # fmt: skip
        deaf.sendall("\r\n".join(lines).encode())
        for k in range(4000):
            sender.send(k, face())
            if sender.failed > MAX_QUEUED_FRAMES:  # its handler hangs in sending
                break
            time.sleep(0.001)
        assert sender.failed > MAX_QUEUED_FRAMES
        closing = threading.Thread(target=sender.close, daemon=True)
        closing.start()
        closing.join(20)
        assert not closing.is_alive()


def test_clients_that_are_gone_make_room(sender: FaceSender) -> None:
    for _ in range(MAX_CLIENTS):
        with client.connect(url(sender)) as one:
            one.recv(5)
    until(lambda: not sender._clients)
    with client.connect(url(sender)) as late:  # nothing was sent meanwhile
        assert json.loads(late.recv(5))["fps"] == 30


def test_a_port_that_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UserError, match="that is free"):
            FaceSender("127.0.0.1", taken.getsockname()[1])


FLOOD = """
import json, resource, socket, sys, time
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]),) * 2)
from avatargpt.export.websocket import FaceSender
sender = FaceSender("127.0.0.1", 0)
print(sender.port, flush=True)
sys.stdin.readline()
sender.close()
"""


def flooded(limit: int, half_open: int) -> float:
    """Seconds until a client of a server with `limit` files has its first message, under half-open connections."""
    command = [sys.executable, "-c", FLOOD, str(limit)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with server, ExitStack() as stack:
        assert server.stdin is not None and server.stdout is not None
        port = int(server.stdout.readline())
        for _ in range(half_open):
            one = stack.enter_context(socket.socket())
            one.settimeout(5)
            one.connect(("127.0.0.1", port))
        start = time.monotonic()
        with client.connect(f"ws://127.0.0.1:{port}", open_timeout=15) as served:
            served.recv(15)
        seconds = time.monotonic() - start
        server.stdin.write("\n")
        server.stdin.flush()
    assert server.returncode == 0
    return seconds


def test_half_open_connections_keep_nobody_out() -> None:
    pytest.importorskip("resource")
    assert flooded(limit=64, half_open=120) < 15


def test_only_so_many_wait_for_their_handshake(sender: FaceSender) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(socket.create_connection(("127.0.0.1", sender.port)))
        for _ in range(MAX_PENDING):
            stack.enter_context(socket.create_connection(("127.0.0.1", sender.port)))
        first.settimeout(5)
        with suppress(ConnectionResetError):
            assert first.recv(1) == b""  # the oldest made room
        assert len(sender._pending) <= MAX_PENDING


def test_it_goes_on_when_there_are_files_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the process has no file descriptors left: accepting fails, and works a second later."""
    import errno

    told: list[str] = []
    sender = FaceSender("127.0.0.1", 0, notify=told.append)
    accept, over = socket.socket.accept, time.monotonic() + 0.2

    def exhausted(self: socket.socket) -> Any:
        if time.monotonic() < over:
            raise OSError(errno.EMFILE, "Too many open files")
        return accept(self)

    monkeypatch.setattr(socket.socket, "accept", exhausted)
    with client.connect(url(sender), open_timeout=15) as one:
        assert json.loads(one.recv(5))["fps"] == 30
    assert told == ["WebSocket: Too many open files; new clients wait until some are closed"]
    sender.close()


@pytest.mark.parametrize(
    "origin", [None, "http://localhost:5173", "https://127.0.0.1", "http://[::1]:80", "https://a.org"]
)
def test_pages_that_may_connect(origin: str | None) -> None:
    sender = FaceSender("127.0.0.1", 0, origins=["https://a.org"])
    with client.connect(url(sender), origin=origin) as one:
        assert "names" in json.loads(one.recv(5))
    sender.close()


@pytest.mark.parametrize(
    "origin", ["https://b.org", "null", "http://localhost.b.org", "http://a@b.org", "http://[", "https://a.org:444"]
)
def test_pages_of_other_sites_are_turned_away(origin: str) -> None:
    told: list[str] = []
    sender = FaceSender("127.0.0.1", 0, origins=["https://a.org"], notify=told.append)
    for _ in range(2):
        with pytest.raises(exceptions.InvalidStatus, match="403"):
            client.connect(url(sender), origin=origin)
    assert told == [f"WebSocket: refused a page of {origin}; --origin {origin} accepts it"]
    sender.close()


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::"])
def test_other_machines_need_leave(host: str) -> None:
    with pytest.raises(UserError, match="other machines reach that; accepted.*--allow-network"):
        FaceSender(host, 0)
    assert not websocket.is_local(host, 0) and websocket.is_local("localhost", 0)


def test_a_network_is_served_with_leave() -> None:
    sender = FaceSender("0.0.0.0", 0, network=True)
    with client.connect(url(sender)) as one:
        assert "names" in json.loads(one.recv(5))
    sender.close()


def test_messages_are_heard_and_answered_and_large_ones_end_it() -> None:
    heard: list[str] = []

    def hear(message: str, answer: websocket.Answer) -> None:
        heard.append(message)
        answer({"told": len(message)})

    sender = FaceSender("127.0.0.1", 0, receiver=hear)
    with client.connect(url(sender)) as one:
        one.recv(5)
        one.send("x" * MAX_MESSAGE)
        assert json.loads(one.recv(5)) == {"told": MAX_MESSAGE} and heard == ["x" * MAX_MESSAGE]
        one.send(b"\x00")
        assert "accepted JSON" in json.loads(one.recv(5))["error"]
        one.send("x" * (MAX_MESSAGE + 1))
        with pytest.raises(exceptions.ConnectionClosedError) as closed:
            one.recv(5)
        assert closed.value.rcvd.code == 1009 and len(heard) == 1
    sender.close()


def test_without_ears_messages_are_refused(sender: FaceSender) -> None:
    with client.connect(url(sender)) as one:
        one.recv(5)
        one.send("{}")
        assert "only listen" in json.loads(one.recv(5))["error"]


if __name__ == "__main__":  # the figure of docs/speech.md
    print(f"{flooded(limit=1024, half_open=400):.2f} s")
