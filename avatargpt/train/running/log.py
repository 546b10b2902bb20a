"""What a run reports: JSON lines in a file, the same on the terminal, and a progress bar."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avatargpt.train.running.watch import Watcher
from vqvae.errors import UserError

LONGEST = 1 << 20  # bytes that the last line is looked for in


class Log:
    """Appends one JSON line per report to a file and prints it; on a terminal a progress bar runs on stderr.

    Figures that are not finite are left out.

    Raises (when called):
        UserError: the file cannot be written, or the disk is full.

    Args:
        path: the file; a resumed run goes on in it.
        main: whether this process reports at all.
        total, done: steps of the whole run and those already behind it; without `total` there is no bar.
        watchers: who is told as well.
    """

    def __init__(
        self, path: Path, main: bool, total: int = 0, done: int = 0, watchers: Sequence[Watcher] = ()
    ) -> None:  # fmt: skip
        self.path, self.main, self.begin = path, main, time.time()
        self.total, self.done, self.watchers = total, done, watchers
        self._bar: Any = None
        if not main:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        _mend(path)
        if total and sys.stderr.isatty():
            self._bar = _bar(total, done)

    def __call__(self, **values: Any) -> None:
        if not self.main:
            return
        # JSON has no number for a figure of nothing, such as a mean over no rows
        row = {k: round(v, 5) if isinstance(v, float) else v for k, v in values.items() if math.isfinite(v)}
        for watcher in self.watchers:
            watcher.figures(int(row.get("step", 0)), {k: float(v) for k, v in row.items() if k != "step"})
        row["minutes"] = round((time.time() - self.begin) / 60, 2)
        try:
            with self.path.open("a") as f:
                f.write(json.dumps(row) + "\n")
        except OSError as e:
            raise UserError(f"cannot write {self.path}: {e.strerror or e}") from None
        if self._bar is None or not sys.stdout.isatty():  # lines would tear the bar apart; the file has them all
            print(json.dumps(row), flush=True)

    def picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        """Show a picture (H, W, 3) uint8 to those who watch."""
        for watcher in self.watchers:
            watcher.picture(step, name, pixels)

    def advance(self, loss: torch.Tensor) -> None:
        """One more step is done, with this loss."""
        if self._bar is not None:
            self._bar.update(0, advance=1, loss=f"{float(loss.detach()):.4f}")

    def close(self) -> None:
        """Take the bar off the terminal."""
        if self._bar is not None:
            self._bar.stop()
        for watcher in self.watchers:
            watcher.close()


def _mend(path: Path) -> None:
    """Take a last line without an end out of a log: a disk that was full has cut it off."""
    if not path.is_file():
        return
    with path.open("rb+") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - LONGEST))
        tail = file.read()
        if tail and not tail.endswith(b"\n"):
            print(f"note: {path}: its last line was cut off; it is left out", file=sys.stderr)
            file.truncate(size - len(tail) + tail.rfind(b"\n") + 1)


def _bar(total: int, done: int) -> Any:
    """A started rich bar on stderr: steps, loss, time spent, time left."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    bar = Progress(
        TextColumn("step"), MofNCompleteColumn(), BarColumn(), TextColumn("loss {task.fields[loss]}"),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
        console=Console(stderr=True), redirect_stdout=False, redirect_stderr=False,
    )  # fmt: skip
    bar.start()
    bar.add_task("training", total=total, completed=done, loss="-")
    return bar
