"""Training examples of the language model from arrays: draws of the mixture -> prompts, answers and their lengths.

Whatever can be prepared is prepared once (texts tokenised, codes in one array); a step's rows are drawn, varied and put
together with NumPy, all rows of a task at a time. Legend: n rows, N clips or pairs of a stream, F attribute fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Self

import numpy as np
from pydantic import model_validator

from avatargpt.lm.shape import Shape
from avatargpt.lm.text_encoder import TextTokenizer
from avatargpt.train.data.clip_tables import LONGEST, NEVER_CROPPED, Clauses, ClipTable, Pools
from avatargpt.train.data.corpus import PAIRED
from avatargpt.train.data.prompts import FIELDS, MOTIONS, NOTHING, SLOTS, SYMBOLS, TEXTS, Wording
from avatargpt.train.data.ragged import places
from instruct_data.attributes import ONWARD
from instruct_data.factory.mixture import ExampleStream, clip_class, generator
from instruct_data.planning import Pair
from instruct_data.registry import Task, get_task
from instruct_data.store import ClipCodes
from vqvae.errors import UserError
from vqvae.strict import Share, Strict, Weights

# Of the rest of a clip cut anywhere: repetitions that it no longer shows cannot be counted.
REST = tuple(name for name in ONWARD if name != "times")
CONTEXT = 16  # motion tokens of context on each side
MOTION = 1 << 40  # from here on, a place lies among the motion tokens
# Fields of a stretch of a repeated action.
STRETCH = ("action", "side", "hand", "direction", "tempo", "size", "quality")


@dataclass(frozen=True, eq=False)
class Rows:
    """n training examples.

    Attributes:
        ids: (S,) int64 ids of all prompts, one after another. places: (S,) rows of `ClipTable.codes`, -1 = words.
        starts, sources: (n,) where the prompt of a row begins in `ids`, and its length.
        answers: (A,) ids of all answers, end included. answer_starts, targets: (n,) likewise.
        codes: (n,) first row of the answer in `ClipTable.codes`, -1 = words.
        ground: (n,) number of the text for the sentence encoder, -1 = none.
        length: (n,) motion tokens to announce to the decoder, -1 = unknown.
        head: (n,) number in `Shape.heads`. task: (n,) number in `Examples.tasks`.
        positive: (n,) the row whose answer this row's prompt does not fit, -1 = the prompt fits its answer.
    """

    ids: np.ndarray
    places: np.ndarray
    starts: np.ndarray
    sources: np.ndarray
    answers: np.ndarray
    answer_starts: np.ndarray
    targets: np.ndarray
    codes: np.ndarray
    ground: np.ndarray
    length: np.ndarray
    head: np.ndarray
    task: np.ndarray
    positive: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)


@dataclass
class StreamRows:
    """Rows of one stream before their prompts are put together.

    Attributes:
        skeleton: (n,) rows of `Wording.operations`.
        spans, lengths: (n, SLOTS) places of what fills the slots; length 0 = nothing.
        answer, tokens: (n,) first row of the answer in `ClipTable.codes` and its tokens; of words, the number of the
            text and -1.
        ground, length: see `Rows`.
    """

    skeleton: np.ndarray
    spans: np.ndarray
    lengths: np.ndarray
    answer: np.ndarray
    tokens: np.ndarray
    ground: np.ndarray
    length: np.ndarray

    @classmethod
    def empty(cls, count: int) -> Self:
        """Rows without anything."""
        zeros, none = np.zeros((count, SLOTS), np.int64), np.full(count, -1, np.int64)
        return cls(none.copy(), zeros, zeros.copy(), none.copy(), none.copy(), none.copy(), none.copy())

    def join(self, below: StreamRows) -> StreamRows:
        """The rows of both."""
        return StreamRows(
            *(np.concatenate([getattr(self, f.name), getattr(below, f.name)]) for f in fields(StreamRows))
        )

    def take(self, rows: np.ndarray) -> StreamRows:
        """A selection of rows."""
        return StreamRows(*(getattr(self, f.name)[rows] for f in fields(StreamRows)))


class ExampleOptions(Strict):
    """Variation of the examples; shares between 0 and 1.

    Attributes:
        weights: stream name -> share of the mixture. ``NAME/SOURCE`` draws clips of one source (composed, layered,
            styled, ...) for task NAME; plain ``NAME`` those of all sources without such a stream, joined clips never.
            ``continuation/composed`` goes on where one part of a composed clip ends, with the words of the next.
        alpha: class balance per stream.
        unconditional: motion prompts without words and attributes (classifier-free guidance needs them).
        only_ground, only_words: motion prompts that keep only the sentence encoder's view of the words, or only the
            word pieces. only_attributes: those without either.
        attributes: motion prompts that state attributes; all of them in half of these, else each with a chance of
            `each`.
        contrast: of the prompts with attributes, those that come with a second prompt in which one is exchanged.
        announce: motion answers whose length the decoder gets.
        say_seconds: of those, prompts that also state the duration.
        everyday: text-to-motion requests in everyday words of the lexicon instead of the clip's prompt pool.
        asked: text-to-motion requests as users phrase them (`factory.text.everyday`), where there are some.
        crop: long clips of cyclic actions that are cut to a stretch.
        continue_with_words: continuations and middles that say what happens.
    """

    weights: Weights = {}
    alpha: Weights = {}
    unconditional: Share = 0.1
    only_ground: Share = 0.2
    only_words: Share = 0.15
    only_attributes: Share = 0.1
    attributes: Share = 0.7
    each: Share = 0.6
    contrast: Share = 0.3
    announce: Share = 0.75
    say_seconds: Share = 0.5
    everyday: Share = 0.15
    asked: Share = 0.08
    crop: Share = 0.4
    continue_with_words: Share = 0.4

    @model_validator(mode="after")
    def _together(self) -> Self:
        parts = self.only_ground + self.only_words + self.only_attributes + self.unconditional
        if parts > 1 + 1e-9:
            raise UserError(f"only_ground, only_words, only_attributes, unconditional: together {parts:g}; "
                            "accepted: at most 1")  # fmt: skip
        return self


class Examples:
    """Rows of draws, a function of the draws and a generator alone.

    Args:
        items: tokenised training clips.
        pairs: text task -> (slots, answer) pairs.
        rates: modality -> tokens per second.

    Attributes:
        tasks: names, by the numbers in `Rows.task`.
    """

    def __init__(
        self, items: Sequence[ClipCodes], pairs: dict[str, list[Pair]], text: TextTokenizer, config: Shape,
        options: ExampleOptions, rates: dict[str, float] | None = None,
    ) -> None:  # fmt: skip
        self.pairs, self.text, self.config, self.options = pairs, text, config, options
        self.rates = rates or {"body": 5.0}
        self.wording = Wording(text, config, self.rates)
        self.pools = Pools(items, {"composed", *(name.partition("/")[2] for name in options.weights)})
        self.clips = ClipTable(items, self.wording, config, options.asked > 0 or options.everyday > 0)
        self._streams = self._list_streams()
        self.tasks = list(dict.fromkeys(s.task.partition("/")[0] for s in self._streams))
        self._entries: dict[str, np.ndarray] = {}
        self._pairs: dict[str, tuple[np.ndarray, ...]] = {}

    def streams(self) -> list[ExampleStream]:
        """The mixture's streams with their weights."""
        return self._streams

    def prepare(self) -> None:
        """Make all tables now, so that processes that begin hereafter share them and number the same texts alike."""
        count = len(self._streams)
        self.make(np.arange(count), np.zeros(count, np.int64), (0,))
        self.clips.number_mirrored()

    def _list_streams(self) -> list[ExampleStream]:
        out = []
        for name, weight in self.options.weights.items():
            if weight <= 0:
                continue
            task, _, source = name.partition("/")
            if task in self.pairs:
                classes = ["pair"] * len(self.pairs[task])
            elif name == "continuation/composed":
                classes = self.clauses.classes
            elif get_task(task).words == "steps":
                classes = ["composed"] * len(self.pools(name))
            else:
                # actions of several names ("walk+wave") are of one kind: no balance among them
                classes = [i.source if "+" in i.action else clip_class(i) for i in self.pools(name)]
                if source in ("practised", "shown"):  # balanced over classes in their making: here over styles, too
                    classes = [f"{c} {i.style}" for c, i in zip(classes, self.pools(name), strict=True)]
            if classes:
                out.append(ExampleStream(name, weight, classes, self.options.alpha.get(name, 0.5)))
        return out

    @cached_property
    def clauses(self) -> Clauses:
        """Parts of the composed clips with the parts before them."""
        return Clauses(self.pools("text_to_motion/composed"), self.clips)

    def make(self, streams: np.ndarray, entries: np.ndarray, seed: Sequence[int]) -> Rows:
        """Rows of draws (n,): numbers of streams and of their entries; rows that deny one of them follow at the end.

        `seed`: of everything random in them.
        """
        parts, order, heads, tasks, denied = [], [], [], [], []
        extra: list[tuple[StreamRows, np.ndarray, int, int]] = []
        for s in np.unique(streams):
            at = np.flatnonzero(streams == s)
            task = get_task(self._streams[s].task.partition("/")[0])
            rng = generator(seed[0], *seed[1:], int(s))
            part, negatives, positives = self._part(self._streams[s].task, task, entries[at], rng)
            place, number = self.config.heads.index(task.output), self.tasks.index(task.name)
            parts.append(part)
            order.append(at)
            heads.append(np.full(len(at), place))
            tasks.append(np.full(len(at), number))
            if negatives is not None:
                extra.append((negatives, at[positives], place, number))
        back = np.argsort(np.concatenate(order), kind="stable")
        whole = parts[0]
        for part in parts[1:]:
            whole = whole.join(part)
        whole = whole.take(back)
        head, task_numbers = np.concatenate(heads)[back], np.concatenate(tasks)[back]
        denied.append(np.full(len(back), -1, np.int64))
        for part, positives, h, t in extra:
            whole = whole.join(part)
            head = np.append(head, np.full(len(positives), h))
            task_numbers = np.append(task_numbers, np.full(len(positives), t))
            denied.append(positives)
        return self._assemble_rows(whole, head, task_numbers, np.concatenate(denied))

    def _assemble_rows(self, part: StreamRows, head: np.ndarray, task: np.ndarray, positive: np.ndarray) -> Rows:
        """Prompts and answers of a part as flat ids."""
        operations = self.wording.operations[part.skeleton]
        slot, word = -2 - operations, np.maximum(operations, 0)
        is_slot, row = operations <= -2, np.arange(len(operations))[:, None]
        at = np.where(is_slot, slot, 0)
        starts = np.where(is_slot, part.spans[row, at], self.wording.pieces.starts[word])
        lengths = np.where(is_slot, part.lengths[row, at], self.wording.pieces.lengths[word])
        lengths = np.where(operations == NOTHING, 0, lengths)
        index = places(starts, lengths)
        motion = index >= MOTION
        place = np.where(motion, index - MOTION, -1)
        ids = self.wording.pieces.flat[np.where(motion, 0, index)]
        ids[motion] = self.clips.ids[place[motion]]
        sources = lengths.sum(1)
        words = part.tokens < 0
        number = np.where(words, part.answer, 0)
        answer_starts = np.where(words, self.wording.pieces.starts[number], part.answer + MOTION)
        counts = np.where(words, self.wording.pieces.lengths[number], part.tokens)
        flat = places(answer_starts, counts)
        moved = flat >= MOTION
        answers = self.wording.pieces.flat[np.where(moved, 0, flat)]
        answers[moved] = self.clips.ids[flat[moved] - MOTION]
        # the end id behind each answer
        ends = np.array([self.config.end_id(h) for h in self.config.heads])[head]
        answers = np.insert(answers, np.cumsum(counts), ends)
        targets = counts + 1
        return Rows(
            ids, place, np.cumsum(sources) - sources, sources, answers, np.cumsum(targets) - targets, targets,
            np.where(words, -1, part.answer), part.ground, part.length, head, task, positive,
        )  # fmt: skip

    def _part(
        self, stream: str, task: Task, entries: np.ndarray, rng: np.random.Generator
    ) -> tuple[StreamRows, StreamRows | None, np.ndarray]:
        if task.name in self.pairs:
            return self._pair(task, entries, rng), None, entries
        if stream == "continuation/composed":
            return self._next_clause(task, entries, rng), None, entries
        if stream not in self._entries:  # numbers in the table of the clips of a stream
            self._entries[stream] = np.array([self.clips.number(i) for i in self.pools(stream)], np.int64)
        clips = self._entries[stream][entries]
        if task.examples == "text_to_motion":
            return self._text_to_motion(task, clips, rng)
        if task.examples == "motion_to_text":
            return self._motion_to_text(task, clips, rng), None, entries
        if task.examples == "continuation":
            return self._continuation(task, clips, rng), None, entries
        return self._in_between(task, clips, rng), None, entries

    def _skeletons(
        self, task: Task, slots: Sequence[frozenset[str]], which: np.ndarray, tokens: np.ndarray,
        rng: np.random.Generator, value: np.ndarray | None = None,
    ) -> np.ndarray:  # fmt: skip
        """(n,) a random template for each row.

        Args:
            slots: sets of filled slots. which: (n,) the set of each row. tokens: (n,) that its seconds state.
        """
        drawn = rng.random(len(which))
        timed = [any(s.kind == "seconds" and s.name in names for s in task.inputs) for names in slots]
        choices = [task.eligible(set(names)) for names in slots]
        out = np.empty(len(which), np.int64)
        values = np.zeros(len(which)) if value is None else value
        rows = zip(which.tolist(), drawn.tolist(), tokens.tolist(), values.tolist(), strict=True)
        for n, (w, u, count, v) in enumerate(rows):
            template = choices[w][int(u * len(choices[w]))]
            out[n] = self.wording.skeleton(task.name, template, slots[w], count if timed[w] else 0, v)
        return out

    def _pair(self, task: Task, entries: np.ndarray, rng: np.random.Generator) -> StreamRows:
        """Words, and where the task has such slots motion, to words."""
        if task.name not in self._pairs:
            self._pairs[task.name] = self._pair_table(task)
        texts, clips, which, answers, ground = self._pairs[task.name]
        part = StreamRows.empty(len(entries))
        names = [s.name for kind in PAIRED for s in task.of_kind(kind)]
        sets = [frozenset(n for k, n in enumerate(names) if mask >> k & 1) for mask in range(1 << len(names))]
        part.skeleton = self._skeletons(task, sets, which[entries], np.zeros(len(entries), np.int64), rng)
        keep_words, keep_ground, _ = self._draw_kept(len(entries), rng, motion=False)
        # texts fill the slots in the order in which they are filled, not in that of the task
        for k in range(texts.shape[1]):
            number = texts[entries, k]
            self._say(part, number, keep_words & (number >= 0), TEXTS + k)
        for k, chosen in enumerate(clips[entries].T):  # whole clips: the answer is about all of them
            tokens = np.minimum(self.clips.counts[chosen], LONGEST)
            self._motions(part, k, self.clips.starts[chosen], np.where(chosen >= 0, tokens, 0))
        number = ground[entries]
        for n, order in enumerate(self.wording.text_orders[s] for s in part.skeleton):
            if order != sorted(order):  # the sentence encoder reads texts in the order of the prompt
                row = texts[entries[n]]
                number[n] = self.wording.number(" ".join(self.wording.texts[row[k]] for k in order))
        part.ground = np.where(keep_ground, number, -1)
        part.answer = answers[entries]
        return part

    def _pair_table(self, task: Task) -> tuple[np.ndarray, ...]:
        rows = self.pairs[task.name]
        names, motions = ([s.name for s in task.of_kind(kind)] for kind in PAIRED)
        texts = np.full((len(rows), max(len(names), 1)), -1, np.int64)
        clips = np.full((len(rows), max(sum(name in slots for name in motions) for slots, _ in rows)), -1, np.int64)
        which, whole = np.zeros(len(rows), np.int64), []
        items = {item.id: item for item in self.clips.items} if motions else {}
        for n, (slots, _) in enumerate(rows):
            which[n] = sum(1 << k for k, name in enumerate([*names, *motions]) if name in slots)
            filled = [slots[name] for name in names if name in slots]
            texts[n, : len(filled)] = self.wording.numbers(filled)
            whole.append(" ".join(filled))
            for k, clip in enumerate(slots[name] for name in motions if name in slots):
                if clip not in items or items[clip].modality != task.modality:
                    raise UserError(f"task {task.name}: pair {n + 1}: {clip[:40]!r}; accepted: the id of a training "
                                    f"clip of a {task.modality}")  # fmt: skip
                clips[n, k] = self.clips.number(items[clip])
        return texts, clips, which, self.wording.numbers([a for _, a in rows]), self.wording.numbers(whole)

    def _say(self, part: StreamRows, number: np.ndarray, kept: np.ndarray, slot: int) -> None:
        """Fill a text slot where `kept`."""
        safe = np.maximum(number, 0)
        part.spans[:, slot] = self.wording.pieces.starts[safe]
        part.lengths[:, slot] = np.where(kept & (number >= 0), self.wording.pieces.lengths[safe], 0)

    def _draw_kept(
        self, count: int, rng: np.random.Generator, motion: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(n,) whether word pieces, the sentence encoder's states and (of motion prompts) attributes are kept."""
        o, u = self.options, rng.random(count)
        no_words = u < o.only_ground
        no_ground = ~no_words & (u < o.only_ground + o.only_words)
        alone = (u >= o.only_ground + o.only_words) & (u < o.only_ground + o.only_words + o.only_attributes) & motion
        nothing = (u >= 1 - o.unconditional) & motion
        stated = (rng.random(count) < o.attributes) | alone
        return ~no_words & ~alone & ~nothing, ~no_ground & ~alone & ~nothing, stated & ~nothing & motion

    def _attributes(
        self, clips: np.ndarray, stated: np.ndarray, allowed: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """(n, F) numbers of the symbols that are stated, -1 = none; `allowed` (n, F) bool."""
        every = rng.random(len(clips)) < 0.5
        chance = rng.random((len(clips), len(FIELDS))) < self.options.each
        kept = stated[:, None] & allowed & (every[:, None] | chance)
        return np.where(kept, self.clips.attributes[clips], -1)

    def _state(self, part: StreamRows, symbols: np.ndarray) -> None:
        safe = np.maximum(symbols, 0)
        part.spans[:, SYMBOLS:] = self.wording.pieces.starts[safe]
        part.lengths[:, SYMBOLS:] = np.where(symbols >= 0, self.wording.pieces.lengths[safe], 0)

    def _motions(self, part: StreamRows, slot: int, starts: np.ndarray, lengths: np.ndarray) -> None:
        part.spans[:, MOTIONS + slot], part.lengths[:, MOTIONS + slot] = starts + MOTION, lengths

    def _length(self, task: Task, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(n,) whether the length is announced, and whether it is stated in words."""
        # Without an announced length the decoder learns to end by itself.
        announced = rng.random(count) < self.options.announce
        stated = announced & (rng.random(count) < self.options.say_seconds)
        seconds = task.of_kind("seconds")[:1]
        if not seconds:
            return announced, np.zeros(count, bool)
        stated |= seconds[0].required
        return announced | stated, stated

    def _crop_clips(self, clips: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(n,) first row of the codes, tokens, and whether it is a stretch of a longer clip."""
        start, count = self.clips.starts[clips], self.clips.counts[clips]
        cut = self.clips.cyclic[clips] & (count > NEVER_CROPPED) & (rng.random(len(clips)) < self.options.crop)
        u, v = rng.random(len(clips)), rng.random(len(clips))
        length = np.where(cut, (8 + u * np.maximum(count - 8, 0)).astype(np.int64), count)
        start = start + np.where(cut, (v * (count - length + 1)).astype(np.int64), 0)
        # takes that are too long begin anywhere
        over = length > LONGEST
        start = start + np.where(over, (rng.random(len(clips)) * (length - LONGEST + 1)).astype(np.int64), 0)
        return start, np.minimum(length, LONGEST), cut | over

    def _slots(self, task: Task, kinds: Sequence[tuple[str, int]], optional: Sequence[str]) -> list[frozenset[str]]:
        """Sets of slots: the first ones of `kinds`, with any of the first of the optional kinds (by bits)."""
        fixed = [s.name for kind, count in kinds for s in task.of_kind(kind)[:count]]
        extra = [[s.name for s in task.of_kind(kind)[:1]] for kind in optional]
        return [
            frozenset(fixed).union(*(names for k, names in enumerate(extra) if mask >> k & 1))
            for mask in range(1 << len(optional))
        ]  # fmt: skip

    def _text_to_motion(
        self, task: Task, clips: np.ndarray, rng: np.random.Generator
    ) -> tuple[StreamRows, StreamRows | None, np.ndarray]:
        count = len(clips)
        part = StreamRows.empty(count)
        start, tokens, cut = self._crop_clips(clips, rng)
        announced, stated = self._length(task, count, rng)
        announced = announced | cut  # the end of a stretch is no end of the action
        words, ground, typed = self._draw_kept(count, rng, motion=True)
        value = None
        if task.words == "emotion" and task.of_kind("number"):
            text, value = self.clips.emotions(clips, rng)
        else:
            text = self.clips.text(clips, task.words, rng, self.options.everyday, self.options.asked)
        fields_allowed = np.where(cut[:, None], np.isin(FIELDS, STRETCH), np.ones(len(FIELDS), bool))
        has = bool(task.of_kind("attributes"))
        symbols = self._attributes(clips, typed & has, fields_allowed, rng)
        which = stated.astype(np.int64) + 2 * (has & (symbols >= 0).any(1)) + 4 * (0 if value is None else value > 0)
        sets = self._slots(task, [("text", 1)], ("seconds", "attributes", "number"))
        part.skeleton = self._skeletons(task, sets, which, tokens, rng, value)
        self._say(part, text, words, TEXTS)
        self._state(part, symbols)
        part.answer, part.tokens = start, tokens
        part.ground = np.where(ground, text, -1)
        part.length = np.where(announced, tokens, -1)
        chosen = (symbols >= 0).any(1) & (rng.random(count) < self.options.contrast)
        positives = np.flatnonzero(chosen) if has else np.zeros(0, np.int64)
        if not len(positives):
            return part, None, positives
        exchanged, other, possible = self.clips.exchange(
            clips[positives], symbols[positives], text[positives], rng
        )
        positives = positives[possible]
        if not len(positives):
            return part, None, positives
        negative = part.take(positives)
        self._state(negative, exchanged[possible])
        # Words that cannot be exchanged are left out of both prompts.
        speechless = np.zeros(count, bool)
        speechless[positives] = other[possible] < 0
        part.lengths[speechless, TEXTS], part.ground[speechless] = 0, -1
        self._say(negative, other[possible], words[positives], TEXTS)
        negative.ground = np.where(ground[positives], other[possible], -1)
        return part, negative, positives

    def _motion_to_text(self, task: Task, clips: np.ndarray, rng: np.random.Generator) -> StreamRows:
        part = StreamRows.empty(len(clips))
        start, tokens, _ = self._crop_clips(clips, rng)
        sets = self._slots(task, [("motion", 1)], ())
        part.skeleton = self._skeletons(task, sets, np.zeros(len(clips), np.int64), tokens, rng)
        self._motions(part, 0, start, tokens)
        part.answer = self.clips.answer(clips, task.words, rng)
        return part

    def _text_slot(self, task: Task, clips: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
        """(n,) numbers of words for the first text slot in this share of rows, in all where it is required."""
        slots = task.of_kind("text")
        drawn = (rng.random(len(clips)) < share) | bool(slots and slots[0].required)
        if not slots:
            return np.full(len(clips), -1, np.int64)
        return np.where(drawn, self.clips.text(clips, task.words, rng), -1)

    def _onward(
        self, task: Task, part: StreamRows, text: np.ndarray, symbols: np.ndarray, announced: np.ndarray,
        stated: np.ndarray, motions: int, rng: np.random.Generator,
    ) -> StreamRows:  # fmt: skip
        """Prompts around motion: words and attributes where there are any, and the length."""
        count = len(text)
        words, ground, typed = self._draw_kept(count, rng, motion=True)
        symbols = np.where(typed[:, None], symbols, -1)
        has = bool(task.of_kind("attributes"))
        which = stated + 2 * (text >= 0) + 4 * (has & (symbols >= 0).any(1))
        sets = self._slots(task, [("motion", motions)], ("seconds", "text", "attributes"))
        part.skeleton = self._skeletons(task, sets, which, part.tokens, rng)
        self._say(part, text, words, TEXTS)
        self._state(part, symbols)
        part.ground = np.where(ground, text, -1)
        part.length = np.where(announced, part.tokens, -1)
        return part

    def _in_between(self, task: Task, clips: np.ndarray, rng: np.random.Generator) -> StreamRows:
        longest = self.clips.counts[clips]
        count = np.minimum(longest, LONGEST + 2 * CONTEXT)
        u, v = rng.random(len(clips)), rng.random(len(clips))
        start = self.clips.starts[clips] + (rng.random(len(clips)) * (longest - count + 1)).astype(np.int64)
        left = 1 + (u * np.maximum(1, count // 2 - 1)).astype(np.int64)
        right = left + 1 + (v * np.maximum(1, count - left - 1)).astype(np.int64)
        right = np.minimum(right, count - 1)
        tokens = np.minimum(right - left, LONGEST)
        right = left + tokens
        part = StreamRows.empty(len(clips))
        begin = np.maximum(0, left - CONTEXT)
        self._motions(part, 0, start + begin, left - begin)
        self._motions(part, 1, start + right, np.minimum(count - right, CONTEXT))
        part.answer, part.tokens = start + left, tokens
        text = self._text_slot(task, clips, self.options.continue_with_words, rng)
        _, stated = self._length(task, len(clips), rng)
        none = np.full((len(clips), len(FIELDS)), -1, np.int64)
        return self._onward(task, part, text, none, np.ones(len(clips), bool), stated, 2, rng)

    def _continuation(self, task: Task, clips: np.ndarray, rng: np.random.Generator) -> StreamRows:
        count, start = self.clips.counts[clips], self.clips.starts[clips]
        # At least one token of context, and where possible two that follow.
        cut = 1 + (rng.random(len(clips)) * np.maximum(1, count - 3)).astype(np.int64)
        part = StreamRows.empty(len(clips))
        part.answer, part.tokens = start + cut, np.minimum(count - cut, LONGEST)
        begin = np.maximum(0, cut - CONTEXT)
        self._motions(part, 0, start + begin, cut - begin)
        text = self._text_slot(task, clips, self.options.continue_with_words, rng)
        allowed = np.isin(FIELDS, REST) & (text >= 0)[:, None]
        symbols = self._attributes(clips, text >= 0, allowed, rng)
        announced, stated = self._length(task, len(clips), rng)
        announced = announced | (count - cut > LONGEST)
        return self._onward(task, part, text, symbols, announced, stated, 1, rng)

    def _next_clause(self, task: Task, entries: np.ndarray, rng: np.random.Generator) -> StreamRows:
        """A part of a composed clip after the part before it, in its own words."""
        table = self.clauses
        seam, end, start = table.seams[entries], table.ends[entries], self.clips.starts[table.clips[entries]]
        part = StreamRows.empty(len(entries))
        part.answer, part.tokens = start + seam, np.minimum(end - seam, LONGEST)
        begin = np.maximum(0, seam - CONTEXT)
        self._motions(part, 0, start + begin, seam - begin)
        text = table.text(entries, rng)
        every = rng.random(len(entries)) < 0.5
        chance = rng.random((len(entries), len(FIELDS))) < self.options.each
        symbols = np.where(every[:, None] | chance, table.attributes[entries], -1)
        announced, stated = self._length(task, len(entries), rng)
        announced = announced | (end - seam > LONGEST)
        return self._onward(task, part, text, symbols, announced, stated, 1, rng)
