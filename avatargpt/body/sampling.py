"""Body codes for captions: prompts with examples, all candidates, and motion longer than one answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from avatargpt.body.model import BodyModel
from avatargpt.body.rerank import pick
from avatargpt.lm.loaded import CHUNK, CONTEXT
from avatargpt.options import mix
from avatargpt.requests.clauses import clauses
from avatargpt.requests.exemplars import EXAMPLES, example_slots
from instruct_data.prompts import Prompt
from vqvae.errors import UserError


def text_prompts(
    model: BodyModel, rows: Sequence[tuple[str, int, int]], retrieval: int
) -> tuple[list[Prompt], list[Prompt] | None]:
    """Prompts of `text_to_motion` for (caption, motion tokens or -1, seed): with examples, and (guidance) without.

    Args:
        retrieval: examples per clause, 0 = none (then the second list is None).
    """
    prompt, rate = model.loaded.prompt, model.tokenizer.tokens_per_second
    given: list[dict[str, Any]] = [
        {"caption": c} | ({} if t < 0 else {"seconds": min(t, CHUNK) / rate}) for c, t, _ in rows
    ]
    bare = [prompt("text_to_motion", g) for g in given]
    if not retrieval:
        return bare, None
    shown = _examples(model, [c for c, _, _ in rows], retrieval, [s for _, _, s in rows])
    return [prompt("text_to_motion", g | s) for g, s in zip(given, shown, strict=True)], bare


def _examples(
    model: BodyModel, texts: Sequence[str], count: int, seeds: Sequence[int]
) -> list[dict[str, np.ndarray]]:
    """Slots of `text_to_motion` with codes of the `count` exemplars nearest to each text.

    A text of several clauses gets one clip for each of the first two instead, in order, as in training.

    Raises:
        UserError: a model without a sentence encoder, or see `BodyModel.exemplars`.
    """
    if model.grounder is None:
        raise UserError(f"{model.loaded.source}: a model without a sentence encoder; accepted: retrieval off")
    parts = [clauses(t) for t in texts]
    asked = [(p, s) for some, s in zip(parts, seeds, strict=True) for p in some[:EXAMPLES]]
    found = iter(model.exemplars.nearest([p for p, _ in asked], model.grounder, count, seeds=[s for _, s in asked]))
    out = []
    for some in parts:
        rows = [next(found) for _ in some[:EXAMPLES]]
        shown = rows[0] if len(rows) == 1 else [r[0] for r in rows if r]
        out.append(example_slots([e.codes.astype(np.int64) for e in shown]))
    return out


def answers(
    model: BodyModel, captions: Sequence[str], tokens: Sequence[int], seeds: Sequence[int], samples: int,
    guidance: float, temperature: float,
) -> list[list[np.ndarray]]:  # fmt: skip
    """Every candidate that `generate` would rank: `samples` codes (N, R) for each caption, taken literally.

    Args:
        tokens: length of each, -1 = the model decides.
    """
    prompts, _ = text_prompts(model, list(zip(captions, tokens, seeds, strict=True)), 0)
    return model.loaded.sample(prompts, tokens, seeds, samples, guidance, temperature)


def prolonged(
    model: BodyModel, codes: np.ndarray, tokens: int, text: str, seed: int, guidance: float, best_of: int,
    temperature: float,
) -> np.ndarray:  # fmt: skip
    """Codes (N, R) continued until there are `tokens` of them; the context is bounded, and so is the memory."""
    part = 0
    if tokens < 0:
        return codes
    while len(codes) < tokens:
        part += 1
        want = min(CHUNK, tokens - len(codes))
        slots: dict[str, Any] = {"motion": codes[-CONTEXT:], "seconds": want / model.tokenizer.tokens_per_second}
        if text:
            slots["caption"] = text
        prompt = model.loaded.prompt("continuation", slots)
        found = model.loaded.sample([prompt], [want], [mix(seed, 500 + part)], best_of, guidance, temperature)
        more = pick(model, found, [text])[0] if text else found[0][0]
        codes = np.concatenate([codes, more])
    return codes[:tokens]
