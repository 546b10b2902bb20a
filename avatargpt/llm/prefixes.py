"""What a local model has read of a prompt, kept on the disk: the next command need not read rules and examples again.

The files are those of llama.cpp (keys and values of tokens, some 30 KB for each with 1.5 billion weights); it checks
itself that one belongs to the model. What a new prompt has in common with them llama-cpp-python finds out.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from avatargpt.llm.cache import AnswerCache
from avatargpt.llm.prompts import Messages
from vqvae.errors import UserError
from vqvae.io.files import atomic_write

MOST_FILES = 8
SUFFIX = ".prefix"


class Prefixes:
    """Of one loaded model.

    Args:
        llama: the model of llama-cpp-python. fingerprint: of its file. folder: None = nothing is kept.
    """

    def __init__(self, llama: Any, fingerprint: str, folder: Path | None) -> None:
        self.llama, self.fingerprint, self.folder = llama, fingerprint, folder
        self._held = ""  # key of the prompt that the model has read last

    def before(self, messages: Messages) -> None:
        """Take up what is kept of this prompt, unless the model has it at hand."""
        key = self._key(messages)
        if self.folder is None or key == self._held:
            return
        path = self.folder / key
        if path.is_file() and self._load(path):
            self._held = key
            with suppress(OSError):
                os.utime(path)

    def after(self, messages: Messages) -> None:
        """Keep what the model has read and said now, where nothing is kept of this prompt."""
        self._held = self._key(messages)
        if self.folder is None or (self.folder / self._held).exists():
            return
        with suppress(UserError, OSError):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            atomic_write(self.folder / self._held, self._save)
            kept = sorted(self.folder.glob(f"*{SUFFIX}"), key=lambda p: -p.stat().st_mtime)
            for path in kept[MOST_FILES:]:
                path.unlink()

    def _key(self, messages: Messages) -> str:
        """Name of the file: by model and rules; examples follow them, and a changed prompt has another version."""
        return AnswerCache.key(self.fingerprint, self.llama.n_ctx(), messages[:2]) + SUFFIX

    def _save(self, path: Path) -> None:
        import llama_cpp

        count = int(self.llama.n_tokens)
        tokens = (llama_cpp.llama_token * count)(*map(int, self.llama.input_ids[:count]))
        if not llama_cpp.llama_state_save_file(self.llama._ctx.ctx, os.fsencode(path), tokens, count):
            raise OSError("the state cannot be written")

    def _load(self, path: Path) -> bool:
        import llama_cpp

        most, count = self.llama.n_ctx(), ctypes.c_size_t(0)
        tokens = (llama_cpp.llama_token * most)()
        found = llama_cpp.llama_state_load_file(
            self.llama._ctx.ctx, os.fsencode(path), tokens, most, ctypes.byref(count)
        )
        if not found:
            self.llama.reset()
            with suppress(OSError):  # of another version, or damaged
                path.unlink()
            return False
        self.llama.input_ids[: count.value] = tokens[: count.value]
        self.llama.n_tokens = count.value
        self.llama._requires_eval = True  # its last logits are not kept
        return True
