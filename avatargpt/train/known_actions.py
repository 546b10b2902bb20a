"""The choice stage of `scripts/train.py`: `avatargpt.requests.phrase_scoring`, trained on a phrase index."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.requests.phrase_index import PhraseIndex
from avatargpt.requests.phrase_scoring import COMPARED_ACTIONS, FEATURES, KnownActionClassifier, features, phrase_scores
from avatargpt.train.loop import fit
from avatargpt.train.runtime import Runtime
from instruct_data.synth import families
from vqvae.errors import UserError

HIDDEN = 32
ROUNDS, BATCH, RATE = 60, 256, 3e-3
LEFT_OUT = 0.35  # share of the phrasings that are looked up without their action
SENTENCES = 4  # of each action of the lexicon that the index lacks
SAME = 0.97  # rows of this share of a phrasing's cosine with itself are hidden with it
HELD_OUT = 6  # every so manieth action only validates


def choice_stage(args: SimpleNamespace) -> None:
    """Train the classifier of a phrase index; it is saved alone."""
    Runtime.start(args.threads, args.device)
    index = PhraseIndex.load(args.phrase_index)
    if index is None:
        raise UserError(f"{args.phrase_index}: no phrase index there")
    index.classifier, figures = trained(index, SentenceGrounder(), args.count, args.seed)
    index.classifier.save(args.output)
    print(json.dumps(figures))


def trained(
    index: PhraseIndex, grounder: SentenceGrounder, count: int, seed: int
) -> tuple[KnownActionClassifier, dict[str, float]]:
    """A classifier, and its figures on held-out actions."""
    rows, actions, target = looked_up(index, grounder, count, seed)
    val = np.abs(target) % HELD_OUT == 0
    torch.manual_seed(seed)
    flat = rows[~val].reshape(-1, FEATURES)
    mean, scale = flat.mean(0), flat.std(0) + 1e-3
    even = torch.from_numpy(((rows - mean) / scale).astype(np.float32))
    is_right = torch.from_numpy(actions == target[:, None])
    network = _Network()
    train = torch.from_numpy(np.flatnonzero(~val))
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-3)
    fit(_losses(network, even, is_right, train), optimizer)
    a = {k: v.detach().numpy() for k, v in network.named_parameters()}
    classifier = KnownActionClassifier({"mean": mean, "scale": scale, **a})
    with torch.no_grad():
        present, left_out = (network(even[val], drop) for drop in (None, is_right[val]))
    return classifier, _figures(present, left_out, is_right[val])


def looked_up(
    index: PhraseIndex, grounder: SentenceGrounder, count: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, A, F) features, (N, A) actions and (N,) the right action, negative = none, of phrasings looked up as if they
    and their paraphrases were not in the index, and of sentences about actions that it lacks."""
    rng = np.random.default_rng([seed, 61])
    rows_of_all = np.flatnonzero(~index.marks.literal)
    keys = [(int(i), index.keys[i]) for i in rng.permutation(rows_of_all)[:count]]
    keys += [(-1, text) for text in strangers(index)]
    all_rows = np.array([i for i, _ in keys])
    out = np.zeros((len(keys), COMPARED_ACTIONS, FEATURES), np.float32)
    actions = np.full((len(keys), COMPARED_ACTIONS), -1)
    for start in range(0, len(keys), 256):
        rows = all_rows[start : start + 256]
        texts = [text for _, text in keys[start : start + 256]]
        manners = [index.manners.find(t) for t in texts]
        cosines = index.index.cosines(grounder.sentence([*texts, *(plain for _, plain in manners)]))
        for k, row in enumerate(rows.tolist()):
            both = cosines[[k, len(rows) + k]]
            # Paraphrases of the phrasing would give its action away.
            hidden = np.flatnonzero(both[0] >= SAME * both[0][row]) if row >= 0 else None
            sight = phrase_scores(index, texts[k], manners[k][1], manners[k][0], both, hidden)
            groups, values = features(sight, index.group, index.members)
            out[start + k, : len(groups)], actions[start + k, : len(groups)] = values, groups
        print(f"{start + len(rows)} of {len(keys)}", file=sys.stderr, flush=True)
    return out, actions, np.where(all_rows < 0, -2 - np.arange(len(keys)) // SENTENCES, index.group[all_rows])


def strangers(index: PhraseIndex) -> list[str]:
    """Sentences of the lexicon's actions that the index lacks, `SENTENCES` of each."""
    actions, keys = set(index.classes), {k.lower() for k in index.keys}
    out = []
    for name, family in sorted(families().items()):
        plain = [c.text for c in family.captions if "{" not in c.text and c.text.lower() not in keys]
        if family.schema and name not in actions and len(plain) >= SENTENCES:
            out += plain[:SENTENCES]
    return out


class _Network(nn.Module):
    """The same as `KnownActionClassifier`, for training."""

    def __init__(self) -> None:
        super().__init__()

        def matrix(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape) * shape[0] ** -0.5)

        self.w1, self.b1, self.w2 = matrix(FEATURES, HIDDEN), nn.Parameter(torch.zeros(HIDDEN)), matrix(HIDDEN)
        self.v1, self.c1 = matrix(3 * FEATURES, HIDDEN), nn.Parameter(torch.zeros(HIDDEN))
        self.v2, self.c2 = matrix(HIDDEN, 1), nn.Parameter(torch.zeros(1))

    def forward(self, even: Tensor, drop: Tensor | None = None) -> Tensor:
        """(B, A, F) features and which actions are left out (B, A) -> (B, A + 1) logits."""
        scores = F.gelu(even @ self.w1 + self.b1, approximate="tanh") @ self.w2
        if drop is not None:
            scores = scores.masked_fill(drop, -1e4)
        # "None" is decided from the features of the three best actions.
        best = scores.argsort(1, descending=True)[:, :3]
        top = even.gather(1, best[..., None].expand(-1, -1, FEATURES)).flatten(1)
        none = F.gelu(top @ self.v1 + self.c1, approximate="tanh") @ self.v2 + self.c2
        return torch.cat([scores, none], 1)


