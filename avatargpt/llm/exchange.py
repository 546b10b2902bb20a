"""One bounded HTTP exchange: JSON out, JSON in; limits on size, time and tries; no redirects."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any

from avatargpt.llm.failures import LlmFailed
from vqvae.errors import UserError

LOCAL = ("localhost", "127.0.0.1", "::1")
AGAIN = (408, 425, 429, 500, 502, 503, 504)  # statuses that may pass
SILENCE = 60.0  # s without a byte after which a connection is given up; who waits has a bound of their own


@dataclass(frozen=True)
class Tries:
    """Bounds of an exchange, beside the time that who asks waits.

    Attributes:
        count: in all, for failures that may pass (no connection, busy).
        answer: bytes of an answer at most.
        pause: seconds before the second try; twice that before each further one, and never more than `longest_pause`.
    """

    count: int = 3
    answer: int = 1_000_000
    pause: float = 1.0
    longest_pause: float = 20.0


class Refused(Exception):
    """An answer with a status that will not pass; `status` and what the server said (shortened)."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"HTTP {status}: {said}")
        self.status = status


class _Passing(Exception):
    """A failure that may pass; `wait`: seconds that the server asked for."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key to another host."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def check_url(url: str, key: str) -> str:
    """`url` without a final slash.

    Raises:
        UserError: not http(s), with a name and password in it, or a key would travel unencrypted to another machine.
    """
    where = f"endpoint {url}"
    try:
        parts = urllib.parse.urlsplit(url.strip())
        host = parts.hostname or ""
        _ = parts.port
    except ValueError as e:
        raise UserError(f"{where}: {e}; accepted https://HOST[:PORT]/PATH") from None
    if parts.scheme not in ("http", "https") or not host or parts.username or parts.query or parts.fragment:
        raise UserError(f"{where}: accepted https://HOST[:PORT]/PATH, for example https://api.example.com/v1")
    if key and parts.scheme == "http" and host not in LOCAL:
        raise UserError(f"{where}: the key would travel unencrypted; accepted https, or http to this machine")
    return url.strip().rstrip("/")


def post_json(url: str, body: dict[str, Any], key: str, tries: Tries, stop: threading.Event) -> Any:
    """Send a JSON object and read the JSON answer.

    Args:
        stop: set when nobody waits any longer; a pause or an answer that drips in ends then.

    Raises:
        LlmFailed: no usable answer.
        Refused: the server says no (a status that will not pass).
    """
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    data = json.dumps(body).encode()
    pause, reason = tries.pause, ""
    for attempt in range(tries.count):
        try:
            raw = _once(urllib.request.Request(url, data, headers, method="POST"), tries, stop)
            break
        except _Passing as e:
            reason = str(e)
            if attempt + 1 < tries.count:
                stop.wait(min(max(pause, e.wait), tries.longest_pause))
                pause *= 2
            if stop.is_set():
                raise LlmFailed(f"{url}: nobody waits any longer ({reason})") from None
    else:
        raise LlmFailed(f"{url}: no answer in {tries.count} tries ({reason}); is the address right?")
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise LlmFailed(f"{url}: the answer is not JSON; accepted an OpenAI-compatible endpoint") from None


def _once(request: urllib.request.Request, tries: Tries, stop: threading.Event) -> bytes:
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        with opener.open(request, timeout=SILENCE) as reply:
            return _read(reply, stop, tries.answer, request.full_url)
    except urllib.error.HTTPError as e:
        said = _excerpt(e)
        if e.code in AGAIN:
            wait = e.headers.get("Retry-After", "")
            raise _Passing(f"HTTP {e.code}: {said}", float(wait) if wait.isdecimal() else 0.0) from None
        raise Refused(e.code, said) from None
    except (OSError, http.client.HTTPException) as e:  # URLError and time-outs are OSErrors
        why = getattr(e, "reason", "") or e
        if isinstance(why, ssl.SSLError):
            raise LlmFailed(f"{request.full_url}: no secure connection ({_line(str(why))})") from None
        raise _Passing(_line(str(why)) or type(e).__name__) from None


def _read(reply: Any, stop: threading.Event, most: int, url: str) -> bytes:
    """All of the answer; no more than `most` bytes of it are taken."""
    parts: list[bytes] = []
    size = 0
    while not stop.is_set() and (chunk := reply.read1(65536)):
        size += len(chunk)
        parts.append(chunk)
        if size > most:
            raise LlmFailed(f"{url}: an answer of more than {most} bytes")
    return b"".join(parts)


def _excerpt(error: urllib.error.HTTPError) -> str:
    """What the server says of its refusal: the message of an OpenAI error, or the beginning of the text."""
    try:
        text = error.read(4000).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return error.reason
    try:
        message = json.loads(text)["error"]["message"]
        text = message if isinstance(message, str) else text
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    return _line(text) or str(error.reason)


def _line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:200]
