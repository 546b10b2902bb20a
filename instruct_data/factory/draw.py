"""Examples drawn for training: people's requests, captions and phrasings, some joined, some misspelt."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from instruct_data.reading.examples import PLACES, WORD, Example, Item, Span, move_spans, roots, write_turn

# as often as people join movements so
JOINTS = (
    *(" and ",) * 4, *(" and then ",) * 4, *(", then ",) * 3, *(", ",) * 3, ", and ", ", and then ", "; ", ". Then ",
    " -> ", " after that ", " + ", ". ", "\n",
)  # fmt: skip
CONCURRENT = (" while ", ", at the same time ", " and meanwhile ", " and at the same time ")
MAX_PLAIN = 7  # words of a phrasing that is joined to others
MAX_TRIES = 20  # to draw one
CAPTION_FIELDS = frozenset(("words", "action", "side", "direction"))  # that a plain caption says as a request does
PHRASING_FIELDS = frozenset(("words", "action"))
LETTERS = "abcdefghijklmnopqrstuvwxyz"
MAX_CHARACTERS = 320  # of what is joined
LENGTHENED = 0.4  # share of turns that a longer timeline is tried for
FORGOTTEN = 0.15  # share of turns without what was said before
USUAL_LINES = 4  # of a timeline
T = TypeVar("T")


@dataclass(frozen=True)
class Drawn:
    """An example for training.

    Attributes:
        fields: those of its items that are labelled, None = all.
    """

    example: Example
    fields: frozenset[str] | None = None


def join(first: Example, second: Example, joint: str, together: bool = False) -> Example:
    """One text behind the other."""
    text = first.text.rstrip(" .!,;") + joint + second.text
    by = len(text) - len(second.text)
    items = [replace(i, words={k: move_spans(v, by) for k, v in i.words.items()}) for i in second.items]
    if together and items:
        items[0] = replace(items[0], values={**items[0].values, "together": True})
    return Example(
        text, (*first.items, *items), first.author, {}, (*first.unknown, *move_spans(second.unknown, by)),
        labelled_words=first.labelled_words and second.labelled_words,
    )  # fmt: skip


def misspell(example: Example, rng: np.random.Generator, count: int = 1) -> Example:
    """A letter exchanged, left out, doubled or replaced in some words; what is read of them stays."""
    for _ in range(count):
        words = [
            m for m in WORD.finditer(example.text, example.asked) if m.end() - m.start() >= 4 and m.group().isalpha()
        ]
        if not words:
            return example
        word = words[int(rng.integers(len(words)))]
        at = int(rng.integers(word.start() + 1, word.end() - 1))
        letters = example.text
        kind = int(rng.integers(4))
        if kind == 0:
            new, by = letters[:at] + letters[at + 1] + letters[at] + letters[at + 2 :], 0
        elif kind == 1:
            new, by = letters[:at] + letters[at + 1 :], -1
        elif kind == 2:
            new, by = letters[: at + 1] + letters[at:], 1
        else:
            new, by = letters[:at] + LETTERS[int(rng.integers(26))] + letters[at + 1 :], 0

        def shift(spans: Sequence[Span], by: int = by, at: int = at) -> tuple[Span, ...]:
            return tuple((a + by * (a > at), b + by * (b > at)) for a, b in spans)

        items = tuple(replace(i, words={k: shift(v) for k, v in i.words.items()}) for i in example.items)
        example = replace(example, text=new, items=items, unknown=shift(example.unknown))
    return example


HISTORY = re.compile(r"^(?:before|last): .*\n", re.MULTILINE)


def forget(example: Example) -> Example:
    """A turn behind its timeline alone, as it stands where a conversation is taken up; places stay."""
    about, asked = example.text[: example.asked], example.text[example.asked :]
    about = HISTORY.sub("", about).replace("now: ", "last: none\nnow: ")
    return replace(example, text=about + asked, asked=len(about))


POINTS = frozenset(
    ("delete", "move", "replace", "edit", "speed", "retime", "mirror", "loop", "rename", "again", "before")
)
"""Acts that are done to a segment: without one they mean the last one, or all."""
SEGMENT = re.compile(r"(?<=[Ss]egment )\d+|(?<=[Ss]egments )\d+|(?<=\d to )\d+|(?<=\d and )\d+")
LAST = re.compile(r"\d+$")


def lengthen(example: Example, others: Sequence[str], rng: np.random.Generator) -> Example:
    """A turn behind a longer timeline: lines of another one stand before or behind those that it speaks of.

    It stays as it is where that could change what it means: where it points at a line by other words than the line's,
    and not at what was done last.
    """
    about, turn = example.text[: example.asked], example.text[example.asked :]
    lines, rest = (rows := about.split("\n"))[: len(example.places)], rows[len(example.places) :]
    marked = [p for i in example.items for k in PLACES if isinstance(p := i.values.get(k), int)]
    said = roots(turn)
    if not lines or any(a < 0 for a, _ in example.places) or rest[0][:1] == "(":
        return example
    last = rest[-2].removeprefix("last: ").split(", ")
    done = {int(n) for act in last if (n := act.split()[-1]).isdigit()}
    if any(n not in done and not said & roots(lines[n - 1]) for n in marked):
        return example
    added = [line.split(" ", 1)[1] for line in others if not said & roots(line)]
    # beside what is pointed at stands what stood there: "after the bow" is the line behind it
    near = range(min(marked) - 1, max(marked) + 1) if marked else range(0)
    free = [n for n in range(len(lines) + 1) if n not in near]
    if not free or not added or (not marked and any(i.values.get("do") in POINTS for i in example.items)):
        return example
    at = free[int(rng.integers(len(free)))]

    def follow(number: int) -> int:
        return number + len(added) * (number > at)

    def follow_number(m: re.Match[str]) -> str:
        return str(follow(int(m[0]))) if int(m[0]) <= len(lines) else m[0]

    bare = [line.split(" ", 1)[1] for line in lines]
    longer = [f"{n} {line}" for n, line in enumerate([*bare[:at], *added, *bare[at:]], 1)]
    before = [line.removeprefix("before: ").split(" / ", 1) for line in rest if line.startswith("before: ")]
    pairs = [(words[0], SEGMENT.sub(follow_number, words[-1])) for words in before]
    text, places, asked = write_turn(
        longer, turn, pairs, [LAST.sub(follow_number, act) for act in last if act != "none"]
    )
    items = tuple(
        replace(i, values={k: follow(v) if k in PLACES else v for k, v in i.values.items()}) for i in example.items
    )
    if any(places[i.values[k] - 1][0] < 0 for i in items for k in PLACES if k in i.values):
        return example  # out of sight
    return replace(example, text=text, places=places, asked=asked, items=items)


def caption_example(text: str, action: str | None, values: Mapping[str, object] | None = None) -> Example:
    """A text that is one movement."""
    spans = tuple(m.span() for m in WORD.finditer(text))
    named = {} if action is None else {"action": action}
    return Example(text, (Item({**named, **(values or {})}, {"words": spans}, text),), labelled_words=False)


def how_often(examples: Sequence[Example], authors: Mapping[str, float] | None = None) -> np.ndarray:
    """Cumulative shares: a text of many items teaches more than one of a single item, one of rare acts more than one of
    common ones, one behind a long timeline more than one behind a short one. `authors`: times for those named.
    """
    acts = Counter(i.values.get("do") for e in examples for i in e.items)
    rare = [max((acts[i.values.get("do")] ** -0.5 for i in e.items), default=1.0) for e in examples]
    long = [max(len(e.places) / USUAL_LINES, 1.0) for e in examples]
    weights = np.array([max(len(e.items), 1) ** 0.5 * r * n for e, r, n in zip(examples, rare, long, strict=True)])
    weights *= np.array([(authors or {}).get(e.author, 1.0) for e in examples])
    return np.cumsum(weights / max(weights.sum(), 1e-9))


def _choose(rows: Sequence[T], cumulative: np.ndarray, rng: np.random.Generator) -> T:
    return rows[min(int(np.searchsorted(cumulative, rng.random())), len(rows) - 1)]


class Draw:
    """Draws examples by shares of their kinds.

    Args:
        people: requests as people write them. phrasings: (text, action) of known movements.
        shares: of ``people``, ``joined`` (two of one author), ``captions`` (of their clauses), ``phrasings`` (one),
            ``composed`` (of several phrasings), ``templates`` (as they are given, labelled in `template_fields`).
        authors: how many times as often the people named write.
    """

    def __init__(
        self, people: Sequence[Example], phrasings: Sequence[tuple[str, str]], shares: Mapping[str, float],
        misspelt: float = 0.15, templates: Sequence[Example] = (), template_fields: frozenset[str] | None = None,
        authors: Mapping[str, float] | None = None,
    ) -> None:  # fmt: skip
        self.people, self.misspelt, self.templates = list(people), misspelt, list(templates)
        self.template_fields = template_fields
        self.authors: dict[str, list[Example]] = defaultdict(list)
        for e in people:
            self.authors[e.author].append(e)
        self.often, self.templates_often = how_often(people, authors), how_often(templates)
        self.clauses = [i for e in people for i in e.items if i.caption]
        self.phrasings = list(phrasings)
        counts: dict[str, int] = defaultdict(int)
        for _, action in phrasings:
            counts[action] += 1
        weights = np.array([counts[a] ** -0.5 for _, a in phrasings])
        self.cumulative = np.cumsum(weights / max(weights.sum(), 1e-9))
        self.kinds = [k for k, v in shares.items() if v]
        total = sum(shares.values())
        self.shares = np.array([shares[k] / total for k in self.kinds])

    def _person(self, rng: np.random.Generator) -> Example:
        return _choose(self.people, self.often, rng)

    def _phrase_item(self, rng: np.random.Generator) -> Example:
        text, action = _choose(self.phrasings, self.cumulative, rng)
        return caption_example(text, action)

    def _plain(self, rng: np.random.Generator) -> Example:
        """A phrasing that says one thing only: one that says several would be joined to others as one."""
        for _ in range(MAX_TRIES):
            words = (out := self._phrase_item(rng)).text.split()
            if len(words) <= MAX_PLAIN and not {"and", "then", "while"} & {*words}:
                break
        return out

    def draw(self, rng: np.random.Generator) -> Drawn:
        """One example."""
        out = self._draw(self.kinds[int(rng.choice(len(self.kinds), p=self.shares))], rng)
        if out.example.asked and rng.random() < LENGTHENED:
            others: list[str] = []  # lines of other timelines
            for _ in range(int(rng.choice([1, 3, 9], p=[0.4, 0.3, 0.3]))):
                e = self._person(rng)
                others += e.text.split("\n")[: len([a for a, _ in e.places if a >= 0])]
            out = replace(out, example=lengthen(out.example, others, rng))
        if out.example.asked and rng.random() < FORGOTTEN:
            out = replace(out, example=forget(out.example))
        if rng.random() < self.misspelt:
            return replace(out, example=misspell(out.example, rng, int(rng.integers(1, 3))))
        return out

    def _draw(self, kind: str, rng: np.random.Generator) -> Drawn:
        if kind == "people":
            return Drawn(self._person(rng))
        if kind == "templates":
            return Drawn(_choose(self.templates, self.templates_often, rng), self.template_fields)
        if kind == "joined":
            first = self._person(rng)
            others = self.authors[first.author]
            second = others[int(rng.integers(len(others)))]
            if len(first.text) + len(second.text) > MAX_CHARACTERS:
                return Drawn(first)
            joint = JOINTS[int(rng.integers(len(JOINTS)))]
            return Drawn(join(first, second, joint))
        if kind == "captions":
            item = self.clauses[int(rng.integers(len(self.clauses)))]
            values = {k: item.values[k] for k in ("side", "direction") if k in item.values}
            return Drawn(caption_example(item.caption, item.values.get("action"), values), CAPTION_FIELDS)
        if kind != "composed":
            return Drawn(self._phrase_item(rng), PHRASING_FIELDS)
        out = self._plain(rng)
        for _ in range(int(rng.choice([1, 2, 3], p=[0.6, 0.28, 0.12]))):
            together = rng.random() < 0.15
            joints = CONCURRENT if together else JOINTS
            second = self._plain(rng)
            if rng.random() < 0.8:  # without its subject
                text = next((second.text[len(p) :] for p in PEOPLE if second.text.startswith(p)), second.text)
                second = caption_example(text, second.items[0].values.get("action"))
            out = join(out, second, joints[int(rng.integers(len(joints)))], together)
        return Drawn(out, PHRASING_FIELDS)


PEOPLE = (
    "a person ", "someone ", "the person ", "a figure ", "somebody ", "the figure ", "a man ", "a woman ", "he ",
    "she ",
)  # fmt: skip
