"""Configuration of the language model as transformers keeps it: a T5 that also reads and speaks motion codes."""

from __future__ import annotations

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import T5Config

from avatargpt.model.shape import Shape


@strict
class AvatarGPTConfig(Shape, T5Config):
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
        self._completed()
        if kwargs.get("decoder_start_token_id") is None:
            kwargs["decoder_start_token_id"] = self.pad_token_id  # as every T5
        if kwargs.get("attn_implementation") is None:
            kwargs["attn_implementation"] = "eager"  # fastest here on CPU, and the only one with a position bias
        super().__post_init__(**kwargs)
