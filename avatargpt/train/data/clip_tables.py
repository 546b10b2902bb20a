"""Clips as arrays for training: codes, words and attributes of every clip."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from functools import cached_property

import numpy as np

from avatargpt.lm.shape import TEXT, Shape
from avatargpt.train.data.corpus import clip_steps
from avatargpt.train.data.exchange import Exchange, number_rows
from avatargpt.train.data.judged_answers import usual
from avatargpt.train.data.prepare import CYCLIC
from avatargpt.train.data.prompts import Wording
from avatargpt.train.data.ragged import Growing
from instruct_data.attributes import describe_figures, mirror_attributes, nearest
from instruct_data.factory.mixture import clip_class
from instruct_data.factory.text.captions import bank_style, vary
from instruct_data.factory.text.everyday import everyday, everyday_requests, lexicon
from instruct_data.registry import get_task
from instruct_data.store import ClipCodes
from instruct_data.text.english import mirror_text, side_of

LONGEST = 72  # motion tokens of an example; longer takes begin anywhere
NEVER_CROPPED = 14  # tokens up to which a repeated action stays whole
EVERYDAY_TEXTS = 24  # everyday requests of an action that are made beforehand
MIN_CLASS = 20  # clips of an action from which its tempo and size are relative to the others
QUANTILES = 0.2, 0.8  # of speed and extent within an action: slow and small, fast and large
_reported: set[str] = set()  # unknown styles that were printed
MIN_TOKENS = {"continuation": 2, "in_between": 3}  # motion tokens that a clip needs to be cut so


def clip_attributes(items: Sequence[ClipCodes]) -> list[dict[str, str]]:
    """Typed attributes of clips with measurements (``extra["figures"]``), else none; tempo and size by action."""
    actions = [clip_class(i) for i in items]
    figures = [i.extra.get("figures") for i in items]
    groups: dict[str, list[int]] = defaultdict(list)
    for n, (action, f) in enumerate(zip(actions, figures, strict=True)):
        if f:
            groups[action].append(n)
    out: list[dict[str, str]] = []
    for item, action, f in zip(items, actions, figures, strict=True):
        row = {} if not f or item.modality != "body" else describe_figures(f)
        if row and "+" not in item.action:
            row["action"] = action
            row["quality"] = item.extra.get("quality", "good")
            sides = {s for c in item.captions if (s := side_of(c))}
            if len(sides) == 1:
                row["side"] = sides.pop()
            if times := item.extra.get("times"):
                row["times"] = nearest("times", float(times))
        out.append(row)
    for rows in groups.values():
        if len(rows) >= MIN_CLASS:
            for field, key, names in (("tempo", "speed", ("slow", "fast")), ("size", "extent", ("small", "large"))):
                values = np.array([(figures[n] or {})[key] for n in rows])
                low, high = np.quantile(values, QUANTILES)
                for n, value in zip(rows, values, strict=True):
                    if value < low or value > high:
                        out[n][field] = names[int(value > high)]
    return out


class ClipTable:
    """Tokenised clips as arrays.

    Args:
        items: of all modalities. wording: takes their texts. everyday: whether everyday words for actions are made.

    Attributes:
        codes: (C, R) of all clips, one after another. ids: (C,) ids of level 0.
        starts, counts: (N,) rows of a clip in `codes`.
        attributes: (N, F) numbers of symbols, -1 = none. cyclic: (N,) whether any stretch shows the action.
    """

    def __init__(self, items: Sequence[ClipCodes], wording: Wording, config: Shape, everyday: bool) -> None:
        self.items, self.wording, self.config = list(items), wording, config
        self._numbers = {id(item): n for n, item in enumerate(self.items)}
        levels = max((m["levels"] for m in (config.modalities or {}).values()), default=1)
        self.counts = np.array([len(i.codes) for i in self.items], np.int64)
        self.starts = np.cumsum(self.counts) - self.counts
        self.codes = np.full((int(self.counts.sum()), levels), -1, np.int16)
        self.ids = np.zeros(len(self.codes), np.int64)
        for item, start, count in zip(self.items, self.starts, self.counts, strict=True):
            self.codes[start : start + count, : item.codes.shape[1]] = item.codes
            self.ids[start : start + count] = item.codes[:, 0] + config.first_id(item.modality)
        # captions of these state counts or durations
        self.cyclic = np.array([
            i.source not in ("synthetic", "looped") and clip_class(i) in CYCLIC for i in self.items
        ], bool)  # fmt: skip
        self.typed = clip_attributes(self.items)
        self.attributes = number_rows(self.typed, wording)
        self._prompts = self._pool([list(map(str, i.extra.get("prompts") or i.captions)) for i in self.items])
        self._everyday, self._requests = self._everyday_pools() if everyday else (Growing(), Growing())
        self._words: dict[str, Growing] = {}

    def number(self, item: ClipCodes) -> int:
        """Number of a clip."""
        return self._numbers[id(item)]

    def _pool(self, texts: Sequence[Sequence[str]]) -> Growing:
        self.wording.numbers([t for row in texts for t in row])  # tokenised together
        out = Growing()
        for row in texts:
            out.add(self.wording.numbers(row))
        return out

    def _everyday_pools(self) -> tuple[Growing, Growing]:
        """For each clip, numbers of its action's everyday words, and of users' requests for it."""
        rng = np.random.default_rng(0)
        requests, cache = everyday_requests(), dict[tuple[str, ...], tuple[list[str], list[str]]]()
        classes, styles, unknown = set(requests.classes()), lexicon()["styles"], set[str]()
        rows: tuple[list[list[str]], list[list[str]]] = ([], [])
        for item in self.items:
            # "go upstairs" asks for climb_stairs, but not for the clips that go down
            plain = item.modality == "body" and item.source != "composed" and usual(item)
            side = side_of(item.action.replace("-", " ")) if item.action else None
            key = (item.action, item.style, side or "", str(item.extra.get("side")), str(plain))
            if key not in cache:
                if bank_style(item.style) not in styles:  # its captions are its only words
                    unknown.add(item.style)
                    plain = False
                texts = [everyday(item.action, item.style, rng, side) for _ in range(EVERYDAY_TEXTS)] if plain else []
                named = [vary(t, rng) if k % 2 else t for k, t in enumerate(texts) if t] if item.action else []
                asked = plain and not item.style and clip_class(item) in classes
                cache[key] = named, requests.requests(clip_class(item), item.extra.get("side")) if asked else []
            for pool, words in zip(rows, cache[key], strict=True):
                pool.append(words)
        if unknown := unknown - _reported:  # once: validation makes tables of its own
            _reported.update(unknown)
            print(f"styles without everyday words: {', '.join(sorted(unknown))}", file=sys.stderr)
        return self._pool(rows[0]), self._pool(rows[1])

    @staticmethod
    def _draw_texts(pool: Growing, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A text of each row's pool, -1 where it is empty."""
        lengths = pool.lengths[rows]
        at = pool.starts[rows] + (rng.random(len(rows)) * lengths).astype(np.int64)
        if not len(pool.flat):
            return np.full(len(rows), -1, np.int64)
        return np.where(lengths > 0, pool.flat[np.minimum(at, len(pool.flat) - 1)], -1)

    def _of_words(self, words: str) -> Growing:
        """Texts of every clip that a task uses, see `Task.words`."""
        if words not in self._words:
            steps = clip_steps(self.items) if words == "steps" else {}
            texts: dict[str, Callable[[ClipCodes], list[str]]] = {
                "steps": lambda i: [steps[i.id]] if i.id in steps else [],
                "caption": lambda i: list(i.captions),
            }
            extra: Callable[[ClipCodes], list[str]] = lambda i: [i.extra[words]["text"]] if i.extra.get(words) else []  # noqa: E731
            self._words[words] = self._pool([texts.get(words, extra)(i) for i in self.items])
        return self._words[words]

    def text(
        self, clips: np.ndarray, words: str, rng: np.random.Generator, everyday: float = 0.0, asked: float = 0.0
    ) -> np.ndarray:
        """(n,) numbers of texts that ask for the clips, -1 = none; shares of everyday words and users' requests."""
        if words != "caption":
            return self._draw_texts(self._of_words(words), clips, rng)
        text = self._draw_texts(self._prompts, clips, rng)
        u = rng.random(len(clips))
        shares = (self._everyday, u < everyday), (self._requests, (u >= everyday) & (u < everyday + asked))
        for pool, chosen in shares:
            drawn = self._draw_texts(pool, clips, rng) if len(pool) else np.full(len(clips), -1, np.int64)
            text = np.where(chosen & (drawn >= 0), drawn, text)
        return text

    def answer(self, clips: np.ndarray, words: str, rng: np.random.Generator) -> np.ndarray:
        """(n,) numbers of texts that describe the clips, in lower case without a full stop."""
        name = f"{words} answers"
        if name not in self._words:
            pool = self._of_words(words)
            rows = [pool.flat[s : s + n] for s, n in zip(pool.starts, pool.lengths, strict=True)]
            texts = self.wording.texts
            self._words[name] = self._pool([[texts[t].strip().rstrip(".").lower() for t in row] for row in rows])
        return self._draw_texts(self._words[name], clips, rng)

    def emotions(self, clips: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(n,) numbers of words for feelings, half of them names alone; and the strength of these, else 0."""
        # Strength in words or as a number: half of the examples each, so that either is understood.
        text, value = self.text(clips, "emotion", rng), np.zeros(len(clips))
        for n in np.flatnonzero(rng.random(len(clips)) < 0.5):
            emotion = self.items[clips[n]].extra.get("emotion", {})
            if "name" in emotion:
                text[n], value[n] = self.wording.number(emotion["name"]), emotion["intensity"]
        return text, value

    @cached_property
    def exchange(self) -> Exchange:
        """Other values of attributes and the words of the clips."""
        return Exchange(self.items, self.typed, self.attributes, self.wording)

    def number_mirrored(self) -> None:
        """Number the words of all clips with sides exchanged, so that processes that begin now agree on them."""
        pools = np.concatenate([p.flat for p in (self._prompts, self._everyday, self._requests)])
        self.exchange.mirror_texts(np.unique(pools).tolist())


class Clauses:
    """Parts of composed clips, each after the part before it.

    Attributes:
        clips: (M,) number of the composed clip. seams, ends: (M,) tokens at which a part begins and ends in it.
        attributes: (M, F) of the part, without the posture that it begins in. classes: action of each.
    """

    def __init__(self, composed: Sequence[ClipCodes], table: ClipTable) -> None:
        parts = {i.id: n for n, i in enumerate(table.items) if i.source != "composed" and not i.mirrored}
        rows, texts, attributes = [], [], []
        self.classes: list[str] = []
        for item in composed:
            names, flips = item.extra.get("parts", []), item.extra.get("mirrored", [])
            seams = [round(s * len(item.codes) / max(item.frames, 1)) for s in item.extra.get("seams", [])]
            ends = [*seams[1:], len(item.codes)]
            clauses = item.extra.get("clauses") or [None] * len(names)
            for name, flip, seam, end, clause in zip(names[1:], flips[1:], seams, ends, clauses[1:], strict=False):
                if not 0 < seam < end or (clause is None and name not in parts):
                    continue
                if clause is not None:  # what goes on from a pose has words and measurements of its own
                    action, captions, flip = clause["action"], clause["captions"], False
                    typed = {"action": action, **describe_figures(clause["figures"]), "quality": "good"}
                else:
                    part = table.items[parts[name]]
                    action, captions, typed = clip_class(part), part.captions, table.typed[parts[name]]
                typed = {k: v for k, v in typed.items() if k != "start"}
                attributes.append(mirror_attributes(typed) if flip else typed)
                texts.append([mirror_text(c) for c in captions] if flip else list(captions))
                rows.append((table.number(item), seam, end))
                self.classes.append(action)
        self.clips, self.seams, self.ends = (np.array(c, np.int64) for c in zip(*rows, strict=True)) if rows else (
            np.zeros(0, np.int64) for _ in range(3)
        )  # fmt: skip
        self.attributes = number_rows(attributes, table.wording)
        self._texts = table._pool(texts)

    def text(self, entries: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(n,) numbers of captions of the parts."""
        return ClipTable._draw_texts(self._texts, entries, rng)


class Pools:
    """Tokenised clips by modality and source.

    Args:
        items: training clips of all modalities.
        separate: sources that only their own streams draw from (``TASK/SOURCE``).
    """

    def __init__(self, items: Sequence[ClipCodes], separate: Collection[str]) -> None:
        self.steps = clip_steps(items)
        self._stepped = [i for i in items if i.id in self.steps]
        self._parts: dict[tuple[str, str], list[ClipCodes]] = {}
        for item in items:
            source = item.source if item.source in separate else ""
            self._parts.setdefault((item.modality, source), []).append(item)
        self._pools: dict[str, list[ClipCodes]] = {}

    def __call__(self, name: str) -> list[ClipCodes]:
        """The clips of one stream of a motion task, in a fixed order."""
        if name not in self._pools:
            self._pools[name] = self._clips(name)
        return self._pools[name]

    def _clips(self, name: str) -> list[ClipCodes]:
        task, _, source = name.partition("/")
        spec = get_task(task)
        if spec.words == "steps":
            return [i for i in self._stepped if i.modality == spec.modality and (not source or i.source == source)]
        items = self._parts.get((spec.modality, source), [])
        if spec.words == "emotion":  # a face that also acts shows the emotion, but more than is asked for
            emotions = [(i, i.extra.get("emotion")) for i in items]
            return [i for i, e in emotions if e and (spec.output == TEXT or e["alone"])]
        if spec.words == "speech":
            return [i for i in items if i.extra.get("speech")]
        if spec.examples == "text_to_motion":  # an action can be asked for without a caption
            return [i for i in items if i.captions or i.extra.get("prompts")]
        if spec.examples in MIN_TOKENS:
            items = [i for i in items if len(i.codes) >= MIN_TOKENS[spec.examples]]
        needed = any(s.required for s in spec.of_kind("text")[:1])
        return [i for i in items if i.captions] if needed or spec.output == TEXT else items
