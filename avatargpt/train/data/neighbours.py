"""Examples for retrieval-augmented training: other clips that answer a request near to the one at hand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from avatargpt.requests.captions import words_of
from avatargpt.requests.exemplars import EXAMPLE_TOKENS, EXAMPLES
from avatargpt.train.data.prepare import CYCLIC
from instruct_data.mixture import clip_class
from instruct_data.store import ClipCodes
from instruct_data.text.english import side_of

TRIES = 4  # candidates of which the one with the most words in common is taken: retrieval by caption does the same


def base_id(name: str) -> str:
    """The id that a clip and its mirrored version share."""
    return name.removesuffix("_m")


def caption_side(captions: Sequence[str]) -> str:
    """``left`` or ``right`` where the captions that name a side agree on it, else empty."""
    found = {side_of(c) for c in captions} - {None}
    return str(found.pop()) if len(found) == 1 and found <= {"left", "right"} else ""


class Neighbours:
    """Looks examples up; built once, then a pure function of the item and the generator.

    Args:
        items: training clips. Composed ones (``a+b``) are never examples themselves.
        wrong: share of examples that are of another kind than asked for, so that a model does not trust them blindly.
    """

    def __init__(self, items: Sequence[ClipCodes], wrong: float = 0.12) -> None:
        self.items = [i for i in items if "+" not in i.action and i.source != "composed"]
        self.wrong = wrong
        self._words = [words_of(" ".join(i.captions)) for i in self.items]
        kinds: dict[tuple[str, str, str], list[int]] = defaultdict(list)
        classes: dict[str, list[int]] = defaultdict(list)
        self._of = [self._kind(i) for i in self.items]
        for n, kind in enumerate(self._of):
            kinds[kind].append(n)
            classes[kind[0]].append(n)
        self._kinds = {k: np.array(v) for k, v in kinds.items()}
        self._classes = {k: np.array(v) for k, v in classes.items()}

    @staticmethod
    def _kind(item: ClipCodes) -> tuple[str, str, str]:
        return clip_class(item), caption_side(item.captions), item.style

    def examples(self, item: ClipCodes, caption: str, rng: np.random.Generator) -> list[np.ndarray]:
        """Codes (N <= 24, R) of at most two other clips.

        A single clip gets one of its own class, side and style (at times a second); a composed one gets one for each
        of its first two parts, of the part's class, in order. Neither the clip, nor its mirrored version, nor the
        clips it was made of are ever among them.

        Args:
            item: the clip to be generated. caption: the request, in the words of the prompt.
        """
        own = {base_id(item.id), *(base_id(str(p)) for p in item.extra.get("parts", ()))}
        words = words_of(caption)
        if "+" in item.action:
            pools = [self._classes.get(part) for part in item.action.split("+")[:EXAMPLES]]
            if rng.random() < 0.2:  # a library does not know every clause
                pools.pop(int(rng.integers(len(pools))))
        else:
            pools = [self._kinds.get(self._kind(item))] * (1 + int(rng.random() < 0.25))
        out: list[np.ndarray] = []
        for pool in pools:
            asked = words
            if rng.random() < self.wrong:
                pool, asked = self._other(item, rng), frozenset()
            found = None if pool is None else self._draw(pool, own, asked, rng)
            if found is not None:
                own.add(base_id(self.items[found].id))
                out.append(self._cropped(self.items[found], rng))
        return out

    def _other(self, item: ClipCodes, rng: np.random.Generator) -> np.ndarray | None:
        """Of the wrong ones half are of the same class, another side or style, where there are such; half are not."""
        kind, classes = self._kind(item), set(clip_class(item).split("+"))
        near = self._classes.get(kind[0])
        if near is not None and rng.random() < 0.5:
            odd = [n for n in rng.choice(near, 2 * TRIES).tolist() if self._of[n] != kind]
            if odd:
                return np.array(odd)
        odd = [n for n in rng.integers(len(self.items), size=2 * TRIES).tolist() if self._of[n][0] not in classes]
        return np.array(odd) if odd else None

    def _draw(self, pool: np.ndarray, own: set[str], words: frozenset[str], rng: np.random.Generator) -> int | None:
        best, most = None, -1.0
        for n in (int(n) for n in pool[rng.integers(len(pool), size=TRIES)]):
            if base_id(self.items[n].id) in own:
                continue
            shared = len(words & self._words[n]) / (1 + len(self._words[n])) ** 0.5
            if shared > most:
                best, most = n, shared
        return best

    def _cropped(self, item: ClipCodes, rng: np.random.Generator) -> np.ndarray:
        """At most 24 tokens: any stretch of what repeats, the beginning of everything else."""
        codes = item.codes
        spare = len(codes) - EXAMPLE_TOKENS
        start = int(rng.integers(spare + 1)) if spare > 0 and clip_class(item) in CYCLIC else 0
        return codes[start : start + EXAMPLE_TOKENS]
