"""Scores of plans: a small network that distinguishes coherent from corrupted activities, and a sum of terms."""
# The network reads sentence vectors and the number of shared rare words: of the scene, the activity, the last step
# before it and its steps in order. The actor is found by rules (`avatargpt.planning.library`); the weights of the terms
# are by hand.

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from avatargpt.planning.library import PlanLibrary, actor_of, neutral, strip_marks, who, word_for_encoder
from avatargpt.planning.types import Activity
from avatargpt.requests.english import GENDER_OF, WORD, WordIndex, lemmas, strange_names, subject_of
from avatargpt.requests.vector_index import unit
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.lm.text_encoder import SentenceGrounder

MAX_SCORED_STEPS = 6
COSINE_FEATURES, WORD_FEATURES = 6, 5


@dataclass(frozen=True)
class Question:
    """One activity to be judged; K components everywhere."""

    scene: np.ndarray  # (K,)
    task: np.ndarray  # (K,)
    before: np.ndarray  # (K,) the step before, zeros where there is none
    steps: np.ndarray  # (n <= 6, K)
    words: np.ndarray  # (5,) what the texts have in common (`Overlap`)


class Overlap:
    """Words in common, weighted by their rarity in the library; 1 = one word that occurs once."""

    def __init__(self, library: PlanLibrary) -> None:
        self.index = WordIndex.of([*library.tasks, *library.steps])
        self._weight, self._rarest = self.index.weight, self.index.rarest
        self.bag = lru_cache(60_000)(self._bag)

    def _bag(self, text: str) -> dict[str, float]:
        words = lemmas(strip_marks(text))
        return {w: self._weight.get(w, self._rarest) / self._rarest for w in words}

    def __call__(self, scene: str, task: str, before: str, steps: Sequence[str]) -> np.ndarray:
        """(5,): scene and task, scene and steps, task and steps, a step and the next, the step before and the rest."""
        scene_bag, about, last = self.bag(scene), self.bag(task), self.bag(before)
        step_bags = [self.bag(s) for s in steps]
        every = {w: v for d in step_bags for w, v in d.items()}
        follows = sum(_measure_shared(a, b) for a, b in pairwise(step_bags)) / max(len(step_bags) - 1, 1)
        pairs = ((scene_bag, about), (scene_bag, every), (about, every), (last, every))
        first, second, third, fourth = (_measure_shared(a, b) for a, b in pairs)
        return np.array([first, second, third, follows, fourth], np.float32)


def _measure_shared(left: dict[str, float], right: dict[str, float]) -> float:
    return sum(v for w, v in left.items() if w in right)


