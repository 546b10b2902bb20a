"""Turns read by a language model: acts, or a question back; and the shipped reader where it gives no answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from pydantic import BaseModel, Field

from avatargpt.chat.heard import Heard
from avatargpt.chat.intent import Intent, possible, unsaid, why_not
from avatargpt.llm import LanguageModel
from avatargpt.llm.failures import LlmFailed, Malformed
from avatargpt.llm.prompts import prompt
from instruct_data.dialogue.acts import Act, read
from vqvae.errors import UserError

TOKENS = 160  # of an answer
SURE = 0.7  # of the shipped reader, from which a small model on this machine is not asked: it reads orders worse
ASKED = 200  # characters of a question back


class TurnAnswer(BaseModel):
    """Acts in the line of `instruct_data.dialogue.acts`, or a question back."""

    acts: str = ""
    ask: str = Field(default="", max_length=ASKED)


@runtime_checkable
class Weighing(Protocol):
    """A reader that says how sure it is."""

    name: str

    def weighed(self, heard: Heard) -> tuple[list[Act] | None, float]: ...


class LanguageIntent:
    """Asks a language model what a turn means; without an answer of it the other reader is asked.

    A model on this machine is asked only where the shipped reader is not sure (free talk): with 1.5 billion weights it
    read eight of fifteen turns right, the shipped reader ten, eight of the nine that it was sure of.

    Args:
        llm: the model. other: the shipped reader. tell: takes one line that says that `llm` gave no answer.

    Attributes:
        asked: the question back to the last turn, where acts are None; else empty. last: who read the last turn.
    """

    def __init__(self, llm: LanguageModel, other: Intent, tell: Callable[[str], None]) -> None:
        self.llm, self.other, self._tell = llm, other, tell
        self.name = self.last = llm.name
        self.asked = ""
        self._over = False

    def understand(self, heard: Heard) -> list[Act] | None:
        self.asked, self.last = "", self.llm.name
        if self.llm.backend.local and isinstance(self.other, Weighing):
            acts, sure = self.other.weighed(heard)
            if acts and sure >= SURE:
                self.last = self.other.name
                return acts
        if not self._over:
            values = {"timeline": heard.timeline or "empty", "history": list(heard.history), "request": heard.request}
            try:
                found = self.llm.ask(
                    prompt("chat_turn"), values, TurnAnswer, temperature=0.0, tokens=TOKENS,
                    check=lambda answer: _check(answer, heard),
                )[0].value  # fmt: skip
            except LlmFailed as e:
                self._over = e.lasting
                self._tell(f"{e}; {self.other.name} reads instead")
            else:
                if found.acts.strip():
                    return possible(found.acts, heard)
                self.asked = " ".join(found.ask.split())
                return None
        acts = self.other.understand(heard)
        self.last = getattr(self.other, "last", self.other.name)
        return acts


def _check(answer: TurnAnswer, heard: Heard) -> None:
    """Raises Malformed for acts that are none, or cannot be meant, and for an answer without acts and question."""
    if not answer.acts.strip():
        if not answer.ask.strip() or not answer.ask.isprintable():
            raise Malformed("neither acts nor a question back")
        return
    try:
        acts = read(answer.acts)
    except UserError as e:
        raise Malformed(str(e)) from None
    if (reason := why_not(acts, heard) or unsaid(acts, heard)) or possible(answer.acts, heard) is None:
        raise Malformed(reason or "a caption that says the same over and over")
