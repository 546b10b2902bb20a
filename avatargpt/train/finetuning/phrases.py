"""The phrase index grows by the captions of the user's clips: each stands for itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

import numpy as np

from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.requests.index import Reduced
from avatargpt.requests.phrases import RANK, PhraseIndex
from avatargpt.requests.store import reduced, rounded
from avatargpt.train.phrase_index import with_new_actions
from instruct_data.store import ClipCodes
from instruct_data.text.english import side_of

QUANTILES = (0.5, 0.6, 0.7, 0.8, 0.9)
MOST, LEAST = 48, 0.05  # directions that new phrasings may add; of less strength they tell nothing


def own_phrases(clips: Sequence[ClipCodes], grounder: SentenceGrounder) -> PhraseIndex:
    """An index of the clips' captions alone, each a phrasing of its clip's action, with the lengths of such clips.

    Args:
        clips: at least one with a caption.
    """
    action: dict[str, str] = {}
    tokens: dict[str, list[int]] = defaultdict(list)
    for clip in clips:
        for text in clip.captions:
            action.setdefault(text, clip.action)
            tokens[text].append(len(clip.codes))
    keys = list(action)
    sides = [side if (side := side_of(k)) in ("left", "right") else "" for k in keys]
    lengths = {k: [int(q) for q in np.quantile(n, QUANTILES)] for k, n in tokens.items()}
    return PhraseIndex(
        keys, [{"": k} for k in keys], [action[k] for k in keys], [str(s) for s in sides], {}, lengths,
        grounder.sentence(keys),
    )  # fmt: skip


def without(index: PhraseIndex, phrasings: Collection[str]) -> PhraseIndex:
    """An index that lacks some phrasings; itself where it has none of them."""
    keep = [i for i, k in enumerate(index.keys) if k not in phrasings]
    if len(keep) == len(index.keys):
        return index
    held = index.index.held
    vectors = Reduced(held.rows[keep], held.scale[keep], held.basis) if isinstance(held, Reduced) else held[keep]
    return PhraseIndex(
        [index.keys[i] for i in keep], [index.captions[i] for i in keep], [index.classes[i] for i in keep],
        [str(index.sides[i]) for i in keep], index.styles, index.lengths, vectors,
    )  # fmt: skip


def grown(index: PhraseIndex, clips: Sequence[ClipCodes], grounder: SentenceGrounder) -> PhraseIndex:
    """An index with the captions of clips; where it knows one already, the clip is what it means from now on."""
    own = own_phrases(clips, grounder)
    rest = without(index, set(own.keys))
    taken = set(rest.classes)
    own.classes = [f"own {c}" if c in taken else c for c in own.classes]  # an action of the user's is none of ours
    both = with_new_actions(rest, own)
    new = both.index.vectors[len(rest.keys) :]
    held = rest.index.held if isinstance(rest.index.held, Reduced) else reduced(rest.index.held, RANK)
    out = PhraseIndex(
        both.keys, both.captions, both.classes, [str(s) for s in both.sides], both.styles, both.lengths,
        widened(held, new), both.marks,
    )  # fmt: skip
    out.own, out.told = index.own | set(own.classes), dict(index.told)
    if index.reader is not None:
        out.read_captions(index.reader, own.keys)
    return out


def widened(held: Reduced, new: np.ndarray) -> Reduced:
    """Vectors of a file, as they are, and further ones (k, w) behind them, with what these have beside the file's
    directions as directions of their own: words that no packaged phrasing has differ in nothing else.
    """
    if held.basis is None:
        rows, scale = rounded(new)
        return Reduced(np.concatenate([held.rows, rows]), np.concatenate([held.scale, scale.astype(np.float32)]))
    basis = held.basis.astype(np.float32)
    beside = new - new @ basis @ basis.T
    _, strength, directions = np.linalg.svd(beside, full_matrices=False)
    more = directions[strength > LEAST][:MOST].T
    wide = np.concatenate([basis, more], 1)
    rows, scale = rounded(new @ wide)
    old = np.pad(held.rows, ((0, 0), (0, more.shape[1])))
    return Reduced(
        np.concatenate([old, rows]), np.concatenate([held.scale, scale.astype(np.float32)]), wide.astype(np.float16)
    )  # fmt: skip
