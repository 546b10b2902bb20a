"""The one writer of files: a file appears under its name when it is whole, whoever else writes or reads it."""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from vqvae.errors import UserError

if sys.platform == "win32":
    fcntl = None
else:
    import fcntl

MARK = ".avatargpt-"
"""What every temporary name has: ``.STEM.avatargpt-0123456789abcdef.tmp.SUFFIX``."""
TRIES = 10
STALE = 24 * 3600.0  # s without a change after which an unlocked temporary is nobody's, where locks cannot tell
PROBE = 1 << 20  # bytes that are written more to learn why a library could not go on

_swept: set[str] = set()


def atomic_write(path: str | os.PathLike[str], write: Callable[[Path], object]) -> Path:
    """Call ``write(temporary path in the same folder)``, then put that file in the place of `path`.

    Any number of threads and processes, on any number of machines, may write one path: each has a temporary file of
    its own, and readers see one of the whole files. A failure leaves nothing behind; what an ended process left
    is removed when another first writes into the folder (a temporary file is locked while somebody writes it). The
    contents are on the disk before the name is. The temporary name keeps the suffix, in lower case: many writers
    choose the format by it, and numpy adds it to a name without one. Others may read the file as far as the umask lets
    them, whatever `write` thinks (safetensors: nobody).

    Raises:
        UserError: the folder is missing or cannot be written, or the disk is full.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        handle, temporary = _temporary(path)
    except OSError as e:
        raise UserError(f"cannot write {path}: {e.strerror or e}") from None
    try:
        mode = os.fstat(handle).st_mode  # as the umask has it, which cannot be asked for without being changed
        if fcntl is None:
            os.close(handle)  # an open file can be neither opened again nor renamed there
        try:
            write(temporary)
        except Exception as e:  # libraries hide the system's reason (torch: RuntimeError; safetensors: an own kind)
            raise_cause(temporary, e)
            raise
        with temporary.open("rb+") as whole:
            os.fsync(whole.fileno())
        if temporary.stat().st_mode != mode:
            temporary.chmod(mode)
        os.replace(temporary, path)
    except OSError as e:
        raise UserError(f"cannot write {path}: {e.strerror or e}") from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if fcntl is not None:
            os.close(handle)
    return path


def _temporary(path: Path) -> tuple[int, Path]:
    """A new empty file beside `path` under a name of its own, open and locked."""
    stem = path.stem.encode(errors="ignore")[:100].decode(errors="ignore")  # longer names have room for no more
    for _ in range(TRIES):
        temporary = path.with_name(f".{stem}{MARK}{secrets.token_hex(8)}.tmp{path.suffix.lower()}")
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_CLOEXEC", 0), 0o666)
        if fcntl is None:
            return handle, temporary
        with suppress(OSError):  # some network file systems have no locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:  # nobody swept it away between its making and its locking
            return handle, temporary
        os.close(handle)
    raise OSError("temporary files are removed as soon as they are made")


def sweep(folder: Path) -> None:
    """Remove the temporary files of dead processes in a folder, once in the life of this process."""
    name = os.path.realpath(folder)
    if name in _swept:
        return
    _swept.add(name)
    with os.scandir(folder) as entries:
        left = [e.path for e in entries if MARK in e.name and e.name.startswith(".") and ".tmp" in e.name]
    for file in left:
        with suppress(OSError):
            _remove_stale(file)


def _remove_stale(file: str) -> None:
    if fcntl is None:
        if time.time() - os.stat(file).st_mtime > STALE:
            os.unlink(file)
        return
    handle = os.open(file, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # an OSError where somebody is writing it
        os.unlink(file)
    finally:
        os.close(handle)


def raise_cause(temporary: Path, error: Exception) -> None:
    """Raise the system's own error where the file takes no more bytes, which is then why a library failed."""
    if isinstance(error, OSError):
        return
    with open(temporary, "ab", buffering=0) as file:
        left = PROBE
        while left:
            left -= file.write(bytes(left))
        os.fsync(file.fileno())
