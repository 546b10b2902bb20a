"""The one lock of a folder: it belongs to a process until that lets it go or ends, however it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vqvae.errors import UserError

LOCK = ".lock"


@contextmanager
def held(folder: Path, busy: str, name: str = LOCK, wait: bool = False) -> Iterator[None]:
    """While this lasts, no other process holds the folder. The thread that holds it may do so again.

    The system locks an open file in the folder, so a process that is killed leaves nothing behind that would have to
    be removed; the file itself stays.

    Args:
        folder: must be there. busy: what is said where another process has it.
        wait: for the other process, instead of refusing.

    Raises:
        UserError: another process has it, or the file cannot be written.
    """
    from filelock import FileLock, Timeout

    try:
        lock = FileLock(folder.resolve() / name, timeout=-1 if wait else 0, is_singleton=True)
        lock.acquire()
    except Timeout:
        raise UserError(f"{folder}: {busy}") from None
    except OSError as e:
        raise UserError(f"cannot write {folder / name}: {e.strerror or e}") from None
    try:
        yield
    finally:
        lock.release()
