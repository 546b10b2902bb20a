"""Language models on this machine: a GGUF file through llama-cpp-python, or a model of Hugging Face's transformers."""

import ctypes
import hashlib
import importlib.util
import os
import threading
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from avatargpt.llm.model import AnswerCache, Completion, Messages, Question, check_words_only, with_schema
from vqvae.errors import UserError
from vqvae.io.files import atomic_write, regular_file

MAGIC = b"GGUF"
CONTEXT_TOKENS = 4096  # of prompt and answer
INSTALL = 'pip install "avatargpt[llm]"'
FINGERPRINT_BYTES = 1 << 20  # at both ends of the file
MAX_PREFIXES = 8
PREFIX_SUFFIX = ".prefix"


class Gguf:
    """Runs a model file; a grammar holds answers to the JSON schema.

    The library keeps the keys and values of the last prompt, prompts begin with their constant part, and `Prefixes`
    stores them between commands: rules and examples are read once.
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
        self._prefixes: Prefixes | None = None

    @cached_property
    def fingerprint(self) -> str:
        """Of the size and both ends of the file."""
        size = self.path.stat().st_size
        digest = hashlib.sha256(str(size).encode())
        with self.path.open("rb") as file:
            digest.update(file.read(FINGERPRINT_BYTES))
            file.seek(max(0, size - FINGERPRINT_BYTES))
            digest.update(file.read(FINGERPRINT_BYTES))
        return f"gguf {digest.hexdigest()}"

    def ready(self) -> None:
        """Load the file; an error of the library means that it is damaged or of an unknown kind."""
        from llama_cpp import Llama

        # the library itself would take half of the cores, which is half as fast
        threads = self.threads or len(os.sched_getaffinity(0))
        self._llama = Llama(
            model_path=str(self.path), n_ctx=CONTEXT_TOKENS, verbose=False, n_threads=threads, n_threads_batch=threads
        )
        self._prefixes = Prefixes(self._llama, self.fingerprint, self.prefixes)

    def complete(self, question: Question, stop: threading.Event) -> Completion:
        """One answer, token by token until `stop`."""
        check_words_only(self.name, question.messages)
        assert self._prefixes is not None
        self._prefixes.restore(question.messages)
        parts, truncated = [], False
        stream = self._llama.create_chat_completion(
            messages=question.messages, response_format={"type": "json_object", "schema": question.schema},
            temperature=question.temperature, seed=question.seed, max_tokens=question.tokens, stream=True,
        )  # fmt: skip
        for piece in stream:
            choice = piece["choices"][0]
            if text := choice["delta"].get("content"):
                parts.append(text)
            truncated = choice.get("finish_reason") == "length"
            if stop.is_set():
                break
        if not stop.is_set():
            self._prefixes.store(question.messages)
        return Completion("".join(parts), max(int(self._llama.n_tokens) - len(parts), 0), len(parts), truncated)


class Prefixes:
    """Prompts as a loaded model has read them, on the disk: the next command need not read rules and examples again.

    Files of llama.cpp (keys and values of tokens, some 30 KB each with 1.5 billion weights). llama.cpp checks that one
    belongs to the model; llama-cpp-python finds what a new prompt has in common with it.
    """

    def __init__(self, llama: Any, fingerprint: str, folder: Path | None) -> None:
        self.llama, self.fingerprint, self.folder = llama, fingerprint, folder
        self._current = ""  # key of the prompt that the model has read last

    def restore(self, messages: Messages) -> None:
        """Load the stored state of this prompt, unless it is the model's current one."""
        key = self._key(messages)
        if self.folder is None or key == self._current:
            return
        path = self.folder / key
        if path.is_file() and self._load(path):
            self._current = key
            with suppress(OSError):
                os.utime(path)

    def store(self, messages: Messages) -> None:
        """Store the state of the model, where there is none of this prompt yet."""
        self._current = self._key(messages)
        if self.folder is None or (self.folder / self._current).exists():
            return
        with suppress(UserError, OSError):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            atomic_write(self.folder / self._current, self._save)
            files = sorted(self.folder.glob(f"*{PREFIX_SUFFIX}"), key=lambda p: -p.stat().st_mtime)
            for path in files[MAX_PREFIXES:]:
                path.unlink()

    def _key(self, messages: Messages) -> str:
        """Name of the file: by model and rules; examples follow them, and a changed prompt has another version."""
        return AnswerCache.key(self.fingerprint, self.llama.n_ctx(), messages[:2]) + PREFIX_SUFFIX

    def _save(self, path: Path) -> None:
        import llama_cpp

        count = int(self.llama.n_tokens)
        tokens = (llama_cpp.llama_token * count)(*map(int, self.llama.input_ids[:count]))
        if not llama_cpp.llama_state_save_file(self.llama._ctx.ctx, os.fsencode(path), tokens, count):
            raise OSError("the state cannot be written")

    def _load(self, path: Path) -> bool:
        import llama_cpp

        size, count = self.llama.n_ctx(), ctypes.c_size_t(0)
        tokens = (llama_cpp.llama_token * size)()
        loaded = llama_cpp.llama_state_load_file(
            self.llama._ctx.ctx, os.fsencode(path), tokens, size, ctypes.byref(count)
        )
        if not loaded:
            self.llama.reset()
            with suppress(OSError):  # of another version, or damaged
                path.unlink()
            return False
        self.llama.input_ids[: count.value] = tokens[: count.value]
        self.llama.n_tokens = count.value
        self.llama._requires_eval = True  # the file has no logits of the last token
        return True


