"""WebSocket servers that send the frames of a face or a body as JSON while they are made, and take JSON."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import socket
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar
from urllib.parse import urlsplit

import numpy as np

from avatargpt.export.avatar import AvatarMotion, body_and_face
from avatargpt.export.expressions import PRESETS, PresetMixer
from avatargpt.export.udp_senders import FrameSender
from avatargpt.speech.live import INSTALL
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.motion import Motion
from vqvae.skeleton import FINGER_NAMES, SMPL22, SMPL52

MAX_CLIENTS = 8
MAX_PENDING = 32  # connections that are no clients yet; the oldest gives way to the next
HANDSHAKE_TIMEOUT = 2.0  # s within which a connection has to become a client
CLOSE_TIMEOUT = 1.0  # s until clients that do not read are cut off at the end
SEND_TIMEOUT = 5.0  # s within which a client takes a message, else its place goes to another
SEND_BUFFER = 1 << 14  # bytes that the system holds for a client; by default megabytes, which hide that nothing is read
MAX_QUEUED_FRAMES = 30  # frames that a slow client may lag behind before it loses the oldest
MAX_MESSAGE = 8192  # bytes of a message from a client: a thousand characters, each written as \uXXXX, fit
MESSAGE_INTERVAL = 0.02  # s between two messages of one client
MAX_QUEUED_ANSWERS = 16  # that wait for a client; until it has read some, nothing more is taken from it
DIGITS = 5  # of a body's numbers: a hundredth of a millimetre, a thousandth of a degree
_TRY_LATER = 1013  # close code (RFC 6455 registry)
_LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
_MAX_NOTICES = 8  # lines about pages that were turned away

Answer = Callable[[dict[str, Any]], None]
Receiver = Callable[[str, Answer], None]


class WebSocketServer(FrameSender):
    """Serves every frame to whoever is connected; a late client begins with the present frame.

    The first message is `hello`. Messages of clients go to `receiver`, whose answers go to that client. The server runs
    on a thread with an event loop of its own.

    Args:
        host, port: where to listen; port 0 takes a free one. hello: what frames mean.
        receiver: called on the server's thread with a message and what sends an answer; None: messages are refused.
        origins: of web pages that may connect, besides those served by this machine, such as ``https://example.org``
            or ``null`` (a page opened as a file). Programs, which name no origin, may always.
        network: whether an address that other machines reach is allowed.
        notify: takes a line about each refusal, for the operator.
    """

    def __init__(
        self, host: str, port: int, hello: Mapping[str, Any], receiver: Receiver | None = None,
        origins: Sequence[str] = (), network: bool = False, notify: Callable[[str], None] = lambda line: None,
    ) -> None:  # fmt: skip
        try:
            import websockets.asyncio.server  # noqa: F401
        except ImportError:
            raise UserError(f"a WebSocket needs the package websockets; install it with {INSTALL}") from None
        super().__init__()
        self._hello = json.dumps(hello)
        self._receiver, self._origins, self._notify = receiver, frozenset(origins), notify
        self._refused: set[str] = set()  # origins already reported
        self._exhausted = False
        self._pending: dict[Any, None] = {}  # oldest first
        self._clients: dict[Any, _ClientQueue] = {}
        if not (network or is_local(host, port)):
            raise UserError(f"{host}:{port}: other machines reach that; accepted: an address of this machine alone, "
                            "such as 127.0.0.1, or --allow-network (network=True)")  # fmt: skip
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(self._on_loop_error)
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        # On the loop's thread: that of the caller may run a loop already, as in a notebook.
        opening = asyncio.run_coroutine_threadsafe(self._open_server(host, port), self._loop)
        try:
            self._server = opening.result()
        except (OSError, OverflowError, UnicodeError) as e:
            self._stop_loop()
            reason = getattr(e, "strerror", None) or e
            raise UserError(f"{host}:{port}: {reason}; accepted HOST:PORT of this machine that is free") from None
        self.port: int = self._server.sockets[0].getsockname()[1]

    def _stop_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _open_server(self, host: str, port: int) -> Any:
        from websockets.asyncio.server import ServerConnection, serve

        pending = self._pending

        # A connection counts from the moment it is accepted, and the oldest that is no client yet gives way to the
        # next: no number of half-open connections keeps a client out.
        class BoundedConnection(ServerConnection):
            def connection_made(self, transport: Any) -> None:
                super().connection_made(transport)
                transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
                if len(pending) >= MAX_PENDING:
                    oldest = next(iter(pending))
                    del pending[oldest]
                    oldest.transport.abort()
                pending[self] = None

            def connection_lost(self, exc: Exception | None) -> None:
                pending.pop(self, None)
                super().connection_lost(exc)

        # scanners of networks would fill the log
        quiet = logging.Logger("avatargpt.websocket")
        for log in (quiet, logging.getLogger("asyncio")):  # without any handler its lines go to stderr
            log.addHandler(logging.NullHandler())
        return await serve(
            self._serve, host, port, create_connection=BoundedConnection, process_request=self._check_origin,
            compression=None, max_size=MAX_MESSAGE, open_timeout=HANDSHAKE_TIMEOUT, close_timeout=CLOSE_TIMEOUT,
            write_limit=1 << 12, logger=quiet,
        )  # fmt: skip

    def _check_origin(self, connection: Any, request: Any) -> Any:
        """A refusal of pages of other sites."""
        # otherwise any page that a browser of this machine shows could listen
        for origin in request.headers.get_all("Origin"):
            if origin not in self._origins and not _is_local_page(origin):
                name = ascii(origin)[1:-1][:80]
                if name not in self._refused and len(self._refused) < _MAX_NOTICES:
                    self._refused.add(name)
                    self._notify(f"WebSocket: refused a page of {name}; --origin {name} accepts it")
                return connection.respond(403, f"pages of {name} may not connect; --origin {name} lets them\n")
        return None

    def _on_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Report once that the loop cannot accept clients, as while too many files are open."""
        error = context.get("exception")
        if not isinstance(error, OSError):
            self._notify(f"WebSocket: {context['message']} ({error!r})")
        elif not self._exhausted:
            # asyncio tries again by itself
            self._exhausted = True
            self._notify(f"WebSocket: {error.strerror}; new clients wait until some are closed")

    async def _serve(self, client: Any) -> None:
        from websockets.exceptions import ConnectionClosed

        if len(self._clients) >= MAX_CLIENTS:
            await client.close(_TRY_LATER, f"{MAX_CLIENTS} clients are connected")
            return
        self._pending.pop(client, None)
        queue = self._clients[client] = _ClientQueue()
        listening = asyncio.ensure_future(self._receive(client, queue))
        try:
            message: str | None = self._hello
            while message is not None:
                async with asyncio.timeout(SEND_TIMEOUT):
                    await client.send(message)
                message = await queue.next()
        except ConnectionClosed:
            pass
        except TimeoutError:
            client.transport.abort()
        finally:
            del self._clients[client]
            listening.cancel()

    async def _receive(self, client: Any, queue: _ClientQueue) -> None:
        """Pass on the messages of a client until it is gone."""
        from websockets.exceptions import ConnectionClosed

        def answer(value: dict[str, Any]) -> None:
            with suppress(RuntimeError):  # the server was closed meanwhile
                self._loop.call_soon_threadsafe(queue.answer, json.dumps(value))

        try:
            async for message in client:
                if self._receiver is None:
                    answer({"error": "nothing is changed here; clients only listen"})
                elif isinstance(message, bytes):
                    answer({"error": f"{len(message)} bytes that are no text; accepted JSON as text"})
                else:
                    self._receiver(message, answer)
                await asyncio.sleep(MESSAGE_INTERVAL)
                while len(queue.answers) >= MAX_QUEUED_ANSWERS:
                    await asyncio.sleep(MESSAGE_INTERVAL)
        except ConnectionClosed:
            pass
        finally:
            queue.end()

    def broadcast(self, frame: Mapping[str, Any]) -> None:
        """A frame to every client."""
        self._loop.call_soon_threadsafe(self._broadcast, json.dumps(frame))

    def _broadcast(self, message: str) -> None:
        for queue in self._clients.values():
            self.failed += queue.put(message)

    def _close(self) -> None:
        """Close the connections and stop listening; clients that do not read are cut off after a second."""
        asyncio.run_coroutine_threadsafe(self._close_clients(), self._loop).result()
        self._stop_loop()

    async def _close_clients(self) -> None:
        for queue in self._clients.values():
            queue.end()
        for _ in range(round(CLOSE_TIMEOUT / MESSAGE_INTERVAL)):
            if not self._clients:
                break
            await asyncio.sleep(MESSAGE_INTERVAL)
        for connection in [*self._clients, *self._pending]:
            connection.transport.abort()
        self._server.close()
        await self._server.wait_closed()


