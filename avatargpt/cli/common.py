"""Options and arguments that several commands share, the checks of their values, and loading the model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avatargpt.cli.output import progress, say, warn
from avatargpt.options import MAX_SECONDS, MIN_SECONDS, is_text
from vqvae.errors import UserError
from vqvae.io.files import read_text

if TYPE_CHECKING:
    from avatargpt.api import AvatarGPT
    from avatargpt.llm import LanguageModel

MAX_CHARACTERS = 1000
MAX_TEXTS = 10_000


def option(declaration: str, description: str, **details: Any) -> Any:
    """A command-line option.

    Args:
        declaration: its names and the placeholder of its value, such as ``-n --num K``; a flag has no placeholder.
        details: of `typer.Option`, such as ``min`` and ``max``.
    """
    words = declaration.split()
    names = [word for word in words if word.startswith("-")]
    return typer.Option(*names, metavar=" ".join(words[len(names) :]) or None, help=description, **details)


def argument(placeholder: str, description: str) -> Any:
    """A command-line argument."""
    return typer.Argument(metavar=placeholder, help=description)


def _show_all_options(context: typer.Context, value: bool) -> None:
    if value:
        for parameter in context.command.params:
            parameter.hidden = False  # type: ignore[attr-defined]
        say(context.get_help())
        raise typer.Exit


_SEED = option("--seed N", "Same seed, same result.", min=0, max=2**32 - 1)
_OUTPUT = option("-o --output FILE", "Where to write; the suffix is the format. Repeatable.")
_LLM = "A language model that helps: https://..., endpoint, gguf:FILE, hf:FOLDER."
_LLM_LIMITS = "Its bounds: seconds, total, answer, tokens, price, money, samples."
Seed = Annotated[int, _SEED]
AnySeed = Annotated[int | None, _SEED]
Outputs = Annotated[list[Path], _OUTPUT]
AnyOutputs = Annotated[list[Path] | None, _OUTPUT]
Model = Annotated[Path | None, option("--model FOLDER", "Weights to use instead of the packaged ones.")]
Device = Annotated[str | None, option("--device NAME", "cpu, cuda, cuda:1 ...")]
Dtype = Annotated[
    str | None, option("--dtype float32|bfloat16", "Of matrix products; float32 repeats a seed everywhere.")
]
Threads = Annotated[int | None, option("--threads N", "CPU threads to use.", min=1, max=256)]
Quiet = Annotated[bool, option("--quiet -q", "No progress bar.")]
Json = Annotated[bool, option("--json", "Print JSON.")]
HelpAll = Annotated[bool, option("--help-all", "Show every option.", is_eager=True, callback=_show_all_options)]
Llm = Annotated[str, option("--llm SPEC", _LLM, envvar="AVATARGPT_LLM")]
LlmLimits = Annotated[str, option("--llm-limits K=N,..", _LLM_LIMITS, envvar="AVATARGPT_LLM_LIMITS")]


def text_file(argument: str | None) -> Path | None:
    """The file that a TEXT argument names as ``@FILE``, None where it names none."""
    return Path(argument[1:]) if argument is not None and argument.startswith("@") else None


def read_texts(argument: str, emoji: bool = False) -> tuple[list[str], bool]:
    """The texts that a TEXT argument stands for.

    Args:
        argument: a text, or ``@FILE`` for a UTF-8 file with one text per line (blank lines are skipped).
        emoji: whether a text may be of emoji alone.

    Returns:
        The texts, and whether they came from a file (then results are written as a batch).
    """
    path = text_file(argument)
    if path is None:
        return [_check_text(argument, "TEXT", emoji)], False
    lines = read_text(path, MAX_TEXTS * MAX_CHARACTERS, "accepted a text file with one text per line").splitlines()
    texts = [_check_text(line, f"{path} line {n}", emoji) for n, line in enumerate(lines, 1) if line.strip()]
    if not 0 < len(texts) <= MAX_TEXTS:
        raise UserError(f"{path}: {len(texts)} texts; accepted 1 to {MAX_TEXTS}, one per line")
    return texts, True


def warn_unreadable(texts: Sequence[str]) -> None:
    """Say on stderr which texts are not in the one language that the weights know, or have no word."""
    from avatargpt.requests.english import unreadable

    for text in texts:
        if reason := unreadable(text):
            warn(f"{text[:60]!r} {reason}")


def _check_text(text: str, where: str, emoji: bool = False) -> str:
    from avatargpt.requests.english import is_emoji

    text = " ".join(text.split())
    if not is_text(text):
        raise UserError(f"{where}: not UTF-8 text; accepted a description in words, or @FILE with one per line")
    if not any(c.isalnum() or (emoji and is_emoji(c)) for c in text):
        what = "signs without a word" if text else "empty text"
        raise UserError(f"{where}: {what}; accepted a description in words, or @FILE with one per line")
    if len(text) > MAX_CHARACTERS:
        raise UserError(f"{where}: {len(text)} characters; accepted at most {MAX_CHARACTERS}")
    return text


def check_seconds(seconds: float | None) -> None:
    """Refuse a length that no motion can have."""
    check_range("--seconds", seconds, MIN_SECONDS, MAX_SECONDS, " seconds")


def check_range(name: str, value: float | None, low: float, high: float, unit: str = "") -> None:
    """Refuse a value of an option outside low..high, NaN and infinity; None is accepted."""
    if value is not None and not (math.isfinite(value) and low <= value <= high):
        raise UserError(f"{name} {value:g}: accepted {low:g} to {high:g}{unit}")


def load_model(
    folder: Path | None, device: str | None, threads: int | None, quiet: bool, dtype: str | None = None,
    adapter: Path | None = None,
) -> AvatarGPT:  # fmt: skip
    """The model for one command, with an adapter's updates; a terminal shows that it is being loaded."""
    import avatargpt
    from avatargpt.lm.checkpoint import add_adapter, check_model

    check_model(folder)
    with progress("loading", quiet):
        model = avatargpt.AvatarGPT.from_pretrained(folder, device, dtype, threads)
        if adapter is not None:
            add_adapter(model.model, adapter)
        return model


def language_model(spec: str, limits: str, device: str | None, threads: int | None) -> LanguageModel | None:
    """That of ``--llm``, loaded with its first question; None where none is named."""
    from avatargpt.llm import Limits, load_llm

    return load_llm(spec, Limits.of(limits), True, device or "cpu", threads) if spec.strip() else None
