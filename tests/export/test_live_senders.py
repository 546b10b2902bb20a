"""Live Link packets, and the WebSocket of a live face: frames out, messages in, and nobody who can shut it off."""

import asyncio
import errno
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from typing import Any

import numpy as np
import pytest

from avatargpt.export import websocket
from avatargpt.export.expressions import PRESETS, PresetMixer
from avatargpt.export.udp_senders import IFacialMocapSender, LiveLinkSender, live_link_values, pack
from avatargpt.export.vmc import VMCSender
from avatargpt.export.websocket import MAX_CLIENTS, MAX_MESSAGE, MAX_PENDING, MAX_QUEUED_FRAMES, FaceSender
from tests.export.readers import live_link_packet
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion

HANDSHAKE = "\r\n".join((
    "GET / HTTP/1.1", "Host: a", "Upgrade: websocket", "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13", "", "",
)).encode()  # fmt: skip
ID = "$" + "0123456789abcdef" * 2 + "0123"


def face(frames: int = 1, seed: int = 0) -> FaceMotion:
    rng = np.random.default_rng(seed)
    return FaceMotion(rng.random((frames, 52)), rng.normal(0, 0.2, (frames, 3)))


def test_a_packet_is_laid_out_as_the_phone_does() -> None:
    motion = face()
    data = pack(live_link_values(motion)[0], 77, "Ada", ID, 60)
    subject, frame, rate, numbers = live_link_packet(data)
    assert data[4:41] == ID.encode() and (subject, frame, rate) == ("Ada", 77, 60)
    np.testing.assert_allclose(numbers[:52], motion.weights[0], atol=1e-7)
    # right, down and to the left shoulder are positive: the other way round than in FaceMotion
    np.testing.assert_allclose(numbers[52:55], -motion.head[0], atol=1e-6)
    left = motion.weights[0, arkit.INDEX["eyeLookInLeft"]] - motion.weights[0, arkit.INDEX["eyeLookOutLeft"]]
    assert numbers[55] == pytest.approx(left * np.radians(arkit.EYE_DEGREES), abs=1e-6)
    for name, message in (("", "accepted 1 to 64"), ("x" * 65, "accepted 1 to 64"), ("\udcff", "accepted UTF-8 text")):
        with pytest.raises(UserError, match=message):
            pack(live_link_values(motion)[0], 0, name, ID)
    with pytest.raises(UserError, match="Live Link listener"):
        LiveLinkSender("no.such.host.invalid", 11111)


client = pytest.importorskip("websockets.sync.client")
exceptions = pytest.importorskip("websockets.exceptions")


@contextmanager
def serving(host: str = "127.0.0.1", **options: Any) -> Iterator[FaceSender]:
    sender = FaceSender(host, 0, **options)
    yield sender
    sender.close()


@pytest.fixture
def sender() -> Iterator[FaceSender]:
    with serving() as sender:
        yield sender


@contextmanager
def connected(sender: FaceSender, **options: Any) -> Iterator[Any]:
    """A client that has read the first message, which is `client.hello`."""
    with client.connect(f"ws://127.0.0.1:{sender.port}", **options) as connection:
        connection.hello = json.loads(connection.recv(5))
        yield connection


def test_clients_get_frames_and_are_bounded() -> None:
    motion, sender = face(3), FaceSender("127.0.0.1", 0, "Ada", fps=60.0)
    with ExitStack() as stack:
        first = stack.enter_context(connected(sender))
        hello = first.hello
        assert hello["names"] == list(arkit.NAMES) and hello["fps"] == 60 and hello["subject"] == "Ada"
        for k in range(3):
            sender.send(k, motion.slice(k, k + 1))
        for k in range(3):
            message = json.loads(first.recv(5))
            assert message["frame"] == k
            np.testing.assert_allclose(message["weights"], motion.weights[k], atol=1e-4)
            np.testing.assert_allclose(message["head"], motion.head[k], atol=1e-4)
        for _ in range(MAX_CLIENTS - 1):
            stack.enter_context(connected(sender))
        with pytest.raises(exceptions.ConnectionClosed, match="clients are connected"):
            stack.enter_context(connected(sender))
        sender.close()
        rest = json.loads(first.recv(5))
        assert rest["frame"] == 3 and not any(rest["weights"] + rest["presets"] + rest["head"])
        with pytest.raises(exceptions.ConnectionClosedOK):
            first.recv(5)


