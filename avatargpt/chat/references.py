"""Segments that words point at: by number, order, time, name, activity, content, and relative to each other."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from avatargpt.requests.english import lemma, lemmas
from instruct_data.dialogue.dialogues import NUMBERS, ORDINALS
from instruct_data.requests.pairs import is_numeral, value_of
from instruct_data.text.english import split
from vqvae.errors import UserError

ALL = frozenset("everything everywhere all whole entire overall both each every".split())
IT = frozenset("it that this them him her he she they these those one ones same".split())
# what a segment is called whatever is done in it; where nothing else is named and one of them is done, it is meant
KINDS = frozenset(
    "segment seg part step piece bit movement motion animation clip number section move thing take activity scene "
    "stretch".split()
)
PAIR = frozenset("those these both them two pair".split())
FIRST = frozenset("start beginning opening".split())
LAST = frozenset("last final latest end ending previous".split())
REST = frozenset("everything all rest anything".split())
AFTER, BEFORE = frozenset("after behind following since".split()), frozenset("before preceding until till".split())
RANGE = frozenset("to through till until -".split())
PLACED = frozenset("at in from mark".split())  # a number of seconds with these is a time and no length
SECONDS, MINUTES = frozenset("second seconds sec secs s".split()), frozenset("minute minutes min".split())
# cosine of words to a caption that they may mean, and between it and the next one
MIN_SIMILARITY, MAX_GAP = 0.35, 0.08
ASKING = frozenset("where when what which".split())  # "the part where he sits"
_CLOCK = re.compile(r"(\d+):(\d\d)")
Similarity = Callable[[str, Sequence[str]], Sequence[float]]
"""Cosines of words to sentences."""


class OpenReference(UserError):
    """Words that may mean several segments, `options` (from 1)."""

    def __init__(self, text: str, options: Sequence[int]) -> None:
        super().__init__(text)
        self.options, self.words = tuple(options), ""  # words: all that were looked up


@dataclass(frozen=True)
class Target:
    """The segments that words refer to: a `segment` from 1 or None, `everything`, or `several`."""

    segment: int | None = None
    everything: bool = False
    several: tuple[int, ...] = ()
    together: bool = False  # the several are an activity: a length is that of all of them
    time: float | None = None  # seconds, where the words name a time

    @property
    def first(self) -> int | None:
        return self.several[0] if self.several else self.segment

    @property
    def last(self) -> int | None:
        return self.several[-1] if self.several else self.segment


@dataclass
class Outlook:
    """What can be pointed at: segments in order, one entry each."""

    captions: list[str]
    lengths: list[float] = field(default_factory=list)  # seconds
    names: list[str] = field(default_factory=list)  # empty = none
    activities: list[str] = field(default_factory=list)  # likewise
    focus: int | None = None  # the segment last spoken of, from 1
    starts: list[float] = field(default_factory=list)  # seconds; empty = one follows the other
    among: tuple[int, ...] = ()  # those of its kind, where it was one of several ("the second jump")

    def __post_init__(self) -> None:
        count = len(self.captions)
        self.lengths += [0.0] * (count - len(self.lengths))
        for row in (self.names, self.activities):
            row += [""] * (count - len(row))

    @property
    def count(self) -> int:
        return len(self.captions)

    def insert(self, at: int, caption: str, seconds: float) -> None:
        """A segment before index `at`."""
        self.captions.insert(at, caption)
        self.lengths.insert(at, seconds)
        self.names.insert(at, "")
        self.activities.insert(at, "")
        self.focus, self.starts, self.among = at + 1, [], ()

    def remove(self, at: int) -> None:
        """Without the segment at this index."""
        for row in (self.captions, self.lengths, self.names, self.activities):
            del row[at]
        self.focus, self.starts, self.among = None, [], ()

    def clear(self) -> None:
        while self.captions:
            self.remove(0)

    def at_second(self, time: float) -> int:
        """Number of the segment there; raises UserError where there is none so late."""
        starts = self.starts or [sum(self.lengths[:i]) for i in range(self.count)]
        end = starts[-1] + self.lengths[-1] if starts else 0.0
        if time > end:
            raise UserError(f"there is nothing at second {time:g}; all of it lasts {end:.3g} s")
        return sum(start <= time for start in starts)


def target(words: str, outlook: Outlook, similarity: Similarity | None = None) -> Target | None:
    """The segments that words refer to, or None.

    Raises:
        OpenReference: they may mean several. UserError: a number or a time that is not there.
    """
    tokens = [t for w in words.lower().split() if (t := w.strip(".,!?;'\"#") or w)]
    try:
        return _relative(tokens, outlook, similarity) or _absolute(tokens, outlook, similarity)
    except OpenReference as e:
        e.words = words
        raise


def _relative(tokens: list[str], outlook: Outlook, similarity: Similarity | None) -> Target | None:
    """Segments told by others: all after one, the next one, from one to another, one and another, the other one."""
    for at, word in enumerate(tokens):
        head, tail = tokens[:at], tokens[at + 1 :]
        if word in RANGE and head and tail and _is_range(head, tail):
            ends = [_absolute([t for t in x if t != "from"], outlook, similarity) for x in (head, tail)]
            if all(t is not None and t.segment for t in ends):
                low, high = sorted(t.segment for t in ends if t is not None and t.segment is not None)
                return Target(high, several=tuple(range(low, high + 1)))
        if word in AFTER | BEFORE and tail and not (word in RANGE and _is_range(head, tail)):
            base = _absolute(tail, outlook, similarity)
            edge = None if base is None else base.last if word in AFTER else base.first
            if edge is None:
                return None
            numbers = tuple(range(edge + 1, outlook.count + 1)) if word in AFTER else tuple(range(1, edge))
            if not numbers:
                raise UserError(f"there is nothing {word} segment {edge}")
            if REST & set(head):
                return Target(numbers[-1], several=numbers if len(numbers) > 1 else ())
            return Target(numbers[0] if word in AFTER else numbers[-1])
    rests = "rest" in tokens and any("rest" in lemmas(c) for c in (*outlook.captions, *outlook.activities))
    if "rest" in tokens and not rests and outlook.focus and outlook.focus < outlook.count:
        return Target(outlook.count, several=tuple(range(outlook.focus + 1, outlook.count + 1)))
    if "other" in tokens:
        return _other([t for t in tokens if t != "other"], outlook, similarity)
    return None


def _is_range(head: Sequence[str], tail: Sequence[str]) -> bool:
    return head[0] == "from" or all(any(_number(t, x) is not None for t in x) for x in (list(head), list(tail)))


def _other(tokens: list[str], outlook: Outlook, similarity: Similarity | None) -> Target | None:
    """Of those that the other words mean, or that are like the one last spoken of, the one that is not this."""
    focus = outlook.focus or outlook.count
    numbers: Sequence[int] = range(1, outlook.count + 1)
    if outlook.count > 2:
        like = " ".join(_plain(tokens)) or (outlook.captions[focus - 1] if outlook.count else "")
        numbers = _named(like, outlook.captions)
    left = [n for n in numbers if n != focus]
    if len(left) > 1:
        raise OpenReference(f"which one? {_listed(left)}", left)
    return Target(left[0]) if left else None


def _absolute(tokens: list[str], outlook: Outlook, similarity: Similarity | None) -> Target | None:
    count, words = outlook.count, set(tokens)
    time = _time(tokens)
    if time is not None:
        return Target(outlook.at_second(time), time=time) if count else None
    if exact := _called(tokens, outlook):
        return exact
    numbers = [n for t in tokens if (n := _number(t, tokens)) is not None]
    many = next((n for t in tokens if (n := _cardinal(t)) > 1), 0)
    plain = _plain(tokens)
    done = [t for t in tokens if lemma(t) in KINDS and _named(t, outlook.captions)]  # "the stretch"
    if not plain and done and not words & (LAST | FIRST | ALL):
        as_many = len(_named(done[0], outlook.captions)) == many and _cardinal(tokens[tokens.index(done[0]) - 1]) > 1
        plain = done if as_many or not numbers else []
    if count == 2 and PAIR & words and not plain:
        return Target(2, several=(1, 2))
    matches, together = _content(plain, outlook, similarity, tokens) if plain else ([], False)
    if ALL & words and not (count == 2 and "both" in words):
        return Target(matches[-1], several=tuple(matches)) if len(matches) > 1 else Target(everything=True)
    if many and len(matches) == many and _cardinal(tokens[tokens.index(plain[0]) - 1]) > 1:  # "the two jumps"
        return Target(matches[-1], several=tuple(matches))
    if many and many <= count and (LAST & words or "first" in words):
        first = 1 if "first" in words else count - many + 1
        return Target(first + many - 1, several=tuple(range(first, first + many)))
    if numbers:
        kind = matches or (outlook.among if "one" in words else ())
        if kind and any(t in ORDINALS for t in tokens):  # "the second jump", also where there is one alone
            return Target(kind[min(numbers[0], len(kind)) - 1])
        if wrong := [n for n in numbers if not 1 <= n <= count]:
            raise UserError(f"there is no segment {wrong[0]}; there {'is' if count == 1 else 'are'} {count}")
        return Target(numbers[-1], several=tuple(numbers) if len(numbers) > 1 else ())
    if LAST & words:
        return Target(matches[-1] if matches else count or None)
    if FIRST & words and count:
        return Target(matches[0] if matches else 1)
    if "middle" in words and count:
        return Target((count + 1) // 2)
    if len(matches) > 1 and (together or "and" in words):
        return Target(matches[-1], several=tuple(matches), together=together)
    if len(matches) > 1:  # as many words are theirs: that whose movement is named, then what the words mean, decides
        heads = [n for n in matches if _verb(outlook.captions[n - 1]) in lemmas(" ".join(plain))]
        matches = heads or matches
    if len(matches) > 1 and similarity is not None:
        near = _nearest(similarity(" ".join(tokens), [outlook.captions[n - 1] for n in matches]))
        matches = [matches[n - 1] for n in near] or matches
    if len(matches) > 1:
        raise OpenReference(f"which one? {' '.join(tokens)!r} may be {_listed(matches)}", matches)
    if matches:
        return Target(matches[0])
    return None if plain else Target()


def _plain(tokens: Sequence[str]) -> list[str]:
    """The words that say what is done in a segment."""
    other = IT | ASKING | LAST | FIRST | ALL | {"middle"}
    return [t for t in tokens if lemmas(t) and t not in other and lemma(t) not in KINDS and _number(t, tokens) is None]


def _cardinal(token: str) -> int:
    """The number of a word or of digits, 0 = none."""
    return int(token) if token.isdigit() else NUMBERS.index(token) if token in NUMBERS else 0


def _listed(numbers: Sequence[int]) -> str:
    which = " or ".join(map(str, numbers)) if len(numbers) < 4 else f"{numbers[0]} to {numbers[-1]}, and more"
    return f"segment {which}"


def _time(tokens: Sequence[str]) -> float | None:
    """Seconds, of "second 6", "0:30", "6 seconds in", "minute 2"."""
    for i, token in enumerate(tokens):
        if clock := _CLOCK.fullmatch(token):
            return 60 * float(clock[1]) + float(clock[2])
        unit = 1.0 if token in SECONDS else 60.0 if token in MINUTES else 0.0
        if unit and i + 1 < len(tokens) and is_numeral(tokens[i + 1]) and tokens[i + 1] != "one":
            return unit * (value_of(tokens[i + 1 : i + 2]) or 0.0)
        if unit and i and is_numeral(tokens[i - 1]) and PLACED & set(tokens):
            return unit * (value_of(tokens[i - 1 : i]) or 0.0)
    return None


def _number(word: str, among: Sequence[str]) -> int | None:
    if word in ORDINALS:
        return ORDINALS.index(word) + 1
    if word.isdigit():
        return int(word)
    for ending in ("st", "nd", "rd", "th"):
        if word.endswith(ending) and word[: -len(ending)].isdigit():
            return int(word[: -len(ending)])
    # "part two", not "that one"
    return NUMBERS.index(word) if word in NUMBERS[1:] and (word != "one" or among[-2:-1] == ["segment"]) else None


def kind_of(spoken: str, outlook: Outlook) -> tuple[int, ...]:
    """The segments among which a turn chose that one by its order which is now last spoken of, empty = it did not."""
    tokens = spoken.lower().split()
    if outlook.focus is None or not any(t in ORDINALS or t in LAST for t in tokens):
        return ()
    stems = [set(lemmas(c)) for c in outlook.captions]
    others = set().union(*stems[: outlook.focus - 1], *stems[outlook.focus :])
    alike = set(lemmas(spoken)) & stems[outlook.focus - 1] & others
    numbers = tuple(n for n, words in enumerate(stems, 1) if alike <= words)
    return numbers if alike and len(numbers) > 1 else ()


def _called(tokens: Sequence[str], outlook: Outlook) -> Target | None:
    """What a user gave just this name."""
    bare = [t for t in tokens if lemmas(t)]
    words = [bare, [t for t in bare if lemma(t) not in KINDS and t != "called"]]
    for row in (outlook.names, outlook.activities):
        named = [[t for t in name.lower().split() if lemmas(t)] for name in row]
        numbers = [n for n, name in enumerate(named, 1) if name and name in words]
        if numbers:
            several = tuple(numbers) if len(numbers) > 1 else ()
            return Target(numbers[-1], several=several, together=row is outlook.activities and bool(several))
    return None


def _content(
    plain: Sequence[str], outlook: Outlook, similarity: Similarity | None, tokens: Sequence[str]
) -> tuple[list[int], bool]:
    """Segments whose captions, names or activities the words mean, and whether they are an activity.

    Of what shares as many of the words, that comes first which the user put in words: movements, names and the events
    of a scene before the steps of a plan.
    """
    words = " ".join(plain)
    captions = [f"{c} {n}" for c, n in zip(outlook.captions, outlook.names, strict=True)]
    shared = _counts(words, captions)
    in_activities = _counts(words, outlook.activities)
    best, whole = max(shared, default=0), max(in_activities, default=0)
    by_words = [n for n in _highest(shared) if not outlook.activities[n - 1] or outlook.names[n - 1]]
    if whole > best or (whole and whole == best and not by_words):
        return _highest(in_activities), True
    if best:
        numbers = by_words or _highest(shared)
        if "and" in tokens and best < len(set(lemmas(words))):  # "the walk and the wave"
            numbers = sorted({n for w in plain for n in _named(w, captions)})
        return numbers, False
    if similarity is None or not outlook.captions:
        return [], False
    near = _nearest(similarity(words, outlook.captions))
    if any(outlook.activities):
        cosines = similarity(words, outlook.activities)
        best = max(range(outlook.count), key=lambda i: cosines[i])
        if cosines[best] >= MIN_SIMILARITY and cosines[best] > max(similarity(words, outlook.captions)):
            return [n for n, a in enumerate(outlook.activities, 1) if a == outlook.activities[best]], True
    return near, False


def _counts(words: str, sentences: Sequence[str]) -> list[int]:
    stems = set(lemmas(words))
    return [len(stems & set(lemmas(s))) if s else 0 for s in sentences]


def _verb(caption: str) -> str:
    """The lemma of a caption's first verb, or of its first word of content."""
    clause = split(caption)
    return next(iter(lemmas(clause.predicate if clause else caption)), "")


def _highest(counts: Sequence[int]) -> list[int]:
    highest = max(counts, default=0)
    return [n for n, count in enumerate(counts, 1) if count == highest] if highest else []


def _named(words: str, captions: Sequence[str]) -> list[int]:
    """Segments whose caption has most of these words' lemmas."""
    return _highest(_counts(words, captions))


def _nearest(cosines: Sequence[float]) -> list[int]:
    """Segments that are near enough in meaning, and about as near as the nearest."""
    best = max(cosines, default=0.0)
    return [n for n, c in enumerate(cosines, 1) if c >= best - MAX_GAP] if best >= MIN_SIMILARITY else []

