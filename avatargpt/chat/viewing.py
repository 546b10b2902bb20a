"""Showing pictures: contact sheets of a turn, opened in the desktop's own viewer where there is a desktop."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from avatargpt.chat.timeline import FPS, Timeline

SHEET_ROWS = 12
TURN = "turn.png"  # the picture of a turn, among the previews


def desktop() -> bool:
    """Whether a picture can be shown to somebody."""
    if sys.platform in ("darwin", "win32"):
        return not os.environ.get("SSH_CONNECTION")
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")) and bool(shutil.which("xdg-open"))


def open_file(path: Path) -> bool:
    """Hand a file to the desktop and go on at once; False where there is none."""
    if not desktop():
        return False
    if sys.platform == "win32":
        os.startfile(path)
        return True
    command = "open" if sys.platform == "darwin" else "xdg-open"
    subprocess.Popen(
        [command, str(path)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    return True


def sheet(state: Timeline, path: Path) -> Path:
    """One row of poses per segment, the last `SHEET_ROWS` of them, as a PNG.

    Raises:
        UserError: nothing was made yet, or the file cannot be written.
    """
    from avatargpt.export import contact_sheet

    whole = state.round
    rows = list(enumerate(zip(state.segments, state.spans, strict=True), 1))[-SHEET_ROWS:]
    clips = [whole.slice(a, b) for _, (_, (a, b)) in rows]
    captions = [f"{n}  {s.caption}  ({a / FPS:.1f} s)" for n, (s, (a, _)) in rows]
    contact_sheet(clips, captions, path)
    return path
