"""Configuration of the language model as transformers keeps it: a T5 that also reads and speaks motion codes."""

from __future__ import annotations

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import T5Config

from avatargpt.lm.shape import NetworkShape, Shape


@strict
class AvatarGPTConfig(Shape, T5Config):
    """A T5 configuration plus the modalities the model knows.

    Attributes:
        modalities: name -> ``{"codebook_size": K, "levels": R, "code_dim": C}`` and, where its refiner shall have
            another size, ``refiner_dim``, ``refiner_layers``, ``refiner_heads``; ``first_id``, where the
            modality's block begins in the id space, is filled in here in the order given and then kept, so that
            adding a modality later moves no id.
        code_embedding: how codes enter: ``adapter``, a linear map of the tokenizer's code vectors; ``learnt``, a row
            of its own for every code, as words have; ``learnt_level_0``, that for level 0 alone, and further levels of
            prompts are not read (docs/ablations.md compares them).
        fingerprints: modality -> fingerprint of the tokenizer whose codebooks the model carries.
        grounding_dim: width of the frozen sentence encoder's token states; 0 = no grounding.
        extra_inputs: further encoder inputs that come as vectors (speech, ...): name -> width.
        countdown_buckets: rows of the table of motion tokens still to come (0 = off): 32 exact, then
            logarithmic up to 512, the last row = unknown.
        refiner_dim, refiner_layers, refiner_heads: the network that adds residual levels 1..R-1.
    """

    model_type = "avatargpt"

    vocab_size: int = NetworkShape.vocab_size
    d_model: int = NetworkShape.d_model
    d_kv: int = NetworkShape.d_kv
    d_ff: int = NetworkShape.d_ff
    num_layers: int = NetworkShape.num_layers
    num_heads: int = NetworkShape.num_heads
    dropout_rate: float | int = 0.0
    feed_forward_proj: str = NetworkShape.feed_forward_proj
    modalities: dict[str, Any] | None = None
    code_embedding: str = NetworkShape.code_embedding
    fingerprints: dict[str, Any] | None = None
    grounding_dim: int = NetworkShape.grounding_dim
    extra_inputs: dict[str, Any] | None = None
    countdown_buckets: int = NetworkShape.countdown_buckets
    refiner_dim: int = NetworkShape.refiner_dim
    refiner_layers: int = NetworkShape.refiner_layers
    refiner_heads: int = NetworkShape.refiner_heads

    def __post_init__(self, **kwargs: Any) -> None:
        self._completed()
        if kwargs.get("decoder_start_token_id") is None:
            kwargs["decoder_start_token_id"] = self.pad_token_id  # as every T5
        if kwargs.get("attn_implementation") is None:
            kwargs["attn_implementation"] = "eager"  # fastest here on CPU, and the only one with a position bias
        super().__post_init__(**kwargs)
