"""Messages to a face that runs: told apart and put in a row, from before its weights are loaded.

A message is a JSON object with ``text`` (an instruction as for ``avatargpt face --text``; empty ends what is done),
``emotion`` (as for ``--emotion``), or both. Their seconds count from the frame at which they come into force.
"""

from __future__ import annotations

import json
import queue
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from avatargpt.face.audio_model.conditioning import Feeling
from avatargpt.face.feelings import emotions
from avatargpt.options import is_text
from avatargpt.requests.english import is_emoji
from vqvae.errors import UserError

MOST_WAITING = 4  # orders that wait to be read
MOST_CHARACTERS = 1000
_FORM = 'accepted {"text": INSTRUCTION}, {"emotion": NAME[:0..1]}, or both'

Answer = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Order:
    """What a message asks for; None = as it is. An empty `text` ends what is done."""

    text: str | None = None
    emotion: str | None = None
    feelings: tuple[Feeling, ...] = ()


def parse(message: str) -> Order:
    """A message of a client.

    Raises:
        UserError: no JSON object of `text` and `emotion`, or one of these is not accepted.
    """
    try:
        value = json.loads(message)
    except (ValueError, RecursionError):
        raise UserError(f"a message that is not JSON; {_FORM}") from None
    if not isinstance(value, dict) or not value:
        raise UserError(f"a message that is no JSON object of orders; {_FORM}")
    for name, said in value.items():
        if name not in ("text", "emotion"):
            raise UserError(f"{ascii(name[:40])}: unknown; {_FORM}")
        if not isinstance(said, str) or not is_text(said) or len(said) > MOST_CHARACTERS:
            raise UserError(f"{name}: accepted a text of at most {MOST_CHARACTERS} characters")
    text, emotion = value.get("text"), value.get("emotion")
    if text is not None:
        text = " ".join(text.split())
        if text and not any(c.isalnum() or is_emoji(c) for c in text):
            raise UserError("text: signs alone; accepted an instruction in words, or nothing, which ends what is done")
    feelings = () if emotion is None else tuple(emotions(" ".join(emotion.split()), named="emotion"))
    return Order(text, emotion, feelings)


class Inbox:
    """Takes messages from any thread; they wait here until `avatargpt.face.live.orders.Orders` reads them."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[tuple[Order, Answer]] = queue.Queue(MOST_WAITING)

    def hear(self, message: str, answer: Answer) -> None:
        """Takes a message, or answers with what is wrong with it; never waits."""
        try:
            self._waiting.put_nowait((parse(message), answer))
        except UserError as e:
            answer({"error": " ".join(str(e).split())})
        except queue.Full:
            answer({"error": f"{MOST_WAITING} orders are waiting; accepted again when one has been done"})

    def next(self) -> tuple[Order, Answer]:
        """The order that has waited longest, and what answers it; waits for one."""
        return self._waiting.get()