class HuggingFace:
    """Runs a causal or a seq2seq model; the JSON schema is part of the prompt and not enforced."""

    local = True

    def __init__(self, name: str, device: str = "cpu") -> None:
        self.source, self.device = name, device
        folder = Path(name).expanduser()
        self.folder = folder if folder.is_dir() else None
        if self.folder is not None and not (self.folder / "config.json").is_file():
            raise UserError(f"hf:{name}: a folder without config.json; accepted a folder as transformers writes it")
        parts = name.split("/")
        if self.folder is None and (len(parts) > 2 or not all(parts) or name.startswith((".", "~"))):
            raise UserError(f"hf:{name}: no such folder; accepted hf:FOLDER or hf:OWNER/NAME")
        self.name = f"model {folder.name}"
        self._model: Any = None
        self._tokenizer: Any = None

    @cached_property
    def fingerprint(self) -> str:
        """Of names, sizes and times of a folder's files; of a fetched model the name."""
        if self.folder is None:
            return f"hf {self.source}"
        files = sorted(p for p in self.folder.iterdir() if p.is_file())
        facts = [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in files]
        return f"hf {hashlib.sha256(repr(facts).encode()).hexdigest()}"

    def ready(self) -> None:
        """Load the model; code that comes with a model is not run and nothing is unpickled."""
        from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # a command has one of its own
        source = str(self.folder or self.source)
        config = AutoConfig.from_pretrained(source)
        kind: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        self._tokenizer = AutoTokenizer.from_pretrained(source)
        self._model = kind.from_pretrained(source, use_safetensors=True).to(self.device).eval()

    def complete(self, question: Question, stop: threading.Event) -> Completion:
        """One answer, token by token until `stop`."""
        import torch

        check_words_only(self.name, question.messages)
        turns = with_schema(question.messages, question.schema)
        tokenizer, model = self._tokenizer, self._model
        if getattr(tokenizer, "chat_template", None):
            text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        else:
            text = "\n\n".join(m["content"] for m in turns) + "\n\n"
        inputs = tokenizer(text, return_tensors="pt").to(self.device)
        sampling = {"temperature": question.temperature, "top_p": 0.95} if question.temperature > 0 else {}

        def is_stopped(ids: Any, scores: Any, **_: Any) -> Any:
            return torch.full((ids.shape[0],), stop.is_set(), dtype=torch.bool, device=ids.device)

        with torch.random.fork_rng(), torch.inference_mode():
            torch.manual_seed(question.seed)
            out = model.generate(
                **inputs, max_new_tokens=question.tokens, stopping_criteria=[is_stopped],
                do_sample=bool(sampling), **sampling,
            )[0]  # fmt: skip
        prompt_tokens = inputs["input_ids"].shape[1]
        answer = out if model.config.is_encoder_decoder else out[prompt_tokens:]
        ends = model.generation_config.eos_token_id
        ended = bool(len(answer)) and int(answer[-1]) in (ends if isinstance(ends, list) else [ends])
        text = tokenizer.decode(answer, skip_special_tokens=True)
        return Completion(text, prompt_tokens, len(answer), not ended and len(answer) >= question.tokens)
