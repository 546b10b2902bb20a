"""A language model behind an OpenAI-compatible endpoint (chat completions)."""

from __future__ import annotations

import os
import threading
from typing import Any

from avatargpt.llm.exchange import Refused, Tries, check_url, post_json
from avatargpt.llm.failures import LlmFailed
from avatargpt.llm.model import Completion, shown
from avatargpt.llm.prompts import Messages
from vqvae.errors import UserError

URL, MODEL, KEY = "AVATARGPT_LLM_URL", "AVATARGPT_LLM_MODEL", "AVATARGPT_LLM_KEY"
FORMER = "AVATARGPT_PLANNER_"  # as the variables began when planning alone asked; they are still read


def setting(name: str) -> str:
    """The value of one of the variables, under its own name or the former one; empty = not set."""
    former = name.replace("AVATARGPT_LLM_", FORMER)
    return os.environ.get(name, "").strip() or os.environ.get(former, "").strip()


class Endpoint:
    """Asks a model over HTTP. What it answers to one seed is up to the server.

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
    def from_environment(cls, url: str = "") -> Endpoint:
        """The endpoint that the environment names.

        Args:
            url: goes before the environment's own.

        Raises:
            UserError: address or model is missing.
        """
        found = {name: setting(name) for name in (URL, MODEL, KEY)}
        for name, value in ((URL, url or found[URL]), (MODEL, found[MODEL])):
            if not value:
                raise UserError(f"language model endpoint: set {name} (and {KEY}, if the server wants a key)")
        return cls(url or found[URL], found[MODEL], found[KEY])

    @property
    def fingerprint(self) -> str:
        """Address and name: what the server changes behind them cannot be known."""
        return f"endpoint {self.url} {self.model}"

    def ready(self) -> None:
        """Nothing is to be loaded."""

    def complete(
        self, messages: Messages, schema: dict[str, Any], temperature: float, seed: int, tokens: int,
        stop: threading.Event,
    ) -> Completion:
        """One completion; servers that know no structured output are asked without it from then on.

        Raises:
            LlmFailed: a server that cannot be used.
        """
        last = messages[-1]
        worded = [*messages[:-1], {**last, "content": f"{last['content']}\n{shown(schema)}"}]
        body: dict[str, Any] = {
            "model": self.model, "messages": worded, "temperature": temperature, "seed": seed, "max_tokens": tokens,
        }  # fmt: skip
        form = {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}
        try:
            try:
                held = body | ({"response_format": form} if self._structured else {})
                value = post_json(self.url, held, self._key, self.tries, stop)
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
            said = choice["message"]["content"]
        except (KeyError, IndexError, TypeError):
            raise LlmFailed(f"{self.url}: no chat completion in the answer") from None
        usage = value.get("usage")
        count = usage if isinstance(usage, dict) else {}
        return Completion(
            said if isinstance(said, str) else "", _whole(count.get("prompt_tokens")),
            _whole(count.get("completion_tokens")), choice.get("finish_reason") == "length",
        )  # fmt: skip


def _whole(value: Any) -> int:
    """A count that a server gave, 0 where it is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 40 else 0
