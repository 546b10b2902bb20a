"""Options of the commands that may ask a language model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from avatargpt.cli.output import say

if TYPE_CHECKING:
    from avatargpt.language.llm import LanguageModel

Llm = Annotated[
    str,
    typer.Option(
        "--llm", envvar="AVATARGPT_LLM", metavar="SPEC",
        help="A language model that plans: https://..., endpoint, gguf:FILE or hf:FOLDER_OR_NAME.",
    ),
]  # fmt: skip
LlmLimits = Annotated[
    str,
    typer.Option(
        "--llm-limits", envvar="AVATARGPT_LLM_LIMITS", metavar="NAME=N,...",
        help="Its bounds: seconds, total, answer, tokens, price, money, samples.",
    ),
]  # fmt: skip


def opened(spec: str, limits: str, device: str | None, threads: int | None) -> LanguageModel | None:
    """The language model of the options, loaded with its first question; None = none is named.

    Raises:
        UserError: a specification or bounds that are not accepted.
    """
    if not spec.strip():
        return None
    from avatargpt.language.llm import Limits, load_llm

    return load_llm(spec, Limits.of(limits), device=device or "cpu", threads=threads)


def tell(line: str) -> None:
    """One line on stderr."""
    say(f"warning: {line}", err=True)
