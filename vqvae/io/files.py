"""Files and folders: bounded reading of regular files, atomic writing, scratch folders and locks.

Readers raise `UserError` in one line whatever a file contains. A written file appears under its name when it is
complete, whoever else reads or writes that name.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vqvae import errors
from vqvae.errors import LockedError, UserError, WriteError

if sys.platform == "win32":
    fcntl = None
else:
    import fcntl

MAX_REASON = 200  # characters of a library's message that are repeated
# part of every temporary name: ``.STEM.avatargpt-0123456789abcdef.tmp.SUFFIX``
MARK = ".avatargpt-"
TRIES = 10
STALE = 24 * 3600.0  # s without a change after which a temporary counts as abandoned, on systems without locks
PROBE = 1 << 20  # bytes written to learn whether the disk is full
LOCK = ".lock"

_swept: set[str] = set()


def _hint(accepted: str) -> str:
    return f"; {accepted}" if accepted else ""


def regular_file(path: str | os.PathLike[str], accepted: str = "") -> Path:
    """The path of a regular file; reading a pipe might never end, and a device has no size.

    Raises:
        UserError: no such file, a folder, a pipe, a device; with `accepted`, what is needed.
    """
    path = Path(path)
    hint = _hint(accepted)
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path}: no such file{hint}") from None
    except OSError as e:
        raise UserError(f"{path}: cannot be read ({e.strerror or e}){hint}") from None
    except ValueError as e:  # a NUL in the name
        raise UserError(f"{path}: not the name of a file ({e}){hint}") from None
    if stat.S_ISDIR(mode):
        raise UserError(f"{path}: is a folder{hint or '; a file is needed'}")
    if not stat.S_ISREG(mode):
        raise UserError(f"{path}: not a regular file (a pipe or a device); accepted: a file{hint}")
    errors.last_read = path
    return path


def read_bytes(path: str | os.PathLike[str], limit: int, accepted: str = "") -> bytes:
    """The bytes of a regular file of at most `limit` bytes."""
    path = regular_file(path, accepted)
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(size + 1) if size <= limit else None
            if data is not None and len(data) > size:  # it has grown since, or tells no size as in /proc
                data += file.read(limit + 1 - len(data))
    except OSError as e:
        raise UserError(f"{path}: cannot be read ({e.strerror or e}){_hint(accepted)}") from None
    if data is None or len(data) > limit:
        most = f"{limit >> 20} MiB" if limit >= 1 << 20 else f"{limit} bytes"
        raise UserError(f"{path}: larger than {most}{_hint(accepted)}")
    return data


def read_text(path: str | os.PathLike[str], limit: int, accepted: str = "", latin: bool = False) -> str:
    """The UTF-8 text of a regular file, or its Latin-1 where `latin`, without a byte order mark. Raises UserError as
    `read_bytes`."""
    data = read_bytes(path, limit, accepted)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        if not latin:
            raise UserError(f"{path}: not UTF-8 text (byte {e.start}){_hint(accepted)}") from None
        text = data.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


@contextmanager
def parsing(path: str | os.PathLike[str], kind: str, accepted: str = "") -> Iterator[None]:
    """Report whatever goes wrong while the contents of a file are parsed as that file's fault, in one line.

    Args:
        path: the file, for the message. kind: what it should be: ``a session``. accepted: what is accepted, in words.

    Raises:
        UserError: `path: not KIND (reason)`; one from inside gets the path in front.
    """
    try:
        yield
    except UserError as e:
        # quotes of the file may have several lines
        message, folder = " ".join(str(e).splitlines()), f"{Path(path).parent}{os.sep}"
        named = str(path) in message or message.startswith(folder)
        raise UserError(message if named else f"{path}: {message}") from None
    except Exception as e:
        if errors.out_of_memory(e):  # no fault of what is in the file
            raise UserError(f"{path}: cannot be read (out of memory)") from None
        if isinstance(e, OSError) and e.strerror:
            raise UserError(f"{path}: cannot be read ({e.strerror}){_hint(accepted)}") from None
        raise UserError(f"{path}: not {kind} ({reason(e)}){_hint(accepted)}") from None
    except BaseException as e:
        if type(e).__name__ != "PanicException":  # raised by libraries in Rust for their own errors
            raise
        raise UserError(f"{path}: not {kind} ({reason(e)}){_hint(accepted)}") from None


def reason(error: BaseException) -> str:
    """One line of an exception's message."""
    if errors.out_of_memory(error):
        return "larger than the memory"
    if text := getattr(error, "strerror", None):  # of OSError, and of FFmpeg's errors
        return str(text)
    if isinstance(error, KeyError):
        return f"no {str(error)[:MAX_REASON]}"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0].strip()[:MAX_REASON] if lines else type(error).__name__


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def user_cache() -> Path:
    """The user's folder for what can be made or fetched again: below ``$XDG_CACHE_HOME``, else ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "avatargpt"


def real_path(path: str | os.PathLike[str]) -> Path:
    """The absolute path without links, as far as they lead anywhere: links in a circle stay."""
    return Path(os.path.realpath(path))


def output_file(path: str | os.PathLike[str]) -> Path:
    """The file that is written under a name: what it leads to where it is a link, there or not.

    Raises:
        UserError: a folder, a pipe, a device, links in a circle, or no name of a file.
    """
    try:
        target = real_path(path)
        mode = target.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return target
    except (OSError, ValueError) as e:  # ValueError: a NUL in the name
        raise UserError(f"cannot write {path}: {reason(e)}") from None
    if stat.S_ISDIR(mode):
        raise UserError(f"{path}: is a folder; a file name is needed")
    if not stat.S_ISREG(mode):
        raise UserError(f"{path}: not a regular file (a pipe or a device); accepted: a file, also through a link")
    return target


def check_place(path: str | os.PathLike[str]) -> None:
    """Raises UserError where the folder of a new file or folder can neither be written nor made."""
    folder = real_path(path).parent
    while not os.path.lexists(folder):
        folder = folder.parent
    if not folder.is_dir():
        raise UserError(f"cannot write {path}: {folder} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"cannot write {path}: no permission to write in {folder}")


def check_output(path: str | os.PathLike[str]) -> None:
    """Raises UserError where `atomic_write` of this file would fail, before any work is done for it."""
    check_place(output_file(path))


def atomic_write(path: str | os.PathLike[str], write: Callable[[Path], object]) -> Path:
    """Call ``write(temporary path in the same folder)``, then rename that file to `path`, or to what it links to.

    Any number of threads and processes, on any number of machines, may write one path: each has its own temporary
    file, and readers see one of the complete files. A failure leaves nothing behind; temporaries of dead processes are
    removed by the next writer. The temporary name keeps the suffix, in lower case. The mode follows the umask.

    Raises:
        WriteError: the folder is missing or cannot be written, or the disk is full.
        UserError: as `output_file`.
    """
    name, path = Path(path), output_file(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # temporaries of dead processes are removed by whoever writes next
        sweep(path.parent)
        handle, temporary = _temporary(path)
    except OSError as e:
        raise WriteError(f"cannot write {name}: {e.strerror or e}") from None
    try:
        mode = os.fstat(handle).st_mode  # as the umask has it, which cannot be read without being changed
        if fcntl is None:
            os.close(handle)  # an open file can be neither opened again nor renamed there
        try:
            write(temporary)
        except Exception as e:
            raise_disk_error(temporary, e)
            raise
        # The contents are on the disk before the name is.
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        # Some writers set a mode of their own: files of safetensors are readable by nobody else.
        if temporary.stat().st_mode != mode:
            temporary.chmod(mode)
        os.replace(temporary, path)
    except OSError as e:
        raise WriteError(f"cannot write {name}: {e.strerror or e}") from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if fcntl is not None:
            os.close(handle)
    return name


def _temporary(path: Path) -> tuple[int, Path]:
    """A new empty file beside `path`, open and locked."""
    stem = path.stem.encode(errors="ignore")[:100].decode(errors="ignore")  # names have a maximum length
    for _ in range(TRIES):
        # Many writers choose the format by the suffix.
        temporary = path.with_name(f".{stem}{MARK}{secrets.token_hex(8)}.tmp{path.suffix.lower()}")
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_CLOEXEC", 0), 0o666)
        if fcntl is None:
            return handle, temporary
        with suppress(OSError):  # some network file systems have no locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:  # another process may have swept it before it was locked
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
            _remove_stale(Path(file))


def _lock(path: Path, flags: int) -> int:
    """An open handle that locks a file or folder. Raises OSError where another process has the lock."""
    assert fcntl is not None
    handle = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle


def _remove_stale(path: Path, folder: bool = False) -> None:
    """Remove a temporary file or folder that no process is writing. Raises OSError where one is."""
    if fcntl is None:
        if time.time() - path.stat().st_mtime <= STALE:
            return
        handle = None
    else:
        handle = _lock(path, os.O_RDONLY if folder else os.O_RDWR)
    try:
        if folder:
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
    finally:
        if handle is not None:
            os.close(handle)


def raise_disk_error(path: Path, error: Exception) -> None:
    """Raise the system's own error if the file takes no more bytes: libraries hide that reason for their failure."""
    if isinstance(error, OSError):
        return
    with open(path, "ab", buffering=0) as file:
        left = PROBE
        while left:
            left -= file.write(bytes(left))
        os.fsync(file.fileno())


