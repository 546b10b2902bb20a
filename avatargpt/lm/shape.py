"""Sizes of the language model, its single id space, and the arithmetic of a forward pass.

Text ids ``[0, vocab_size)``, then one block per modality: its K codes, its start id, its end id.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from vqvae.errors import UserError
from vqvae.io.files import parsing

if TYPE_CHECKING:
    from torch import Tensor

TEXT = "text"
IGNORED = -100  # label of a position that is not learnt
SMALL = "model.int8.safetensors"  # file of a language model in eight bits, or the first of several
SMALL_NEXT = "model.int8-{}.safetensors"  # the further ones: 2, 3, ...
LENGTH_EXACT = 32
LENGTH_MAX = 512
_FIELDS = ("codebook_size", "levels", "code_dim")
_REFINER = ("refiner_dim", "refiner_layers", "refiner_heads")


class Shape:
    """Sizes of the network, as fields of `NetworkShape` or `AvatarGPTConfig`."""

    vocab_size: int
    d_model: int
    d_kv: int
    d_ff: int
    num_layers: int
    num_decoder_layers: int | None
    num_heads: int
    relative_attention_num_buckets: int
    relative_attention_max_distance: int
    layer_norm_epsilon: float
    is_gated_act: bool
    dense_act_fn: str
    pad_token_id: int | None
    eos_token_id: int | list[int] | None
    decoder_start_token_id: int | None
    modalities: dict[str, Any] | None
    fingerprints: dict[str, Any] | None
    grounding_dim: int
    extra_inputs: dict[str, Any] | None
    countdown_buckets: int
    refiner_dim: int
    refiner_layers: int
    refiner_heads: int

    def _complete(self) -> None:
        """Fill in fields that follow from others, and check them."""
        self.fingerprints = dict(self.fingerprints or {})
        self.extra_inputs = dict(self.extra_inputs or {})
        self.modalities = self._with_first_ids(self.modalities or {})
        if self.countdown_buckets and self.countdown_buckets < LENGTH_EXACT + 2:
            raise UserError(f"countdown_buckets: {self.countdown_buckets}; accepted 0 (off) or at least 34")

    def _with_first_ids(self, modalities: dict[str, Any]) -> dict[str, Any]:
        """The entries with ``first_id`` set for every modality that has none yet, behind all that have one."""
        for name, entry in modalities.items():
            if not isinstance(entry, dict):
                raise UserError(f"modality '{name}': {entry!r}; needs a mapping with {', '.join(_FIELDS)}")
            unknown = set(entry) - {*_FIELDS, *_REFINER, "first_id"}
            if unknown:
                raise UserError(f"modality '{name}': {unknown.pop()}; accepted {', '.join((*_FIELDS, *_REFINER))}")
            if name == TEXT or any(not isinstance(entry.get(f), int) or entry[f] < 1 for f in _FIELDS):
                raise UserError(f"modality '{name}': {entry}; needs whole numbers {', '.join(_FIELDS)} of at least 1")
        entries = {name: dict(entry) for name, entry in modalities.items()}
        ends = (e["first_id"] + e["codebook_size"] + 2 for e in entries.values() if "first_id" in e)
        # Behind all others, so that no id of a trained model moves.
        free = max(ends, default=self.vocab_size)
        for entry in entries.values():
            if "first_id" not in entry:
                entry["first_id"] = free
                free += entry["codebook_size"] + 2
        return dict(sorted(entries.items(), key=lambda item: item[1]["first_id"]))

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the output heads: ``text``, then the modalities in the order of their ids."""
        return (TEXT, *(self.modalities or {}))

    def modality(self, name: str) -> dict[str, int]:
        """The entry of one modality."""
        assert self.modalities is not None
        if name not in self.modalities:
            raise UserError(f"modality '{name}': this model knows {', '.join(self.modalities) or 'none'}")
        return self.modalities[name]

    def refiner(self, name: str) -> tuple[int, int, int]:
        """Width, layers and attention heads of a modality's residual decoder."""
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
            return int(self.decoder_start_token_id or 0)
        return self.first_id(head) + self.modality(head)["codebook_size"]

    def end_id(self, head: str) -> int:
        """Id that ends an answer."""
        if head == TEXT:
            eos = self.eos_token_id
            return 1 if eos is None else int(eos[0] if isinstance(eos, list) else eos)
        return self.start_id(head) + 1

    @property
    def total_ids(self) -> int:
        """Size of the id space."""
        return max((self.first_id(h) + self.size(h) for h in self.heads), default=self.vocab_size)


