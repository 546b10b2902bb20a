"""Prompts -> inputs of the encoder: ids, residual codes and grounding vectors, one padded batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from avatargpt.lm.shape import Shape
from instruct_data.mixture import pad
from instruct_data.registry import CodesSegment, Prompt

if TYPE_CHECKING:
    from avatargpt.lm.text_encoder import SentenceGrounder, TextTokenizer


@dataclass(frozen=True, eq=False)
class EncodedPrompt:
    """One prompt as `ids` (L,) int64 in the one id space and `residual` (L, R) codes of motion tokens, -1 elsewhere.

    `grounded`: the user's words, for the sentence encoder; None = none.
    """

    ids: np.ndarray
    residual: np.ndarray
    grounded: str | None


def encode_prompt(
    prompt: Prompt, text: TextTokenizer, config: Shape, words: bool = True, ground: bool = True
) -> EncodedPrompt:
    """Turn a task's segments into ids.

    `words` keeps the word pieces of the user's own text (instruction wording always stays), `ground` hands that text
    to the sentence encoder; neither gives the unconditional prompt of classifier-free guidance.
    """
    ids: list[int] = []
    rows: list[np.ndarray] = []
    words_to_ground: list[str] = []
    depth = max((m["levels"] for m in (config.modalities or {}).values()), default=1)
    for segment in prompt.segments:
        if isinstance(segment, CodesSegment):
            # all levels beside the ids of level 0; start and end have none
            first = config.first_id(segment.modality)
            codes = np.full((len(segment.codes) + 2, depth), -1, np.int64)
            codes[1:-1, : segment.codes.shape[1]] = segment.codes
            ids += [config.start_id(segment.modality), *(segment.codes[:, 0] + first), config.end_id(segment.modality)]
            rows.append(codes)
            continue
        # the user's words go to the sentence encoder too
        if segment.ground:
            words_to_ground.append(segment.text)
            if not words:
                continue
        pieces = text.encode(segment.text)
        ids += pieces
        rows.append(np.full((len(pieces), depth), -1, np.int64))
    residual = np.concatenate(rows) if rows else np.zeros((0, depth), np.int64)
    grounded = " ".join(words_to_ground) if words_to_ground and ground else None
    return EncodedPrompt(np.array(ids, np.int64), residual, grounded)


def encoder_inputs(
    prompts: Sequence[EncodedPrompt], grounder: SentenceGrounder | None, pad_id: int,
    device: torch.device | str = "cpu", multiple: int = 1,
) -> dict[str, Any]:
    """Keyword arguments of `AvatarGPTModel.encode` for a batch; lengths are padded up to a multiple."""
    ids, mask = pad([p.ids for p in prompts], pad_id, multiple)
    out: dict[str, Any] = {
        "input_ids": torch.from_numpy(ids).to(device), "attention_mask": torch.from_numpy(mask).long().to(device),
    }  # fmt: skip
    if any((p.residual >= 0).any() for p in prompts):
        out["residual_codes"] = torch.from_numpy(pad([p.residual for p in prompts], -1, multiple)[0]).to(device)
    if grounder is not None and any(p.grounded for p in prompts):
        out["extra_embeddings"] = [(*_states([p.grounded for p in prompts], grounder, device, multiple), "grounding")]
    return out


def _states(
    texts: Sequence[str | None], grounder: SentenceGrounder, device: torch.device | str, multiple: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token states of the given texts: (B, G, width) and mask (B, G); rows without text are all padding."""
    states = iter(grounder.states([t for t in texts if t]))
    rows = [next(states) if t else None for t in texts]
    longest = -(-max(len(r) for r in rows if r is not None) // multiple) * multiple
    width = next(r.shape[-1] for r in rows if r is not None)
    out, mask = torch.zeros(len(rows), longest, width), torch.zeros(len(rows), longest, dtype=torch.long)
    for b, r in enumerate(rows):
        if r is not None:
            out[b, : len(r)] = torch.as_tensor(np.asarray(r, np.float32))
            mask[b, : len(r)] = 1
    return out.to(device), mask.to(device)
