"""`LanguageModel`: a prompt file and values in, validated objects out, within bounds of time, tokens and money.

A prompt file has ``name``, ``version``, ``system``, ``user`` (with ``$slot`` where a value goes) and ``examples``, two
or more of ``values`` and the ``answer``. Values are data, not instructions: they are written as JSON whose angle
brackets cannot end the ``<data>`` that a file fences them with. Answers are stored on the disk (`AnswerCache`). A
question may go with pictures: its content is then a list of parts, as OpenAI-compatible endpoints take it.
"""

import base64
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from string import Template
from typing import Annotated, Any, Generic, Protocol, Self, TypeVar

from pydantic import BaseModel, Field, ValidationError

from vqvae.errors import UserError
from vqvae.io.data_files import finite_number, read_object, read_yaml
from vqvae.io.files import atomic_write, reason, user_cache
from vqvae.strict import Number, PositiveInt, Rate, Strict

FOLDER = Path(__file__).parent / "prompts"
# turns: role and content, which is a text, or parts of text and pictures as data URIs
Messages = list[dict[str, Any]]


class PromptExample(Strict):
    """A question with its answer."""

    values: dict[str, Any]
    answer: dict[str, Any]


class PromptFile(Strict):
    """One file."""

    # name, version: which one; a changed file gets a new version
    name: str
    version: PositiveInt
    system: str  # the rules, the same for every question
    user: str  # the question, ``$slot`` for values
    examples: list[PromptExample] = Field(min_length=2)  # sent as earlier turns

    def messages(self, values: Mapping[str, Any], pictures: Sequence[bytes] = ()) -> Messages:
        """The turns to send: the constant part first, so that a model that has read it once need not read it again.

        Args:
            pictures: JPEG files that go with the question.
        """
        out = [{"role": "system", "content": self.system.strip()}]
        for example in self.examples:
            out.append({"role": "user", "content": self._question(example.values)})
            out.append({"role": "assistant", "content": json.dumps(example.answer, ensure_ascii=False)})
        content: Any = self._question(values)
        if pictures:
            uris = [f"data:image/jpeg;base64,{base64.b64encode(p).decode()}" for p in pictures]
            images = [{"type": "image_url", "image_url": {"url": uri}} for uri in uris]
            content = [{"type": "text", "text": content}, *images]
        return [*out, {"role": "user", "content": content}]

    def _question(self, values: Mapping[str, Any]) -> str:
        try:
            return Template(self.user).substitute({k: write_json(v) for k, v in values.items()}).strip()
        except KeyError as e:
            raise UserError(f"prompt {self.name}: no value for {e}; given: {', '.join(values)}") from None


