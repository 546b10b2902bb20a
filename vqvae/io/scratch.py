"""A folder to build several files in before they take their places; what a killed process left goes."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vqvae.errors import UserError
from vqvae.io.atomic import MARK, STALE, raise_cause

if sys.platform == "win32":
    fcntl = None
else:
    import fcntl


@contextmanager
def scratch(folder: Path, stem: str) -> Iterator[Path]:
    """An empty folder inside `folder` (made if need be), gone at the end.

    It is locked while this lasts, so that those of processes which were killed are told apart; they are removed first.

    Args:
        stem: of its name, ``.STEM.avatargpt-0123456789abcdef.tmp``.

    Raises:
        UserError: the folder cannot be written, or the disk is full.
    """
    temporary = folder / f".{stem}{MARK}{secrets.token_hex(8)}.tmp"
    handle: int | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f".{stem}{MARK}*.tmp"):
            with suppress(OSError):
                _remove_stale(left)
        temporary.mkdir()
        handle = _locked(temporary)
        try:
            yield temporary
        except Exception as e:  # libraries hide the system's reason
            raise_cause(temporary / "probe", e)
            raise
    except OSError as e:
        raise UserError(f"cannot write {folder}: {e.strerror or e}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if handle is not None:
            os.close(handle)


def _locked(folder: Path) -> int | None:
    """An open handle that locks a folder; None where there are no such locks. Raises OSError: another has it."""
    if fcntl is None:
        return None
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle


def _remove_stale(folder: Path) -> None:
    """Remove a folder that no process is writing. Raises OSError: one is."""
    if fcntl is None:
        if time.time() - folder.stat().st_mtime > STALE:
            shutil.rmtree(folder, ignore_errors=True)
        return
    handle = _locked(folder)
    try:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        if handle is not None:
            os.close(handle)
