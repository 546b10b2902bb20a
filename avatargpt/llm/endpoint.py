"""A language model behind an OpenAI-compatible endpoint (chat completions), in bounded HTTP exchanges."""

import json
import os
import ssl
import threading
import urllib.parse
from dataclasses import dataclass
from typing import Any, Self

import httpx

from avatargpt.llm.model import Completion, LlmFailed, Question, with_schema
from vqvae.errors import UserError

URL, MODEL, KEY = "AVATARGPT_LLM_URL", "AVATARGPT_LLM_MODEL", "AVATARGPT_LLM_KEY"
LOCAL = ("localhost", "127.0.0.1", "::1")
TRANSIENT = (408, 425, 429, 500, 502, 503, 504)  # statuses that may pass
# without a byte, after which a connection is given up; callers have a bound of their own
SILENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Tries:
    """Bounds of an exchange, besides the time that the caller waits."""

    count: int = 3  # in all, for failures that may pass (no connection, busy)
    answer: int = 1_000_000  # bytes of an answer at most
    pause: float = 1.0  # seconds before the second try; twice that before each further one, at most `max_pause`
    max_pause: float = 20.0


class Refused(Exception):
    """An answer with a `status` that will not pass, and the server's message (shortened)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"HTTP {status}: {message}")
        self.status = status


def setting(name: str) -> str:
    """The value of one of the variables; empty = not set."""
    return os.environ.get(name, "").strip()


class Endpoint:
    """A model over HTTP. Whether the same seed gives the same answer is up to the server.

    Args:
        url: base address, e.g. ``https://api.example.com/v1``; ``/chat/completions`` is added where it is missing.
        model: the server's name of the model. key: sent as a bearer token; empty = none.
        tries: of every exchange.
    """

    local = False

    def __init__(self, url: str, model: str, key: str = "", tries: Tries | None = None) -> None:
        base = check_url(url, key)
        self.url = base if base.endswith("/chat/completions") else f"{base}/chat/completions"
        self.model, self.tries = model, tries or Tries()
        self._key = key
        self._structured = True
        self.name = f"{model} at {base}"

    @classmethod
    def from_environment(cls, url: str = "") -> Self:
        """The endpoint of the environment's variables; `url` goes before theirs."""
        settings = {name: setting(name) for name in (URL, MODEL, KEY)}
        for name, value in ((URL, url or settings[URL]), (MODEL, settings[MODEL])):
            if not value:
                raise UserError(f"language model endpoint: set {name} (and {KEY}, if the server wants a key)")
        return cls(url or settings[URL], settings[MODEL], settings[KEY])

    @property
    def fingerprint(self) -> str:
        """Address and name; changes of the server behind them cannot be known."""
        return f"endpoint {self.url} {self.model}"

    def ready(self) -> None:
        """No loading."""

    def complete(self, question: Question, stop: threading.Event) -> Completion:
        """One completion; a server without structured output is not asked for it again."""
        body: dict[str, Any] = {
            "model": self.model, "messages": with_schema(question.messages, question.schema),
            "temperature": question.temperature, "seed": question.seed, "max_tokens": question.tokens,
        }  # fmt: skip
        form = {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": question.schema}}
        try:
            try:
                structured = body | ({"response_format": form} if self._structured else {})
                value = post_json(self.url, structured, self._key, self.tries, stop)
            except Refused as e:
                if not self._structured or e.status not in (400, 404, 415, 422):
                    raise
                value = post_json(self.url, body, self._key, self.tries, stop)
                self._structured = False
        except Refused as e:
            hint = f"; is {KEY} right?" if e.status in (401, 403) else f"; are the address and {MODEL} right?"
            raise LlmFailed(f"{self.name}: {e}{hint}") from None
        try:
            choice = value["choices"][0]
            # a server that takes thoughts for all of an answer leaves its content empty
            said = [choice["message"].get(field) for field in ("content", "reasoning_content", "reasoning")]
        except (KeyError, IndexError, TypeError, AttributeError):
            raise LlmFailed(f"{self.url}: no chat completion in the answer") from None
        text = next((s for s in said if isinstance(s, str) and s.strip()), "")
        usage = value.get("usage")
        counts = usage if isinstance(usage, dict) else {}
        return Completion(
            text, _count(counts.get("prompt_tokens")),
            _count(counts.get("completion_tokens")), choice.get("finish_reason") == "length",
        )  # fmt: skip


def _count(value: Any) -> int:
    """A number of tokens from a server, 0 where it is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 40 else 0


def check_url(url: str, key: str) -> str:
    """`url` without a final slash."""
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
        Refused: a status that will not pass; a redirect is one, for it would carry the key to another host.
    """
    # without compression no small answer can grow beyond the bound on its size
    headers = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "identity"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    data, pause, problem = json.dumps(body).encode(), tries.pause, ""
    # the certificates that the system trusts, not those of a package
    with httpx.Client(timeout=SILENCE_SECONDS, headers=headers, verify=ssl.create_default_context()) as client:
        for attempt in range(tries.count):
            wait = 0.0
            try:
                with client.stream("POST", url, content=data) as reply:
                    answer = _read(reply, stop, tries.answer)
                    if reply.is_success:
                        break
                problem = f"HTTP {reply.status_code}: {_message(answer) or reply.reason_phrase}"
                if reply.status_code not in TRANSIENT:
                    raise Refused(reply.status_code, _message(answer) or reply.reason_phrase)
                retry_after = reply.headers.get("Retry-After", "")
                wait = float(retry_after) if retry_after.isdecimal() else 0.0
            except httpx.HTTPError as e:
                problem = _line(str(e)) or type(e).__name__
                if _insecure(e):
                    raise LlmFailed(f"{url}: no secure connection ({problem})") from None
            if attempt + 1 < tries.count:
                stop.wait(min(max(pause, wait), tries.max_pause))
                pause *= 2
            if stop.is_set():
                raise LlmFailed(f"{url}: nobody waits any longer ({problem})")
        else:
            raise LlmFailed(f"{url}: no answer in {tries.count} tries ({problem}); is the address right?")
    try:
        return json.loads(answer)
    except (ValueError, RecursionError):
        raise LlmFailed(f"{url}: the answer is not JSON; accepted an OpenAI-compatible endpoint") from None


def _read(reply: httpx.Response, stop: threading.Event, max_bytes: int) -> bytes:
    """The answer, as far as it came before `stop`."""
    data = bytearray()
    for chunk in reply.iter_raw():
        data += chunk
        if len(data) > max_bytes:
            raise LlmFailed(f"{reply.url}: an answer of more than {max_bytes} bytes")
        if stop.is_set():
            break
    return bytes(data)


def _insecure(error: BaseException | None) -> bool:
    """Whether TLS failed: httpx wraps the reason."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error is not None


def _message(data: bytes) -> str:
    """The server's words for a refusal: the message of an OpenAI error, or the beginning of the text."""
    text = data[:4000].decode("utf-8", "replace")
    try:
        message = json.loads(text)["error"]["message"]
        text = message if isinstance(message, str) else text
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    return _line(text)


def _line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:200]
