"""Words of requests and captions: lemmas, word overlap by inverse document frequency, and named manners."""
# sentence embeddings miss a rare word that decides ("toes", "sneak"); plain word overlap finds it

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

_FORMS = {
    "be": "is are was were am been being", "have": "has had having", "do": "does did done doing", "a": "an",
    "go": "goes went gone going", "run": "ran", "stand": "stood", "sit": "sat", "swing": "swung", "bend": "bent",
    "throw": "threw thrown", "hold": "held", "take": "took taken", "come": "came", "lie": "lay lain lying",
    "rise": "rose risen", "fall": "fell fallen", "get": "got gotten", "make": "made", "keep": "kept", "leap": "leapt",
    "kneel": "knelt", "creep": "crept", "swim": "swam swum", "spin": "spun", "shake": "shook shaken", "lead": "led",
    "put": "putting", "hit": "hitting", "foot": "feet", "man": "men", "woman": "women", "person": "people persons",
    "half": "halves", "fling": "flung", "begin": "began begun", "stride": "strode", "strike": "struck", "tie": "tying",
    "catch": "caught", "bring": "brought", "drive": "drove driven", "ride": "rode ridden", "dive": "dove",
}  # fmt: skip
_IRREGULAR = {form: base for base, forms in _FORMS.items() for form in forms.split()}
# End like an inflection but are none. "left" is a side in captions far more often than the past of "leave".
_NO_SUFFIX = """
his this its always across towards forwards backwards upwards downwards sideways afterwards besides perhaps during
thing something anything nothing everything morning evening ceiling bring fling spring string swing cling hundred
indeed speed bleed proceed exceed succeed need feed seed left
"""
_VERBS_IN_E = """
move wave dance raise place face pace make take shake come give leave live use close squeeze slide glide ride hide
write drive dive bake stride strike balance bounce prance circle juggle stumble wobble waddle shuffle rotate imitate
gesture pose rise smoke type wipe swipe slice chase race trace change arrange lunge plunge charge challenge exercise
practice practise continue pause argue rescue dodge nudge emerge prepare stare explore define shine time name skate
create wake like invite celebrate hesitate meditate alternate operate demonstrate taste handle cradle paddle hustle
wrestle jiggle wiggle scramble amble tumble double hobble curve serve observe receive achieve involve revolve nurse
reverse brace embrace produce reduce introduce advance glance complete compete shove score share stroke poke joke hope
cope bike hike freeze sneeze inhale exhale scale resume assume pirouette appreciate saddle straddle struggle twiddle
fumble tremble
"""
_KEEP = frozenset(_NO_SUFFIX.split())
_ENDING_IN_E = frozenset(verb[:-1] for verb in _VERBS_IN_E.split())


def _base(stem: str) -> str:
    """A verb's base from the stem before -ing or -ed."""
    if stem in _ENDING_IN_E:
        return stem + "e"
    if len(stem) > 2 and stem[-1] == stem[-2] and stem[-1] not in "aeioulsz":
        return stem[:-1]
    return stem


