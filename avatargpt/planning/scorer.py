"""Does this activity make sense here? A small network that tells true activities from corrupted ones.

It reads sentence vectors, and how many rare words are shared: the scene, the activity, the last step before it and
its steps in order. Trained in
`avatargpt.evaluation.text.plan_judge` against steps that are shuffled, repeated, or come from elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from avatargpt.planning.marks import unmarked
from avatargpt.planning.store import PlanLibrary
from avatargpt.requests.lexical import WordIndex, lemmas
from vqvae.errors import UserError

MOST_STEPS = 6
COSINES, WORDS = 6, 5


@dataclass(frozen=True)
class Question:
    """One activity to be judged; K components everywhere.

    Attributes:
        scene: (K,). task: (K,). before: (K,) the step before, zeros where there is none. steps: (n <= 6, K).
        words: (5,) what the texts have in common (`Overlap`).
    """

    scene: np.ndarray
    task: np.ndarray
    before: np.ndarray
    steps: np.ndarray
    words: np.ndarray


class Overlap:
    """Words in common, weighted by how rare they are in the library; 1 = one word that is there once."""

    def __init__(self, library: PlanLibrary) -> None:
        self.index = WordIndex.of([*library.tasks, *library.steps])
        self._weight, self._rarest = self.index.weight, self.index.rarest
        self.bag = lru_cache(60_000)(self._bag)

    def _bag(self, text: str) -> dict[str, float]:
        words = lemmas(unmarked(text))
        return {w: self._weight.get(w, self._rarest) / self._rarest for w in words}

    def __call__(self, scene: str, task: str, before: str, steps: Sequence[str]) -> np.ndarray:
        """(5,): scene and task, scene and steps, task and steps, a step and the next, the step before and the rest."""
        own, about, last = self.bag(scene), self.bag(task), self.bag(before)
        done = [self.bag(s) for s in steps]
        every = {w: v for d in done for w, v in d.items()}
        follows = sum(_shared(a, b) for a, b in pairwise(done)) / max(len(done) - 1, 1)
        pairs = ((own, about), (own, every), (about, every), (last, every))
        first, second, third, fourth = (_shared(a, b) for a, b in pairs)
        return np.array([first, second, third, follows, fourth], np.float32)


def _shared(left: dict[str, float], right: dict[str, float]) -> float:
    return sum(v for w, v in left.items() if w in right)


def batch(questions: Sequence[Question]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(B, 3 + 6, K) vectors, (B, 3 + 6) bool, true where there is one, and (B, 5) words in common."""
    width = questions[0].scene.shape[0]
    out = np.zeros((len(questions), 3 + MOST_STEPS, width), np.float32)
    there = np.zeros(out.shape[:2], bool)
    for b, q in enumerate(questions):
        kept = q.steps[:MOST_STEPS]
        out[b, 0], out[b, 1], out[b, 2] = q.scene, q.task, q.before
        out[b, 3 : 3 + len(kept)] = kept
        there[b, : 3 + len(kept)] = True
    there[:, 2] = np.abs(out[:, 2]).sum(-1) > 0
    return out, there, np.stack([q.words for q in questions]).astype(np.float32)