def write_json(value: Any) -> str:
    """A value as JSON; angle brackets cannot end a fence."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c").replace(">", "\\u003e")


@lru_cache
def prompt(name: str) -> PromptFile:
    """The prompt of ``prompts/NAME.yaml``. Raises UserError: none of that name, or a damaged file."""
    path = FOLDER / f"{name}.yaml"
    return PromptFile.read(read_yaml(path), str(path))


MAX_BYTES, MAX_FILES = 32 << 20, 5000
MAX_ANSWER_BYTES = 1 << 20
CACHE_VARIABLE = "AVATARGPT_CACHE"


class AnswerCache:
    """A folder of JSON files, one per answer; those not used for longest go first.

    Errors are not reported: a file that cannot be read counts as missing, one that cannot be written is left out.

    Args:
        folder: made when it is first needed; None = ``$AVATARGPT_CACHE/llm`` or ``~/.cache/avatargpt/llm``.
        max_bytes, max_files: of the folder.
    """

    def __init__(self, folder: Path | None = None, max_bytes: int = MAX_BYTES, max_files: int = MAX_FILES) -> None:
        root = os.environ.get(CACHE_VARIABLE, "").strip()
        self.folder = folder or (Path(root) if root else user_cache()) / "llm"
        self.max_bytes, self.max_files = max_bytes, max_files

    @staticmethod
    def key(*parts: Any) -> str:
        """SHA-256 of the question: model, prompt, schema, temperature, seed."""
        return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=True).encode()).hexdigest()

    def get(self, key: str) -> str | None:
        """The answer, or None."""
        path = self.folder / f"{key}.json"
        try:
            answer = read_object(path, MAX_ANSWER_BYTES).get("said")
        except UserError:
            return None
        with suppress(OSError):
            os.utime(path)
        return answer if isinstance(answer, str) else None

    def put(self, key: str, answer: str) -> None:
        """Store an answer."""
        text = json.dumps({"said": answer})
        if len(text) > MAX_ANSWER_BYTES:
            return
        with suppress(UserError, OSError):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            atomic_write(self.folder / f"{key}.json", lambda p: p.write_text(text, encoding="utf-8"))
            rows = [(s.st_mtime, s.st_size, p) for p in self.folder.glob("*.json") for s in (p.stat(),)]
            size, oldest = sum(r[1] for r in rows), sorted(rows)
            while oldest and (size > self.max_bytes or len(oldest) > self.max_files):
                _, file_size, path = oldest.pop(0)
                size -= file_size
                with suppress(OSError):
                    path.unlink()


# an answer that cannot be used is requested again, with the reason
MAX_ATTEMPTS = 3
# characters of a bad answer that the next question repeats
MAX_REPEATED = 4000
MAX_ANSWER = 100_000  # characters
MIN_TOKEN_CHARACTERS = 3  # of a token, where nobody counts tokens
PICTURE_TOKENS = 1500  # of a picture, likewise; more than models take for one of 768 pixels
# after a lost connection nobody waits for the next one at every question
REST_SECONDS = 30.0
LIMITS = "seconds=60,total=600,answer=1500,tokens=500000,price=0.15/0.6,money=1,samples=3 (any of them)"

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


class Malformed(ValueError):
    """An answer of the wrong form; the message says why, in words for the model."""


class LlmFailed(UserError):
    """No usable answer; the caller may go on without a language model."""


class IllFormed(LlmFailed):
    """Answers came, and none fits: the fault of this one question."""


class Failures:
    """Failures in a row, of which the first is told."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell, self._failing = tell, False

    def tell(self, line: str) -> None:
        """One more failure."""
        if not self._failing:
            self._tell(line)
        self._failing = True

    def end(self) -> None:
        """There is an answer again."""
        self._failing = False


class Limits(Strict):
    """Bounds of a command."""

    seconds: Annotated[Number, Field(gt=0)] = 60.0  # of one call, whatever happens in it
    total: Annotated[Number, Field(gt=0)] = 600.0  # of all calls and of loading a model
    answer: PositiveInt = 1500  # tokens of one answer
    tokens: PositiveInt = 500_000  # of all prompts and answers
    price: tuple[float, float] = (0.0, 0.0)  # of 1,000 tokens of prompt and of answer, in any currency
    money: Rate | None = None  # of all; None = not counted
    # samples: answers that a planner chooses from, at most; None = the planner's default
    samples: Annotated[PositiveInt, Field(le=16)] | None = None

    @classmethod
    def of(cls, text: str | None) -> Self:
        """From ``seconds=30,price=0.15/0.6,money=0.5``; a single price goes for prompts and answers.

        Raises UserError: an unknown name, no number or one out of bounds, money without a price.
        """
        where, values = f"--llm-limits {text!r}", {}
        for part in filter(None, (p.strip() for p in (text or "").split(","))):
            name, equals, value = (p.strip() for p in part.partition("="))
            if not equals or name in values:
                raise UserError(f"{where}: {part!r}; accepted: {LIMITS}")
            values[name] = _prices(value, where) if name == "price" else value
        limits = cls.read(values, where)
        if limits.money is not None and not any(limits.price):
            raise UserError(f"{where}: money without a price; accepted: price=0.15/0.6,money=1 (per 1,000 tokens)")
        return limits


def _prices(text: str, where: str) -> tuple[float, float]:
    try:
        prices = [finite_number(p) for p in text.split("/")]
    except ValueError:
        prices = []
    if len(prices) not in (1, 2) or not all(0 <= p < 1e6 for p in prices):
        raise UserError(f"{where}: price={text}; accepted a number or two, of prompts and answers: price=0.15/0.6")
    return prices[0], prices[-1]