class MotionServer(WebSocketServer):
    """Serves the frames of a motion: first ``{"fps", "subject"}`` and what `PARTS` say, then for each frame ``{"frame",
    "time"}`` and its parts; `time` is the second of the sound.
    """

    PARTS: ClassVar[dict[str, Any]] = {}

    def __init__(self, host: str, port: int, subject: str = "AvatarGPT", fps: float = 30.0, **options: Any) -> None:
        super().__init__(host, port, {"fps": fps, "subject": subject, **self.PARTS}, **options)
        self._mixer = PresetMixer(fps)

    def _send_frame(self, frame: int, motion: Motion | FaceMotion | AvatarMotion) -> None:
        body, face = body_and_face(motion)
        row: dict[str, Any] = {"frame": frame, "time": round(self.clock(frame / motion.fps), 4)}
        if face is not None:
            presets = self._mixer(face.weights)
            values = {"weights": face.weights[0], "presets": [presets[n][0] for n in PRESETS], "head": face.head[0]}
            row |= {name: [round(float(v), 4) for v in numbers] for name, numbers in values.items()}
        if body is not None:
            row |= {"root": _numbers(body.root[0]), "rotations": _numbers(body.rotations[0])}
            row |= {} if body.fingers is None else {"fingers": _numbers(body.fingers[0])}
        self.broadcast(row)