class Scorer(nn.Module):
    """Transformer over 3 + 6 sentence vectors.

    Args:
        width: K, components of a vector. dim, layers, heads: of the network. projections: relation -> (K, P), whose
            cosines are features beside the attention's.
    """

    def __init__(
        self, width: int, projections: dict[str, np.ndarray], dim: int = 64, layers: int = 2, heads: int = 4,
        dropout: float = 0.2,
    ) -> None:  # fmt: skip
        super().__init__()
        self.width, self.dim = width, dim
        self.scene, self.task, self.step = (nn.Linear(width, dim) for _ in range(3))
        self.place = nn.Parameter(torch.randn(3 + MOST_STEPS, dim) * 0.1)
        layer = nn.TransformerEncoderLayer(dim, heads, 2 * dim, dropout, batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.pairs = nn.Sequential(nn.Linear(2 * dim, dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(dim, 1))
        wide = 2 * dim + COSINES + WORDS
        self.head = nn.Sequential(nn.Linear(wide, dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(dim, 1))
        self.drop = nn.Dropout(dropout)
        self._relations = {
            k: torch.from_numpy(np.ascontiguousarray(v, dtype=np.float32)) for k, v in projections.items()
        }

    def _cosine(self, relation: str, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        a = left @ self._relations[f"{relation}/from"]
        b = right @ self._relations[f"{relation}/to"]
        return nn.functional.cosine_similarity(a, b, dim=-1)

    def _features(self, x: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        steps, mask = x[:, 3:], there[:, 3:].float()
        mean = (steps * mask[..., None]).sum(1)
        follows = self._cosine("step_next", steps[:, :-1], steps[:, 1:]) * mask[:, 1:]
        pairs = mask[:, 1:].sum(1).clamp(min=1)
        same = steps @ steps.transpose(1, 2) - 2 * torch.eye(MOST_STEPS)
        entry = self._cosine("step_next", x[:, 2], steps[:, 0]) * there[:, 2]
        return torch.stack([
            self._cosine("scene_task", x[:, 0], x[:, 1]), self._cosine("scene_steps", x[:, 0], mean),
            self._cosine("task_steps", x[:, 1], mean), follows.sum(1) / pairs, same.flatten(1).max(1).values, entry,
        ], -1)  # fmt: skip

    def forward(self, x: torch.Tensor, there: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """(B, 9, K), (B, 9) bool, (B, 5) -> (B,) logits; above 0 = true rather than corrupted."""
        features = self._features(x, there)
        x = self.drop(x)
        h = torch.cat([self.scene(x[:, :1]), self.task(x[:, 1:2]), self.step(x[:, 2:])], 1) + self.place
        h = self.body(h, src_key_padding_mask=~there)
        mask = there.float()
        steps = (h[:, 3:] * mask[:, 3:, None]).sum(1) / mask[:, 3:].sum(1, keepdim=True).clamp(min=1)
        order = self.pairs(torch.cat([h[:, 2:-1], h[:, 3:]], -1)).squeeze(-1) * mask[:, 3:]
        whole = self.head(torch.cat([steps, h[:, 1], 2 * features, words], -1)).squeeze(-1)
        return whole + order.sum(1) / mask[:, 3:].sum(1).clamp(min=1)

    @classmethod
    def of(cls, library: PlanLibrary) -> Scorer:
        """The trained scorer of a library.

        Raises:
            UserError: the library was made by another version.
        """
        try:
            width, dim = library.step_vectors.shape[1], len(library.scorer["place"][0])
            layers = len({k.split(".")[2] for k in library.scorer if k.startswith("body.layers.")})
            scorer = cls(width, library.projections, dim, layers)
            state = {k: torch.from_numpy(v.astype(np.float32)) for k, v in library.scorer.items()}
            scorer.load_state_dict(state)
        except (RuntimeError, KeyError, IndexError) as e:
            reason = str(e).splitlines()[0]
            raise UserError(
                f"planning.safetensors: not a library of this version ({reason}); make it anew with the planner stage "
                "of scripts/train.py"
            ) from None
        return scorer.eval()

    @torch.inference_mode()
    def logits(self, questions: Sequence[Question]) -> np.ndarray:
        """(B,) logits."""
        if not questions:
            return np.zeros(0, np.float32)
        parts = []
        for start in range(0, len(questions), 512):
            parts.append(self(*(torch.from_numpy(v) for v in batch(questions[start : start + 512]))).numpy())
        return np.concatenate(parts)

    def score(self, questions: Sequence[Question]) -> np.ndarray:
        """(B,) probabilities of being true."""
        probabilities: np.ndarray = 1 / (1 + np.exp(-self.logits(questions)))
        return probabilities