@dataclass
class Meter:
    """Use of a language model so far."""

    limits: Limits
    # seconds, prompt, answer: time and tokens of all calls
    seconds: float = 0.0
    prompt: int = 0
    answer: int = 0

    @property
    def money(self) -> float:
        """Spent so far."""
        return (self.prompt * self.limits.price[0] + self.answer * self.limits.price[1]) / 1000

    def allow_seconds(self, name: str, characters: int) -> float:
        """Seconds that a call with a prompt of so many characters may take.

        Raises LlmFailed: the call might exceed a bound.
        """
        limits, prompt = self.limits, characters // MIN_TOKEN_CHARACTERS + 1
        remaining = limits.total - self.seconds
        if remaining <= 0:
            raise LlmFailed(f"{name}: {limits.total:g} s are used up; accepted: --llm-limits total=SECONDS")
        if self.prompt + self.answer + prompt + limits.answer > limits.tokens:
            used = self.prompt + self.answer
            raise LlmFailed(f"{name}: {used} of {limits.tokens} tokens are used; accepted: --llm-limits tokens=N")
        worst = self.money + (prompt * limits.price[0] + limits.answer * limits.price[1]) / 1000
        if limits.money is not None and worst > limits.money:
            raise LlmFailed(
                f"{name}: the next call may cost more than is left of {limits.money:g} ({self.money:.4g} is spent); "
                "accepted: --llm-limits money=M"
            )
        return min(limits.seconds, remaining)


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of a model as structured output takes it: every field required, no other allowed."""
    schema: dict[str, Any] = _strict(model.model_json_schema())
    return schema


def _strict(node: Any) -> Any:
    if isinstance(node, list):
        return [_strict(v) for v in node]
    if not isinstance(node, dict):
        return node
    # a property may be called like a keyword of the schema language; its value is an object then
    dropped = ("title", "default", "description")
    out = {k: _strict(v) for k, v in node.items() if k not in dropped or isinstance(v, dict)}
    if out.get("type") == "object" and isinstance(out.get("properties"), dict):
        out |= {"additionalProperties": False, "required": list(out["properties"])}
    return out


def with_schema(messages: Messages, schema: dict[str, Any]) -> Messages:
    """Messages whose last has the JSON schema in words, for back ends that cannot be held to it."""
    note, content = f"\nJSON schema of the answer: {json.dumps(schema)}", messages[-1]["content"]
    if isinstance(content, str):
        content = content + note
    else:
        content = [{**content[0], "text": content[0]["text"] + note}, *content[1:]]
    return [*messages[:-1], {**messages[-1], "content": content}]


def size_of(messages: Messages) -> int:
    """Characters of a prompt, at most; pictures count as `PICTURE_TOKENS`."""
    contents = [m["content"] for m in messages]
    parts = [p for c in contents for p in (c if isinstance(c, list) else [{"type": "text", "text": c}])]
    picture = PICTURE_TOKENS * MIN_TOKEN_CHARACTERS
    return sum(len(p["text"]) if p["type"] == "text" else picture for p in parts)


def check_words_only(name: str, messages: Messages) -> None:
    """Raises LlmFailed where a question has pictures."""
    if any(isinstance(m["content"], list) for m in messages):
        raise LlmFailed(f"{name}: takes no pictures here; accepted: an endpoint with a model that does")


def read_answer(text: str, model: type[M]) -> M:
    """The last object in an answer: thoughts, other words or a code fence may stand around it."""
    if len(text) > MAX_ANSWER:
        raise Malformed(f"{len(text)} characters; at most {MAX_ANSWER}")
    value: Any = None
    problem, start = "", text.find("{")
    while start >= 0:
        end = start + 1
        try:
            value, end = json.JSONDecoder().raw_decode(text, start)
        except (ValueError, RecursionError) as e:
            problem = f" ({e})"
        start = text.find("{", end)
    if value is None:
        raise Malformed(f"no JSON object in it{problem}")
    try:
        return model.model_validate(value)
    except ValidationError as e:
        first = e.errors(include_url=False)[0]
        place = ".".join(str(p) for p in first["loc"])
        raise Malformed(f"{place or 'the object'}: {first['msg'].lower()}") from None


class CallWorker(Generic[T]):
    """One piece of work at a time, on a thread that nobody has to wait for.

    Some libraries cannot be interrupted (a name is resolved, a prompt is read): such work is left to end by itself,
    and the worker refuses more until it has.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._thread: threading.Thread | None = None

    def within(self, seconds: float, work: Callable[[threading.Event], T]) -> T:
        """The value of `work`, whose event is set when it should end.

        Raises LlmFailed: not done in time, still busy with earlier work, or any failure of `work`.
        """
        if self._thread is not None and self._thread.is_alive():
            raise LlmFailed(f"{self.name}: still busy with an earlier question")
        stop, future = threading.Event(), Future[T]()

        def run() -> None:
            try:
                future.set_result(work(stop))
            except BaseException as e:  # raised again in the calling thread
                future.set_exception(e)

        self._thread = threading.Thread(target=run, name="llm", daemon=True)
        self._thread.start()
        try:
            self._thread.join(seconds)
        finally:
            stop.set()
        if not future.done():
            raise LlmFailed(f"{self.name}: no answer within {seconds:.3g} s")
        try:
            return future.result()
        except UserError:
            raise
        except BaseException as e:
            raise LlmFailed(f"{self.name}: {type(e).__name__}: {reason(e)}") from None