def _numbers(values: np.ndarray) -> Any:
    return np.round(np.asarray(values, np.float64), DIGITS).tolist()


_FACE: dict[str, Any] = {"names": list(arkit.NAMES), "presets": list(PRESETS), "head": list(arkit.HEAD)}
_SKELETON: dict[str, Any] = {
    "joints": list(SMPL22.names), "fingers": list(FINGER_NAMES), "parents": [int(p) for p in SMPL52.parents],
    "offsets": _numbers(SMPL52.offsets),
}  # fmt: skip


class FaceSender(MotionServer):
    """Serves a face: first ``"names", "presets", "head"``, then ``"weights", "presets", "head"``: 52 weights in the
    order of `names`, the same as VRM's presets, yaw, pitch and roll in radians (`FaceMotion`'s signs).
    """

    PARTS = _FACE


class BodySender(MotionServer):
    """Serves a body: first ``"joints", "fingers", "parents", "offsets"``, then ``"root", "rotations", "fingers"``.

    `joints` are the names of 22 joints, `fingers` of 30; `parents` and `offsets` (metres from the parent in the T-pose,
    Y up, facing +Z, left = +X) are of all 52, in that order. `root` is the position of the pelvis, metres; `rotations`
    (22) and `fingers` (30) are local unit quaternions w, x, y, z, identity = T-pose; without fingers these are missing.
    """

    PARTS = _SKELETON


class AvatarSender(MotionServer):
    """Serves an avatar: the messages of `FaceSender` and `BodySender` in one; `head` is in the rotations as well."""

    PARTS = _FACE | _SKELETON


class _ClientQueue:
    """Messages still to be sent to a client: frames, of which the oldest give way, and answers, which do not."""

    def __init__(self) -> None:
        self._frames: deque[str] = deque()
        self.answers: deque[str] = deque()
        self._over = False
        self._more = asyncio.Event()

    def put(self, frame: str) -> int:
        """Add a frame; the number of frames that are lost for it."""
        lost = len(self._frames) >= MAX_QUEUED_FRAMES
        if lost:
            self._frames.popleft()
        self._frames.append(frame)
        self._more.set()
        return int(lost)

    def answer(self, message: str) -> None:
        self.answers.append(message)
        self._more.set()

    def end(self) -> None:
        """No more messages after those that wait."""
        self._over = True
        self._more.set()

    async def next(self) -> str | None:
        """The next message, None when it is over."""
        while True:
            if self.answers:
                return self.answers.popleft()
            if self._frames:
                return self._frames.popleft()
            if self._over:
                return None
            self._more.clear()
            await self._more.wait()


def is_local(host: str, port: int) -> bool:
    """Whether only this machine reaches an address."""
    addresses = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return all(ipaddress.ip_address(str(address[0]).split("%")[0]).is_loopback for *_, address in addresses)


def _is_local_page(origin: str) -> bool:
    """Whether a page was served by this machine, whatever the port."""
    try:
        parts = urlsplit(origin)
        return parts.scheme in ("http", "https") and parts.hostname in _LOCAL_HOSTS
    except ValueError:
        return False
