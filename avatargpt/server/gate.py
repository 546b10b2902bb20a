"""`Gate`: what every request passes before its route: names of the server, origins, key, sizes, times, the log."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from avatargpt.server.core import Server
from avatargpt.server.errors import Refusal, refuse_stopping
from avatargpt.server.keys import Keys

COOKIE = "avatargpt_key"
OPEN = ("/", "/talk.html", "/healthz", "/favicon.ico")  # without the key: what is the same for everybody
OPEN_FOLDERS = ("/assets/",)
ALWAYS = ("/healthz", "/metrics")  # answered while the server stops
UPLOADS = "/v1/uploads"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
POLICY = (
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)
SECURITY = {
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Content-Security-Policy": POLICY,
    "X-Frame-Options": "DENY",
}  # fmt: skip
log = logging.getLogger("avatargpt.access")


class Gate:
    """Middleware of ASGI."""

    def __init__(self, app: ASGIApp, server: Server) -> None:
        self.app, self.server, self.keys = app, server, Keys(server.settings.all_keys)
        self._below = urlsplit(server.settings.public_url).path
        self._origin = server.settings.public_url.removesuffix(self._below)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._below and f"{scope.get('path')}/".startswith(f"{self._below}/"):  # some proxies leave it
            scope = {**scope, "path": scope["path"].removeprefix(self._below)}
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._socket(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    # What is refused

    def check(self, scope: Scope, headers: Headers) -> str:
        """The name of the key, empty without one.

        Raises:
            Refusal: 403 for another name or origin, 401 without a key, 429 beyond its limit, 503 while it ends.
        """
        settings, path = self.server.settings, scope["path"]
        host = headers.get("host", "")
        if settings.hosts and _name(host) not in settings.hosts:
            raise Refusal(403, "a name of this server that is not accepted", "Host")
        origin = headers.get("origin")
        own = f"{scope['scheme'].replace('ws', 'http')}://{host}"
        accepted = (self._origin or own, own, *settings.origins)  # that of this server's own page first
        if origin is not None and scope.get("method") not in SAFE_METHODS and origin not in accepted:
            raise Refusal(403, f"a page of {origin[:99]}; accepted {accepted[0]} (--public-url) and --origin", "Origin")
        if self.server.state == "stopping" and path not in ALWAYS:
            raise refuse_stopping()
        if path in OPEN or path.startswith(OPEN_FOLDERS) or not self.keys:
            return ""
        name = self._find_name(scope, headers)
        if name is None:
            raise Refusal(401, "the API key is needed: Authorization: Bearer KEY", "Authorization",
                          headers={"WWW-Authenticate": "Bearer"})  # fmt: skip
        if scope.get("method") not in SAFE_METHODS:  # sockets, too
            self.keys.spend(name)
        return name

    def _find_name(self, scope: Scope, headers: Headers) -> str | None:
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        given = [bearer.strip() if kind.lower() == "bearer" else "", headers.get("x-api-key", "")]
        given.append(HTTPConnection(scope).cookies.get(COOKIE, ""))
        names = [self.keys.find_name(value) for value in given]
        return next((name for name in names if name is not None), None)

    # Requests

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun, headers, key = time.perf_counter(), Headers(scope=scope), ""
        body = _RequestBody(self.server, scope, headers, receive)
        share = "cross-origin" if headers.get("origin") in self.server.settings.origins else "same-origin"
        answer = _Answer(scope, send, body, share, self._below)
        try:
            if (login := self._login(scope)) is not None:
                await login(scope, receive, answer)
            else:
                key = self.check(scope, headers)
                body.check()
                await self.app(scope, body, answer)
                if body.refusal is not None:
                    raise body.refusal
        except Refusal as e:
            self.server.metrics.refused.labels(e.code).inc()
            if not answer.begun:
                body.refusal = None
                e.headers.setdefault("Connection", "close")
                await e.response()(scope, receive, answer)
        finally:
            seconds = time.perf_counter() - begun
            route = getattr(scope.get("route"), "path", "other")
            self.server.metrics.requests.labels(scope["method"], route, answer.status).inc()
            self.server.metrics.latency.labels(route).observe(seconds)
            if key:
                self.server.metrics.by_key.labels(key).inc()
            log.info("request", extra={
                "request": answer.number, "method": scope["method"], "route": route, "status": answer.status,
                "ms": round(seconds * 1000, 1), "in": body.count, "out": answer.count, "key": key,
            })  # fmt: skip

    def _login(self, scope: Scope) -> Response | None:
        """The page's address with ``?key=KEY`` gives the browser a cookie and leads to the page without the key."""
        if not scope["path"]:  # the page's own addresses are relative to one with a slash
            return RedirectResponse(f"/?{scope['query_string'].decode('latin-1')}")
        if scope["path"] != "/" or scope["method"] != "GET" or not self.keys:
            return None
        query = parse_qsl(scope["query_string"].decode("latin-1"))
        key = dict(query).get("key")
        if key is None or self.keys.find_name(key) is None:
            return None
        secure = "https" in (scope["scheme"], self._origin.partition(":")[0])
        rest = urlencode([(k, v) for k, v in query if k != "key"])
        response = RedirectResponse(f"/?{rest}" if rest else "/", 303)
        response.set_cookie(COOKIE, key, httponly=True, samesite="strict", secure=secure)
        return response

    # Sockets

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self.check(scope, Headers(scope=scope))
        except Refusal as e:
            self.server.metrics.refused.labels(e.code).inc()
            log.info("socket", extra={"route": scope["path"], "status": e.status})
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": e.code})
            return
        self.server.metrics.sockets.inc()
        try:
            await self.app(scope, receive, send)
        finally:
            self.server.metrics.sockets.dec()


