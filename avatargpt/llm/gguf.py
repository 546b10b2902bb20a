"""A local model file (GGUF) through llama-cpp-python."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import threading
from functools import cached_property
from pathlib import Path
from typing import Any

from avatargpt.llm.model import Completion
from avatargpt.llm.prefixes import Prefixes
from avatargpt.llm.prompts import Messages
from vqvae.errors import UserError
from vqvae.io.files import regular_file

MAGIC = b"GGUF"
CONTEXT = 4096  # tokens of prompt and answer
INSTALL = 'pip install "avatargpt[llm]"'
END = 1 << 20  # bytes at both ends of the file that tell one model from another


class Gguf:
    """Runs a model file. Answers are held to the JSON schema by a grammar.

    What a prompt has in common with the one before (rules and examples) is not read again: the library keeps the keys
    and values of the last prompt, prompts begin with their constant part, and `Prefixes` keeps it between commands.

    Args:
        path: of the file. threads: None = one for each core that it may use.
        prefixes: folder of what was read; None = not kept.

    Raises:
        UserError: no such file, not a GGUF, or llama-cpp-python is not installed.
    """

    local = True

    def __init__(self, path: str | Path, threads: int | None = None, prefixes: Path | None = None) -> None:
        self.path, self.threads = regular_file(Path(path).expanduser(), "accepted gguf:FILE"), threads
        self.prefixes = prefixes
        with self.path.open("rb") as file:
            if file.read(4) != MAGIC:
                raise UserError(f"{self.path}: not a GGUF file; accepted gguf:FILE of a language model")
        if importlib.util.find_spec("llama_cpp") is None:
            raise UserError(f"gguf:{self.path}: llama-cpp-python is not installed; install it: {INSTALL}")
        self.name = f"model {self.path.name}"
        self._llama: Any = None
        self._read: Prefixes | None = None

    @cached_property
    def fingerprint(self) -> str:
        """Of the size and both ends of the file."""
        size = self.path.stat().st_size
        digest = hashlib.sha256(str(size).encode())
        with self.path.open("rb") as file:
            digest.update(file.read(END))
            file.seek(max(0, size - END))
            digest.update(file.read(END))
        return f"gguf {digest.hexdigest()}"

    def ready(self) -> None:
        """Load the file; whatever the library raises says that it is damaged or of an unknown kind."""
        from llama_cpp import Llama

        threads = self.threads or len(os.sched_getaffinity(0))  # it would take half of them: half the speed
        self._llama = Llama(
            model_path=str(self.path), n_ctx=CONTEXT, verbose=False, n_threads=threads, n_threads_batch=threads
        )
        self._read = Prefixes(self._llama, self.fingerprint, self.prefixes)

    def complete(
        self, messages: Messages, schema: dict[str, Any], temperature: float, seed: int, tokens: int,
        stop: threading.Event,
    ) -> Completion:
        """One answer, token by token until somebody stops it."""
        assert self._read is not None
        self._read.before(messages)
        parts, cut = [], False
        stream = self._llama.create_chat_completion(
            messages=messages, response_format={"type": "json_object", "schema": schema}, temperature=temperature,
            seed=seed, max_tokens=tokens, stream=True,
        )  # fmt: skip
        for piece in stream:
            choice = piece["choices"][0]
            if said := choice["delta"].get("content"):
                parts.append(said)
            cut = choice.get("finish_reason") == "length"
            if stop.is_set():
                break
        if not stop.is_set():
            self._read.after(messages)
        return Completion("".join(parts), max(int(self._llama.n_tokens) - len(parts), 0), len(parts), cut)
