"""The language model without a library around it: what reads and speaks, the heads, and the likelihood of an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avatargpt.lm.adapters import Codebooks, LengthConditioning, VectorAdapter, code_embedding
from avatargpt.lm.inputs import Inputs
from avatargpt.lm.residual_decoder import ResidualDecoder, ResidualLevels
from avatargpt.lm.shape import TEXT, NetworkShape, Shape
from avatargpt.lm.t5 import Stack
from vqvae.errors import UserError

IGNORED = -100
TIED = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")  # the library's further names of `shared.weight`
Heads = str | Sequence[str] | Tensor


class Network(Inputs, ResidualLevels, Codebooks):
    """What a T5 becomes a motion model by: a way in for codes and an untied head per modality.

    Ids live in one space (see `avatargpt.lm.shape`); `head` says which block the decoder may speak. Shapes: B batch,
    L length, S encoder states, R residual levels, K codes, V text ids.
    """

    config: Any
    decoder: Any
    lm_head: nn.Linear
    heads: nn.ModuleDict

    def _add_parts(self, config: Shape) -> None:
        specs: dict[str, dict[str, int]] = config.modalities or {}
        self.codes = nn.ModuleDict({name: code_embedding(config, name) for name in specs})
        self.heads = nn.ModuleDict({
            name: nn.Linear(config.d_model, s["codebook_size"] + 2) for name, s in specs.items()
        })
        self.refiners = nn.ModuleDict({
            name: ResidualDecoder(config, name) for name, s in specs.items() if s["levels"] > 1
        })
        widths = dict(config.extra_inputs or {}) | ({"grounding": config.grounding_dim} if config.grounding_dim else {})
        self.extra = nn.ModuleDict({name: VectorAdapter(width, config.d_model) for name, width in widths.items()})
        self.countdown = LengthConditioning(config) if config.countdown_buckets else None

    def head_names(self, head: Heads, batch: int) -> str | list[str]:
        """One name when the whole batch speaks one head, else one per row. Tensors index `config.heads`."""
        if isinstance(head, str):
            names = [head]
        elif isinstance(head, Tensor):
            names = [self.config.heads[i] for i in head.reshape(-1).tolist()]
        else:
            names = list(head)
        for name in set(names) - set(self.config.heads):
            raise UserError(f"head '{name}': this model has {', '.join(self.config.heads)}")
        if len(set(names)) == 1:
            return names[0]
        if len(names) != batch:
            raise ValueError(f"{len(names)} heads for a batch of {batch}")
        return names

    def shift_right(self, labels: Tensor, head: Heads) -> Tensor:
        """Decoder inputs (B, L) for labels (B, L): the head's start id in front, ignored labels as padding."""
        names = self.head_names(head, len(labels))
        starts = [self.config.start_id(n) for n in ([names] * len(labels) if isinstance(names, str) else names)]
        shifted = torch.cat([torch.tensor(starts, device=labels.device)[:, None], labels[:, :-1]], dim=1)
        return shifted.masked_fill(shifted == IGNORED, self.config.pad_token_id or 0)

    def head_logits(self, hidden: Tensor, head: str) -> Tensor:
        """(..., d_model) -> (..., n) logits of one head's own block; a modality's start id is never allowed."""
        if head == TEXT:
            return self.lm_head(hidden)
        logits = self.heads[head](hidden)
        start = torch.arange(logits.shape[-1], device=logits.device) == self.config.modality(head)["codebook_size"]
        return logits.masked_fill(start, float("-inf"))

    def _full(self, hidden: Tensor, head: str) -> Tensor:
        part = self.head_logits(hidden, head)
        full = part.new_full((*part.shape[:-1], self.config.total_ids), float("-inf"))
        first = self.config.first_id(head)
        full[..., first : first + part.shape[-1]] = part
        return full

    def _token_loss(self, hidden: Tensor, labels: Tensor, names: str | list[str], smoothing: float) -> Tensor:
        """Cross-entropy (B, L) computed on the labelled positions of each head alone."""
        loss = torch.zeros(labels.shape, dtype=torch.float32, device=labels.device)
        wanted = labels != IGNORED
        for name in [names] if isinstance(names, str) else list(dict.fromkeys(names)):
            at = wanted
            if not isinstance(names, str):
                at = wanted & torch.tensor([n == name for n in names], device=labels.device)[:, None]
            target = labels[at] - self.config.first_id(name)
            if target.numel() and not 0 <= int(target.min()) <= int(target.max()) < self.config.size(name):
                raise ValueError(f"labels of head '{name}' lie outside its ids")
            logits = self.head_logits(hidden[at], name).float()
            if smoothing:
                logp = logits.log_softmax(-1)
                flat = logp.masked_fill(logp == float("-inf"), 0).sum(-1) / (logp.shape[-1] - (name != TEXT))
                value = -(1 - smoothing) * logp.gather(-1, target[:, None])[:, 0] - smoothing * flat
            else:
                value = F.cross_entropy(logits, target, reduction="none")
            loss = loss.masked_scatter(at, value)
        return loss

    def counts(self, length: Tensor | None, seen: int, steps: int) -> Tensor | None:
        """(B, steps) motion tokens still to come from position `seen` on, for answers of `length` (B,); below 0 and
        None: unknown."""
        if length is None:
            return None
        at = torch.arange(seen, seen + steps, device=length.device)
        return torch.where(length[:, None] < 0, -1, (length[:, None] - at).clamp(min=0))

    def likelihood(self, states: Tensor, mask: Tensor, labels: Tensor, head: str, length: Tensor | None) -> Tensor:
        """Cross-entropy (B, L) in nats of given answers, 0 where the label is ignored; teacher-forced.

        Args:
            states: (B, S, d_model) of the encoder, mask: (B, S). labels: (B, L) in the one id space.
            length: (B,) that the count-down is told.
        """
        names = self.head_names(head, len(states))
        spoken = self.embed_decoder(self.shift_right(labels, head), self.counts(length, 0, labels.shape[1]))
        hidden = self.decoder(
            inputs_embeds=spoken, encoder_hidden_states=states, encoder_attention_mask=mask
        ).last_hidden_state
        return self._token_loss(hidden, labels, names, 0.0)


class LanguageNetwork(Network):
    """The model for use: parameters under the names of `avatargpt.lm.model.AvatarGPTModel`, which is for training.

    It has no initialisation of its own: `checkpoint.load_network` gives it its weights.
    """

    config: NetworkShape

    def __init__(self, config: NetworkShape) -> None:
        super().__init__()
        self.config = config
        self.shared = nn.Embedding(config.vocab_size, config.d_model)
        self.encoder, self.decoder = Stack(config, False), Stack(config, True)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self._add_parts(config)
