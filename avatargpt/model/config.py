"""Configuration of the language model: a T5 that also reads and speaks the codes of every motion modality.

One id space: text ids ``[0, vocab_size)``, then one block per modality: its K codes, its start id, its end id.
"""

from __future__ import annotations

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import T5Config

from vqvae.errors import UserError

TEXT = "text"
LENGTH_EXACT = 32
LENGTH_MAX = 512
_FIELDS = ("codebook_size", "levels", "code_dim")
_REFINER = ("refiner_dim", "refiner_layers", "refiner_heads")


@strict
class AvatarGPTConfig(T5Config):
    """A T5 configuration plus the modalities the model knows.

    Attributes:
        modalities: name -> ``{"codebook_size": K, "levels": R, "code_dim": C}`` and, where its refiner shall have
            another size, ``refiner_dim``, ``refiner_layers``, ``refiner_heads``; ``first_id``, where the
            modality's block begins in the id space, is filled in here in the order given and then kept, so that
            adding a modality later moves no id.
        fingerprints: modality -> fingerprint of the tokenizer whose codebooks the model carries.
        grounding_dim: width of the frozen sentence encoder's token states; 0 = no grounding.
        extra_inputs: further encoder inputs that come as vectors (speech, ...): name -> width.
        countdown_buckets: rows of the table of motion tokens still to come (0 = off): 32 exact, then
            logarithmic up to 512, the last row = unknown.
        refiner_dim, refiner_layers, refiner_heads: the network that adds residual levels 1..R-1.
    """

    model_type = "avatargpt"

    vocab_size: int = 4096
    d_model: int = 256
    d_kv: int = 64
    d_ff: int = 1024
    num_layers: int = 4
    num_heads: int = 4
    dropout_rate: float | int = 0.0
    feed_forward_proj: str = "gated-relu"
    modalities: dict[str, Any] | None = None
    fingerprints: dict[str, Any] | None = None
    grounding_dim: int = 0
    extra_inputs: dict[str, Any] | None = None
    countdown_buckets: int = 64
    refiner_dim: int = 256
    refiner_layers: int = 3
    refiner_heads: int = 4

    def __post_init__(self, **kwargs: Any) -> None:
        self.fingerprints = dict(self.fingerprints or {})
        self.extra_inputs = dict(self.extra_inputs or {})
        self.modalities = self._laid_out(self.modalities or {})
        if self.countdown_buckets and self.countdown_buckets < LENGTH_EXACT + 2:
            raise UserError(f"countdown_buckets: {self.countdown_buckets}; accepted 0 (off) or at least 34")
        if kwargs.get("decoder_start_token_id") is None:
            kwargs["decoder_start_token_id"] = self.pad_token_id  # as every T5
        if kwargs.get("attn_implementation") is None:
            kwargs["attn_implementation"] = "eager"  # fastest here on CPU, and the only one with a position bias
        super().__post_init__(**kwargs)

    def _laid_out(self, given: dict[str, Any]) -> dict[str, Any]:
        """`given` with ``first_id`` set for every modality that has none yet, behind all that have one."""
        for name, entry in given.items():
            if not isinstance(entry, dict):
                raise UserError(f"modality '{name}': {entry!r}; needs a mapping with {', '.join(_FIELDS)}")
            unknown = set(entry) - {*_FIELDS, *_REFINER, "first_id"}
            if unknown:
                raise UserError(f"modality '{name}': {unknown.pop()}; accepted {', '.join((*_FIELDS, *_REFINER))}")
            if name == TEXT or any(not isinstance(entry.get(f), int) or entry[f] < 1 for f in _FIELDS):
                raise UserError(f"modality '{name}': {entry}; needs whole numbers {', '.join(_FIELDS)} of at least 1")
        laid = {name: dict(entry) for name, entry in given.items()}
        free = max(
            (e["first_id"] + e["codebook_size"] + 2 for e in laid.values() if "first_id" in e), default=self.vocab_size
        )
        for entry in laid.values():
            if "first_id" not in entry:
                entry["first_id"] = free
                free += entry["codebook_size"] + 2
        return dict(sorted(laid.items(), key=lambda item: item[1]["first_id"]))

    @property
    def heads(self) -> tuple[str, ...]:
        """What the decoder may speak: ``text``, then the modalities in the order of their ids."""
        return (TEXT, *(self.modalities or {}))

    def modality(self, name: str) -> dict[str, int]:
        """The entry of one modality.

        Raises:
            UserError: the model does not know it.
        """
        assert self.modalities is not None
        if name not in self.modalities:
            raise UserError(f"modality '{name}': this model knows {', '.join(self.modalities) or 'none'}")
        return self.modalities[name]

    def refiner(self, name: str) -> tuple[int, int, int]:
        """Width, layers and attention heads of a modality's refiner."""
        width, layers, heads = (int(self.modality(name).get(f, getattr(self, f))) for f in _REFINER)
        if min(width, layers, heads) < 1 or width % heads or width % 2:
            raise UserError(f"modality '{name}': refiner of width {width}, {layers} layers, {heads} heads; accepted: "
                            "at least 1, an even width that the heads divide")  # fmt: skip
        return width, layers, heads

    def first_id(self, head: str) -> int:
        """First id of a head's block."""
        return 0 if head == TEXT else self.modality(head)["first_id"]

    def size(self, head: str) -> int:
        """Ids in a head's block: V for text, K + 2 for a modality."""
        return self.vocab_size if head == TEXT else self.modality(head)["codebook_size"] + 2

    def start_id(self, head: str) -> int:
        """Id that the decoder is started with."""
        if head == TEXT:
            return int(self.decoder_start_token_id)
        return self.first_id(head) + self.modality(head)["codebook_size"]

    def end_id(self, head: str) -> int:
        """Id that ends an answer."""
        if head == TEXT:
            eos = self.eos_token_id
            return 1 if eos is None else int(eos[0] if isinstance(eos, list) else eos)
        return self.start_id(head) + 1

    @property
    def total_ids(self) -> int:
        """Size of the one id space."""
        return max((self.first_id(h) + self.size(h) for h in self.heads), default=self.vocab_size)


def length_boundaries(buckets: int) -> list[int]:
    """Lower ends of the count-down buckets 1, 2, ...: 1..32, then logarithmic steps up to 512 (whole numbers)."""
    logs = buckets - 1 - LENGTH_EXACT
    ratio = LENGTH_MAX / LENGTH_EXACT
    ends = [round(LENGTH_EXACT * ratio ** (i / logs)) for i in range(1, logs)]
    return [*range(1, LENGTH_EXACT + 1), *ends]
