"""Prompts of training as spans of one token array: words, marks and templates, each tokenised once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from avatargpt.lm.encoder import symbol_ids
from avatargpt.lm.shape import Shape
from avatargpt.lm.text_encoder import TextTokenizer
from avatargpt.train.data.exchange import FIELDS
from avatargpt.train.data.ragged import Growing
from instruct_data.registry import AttributesSegment, CodesSegment, Task, TextSegment, get_task

# Spans that a row fills: two motions, three texts, one symbol for each attribute.
MOTIONS, TEXTS, SYMBOLS = 0, 2, 5
SLOTS = SYMBOLS + len(FIELDS)
MAX_OPERATIONS = SLOTS + 16
NOTHING = -1
_MARK = "\N{REPLACEMENT CHARACTER}"  # stands for the texts of slots while a template is taken apart


class Wording:
    """Texts by number, tokenised once; skeletons of prompts: spans of wording around the slots.

    Args:
        text: of the language model. config: its ids. rates: modality -> tokens per second.

    Attributes:
        pieces: ids of every text. texts: by number.
        operations: (n, MAX_OPERATIONS) of the skeletons: the number of a text, or -2 - slot.
        text_orders: of each skeleton, its text slots from 0 on, in the order in which they stand in the prompt.
    """

    def __init__(self, text: TextTokenizer, config: Shape, rates: Mapping[str, float]) -> None:
        self.text, self.config, self.rates = text, config, rates
        self.pieces, self.texts = Growing(), list[str]()
        self.operations = np.full((64, MAX_OPERATIONS), NOTHING, np.int64)
        self.text_orders: list[list[int]] = []
        self._numbers: dict[str, int] = {}
        self._symbols: dict[str, int] = {}
        self._skeletons: dict[tuple[str, int, frozenset[str], int, float], int] = {}

    def number(self, text: str) -> int:
        """Number of a text."""
        return int(self.numbers([text])[0])

    def numbers(self, texts: Sequence[str]) -> np.ndarray:
        """(N,) numbers of texts, tokenised together."""
        new = [t for t in dict.fromkeys(texts) if t not in self._numbers]
        for text, ids in zip(new, self.text.encode_all(new) if new else [], strict=True):
            self._numbers[text] = self._add(text, ids)
        return np.array([self._numbers[t] for t in texts], np.int64)

    def symbol(self, written: str) -> int:
        """Number of an attribute, ``name=value``."""
        if written not in self._symbols:
            self._symbols[written] = self._add(written, symbol_ids(self.text, [written]))
        return self._symbols[written]

    def _add(self, text: str, ids: Sequence[int]) -> int:
        self.texts.append(text)
        return self.pieces.add(ids)

    def skeleton(self, task: str, template: int, slots: frozenset[str], tokens: int = 0, value: float = 0.0) -> int:
        """Number of a template's row of `operations`.

        Args:
            slots: names that are filled. tokens: of motion, which the seconds slot states. value: of the number slot.
        """
        key = task, template, slots, tokens, value
        if key not in self._skeletons:
            number, row = len(self._skeletons), self._take_apart(get_task(task), template, slots, tokens, value)
            if number == len(self.operations):
                self.operations = np.concatenate([self.operations, np.full_like(self.operations, NOTHING)])
            self.operations[number, : len(row)] = row
            self.text_orders.append([-2 - TEXTS - o for o in row if TEXTS <= -2 - o < SYMBOLS])
            self._skeletons[key] = number
        return self._skeletons[key]

    def _take_apart(self, task: Task, template: int, slots: frozenset[str], tokens: int, value: float) -> list[int]:
        filled: dict[str, object] = {}
        motions = texts = 0
        for slot in task.inputs:
            if slot.name not in slots:
                continue
            if slot.kind == "motion":
                filled[slot.name] = CodesSegment(slot.modality, np.full((1, 1), MOTIONS + motions))
                motions += 1
            elif slot.kind == "text":
                filled[slot.name] = _MARK + str(TEXTS + texts)
                texts += 1
            elif slot.kind == "attributes":
                filled[slot.name] = {"side": "left"}
            else:
                filled[slot.name] = tokens / self.rates[task.modality] if slot.kind == "seconds" else value
        row: list[int] = []
        for segment in task.render(filled, template=template).segments:
            if isinstance(segment, CodesSegment):
                first, last = (self._end(mark(segment.modality)) for mark in (self.config.start_id, self.config.end_id))
                row += [first, -2 - int(segment.codes[0, 0]), last]
            elif isinstance(segment, AttributesSegment):
                row += [-2 - SYMBOLS - f for f in range(len(FIELDS))]
            else:
                row.append(self._words(segment))
        return row

    def _words(self, segment: TextSegment) -> int:
        slot = segment.text.startswith(_MARK)
        return -2 - int(segment.text.removeprefix(_MARK)) if slot else self.number(segment.text)

    def _end(self, token: int) -> int:
        """Number of the text that is the start or end id of a motion."""
        name = f"\0{token}"
        if name not in self._numbers:
            self._numbers[name] = self._add("", [token])
        return self._numbers[name]
