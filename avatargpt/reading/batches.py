"""Texts as word pieces, and labelled examples as tensors.

Shapes: B texts, N word pieces, I items, F fields of a kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avatargpt.reading.network import MAX_ITEMS
from avatargpt.resources import sentence_model_file
from instruct_data.reading.examples import SUBJECT, UNLABELLED, Example, Numeral, Span, numerals
from instruct_data.reading.programs import CONSTANTS, Field, Kind, Program

MAX_PIECES = 512  # of a text
IGNORED = -100
END = 102  # piece behind what is written: the encoder's own end of a text
CONSTANT = {value: i for i, value in enumerate(CONSTANTS)}


@dataclass(frozen=True)
class Pieces:
    """A text in word pieces.

    Attributes:
        ids: (N,). spans: (N, 2) of characters; empty ones for the pieces at both ends.
        numerals: piece -> the number that begins there.
        places: the piece at which each marked place begins, -1 = cut off. ends: the pieces behind them.
        asked: the piece at which the text itself begins.
    """

    ids: np.ndarray
    spans: np.ndarray
    numerals: Mapping[int, Numeral]
    places: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()
    asked: int = 0

    def inside(self, spans: Sequence[Span]) -> np.ndarray:
        """(N,) bool: pieces within one of the spans."""
        out = np.zeros(len(self.ids), bool)
        starts, ends = self.spans.T
        for start, end in spans:
            out |= (starts >= start) & (ends <= end) & (ends > starts)
        return out


class PieceReader:
    """The word pieces of the sentence encoder."""

    def __init__(self) -> None:
        from tokenizers import Tokenizer

        self.tokenizer = Tokenizer.from_file(str(sentence_model_file("tokenizer.json")))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(MAX_PIECES)

    def __call__(self, text: str, places: Sequence[Span] = (), asked: int = 0) -> Pieces:
        encoded = self.tokenizer.encode(text)
        spans = np.array(encoded.offsets, np.int64).reshape(-1, 2)
        starts = {int(start): i for i, (start, end) in reversed([*enumerate(spans)]) if end > start}
        found = {starts[n.span[0]]: n for n in numerals(text) if n.span[0] in starts}
        marked = tuple(starts.get(a, -1) for a, _ in places)
        ends = tuple(max((i for start, i in starts.items() if start < b), default=-1) + 1 for _, b in places)
        return Pieces(np.array(encoded.ids), spans, found, marked, ends, starts.get(asked, 0))

    def write(self, text: str) -> list[int]:
        """The pieces of an item in words, with an end."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return [*ids[: MAX_WRITTEN - 1], END]

    def words(self, ids: Sequence[int]) -> str:
        """Pieces as text."""
        return str(self.tokenizer.decode([i for i in ids if i != END]))


@dataclass
class ReadingBatch:
    """Examples of one program. A number is 0 = none, then a constant, then a piece; a place 0 = none, then a piece;
    `IGNORED` = not labelled.

    Attributes:
        ids, mask: (B, N). counted: (B, N) pieces at which a numeral begins. lines: (B, N) as of `pad_texts`.
        present: (B, I) items. words: (B, I, F, N) of each piece. names: (B, I).
        values: kind -> (B, I, F). labelled: (B, F) words fields that are labelled. wholes: (B, F).
        tags, kinds: (B, N), see `avatargpt.reading.network`.
        written: (row, item) of the items in words. text: (M, L) their pieces with an end, 0 behind it.
    """

    ids: Tensor
    mask: Tensor
    counted: Tensor
    lines: Tensor
    present: Tensor
    words: Tensor
    names: Tensor
    values: dict[Kind, Tensor]
    labelled: Tensor
    wholes: Tensor
    tags: Tensor
    kinds: Tensor
    written: Tensor
    text: Tensor

    def to(self, device: torch.device) -> ReadingBatch:
        """The same on a device."""
        moved = {f.name: value.to(device) for f in fields(self) if isinstance(value := getattr(self, f.name), Tensor)}
        return replace(self, **moved, values={kind: value.to(device) for kind, value in self.values.items()})


