"""All acts: importing the modules that do them fills the table."""

from __future__ import annotations

from avatargpt.chat import answering, arranging, filing, making
from avatargpt.chat.registry import perform

__all__ = ["answering", "arranging", "filing", "making", "perform"]
