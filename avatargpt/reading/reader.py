"""`Reader`: texts to typed items, by the reading network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import torch
from torch import Tensor

from avatargpt.reading.batches import END, MAX_WRITTEN, PieceReader, Pieces, pad_texts, where_lines_begin
from avatargpt.reading.network import MAX_ITEMS, ReadingNetwork, mean_state, pool
from avatargpt.reading.store import load_network
from instruct_data.reading.examples import WORD, Span
from instruct_data.reading.programs import CONSTANTS, PROGRAMS, Field, Program
from vqvae.errors import UserError

Names = tuple[tuple[str | None, float], ...]
"""The likeliest names of an item and None (none of them) with their probabilities, the likeliest first."""
MIN_KNOWN = 0.4
"""Probability of a name below which an item counts as not known, chosen on the requests of validation authors."""
# probability of a number below which it is unsure, and of seconds that no numeral of the text says
MIN_NUMBER, MIN_GUESS = 0.4, 0.44
SLOWER, MIN_SLOWER = [i for i, c in enumerate(CONSTANTS) if 0 < c < 1], 0.85  # factors, and their share
HELD, NOT_SHOWN = 0, 1  # kinds of a piece
MIN_HELD = 0.8  # probability from which a word that no item has is one that an item should have
BLOCK = 32  # texts read at once


@dataclass(frozen=True)
class Asked:
    """A text to be read.

    Attributes:
        places: what its items may point at. start: where the text itself begins, behind what it is about.
    """

    text: str
    places: tuple[Span, ...] = ()
    start: int = 0


@dataclass(frozen=True)
class ReadItem:
    """An item as it was read.

    Attributes:
        values: field -> choice, True, number, or number of a place from 1. words: field -> spans of the text.
        names: the likeliest names (None = none of them) with their probabilities, the likeliest first.
        written: the item in plain words. sure: how likely its first choice and its places are, together.
        unsure: names of numbers that are better asked for.
    """

    values: Mapping[str, Any]
    words: Mapping[str, tuple[Span, ...]]
    names: Names = ()
    written: str = ""
    sure: float = 1.0
    unsure: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """A text as it was read.

    Attributes:
        unshown: words that nothing can show, and those that belong to an item and that none has.
        counted: numbers that something was read from.
    """

    text: str
    items: tuple[ReadItem, ...]
    whole: Mapping[str, Any] = field(default_factory=dict)
    unshown: tuple[Span, ...] = ()
    counted: tuple[Span, ...] = ()

    def join_spans(self, spans: Sequence[Span]) -> str:
        """The words at some places."""
        return " ".join(self.text[a:b] for a, b in spans)


class Reader:
    """A trained network at work."""

    def __init__(self, network: ReadingNetwork) -> None:
        self.network, self.names = network.eval(), network.config.tables
        self.pieces = PieceReader()

    @classmethod
    def load(cls, folder: str) -> Self:
        """That of a folder; raises UserError where it has none, or a damaged one."""
        network = load_network(folder)
        if network is None:
            raise UserError(f"{folder}: no reading network there; accepted: folders of the reading stage")
        return cls(network)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.network.more.weight.device

    @torch.inference_mode()
    def read(
        self, texts: Sequence[str | Asked], task: str = "read", near: int = 3, write: bool = False
    ) -> list[Reading]:
        """The items of each text, with the `near` likeliest names of each; `write`: in words, too."""
        asked = [Asked(t) if isinstance(t, str) else t for t in texts]
        out: list[Reading] = []
        for start in range(0, len(asked), BLOCK):
            out += self._read(asked[start : start + BLOCK], PROGRAMS[task], near, write)
        return out

    def _read(self, texts: Sequence[Asked], program: Program, near: int, write: bool) -> list[Reading]:
        net = self.network.of_task(program.task)
        rows = [self.pieces(t.text, t.places, t.start) for t in texts]
        ids, mask, counted, lines = (x.to(self.device) for x in pad_texts(rows))
        states = net.encode(ids, mask)
        keys, value_keys, mean = net.keys(states), net.number_keys(states), mean_state(states, mask)
        place_keys, placed = net.place_keys(value_keys, states, lines), where_lines_begin(lines)
        heads: Any = net.heads[program.task]
        kinds = program.by_kind
        real = _real_pieces(rows, mask.shape[1])
        shown = real.to(self.device)[:, None, None]
        before = states.new_zeros((len(texts), 0, states.shape[-1]))
        chosen, named = (ids.new_zeros((len(texts), 0)) for _ in range(2))
        items: list[list[ReadItem]] = [[] for _ in texts]
        kept: list[tuple[int, int, Tensor]] = []  # text, item, state of its step
        going = mask.any(-1)
        word_names = [f.name for f in kinds["words"]]
        for number in range(MAX_ITEMS):
            step = net.steps(states, mask, program.task, before, chosen, named)[:, -1:]
            if number or program.task == "events":  # a scene may have none, every other text has an item
                going &= net.more(step)[:, 0, 0] > 0
            if not going.any():
                break
            found = heads.words(step, keys).masked_fill(~shown, -1e9) if word_names else None
            pooled = torch.zeros_like(step)
            if found is not None and program.pointed:
                at = word_names.index(program.pointed)
                # an item has a word at least
                least = found[:, :, at].amax(-1, keepdim=True).clamp(max=0.0)
                pooled = pool(states, found[:, :, at] >= least)
                found[:, :, at] = torch.where(found[:, :, at] >= least, 1.0, -1.0)
            values = heads.values(step, pooled, value_keys, place_keys)
            shares = net.name_logits(program.table, step, pooled, mean).softmax(-1) if program.table else None
            for i in going.nonzero()[:, 0].tolist():
                read: dict[str, Any] = {}
                unsure: list[str] = []
                sure = float(values["choice"][0][i, 0].softmax(-1).max()) if kinds["choice"] else 1.0
                for kind, open_ in (("choice", None), ("flag", None), ("number", counted[i]), ("place", placed[i])):
                    for f, logits in zip(kinds[kind], values[kind], strict=True):  # type: ignore[index]
                        if (value := _value(f, logits[i, 0], open_, rows[i])) is not None:
                            read[f.name] = value
                            if kind == "number" and _is_unsure(f, logits[i, 0], open_):
                                unsure.append(f.name)
                        if kind == "place":
                            sure *= float(_close_pieces(logits[i, 0], placed[i]).softmax(-1).max())
                words = {
                    name: spans for k, name in enumerate(word_names)
                    if found is not None and (spans := _spans(texts[i].text, rows[i], found[i, 0, k] > 0))
                }  # fmt: skip
                kept.append((i, len(items[i]), step[i, 0]))
                names = self._names(program.table, shares, i, near)
                items[i].append(ReadItem(read, words, names, sure=sure, unsure=tuple(unsure)))
            first = ids.new_zeros((len(texts), 1))
            if kinds["choice"]:
                first = values["choice"][0].argmax(-1)
            before = torch.cat([before, pooled], 1)
            chosen = torch.cat([chosen, first], 1)
            named = torch.cat([named, first * 0 if shares is None else shares.argmax(-1)], 1)
        if write and program.written and kept:
            for (i, k, _), text in zip(kept, self._write(net, kept, states, mask, ids), strict=True):
                items[i][k] = replace(items[i][k], written=text)
        wholes = heads.wholes(mean, value_keys)
        of_pieces = net.kinds(states).softmax(-1).cpu()
        unshown, held = of_pieces.argmax(-1) == NOT_SHOWN, of_pieces[..., HELD] >= MIN_HELD
        out = []
        for i, asked in enumerate(texts):
            whole = {
                f.name: value for f, logits in zip(program.whole, wholes, strict=True)
                if (value := _value(f, logits[i], counted[i], rows[i])) is not None
            }  # fmt: skip
            told = {(k, v) for item in (*items[i], ReadItem(whole, {})) for k, v in item.values.items()}
            counted_ = tuple(
                n.span for n in rows[i].numerals.values() if any(n.of(k) == v and v is not True for k, v in told)
            )
            has = rows[i].inside([span for item in items[i] for spans in item.words.values() for span in spans])
            lost = held[i, : len(has)] & ~torch.from_numpy(has)
            not_shown = _spans(asked.text, rows[i], (unshown[i, : len(has)] | lost) & real[i, : len(has)])
            out.append(Reading(asked.text, tuple(items[i]), whole, not_shown, counted_))
        return out

    @torch.inference_mode()
    def name(self, texts: Sequence[str], near: int = 3, task: str = "read") -> list[Names]:
        """The likeliest names of texts that are one item each, all of their words."""
        out: list[Names] = []
        for start in range(0, len(texts), BLOCK):
            rows = [self.pieces(t) for t in texts[start : start + BLOCK]]
            table = PROGRAMS[task].table  # (B, 1, V + 1) logits of texts that are one item each
            shares = self.network.compare(table, self._turn_texts(rows, task)).softmax(-1)
            out += [self._names(table, shares, i, near) for i in range(len(rows))]
        return out

    @torch.inference_mode()
    def add_names(self, task: str, texts: Mapping[str, Sequence[str]]) -> None:
        """Further names of a task's table, each from a few texts that mean it and nothing else."""
        net, table = self.network, PROGRAMS[task].table
        new = []
        for rows in texts.values():
            turned = self._turn_texts([self.pieces(t) for t in rows[:BLOCK]], task)
            new.append(turned[:, 0].mean(0))
        names, bias = net.names[table].data, net.name_bias[table].data
        net.names[table].data = torch.cat([names[:-1], torch.stack(new), names[-1:]])
        usual = bias[:-1].mean().expand(len(new))
        net.name_bias[table].data = torch.cat([bias[:-1], usual, bias[-1:]])
        self.names = {**self.names, table: [*self.names[table], *texts]}

    def _turn_texts(self, rows: Sequence[Pieces], task: str) -> Tensor:
        """(B, 1, D) what texts that are one item each are compared with names by."""
        net, (ids, mask, _, _) = self.network, (x.to(self.device) for x in pad_texts(rows))
        states, real = net.encode(ids, mask), _real_pieces(rows, mask.shape[1]).to(self.device)
        none = states.new_zeros((len(rows), 0, states.shape[-1]))
        nothing = ids.new_zeros((len(rows), 0))
        step = net.steps(states, mask, task, none, nothing, nothing)
        return net.turn_vectors(step, pool(states, real[:, None]), mean_state(states, mask))

    def _names(self, table: str, shares: Tensor | None, row: int, near: int) -> Names:
        if shares is None:
            return ()
        best, which = shares[row, 0].topk(min(near, shares.shape[-1]))
        names = self.names[table]
        out = [(names[w] if w < len(names) else None, b) for w, b in zip(which.tolist(), best.tolist(), strict=True)]
        none = () if len(names) in which else ((None, float(shares[row, 0, -1])),)
        return (*out, *none)

    def _write(
        self, net: ReadingNetwork, kept: Sequence[tuple[int, int, Tensor]], states: Tensor, mask: Tensor, ids: Tensor
    ) -> list[str]:
        """Items in words, the likeliest piece after the likeliest."""
        rows = torch.tensor([i for i, _, _ in kept], device=self.device)
        step = torch.stack([s for _, _, s in kept])
        before = rows.new_zeros((len(kept), 0))
        over = torch.zeros_like(rows, dtype=torch.bool)
        for _ in range(MAX_WRITTEN):
            words, copies = net.writer(net.encoder, step, before, states[rows], mask[rows])
            size = len(net.encoder.table)
            piece = net.writer.likeliest(words[:, -1], copies[:, -1], ids[rows], size, before).masked_fill(over, END)
            before = torch.cat([before, piece[:, None]], 1)
            over |= piece == END
            if over.all():
                break
        return [self.pieces.words(_end_writing(row)).rstrip(" ,;:") for row in before.tolist()]


