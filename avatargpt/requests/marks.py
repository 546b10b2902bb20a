"""What the words of a book's phrasings and captions say of them: told once, when it is saved, and kept in its file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from avatargpt.requests.lexical import WordIndex
from avatargpt.requests.sides import first_side, flips_back, goes_back, ups_and_downs
from avatargpt.requests.store import Stored

VERSION = 2  # of the rules by which `derive` and `WordIndex` read; files of others are derived anew when they are read


@dataclass(frozen=True, eq=False)
class Marks:
    """Of n phrasings, each (n,).

    Attributes:
        backward: bool, the caption goes backward. said_backward: the phrasing or the caption does, or it is a backflip.
        up, down: bool, the phrasing names this way alone. named: bool, it names a side.
        literal: bool, it is its own caption.
        shown_left, shown_right: bool, a caption of its action names this side.
        group: int, number of its action.
    """

    backward: np.ndarray
    said_backward: np.ndarray
    up: np.ndarray
    down: np.ndarray
    named: np.ndarray
    literal: np.ndarray
    shown_left: np.ndarray
    shown_right: np.ndarray
    group: np.ndarray

    def against(self, way: str) -> np.ndarray:
        """(n,) bool, whether a phrasing goes down alone where `way` is ``up``, and the reverse."""
        return self.down if way == "up" else self.up

    def sided(self, side: str) -> np.ndarray:
        """(n,) bool, whether a caption of the action names the side, ``left`` or ``right``."""
        return self.shown_left if side == "left" else self.shown_right


FLAGS = tuple(name for name in Marks.__dataclass_fields__ if name != "group")


def derive(keys: Sequence[str], captions: Sequence[Mapping[str, str]], classes: Sequence[str]) -> Marks:
    """The marks of n phrasings with what each means and the action of each; see `PhraseIndex`."""
    plain = [c[""] for c in captions]
    # few captions stand for many phrasings
    back, side = ({t: f(t) for t in {*plain}} for f in (goes_back, first_side))
    backward = np.array([back[t] for t in plain], bool)
    # "flips over backward" means a backflip, whose caption has no such word
    told = (f"{k} | {t}" for k, t in zip(keys, plain, strict=True))
    ways = [ups_and_downs(k) for k in keys]
    group = np.unique(classes, return_inverse=True)[1].astype(np.int32)
    shown = np.array([side[t] for t in plain])
    left, right = (np.isin(group, group[shown == s]) for s in ("left", "right"))
    return Marks(
        backward, backward | np.array([goes_back(t) or flips_back(t) for t in told], bool),
        np.array([w == {"up"} for w in ways], bool), np.array([w == {"down"} for w in ways], bool),
        np.array([bool(first_side(k)) for k in keys], bool),
        np.array([k == t for k, t in zip(keys, plain, strict=True)], bool), left, right, group,
    )  # fmt: skip


def packed(marks: Marks, words: WordIndex) -> dict[str, np.ndarray]:
    """Marks and words as arrays of a file; the lemmas themselves are texts and go elsewhere."""
    return {
        "flags": np.packbits(np.stack([getattr(marks, name) for name in FLAGS]), axis=1), "group": marks.group,
        "word_starts": words.starts.astype(np.int32),
        "word_texts": words.texts.astype(np.uint16 if len(words.norms) <= 1 << 16 else np.int32),
        "word_weights": words.weights.astype(np.float32), "word_norms": words.norms.astype(np.float32),
    }  # fmt: skip


def unfolded(held: Stored, words: Sequence[str], count: int) -> tuple[Marks, WordIndex]:
    """What `packed` made, for `count` phrasings with these lemmas; views of the file's arrays.

    Raises:
        KeyError: an array is missing.
        ValueError: of another number, or rows that there are none of.
    """
    flags, group = held.arrays["flags"], held.arrays["group"]
    names = ("word_starts", "word_texts", "word_weights", "word_norms")
    starts, texts, weights, norms = (held.arrays[name] for name in names)
    if flags.ndim != 2 or flags.dtype != np.uint8 or flags.shape[1] != -(-count // 8):
        raise ValueError("marks of another kind")
    flags = np.unpackbits(flags, axis=1, count=count).astype(bool)
    if flags.shape != (len(FLAGS), count) or group.shape != (count,) or norms.shape != (count,):
        raise ValueError(f"marks {flags.shape} for {count} texts")
    if not _rows(group, count) or not (norms > 0).all():
        raise ValueError("marks of another kind")
    if len(starts) != len(words) + 1 or len(weights) != len(words) or not _rows(texts, count):
        raise ValueError(f"an index of words {starts.shape} for {len(words)} words")
    if starts[0] != 0 or starts[-1] != len(texts) or (np.diff(starts) < 0).any():
        raise ValueError("an index of words that is out of order")
    return Marks(**dict(zip(FLAGS, flags, strict=True)), group=group), WordIndex(words, starts, texts, weights, norms)


def _rows(numbers: np.ndarray, count: int) -> bool:
    """Whether all are rows of `count`."""
    return numbers.dtype.kind in "iu" and (not numbers.size or (numbers.min() >= 0 and numbers.max() < count))
