"""Frames to browsers and programs while they are made: a WebSocket server that sends and takes JSON."""

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
from typing import Any
from urllib.parse import urlsplit

from avatargpt.speech.live.sources import INSTALL
from vqvae.errors import UserError

MOST_CLIENTS = 8
MOST_STRANGERS = 32  # connections that are no clients yet; the oldest makes room for the next
HANDSHAKE = 2.0  # s within which a connection has to become a client
LEAVE = 1.0  # s that clients have for the goodbye; those that read nothing are then cut off
WAITING = 30  # frames that a slow client may lag behind before it loses the oldest
LARGEST = 8192  # bytes of a message from a client: a thousand characters, each written as \uXXXX, fit
BETWEEN = 0.02  # s between two messages of one client
MOST_ANSWERS = 16  # that wait for a client; until it has read some, nothing more is taken from it
_TRY_LATER = 1013  # close code (RFC 6455 registry)
_OWN_HOSTS = ("localhost", "127.0.0.1", "::1")
_MOST_TOLD = 8  # lines about pages that were turned away

Answer = Callable[[dict[str, Any]], None]
Hear = Callable[[str, Answer], None]


class WebSocketServer:
    """Serves every frame to whoever is connected; a late client begins with the present frame.

    The first message is `hello`. What clients say goes to `hear`, whose answers go to that client.

    It runs on a thread with an event loop of its own. A connection counts against `MOST_STRANGERS` from the moment it
    is accepted, and the oldest of these is cut off for the next one, so that no number of half-open connections keeps
    a client out; asyncio goes on accepting when file descriptors have run out for a while.

    Args:
        host, port: where to listen; port 0 takes a free one. hello: what frames mean.
        hear: called on the server's thread with a message and what sends an answer; None: messages are refused.
        origins: of web pages that may connect, besides those served by this machine, such as ``https://example.org``
            or ``null`` (a page opened as a file). Programs, which name no origin, may always.
        network: whether an address that other machines reach is allowed.
        tell: takes a line about what was refused, for whoever runs this.

    Raises:
        UserError: the package ``websockets`` is not installed, the address is taken or not ours, or not allowed.
    """

    def __init__(
        self, host: str, port: int, hello: Mapping[str, Any], hear: Hear | None = None, origins: Sequence[str] = (),
        network: bool = False, tell: Callable[[str], None] = lambda line: None,
    ) -> None:  # fmt: skip
        try:
            import websockets.asyncio.server  # noqa: F401
        except ImportError:
            raise UserError(f"a WebSocket needs the package websockets; install it with {INSTALL}") from None
        self._hello = json.dumps(hello)
        self._hear, self._origins, self._tell_user = hear, frozenset(origins), tell
        self._refused: set[str] = set()  # origins that were told
        self._exhausted = False
        self._strangers: dict[Any, None] = {}  # oldest first
        self._clients: dict[Any, _Waiting] = {}
        self.failed = 0  # frames that a client was too slow for
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(self._troubled)
        try:
            if not (network or is_local(host, port)):
                raise UserError(f"{host}:{port}: other machines reach that; accepted: an address of this machine "
                                "alone, such as 127.0.0.1, or --allow-network (network=True)")  # fmt: skip
            self._server = self._loop.run_until_complete(self._opened(host, port))
        except (OSError, OverflowError, UnicodeError) as e:
            self._loop.close()
            reason = getattr(e, "strerror", None) or e
            raise UserError(f"{host}:{port}: {reason}; accepted HOST:PORT of this machine that is free") from None
        except UserError:
            self._loop.close()
            raise
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    async def _opened(self, host: str, port: int) -> Any:
        from websockets.asyncio.server import ServerConnection, serve

        strangers = self._strangers

        class Bounded(ServerConnection):
            """Known from the first packet on."""

            def connection_made(self, transport: Any) -> None:
                super().connection_made(transport)
                if len(strangers) >= MOST_STRANGERS:
                    oldest = next(iter(strangers))
                    del strangers[oldest]
                    oldest.transport.abort()
                strangers[self] = None

            def connection_lost(self, exc: Exception | None) -> None:
                strangers.pop(self, None)
                super().connection_lost(exc)

        quiet = logging.Logger("avatargpt.websocket")  # noise of scanners is nobody's business
        quiet.addHandler(logging.NullHandler())
        return await serve(
            self._serve, host, port, create_connection=Bounded, process_request=self._turned_away, compression=None,
            max_size=LARGEST, open_timeout=HANDSHAKE, close_timeout=LEAVE, write_limit=1 << 12, logger=quiet,
        )  # fmt: skip

    def _turned_away(self, connection: Any, request: Any) -> Any:
        """A refusal of pages of other sites: any page that a browser here shows could listen otherwise."""
        for origin in request.headers.get_all("Origin"):
            if origin not in self._origins and not _is_own(origin):
                shown = ascii(origin)[1:-1][:80]
                if shown not in self._refused and len(self._refused) < _MOST_TOLD:
                    self._refused.add(shown)
                    self._tell_user(f"WebSocket: refused a page of {shown}; --origin {shown} accepts it")
                return connection.respond(403, f"pages of {shown} may not connect; --origin {shown} lets them\n")
        return None

    def _troubled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What the event loop cannot do: accept, while there are too many open files, and it tries again by itself."""
        error = context.get("exception")
        if not isinstance(error, OSError):  # a fault of ours
            self._tell_user(f"WebSocket: {context['message']} ({error!r})")
        elif not self._exhausted:
            self._exhausted = True
            self._tell_user(f"WebSocket: {error.strerror}; new clients wait until some are closed")

    async def _serve(self, client: Any) -> None:
        from websockets.exceptions import ConnectionClosed

        if len(self._clients) >= MOST_CLIENTS:
            await client.close(_TRY_LATER, f"{MOST_CLIENTS} clients are connected")
            return
        self._strangers.pop(client, None)
        mine = self._clients[client] = _Waiting()
        listening = asyncio.ensure_future(self._listen(client, mine))
        try:
            await client.send(self._hello)
            while (message := await mine.next()) is not None:
                await client.send(message)
        except ConnectionClosed:
            pass
        finally:
            del self._clients[client]
            listening.cancel()

    async def _listen(self, client: Any, mine: _Waiting) -> None:
        """What a client says, until it is gone."""
        from websockets.exceptions import ConnectionClosed

        def answer(value: dict[str, Any]) -> None:
            with suppress(RuntimeError):  # the server was closed meanwhile
                self._loop.call_soon_threadsafe(mine.answer, json.dumps(value))

        try:
            async for message in client:
                if self._hear is None:
                    answer({"error": "nothing is changed here; clients only listen"})
                elif isinstance(message, bytes):
                    answer({"error": f"{len(message)} bytes that are no text; accepted JSON as text"})
                else:
                    self._hear(message, answer)
                await asyncio.sleep(BETWEEN)
                while len(mine.answers) >= MOST_ANSWERS:
                    await asyncio.sleep(BETWEEN)
        except ConnectionClosed:
            pass
        finally:
            mine.end()

    def hand_out(self, frame: Mapping[str, Any]) -> None:
        """A frame to every client."""
        self._loop.call_soon_threadsafe(self._hand_out, json.dumps(frame))

    def _hand_out(self, message: str) -> None:
        for mine in self._clients.values():
            self.failed += mine.put(message)

    def close(self) -> None:
        """Say goodbye to every client and stop listening; who does not read is cut off after a second."""
        asyncio.run_coroutine_threadsafe(self._closed(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _closed(self) -> None:
        for mine in self._clients.values():
            mine.end()
        for _ in range(round(LEAVE / BETWEEN)):
            if not self._clients:
                break
            await asyncio.sleep(BETWEEN)
        for connection in [*self._clients, *self._strangers]:
            connection.transport.abort()
        self._server.close()
        await self._server.wait_closed()


class _Waiting:
    """What a client has not been sent: frames, of which the oldest give way, and answers, which do not."""

    def __init__(self) -> None:
        self._frames: deque[str] = deque()
        self.answers: deque[str] = deque()
        self._over = False
        self._more = asyncio.Event()

    def put(self, frame: str) -> int:
        """Takes a frame; how many are lost for it."""
        lost = len(self._frames) >= WAITING
        if lost:
            self._frames.popleft()
        self._frames.append(frame)
        self._more.set()
        return int(lost)

    def answer(self, message: str) -> None:
        self.answers.append(message)
        self._more.set()

    def end(self) -> None:
        """What waits is still sent, then there is no more."""
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
    """Whether only this machine reaches an address.

    Raises:
        OSError: a host that is not known.
    """
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return all(ipaddress.ip_address(str(address[0]).split("%")[0]).is_loopback for *_, address in found)


def _is_own(origin: str) -> bool:
    """Whether a page was served by this machine, whatever the port."""
    try:
        parts = urlsplit(origin)
        return parts.scheme in ("http", "https") and parts.hostname in _OWN_HOSTS
    except ValueError:
        return False