@lru_cache(maxsize=50_000)
def lemma(word: str) -> str:
    """Lemma of one lower-case word: ``walks`` -> ``walk``, ``waving`` -> ``wave``, ``stepped`` -> ``step``."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word in _KEEP or len(word) < 4 or not word.isalpha():
        return word
    if word.endswith("ing") and len(word) > 5:
        return _base(word[:-3])
    if word.endswith("ied"):
        return word[:-3] + "y"
    if word.endswith("ed") and len(word) > 4:
        return _base(word[:-2])
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zzes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


_STOP = frozenset(
    "a an the and or of in on at to for with by as is be it its his her their your my this that some someone somebody "
    "person figure human character people he she they you i we us them please now do so while".split()
)
# say nothing of a manner when they stand alone
_GENERIC = frozenset("man woman guy girl lady boy male female gentleman adult way manner fashion very like if".split())

NUMBERS = {w: n for n, w in enumerate("one two three four five six seven eight nine ten eleven twelve".split(), 1)}
_ONCE = {"once": 1, "twice": 2, "thrice": 3}
# what a number in front of says how many there are of, not how often something is done
_THINGS = (
    "hand|arm|leg|fist|foot|feet|finger|palm|drumstick|stick|knee|elbow|shoulder|thumb|eye|side|people|person|man|men|"
    "woman|women|guy|girl|boy|other|another|after|second|minute|metre|meter|direction|moment|more time"
)
_TIMES = re.compile(
    rf"\b(?P<once>once|twice|thrice)\b(?! (?:more|again)\b)"
    rf"|(?<!-)\b(?P<number>{'|'.join(NUMBERS)}|\d\d?)\b(?!-)(?! (?:\w+ )?(?:{_THINGS}))"
)
_OR_MORE = re.compile(r"\b(?:or more|or so|at least)\b")
_AGAIN = re.compile(
    r"\b(?:again and again|over and over|several|repeated(?:ly)?|repeat\w*|many times|a few|some more|a couple of|"
    r"a number of|in a row|one after another|continuously|keeps? (?:on )?\w+ing|a series of)\b"
)
# times, where a text says that something is done more than once but not how often
SEVERAL = 3

_WHO = re.compile(r"(?:(?:like )?an? (?:old |young |little )?)?[a-z-]+(?: person| man| woman)?")


_WORD = re.compile(r"[a-z]+")
_MEASURE = re.compile(r"\b\d+(?:\.\d+)?[- ]?(?:degrees?|°|seconds?|secs?|s|metres?|meters?|m|percent|%)(?!\w)")


def words(text: str) -> list[str]:
    """Words of a text in order, lower case, without digits and marks."""
    return _WORD.findall(text.lower())


def lemmas(text: str) -> list[str]:
    """Content words of a text as lemmas, in order."""
    return [w for t in words(text) if (w := lemma(t)) not in _STOP]


def times(text: str) -> tuple[int, bool]:
    """The number of repetitions in a text (0 = none named), and whether more will do as well."""
    lowered = _MEASURE.sub("", text.lower())
    again = bool(_AGAIN.search(lowered))
    for match in _TIMES.finditer(lowered):
        if match["once"]:
            return _ONCE[match["once"]], False
        count = NUMBERS.get(match["number"]) or int(match["number"])
        if count == 1 and again:
            break
        if count > 1 or re.search(r"\bone (?:single )?\w+$|\bjust one\b|\bonly one\b", lowered):
            return count, bool(_OR_MORE.search(lowered))
    return (SEVERAL, True) if again else (0, False)


@dataclass(frozen=True, eq=False)
class WordIndex:
    """Cosine between bags of lemmas, weighted by how rare a lemma is among the n texts (tf-idf, binary tf).

    Plain arrays, so that a file can hold them: w lemmas, p pairs of a lemma and a text that has it.

    Attributes:
        words: w lemmas. starts: (w + 1,) int, where each one's texts begin in `texts`. texts: (p,) int, rows of texts.
        weights: (w,) float32. norms: (n,) float32, lengths of the texts' bags.
    """

    words: Sequence[str]
    starts: np.ndarray
    texts: np.ndarray
    weights: np.ndarray
    norms: np.ndarray

    @classmethod
    def of(cls, texts: Sequence[str]) -> WordIndex:
        """Of the n texts that requests are compared with."""
        count = len(texts)
        # all texts in one pass, for a first answer waits for this: a line break ends a text
        tokens = re.findall(r"[a-z]+|\n", "".join(" ".join(t.splitlines()) + "\n" for t in texts).lower())
        lemma_of = {t: w for t in dict.fromkeys(tokens) if t != "\n" and (w := lemma(t)) not in _STOP}
        words = list(dict.fromkeys(lemma_of.values()))
        column = {w: i for i, w in enumerate(words)}
        number = {t: column[w] for t, w in lemma_of.items()} | {"\n": -1}
        ids = np.fromiter((number.get(t, -2) for t in tokens), np.int64, len(tokens))
        row = np.cumsum(ids == -1)
        # (word, text) pairs, each once, by word
        pairs = np.unique((ids * count + row)[ids >= 0])
        word, text = np.divmod(pairs, max(count, 1))
        often = np.bincount(word, minlength=len(words))
        weights = np.log((1 + count) / np.maximum(often, 1)).astype(np.float32)
        starts = np.concatenate([[0], np.cumsum(often)])
        norms = np.bincount(text, weights[word].astype(np.float64) ** 2, count) ** 0.5 + 1e-9
        return cls(words, starts, text, weights, norms.astype(np.float32))

    @cached_property
    def weight(self) -> dict[str, float]:
        """Inverse document frequency of each lemma."""
        return dict(zip(self.words, self.weights.tolist(), strict=True))

    @cached_property
    def rarest(self) -> float:
        """The weight of a lemma that no text has."""
        return float(np.log(1 + len(self.norms)))

    @cached_property
    def _column(self) -> dict[str, int]:
        return {w: i for i, w in enumerate(self.words)}

    def rows(self, word: str) -> np.ndarray:
        """Rows of the texts that have a lemma, rising; none for one that is in no text."""
        i = self._column.get(word)
        return self.texts[:0] if i is None else self.texts[self.starts[i] : self.starts[i + 1]]

    def scores(self, text: str) -> np.ndarray:
        """(n,) cosines in 0..1; words that no text has count as the rarest, so that they lower every score."""
        out = np.zeros(len(self.norms), np.float32)
        bag = set(lemmas(text))
        total = sum(self.weight.get(w, self.rarest) ** 2 for w in bag)
        for word in bag & self._column.keys():
            out[self.rows(word)] += self.weight[word] ** 2
        return out / (self.norms * (total**0.5 + 1e-9)).astype(np.float32)


class Manners:
    """Styles by the words that name them: an adverb, a phrase ("full of energy") or a person ("an old man").

    Args:
        phrases: phrase -> style. Phrases that two styles share are left out.
    """

    def __init__(self, phrases: Mapping[str, str]) -> None:
        styles_of: dict[tuple[str, ...], set[str]] = defaultdict(set)
        for phrase, style in phrases.items():
            words = tuple(w for w in lemmas(phrase) if w not in _GENERIC)
            if len(words) > 1 or (words and _WHO.fullmatch(phrase)):  # of a longer phrase one word says too little
                styles_of[words].add(style)
        self.known = {words: next(iter(styles)) for words, styles in styles_of.items() if len(styles) == 1}
        self.longest = max(map(len, self.known), default=0)

    def find(self, text: str) -> tuple[str, str]:
        """The style of the longest phrase in the text, or empty; and the text without it."""
        content = [w for w in lemmas(text) if w not in _GENERIC]
        for size in range(min(self.longest, len(content)), 0, -1):
            for start in range(len(content) - size + 1):
                words = tuple(content[start : start + size])
                if words in self.known:
                    remaining = " ".join(t for t in text.split() if not set(words) & set(lemmas(t)))
                    return self.known[words], remaining if lemmas(remaining) else text
        return "", text
