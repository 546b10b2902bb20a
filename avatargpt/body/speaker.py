"""`Speaker`: a loaded model with its tokenizers, and the three things everything else is made of: prompts, samples,
likelihoods."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from avatargpt import resources
from avatargpt.body.rerank import pick
from avatargpt.language.clauses import clauses
from avatargpt.model.encoding import encode_prompt, encoder_inputs
from avatargpt.model.precision import fast_bfloat16, usable
from avatargpt.model.scorer import TextMotionScorer
from avatargpt.model.text_encoder import SentenceGrounder, TextTokenizer
from avatargpt.requests import mix, plain
from avatargpt.retrieval.exemplars import EXAMPLES, ExemplarBank, example_slots, open_exemplars
from avatargpt.retrieval.phrases import PhraseIndex
from instruct_data import registry
from instruct_data.prompts import Prompt
from vqvae.errors import UserError
from vqvae.tokenizer import MotionTokenizer

if TYPE_CHECKING:
    from avatargpt.decoding import generate
    from avatargpt.model.model import AvatarGPTModel

CHUNK = 56  # motion tokens decoded in one go (11.2 s); longer motion continues from its own tail
CONTEXT = 16  # motion tokens of context on each side
ROWS = 64  # answers decoded side by side
DETAIL = 7_001  # of the random stream of the residual levels
DETAILED, DETAIL_TOP = 1.0, 50  # their temperature as a share of level 0's, and how many codes they choose from
SETTLED = 1.0  # `sharpness` where they are not drawn (`ResidualLevels.refine`)


class Speaker:
    """Loads a model and speaks through it; see `avatargpt.api.AvatarGPT` for what users call."""

    def __init__(
        self, model: AvatarGPTModel, text: TextTokenizer, tokenizers: dict[str, MotionTokenizer],
        dtype: torch.dtype = torch.float32, source: str = "", phrase_index: PhraseIndex | None = None,
        motion_scorer: TextMotionScorer | None = None,
    ) -> None:
        from avatargpt.decoding.generate import Generator

        for name, tokenizer in tokenizers.items():
            model.check_fingerprint(name, tokenizer.fingerprint)
        self.model, self.text, self.tokenizers, self.source = model, text, tokenizers, source
        self.phrase_index, self.motion_scorer = phrase_index, motion_scorer
        self.generator = Generator(model, dtype)
        self.grounder = SentenceGrounder() if model.config.grounding_dim else None
        self.device = model.shared.weight.device

    @classmethod
    def from_pretrained(
        cls, path: str | os.PathLike[str] | None = None, device: str | None = None,
        dtype: str | torch.dtype | None = None, threads: int | None = None,
    ) -> Self:
        """Load a model folder; the packaged weights by default.

        Args:
            path: folder with config.json, model*.safetensors, spiece.model and one folder per modality's tokenizer.
            device: ``cpu``, ``cuda``, ...; default: a GPU when there is one.
            dtype: ``float32`` (default) or ``bfloat16`` (a warning where the processor is slower at it).
            threads: CPU threads.

        Raises:
            UserError: no such device, missing or damaged files, or a tokenizer that the model was not trained with.
        """
        from avatargpt.model.checkpoint import load_model

        if threads:
            torch.set_num_threads(threads)
        folder = Path(path) if path is not None else resources.weights()
        where = usable(device)
        kind = getattr(torch, dtype) if isinstance(dtype, str) else dtype or torch.float32
        if kind == torch.bfloat16 and not fast_bfloat16(where):
            warnings.warn(f"this {where} computes bfloat16 slower than float32", stacklevel=2)
        model = load_model(folder, where, torch.float32)
        tokenizers = {name: MotionTokenizer.load(folder / name, where) for name in model.config.modalities or {}}
        beside = PhraseIndex.load(folder), TextMotionScorer.load(folder)
        return cls(model, TextTokenizer.load(folder), tokenizers, kind, str(folder), *beside)

    # Prompts

    def _prompt(self, task: str, slots: dict[str, Any]) -> Prompt:
        return registry.get_task(task).render(slots)

    @cached_property
    def exemplars(self) -> ExemplarBank:
        """Clips that can stand as examples; read on first use.

        Raises:
            UserError: there are none, or they were made with another tokenizer.
        """
        return open_exemplars(self.source, self._tokenizer("body").fingerprint)

    def _examples(self, texts: Sequence[str], count: int, seeds: Sequence[int]) -> list[dict[str, np.ndarray]]:
        """Slots of `text_to_motion` with codes of the `count` library clips nearest to each text.

        A text of several clauses gets one clip for each of the first two instead, in order, as in training.

        Raises:
            UserError: a model without a sentence encoder, or see `exemplars`.
        """
        if self.grounder is None:
            raise UserError(f"{self.source}: a model without a sentence encoder; accepted: retrieval off")
        parts = [clauses(t) for t in texts]
        asked = [(p, s) for some, s in zip(parts, seeds, strict=True) for p in some[:EXAMPLES]]
        found = iter(self.exemplars.nearest([p for p, _ in asked], self.grounder, count, seeds=[s for _, s in asked]))
        out = []
        for some in parts:
            rows = [next(found) for _ in some[:EXAMPLES]]
            shown = rows[0] if len(rows) == 1 else [r[0] for r in rows if r]
            out.append(example_slots([e.codes.astype(np.int64) for e in shown]))
        return out

    def _asked(
        self, rows: Sequence[tuple[str, int, int]], retrieval: int
    ) -> tuple[list[Prompt], list[Prompt] | None]:
        """Prompts of `text_to_motion` for (caption, motion tokens or -1, seed): with examples, and (guidance) without.

        Args:
            retrieval: examples per clause, 0 = none (then the second list is None).
        """
        rate = self._tokenizer("body").tokens_per_second
        given: list[dict[str, Any]] = [
            {"caption": c} | ({} if t < 0 else {"seconds": min(t, CHUNK) / rate}) for c, t, _ in rows
        ]
        bare = [self._prompt("text_to_motion", g) for g in given]
        if not retrieval:
            return bare, None
        shown = self._examples([c for c, _, _ in rows], retrieval, [s for _, _, s in rows])
        return [self._prompt("text_to_motion", g | s) for g, s in zip(given, shown, strict=True)], bare

    def _encode(self, prompts: Sequence[Prompt], words: bool = True, ground: bool = True) -> generate.Prompt:
        rows = [encode_prompt(p, self.text, self.model.config, words, ground) for p in prompts]
        pad = self.model.config.pad_token_id or 0
        inputs = encoder_inputs(rows, self.grounder if ground else None, pad, self.device)
        return self.generator.encode(
            inputs["input_ids"], inputs["attention_mask"], inputs.get("residual_codes"), inputs.get("extra_embeddings")
        )

    def _tokenizer(self, modality: str) -> MotionTokenizer:
        if modality not in self.tokenizers:
            raise UserError(f"modality {modality!r}: this model has {', '.join(self.tokenizers) or 'none'}")
        return self.tokenizers[modality]

    def _sample(
        self, prompts: Sequence[Prompt], lengths: Sequence[int], seeds: Sequence[int], samples: int, guidance: float,
        temperature: float, top_k: int = 50, bare: Sequence[Prompt] | None = None, settled: bool = False,
    ) -> list[list[np.ndarray]]:
        """Codes (N, R) of `samples` answers per prompt; lengths in tokens, -1 = the model decides.

        `bare`: the same prompts without examples; guidance leads away from these, their words left out. `settled`:
        residual levels as expected instead of drawn, for what shall be near to a motion that is not told.
        """
        head = prompts[0].head
        out: list[list[np.ndarray]] = []
        per = max(1, ROWS // samples)
        for i in range(0, len(prompts), per):
            some, empty = prompts[i : i + per], (bare or prompts)[i : i + per]
            seeds_here = [mix(s, j) for s in seeds[i : i + per] for j in range(samples)]
            decoded = self.generator.decode(
                self._encode(some), head, max_tokens=CHUNK + CONTEXT, length=list(lengths[i : i + per]),
                samples=samples,
                uncond=self._encode(empty, words=False, ground=False) if guidance != 1.0 else None,
                guidance=guidance, temperature=temperature, top_k=top_k, seed=seeds_here, min_tokens=2,
            )  # fmt: skip
            codes = self.model.refine(
                decoded.hidden, decoded.codes.clamp(min=0), decoded.mask, head, [mix(s, DETAIL) for s in seeds_here],
                0.0 if settled else DETAILED * temperature, DETAIL_TOP, SETTLED,
            ).cpu().numpy()  # fmt: skip
            counts = decoded.lengths.tolist()
            rows = [codes[r, : counts[r]] for r in range(len(counts))]
            out += [rows[k * samples : (k + 1) * samples] for k in range(len(some))]
        return out

    def answers(
        self, captions: Sequence[str], tokens: Sequence[int], seeds: Sequence[int], samples: int = 8,
        guidance: float = 1.5, temperature: float = 0.8,
    ) -> list[list[np.ndarray]]:
        """Every candidate that `generate` would rank: `samples` codes (N, R) for each caption, taken literally.

        Args:
            tokens: length of each, -1 = the model decides.
        """
        prompts, _ = self._asked(list(zip(captions, tokens, seeds, strict=True)), 0)
        return self._sample(prompts, tokens, seeds, samples, guidance, temperature)

    def likelihood(self, codes: Sequence[np.ndarray], texts: Sequence[str]) -> np.ndarray:
        """Mean log-probability per word piece (nats) that `describe` gives each text for its motion, (B,)."""
        prompts = [self._prompt("motion_to_text", {"motion": c[:CHUNK + CONTEXT]}) for c in codes]
        scores = []
        for i in range(0, len(prompts), ROWS):
            targets = [self.text.encode(plain(t)) for t in texts[i : i + ROWS]]
            scores.append(self.generator.score(self._encode(prompts[i : i + ROWS]), targets, "text").mean)
        return torch.cat(scores).cpu().numpy()

    def fit(self, codes: Sequence[np.ndarray], texts: Sequence[str]) -> np.ndarray:
        """How well each motion fits its text, (B,): the matcher's cosine of the decoded motion and the sentence.

        Without a matcher the likelihood of the text as the motion's description takes its place.
        """
        if self.motion_scorer is None or self.grounder is None:
            return self.likelihood(codes, texts)
        said = self.motion_scorer.texts(texts, self.grounder)
        return np.asarray((self._seen(self.motion_scorer, codes) * said).sum(1))

    def _seen(self, motion_scorer: TextMotionScorer, codes: Sequence[np.ndarray]) -> np.ndarray:
        """Decoded motions as the matcher sees them, (B, dim)."""
        tokenizer = self._tokenizer("body")
        return motion_scorer.motions([tokenizer.decode(c).joints for c in codes], tokenizer.spec.fps)

    def _prolong(
        self, codes: np.ndarray, tokens: int, text: str, seed: int, guidance: float, best_of: int, temperature: float
    ) -> np.ndarray:
        """Continue codes (N, R) until there are `tokens` of them; context is bounded, so memory is too."""
        part = 0
        if tokens < 0:
            return codes
        while len(codes) < tokens:
            part += 1
            want = min(CHUNK, tokens - len(codes))
            seconds = want / self._tokenizer("body").tokens_per_second
            slots: dict[str, Any] = {"motion": codes[-CONTEXT:], "seconds": seconds}
            if text:
                slots["caption"] = text
            found = self._sample(
                [self._prompt("continuation", slots)], [want], [mix(seed, 500 + part)], best_of, guidance, temperature
            )
            more = pick(self, found, [text])[0] if text else found[0][0]
            codes = np.concatenate([codes, more])
        return codes[:tokens]