def test_an_avatar_with_presets_alone_is_moved() -> None:
    motion, sender = face(), FaceSender("127.0.0.1", 0)
    with connected(sender) as page:
        sender.send(0, motion)
        values = dict(zip(page.hello["presets"], json.loads(page.recv(5))["presets"], strict=True))
        sender.close()
    assert values == pytest.approx({n: v[0] for n, v in PresetMixer()(motion.weights).items()}, abs=1e-4)
    assert set(values) == set(PRESETS) and max(values.values()) > 0.3


@pytest.mark.parametrize("kind", [LiveLinkSender, IFacialMocapSender, VMCSender])
def test_a_stream_that_ends_leaves_a_face_at_rest(kind: Any) -> None:
    motion = face()
    motion.weights[:] = 0.6

    def packets() -> list[bytes]:
        out = []
        with suppress(TimeoutError):
            while True:
                out.append(listener.recv(65536))
        return out

    def values(data: list[bytes]) -> list[float]:
        if kind is LiveLinkSender:
            return [float(v) for v in live_link_packet(data[-1])[3]]
        if kind is IFacialMocapSender:
            return [float(part.rsplit("-", 1)[1]) for part in data[-1].decode().split("|=")[0].split("|")]
        from pythonosc.osc_packet import OscPacket

        sent = [m.message for d in data for m in OscPacket(d).messages]
        return [float(m.params[1]) for m in sent if m.address == "/VMC/Ext/Blend/Val"]

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(0.05)
        sender = kind("127.0.0.1", listener.getsockname()[1])
        sender.send(0, motion)
        moving = values(packets())
        sender.close()
        still = values(packets())
    assert max(moving) > 0.5 and len(still) == len(moving) and not any(still)


def test_slow_clients_lose_the_oldest_frames_and_no_answer() -> None:
    async def drain() -> tuple[int, list[str | None]]:
        waiting = websocket._ClientQueue()
        lost = sum(waiting.put(str(k)) for k in range(MAX_QUEUED_FRAMES + 5))
        waiting.answer("answer")
        waiting.end()
        return lost, [await waiting.next() for _ in range(MAX_QUEUED_FRAMES + 2)]

    lost, messages = asyncio.run(drain())
    assert lost == 5 and messages == ["answer", *map(str, range(5, MAX_QUEUED_FRAMES + 5)), None]


def test_a_client_that_reads_nothing_holds_nobody_up() -> None:
    sender = FaceSender("127.0.0.1", 0)
    sender._server.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # stands in for a slow network
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", sender.port))
        deaf.sendall(HANDSHAKE)
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