def batch(questions: Sequence[Question]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(B, 3 + 6, K) vectors, (B, 3 + 6) bool, true where there is one, and (B, 5) words in common."""
    width = questions[0].scene.shape[0]
    out = np.zeros((len(questions), 3 + MAX_SCORED_STEPS, width), np.float32)
    there = np.zeros(out.shape[:2], bool)
    for b, q in enumerate(questions):
        steps = q.steps[:MAX_SCORED_STEPS]
        out[b, 0], out[b, 1], out[b, 2] = q.scene, q.task, q.before
        out[b, 3 : 3 + len(steps)] = steps
        there[b, : 3 + len(steps)] = True
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
        self.place = nn.Parameter(torch.randn(3 + MAX_SCORED_STEPS, dim) * 0.1)
        layer = nn.TransformerEncoderLayer(dim, heads, 2 * dim, dropout, batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.pairs = nn.Sequential(nn.Linear(2 * dim, dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(dim, 1))
        wide = 2 * dim + COSINE_FEATURES + WORD_FEATURES
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
        same = steps @ steps.transpose(1, 2) - 2 * torch.eye(MAX_SCORED_STEPS)
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
        overall = self.head(torch.cat([steps, h[:, 1], 2 * features, words], -1)).squeeze(-1)
        return overall + order.sum(1) / mask[:, 3:].sum(1).clamp(min=1)

    @classmethod
    def of(cls, library: PlanLibrary) -> Scorer:
        """The trained scorer of a library; raises UserError for one of another version."""
        try:
            width, dim = library.step_vectors.shape[1], len(library.scorer["place"][0])
            layers = len({k.split(".")[2] for k in library.scorer if k.startswith("body.layers.")})
            scorer = cls(width, library.projections, dim, layers)
            state = {k: torch.from_numpy(v.astype(np.float32)) for k, v in library.scorer.items()}
            scorer.load_state_dict(state)
        except (RuntimeError, KeyError, IndexError) as e:
            reason = str(e).splitlines()[0]
            raise UserError(
                f"planning.safetensors: not a library of this version ({reason}); accepted: that of the packaged "
                "weights"
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
        return 1 / (1 + np.exp(-self.logits(questions)))


COHERENCE_WEIGHT, KNOWN_WEIGHT, WEAK_WEIGHT, REPEAT_WEIGHT, STRANGER_WEIGHT, NAME_WEIGHT = 1.0, 1.0, 1.0, 2.0, 1.0, 0.5
# cosine from which a step repeats an earlier one
MIN_SAME_COSINE = 0.85
# as `executable.MIN_SCORE`: below it a step is hardly known
MIN_KNOWN_SCORE = 0.62
# worth from which no other sample is asked for: half of the written plans are so good
GOOD_PLAN = 1.35
ACTOR_WORDS = ("he", "she", "it", "they", "the person", "a person", "person")


def actor_in(scene: str) -> str:
    """``he``, ``she`` or ``it`` where the scene names its actor, else empty. A rule on words."""
    person = who(scene, {}, "they")
    return person.gender if person.gender in ("he", "she", "it") else ""


def strangers(scene: str, steps: Sequence[str]) -> int:
    """Number of steps of somebody else than the actor of the scene. A rule: the words before the verb."""
    actor = actor_in(scene) or actor_of(list(steps))
    noun = who(scene, {}, "they").noun.split()[-1] if actor else ""
    count = 0
    for step in steps:
        subject = subject_of(step).lower()
        last = subject.split()[-1] if subject else ""
        if not subject or subject in ACTOR_WORDS or last == noun:
            count += subject in ("he", "she") and actor in ("he", "she") and subject != actor
            continue
        body = any(w in ("his", "her", "its", "their") for w in subject.split())  # "his arms rise"
        count += not body and not (GENDER_OF.get(last) == actor and last in [w.lower() for w in WORD.findall(scene)])
    return count


@dataclass(frozen=True)
class Worth:
    """Terms of a plan."""

    coherent: float  # mean probability that an activity makes sense in the scene
    known_steps: float  # mean of the steps' scores, each at most 1
    # weak, repeated, strangers: shares of steps hardly known, that repeat one, and done by another person
    weak: float
    repeated: float
    strangers: float
    names: float  # 1 where people are named that the scene does not mention, else 0

    @property
    def sum(self) -> float:
        """The higher the better; `GOOD_PLAN` is good."""
        cost = WEAK_WEIGHT * self.weak + REPEAT_WEIGHT * self.repeated
        cost += STRANGER_WEIGHT * self.strangers + NAME_WEIGHT * self.names
        return COHERENCE_WEIGHT * self.coherent + KNOWN_WEIGHT * self.known_steps - cost


class Ranker:
    """Judges plans."""

    def __init__(
        self, library: PlanLibrary, grounder: SentenceGrounder,
        can_do: Callable[[Sequence[str]], Sequence[float]] | None = None,
    ) -> None:  # fmt: skip
        self.library, self.grounder, self.can_do = library, grounder, can_do
        self.scorer, self.overlap = Scorer.of(library), Overlap(library)

    def worth(self, scene: str, activities: Sequence[Activity], past: Sequence[Activity] = ()) -> Worth:
        """Of a plan, or of activities after `past`."""
        steps = [s for a in activities for s in a.steps]
        earlier = [s for a in past for s in a.steps]
        vectors = unit(self.grounder.sentence([*earlier, *steps]))
        cosines = vectors @ vectors.T
        repeated = [bool((cosines[i, :i] > MIN_SAME_COSINE).any()) for i in range(len(earlier), len(vectors))]
        scores = np.ones(len(steps)) if self.can_do is None else np.asarray(self.can_do(steps), float)
        names = strange_names([*steps, *(a.task for a in activities)], scene)
        return Worth(
            self.coherent(scene, activities, earlier[-1] if earlier else ""), float(scores.clip(0, 1).mean()),
            float((scores < MIN_KNOWN_SCORE).mean()), float(np.mean(repeated)), strangers(scene, steps) / len(steps),
            float(min(names, 1)),
        )  # fmt: skip

    def coherent(self, scene: str, activities: Sequence[Activity], before: str = "") -> float:
        """Mean of the scorer's probabilities; each activity after the last step before it."""
        lib = self.library
        width = lib.task_vectors.shape[1]
        who_acts = actor_of([s for a in activities for s in a.steps]) or "they"
        marked = [(neutral(a.task, who_acts, False), [neutral(s, who_acts) for s in a.steps]) for a in activities]
        last = neutral(before, who_acts) if before else ""
        texts = [scene, last or scene, *(t for task, steps in marked for t in (task, *steps))]
        vectors = lib.basis.reduce(self.grounder.sentence([word_for_encoder(t) for t in texts]), width)
        questions, at, behind = [], 2, vectors[1] if before else np.zeros(width, np.float32)
        for task, steps in marked:
            step_vectors = vectors[at + 1 : at + 1 + len(steps)]
            words = self.overlap(scene, task, last, steps)
            questions.append(Question(vectors[0], vectors[at], behind, step_vectors, words))
            at, last, behind = at + 1 + len(steps), steps[-1], step_vectors[-1]
        return float(self.scorer.score(questions).mean())