@contextmanager
def scratch_folder(folder: Path, stem: str) -> Iterator[Path]:
    """An empty temporary folder ``.STEM.avatargpt-0123456789abcdef.tmp`` in `folder`, locked while in use, then
    removed.

    `folder` is created if need be; scratch folders of dead processes are removed first.
    """
    temporary = folder / f".{stem}{MARK}{secrets.token_hex(8)}.tmp"
    handle: int | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f".{stem}{MARK}*.tmp"):
            with suppress(OSError):
                _remove_stale(left, folder=True)
        temporary.mkdir()
        handle = None if fcntl is None else _lock(temporary, os.O_RDONLY)
        try:
            yield temporary
        except Exception as e:
            raise_disk_error(temporary / "probe", e)
            raise
    except OSError as e:
        raise WriteError(f"cannot write {folder}: {e.strerror or e}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if handle is not None:
            os.close(handle)


@contextmanager
def folder_lock(folder: Path, busy: str, name: str = LOCK, wait: bool = False) -> Iterator[None]:
    """Hold the lock of an existing folder against other processes. The thread that holds it may take it again.

    Args:
        busy: message where another process holds it. wait: for the other process, instead of refusing.

    Raises:
        UserError: another process holds it (`LockedError`), or the file cannot be written.
    """
    from filelock import FileLock, Timeout

    try:
        lock = FileLock(folder.resolve() / name, timeout=-1 if wait else 0, is_singleton=True)
        lock.acquire()
    except Timeout:
        raise LockedError(f"{folder}: {busy}") from None
    except OSError as e:
        raise UserError(f"cannot write {folder / name}: {e.strerror or e}") from None
    try:
        yield
    finally:
        lock.release()