def _losses(network: _Network, even: Tensor, is_right: Tensor, train: Tensor) -> Iterator[Tensor]:
    label = torch.where(is_right.any(1), is_right.int().argmax(1), COMPARED_ACTIONS)
    for _ in range(ROUNDS):
        for rows in train[torch.randperm(len(train))].split(BATCH):
            # Left out: the phrasing is looked up as if its action were unknown, and the answer is "none".
            out = (torch.rand(len(rows)) < LEFT_OUT) | ~is_right[rows].any(1)
            logits = network(even[rows], is_right[rows] & out[:, None])
            yield F.cross_entropy(logits, torch.where(out, COMPARED_ACTIONS, label[rows]))


def _figures(there: Tensor, left_out: Tensor, is_right: Tensor) -> dict[str, float]:
    """Share of right choices, and how "none" separates phrasings read right from those whose action is left out."""
    from avatargpt.planning.measures import roc_auc

    right = is_right.gather(1, there[:, :-1].argmax(1, keepdim=True))[:, 0].numpy()
    confidence = 1 - there.softmax(1)[:, -1].numpy()
    confidence_left_out = 1 - left_out.softmax(1)[:, -1].numpy()
    nearest, there_is = is_right[:, 0].numpy(), is_right.any(1).numpy()
    limits: Sequence[float] = (0.3, 0.5, 0.6, 0.7, 0.8)
    return {
        "right": float(right[there_is].mean()), "right_of_nearest": float(nearest[there_is].mean()),
        "auc": roc_auc(confidence[right], confidence_left_out),
        **{f"flagged_right/{x:g}": float((confidence[right] < x).mean()) for x in limits},
        **{f"flagged_left_out/{x:g}": float((confidence_left_out[there_is] < x).mean()) for x in limits},
        **{f"flagged_strangers/{x:g}": float((confidence[~there_is] < x).mean()) for x in limits},
    }  # fmt: skip
