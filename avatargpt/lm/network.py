"""The language model in plain torch: embeddings of ids, codes and vectors, a head per modality, likelihoods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avatargpt.lm import flat
from avatargpt.lm.fused import stack
from avatargpt.lm.residual_decoder import ResidualDecoder, ResidualLevels
from avatargpt.lm.shape import IGNORED, TEXT, NetworkShape, Shape, length_boundaries
from avatargpt.lm.t5 import Stack
from vqvae.errors import UserError

TIED = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")  # the library's further names of `shared.weight`
Heads = str | Sequence[str] | Tensor
# vectors (B, G, width), their mask (B, G), and the name of their adapter
Extra = tuple[Tensor, Tensor, str]


class CodeAdapter(nn.Module):
    """Codes of one modality -> (N, d_model): a linear map of their vectors, summed over levels; rows for start and end.

    The codebooks are frozen copies of the tokenizer's.
    """

    codebooks: Tensor
    scale: Tensor

    def __init__(self, codebook_size: int, levels: int, code_dim: int, d_model: int) -> None:
        super().__init__()
        self.codebook_size, self.levels = codebook_size, levels
        self.register_buffer("codebooks", torch.zeros(levels, codebook_size, code_dim))
        self.register_buffer("scale", torch.ones(()))
        self.linear = nn.Linear(code_dim, d_model)
        self.marks = nn.Embedding(2, d_model)

    def vectors(self, codes: Tensor) -> Tensor:
        """Scaled sum of code vectors: codes (..., r), r <= R levels, entries below 0 left out -> (..., C)."""
        total = self.codebooks.new_zeros(*codes.shape[:-1], self.codebooks.shape[-1])
        for level in range(min(codes.shape[-1], self.levels)):
            code = codes[..., level]
            row = self.codebooks[level][code.clamp(min=0)]
            total = total + (row if level == 0 else row * (code >= 0)[..., None])
        return total * self.scale

    def forward(self, local: Tensor, residual: Tensor | None = None) -> Tensor:
        """Embed ids (N,) int64 counted from the block's first: codes 0..K-1, K = start, K + 1 = end.

        `residual` (N, >= R): all levels of the same tokens; column 0 is not read, entries below 0 = unknown.
        """
        is_code = local < self.codebook_size
        codes = local.clamp(max=self.codebook_size - 1)[:, None]
        if residual is not None and self.levels > 1:
            codes = torch.cat([codes, residual[:, 1 : self.levels].to(codes.dtype)], dim=1)
        rows = self.linear(self.vectors(codes))
        marks = self.marks((local - self.codebook_size).clamp(min=0))
        return torch.where(is_code[:, None], rows, marks.to(rows.dtype))

    def table(self) -> Tensor:
        """(K + 2, d_model) embedding of every id of the block, level 0 only."""
        return self(torch.arange(self.codebook_size + 2, device=self.codebooks.device))


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
    """Embedding of the number of remaining motion tokens; below 0 = unknown (the last row)."""

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


class Network(ResidualLevels):
    """The additions that make a T5 a motion model: inputs for codes and vectors, and an untied head per modality.

    Ids share one space (see `avatargpt.lm.shape`); `head` selects the block that the decoder may choose from. Shapes: B
    batch, L length, S encoder states, R residual levels, K codes, V text ids.
    """

    config: Any
    shared: nn.Embedding
    encoder: Any
    decoder: Any
    lm_head: nn.Linear
    codes: nn.ModuleDict
    extra: nn.ModuleDict
    heads: nn.ModuleDict
    countdown: LengthConditioning | None
    fused = False  # run by `avatargpt.lm.fused`: training without dropout
    flat = False  # run by `avatargpt.lm.flat`: training on a CPU
    compiled = False  # those layers through `torch.compile`
    even = 1  # encoder lengths are padded up to a multiple: training prepares kernels once per shape

    def _add_parts(self, config: Shape) -> None:
        specs: dict[str, dict[str, int]] = config.modalities or {}
        self.codes = nn.ModuleDict({
            name: CodeAdapter(s["codebook_size"], s["levels"], s["code_dim"], config.d_model)
            for name, s in specs.items()
        })
        self.heads = nn.ModuleDict({
            name: nn.Linear(config.d_model, s["codebook_size"] + 2) for name, s in specs.items()
        })
        self.refiners = nn.ModuleDict({
            name: ResidualDecoder(config, name) for name, s in specs.items() if s["levels"] > 1
        })
        widths = dict(config.extra_inputs or {}) | ({"grounding": config.grounding_dim} if config.grounding_dim else {})
        self.extra = nn.ModuleDict({name: VectorAdapter(width, config.d_model) for name, width in widths.items()})
        self.countdown = LengthConditioning(config) if config.countdown_buckets else None

    @torch.no_grad()
    def set_codebooks(self, modality: str, codebooks: Tensor, fingerprint: str) -> None:
        """Copy a tokenizer's codebooks (R, K, C) in and remember its fingerprint."""
        spec = self.config.modality(modality)
        expected = (spec["levels"], spec["codebook_size"], spec["code_dim"])
        if tuple(codebooks.shape) != expected:
            raise UserError(f"codebooks of '{modality}': {tuple(codebooks.shape)}; this model takes {expected}")
        adapter: Any = self.codes[modality]
        adapter.codebooks.copy_(codebooks)
        # code vectors enter with the size of text embeddings
        length = codebooks[0].float().norm(dim=-1).mean().clamp(min=1e-6)
        # The mean length of a level-0 vector becomes sqrt(C), the size of text embeddings, whatever the units.
        adapter.scale.fill_(spec["code_dim"] ** 0.5 / float(length))
        self.config.fingerprints = {**(self.config.fingerprints or {}), modality: fingerprint}

    def check_fingerprint(self, modality: str, fingerprint: str) -> None:
        """Refuse a tokenizer that the model was not trained with, or of a modality without codebooks: `UserError`."""
        self.config.modality(modality)
        trained_with = (self.config.fingerprints or {}).get(modality)
        if trained_with != fingerprint:
            state = f"was trained with {trained_with[:12]}" if trained_with else "has no codebooks yet"
            raise UserError(
                f"tokenizer of '{modality}': fingerprint {fingerprint[:12]}, but this language model {state}; "
                "only the tokenizer it was trained with is accepted"
            )

    def embed(self, ids: Tensor, residual_codes: Tensor | None = None) -> Tensor:
        """Vectors (B, L, d_model) of ids (B, L) int64.

        `residual_codes` (B, L, R): all levels of prompt tokens, whose vectors are summed; column 0 is not read (the
        id says it), below 0 = unknown. None: level 0 only, as the decoder sees its own tokens.
        """
        text = ids < self.config.vocab_size
        out = self.shared(torch.where(text, ids, self.config.pad_token_id or 0))
        on_cpu = ids.device.type == "cpu"
        if not self.codes or (on_cpu and bool(text.all())):
            return out
        # ids of a modality's block are replaced by the adapter's vectors
        for name, adapter in self.codes.items():
            first = self.config.first_id(name)
            inside = (ids >= first) & (ids < first + self.config.size(name))
            if not on_cpu:  # at all places: a device would have to be asked which ones they are
                local = (ids - first).clamp(0, self.config.size(name) - 1).flatten()
                rows = adapter(local, None if residual_codes is None else residual_codes.flatten(0, 1))
                out = torch.where(inside[..., None], rows.unflatten(0, ids.shape).to(out.dtype), out)
            elif bool(inside.any()):
                residual = None if residual_codes is None else residual_codes[inside]
                out[inside] = adapter(ids[inside] - first, residual).to(out.dtype)
        return out

    def embed_decoder(self, ids: Tensor, remaining: Tensor | None = None) -> Tensor:
        """(B, L) ids and numbers of remaining motion tokens (None or below 0: unknown) -> (B, L, d_model)."""
        out = self.embed(ids)
        if self.countdown is not None:
            count = torch.full((1, 1), -1, device=ids.device) if remaining is None else remaining
            out = out + self.countdown(count).to(out.dtype)
        return out

    def inputs(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, residual_codes: Tensor | None = None,
        extra_embeddings: Sequence[Extra] | None = None, longest: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Inputs of the encoder: vectors (B, S, d_model) and their mask (B, S) int64, S of the longest row.

        Args:
            input_ids: (B, L). attention_mask: (B, L), 1 = token; None: everything but padding ids.
            residual_codes: see `embed`.
            extra_embeddings: (vectors (B, G, width), mask (B, G), adapter name) each, put behind the tokens.
            longest: inputs of the longest row, where that is known.
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
            count = int(full.sum(1).max()) if longest is None else longest
            width = -(-max(count, 1) // self.even) * self.even
            order = torch.argsort(full, dim=1, descending=True, stable=True)[:, :width]
            full = full.gather(1, order)
            vectors = vectors.gather(1, order[..., None].expand(-1, -1, vectors.shape[-1]))
        return vectors, full

    def encode(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, residual_codes: Tensor | None = None,
        extra_embeddings: Sequence[Extra] | None = None, longest: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Run the encoder over `inputs`: states (B, S, d_model) and their mask (B, S) int64."""
        vectors, mask = self.inputs(input_ids, attention_mask, residual_codes, extra_embeddings, longest)
        if self.flat:
            return flat.stack(self.encoder, vectors, mask), mask
        if self.fused:
            return stack(self.encoder, self.config, False, vectors, mask, compiled=self.compiled), mask
        return self.encoder(inputs_embeds=vectors, attention_mask=mask).last_hidden_state, mask

    def head_names(self, head: Heads, batch: int) -> str | list[str]:
        """One name if the batch shares a head, else one per row. Tensors index `config.heads`."""
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
        labelled = labels != IGNORED
        loss = torch.zeros(labels.shape, dtype=torch.float32, device=labels.device)
        heads = [names] if isinstance(names, str) else list(dict.fromkeys(names))
        # At all positions: fewer shapes, and a device need not be asked which ones are labelled.
        if not smoothing and (labels.device.type != "cpu" or (isinstance(names, str) and self.even > 1)):
            for name in heads:
                target = torch.where(labelled, labels - self.config.first_id(name), IGNORED)
                if not isinstance(names, str):
                    rows = torch.tensor([n == name for n in names], device=labels.device)
                    target = target.masked_fill(~rows[:, None], IGNORED)
                logits = self.head_logits(hidden, name).float()
                loss = loss + F.cross_entropy(logits.mT, target, ignore_index=IGNORED, reduction="none")
            return loss
        # each head computes logits for its labelled positions alone
        for name in heads:
            at = labelled
            if not isinstance(names, str):
                at = labelled & torch.tensor([n == name for n in names], device=labels.device)[:, None]
            target = labels[at] - self.config.first_id(name)
            if target.numel() and not 0 <= int(target.min()) <= int(target.max()) < self.config.size(name):
                raise ValueError(f"labels of head '{name}' lie outside its ids")
            logits = self.head_logits(hidden[at], name).float()
            # the start id of a modality is impossible and takes no part in smoothing
            if smoothing:
                logp = logits.log_softmax(-1)
                flat = logp.masked_fill(logp == float("-inf"), 0).sum(-1) / (logp.shape[-1] - (name != TEXT))
                value = -(1 - smoothing) * logp.gather(-1, target[:, None])[:, 0] - smoothing * flat
            else:
                value = F.cross_entropy(logits, target, reduction="none")
            loss = loss.masked_scatter(at, value)
        return loss

    def likelihood(self, states: Tensor, mask: Tensor, labels: Tensor, head: str) -> Tensor:
        """Cross-entropy (B, L) in nats of given answers (B, L), 0 where the label is ignored; teacher-forced.

        `states` (B, S, d_model) of the encoder, `mask` (B, S).
        """
        names = self.head_names(head, len(states))
        hidden = self.decoder(
            inputs_embeds=self.embed_decoder(self.shift_right(labels, head)), encoder_hidden_states=states,
            encoder_attention_mask=mask,
        ).last_hidden_state
        return self._token_loss(hidden, labels, names, 0.0)


class LanguageNetwork(Network):
    """The model for use, with the parameter names of `avatargpt.lm.model.AvatarGPTModel`, which is for training.

    It has no initialisation: `checkpoint.load_network` loads its weights.
    """

    config: NetworkShape

    def __init__(self, config: NetworkShape) -> None:
        super().__init__()
        self.config = config
        self.shared = nn.Embedding(config.vocab_size, config.d_model)
        self.encoder, self.decoder = Stack(config, False), Stack(config, True)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self._add_parts(config)
