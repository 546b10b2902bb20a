"""Exchange of one attribute of a clip's prompt, in symbols and in words, for prompts that the clip does not fit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from instruct_data.attributes import SIDED, VALUES, mirror_attributes
from instruct_data.store import ClipCodes
from instruct_data.text.english import mirror_text

FIELDS = ("action", *VALUES)
MIN_EVIDENCE = 3  # clips with a caption from which on it is taken to state an attribute that all of them share
PLAIN_WORDS = ("direction", "turn", "rise", "times")  # attributes that captions say in so many words


class Numbering(Protocol):
    """Texts and symbols by number."""

    texts: list[str]

    def numbers(self, texts: Sequence[str]) -> np.ndarray:
        """(N,) numbers of texts."""

    def symbol(self, written: str) -> int:
        """Number of an attribute, ``name=value``."""


def number_rows(rows: Sequence[Mapping[str, str]], numbering: Numbering) -> np.ndarray:
    """(N, F) numbers of the symbols of attributes, -1 = none."""
    out = np.full((len(rows), len(FIELDS)), -1, np.int64)
    for n, row in enumerate(rows):
        for f, field in enumerate(FIELDS):
            if row.get(field):
                out[n, f] = numbering.symbol(f"{field}={row[field]}")
    return out


def find_changed(before: np.ndarray, after: np.ndarray) -> str:
    """The attribute in which two rows of symbols (F,) differ; of several sided ones the first."""
    return FIELDS[int(np.flatnonzero(before != after)[0])]


class Exchange:
    """Other values of attributes, and words with them.

    Sides are exchanged all together, in words by mirroring them. Another value of another attribute comes from clips of
    the same action; words with it are captions all of whose clips share the value, and that fit the clip otherwise.

    Args:
        items: clips; of the training split alone it is learnt which values and captions an action has. typed: their
            attributes. attributes: (N, F) the same as symbols. numbering: numbers of their captions.
    """

    def __init__(
        self, items: Sequence[ClipCodes], typed: Sequence[dict[str, str]], attributes: np.ndarray, numbering: Numbering
    ) -> None:
        self.attributes, self.numbering = attributes, numbering
        self.actions = [row.get("action", "") for row in typed]
        self.mirror: dict[int, int] = {}  # symbol -> that of the mirror image, of those that change
        names = sorted({*self.actions})
        for name in ("action", *SIDED):
            for value in names if name == "action" else VALUES[name]:
                other = mirror_attributes({name: value})[name]
                if other != value and (name != "action" or other in names):
                    self.mirror[numbering.symbol(f"{name}={value}")] = numbering.symbol(f"{name}={other}")
        self._captions_of = [list(dict.fromkeys(numbering.numbers(i.captions).tolist())) for i in items]
        # action and field -> values that occur, as symbols, and captions that state each
        values: dict[tuple[str, int], set[int]] = defaultdict(set)
        stated: dict[tuple[int, int], set[int]] = defaultdict(set)
        seen: dict[int, int] = defaultdict(int)
        for clip, action in enumerate(self.actions):
            row = attributes[clip]
            if not action or items[clip].split != "train":
                continue
            for field in np.flatnonzero(row >= 0).tolist():
                values[action, field].add(int(row[field]))
            for text in self._captions_of[clip]:
                seen[text] += 1
                for field in range(len(FIELDS)):
                    stated[text, field].add(int(row[field]))
        self.values = {key: np.array(sorted(v)) for key, v in values.items() if len(v) > 1}
        self.stated = {key: next(iter(v)) for key, v in stated.items() if len(v) == 1 and seen[key[0]] >= MIN_EVIDENCE}
        captions: dict[tuple[str, int], set[int]] = defaultdict(set)
        for clip, action in enumerate(self.actions):
            if action:
                for text in self._captions_of[clip]:
                    for field in range(len(FIELDS)):
                        if (symbol := self.stated.get((text, field), -1)) >= 0:
                            captions[action, symbol].add(text)
        self.captions = {key: sorted(v) for key, v in captions.items()}
        self._other_side: dict[int, int] = {}

    def mirror_captions(self) -> None:
        """Give a number to every caption with its sides exchanged."""
        self.mirror_texts(sorted({t for clip in self._captions_of for t in clip}))

    def mirror_texts(self, texts: Sequence[int]) -> None:
        """Give numbers to texts with their sides exchanged, all at once."""
        others = self.numbering.numbers([mirror_text(self.numbering.texts[t]) for t in texts]).tolist()
        self._other_side |= dict(zip(texts, others, strict=True))

    def __call__(
        self, clips: np.ndarray, symbols: np.ndarray, text: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        out, words, possible = symbols.copy(), np.full(len(clips), -1, np.int64), np.zeros(len(clips), bool)
        drawn = rng.random((len(clips), 3))
        quality = FIELDS.index("quality")
        for n, clip in enumerate(clips.tolist()):
            action, row = self.actions[clip], symbols[n].tolist()
            sided = any(s in self.mirror for s in row)
            fields = [f for f, s in enumerate(row) if f not in (0, quality) and s >= 0 and (action, f) in self.values]
            fields = [f for f in fields if row[f] not in self.mirror]
            choices = [*fields, *([-1] * max(1, len(fields)) if sided else [])]  # a side in half of the prompts
            if not choices:
                continue
            possible[n] = True
            field = choices[int(drawn[n, 0] * len(choices))]
            if field < 0:
                out[n] = [self.mirror.get(s, s) for s in row]
                if (number := int(text[n])) not in self._other_side:
                    self.mirror_texts([number])
                words[n] = self._other_side[number]
                continue
            others = self.values[action, field]
            others = others[others != row[field]]
            out[n, field] = others[int(drawn[n, 1] * len(others))]
            if self.stated.get((int(text[n]), field), -1) == row[field]:
                words[n] = self._caption(clip, field, int(out[n, field]), drawn[n, 2])
        return out, words, possible

    def _caption(self, clip: int, field: int, symbol: int, u: float) -> int:
        """A caption that states a symbol and nothing else that the clip does not show; -1 where there is none."""
        captions = self.captions.get((self.actions[clip], symbol), [])
        first = int(u * len(captions))
        others = [(f, shown) for f, shown in enumerate(self.attributes[clip].tolist()) if f != field and shown >= 0]

        def contradicts(caption: int) -> bool:
            stated = ((f, shown, self.stated.get((caption, f), -1)) for f, shown in others)
            return any(s >= 0 and s != shown and (self.mirror.get(s) == shown or FIELDS[f] in PLAIN_WORDS)
                       for f, shown, s in stated)  # fmt: skip

        return next((c for c in (*captions[first:], *captions[:first]) if not contradicts(c)), -1)
