"""all-MiniLM-L6-v2 in plain torch: a BERT without its pooling layer, with transformers' results to the bit.

That library takes longer to import than its encoder takes to read a request. Shapes: B texts, N word pieces.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from vqvae.errors import UserError

LAYERS, WIDTH, HEADS, EPSILON = 6, 384, 12, 1e-12


def encoder_weights() -> dict[str, Tensor]:
    """All weights of the installed sentence encoder, by name, mapped from its file.

    Raises:
        UserError: not installed, or not readable.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from avatargpt.resources import sentence_model_folder

    path = sentence_model_folder() / "model.safetensors"
    try:
        return load_file(path)
    except (OSError, SafetensorError) as e:
        raise UserError(f"{path}: not readable ({str(e).splitlines()[0]})") from None


class SentenceEncoder:
    """The encoder up to a layer.

    Args:
        layers: so many are run; no higher one is looked at. device: where.

    Raises:
        UserError: not installed, or not readable.
    """

    def __init__(self, layers: int, device: torch.device | str = "cpu") -> None:
        self.layers = layers
        self.weights = {
            name: weight.to(device) for name, weight in encoder_weights().items()
            if name.startswith(("embeddings.", *(f"encoder.layer.{i}." for i in range(layers))))
        }  # fmt: skip

    def to(self, device: torch.device | str) -> None:
        """Move the weights."""
        self.weights = {name: weight.to(device) for name, weight in self.weights.items()}

    def __call__(self, ids: Tensor, mask: Tensor) -> list[Tensor]:
        """Word pieces (B, N), at most 512, and their mask (B, N), 1 = piece -> states (B, N, 384): of the pieces alone,
        then after each layer."""
        words, kinds, places = (
            self.weights[f"embeddings.{k}_embeddings.weight"] for k in ("word", "token_type", "position")
        )
        x = F.embedding(ids, words) + kinds[0] + places[: ids.shape[1]]
        out = [self._norm("embeddings", x)]
        open_ = None if bool(mask.all()) else mask.bool()[:, None, None]
        for number in range(self.layers):
            out.append(self._layer(f"encoder.layer.{number}", out[-1], open_))
        return out

    def _layer(self, name: str, x: Tensor, open_: Tensor | None) -> Tensor:
        q, k, v = (
            self._map(f"{name}.attention.self.{part}", x).unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for part in ("query", "key", "value")
        )
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=open_).transpose(1, 2).flatten(2)
        x = self._norm(f"{name}.attention.output", self._map(f"{name}.attention.output.dense", seen) + x)
        wide = F.gelu(self._map(f"{name}.intermediate.dense", x))
        return self._norm(f"{name}.output", self._map(f"{name}.output.dense", wide) + x)

    def _map(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _norm(self, name: str, x: Tensor) -> Tensor:
        weight, bias = (self.weights[f"{name}.LayerNorm.{k}"] for k in ("weight", "bias"))
        return F.layer_norm(x, (WIDTH,), weight, bias, EPSILON)