@dataclass
class NetworkShape(Shape):
    """The fields of a ``config.json`` that use needs; meanings and defaults as of `AvatarGPTConfig`."""

    vocab_size: int = 4096
    d_model: int = 256
    d_kv: int = 64
    d_ff: int = 1024
    num_layers: int = 4
    num_decoder_layers: int | None = None
    num_heads: int = 4
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    layer_norm_epsilon: float = 1e-6
    feed_forward_proj: str = "gated-relu"
    pad_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 1
    decoder_start_token_id: int | None = None
    modalities: dict[str, Any] | None = None
    fingerprints: dict[str, Any] | None = None
    grounding_dim: int = 0
    extra_inputs: dict[str, Any] | None = None
    countdown_buckets: int = 64
    refiner_dim: int = 256
    refiner_layers: int = 3
    refiner_heads: int = 4

    def __post_init__(self) -> None:
        self._complete()
        kind = self.feed_forward_proj.split("-")
        self.is_gated_act = kind[0] == "gated"
        self.dense_act_fn = "gelu_new" if self.feed_forward_proj == "gated-gelu" else kind[-1]
        if self.num_decoder_layers is None:
            self.num_decoder_layers = self.num_layers
        if self.decoder_start_token_id is None:
            self.decoder_start_token_id = self.pad_token_id  # as every T5

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self:
        """From the fields of a ``config.json``, without those of the library alone."""
        names = {f.name for f in fields(cls)}
        return cls(**{k: v for k, v in config.items() if k in names})


def length_boundaries(buckets: int) -> list[int]:
    """Lower ends of the buckets 1, 2, ... of remaining tokens: 1..32, then logarithmic integer steps up to 512."""
    logs = buckets - 1 - LENGTH_EXACT
    ratio = LENGTH_MAX / LENGTH_EXACT
    ends = [round(LENGTH_EXACT * ratio ** (i / logs)) for i in range(1, logs)]
    return [*range(1, LENGTH_EXACT + 1), *ends]


def forward_flops(config: Shape, inputs: np.ndarray, outputs: np.ndarray, heads: list[str]) -> float:
    """Operations of one forward pass over B rows, two for every multiplication with its addition.

    Counted are the matrix products of T5's stacks with attention (arXiv 2204.02311, appendix B) and of each row's
    head, for `inputs` (B,) states of the encoder and `outputs` (B,) tokens, without padding, residual decoder,
    norms, adapters.
    """
    d, inner = config.d_model, config.num_heads * config.d_kv
    forward = (3 if config.is_gated_act else 2) * d * config.d_ff
    layer = 4 * d * inner + forward  # weights of a layer without cross-attention
    s, t = inputs.astype(np.float64), outputs.astype(np.float64)
    encoder = config.num_layers * (layer * s + 2 * inner * s * s)
    layers = config.num_decoder_layers or config.num_layers
    decoder = layers * ((layer + 2 * d * inner) * t + 2 * d * inner * s + 2 * inner * t * (t + s))
    sizes = {h: config.vocab_size if h == TEXT else config.size(h) for h in set(heads)}
    head = np.array([sizes[h] for h in heads]) * d * t
    return float(2 * (encoder + decoder + head).sum())


def read_small(locate: Callable[[str], str | Path | None]) -> dict[str, Tensor] | None:
    """Stored tensors of a language model in eight bits (`checkpoint.save_small`); `locate` finds files by name."""
    from safetensors import safe_open

    from vqvae.io.tensors import load_tensors

    first = locate(SMALL)
    if first is None:
        return None
    state = load_tensors(first)
    with parsing(first, "a language model"), safe_open(first, "pt") as file:
        count = int((file.metadata() or {}).get("files", 1))
    for name in (SMALL_NEXT.format(n) for n in range(2, count + 1)):
        path = locate(name)
        if path is None:
            raise UserError(f"{Path(first).parent}: {name} is missing; all files of the checkpoint are needed")
        state |= load_tensors(path)
    return state
