"""Which reading of a turn counts: the reader's (the default), or the language model's own."""

from __future__ import annotations

from typing import Any

from avatargpt.chat.intent import Intent, ModelIntent
from avatargpt.chat.turning import TurnIntent
from vqvae.errors import UserError

INTENTS = ("turns", "network")


def open_intent(model: Any, kind: str = "turns") -> Intent:
    """How this model's conversations understand turns.

    Args:
        model: an `avatargpt.AvatarGPT`; its folder may hold the reader of requests.
        kind: one of `INTENTS`. "turns" is the default: it heard more turns rightly (docs/chat.md).

    Raises:
        UserError: an unknown kind, or a reader that is not there.
    """
    if kind not in INTENTS:
        raise UserError(f"intent {kind!r}; accepted: {', '.join(INTENTS)}")
    if kind == "network":
        return ModelIntent(model)
    book = model.phrase_index
    if book is None or book.reader is None or model.grounder is None:
        raise UserError(f"{model.source}: no reader of requests in this folder; accepted: --intent network")
    return TurnIntent(book.reader, model.grounder)
