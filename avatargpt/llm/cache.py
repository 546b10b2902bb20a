"""Answers kept on the disk: the same question to the same model with the same seed is not asked twice."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from vqvae.errors import UserError
from vqvae.io.data_files import read_object
from vqvae.io.files import atomic_write

MOST_BYTES, MOST_FILES = 32 << 20, 5000
LARGEST = 1 << 20
VARIABLE = "AVATARGPT_CACHE"


def cache_folder() -> Path:
    """``$AVATARGPT_CACHE/llm`` or ``~/.cache/avatargpt/llm``."""
    named = os.environ.get(VARIABLE, "").strip()
    root = Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "avatargpt"
    return root / "llm"


class AnswerCache:
    """A folder of JSON files, one per answer; those not used for longest go first.

    It is a convenience: what cannot be read is not there, and what cannot be written is not kept.

    Args:
        folder: made when it is first needed. bytes, files: at most.
    """

    def __init__(self, folder: Path | None = None, most_bytes: int = MOST_BYTES, most_files: int = MOST_FILES) -> None:
        self.folder = folder or cache_folder()
        self.most_bytes, self.most_files = most_bytes, most_files

    @staticmethod
    def key(*parts: Any) -> str:
        """SHA-256 of what makes the answer: model, prompt, schema, temperature, seed."""
        return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=True).encode()).hexdigest()

    def get(self, key: str) -> str | None:
        """What was said, or None."""
        path = self._path(key)
        try:
            said = read_object(path, LARGEST).get("said")
        except UserError:
            return None
        with suppress(OSError):
            os.utime(path)
        return said if isinstance(said, str) else None

    def put(self, key: str, said: str) -> None:
        """Keep an answer."""
        text = json.dumps({"said": said})
        if len(text) > LARGEST:
            return
        with suppress(UserError, OSError):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            atomic_write(self._path(key), lambda p: p.write_text(text, encoding="utf-8"))
            self._bound()

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.json"

    def _bound(self) -> None:
        with os.scandir(self.folder) as entries:
            rows = [(e.stat().st_mtime, e.stat().st_size, e.path) for e in entries if e.name.endswith(".json")]
        size = sum(r[1] for r in rows)
        over = sorted(rows)
        while over and (size > self.most_bytes or len(over) > self.most_files):
            _, own, path = over.pop(0)
            size -= own
            with suppress(OSError):
                os.unlink(path)
