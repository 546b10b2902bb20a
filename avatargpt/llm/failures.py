"""What goes wrong with language models."""

from __future__ import annotations

from vqvae.errors import UserError


class Malformed(ValueError):
    """An answer that is not what was asked for; the message says why, in words for who answered."""


class LlmFailed(UserError):
    """No answer that can be used: who asked may go on with what there is without a language model.

    Attributes:
        lasting: whether the next question would most likely fail, too (nobody there, bounds used up).
    """

    def __init__(self, message: str, lasting: bool = True) -> None:
        super().__init__(message)
        self.lasting = lasting
