"""`UserError`, and how any exception is reported: one line of printable text and an exit status."""

from __future__ import annotations

import os
import traceback
import unicodedata
from pathlib import Path

# environment variable that shows tracebacks; the command line sets it for ``--debug``
DEBUG = "AVATARGPT_DEBUG"
_PACKAGES = ("avatargpt", "instruct_data", "vqvae")
_CONTROL_CATEGORIES = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # controls, direction marks, surrogates, line ends
_HARMLESS_CONTROLS = "\n\t\u200c\u200d"  # the joiners belong to emoji and to Persian

# how the system (also while it loads a library), torch, CUDA, C++ and Python say that there is no memory left
_NO_MEMORY = (
    "cannot allocate memory", "can't allocate memory", "failed to map segment from shared object", "out of memory",
    "bad_alloc", "can't start new thread",
)  # fmt: skip

# the file that was last opened for reading, for reports of defects
last_read: Path | None = None


class UserError(ValueError):
    """Something the user can mend, in one line: what was wrong, where, and what is accepted.

    The command line prints it as ``error: ...`` and exits with status 2, without a traceback.
    """


class WriteError(UserError):
    """A file that the system did not let be written: the disk is full, the folder has gone, no permission."""


class LockedError(UserError):
    """A folder that another process works in."""


class OutOfTime(UserError):
    """Work that met its limit of time; what was done before stays."""


def out_of_memory(error: BaseException) -> bool:
    """Whether the system refused memory: libraries report that by errors of their own, in a few words of theirs."""
    chain: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in chain:
        chain.append(following)
        following = following.__cause__ or following.__context__
    return any(isinstance(e, MemoryError) or any(w in str(e).lower() for w in _NO_MEMORY) for e in chain)


def printable(text: str) -> str:
    """Text with characters that control a terminal escaped as in JSON, but line ends and tabs."""
    # Names and captions come from files, and a terminal obeys them: ``\x1b]0;...`` renames its window.
    if text.isprintable():
        return text

    def escape_character(c: str) -> str:
        if c in _HARMLESS_CONTROLS or unicodedata.category(c) not in _CONTROL_CATEGORIES:
            return c
        units = c.encode("utf-16-be", "surrogatepass")
        return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))

    return "".join(map(escape_character, text))


def one_line(text: str) -> str:
    """Printable text in one line."""
    return printable(" ".join(text.split()))


def error_line(error: BaseException) -> tuple[str, int]:
    """The text after ``error:`` for an exception, and the exit status; with `DEBUG` set, prints a traceback."""
    if os.environ.get(DEBUG):
        traceback.print_exception(error)
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", 130
    if isinstance(error, UserError):
        return one_line(str(error)), 2
    if out_of_memory(error):
        return "out of memory; shorter motions or fewer texts at once need less", 2
    if isinstance(error, OSError):
        reason = error.strerror or str(error) or type(error).__name__
        file = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        return one_line(file + reason), 2
    # no check foresaw this one
    reason = (str(error).splitlines() or [""])[0][:200]
    file = f"; the last file read was {last_read}" if last_read is not None else ""
    return one_line(
        f"{type(error).__name__}{': ' * bool(reason)}{reason}{_innermost_line(error)}{file}. This is a defect of "
        f"AvatarGPT: please report it with the command, the file, and what `avatargpt --debug ...` (or {DEBUG}=1) "
        "prints"
    ), 2


def _innermost_line(error: BaseException) -> str:
    """`` in module.py:12``: the innermost line of this project's code."""
    home = Path(__file__).resolve().parents[1]  # a clone may be called like a package itself
    frames = [(f, Path(f.filename).resolve()) for f in traceback.extract_tb(error.__traceback__)]
    ours = [f for f, path in frames if any(path.is_relative_to(home / name) for name in _PACKAGES)]
    return f" in {Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""
