"""Language models behind one interface: an endpoint, a local file, or a model of Hugging Face's transformers."""

from avatargpt.llm.model import AnswerCache, Backend, LanguageModel, Limits
from vqvae.errors import UserError

__all__ = ["ACCEPTED", "LanguageModel", "Limits", "load_llm"]
ACCEPTED = "https://..., endpoint, gguf:FILE or hf:FOLDER_OR_NAME"


def load_llm(
    spec: str, limits: Limits | None = None, cached: bool = True, device: str = "cpu", threads: int | None = None
) -> LanguageModel:
    """The language model that `spec` names; it is loaded with the first question.

    Args:
        spec: an address or ``endpoint`` (see `avatargpt.llm.endpoint`), ``gguf:FILE``, ``hf:FOLDER`` or
            ``hf:OWNER/NAME``.
        limits: time, tokens and money. cached: answers are stored on the disk. device, threads: of a local one.

    Raises:
        UserError: none of them, no such file, settings missing from the environment, or an extra is not installed.
    """
    cache, spec = AnswerCache() if cached else None, spec.strip()
    kind, _, source = spec.partition(":")
    backend: Backend
    if spec == "endpoint" or spec.startswith(("http://", "https://")):
        from avatargpt.llm.endpoint import Endpoint

        backend = Endpoint.from_environment("" if spec == "endpoint" else spec)
    elif kind == "gguf" and source:
        from avatargpt.llm.local import Gguf

        backend = Gguf(source, threads, None if cache is None else cache.folder / "prefixes")
    elif kind == "hf" and source:
        from avatargpt.llm.local import HuggingFace

        backend = HuggingFace(source, device)
    else:
        raise UserError(f"language model {spec!r}; accepted: {ACCEPTED}")
    return LanguageModel(backend, limits, cache)
