"""What turns codes, foreign vectors and counts into vectors of the language model's width."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from avatargpt.lm.shape import Shape, length_boundaries
from vqvae.errors import UserError


def _summed(tables: Tensor, codes: Tensor) -> Tensor:
    """Sum over levels: tables (R, K, W), codes (..., r), r <= R, entries below 0 left out -> (..., W)."""
    total = tables.new_zeros(*codes.shape[:-1], tables.shape[-1])
    for level in range(min(codes.shape[-1], len(tables))):
        code = codes[..., level]
        row = tables[level][code.clamp(min=0)]
        total = total + (row if level == 0 else row * (code >= 0)[..., None])
    return total


class CodeEmbedding(nn.Module):
    """Codes of one modality -> (N, d_model), learnt rows for start and end.

    The codebooks are copies of the tokenizer's, frozen; `scale` brings the mean length of a level-0 vector to
    sqrt(C), so that codes enter with the size of text embeddings whatever the tokenizer's units. The residual decoder
    reads them whichever way codes enter.
    """

    codebooks: Tensor
    scale: Tensor
    marks: nn.Embedding

    def __init__(self, codebook_size: int, levels: int, code_dim: int) -> None:
        super().__init__()
        self.codebook_size, self.levels = codebook_size, levels
        self.register_buffer("codebooks", torch.zeros(levels, codebook_size, code_dim))
        self.register_buffer("scale", torch.ones(()))

    def vectors(self, codes: Tensor) -> Tensor:
        """Scaled sum of code vectors: codes (..., r), r <= R levels, entries below 0 left out -> (..., C)."""
        return _summed(self.codebooks, codes) * self.scale

    def embedded(self, codes: Tensor) -> Tensor:
        """Codes (..., r), r <= R levels, entries below 0 = not known -> (..., d_model)."""
        raise NotImplementedError

    def forward(self, local: Tensor, residual: Tensor | None = None) -> Tensor:
        """Embed ids counted from the block's first.

        Args:
            local: (N,) int64, codes 0..K-1, K = start, K + 1 = end.
            residual: (N, >= R) all levels of the same tokens; column 0 is not read, entries below 0 = not known.
        """
        is_code = local < self.codebook_size
        codes = local.clamp(max=self.codebook_size - 1)[:, None]
        if residual is not None and self.levels > 1:
            codes = torch.cat([codes, residual[:, 1 : self.levels].to(codes.dtype)], dim=1)
        rows = self.embedded(codes)
        marks = self.marks((local - self.codebook_size).clamp(min=0))
        return torch.where(is_code[:, None], rows, marks.to(rows.dtype))

    def table(self) -> Tensor:
        """(K + 2, d_model) embedding of every id of the block, level 0 only."""
        return self(torch.arange(self.codebook_size + 2, device=self.codebooks.device))


class CodeAdapter(CodeEmbedding):
    """Codes enter by a linear map of the frozen code vectors, summed over levels."""

    def __init__(self, codebook_size: int, levels: int, code_dim: int, d_model: int) -> None:
        super().__init__(codebook_size, levels, code_dim)
        self.linear = nn.Linear(code_dim, d_model)
        self.marks = nn.Embedding(2, d_model)

    def embedded(self, codes: Tensor) -> Tensor:
        return self.linear(self.vectors(codes))


class CodeVocabulary(CodeEmbedding):
    """Codes enter as words do: a learnt row (d_model) for every code of the first `read` levels, summed over these."""

    def __init__(self, codebook_size: int, levels: int, code_dim: int, d_model: int, read: int) -> None:
        super().__init__(codebook_size, levels, code_dim)
        self.rows = nn.Parameter(torch.empty(read, codebook_size, d_model))
        self.marks = nn.Embedding(2, d_model)

    def embedded(self, codes: Tensor) -> Tensor:
        return _summed(self.rows, codes)


def code_embedding(config: Shape, modality: str) -> CodeEmbedding:
    """The way in of a modality's codes that a configuration names."""
    spec = config.modality(modality)
    size, levels, width = spec["codebook_size"], spec["levels"], spec["code_dim"]
    if config.code_embedding == "adapter":
        return CodeAdapter(size, levels, width, config.d_model)
    return CodeVocabulary(size, levels, width, config.d_model, levels if config.code_embedding == "learnt" else 1)


class VectorAdapter(nn.Module):
    """Foreign vectors (sentence-encoder states, speech features) -> d_model: norm, linear map, a row for the type."""

    def __init__(self, width: int, d_model: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, d_model)
        self.type_row = nn.Embedding(1, d_model)

    def forward(self, vectors: Tensor) -> Tensor:
        """(B, G, width) of any float type -> (B, G, d_model)."""
        return self.linear(self.norm(vectors.to(self.norm.weight.dtype))) + self.type_row.weight[0]


class LengthConditioning(nn.Module):
    """Embedding of the number of motion tokens still to come; below 0 = unknown (the last row)."""

    def __init__(self, config: Shape) -> None:
        super().__init__()
        self.buckets = config.countdown_buckets
        self.boundaries = length_boundaries(self.buckets)
        self.rows = nn.Embedding(self.buckets, config.d_model)

    def bucket(self, count: Tensor) -> Tensor:
        """Row of each count, same shape, int64."""
        count = count.contiguous()
        ends = torch.tensor(self.boundaries, device=count.device, dtype=count.dtype)
        return torch.where(count < 0, self.buckets - 1, torch.bucketize(count, ends, right=True))

    def forward(self, count: Tensor) -> Tensor:
        """(B, L) counts -> (B, L, d_model)."""
        return self.rows(self.bucket(count))


class Codebooks(nn.Module):
    """The part of the model that looks after the tokenizers' codebooks and fingerprints."""

    config: Shape
    codes: nn.ModuleDict

    @torch.no_grad()
    def set_codebooks(self, modality: str, codebooks: Tensor, fingerprint: str) -> None:
        """Copy a tokenizer's codebooks (R, K, C) in and remember its fingerprint.

        Raises:
            UserError: another shape than the configuration says.
        """
        spec = self.config.modality(modality)
        wanted = (spec["levels"], spec["codebook_size"], spec["code_dim"])
        if tuple(codebooks.shape) != wanted:
            raise UserError(f"codebooks of '{modality}': {tuple(codebooks.shape)}; this model takes {wanted}")
        adapter: Any = self.codes[modality]
        adapter.codebooks.copy_(codebooks)
        length = codebooks[0].float().norm(dim=-1).mean().clamp(min=1e-6)
        adapter.scale.fill_(spec["code_dim"] ** 0.5 / float(length))
        self.config.fingerprints = {**(self.config.fingerprints or {}), modality: fingerprint}

    def check_fingerprint(self, modality: str, fingerprint: str) -> None:
        """Refuse a tokenizer that the model was not trained with.

        Raises:
            UserError: the fingerprints differ, or the model was given no codebooks for the modality.
        """
        self.config.modality(modality)
        known = (self.config.fingerprints or {}).get(modality)
        if known != fingerprint:
            own = f"was trained with {known[:12]}" if known else "has no codebooks yet"
            raise UserError(
                f"tokenizer of '{modality}': fingerprint {fingerprint[:12]}, but this language model {own}; "
                "only the tokenizer it was trained with is accepted"
            )

    def lora_modules_to_save(self) -> list[str]:
        """Names for peft's ``modules_to_save``: every part that is new against T5."""
        named = [f"{part}.{name}" for part in ("codes", "heads", "refiners", "extra") for name in getattr(self, part)]
        return [*named, *(["countdown"] if self.countdown is not None else []), "lm_head"]
