"""`KnownActionClassifier`: the probability that a clause means a known action, by a small network."""
# Trained on the phrase index itself (`avatargpt.train.known_actions`): phrasings are looked up as if they were not
# in it, a third of them as if their action were not in it either, and sentences about unknown actions.

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from avatargpt.requests.phrase_scoring import PhraseScores
from avatargpt.requests.vector_index import ranked
from vqvae.io.files import parsing
from vqvae.motion import atomic_write

COMPARED_ACTIONS = 24  # that are compared
NEAREST, COUNTED = 8, 60  # phrasings whose actions are counted
FEATURES = 27
# of the weight of the nearest ones among each other
TEMPERATURE = 0.06
CLASSIFIER_FILE = "choice.safetensors"
NAMES = ("mean", "scale", "w1", "b1", "w2", "v1", "c1", "v2", "c2")


def features(scores: PhraseScores, group: np.ndarray, members: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Evidence for the nearest actions: (A,) actions, the nearest first, and (A, F) features.

    Args:
        group: (n,) number of each phrasing's action. members: per action its rows.
    """
    best = np.full(len(members), -np.inf)
    np.maximum.at(best, group, scores.scores)
    actions = ranked(best, COMPARED_ACTIONS)
    order = ranked(scores.scores, COUNTED)
    owner = group[order]
    weight = np.exp((scores.scores[order[:NEAREST]] - scores.scores[order[0]]) / TEMPERATURE)
    out = []
    for action in actions:
        rows = members[action]
        row = rows[scores.scores[rows].argmax()]
        cosines, overlaps = np.sort(scores.cosine[rows])[::-1], np.sort(scores.overlap[rows])[::-1]
        same_verb, of_action = scores.same_verb[rows], owner == action
        out.append([
            cosines[0], cosines[:3].mean(), cosines[:8].mean(), scores.scores[row], overlaps[0], scores.overlap[row],
            overlaps[:3].mean(), scores.cosine[row], scores.same_verb[row], same_verb.mean(), same_verb.any(),
            scores.other_part[rows].mean(), weight[of_action[:NEAREST]].sum() / weight.sum(), of_action[:20].mean(),
            of_action.mean(), np.log(len(rows)) / 6, scores.verb, scores.scores[row] - scores.cosine[row],
        ])  # fmt: skip
    absolute = np.concatenate([np.array(out, np.float32), _covered(scores, group, members, actions)], 1)
    relative = np.stack([
        absolute[:, 3] - absolute[:, 3].max(), absolute[:, 0] - absolute[:, 0].max(),
        np.arange(len(actions)) / COMPARED_ACTIONS, np.full(len(actions), scores.words / 10),
    ], 1)  # fmt: skip
    return actions, np.concatenate([absolute, relative], 1).astype(np.float32)


def _covered(scores: PhraseScores, group: np.ndarray, members: Sequence[np.ndarray], actions: np.ndarray) -> np.ndarray:
    """(A, 5) shares of the request's words that the phrasings of an action have, too."""
    # share of its lemmas by rarity, the rarest that they lack, how usual its rarest one is among them; of all actions
    # together the share, and the rarest lemma that none has
    total = sum(weight for weight, _ in scores.terms) or 1.0
    out = np.zeros((len(actions), 5), np.float32)
    rarest = -1.0
    for weight, rows in scores.terms:
        counts = np.bincount(group[rows], minlength=len(members))[actions]
        out[:, 0] += weight / total * (counts > 0)
        out[:, 1] = np.maximum(out[:, 1], weight / 10 * (counts == 0))
        if weight > rarest:
            rarest = weight
            out[:, 2] = np.log1p(counts) / 4
        out[:, 3] += weight / total * (len(rows) > 0)
        out[:, 4] = np.maximum(out[:, 4], weight / 10 * (len(rows) == 0))
    return out


class KnownActionClassifier:
    """The trained network, two layers for the actions and two for "none of them"; `arrays` by `NAMES`."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.arrays = {k: np.asarray(arrays[k], np.float32) for k in NAMES}

    def logits(self, rows: np.ndarray) -> np.ndarray:
        """(A, F) features -> (A + 1,) logits, the last one of "none"."""
        a = self.arrays
        even = (rows - a["mean"]) / a["scale"]
        scores = _gelu(even @ a["w1"] + a["b1"]) @ a["w2"]
        top = even[ranked(scores, 3)]
        if len(top) < 3:
            top = np.concatenate([top, np.repeat(top[-1:], 3 - len(top), 0)])
        none = _gelu(top.ravel() @ a["v1"] + a["c1"]) @ a["v2"] + a["c2"]
        return np.concatenate([scores, none])

    def probability(self, scores: PhraseScores, group: np.ndarray, members: Sequence[np.ndarray]) -> float:
        """The probability, 0..1, that one of the known actions is meant."""
        logits = self.logits(features(scores, group, members)[1])
        shares = np.exp(logits - logits.max())
        return float(1 - shares[-1] / shares.sum())

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``choice.safetensors``."""
        from safetensors.numpy import save_file

        return atomic_write(Path(folder) / CLASSIFIER_FILE, lambda p: save_file(self.arrays, p))

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> KnownActionClassifier | None:
        """Of a model folder, None where it has none; raises UserError for a damaged file."""
        from vqvae.io.tensors import load_tensors

        path = Path(folder) / CLASSIFIER_FILE
        if not path.is_file():
            return None
        state = load_tensors(path, "a choice among known actions")
        with parsing(path, "a choice among known actions"):
            classifier = cls({k: v.numpy() for k, v in state.items()})
            classifier.logits(np.zeros((3, FEATURES), np.float32))  # of the shapes that are needed
            return classifier


def _gelu(x: np.ndarray) -> np.ndarray:
    """Hendrycks and Gimpel 2016, by the hyperbolic tangent."""
    out: np.ndarray = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return out
