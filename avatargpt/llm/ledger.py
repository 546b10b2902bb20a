"""Answers by content and what they cost, in a folder that processes share: nothing is asked or paid for twice.

`Remembered` stands before a back end. Each completion is kept under the SHA-256 of its question, also one that cannot
be used; two processes with the same question wait for one another. Costs are written down before a question is asked,
at their upper bound, and settled with the answer, so that a process that is killed can hide none.
"""

import json
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from avatargpt.llm.model import MIN_TOKEN_CHARACTERS, Backend, Completion, Limits, LlmFailed, Question, size_of
from vqvae.errors import UserError
from vqvae.io.data_files import read_object
from vqvae.io.files import atomic_write, folder_lock, parsing

ANSWERS, LOCKS, COSTS = "answers", "locks", "costs.json"
BUCKET = 3  # hex digits of the question that name its lock
Costs = dict[str, Any]


class Remembered:
    """A back end whose completions are kept; see the module.

    Args:
        backend: answers what is not there yet. folder: of answers and costs; it may be that of an earlier run.
        limits: tokens and money hold for the folder, all runs together.
    """

    local = False

    def __init__(self, backend: Backend, folder: Path, limits: Limits) -> None:
        self.backend, self.folder, self.limits = backend, folder, limits
        self.name = backend.name
        self._loaded = False
        for name in (ANSWERS, LOCKS):
            (folder / name).mkdir(parents=True, exist_ok=True)

    @property
    def fingerprint(self) -> str:
        """That of the back end."""
        return self.backend.fingerprint

    def ready(self) -> None:
        """No loading before a question is new."""

    def complete(self, question: Question, stop: threading.Event) -> Completion:
        """The kept completion, or a new one.

        Raises:
            LlmFailed: a new one might exceed the bounds.
        """
        key = question.key(self.fingerprint)
        path = self.folder / ANSWERS / f"{key}.json"
        with folder_lock(self.folder / LOCKS, "", f"{key[:BUCKET]}.lock", wait=True):
            if path.is_file():
                completion = _read(path)
            else:
                prompt = size_of(question.messages) // MIN_TOKEN_CHARACTERS + 1
                self._reserve(key, prompt, question.tokens)
                if not self._loaded:
                    self.backend.ready()
                    self._loaded = True
                completion = self.backend.complete(question, stop)
                if stop.is_set():  # cut off: nobody waits for it, and it stays paid at its upper bound
                    raise LlmFailed(f"{self.name}: no answer in time")
                prompt = completion.prompt or prompt
                answer = completion.answer or len(completion.text) // MIN_TOKEN_CHARACTERS + 1
                completion = Completion(completion.text, prompt, answer, completion.truncated)
                atomic_write(path, lambda p: p.write_text(json.dumps(asdict(completion)), encoding="utf-8"))
            self._settle(key, completion)
        return completion

    def _reserve(self, key: str, prompt: int, answer: int) -> None:
        """Write the upper bound of a question down."""

        def change(costs: Costs) -> None:
            lost = costs["open"].pop(key, None)  # asked by a process that was killed
            if lost is not None:
                costs["prompt"], costs["answer"] = costs["prompt"] + lost[0], costs["answer"] + lost[1]
            limits, tokens, money = self.limits, *sum_spent(costs, self.limits)
            if tokens + prompt + answer > limits.tokens:
                raise LlmFailed(f"{self.name}: {tokens} of {limits.tokens} tokens are used or reserved; "
                                "accepted: --llm-limits tokens=N")  # fmt: skip
            costs["open"][key] = [prompt, answer]
            if limits.money is not None and sum_spent(costs, limits)[1] > limits.money:
                raise LlmFailed(f"{self.name}: the next call may cost more than is left of {limits.money:g} "
                                f"({money:.4g} is spent or reserved); accepted: --llm-limits money=M")  # fmt: skip

        self._change(change)

    def _settle(self, key: str, completion: Completion) -> None:
        """Put what a question cost in the place of its upper bound."""

        def change(costs: Costs) -> None:
            if costs["open"].pop(key, None) is not None:
                costs["prompt"] += completion.prompt
                costs["answer"] += completion.answer
                costs["calls"] += 1

        if key in _costs(self.folder)["open"]:
            self._change(change)

    def _change(self, change: Callable[[Costs], None]) -> None:
        with folder_lock(self.folder / LOCKS, "", "costs.lock", wait=True):
            costs = _costs(self.folder)
            change(costs)
            atomic_write(self.folder / COSTS, lambda p: p.write_text(json.dumps(costs), encoding="utf-8"))


def sum_spent(costs: Costs, limits: Limits) -> tuple[int, float]:
    """Tokens and money so far, open questions at their upper bound."""
    rows = [(costs["prompt"], costs["answer"]), *costs["open"].values()]
    prompt, answer = (sum(column) for column in zip(*rows, strict=True))
    return prompt + answer, (prompt * limits.price[0] + answer * limits.price[1]) / 1000


def _costs(folder: Path) -> Costs:
    path = folder / COSTS
    if not path.is_file():
        return {"prompt": 0, "answer": 0, "calls": 0, "open": {}}
    costs = read_object(path)
    if not all(isinstance(costs.get(k), int) for k in ("prompt", "answer", "calls")) or "open" not in costs:
        raise UserError(f"{path}: not the costs of a folder of answers; accepted: none, where they shall begin at 0")
    return costs


def _read(path: Path) -> Completion:
    row = read_object(path)
    with parsing(path, "an answer of a language model"):
        return Completion(str(row["text"]), int(row["prompt"]), int(row["answer"]), bool(row["truncated"]))