def pad_texts(texts: Sequence[Pieces]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pieces, their mask, where numerals begin, and of each piece of a marked place 1 + the piece at which that begins,
    else 0: (B, N) each.
    """
    longest = max(len(p.ids) for p in texts)
    ids, mask, counted, lines = (np.zeros((len(texts), longest), np.int64) for _ in range(4))
    for row, p in enumerate(texts):
        ids[row, : len(p.ids)], mask[row, : len(p.ids)] = p.ids, 1
        counted[row, list(p.numerals)] = 1
        for begin, end in zip(p.places, p.ends, strict=True):
            if begin >= 0:
                lines[row, begin:end] = 1 + begin
    ids_, mask_, counted_, lines_ = (torch.from_numpy(x) for x in (ids, mask, counted, lines))
    return ids_, mask_, counted_, lines_


def where_lines_begin(lines: Tensor) -> Tensor:
    """(B, N) bool of `lines` of `pad_texts`."""
    return lines == 1 + torch.arange(lines.shape[1], device=lines.device)


def _value(field: Field, value: Any, pieces: Pieces, near: int) -> int:
    """The class of a field's value; `near`: the piece that a number is looked for near."""
    if field.kind == "flag":
        return int(bool(value))
    if value is None:
        return 0
    if field.kind == "choice":
        return 1 + field.choices.index(value) if value in field.choices else IGNORED
    if field.kind == "place":
        at = pieces.places[value - 1] if 0 < value <= len(pieces.places) else -1
        return 1 + at if at >= 0 else IGNORED
    # The nearest numeral of that value, else a constant.
    same = [i for i, n in pieces.numerals.items() if abs(n.of(field.name) - float(value)) < 1e-6]
    if same:
        return 1 + len(CONSTANTS) + min(same, key=lambda i: abs(i - near))
    return 1 + CONSTANT[float(value)] if float(value) in CONSTANT else IGNORED


VALUED: tuple[Kind, ...] = ("choice", "flag", "number", "place")
MAX_WRITTEN = 48  # pieces of an item in words


def make_batch(
    examples: Sequence[Example], fields: Sequence[frozenset[str] | None], program: Program, names: Mapping[str, int],
    read: PieceReader, written: Sequence[tuple[int, int]] = (),
) -> ReadingBatch:  # fmt: skip
    """Examples as tensors; a name that is not in `names` is none of them.

    Args:
        fields: of each example those that are labelled, None = all. written: (row, item) to be written in words.
    """
    texts = [read(e.text, e.places, e.asked) for e in examples]
    ids, mask, counted, lines = pad_texts(texts)
    kinds = program.by_kind
    most = max(1, min(max(len(e.items) for e in examples), MAX_ITEMS))
    rows, width = ids.shape
    present = np.zeros((rows, most), bool)
    words = np.zeros((rows, most, len(kinds["words"]), width), np.float32)
    name = np.full((rows, most), IGNORED)
    values = {kind: np.full((rows, most, len(kinds[kind])), IGNORED) for kind in VALUED}
    labelled_words = np.zeros((rows, len(kinds["words"])), bool)
    wholes = np.full((rows, len(program.whole)), IGNORED)
    tags, piece_kinds = np.full((rows, width), IGNORED), np.full((rows, width), IGNORED)
    none = len(names)
    for row, (example, pieces, labelled) in enumerate(zip(examples, texts, fields, strict=True)):
        told = [f.name for f in program.items if labelled is None or f.name in labelled]
        real = np.flatnonzero(pieces.spans[:, 1] > pieces.spans[:, 0])
        if program.pointed and program.pointed in told:
            tags[row, real] = 2
        if example.labelled_words:
            piece_kinds[row, real] = 2
            piece_kinds[row, : len(pieces.ids)][pieces.inside(example.unknown)] = 1
        labelled_words[row] = [f.name in told for f in kinds["words"]]
        for column, item in enumerate(example.items[:most]):
            present[row, column] = True
            pointed = pieces.inside(item.words.get(program.pointed, ()))
            first = int(pointed.argmax()) if pointed.any() else pieces.asked
            if pointed.any() and program.pointed in told:
                tags[row, : len(pointed)][pointed] = 1
                tags[row, first] = 0
            for k, f in enumerate(kinds["words"]):
                found = pieces.inside(item.words.get(f.name, ()))
                words[row, column, k, : len(found)] = found
                if example.labelled_words:
                    piece_kinds[row, : len(found)][found] = 0
            for f in kinds["name"]:
                if f.name in told:
                    value = item.values.get(f.name, "")
                    name[row, column] = IGNORED if value == UNLABELLED else names.get(value, none)
            for kind in VALUED:
                for k, f in enumerate(kinds[kind]):
                    if f.name in told:
                        values[kind][row, column, k] = _value(f, item.values.get(f.name), pieces, first)
        if labelled is None:
            wholes[row] = [_value(f, example.whole.get(f.name), pieces, 0) for f in program.whole]
    # A writer that wrote "a person" in one task would write it in all.
    ends = [read.write(SUBJECT.sub("", examples[r].items[i].caption)) for r, i in written]
    text = np.zeros((len(ends), max(map(len, ends), default=1)), np.int64)
    for row, end in enumerate(ends):
        text[row, : len(end)] = end
    as_tensor = torch.from_numpy
    return ReadingBatch(
        ids, mask, counted, lines, as_tensor(present), as_tensor(words), as_tensor(name),
        {kind: as_tensor(v) for kind, v in values.items()}, as_tensor(labelled_words), as_tensor(wholes),
        as_tensor(tags), as_tensor(piece_kinds), torch.tensor(list(written), dtype=torch.long).reshape(-1, 2),
        as_tensor(text),
    )  # fmt: skip
