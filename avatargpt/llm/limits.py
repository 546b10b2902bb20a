"""Bounds of what language models may take: time, tokens, money."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from avatargpt.llm.failures import LlmFailed
from vqvae.errors import UserError
from vqvae.strict import Number, PositiveInt, Rate, Strict

CHARACTERS = 3  # of a token at least, where nobody counts them
ACCEPTED = "seconds=60,total=600,answer=1500,tokens=500000,price=0.15/0.6,money=1,samples=3 (any of them)"


class Limits(Strict):
    """Bounds of a command.

    Attributes:
        seconds: of one call, whatever happens in it.
        total: of all calls and of loading a model.
        answer: tokens of one answer. tokens: of all prompts and answers.
        price: of 1,000 tokens of prompt and of answer, in whatever money. money: of all; None = not counted.
        samples: answers that a planner chooses from, at most; None = as the planner likes.
    """

    seconds: Annotated[Number, Field(gt=0)] = 60.0
    total: Annotated[Number, Field(gt=0)] = 600.0
    answer: PositiveInt = 1500
    tokens: PositiveInt = 500_000
    price: tuple[float, float] = (0.0, 0.0)
    money: Rate | None = None
    samples: Annotated[PositiveInt, Field(le=16)] | None = None

    @classmethod
    def of(cls, text: str | None) -> Limits:
        """From ``seconds=30,price=0.15/0.6,money=0.5``; a single price goes for prompts and answers.

        Raises:
            UserError: an unknown name, no number or one out of bounds, money without a price.
        """
        where, values = f"--llm-limits {text!r}", {}
        for part in filter(None, (p.strip() for p in (text or "").split(","))):
            name, equals, value = (p.strip() for p in part.partition("="))
            if not equals or name in values:
                raise UserError(f"{where}: {part!r}; accepted: {ACCEPTED}")
            values[name] = _prices(value, where) if name == "price" else value
        made = cls.read(values, where)
        if made.money is not None and not any(made.price):
            raise UserError(f"{where}: money without a price; accepted: price=0.15/0.6,money=1 (per 1,000 tokens)")
        return made


def _prices(text: str, where: str) -> tuple[float, float]:
    try:
        found = [float(p) for p in text.split("/")]
    except ValueError:
        found = []
    if len(found) not in (1, 2) or not all(0 <= p < 1e6 for p in found):
        raise UserError(f"{where}: price={text}; accepted a number or two, of prompts and answers: price=0.15/0.6")
    return found[0], found[-1]


@dataclass
class Meter:
    """What was taken so far.

    Attributes:
        seconds, prompt, answer: of all calls.
    """

    limits: Limits
    seconds: float = 0.0
    prompt: int = 0
    answer: int = 0

    @property
    def money(self) -> float:
        """Spent so far."""
        return (self.prompt * self.limits.price[0] + self.answer * self.limits.price[1]) / 1000

    def allowed(self, name: str, characters: int) -> float:
        """Seconds that a call may take, of a prompt of so many characters.

        Raises:
            LlmFailed: the call might go beyond a bound.
        """
        limits, prompt = self.limits, characters // CHARACTERS + 1
        left = limits.total - self.seconds
        if left <= 0:
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
        return min(limits.seconds, left)
