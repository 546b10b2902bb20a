"""Frames of a face to browsers and programs while they are made: a WebSocket server that sends JSON."""

from __future__ import annotations

import json
import queue
import socket
import threading
import time
from contextlib import suppress
from typing import Any

from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion

MOST_CLIENTS = 8
LEAVE = 1.0  # s that clients have for the goodbye; those that read nothing are then cut off
LOOK = 0.5  # s after which a client that is gone is noticed while nothing is sent
WAITING = 30  # frames that a slow client may lag behind before it loses the oldest
INSTALL = 'pip install "avatargpt[live]"'
_TRY_LATER = 1013  # close code (RFC 6455 registry)


class WebSocketSender:
    """Serves every frame to whoever is connected; a late client begins with the present frame.

    The first message is ``{"fps", "subject", "names", "head"}``, every other ``{"frame", "weights", "head"}``: 52
    weights in the order of `names`, yaw, pitch and roll in radians (`FaceMotion`'s signs). Clients only listen.

    Args:
        host, port: where to listen; port 0 takes a free one. subject: who is moving. fps: frames a second.

    Raises:
        UserError: the package ``websockets`` is not installed, or the address is taken or not ours.
    """

    def __init__(self, host: str, port: int, subject: str = "AvatarGPT", fps: float = 30.0) -> None:
        try:
            from websockets.sync.server import serve
        except ImportError:
            raise UserError(f"a WebSocket needs the package websockets; install it with {INSTALL}") from None
        names = {"names": list(arkit.NAMES), "head": list(arkit.HEAD)}
        self._hello = json.dumps({"fps": fps, "subject": subject, **names})
        self._clients: dict[queue.Queue[str | None], Any] = {}
        self._lock = threading.Lock()
        self.failed = 0  # frames that a client was too slow for
        try:
            self._server = serve(self._serve, host, port, max_size=1024, compression=None)
        except (OSError, OverflowError, UnicodeError) as e:
            reason = getattr(e, "strerror", None) or e
            raise UserError(f"{host}:{port}: {reason}; accepted HOST:PORT of this machine that is free") from None
        self.port: int = self._server.socket.getsockname()[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _serve(self, client: Any) -> None:
        from websockets.exceptions import ConnectionClosed
        from websockets.protocol import State

        mine: queue.Queue[str | None] = queue.Queue(WAITING)
        with self._lock:
            full = len(self._clients) >= MOST_CLIENTS
            if not full:
                self._clients[mine] = client
        if full:
            client.close(_TRY_LATER, f"{MOST_CLIENTS} clients are connected")
            return
        try:
            client.send(self._hello)
            while client.protocol.state is State.OPEN:
                with suppress(queue.Empty):
                    if (message := mine.get(timeout=LOOK)) is None:
                        break
                    client.send(message)
        except ConnectionClosed:
            pass
        finally:
            with self._lock:
                del self._clients[mine]

    def send(self, frame: int, motion: FaceMotion) -> None:
        """One frame, `motion` of length 1."""
        weights, head = ([round(float(v), 4) for v in row] for row in (motion.weights[0], motion.head[0]))
        self._tell(json.dumps({"frame": frame, "weights": weights, "head": head}))

    def _tell(self, message: str | None) -> None:
        with self._lock:
            for waiting in self._clients:
                if waiting.full():
                    waiting.get_nowait()
                    self.failed += 1
                waiting.put_nowait(message)

    def close(self) -> None:
        """Say goodbye to every client and stop listening; who does not read is cut off after a second."""
        self._tell(None)
        until = time.monotonic() + LEAVE
        while self._clients and time.monotonic() < until:
            time.sleep(0.01)
        with self._lock:
            for client in self._clients.values():
                with suppress(OSError):  # gone meanwhile
                    client.socket.shutdown(socket.SHUT_RDWR)
        self._server.shutdown()
