"""A model folder that is like another but for some parts: what was not trained is inherited file by file."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vqvae.errors import UserError
from vqvae.io.files import atomic_write

ABOUT = "finetune.json"  # what a folder was made of, and its figures


def check_new(out: Path, where: str = "-o") -> None:
    """Raises UserError where a model folder cannot be written: something is there, or the folder above is none."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{where} {out}: is there already; accepted: a new folder")
    above = out.absolute().parent
    while not above.exists():
        above = above.parent
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise UserError(f"cannot write {out}: {above} is not a folder that can be written in")


def inherit(start: Path, out: Path, change: Callable[[Path], Mapping[str, Any]]) -> dict[str, Any]:
    """Copy a model folder, change the copy, and put it in its place once it is whole.

    Args:
        change: writes its parts into the copy; what it returns is kept in `ABOUT`.

    Raises:
        UserError: the folder cannot be written.
    """
    temporary = out.absolute().with_name(f".{out.name}.{secrets.token_hex(8)}.tmp")
    try:
        shutil.copytree(start, temporary, ignore=shutil.ignore_patterns("__pycache__", ".lock", ".library.lock"))
        about = dict(change(temporary))
        text = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
        atomic_write(temporary / ABOUT, lambda p: p.write_text(text, encoding="utf-8"))
        if out.is_dir():
            out.rmdir()  # empty, as `check_new` saw
        os.replace(temporary, out)
    except OSError as e:
        raise UserError(f"cannot write {out}: {e.strerror or e}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return about


def run_folder(out: Path) -> Path:
    """Where an unfinished run keeps its checkpoint, beside the folder that it will make."""
    return out.with_name(f"{out.name}.run")
