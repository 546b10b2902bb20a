"""The one place where commands print: what they say steers no terminal."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from vqvae.errors import printable


def say(text: object = "", err: bool = False) -> None:
    """Print a line (or several) of results on stdout, of notes on stderr."""
    typer.echo(printable(str(text)), err=err)


def warn(line: str) -> None:
    """Print the one line of something that was done without."""
    say(f"warning: {line}", err=True)


def fail(message: str, status: int = 2) -> int:
    """Print the one line of a mistake, and return the exit status."""
    print(f"error: {message}", file=sys.stderr)
    return status


@contextmanager
def heeding() -> Iterator[None]:
    """Says on stderr which texts do not show in what is made."""
    from avatargpt.options import UnheededText

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UnheededText)
        yield
    for one in caught:
        if issubclass(one.category, UnheededText):
            warn(str(one.message))
