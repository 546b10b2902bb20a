"""A language model in the form of Hugging Face's transformers: a folder, or a name that the library fetches."""

from __future__ import annotations

import hashlib
import threading
from functools import cached_property
from pathlib import Path
from typing import Any

from avatargpt.llm.model import Completion, shown
from avatargpt.llm.prompts import Messages
from vqvae.errors import UserError


class HuggingFace:
    """Runs a causal or a seq2seq model. It is told the JSON schema, not held to it.

    Args:
        name: a folder with ``config.json``, or ``OWNER/NAME``. device: as torch names it.

    Raises:
        UserError: neither a folder of a model nor such a name.
    """

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
        """Of names, sizes and times of a folder's files; of a fetched one the name."""
        if self.folder is None:
            return f"hf {self.source}"
        files = sorted(p for p in self.folder.iterdir() if p.is_file())
        told = [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in files]
        return f"hf {hashlib.sha256(repr(told).encode()).hexdigest()}"

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

    def complete(
        self, messages: Messages, schema: dict[str, Any], temperature: float, seed: int, tokens: int,
        stop: threading.Event,
    ) -> Completion:
        """One answer, token by token until somebody stops it."""
        import torch

        last = messages[-1]
        asked = [*messages[:-1], {**last, "content": f"{last['content']}\n{shown(schema)}"}]
        tokenizer, model = self._tokenizer, self._model
        if getattr(tokenizer, "chat_template", None):
            text = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        else:
            text = "\n\n".join(m["content"] for m in asked) + "\n\n"
        given = tokenizer(text, return_tensors="pt").to(self.device)
        drawn = {"do_sample": True, "temperature": temperature, "top_p": 0.95} if temperature > 0 else {}
        with torch.random.fork_rng(), torch.inference_mode():
            torch.manual_seed(seed)
            out = model.generate(
                **given, max_new_tokens=tokens, stopping_criteria=[lambda ids, scores, **_: _stopped(ids, stop)],
                **(drawn or {"do_sample": False}),
            )[0]  # fmt: skip
        prompted = given["input_ids"].shape[1]
        answer = out if model.config.is_encoder_decoder else out[prompted:]
        ended = bool(len(answer)) and int(answer[-1]) in _ends(model)
        said = tokenizer.decode(answer, skip_special_tokens=True)
        return Completion(said, prompted, len(answer), not ended and len(answer) >= tokens)


def _stopped(ids: Any, stop: threading.Event) -> Any:
    """(B,) bool, as transformers asks for."""
    import torch

    return torch.full((ids.shape[0],), stop.is_set(), dtype=torch.bool, device=ids.device)


def _ends(model: Any) -> set[int]:
    """Tokens that end an answer."""
    found = model.generation_config.eos_token_id
    return set(found) if isinstance(found, list) else {-1 if found is None else int(found)}
