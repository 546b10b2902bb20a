"""The one door to language models: a prompt file and values in, validated objects out, within bounds."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel

from avatargpt.llm.answers import read_answer, schema_of
from avatargpt.llm.cache import AnswerCache
from avatargpt.llm.failures import LlmFailed, Malformed
from avatargpt.llm.limits import CHARACTERS, Limits, Meter
from avatargpt.llm.prompts import Messages, Prompt
from avatargpt.llm.within import Worker

ASKS = 3  # an answer that cannot be used is asked for again, with the reason
REPEATED = 4000  # characters of a bad answer that are shown again

T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True)
class Completion:
    """What a back end said.

    Attributes:
        text: of the answer. prompt, answer: tokens, as it counted them; 0 = it did not.
        cut: the answer was cut off at the bound of tokens.
    """

    text: str
    prompt: int = 0
    answer: int = 0
    cut: bool = False


class Backend(Protocol):
    """Who answers. Whatever it raises becomes one line; it is left alone when it takes too long.

    Attributes:
        name: for people. local: it runs here, where every word of a prompt takes time to read.
    """

    name: str
    local: bool

    @property
    def fingerprint(self) -> str:
        """Other for another model; costs little."""
        ...

    def ready(self) -> None:
        """Load what has to be loaded; called once, before the first question."""
        ...

    def complete(
        self, messages: Messages, schema: dict[str, Any], temperature: float, seed: int, tokens: int,
        stop: threading.Event,
    ) -> Completion:
        """One answer, if it can in the form of the JSON schema.

        Args:
            tokens: at most. stop: set when nobody waits any longer.
        """
        ...


@dataclass(frozen=True)
class Answer(Generic[T]):
    """A validated answer; `note` says why it was asked for more than once, else empty."""

    value: T
    note: str = ""


class LanguageModel:
    """A language model behind the door.

    Args:
        backend: who answers. limits: of all that is asked here. cache: None = nothing is kept.
    """

    def __init__(self, backend: Backend, limits: Limits | None = None, cache: AnswerCache | None = None) -> None:
        self.backend, self.cache = backend, cache
        self.meter = Meter(limits or Limits())
        self._worker: Worker[Any] = Worker(backend.name)
        self._ready = False

    @property
    def name(self) -> str:
        """Of who answers."""
        return self.backend.name

    @property
    def limits(self) -> Limits:
        """Bounds of what is asked here."""
        return self.meter.limits

    def ask(
        self, prompt: Prompt, values: Mapping[str, Any], schema: type[T], seed: int = 0, samples: int = 1,
        temperature: float = 0.7, check: Callable[[T], None] | None = None, enough: Callable[[T], bool] | None = None,
        tokens: int | None = None,
    ) -> list[Answer[T]]:  # fmt: skip
        """Answers of which each fits the schema and passes the check.

        Args:
            prompt: see `avatargpt.llm.prompts`. values: of its slots.
            schema: what is asked for; an answer that is something else is asked for again, with the reason.
            seed: of the first sample; the same seed is answered from the cache.
            samples: at most. One that cannot be used is left out as long as there is another.
            check: raises `Malformed` where an object is not acceptable.
            enough: no further sample is asked for once one is so good.
            tokens: of an answer, where fewer suffice than the limits allow; small models can go on for ever.

        Raises:
            LlmFailed: no answer that can be used, or none within the bounds.
        """
        messages, form = prompt.messages(values), schema_of(schema)
        most = min(self.limits.answer, tokens or self.limits.answer)
        found: list[Answer[T]] = []
        failure: LlmFailed | None = None
        for k in range(samples):
            try:
                one = self._sample(messages, form, schema, seed + ASKS * k, temperature, check, most)
            except LlmFailed as e:
                failure = e
                if e.lasting:
                    break
                continue
            found.append(one)
            if temperature <= 0 or (enough is not None and enough(one.value)):
                break
        if not found:
            assert failure is not None
            raise failure
        return found

    def _sample(
        self, messages: Messages, form: dict[str, Any], schema: type[T], seed: int, temperature: float,
        check: Callable[[T], None] | None, most: int,
    ) -> Answer[T]:  # fmt: skip
        """Ask until the answer can be read, each time with the reason why the last one could not."""

        def read(said: str) -> T:
            value = read_answer(said, schema)
            if check is not None:
                check(value)
            return value

        key = AnswerCache.key(self.backend.fingerprint, messages, form, temperature, seed, most)
        if self.cache is not None and (kept := self.cache.get(key)) is not None:
            try:
                return Answer(read(kept))
            except Malformed:
                pass  # another version accepted it
        reason, asked = "", messages
        for attempt in range(ASKS):
            said = self._complete(asked, form, temperature, seed + attempt, most)
            try:
                if said.cut:
                    raise Malformed(f"it was cut off after {most} tokens; be shorter")
                value = read(said.text)
            except Malformed as e:
                reason = str(e)
                again = f"That cannot be used: {reason}. Answer again, the JSON object alone."
                asked = [
                    *messages, {"role": "assistant", "content": said.text[:REPEATED] or "{}"},
                    {"role": "user", "content": again},
                ]  # fmt: skip
                continue
            if self.cache is not None:
                self.cache.put(key, said.text)
            return Answer(value, f"Asked {attempt + 1} times: {reason}." if attempt else "")
        raise LlmFailed(f"{self.name}: no well-formed answer in {ASKS} tries (last: {reason[:200]})", lasting=False)

    def _complete(
        self, messages: Messages, form: dict[str, Any], temperature: float, seed: int, most: int
    ) -> Completion:
        meter, sent = self.meter, sum(len(m["content"]) for m in messages)
        if not self._ready:
            left = meter.limits.total - meter.seconds
            self._timed(left, lambda stop: self.backend.ready())
            self._ready = True
        seconds = meter.allowed(self.name, sent)
        prompted, answered = sent // CHARACTERS + 1, most  # unless it is counted, for a failure may cost, too
        try:
            said: Completion = self._timed(
                seconds,
                lambda stop: self.backend.complete(messages, form, temperature, seed % 2**31, most, stop),
            )
            prompted = said.prompt or prompted
            answered = said.answer or len(said.text) // CHARACTERS + 1
        finally:
            meter.prompt += prompted
            meter.answer += answered
        return said

    def _timed(self, seconds: float, work: Callable[[threading.Event], Any]) -> Any:
        began = time.monotonic()
        try:
            return self._worker.within(max(seconds, 0.01), work)
        finally:
            self.meter.seconds += time.monotonic() - began


def shown(form: dict[str, Any]) -> str:
    """A JSON schema in words, for back ends that cannot be held to it."""
    return f"JSON schema of the answer: {json.dumps(form)}"
