"""What every reader of files goes through: regular files of a bounded size, one line for all that may be in them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vqvae.errors import UserError

MOST_REASON = 200  # characters of a library's words that are repeated

last: Path | None = None
"""The last file that a reader began with, for reports of defects."""


def regular(path: str | os.PathLike[str], needed: str = "") -> Path:
    """The path of a regular file; a pipe would be waited for without end, a device has none.

    Args:
        needed: what the file should be, for the message.

    Raises:
        UserError: no such file, a folder, a pipe, a device.
    """
    global last
    path = Path(path)
    more = f"; {needed}" if needed else ""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path}: no such file{more}") from None
    except OSError as e:
        raise UserError(f"{path}: cannot be read ({e.strerror or e}){more}") from None
    except ValueError as e:  # a NUL in the name
        raise UserError(f"{path}: not the name of a file ({e}){more}") from None
    if stat.S_ISDIR(mode):
        raise UserError(f"{path}: is a folder; a file is needed{more}")
    if not stat.S_ISREG(mode):
        raise UserError(f"{path}: not a regular file (a pipe or a device); accepted: a file{more}")
    last = path
    return path


def read_bytes(path: str | os.PathLike[str], most: int, needed: str = "") -> bytes:
    """The bytes of a regular file of at most `most`.

    Raises:
        UserError: as `regular`; also one that is larger, or cannot be read.
    """
    more = f"; {needed}" if needed else ""
    path = regular(path, needed)
    try:
        with path.open("rb") as file:
            data = file.read() if os.fstat(file.fileno()).st_size <= most else None
    except OSError as e:
        raise UserError(f"{path}: cannot be read ({e.strerror or e}){more}") from None
    if data is None or len(data) > most:
        size = f"{most >> 20} MiB" if most >= 1 << 20 else f"{most} bytes"
        raise UserError(f"{path}: larger than {size}{more}")
    return data


def read_text(path: str | os.PathLike[str], most: int, needed: str = "") -> str:
    """The UTF-8 text of a regular file, without a byte order mark. Raises UserError as `read_bytes`."""
    data = read_bytes(path, most, needed)
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as e:
        raise UserError(f"{path}: not UTF-8 text (byte {e.start}){'; ' * bool(needed)}{needed}") from None


@contextmanager
def understanding(where: str | os.PathLike[str], what: str, accepted: str = "") -> Iterator[None]:
    """Whatever goes wrong while the contents of a file are taken apart is the file's fault, and told in one line.

    Damaged contents make the libraries below raise everything there is: AttributeError, OverflowError, RecursionError,
    SystemError, ... Only taking apart belongs in the block, no work on what was read.

    Args:
        where: the file, for the message. what: it should be: ``a session``. accepted: what is, in words.

    Raises:
        UserError: `where: not WHAT (reason)`; one from inside gets the name of the file before it.
    """
    more = f"; {accepted}" if accepted else ""
    try:
        yield
    except UserError as e:
        said, folder = str(e), f"{Path(where).parent}{os.sep}"
        raise (e if str(where) in said or said.startswith(folder) else UserError(f"{where}: {said}")) from None
    except Exception as e:
        if isinstance(e, OSError) and e.strerror:
            raise UserError(f"{where}: cannot be read ({e.strerror}){more}") from None
        raise UserError(f"{where}: not {what} ({reason(e)}){more}") from None
    except BaseException as e:
        if type(e).__name__ != "PanicException":  # what libraries in Rust raise for their own slips
            raise
        raise UserError(f"{where}: not {what} ({reason(e)}){more}") from None


def reason(error: BaseException) -> str:
    """One line of an exception's words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, KeyError):
        return f"no {str(error)[:MOST_REASON]}"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, MemoryError):
        return "larger than the memory"
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0].strip()[:MOST_REASON] if lines else type(error).__name__
