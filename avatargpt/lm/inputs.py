"""What the encoder and the decoder read: ids of the one space, motion codes and foreign vectors as vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from avatargpt.lm.adapters import LengthConditioning
from avatargpt.lm.shape import Shape
from vqvae.errors import UserError

Extra = tuple[Tensor, Tensor, str]


class Inputs(nn.Module):
    """The part of the model that turns what is read into vectors. Shapes as in `avatargpt.lm.model`."""

    config: Shape
    shared: nn.Embedding
    encoder: Any
    codes: nn.ModuleDict
    extra: nn.ModuleDict
    countdown: LengthConditioning | None

    def embed(self, ids: Tensor, residual_codes: Tensor | None = None) -> Tensor:
        """Vectors of ids of the one space.

        Args:
            ids: (B, L) int64.
            residual_codes: (B, L, R) all levels of prompt tokens: their vectors are summed. Column 0 is not read
                (the id says it); below 0 = unknown. None: level 0 only, as the decoder sees its own tokens.

        Returns:
            (B, L, d_model).
        """
        text = ids < self.config.vocab_size
        out = self.shared(torch.where(text, ids, self.config.pad_token_id or 0))
        if not self.codes or bool(text.all()):
            return out
        for name, adapter in self.codes.items():
            first = self.config.first_id(name)
            inside = (ids >= first) & (ids < first + self.config.size(name))
            if bool(inside.any()):
                residual = None if residual_codes is None else residual_codes[inside]
                out[inside] = adapter(ids[inside] - first, residual).to(out.dtype)
        return out

    def embed_decoder(self, ids: Tensor, countdown: Tensor | None = None) -> Tensor:
        """(B, L) ids and counts of motion tokens still to come (None or below 0: unknown) -> (B, L, d_model)."""
        out = self.embed(ids)
        if self.countdown is not None:
            count = torch.full((1, 1), -1, device=ids.device) if countdown is None else countdown
            out = out + self.countdown(count).to(out.dtype)
        return out

    def inputs(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, residual_codes: Tensor | None = None,
        extra_embeddings: Sequence[Extra] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """What the encoder reads.

        Args:
            input_ids: (B, L). attention_mask: (B, L), 1 = token; None: everything but padding ids.
            residual_codes: see `embed`.
            extra_embeddings: (vectors (B, G, width), mask (B, G), adapter name) each, put behind the tokens.

        Returns:
            Vectors (B, S, d_model) and their mask (B, S) int64; S = longest row of tokens and vectors together.
        """
        mask = input_ids.ne(self.config.pad_token_id or 0) if attention_mask is None else attention_mask
        parts, masks = [self.embed(input_ids, residual_codes)], [mask.long()]
        for vectors, extra_mask, name in extra_embeddings or ():
            if name not in self.extra:
                raise UserError(f"encoder input '{name}': this model knows {', '.join(self.extra) or 'none'}")
            parts.append(self.extra[name](vectors).to(parts[0].dtype))
            masks.append(extra_mask.long())
        vectors, full = torch.cat(parts, dim=1), torch.cat(masks, dim=1)
        if len(parts) > 1:
            # Padding goes to the end of each row: relative positions, hence answers, then do not depend on how far
            # the other rows of the batch made the parts grow.
            order = torch.argsort(full, dim=1, descending=True, stable=True)[:, : max(int(full.sum(1).max()), 1)]
            full = full.gather(1, order)
            vectors = vectors.gather(1, order[..., None].expand(-1, -1, vectors.shape[-1]))
        return vectors, full

    def encode(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, residual_codes: Tensor | None = None,
        extra_embeddings: Sequence[Extra] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Run the encoder over `inputs`: states (B, S, d_model) and their mask (B, S) int64."""
        vectors, mask = self.inputs(input_ids, attention_mask, residual_codes, extra_embeddings)
        return self.encoder(inputs_embeds=vectors, attention_mask=mask).last_hidden_state, mask
