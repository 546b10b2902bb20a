"""The standard streams of a process: closed ones lead nowhere, and standard error loses what it cannot write."""

from __future__ import annotations

import io
import os
import sys
from typing import Any


class _Lossy(io.FileIO):
    """A file whose writing never fails."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


def open_streams() -> None:
    """Make the streams of this process usable, whatever it was started with; to be called before any file is opened.

    A closed one is opened on the null device: the next file would get its number otherwise, and all that libraries
    print. `sys.stdin` stays None where it was closed. Notes and errors that cannot be written (the disk is full, the
    terminal has gone, nobody reads) end no run.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number is this one
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    encoding = "utf-8" if sys.stderr is None else sys.stderr.encoding
    file = io.BufferedWriter(_Lossy(2, "w", closefd=False))
    sys.stderr = io.TextIOWrapper(file, encoding, "backslashreplace", line_buffering=True)