@dataclass(frozen=True)
class Question:
    """What a back end is asked."""

    messages: Messages
    schema: dict[str, Any]  # JSON schema of the answer
    temperature: float
    seed: int
    tokens: int  # of the answer, at most

    def key(self, fingerprint: str) -> str:
        """Names the question to a model of that fingerprint."""
        return AnswerCache.key(fingerprint, *vars(self).values())


@dataclass(frozen=True)
class Completion:
    """The answer of a back end."""

    text: str  # of the answer
    # prompt, answer: tokens, as the back end counted them; 0 = not counted
    prompt: int = 0
    answer: int = 0
    truncated: bool = False  # the answer was cut off at the bound of tokens


class Backend(Protocol):
    """A language model that answers. Whatever it raises becomes one line; it is abandoned when it takes too long."""

    name: str  # for people
    local: bool  # it runs here, where every word of a prompt takes time to read

    @property
    def fingerprint(self) -> str:
        """Differs between models; cheap."""
        ...

    def ready(self) -> None:
        """Load the model; called once, before the first question."""
        ...

    def complete(self, question: Question, stop: threading.Event) -> Completion:
        """One answer, if possible in the form of the JSON schema."""
        ...


@dataclass(frozen=True)
class CheckedAnswer(Generic[M]):
    """A validated answer; `note` says why the question was repeated, else empty."""

    value: M
    note: str = ""


