"""A cache of answers on the disk: the same question to the same model with the same seed is not asked twice."""

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

MAX_BYTES, MAX_FILES = 32 << 20, 5000
MAX_ANSWER_BYTES = 1 << 20
VARIABLE = "AVATARGPT_CACHE"


def cache_folder() -> Path:
    """``$AVATARGPT_CACHE/llm`` or ``~/.cache/avatargpt/llm``."""
    folder = os.environ.get(VARIABLE, "").strip()
    root = Path(folder) if folder else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "avatargpt"
    return root / "llm"


class AnswerCache:
    """A folder of JSON files, one per answer; those not used for longest go first.

    Errors are not reported: a file that cannot be read counts as missing, one that cannot be written is left out.

    Args:
        folder: made when it is first needed. max_bytes, max_files: of the folder.
    """

    def __init__(self, folder: Path | None = None, max_bytes: int = MAX_BYTES, max_files: int = MAX_FILES) -> None:
        self.folder = folder or cache_folder()
        self.max_bytes, self.max_files = max_bytes, max_files

    @staticmethod
    def key(*parts: Any) -> str:
        """SHA-256 of the question: model, prompt, schema, temperature, seed."""
        return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=True).encode()).hexdigest()

    def get(self, key: str) -> str | None:
        """The answer, or None."""
        path = self._path(key)
        try:
            answer = read_object(path, MAX_ANSWER_BYTES).get("said")
        except UserError:
            return None
        with suppress(OSError):
            os.utime(path)
        return answer if isinstance(answer, str) else None

    def put(self, key: str, answer: str) -> None:
        """Store an answer."""
        text = json.dumps({"said": answer})
        if len(text) > MAX_ANSWER_BYTES:
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
        oldest = sorted(rows)
        while oldest and (size > self.max_bytes or len(oldest) > self.max_files):
            _, file_size, path = oldest.pop(0)
            size -= file_size
            with suppress(OSError):
                os.unlink(path)