def test_clients_that_never_read_make_room(sender: FaceSender, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the time for a message, although the system's buffers hold the frames of seconds."""
    assert websocket.SEND_TIMEOUT == 5
    monkeypatch.setattr(websocket, "SEND_TIMEOUT", 0.3)
    with ExitStack() as stack:
        for _ in range(MAX_CLIENTS):
            deaf = stack.enter_context(socket.create_connection(("127.0.0.1", sender.port)))
            deaf.sendall(HANDSHAKE)
            assert deaf.recv(12) == b"HTTP/1.1 101"
        over = time.monotonic() + 20
        while sender._clients or time.monotonic() < over - 19.5:
            assert time.monotonic() < over, f"{len(sender._clients)} clients"
            sender.send(0, face())
            time.sleep(1 / 500)
        with connected(sender) as late:
            assert late.hello["fps"] == 30


LOST = """
import time
from avatargpt.export.websocket import FaceSender
from websockets.sync.client import connect
sender = FaceSender("127.0.0.1", 0)
with connect(f"ws://127.0.0.1:{sender.port}") as client:
    client.recv(5)
    transport = next(iter(sender._clients)).transport
    def lose():
        transport.abort()
        for _ in range(9):
            transport.write(b"x")
    sender._loop.call_soon_threadsafe(lose)
    time.sleep(0.5)
sender.close()
"""


def test_a_lost_client_is_no_business_of_the_terminal() -> None:
    done = subprocess.run([sys.executable, "-c", LOST], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_clients_that_are_gone_make_room(sender: FaceSender) -> None:
    for _ in range(MAX_CLIENTS):
        with connected(sender):
            pass
    for _ in range(500):
        if not sender._clients:
            break
        time.sleep(0.01)
    with connected(sender) as late:  # nothing was sent meanwhile
        assert late.hello["fps"] == 30


def test_a_port_that_is_taken() -> None:
    with socket.socket() as used:
        used.bind(("127.0.0.1", 0))
        used.listen()
        with pytest.raises(UserError, match="that is free"):
            FaceSender("127.0.0.1", used.getsockname()[1])


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
            stack.enter_context(socket.create_connection(("127.0.0.1", port), 5))
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
    notes: list[str] = []
    accept, over = socket.socket.accept, time.monotonic() + 0.2

    def exhausted(self: socket.socket) -> Any:
        if time.monotonic() < over:
            raise OSError(errno.EMFILE, "Too many open files")
        return accept(self)

    with serving(notify=notes.append) as sender:
        monkeypatch.setattr(socket.socket, "accept", exhausted)
        with connected(sender, open_timeout=15) as late:
            assert late.hello["fps"] == 30
    assert notes == ["WebSocket: Too many open files; new clients wait until some are closed"]


@pytest.mark.parametrize(
    ("origin", "accepted"),
    [
        (None, True), ("http://localhost:5173", True), ("https://127.0.0.1", True), ("http://[::1]:80", True),
        ("https://a.org", True), ("https://b.org", False), ("null", False), ("http://localhost.b.org", False),
        ("http://a@b.org", False), ("http://[", False), ("https://a.org:444", False),
    ],
)  # fmt: skip
def test_pages_of_other_sites_are_turned_away(origin: str | None, accepted: bool) -> None:
    notes: list[str] = []
    with serving(origins=["https://a.org"], notify=notes.append) as sender:
        for _ in range(2):
            outcome = nullcontext() if accepted else pytest.raises(exceptions.InvalidStatus, match="403")
            with outcome, connected(sender, origin=origin) as page:
                assert "names" in page.hello
    assert notes == ([] if accepted else [f"WebSocket: refused a page of {origin}; --origin {origin} accepts it"])


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::"])
def test_other_machines_need_leave(host: str) -> None:
    with pytest.raises(UserError, match="other machines reach that; accepted.*--allow-network"):
        FaceSender(host, 0)
    assert not websocket.is_local(host, 0) and websocket.is_local("localhost", 0)
    if host == "0.0.0.0":
        with serving(host, network=True) as sender, connected(sender) as page:
            assert "names" in page.hello


def test_messages_are_answered_and_large_ones_end_the_connection() -> None:
    messages: list[str] = []

    def receive(message: str, answer: websocket.Answer) -> None:
        messages.append(message)
        answer({"length": len(message)})

    with serving(receiver=receive) as sender, connected(sender) as page:
        page.send("x" * MAX_MESSAGE)
        assert json.loads(page.recv(5)) == {"length": MAX_MESSAGE} and messages == ["x" * MAX_MESSAGE]
        page.send(b"\x00")
        assert "accepted JSON" in json.loads(page.recv(5))["error"]
        page.send("x" * (MAX_MESSAGE + 1))
        with pytest.raises(exceptions.ConnectionClosedError) as closed:
            page.recv(5)
        assert closed.value.rcvd.code == 1009 and len(messages) == 1
    with serving() as deaf, connected(deaf) as page:
        page.send("{}")
        assert "only listen" in json.loads(page.recv(5))["error"]