class LanguageModel:
    """A language model with its bounds, for all questions together, and its cache; None = no answer is stored."""

    def __init__(self, backend: Backend, limits: Limits | None = None, cache: AnswerCache | None = None) -> None:
        self.backend, self.cache = backend, cache
        self.meter = Meter(limits or Limits())
        self._worker: CallWorker[Any] = CallWorker(backend.name)
        self._ready = False
        self._problem, self._rests_until = "", 0.0  # why nothing is asked, and until when by the monotonic clock

    @property
    def name(self) -> str:
        """Of the back end."""
        return self.backend.name

    @property
    def limits(self) -> Limits:
        """Bounds of all questions together."""
        return self.meter.limits

    def ask(
        self, prompt: PromptFile, values: Mapping[str, Any], schema: type[M], seed: int = 0, samples: int = 1,
        temperature: float = 0.7, check: Callable[[M], object] | None = None, enough: Callable[[M], bool] | None = None,
        tokens: int | None = None, pictures: Sequence[bytes] = (), attempts: int = MAX_ATTEMPTS,
    ) -> list[CheckedAnswer[M]]:  # fmt: skip
        """Answers of which each fits the schema and passes the check.

        Args:
            prompt: see `avatargpt.llm.model`. values: of its slots.
            schema: of an answer; the question is repeated with the reason where an answer does not fit.
            seed: of the first sample; the same seed is answered from the cache.
            samples: at most. One that cannot be used is left out as long as there is another.
            check: raises `Malformed` where an object is not acceptable.
            enough: no further sample is drawn once it accepts one.
            tokens: of an answer, where fewer suffice than the limits allow; small models can go on for ever.
            pictures: JPEG files that go with the question. attempts: questions for one answer, at most `MAX_ATTEMPTS`.

        Raises:
            LlmFailed: no usable answer, or none within the bounds.
        """
        most = min(self.limits.answer, tokens or self.limits.answer)
        question = Question(prompt.messages(values, pictures), schema_of(schema), temperature, seed, most)
        answers: list[CheckedAnswer[M]] = []
        failure: LlmFailed | None = None
        for k in range(samples):
            try:
                sample = replace(question, seed=seed + MAX_ATTEMPTS * k)
                answer = self._sample(sample, schema, check, attempts)
            except LlmFailed as e:
                failure = e
                if not isinstance(e, IllFormed):
                    break
                continue
            answers.append(answer)
            if temperature <= 0 or (enough is not None and enough(answer.value)):
                break
        if not answers:
            assert failure is not None
            raise failure
        return answers

    def _sample(
        self, question: Question, schema: type[M], check: Callable[[M], object] | None, attempts: int
    ) -> CheckedAnswer[M]:
        """One answer; the question is repeated with the reason while the answer cannot be read."""

        def read(text: str) -> M:
            value = read_answer(text, schema)
            if check is not None:
                check(value)
            return value

        key = question.key(self.backend.fingerprint)
        if self.cache is not None and (cached := self.cache.get(key)) is not None:
            try:
                return CheckedAnswer(read(cached))
            except Malformed:
                pass  # another version accepted it
        problem, messages = "", question.messages
        for attempt in range(attempts):
            completion = self._complete(replace(question, messages=messages, seed=question.seed + attempt))
            try:
                if completion.truncated:
                    raise Malformed(f"it was cut off after {question.tokens} tokens; be shorter")
                value = read(completion.text)
            except Malformed as e:
                problem = str(e)
                request = f"That cannot be used: {problem}. Answer again, the JSON object alone."
                messages = [
                    *question.messages, {"role": "assistant", "content": completion.text[:MAX_REPEATED] or "{}"},
                    {"role": "user", "content": request},
                ]  # fmt: skip
                continue
            if self.cache is not None:
                self.cache.put(key, completion.text)
            return CheckedAnswer(value, f"Asked {attempt + 1} times: {problem}." if attempt else "")
        raise IllFormed(f"{self.name}: no well-formed answer in {attempts} tries (last: {problem[:200]})")

    def _complete(self, question: Question) -> Completion:
        meter, characters = self.meter, size_of(question.messages)
        if time.monotonic() < self._rests_until:
            raise LlmFailed(self._problem)
        if not self._ready:
            self._run_timed(meter.limits.total - meter.seconds, lambda stop: self.backend.ready())
            self._ready = True
        seconds = meter.allow_seconds(self.name, characters)
        # a failure may cost, too: without a count the whole prompt and the longest answer are charged
        prompt, answer = characters // MIN_TOKEN_CHARACTERS + 1, question.tokens
        asked = replace(question, seed=question.seed % 2**31)
        try:
            completion: Completion = self._run_timed(seconds, lambda stop: self.backend.complete(asked, stop))
            prompt = completion.prompt or prompt
            answer = completion.answer or len(completion.text) // MIN_TOKEN_CHARACTERS + 1
        finally:
            meter.prompt += prompt
            meter.answer += answer
        return completion

    def _run_timed(self, seconds: float, work: Callable[[threading.Event], Any]) -> Any:
        began = time.monotonic()
        try:
            return self._worker.within(max(seconds, 0.01), work)
        except LlmFailed as e:
            self._problem, self._rests_until = str(e), time.monotonic() + REST_SECONDS
            raise
        finally:
            self.meter.seconds += time.monotonic() - began