def _name(host: str) -> str:
    """The name in a header ``Host``, without its port."""
    if host.startswith("["):
        return host[: host.find("]") + 1].lower()
    return host.partition(":")[0].lower()


class _RequestBody:
    """The body of a request: no larger and no slower than accepted."""

    def __init__(self, server: Server, scope: Scope, headers: Headers, receive: Receive) -> None:
        settings = server.settings
        self.upload = scope["path"] == UPLOADS
        self.most = settings.upload_bytes if self.upload else settings.json_bytes
        self.seconds, self.rate = settings.body_seconds, settings.upload_rate
        self.length, self.count, self.whole = headers.get("content-length"), 0, scope["method"] in SAFE_METHODS
        self.refusal: Refusal | None = None
        self._receive, self._begun = receive, time.monotonic()

    def check(self) -> None:
        """Raises Refusal (413) for a length that is too large already."""
        if self.length is not None and (not self.length.isdecimal() or int(self.length) > self.most):
            raise self._too_large()

    def _too_large(self) -> Refusal:
        most = f"{self.most >> 20} MiB" if self.most >= 1 << 20 else f"{self.most} bytes"
        return Refusal(413, f"a body of more than {most}", "body")

    async def __call__(self) -> Message:
        if self.whole:
            return await self._receive()
        spent = time.monotonic() - self._begun
        left = self.seconds if self.upload else max(0.0, self.seconds - spent)
        try:
            message = await asyncio.wait_for(self._receive(), left)
        except TimeoutError:
            self.refusal = Refusal(408, f"no body within {self.seconds:g} s", "body")
            raise self.refusal from None
        if message["type"] == "http.request":
            self.count += len(message.get("body", b""))
            self.whole = not message.get("more_body", False)
            slow = self.upload and not self.whole and spent > self.seconds and self.count < self.rate * spent
            if self.count > self.most:
                self.refusal = self._too_large()
            elif slow:
                self.refusal = Refusal(408, f"an upload slower than {self.rate:g} bytes a second", "body")
            if self.refusal is not None:
                raise self.refusal
        return message


class _Answer:
    """What is sent: with the headers of every answer; in place of it the refusal of the body, where there is one."""

    def __init__(self, scope: Scope, send: Send, body: _RequestBody, share: str, below: str) -> None:
        self._send, self._body, self._share, self._below = send, body, share, below
        self.number, self.status, self.count, self.begun = secrets.token_hex(6), 0, 0, False

    async def __call__(self, message: Message) -> None:
        if self._body.refusal is not None and not self.begun:
            return  # frameworks report an error of their own where reading the body fails
        if message["type"] == "http.response.start":
            self.begun, self.status = True, message["status"]
            headers = MutableHeaders(scope=message)
            extra = {"Cross-Origin-Resource-Policy": self._share, "X-Request-Id": self.number}
            for name, value in (SECURITY | extra).items():
                headers.setdefault(name, value)
            if headers.get("location", "").startswith("/"):
                headers["location"] = self._below + headers["location"]
        self.count += len(message.get("body", b""))
        await self._send(message)