def _end_writing(row: list[int]) -> list[int]:
    """The pieces of an item up to its end; what is said again at once is left out."""
    out: list[int] = []
    for piece in row[: row.index(END)] if END in row else row:
        out.append(piece)
        for size in range(len(out) // 2, 1, -1):
            if out[-size:] == out[-2 * size : -size]:
                del out[-size:]
                break
    return out


def _real_pieces(rows: Sequence[Pieces], width: int) -> Tensor:
    """(B, N) bool: pieces that stand for characters."""
    out = torch.zeros((len(rows), width), dtype=torch.bool)
    for i, p in enumerate(rows):
        out[i, : len(p.ids)] = torch.from_numpy(p.spans[:, 1] > p.spans[:, 0])
    return out


def _value(f: Field, logits: Tensor, open_: Tensor | None, pieces: Pieces) -> Any:
    """The value of a field by its logits, None = none; `open_` (N,) 1 at the pieces that may be pointed at."""
    if f.kind == "flag":
        return True if float(logits) > 0 else None
    if f.kind == "choice":
        best = int(logits.argmax())
        return f.choices[best - 1] if best else None
    assert open_ is not None
    fixed, possible = len(logits) - len(open_), _close_pieces(logits, open_)
    if f.counts:
        parts = [1 + k for k, c in enumerate(CONSTANTS) if c < 1 or not c.is_integer()]
        parts += [fixed + k for k, numeral in pieces.numerals.items() if numeral.of(f.name) < 1]
        possible[parts] = -1e9
    best = int(possible.argmax())
    if best == 0:
        return None
    if f.kind == "place":
        return pieces.places.index(best - fixed) + 1
    if best < fixed:
        return CONSTANTS[best - 1]
    value = pieces.numerals[best - fixed].of(f.name)
    if f.name != "factor" or value <= 1:
        return value
    # "twice as slow": what the constants say, which stand for words without a number, is the direction
    return 1 / value if float(logits[1:fixed].softmax(-1)[SLOWER].sum()) >= MIN_SLOWER else value


def _is_unsure(f: Field, logits: Tensor, open_: Tensor | None) -> bool:
    """Whether the likeliest number of a field is better asked for than taken."""
    assert open_ is not None
    shares = _close_pieces(logits, open_).softmax(-1)
    best = int(shares.argmax())
    return float(shares[best]) < (MIN_GUESS if f.name == "seconds" and best <= len(CONSTANTS) else MIN_NUMBER)


def _close_pieces(logits: Tensor, open_: Tensor) -> Tensor:
    """Logits of a number or a place with the pieces closed that are none."""
    fixed = len(logits) - len(open_)
    return torch.cat([logits[:fixed], logits[fixed:].masked_fill(open_ == 0, -1e9)])


def _spans(text: str, pieces: Pieces, chosen: Tensor) -> tuple[Span, ...]:
    """Whole words of which a piece is chosen."""
    out: list[Span] = []
    spans = pieces.spans[chosen[: len(pieces.ids)].cpu().numpy()]
    for start, end in spans.tolist():
        while start > 0 and WORD.fullmatch(text, start - 1, start + 1):
            start -= 1
        while end < len(text) and WORD.fullmatch(text, end - 1, end + 1):
            end += 1
        if not out or out[-1] != (start, end):
            out.append((start, end))
    return tuple(out)
