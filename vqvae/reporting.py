"""What is said to whoever gave a command: text that steers no terminal, one line for everything that went wrong."""

from __future__ import annotations

import os
import traceback
import unicodedata
from pathlib import Path

from vqvae.errors import UserError
from vqvae.io import guard

DEBUG = "AVATARGPT_DEBUG"
"""Environment variable that shows tracebacks; the command line sets it for ``--debug``."""
_PACKAGES = ("avatargpt", "instruct_data", "vqvae")
_STEERING = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # controls, formats as of direction, halves of characters, line ends
_KEPT = "\n\t\u200c\u200d"  # the joiners belong to emoji and to Persian


def printable(text: str) -> str:
    """Text without characters that steer a terminal; they are written as JSON writes them, so JSON stays JSON.

    Names and captions come from files, and a terminal obeys what is in them: ``\\x1b]0;...`` renames its window, the
    override of direction shows a name backwards. Line ends and tabs stay.
    """
    if text.isprintable():
        return text
    return "".join(_escaped(c) if unicodedata.category(c) in _STEERING and c not in _KEPT else c for c in text)


def _escaped(c: str) -> str:
    units = c.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def one_line(text: str) -> str:
    """Printable text in one line."""
    return printable(" ".join(text.split()))


def told(error: BaseException) -> tuple[str, int]:
    """What is printed after ``error:`` for an exception, in one line, and the exit status.

    What no reader and no check has foreseen is a defect of ours; the line says so, and how to report it. With `DEBUG`
    in the environment the traceback is printed before.
    """
    if os.environ.get(DEBUG):
        traceback.print_exception(error)
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", 130
    if isinstance(error, UserError):
        return one_line(str(error)), 2
    if isinstance(error, OSError):
        said = error.strerror or str(error) or type(error).__name__
        file = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        return one_line(file + said), 2
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        return "out of memory; shorter motions or fewer texts at once need less", 2
    kind, where = type(error).__name__, _place(error)
    said = (str(error).splitlines() or [""])[0][:200]
    file = f"; the last file read was {guard.last}" if guard.last is not None else ""
    return one_line(
        f"{kind}{': ' * bool(said)}{said}{where}{file}. This is a defect of AvatarGPT: please report it with the "
        f"command, the file, and what `avatargpt --debug ...` (or {DEBUG}=1) prints"
    ), 2


def _place(error: BaseException) -> str:
    """`` in module.py:12``: the innermost line of ours."""
    home = Path(__file__).resolve().parents[1]  # a clone may be called like a package itself
    found = [(f, Path(f.filename).resolve()) for f in traceback.extract_tb(error.__traceback__)]
    ours = [f for f, path in found if any(path.is_relative_to(home / name) for name in _PACKAGES)]
    return f" in {Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""
